"""The DNS, with its signatures checked by ourselves, from anchors that we trust down to the answer.

The DNS server that is asked need prove nothing, but must hand on what was signed. Of an answer the chain is followed
from its signature up: the keys of the zone that signed it, the digest of those that the zone above keeps, and so on,
until a zone of which an anchor is known. What is not there is taken from the server as it says it: only what is there
is proved, and for what comes from a wildcard also that the name itself is not there.

    SECURE    signed, and every step up to an anchor holds
    UNKNOWN   it could not be followed: no answer, no anchor above it, or a server that keeps signatures back
    INSECURE  the zone is not signed, or the zone above keeps no digest of its keys
    BOGUS     the zone is signed, and this does not hold

Source: RFC 4034, RFC 4035 section 5, RFC 5155 section 8.8, RFC 6840; the anchors of the root: IANA, as RFC 9718 has it.
"""

from __future__ import annotations

import base64
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from enum import IntEnum
from pathlib import Path

import dns.dnssec
import dns.edns
import dns.flags
import dns.message
import dns.name
import dns.rdata
import dns.rdataclass
import dns.rdatatype
import dns.rrset
import dns.zonefile
from dns.asyncresolver import Resolver
from dns.exception import DeniedByPolicy, DNSException, UnsupportedAlgorithm
from dns.rdtypes.ANY.DNSKEY import DNSKEY
from dns.rdtypes.ANY.DS import DS
from dns.rdtypes.ANY.NSEC import NSEC
from dns.rdtypes.ANY.NSEC3 import NSEC3
from dns.rdtypes.ANY.RRSIG import RRSIG
from dns.resolver import NXDOMAIN, NoNameservers, NoResolverConfiguration

from schakel.kernel.clock import now
from schakel.kernel.outcomes import Invalid
from schakel.roadmap.checks.model import Unclear
from schakel.roadmap.model import Text

_ROOT = """
. 86400 IN DS 20326 8 2 E06D44B80B8F1D39A95C0B0D7C65D08458E880409BBC683457104237C7F8EC8D
. 86400 IN DS 38696 8 2 683D2D0ACB8C9B712A1948B27F741219298D0A450D612C483AF444A4C0FB2B16
"""
"""The keys of the root of 2017 and 2024."""

_MOST_KEYS, _MOST_SIGNATURES, _MOST_ITERATIONS = 20, 10, 150
"""Of one zone, of one answer, and of a hash of NSEC3: more is not gone through."""

Anchor = DS | DNSKEY
_DELEGATION, _KEYS = dns.rdatatype.DS, dns.rdatatype.DNSKEY


class Proof(IntEnum):
    """What is known of an answer, from good to bad (see the module)."""

    SECURE = 0
    UNKNOWN = 1
    INSECURE = 2
    BOGUS = 3


@dataclass(frozen=True, slots=True)
class Records:
    """The records of one name and type, none when there are none; `why` says in English why they are not secure."""

    name: str
    kind: str
    values: tuple[dns.rdata.Rdata, ...]
    proof: Proof
    why: str

    @property
    def texts(self) -> list[str]:
        """The records of type TXT, each as one text."""
        return [
            b"".join(getattr(one, "strings", ())).decode("utf-8", "replace").strip() for one in self.values
        ]


@dataclass(frozen=True, slots=True)
class _Zone:
    """The keys of a zone, and whether they are its own."""

    proof: Proof
    why: str
    keys: dns.rrset.RRset | None = None


