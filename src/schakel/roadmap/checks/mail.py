"""`mail-domain`: what the DNS says of the domain that mail is sent from.

    SPF     one TXT v=spf1 that ends with -all or ~all (or leads on with redirect=)
    DMARC   one TXT at _dmarc with p=quarantine or p=reject, and rua
    MX      there is one, and its hosts have an address
    DNSSEC  the answers are signed and the resolver proved them
    NTA     one TXT v=NTA7516-1 in which this month lies

Whether the resolver proves signatures is asked first, with the root, which is signed. A resolver that does not leaves
DNSSEC unchecked. What a domain that cannot be looked up says is unknown.

Source: RFC 7208 sections 4.5 and 5.1, RFC 7489 section 6.3, RFC 4035 section 3.2.3 (AD), NTA 7516 (the TXT record).
"""

from __future__ import annotations

import re
from dataclasses import dataclass, field
from datetime import UTC, date, datetime, timedelta

import dns.flags
import dns.rdatatype
from dns.asyncresolver import Resolver
from dns.exception import DNSException
from dns.resolver import NXDOMAIN, Answer, NoAnswer, NoNameservers, NoResolverConfiguration

from schakel.kernel.clock import AMSTERDAM
from schakel.roadmap.checks.model import Check, Target, Unclear, found, together
from schakel.roadmap.checks.tools import Tools
from schakel.roadmap.evidence import Finding
from schakel.roadmap.model import Text

ID = "mail-domain"

_NTA = "v=nta7516-1"
_LAST_YEAR = 9998


@dataclass(slots=True)
class _Seen:
    """What was seen of one domain; `unclear` is what could not be looked at."""

    domain: str
    faults: list[Text] = field(default_factory=list)
    unclear: list[Text] = field(default_factory=list)
    until: datetime | None = None

    def fault(self, nl: str, en: str) -> None:
        self.faults.append(Text(nl, en))


async def _measure(target: Target, tools: Tools) -> Finding:
    domain = target.organisation.mail_domain.lower()
    seen = _Seen(domain)
    resolver = tools.resolver
    proves = await _proves(resolver)
    texts = await _texts(resolver, domain)
    _spf(seen, [one for one in texts if one.lower().startswith("v=spf1")])
    _dmarc(seen, await _texts(resolver, f"_dmarc.{domain}"))
    await _mx(seen, resolver)
    await _dnssec(seen, resolver, proves)
    _nta(
        seen, [one for one in texts if one.lower().startswith(_NTA)], tools.began.astimezone(AMSTERDAM).date()
    )
    facts: dict[str, str | int | float] = {"domain": domain, "faults": len(seen.faults)}
    if seen.faults:
        return found(ID, "fails", together(seen.faults), facts=facts)
    if seen.unclear:
        return found(ID, "unknown", together(seen.unclear), facts=facts)
    return found(
        ID,
        "holds",
        Text(
            f"{domain} heeft SPF, DMARC, MX, DNSSEC en een NTA 7516-record dat nu geldt.",
            f"{domain} has SPF, DMARC, MX, DNSSEC and an NTA 7516 record that is valid now.",
        ),
        facts=facts,
        until=seen.until,
    )


def _spf(seen: _Seen, records: list[str]) -> None:
    if len(records) != 1:
        seen.fault(
            f"Er zijn {len(records)} SPF-records, niet één.",
            f"There are {len(records)} SPF records, not one.",
        )
        return
    words = records[0].lower().split()
    if words[-1] not in ("-all", "~all") and not any(one.startswith("redirect=") for one in words):
        seen.fault(
            "SPF eindigt niet met -all of ~all: iedereen mag uit naam van dit domein sturen.",
            "SPF does not end with -all or ~all: anybody may send in the name of this domain.",
        )


def _dmarc(seen: _Seen, texts: list[str]) -> None:
    records = [one for one in texts if re.match(r"v\s*=\s*DMARC1\s*(;|$)", one)]
    if len(records) != 1:
        seen.fault(
            f"Er zijn {len(records)} DMARC-records, niet één.",
            f"There are {len(records)} DMARC records, not one.",
        )
        return
    tags = _tags(records[0])
    if tags.get("p", "").lower() not in ("quarantine", "reject"):
        seen.fault(
            "DMARC houdt valse mail niet tegen (p is geen quarantine of reject).",
            "DMARC does not stop false mail (p is neither quarantine nor reject).",
        )
    if not tags.get("rua"):
        seen.fault(
            "DMARC noemt geen adres voor meldingen (rua).", "DMARC names no address for reports (rua)."
        )


