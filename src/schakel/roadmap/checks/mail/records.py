"""The texts that a mail domain has in the DNS: DMARC, the keys of DKIM, and the record of NTA 7516.

Source: RFC 7489 sections 6.3 and 6.6.3, RFC 6376 section 3.6.1 and RFC 8301 section 3.2 (keys), RFC 8463 (Ed25519),
NTA 7516 (the record).
"""

from __future__ import annotations

import base64
import binascii
import re
from collections.abc import Sequence
from dataclasses import dataclass, field
from datetime import UTC, date, datetime

from cryptography.exceptions import UnsupportedAlgorithm
from cryptography.hazmat.primitives.asymmetric.rsa import RSAPublicKey
from cryptography.hazmat.primitives.serialization import load_der_public_key

from schakel.kernel.clock import AMSTERDAM
from schakel.roadmap.checks.names import Names
from schakel.roadmap.model import Text

_NTA = re.compile(r"v\s*=\s*nta7516-1\s*(;|$)", re.IGNORECASE)
_DMARC = re.compile(r"v\s*=\s*DMARC1\s*(;|$)")
_SMALLEST_RSA, _ED25519 = 2048, 32
_LAST_YEAR = 9998
_MOST_ABOVE = 8


async def dmarc(domain: str, names: Names) -> list[Text]:
    """What is wrong with the policy for mail in the name of a domain: its own, or else of the nearest domain above it.
    Raises `Unclear`."""
    labels = domain.split(".")
    for above in range(min(len(labels) - 1, _MOST_ABOVE)):
        texts = (await names.ask(f"_dmarc.{'.'.join(labels[above:])}", "TXT")).texts
        records = [one for one in texts if _DMARC.match(one)]
        if not records:
            continue
        if len(records) > 1:
            break
        return _policy(_tags(records[0]), below=above > 0)
    else:
        records = []
    return [
        Text(
            f"Er zijn {len(records)} DMARC-records, niet één.",
            f"There are {len(records)} DMARC records, not one.",
        )
    ]


def _policy(tags: dict[str, list[str]], *, below: bool) -> list[Text]:
    policy = _first(tags, "sp") if below and "sp" in tags else _first(tags, "p")
    faults = []
    if policy.lower() not in ("quarantine", "reject"):
        faults.append(
            Text(
                f"DMARC houdt valse mail niet tegen ({'sp' if below else 'p'} is geen quarantine of reject).",
                f"DMARC does not stop false mail ({'sp' if below else 'p'} is neither quarantine nor reject).",
            )
        )
    if not _first(tags, "rua"):
        faults.append(
            Text("DMARC noemt geen adres voor meldingen (rua).", "DMARC names no address for reports (rua).")
        )
    return faults


async def dkim(domain: str, selectors: Sequence[str], names: Names) -> list[Text]:
    """What is wrong with the keys that these selectors name. Raises `Unclear`."""
    faults = []
    for selector in selectors:
        texts = (await names.ask(f"{selector}._domainkey.{domain}", "TXT")).texts
        if len(texts) != 1:
            nl, en = f"er zijn {len(texts)} records, niet één", f"there are {len(texts)} records, not one"
        elif (wrong := _key(_tags(texts[0]))) is not None:
            nl, en = wrong.nl, wrong.en
        else:
            continue
        faults.append(
            Text(
                f"De DKIM-sleutel {selector} deugt niet: {nl}.",
                f"The DKIM key {selector} is not right: {en}.",
            )
        )
    return faults


def _key(tags: dict[str, list[str]]) -> Text | None:
    """What is wrong with a key, None when nothing is."""
    kind = (_first(tags, "k") or "rsa").lower()
    if _first(tags, "v") not in ("", "DKIM1") or kind not in ("rsa", "ed25519"):
        return Text("het record is van een andere soort", "the record is of another kind")
    if "y" in _first(tags, "t").lower().split(":"):
        return Text("zij is nog op proef (t=y)", "it is still on trial (t=y)")
    try:
        raw = base64.b64decode("".join(_first(tags, "p").split()), validate=True)
        if not raw:
            return Text("zij is ingetrokken", "it was withdrawn")
        if kind == "ed25519":
            right = len(raw) == _ED25519
        else:
            key = load_der_public_key(raw)
            if isinstance(key, RSAPublicKey) and key.key_size < _SMALLEST_RSA:
                return Text(
                    f"RSA van {key.key_size} bits, minder dan {_SMALLEST_RSA}",
                    f"RSA of {key.key_size} bits, less than {_SMALLEST_RSA}",
                )
            right = isinstance(key, RSAPublicKey)
    except (binascii.Error, ValueError, UnsupportedAlgorithm):
        right = False
    return None if right else Text("zij is niet te lezen", "it cannot be read")


@dataclass(frozen=True, slots=True)
class Nta:
    """The record of NTA 7516: what is wrong with it, the hosts that it names for this mail, and when it ends."""

    faults: list[Text] = field(default_factory=list)
    hosts: tuple[str, ...] = ()
    until: datetime | None = None


def nta(texts: Sequence[str], today: date) -> Nta:
    """What the texts of a domain say of mail by NTA 7516."""
    records = [one for one in texts if _NTA.match(one)]
    if len(records) != 1:
        wrong = Text(
            f"Er zijn {len(records)} NTA 7516-records, niet één.",
            f"There are {len(records)} NTA 7516 records, not one.",
        )
        return Nta([wrong])
    tags = _tags(records[0])
    months = [re.fullmatch(r"(\d{4})-(0[1-9]|1[0-2])", _first(tags, one)) for one in ("startdate", "enddate")]
    hosts = [re.fullmatch(r"(\d{1,5})\s+(\S{1,253})", one) for one in tags.get("ntamx", [])]
    if None in months or None in hosts or not _first(tags, "provider"):
        wrong = Text(
            "In het NTA 7516-record is startdate, enddate, provider of ntamx niet goed.",
            "The NTA 7516 record lacks a right startdate, enddate, provider or ntamx.",
        )
        return Nta([wrong])
    preferred = sorted((int(one[1]), one[2].lower().rstrip(".")) for one in hosts if one is not None)
    named = tuple(dict.fromkeys(host for _, host in preferred))
    first, last = ((int(one[1]), int(one[2])) for one in months if one is not None)
    if not first <= (today.year, today.month) <= last:
        wrong = Text(
            f"Het NTA 7516-record geldt van {first[1]:02}-{first[0]:04} tot en met {last[1]:02}-{last[0]:04}, dus nu "
            "niet.",
            f"The NTA 7516 record is valid from {first[0]:04}-{first[1]:02} to {last[0]:04}-{last[1]:02}, so not now.",
        )
        return Nta([wrong], named)
    year, month = last[0] + last[1] // 12, last[1] % 12 + 1
    if year > _LAST_YEAR:  # What ends later has no end that matters.
        return Nta([], named)
    return Nta([], named, datetime(year, month, 1, tzinfo=AMSTERDAM).astimezone(UTC))


def _tags(record: str) -> dict[str, list[str]]:
    """`name=value` parts between semicolons, in their order."""
    tags: dict[str, list[str]] = {}
    for part in record.split(";"):
        name, _, value = part.partition("=")
        tags.setdefault(name.strip().lower(), []).append(value.strip())
    return tags


def _first(tags: dict[str, list[str]], name: str) -> str:
    return tags.get(name, [""])[0]