@dataclass(slots=True)
class Names:
    """Asks `resolver`, which must hand on signatures that do not hold, and trusts `anchors`. Keys that were looked at
    are kept."""

    resolver: Resolver
    anchors: Mapping[dns.name.Name, tuple[Anchor, ...]]
    _zones: dict[dns.name.Name, _Zone] = field(default_factory=dict)

    async def ask(self, name: str, kind: str) -> Records:
        """The records of a name. Raises `Unclear` when what there is cannot be known."""
        try:
            asked = dns.name.from_text(name)
        except (DNSException, ValueError):
            return Records(name, kind, (), Proof.UNKNOWN, "this is no name")
        response, chain = await self._asked(asked, dns.rdatatype.from_text(kind))
        if chain.answer is None:
            return Records(name, kind, (), Proof.UNKNOWN, "there is nothing")
        proof, why = Proof.SECURE, ""
        for part in (*chain.cnames, chain.answer):
            found, reason = await self._proved(response, part)
            if found > proof:
                proof, why = found, reason
        return Records(name, kind, tuple(chain.answer), proof, why)

    async def anchored(self, name: str) -> bool:
        """Whether our anchor above a name holds by the DNS server: one by which it does not may know nothing of the
        world. Raises `Unclear`."""
        return (await self._anchor(dns.name.from_text(name))).proof is Proof.SECURE

    async def _asked(
        self, name: dns.name.Name, kind: dns.rdatatype.RdataType
    ) -> tuple[dns.message.QueryMessage, dns.message.ChainingResult]:
        """The answer of the DNS server, and where it leads within it."""
        try:
            try:
                answer = await self.resolver.resolve(name, kind, raise_on_no_answer=False, search=False)
                return answer.response, answer.response.resolve_chaining()
            except NXDOMAIN as none:
                response: dns.message.QueryMessage = none.response(name)  # type: ignore[no-untyped-call]
                return response, response.resolve_chaining()
        except (DNSException, OSError) as error:
            unusable = isinstance(error, NoNameservers | NoResolverConfiguration)
            raise Unclear(
                Text(
                    f"De DNS-server gaf geen antwoord over {name.to_text(True)}.",
                    f"The DNS server gave no answer about {name.to_text(True)}.",
                ),
                f"{dns.rdatatype.to_text(kind)} {name}: "
                + ("no usable answer" if unusable else type(error).__name__),
            ) from error

    # -- what is signed ----------------------------------------------------------------------------------------

    async def _proved(self, response: dns.message.Message, part: dns.rrset.RRset) -> tuple[Proof, str]:
        """Whether these records of an answer are signed by keys that lead to an anchor."""
        shown = f"{dns.rdatatype.to_text(part.rdtype)} {part.name}"
        if any(one.rdtype == dns.rdatatype.DNAME for one in response.answer):
            return Proof.UNKNOWN, f"{shown}: it passes a DNAME, which is not followed"
        try:
            signatures = _signatures(response.answer, part)
            above = part.name.parent() if part.rdtype == _DELEGATION else part.name
            if not signatures:
                return await self._unsigned(shown, above)
            usable = [one for one in signatures if above.is_subdomain(one.signer)]
            if not usable:
                return Proof.BOGUS, f"{shown}: signed by {signatures[0].signer}, which has no say here"
            found = Proof.BOGUS, f"{shown}: no signature holds"
            for one in usable[:_MOST_SIGNATURES]:
                found = await self._signed(response, part, one, shown)
                if found[0] is Proof.SECURE:
                    break
            return found
        except Unclear as unclear:
            return Proof.UNKNOWN, unclear.detail

    async def _signed(
        self, response: dns.message.Message, part: dns.rrset.RRset, by: RRSIG, shown: str
    ) -> tuple[Proof, str]:
        zone = await self._zone(by.signer)
        if zone.keys is None:
            return zone.proof, zone.why
        if (why := _refuted(part, by, zone.keys)) is not None:
            return why[0], f"{shown}: {why[1]}"
        if by.labels < len(part.name.labels) - 1 - part.name.is_wild():
            return _expanded(response, part.name, by, zone.keys, shown)
        return Proof.SECURE, ""

    async def _unsigned(self, shown: str, name: dns.name.Name) -> tuple[Proof, str]:
        """What an answer without a signature is: that says the zone which it is in."""
        response, _ = await self._asked(name, dns.rdatatype.SOA)
        places = {
            one.name for one in (*response.answer, *response.authority) if one.rdtype == dns.rdatatype.SOA
        }
        within = [one for one in places if name.is_subdomain(one)]
        if not within:
            return Proof.UNKNOWN, f"{shown}: not signed, and the server does not say in which zone it is"
        zone = await self._zone(max(within, key=len))
        if zone.proof is Proof.SECURE:
            return Proof.BOGUS, f"{shown}: without a signature in a zone that is signed"
        return zone.proof, zone.why

    # -- the keys of a zone ------------------------------------------------------------------------------------

    async def _zone(self, name: dns.name.Name) -> _Zone:
        if (known := self._zones.get(name)) is not None:
            return known
        found = await self._looked_at(name)
        if found.proof is not Proof.UNKNOWN:  # What is unknown may be known in a moment.
            self._zones[name] = found
        return found

    async def _looked_at(self, name: dns.name.Name) -> _Zone:
        anchors: Sequence[Anchor] | None = self.anchors.get(name)
        if anchors is not None:
            found = await self._keys(name, anchors)
            if found.proof is Proof.SECURE:
                return found
            return _Zone(
                Proof.UNKNOWN, f"the anchor of {name} does not fit what the DNS server says: {found.why}"
            )
        # A server that keeps signatures back does so of the anchor's zone too: then nothing is known.
        trusted = await self._anchor(name.parent() if name != dns.name.root else name)
        if trusted.proof is not Proof.SECURE:
            return trusted
        response, chain = await self._asked(name, _DELEGATION)
        delegated = chain.answer
        if delegated is None or delegated.name != name:
            return _Zone(Proof.INSECURE, f"the zone {name} is not signed from above: there is no DS")
        proof, why = await self._proved(response, delegated)
        if proof is not Proof.SECURE:
            return _Zone(proof, why)
        return await self._keys(name, [one for one in delegated if isinstance(one, DS)])

    async def _anchor(self, name: dns.name.Name) -> _Zone:
        """The nearest zone around a name of which an anchor is known."""
        around = next((one for one in (name, *_ancestors(name)) if one in self.anchors), None)
        if around is None:
            return _Zone(Proof.UNKNOWN, f"no anchor is known above {name}")
        return await self._zone(around)

    async def _keys(self, name: dns.name.Name, trusted: Sequence[Anchor]) -> _Zone:
        """The keys of a zone: one of them is `trusted`, and signed them all."""
        response, chain = await self._asked(name, _KEYS)
        keys = chain.answer
        if keys is None or keys.name != name:
            return _Zone(Proof.BOGUS, f"DNSKEY {name}: there are none")
        if len(keys) > _MOST_KEYS:
            return _Zone(Proof.UNKNOWN, f"DNSKEY {name}: there are {len(keys)}, more than {_MOST_KEYS}")
        known = dns.rrset.RRset(name, dns.rdataclass.IN, _KEYS)
        for key in keys:
            if isinstance(key, DNSKEY) and any(_is_of(name, key, one) for one in trusted):
                known.add(key)
        if not known:
            return _Zone(Proof.BOGUS, f"DNSKEY {name}: none of them is the one that is trusted")
        why: tuple[Proof, str] = Proof.BOGUS, "not signed"
        for one in _signatures(response.answer, keys)[:_MOST_SIGNATURES]:
            if one.signer == name:
                refuted = _refuted(keys, one, known)
                if refuted is None:
                    return _Zone(Proof.SECURE, "", keys)
                why = refuted
        return _Zone(why[0], f"DNSKEY {name}: {why[1]}")


