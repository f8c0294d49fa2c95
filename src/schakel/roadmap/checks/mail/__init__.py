"""`mail-domain`: what the DNS says of the domain that mail is sent from, and what its mail servers show.

    SPF       one TXT v=spf1 that ends with -all or ~all, in at most ten questions
    DMARC     one TXT at _dmarc, here or above, with quarantine or reject, and rua
    NTA       one TXT v=NTA7516-1 in which this month lies
    MX        there is one; the servers for this mail (those of the NTA record, else those of MX) have an address
    DNSSEC    all of the domain and of those servers is signed, proved by ourselves
    STARTTLS  each server takes TLS 1.2 or 1.3 with sufficient encryption, and nothing else
    DANE      each server has TLSA records, and shows a certificate that fits one
    DKIM      the keys of the selectors that the region's file names

What could not be looked at is unknown, and each part is looked at whatever became of the others. Not looked at: whether
a server refuses mail without TLS, where it stands, and mail itself (its header, its signature).

Source: NTA 7516, and what each module here names.
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from typing import TypeVar

from dns.rdtypes.ANY.MX import MX

from schakel.kernel.clock import AMSTERDAM, instant
from schakel.roadmap.checks.mail import dane, records, servers, spf
from schakel.roadmap.checks.model import Check, Target, Unclear, found, together
from schakel.roadmap.checks.names import Names, Proof, Records
from schakel.roadmap.checks.tools import Tools
from schakel.roadmap.evidence import Finding
from schakel.roadmap.model import Text

ID = "mail-domain"

_MOST_SERVERS = 10
_T = TypeVar("_T")


@dataclass(slots=True)
class _Seen:
    """What was seen of one domain; `unclear` is what could not be looked at, and `proofs` what must be signed."""

    domain: str
    names: Names
    faults: list[Text] = field(default_factory=list)
    unclear: list[Text] = field(default_factory=list)
    details: list[str] = field(default_factory=list)
    proofs: list[Records] = field(default_factory=list)
    tls: set[str] = field(default_factory=set)

    async def ask(self, name: str, kind: str) -> Records:
        """The records of a name that must be signed."""
        answer = await self.names.ask(name, kind)
        if answer.values:
            self.proofs.append(answer)
        return answer

    async def part(self, looking: Awaitable[_T]) -> _T | None:
        """What a part says; None when it could not be looked at."""
        try:
            return await looking
        except Unclear as unclear:
            self.unclear.append(unclear.reason)
            self.details.append(unclear.detail)
            return None

    def blame(self, *faults: Text) -> None:
        self.faults += faults


async def _measure(target: Target, tools: Tools) -> Finding:
    domain, selectors = target.organisation.mail_domain.lower(), target.organisation.dkim_selectors
    seen, today = _Seen(domain, tools.names), tools.began.astimezone(AMSTERDAM).date()
    until: datetime | None = None
    named: tuple[str, ...] | None = None
    if (own := await seen.part(seen.ask(domain, "TXT"))) is not None:
        record = records.nta(own.texts, today)
        until, named = record.until, record.hosts
        seen.blame(*(await seen.part(spf.faults(domain, own.texts, tools.names)) or ()), *record.faults)
    seen.blame(*(await seen.part(records.dmarc(domain, tools.names)) or ()))
    seen.blame(*(await seen.part(records.dkim(domain, selectors, tools.names)) or ()))
    ordinary = await seen.part(_ordinary(seen))
    if own is not None and not own.values and ordinary == () and not await tools.names.anchored(domain):
        raise Unclear(
            Text(
                f"De DNS-server kent {domain} niet, maar ook de wortel van de DNS niet zoals wij die kennen "
                "(defaults.resolver).",
                f"The DNS server does not know {domain}, but neither the root of the DNS as we know it "
                "(defaults.resolver).",
            )
        )
    hosts = named or ordinary or ()
    if len(hosts) > _MOST_SERVERS:
        seen.unclear.append(
            Text(
                f"Van {len(hosts)} mailservers zijn er {_MOST_SERVERS} bekeken.",
                f"Of {len(hosts)} mail servers {_MOST_SERVERS} were looked at.",
            )
        )
    async with asyncio.TaskGroup() as group:
        for host in hosts[:_MOST_SERVERS]:
            group.create_task(_server(seen, host, tools))
    _signed(seen)
    facts: dict[str, str | int | float] = {
        "domain": domain,
        "faults": len(seen.faults),
        "mail-servers": len(hosts),
        "dkim-selectors": len(selectors),
    }
    facts |= {"tls": ", ".join(sorted(seen.tls))} if seen.tls else {}
    detail = "; ".join(one for one in seen.details if one)
    if seen.faults:
        return found(ID, "fails", together(list(dict.fromkeys(seen.faults))), detail, facts)
    if seen.unclear:
        return found(ID, "unknown", together(list(dict.fromkeys(seen.unclear))), detail, facts)
    dkim = ", DKIM" if selectors else ""
    return found(
        ID,
        "holds",
        Text(
            f"{domain} heeft SPF, DMARC{dkim}, DNSSEC en een NTA 7516-record dat nu geldt; zijn mailservers doen "
            "STARTTLS met DANE.",
            f"{domain} has SPF, DMARC{dkim}, DNSSEC and an NTA 7516 record that is valid now; its mail servers do "
            "STARTTLS with DANE.",
        ),
        detail,
        facts,
        until=until,
    )


async def _ordinary(seen: _Seen) -> tuple[str, ...]:
    """The servers for mail of every kind, the first choice first."""
    answer = await seen.ask(seen.domain, "MX")
    found = sorted(
        (one.preference, one.exchange.to_text(omit_final_dot=True).lower())
        for one in answer.values
        if isinstance(one, MX)
    )
    # A lone "." says that the domain takes no mail (RFC 7505).
    hosts = tuple(dict.fromkeys(host for _, host in found if host not in ("", ".")))
    if not hosts:
        seen.blame(
            Text(
                "Er is geen MX-record: dit domein ontvangt geen mail.",
                "There is no MX record: this domain takes no mail.",
            )
        )
    return hosts


async def _server(seen: _Seen, host: str, tools: Tools) -> None:
    """One mail server: its addresses, its TLS and its DANE."""
    port = tools.defaults.smtp_port
    answers = [await seen.part(seen.ask(host, kind)) for kind in ("A", "AAAA")]
    tlsa = await seen.part(seen.ask(f"_{port}._tcp.{host}", "TLSA"))
    addresses = [one.to_text() for answer in answers if answer is not None for one in answer.values]
    usable = dane.usable(tlsa.values) if tlsa is not None else []
    if tlsa is not None and not usable:
        seen.blame(
            Text(
                f"De mailserver {host} heeft geen TLSA-record dat voor mail telt (DANE).",
                f"The mail server {host} has no TLSA record that counts for mail (DANE).",
            )
        )
    if not addresses:
        if None not in answers:
            seen.blame(
                Text(f"De mailserver {host} heeft geen adres.", f"The mail server {host} has no address.")
            )
        return
    shown = await seen.part(servers.looked_at(host, addresses, tools))
    if isinstance(shown, servers.Plain):
        seen.blame(shown.why)
    if not isinstance(shown, servers.Shown) or not shown.chain:
        return
    seen.blame(*(await seen.part(servers.weaknesses(host, shown.address, tools)) or ()))
    fits = dane.matching(usable, shown.chain, (host, seen.domain), tools.began)
    if usable and fits is None:
        seen.blame(
            Text(
                f"De mailserver {host} toont een certificaat dat bij geen van zijn TLSA-records past (DANE).",
                f"The mail server {host} shows a certificate that fits none of its TLSA records (DANE).",
            )
        )
    seen.tls.add(shown.version)
    own = shown.chain[0]
    seen.details.append(
        f"{host} at {shown.address}: {shown.version} {shown.suite}, certificate serial {own.serial_number:x} until "
        f"{instant(own.not_valid_after_utc)}"
        + (f", DANE {fits.usage} {fits.selector} {fits.mtype}" if fits is not None else "")
    )


def _signed(seen: _Seen) -> None:
    """Whether all that was seen of the domain and its servers is signed."""
    told = {
        Proof.INSECURE: ("Niet ondertekend (DNSSEC)", "Not signed (DNSSEC)"),
        Proof.BOGUS: ("De handtekening klopt niet (DNSSEC)", "The signature does not hold (DNSSEC)"),
        Proof.UNKNOWN: (
            "DNSSEC kon langs deze DNS-server niet worden nagegaan (defaults.resolver)",
            "DNSSEC could not be checked by this DNS server (defaults.resolver)",
        ),
    }
    for proof, (nl, en) in told.items():
        these = [one for one in seen.proofs if one.proof is proof]
        if these:
            named = ", ".join(dict.fromkeys(one.name for one in these))
            into = seen.unclear if proof is Proof.UNKNOWN else seen.faults
            into.append(Text(f"{nl}: {named}.", f"{en}: {named}."))
            seen.details += dict.fromkeys(one.why for one in these)


CHECK = Check(
    ID,
    Text("Maildomein", "Mail domain"),
    Text(
        "Leest in de DNS van het maildomein SPF, DMARC, DKIM en het record van NTA 7516, controleert zelf DNSSEC, en "
        "begint met elke mailserver TLS om het certificaat met DANE te vergelijken. Er wordt niets gemaild.",
        "Reads SPF, DMARC, DKIM and the record of NTA 7516 in the DNS of the mail domain, checks DNSSEC itself, and "
        "begins TLS with each mail server to compare the certificate with DANE. Nothing is mailed.",
    ),
    timedelta(days=30),
    wants=lambda one: bool(one.mail_domain),
    measure=_measure,
    seconds=180.0,
)