async def _mx(seen: _Seen, resolver: Resolver) -> None:
    answer = await _asked(resolver, seen.domain, "MX")
    hosts = sorted(str(one.exchange).rstrip(".") for one in answer) if answer is not None else []
    hosts = [one for one in hosts if one]  # A lone "." says that the domain takes no mail (RFC 7505).
    if not hosts:
        seen.fault(
            "Er is geen MX-record: dit domein ontvangt geen mail.",
            "There is no MX record: this domain takes no mail.",
        )
    for host in hosts:
        if all([await _asked(resolver, host, kind) is None for kind in ("A", "AAAA")]):
            seen.fault(f"De mailserver {host} heeft geen adres.", f"The mail server {host} has no address.")


async def _dnssec(seen: _Seen, resolver: Resolver, proves: bool) -> None:
    if not proves:
        seen.unclear.append(
            Text(
                "DNSSEC kon niet worden gecontroleerd: de DNS-server die wij vragen bewijst geen handtekeningen "
                "(defaults.resolver).",
                "DNSSEC could not be checked: the DNS server that we ask proves no signatures (defaults.resolver).",
            )
        )
        return
    answer = await _asked(resolver, seen.domain, "SOA")
    if answer is None or not answer.response.flags & dns.flags.AD:
        seen.fault(
            "De DNS van dit domein is niet ondertekend (DNSSEC).",
            "The DNS of this domain is not signed (DNSSEC).",
        )


def _nta(seen: _Seen, records: list[str], today: date) -> None:
    if len(records) != 1:
        seen.fault(
            f"Er zijn {len(records)} NTA 7516-records, niet één.",
            f"There are {len(records)} NTA 7516 records, not one.",
        )
        return
    tags = _tags(records[0])
    months = [
        re.fullmatch(r"(\d{4})-(0[1-9]|1[0-2])", tags.get(name, "")) for name in ("startdate", "enddate")
    ]
    if None in months or not tags.get("provider"):
        seen.fault(
            "In het NTA 7516-record ontbreekt een goede startdate, enddate of provider.",
            "The NTA 7516 record lacks a right startdate, enddate or provider.",
        )
        return
    first, last = ((int(one[1]), int(one[2])) for one in months if one is not None)
    if not first <= (today.year, today.month) <= last:
        seen.fault(
            f"Het NTA 7516-record geldt van {first[1]:02}-{first[0]:04} tot en met {last[1]:02}-{last[0]:04}, dus nu "
            "niet.",
            f"The NTA 7516 record is valid from {first[0]:04}-{first[1]:02} to {last[0]:04}-{last[1]:02}, so not now.",
        )
        return
    year, month = last[0] + last[1] // 12, last[1] % 12 + 1
    if year <= _LAST_YEAR:  # What ends later has no end that matters.
        seen.until = datetime(year, month, 1, tzinfo=AMSTERDAM).astimezone(UTC)


def _tags(record: str) -> dict[str, str]:
    """`name=value` parts between semicolons; of a name that is there twice the first."""
    tags: dict[str, str] = {}
    for part in record.split(";"):
        name, _, value = part.partition("=")
        tags.setdefault(name.strip().lower(), value.strip())
    return tags


async def _proves(resolver: Resolver) -> bool:
    """Whether the resolver proves signatures: it does of the root, which is signed."""
    answer = await _asked(resolver, ".", "SOA")
    return answer is not None and bool(answer.response.flags & dns.flags.AD)


async def _texts(resolver: Resolver, name: str) -> list[str]:
    answer = await _asked(resolver, name, "TXT")
    if answer is None:
        return []
    return [b"".join(one.strings).decode("utf-8", "replace").strip() for one in answer]


async def _asked(resolver: Resolver, name: str, kind: str) -> Answer | None:
    """The records of this name and type; None when there are none. Raises `Unclear` when that cannot be known."""
    try:
        return await resolver.resolve(f"{name.rstrip('.')}.", dns.rdatatype.from_text(kind), search=False)
    except (NXDOMAIN, NoAnswer):
        return None
    except (DNSException, OSError) as error:
        why = (
            "no usable answer"
            if isinstance(error, NoNameservers | NoResolverConfiguration)
            else type(error).__name__
        )
        raise Unclear(
            Text(
                f"De DNS-server gaf geen antwoord over {name}.",
                f"The DNS server gave no answer about {name}.",
            ),
            f"{kind} {name}: {why}",
        ) from error


CHECK = Check(
    ID,
    Text("Maildomein", "Mail domain"),
    Text(
        "Leest in de DNS van het maildomein SPF, DMARC, MX, DNSSEC en het record van NTA 7516.",
        "Reads SPF, DMARC, MX, DNSSEC and the record of NTA 7516 in the DNS of the mail domain.",
    ),
    timedelta(days=30),
    wants=lambda one: bool(one.mail_domain),
    measure=_measure,
)