def _ancestors(name: dns.name.Name) -> list[dns.name.Name]:
    """The names above this one, nearest first."""
    found = []
    while name != dns.name.root:
        name = name.parent()
        found.append(name)
    return found


def _signatures(section: Sequence[dns.rrset.RRset], of: dns.rrset.RRset) -> list[RRSIG]:
    return [
        one
        for rrset in section
        if rrset.name == of.name and rrset.rdtype == dns.rdatatype.RRSIG and rrset.covers == of.rdtype
        for one in rrset
        if isinstance(one, RRSIG)
    ]


def _refuted(part: dns.rrset.RRset, by: RRSIG, keys: dns.rrset.RRset) -> tuple[Proof, str] | None:
    """Why this signature does not hold, None when it does."""
    try:
        dns.dnssec.validate_rrsig(part, by, {by.signer: keys}, now=now().timestamp())
    except UnsupportedAlgorithm:
        return Proof.UNKNOWN, f"signed with algorithm {int(by.algorithm)}, which is not known here"
    except (DNSException, ValueError) as error:
        return Proof.BOGUS, f"the signature of {by.signer} does not hold: {error}"
    return None


def _is_of(name: dns.name.Name, key: DNSKEY, trusted: Anchor) -> bool:
    """Whether `key` is the one that is trusted, or has the digest that is."""
    if isinstance(trusted, DNSKEY):
        return bool(key == trusted)
    try:
        made = dns.dnssec.make_ds(name, key, trusted.digest_type, validating=True)
    except (UnsupportedAlgorithm, DeniedByPolicy, ValueError):
        return False
    return bool(made == trusted)


