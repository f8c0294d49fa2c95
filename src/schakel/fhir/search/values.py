"""The text of a query and of its values: pairs, OR lists, parts, prefixes, numbers.

Source: FHIR search, STU3 3.1.1.4 and R4 3.1.1.4 (escaping, prefixes, number, quantity).
"""

from __future__ import annotations

import re
import unicodedata
from dataclasses import dataclass
from datetime import datetime, timedelta
from decimal import Decimal
from urllib.parse import parse_qsl

from schakel.fhir.fhirpath.units import Quantity
from schakel.fhir.moments import FIRST, LAST, interval
from schakel.fhir.search.model import Pairs
from schakel.kernel.clock import now
from schakel.kernel.outcomes import Invalid, TooCostly

PREFIXES = ("eq", "ne", "gt", "lt", "ge", "le", "sa", "eb", "ap")
MAX_PAIRS = 200

_BROKEN = re.compile(r"%(?![0-9A-Fa-f]{2})")
_ESCAPED = re.compile(r"\\([,$|\\])")
_MAX_UNIT = 100
_NUMBER = re.compile(r"[+-]?[0-9]{1,40}(?:\.[0-9]{1,40})?(?:[eE][+-]?[0-9]{1,3})?", re.ASCII)


def pairs_of(text: str, most: int = MAX_PAIRS) -> Pairs:
    """The pairs of a query string or form body, `most` at most. Raises `Invalid` for broken percent-encoding."""
    if not text:
        return ()
    if _BROKEN.search(text):
        raise Invalid("broken percent-encoding in the query: '%' must be followed by two hexadecimal digits")
    try:
        return tuple(parse_qsl(text, keep_blank_values=True, errors="strict", max_num_fields=most))
    except UnicodeDecodeError as error:
        raise Invalid("the query is not UTF-8 after percent-decoding") from error
    except ValueError as error:
        raise TooCostly(f"a query may have at most {most} parameters (setting limits.parameters)") from error


def split(text: str, separator: str) -> list[str]:
    """The parts of `text` between separators that are not escaped; their escapes stay."""
    if "\\" not in text:
        return text.split(separator)
    parts = [""]
    escaped = False
    for character in text:
        if character == separator and not escaped:
            parts.append("")
        else:
            parts[-1] += character
        escaped = character == "\\" and not escaped
    return parts


def unescape(text: str) -> str:
    """`text` without the backslashes before `,`, `$`, `|` and another backslash."""
    return _ESCAPED.sub(r"\1", text) if "\\" in text else text


def split_or(text: str) -> tuple[str, ...]:
    """The values of an OR list: split at commas that are not escaped, unescaped, trimmed."""
    return tuple(unescape(part.strip()) for part in split(text, ","))


def token_parts(value: str) -> tuple[str, str, str]:
    """System, bar and code of a token, unescaped: `('', '', code)` without a bar."""
    system, *rest = split(value, "|")
    if not rest:
        return "", "", unescape(system)
    return unescape(system), "|", unescape("|".join(rest))


def fold(text: str) -> str:
    """`text` without case and accents, spaces joined: what string search compares (STU3 3.1.1.4.8)."""
    if not text.isascii():
        text = "".join(c for c in unicodedata.normalize("NFKD", text) if not unicodedata.combining(c))
    return " ".join(text.casefold().split())


def split_prefix(value: str) -> tuple[str, str]:
    """Prefix (`eq` when there is none) and rest of a date, number or quantity."""
    return (value[:2], value[2:]) if value[:2] in PREFIXES else ("eq", value)


def approximately(text: str) -> tuple[datetime, datetime]:
    """What is approximately this date: wider at both ends by a tenth of the time between it and now
    (R4 3.1.1.4.5, `ap`). Raises `Invalid`."""
    low, high = interval(text)
    moment = now()
    gap = max(low - moment, moment - high, timedelta()) / 10
    return low - min(gap, low - FIRST), high + min(gap, LAST - high)


@dataclass(frozen=True, slots=True)
class Amount:
    """A number or quantity that is searched: the value, how far its written precision reaches to both sides, and
    the unit (`coded` when a system or unit was given; without a unit any of the system will do)."""

    value: Decimal
    margin: Decimal
    coded: bool = False
    system: str = ""
    unit: str = ""

    @property
    def around(self) -> tuple[Decimal, Decimal]:
        """The range that the written precision means."""
        return self.value - self.margin, self.value + self.margin

    def near(self) -> tuple[Decimal, Decimal]:
        """The range that `ap` means: a tenth to both sides, never less than the precision."""
        margin = max(abs(self.value) / 10, self.margin)
        return self.value - margin, self.value + margin


def number(text: str, name: str) -> Amount:
    """A number as it is searched. Raises `Invalid` naming the parameter.

    `100` means from 99.5, `100.00` from 99.995; `1e2` means from 95 (R4 3.1.1.4.6 and STU3 3.1.1.4.6).
    """
    if not _NUMBER.fullmatch(text):
        raise Invalid(f"{name}: {text[:40]!r} is no number", expression=name)
    value = Decimal(text)
    exponent = value.as_tuple().exponent
    assert isinstance(exponent, int)
    margin = Decimal(5).scaleb(exponent - 1)
    if "e" in text.lower():
        margin = min(margin, abs(value) * Decimal("0.05")) or margin
    return Amount(value, margin)


def quantity(text: str, name: str) -> Amount:
    """A quantity as it is searched: `value`, `value|system|code`, `value||code` or `value|system|`; of these parts
    both are optional (R4 3.1.1.4.11). Raises `Invalid`."""
    parts = [unescape(part) for part in split(text, "|")]
    amount = number(parts[0].strip(), name)
    if len(parts) == 1:
        return amount
    if len(parts) != 3 or len(parts[2]) > _MAX_UNIT:
        raise Invalid(f"{name} takes value, value|system|code or value||code", expression=name)
    return Amount(amount.value, amount.margin, any(parts[1:]), parts[1], parts[2])


def in_base_units(value: Decimal, unit: str) -> tuple[Decimal, str] | None:
    """The value of a UCUM quantity in base units, and these as text; None when it is out of all bounds."""
    try:
        base, powers = Quantity(value, unit).canonical()
    except ArithmeticError:
        return None
    return base, ".".join(f"{name}{power}" for name, power in powers) or "1"