def _expanded(
    response: dns.message.Message, name: dns.name.Name, by: RRSIG, keys: dns.rrset.RRset, shown: str
) -> tuple[Proof, str]:
    """What comes from a wildcard holds when it is signed too that nothing nearer is there (RFC 4035 section 5.3.4)."""
    nearer = dns.name.Name(name.labels[-(by.labels + 2) :])
    for rrset in response.authority:
        if rrset.rdtype not in (dns.rdatatype.NSEC, dns.rdatatype.NSEC3):
            continue
        if not any(_covers(rrset.name, one, name, nearer) for one in rrset):
            continue
        for signature in _signatures(response.authority, rrset)[:_MOST_SIGNATURES]:
            if signature.signer == by.signer and _refuted(rrset, signature, keys) is None:
                return Proof.SECURE, ""
    return Proof.UNKNOWN, f"{shown}: it comes from a wildcard, and it is not proved that nothing is nearer"


def _covers(
    owner: dns.name.Name, record: dns.rdata.Rdata, name: dns.name.Name, nearer: dns.name.Name
) -> bool:
    """Whether `record` says that there is nothing at `name`, or at the name `nearer` to it than the wildcard."""
    if isinstance(record, NSEC):
        return bool(owner < name < record.next if owner < record.next else name > owner)
    if not isinstance(record, NSEC3) or record.iterations > _MOST_ITERATIONS:
        return False
    try:
        asked = dns.dnssec.nsec3_hash(nearer, record.salt, record.iterations, record.algorithm)
    except ValueError:
        return False
    first, last = (
        owner.labels[0].decode("ascii", "replace").upper(),
        base64.b32hexencode(record.next).decode(),
    )
    return first < asked < last if first < last else asked > first or asked < last


def anchors(path: Path | None) -> Mapping[dns.name.Name, tuple[Anchor, ...]]:
    """The anchors in a file, DS or DNSKEY records as a zone file has them; those of the root when there is none. Raises
    `Invalid`."""
    try:
        text = path.read_text("ascii") if path is not None else _ROOT
        read = dns.zonefile.read_rrsets(text, rdclass=None, default_ttl=86400)
    except (OSError, ValueError, DNSException) as error:
        why = (
            error.strerror
            if isinstance(error, OSError)
            else "it has no DS or DNSKEY records as a zone file has"
        )
        raise Invalid(f"the file {path} (setting defaults.dns_anchors) cannot be used: {why}") from error
    found: dict[dns.name.Name, tuple[Anchor, ...]] = {}
    for rrset in read:
        usable = tuple(one for one in rrset if isinstance(one, DS | DNSKEY))
        if usable:
            found[rrset.name] = (*found.get(rrset.name, ()), *usable)
    if not found:
        raise Invalid(f"the file {path} (setting defaults.dns_anchors) has no DS or DNSKEY record")
    return found
