"""From a node that a search expression gives to the values that stand in the index.

Source: FHIR search, STU3 3.1.1.4 and R4 3.1.1.4, the tables of types per kind of parameter.
"""

from __future__ import annotations

import calendar
import re
from collections.abc import Iterator, Mapping
from datetime import datetime, timedelta
from decimal import Decimal
from typing import Any

from schakel.fhir.fhirpath import Node
from schakel.fhir.fhirpath.units import UCUM
from schakel.fhir.json import Resource
from schakel.fhir.moments import FIRST, LAST, interval
from schakel.fhir.search import in_base_units
from schakel.kernel.clock import AMSTERDAM

_LITERAL = re.compile(r"(?:(.+)/)?([A-Z][A-Za-z]+)/([A-Za-z0-9\-.]{1,64})(?:/_history/[A-Za-z0-9\-.]{1,64})?")
_CURRENCY = "urn:iso:std:iso:4217"
_INFINITY = float("inf")
_MAX_KEY = 400

QuantityRow = tuple[float, float, str, str, str, str, float, float]
"""least, most, system, code, unit, base, base_least, base_most."""


def key(text: str) -> str:
    """`text` as it stands in the index: longer ones are cut, for a B-tree entry has a limit. What is searched
    is cut as well, so that the match is on the cut values."""
    return text[:_MAX_KEY]


def parse_literal(reference: str, own_bases: tuple[str, ...] = ()) -> tuple[str, str]:
    """Type and id of a reference to a resource of this server; ('', the text) for any other."""
    match = _LITERAL.fullmatch(reference)
    if match is None:
        return "", reference
    base, kind, logical_id = match.groups()
    if base is None or base in own_bases:
        return kind, logical_id
    return "", reference


def text_of(value: Mapping[str, Any], name: str) -> str:
    """A member that is text. A lenient write can leave an array there, which is kept and not indexed."""
    member = value.get(name)
    return member if isinstance(member, str) else ""


def _codings(value: Mapping[str, Any]) -> Iterator[Mapping[str, Any]]:
    codings = value.get("coding", ())
    return (c for c in (codings if isinstance(codings, list) else ()) if isinstance(c, dict))


def tokens(node: Node) -> Iterator[tuple[str, str]]:
    """(system, code) pairs of a value. Source: STU3 3.1.1.4.11, table of token types."""
    value: Any = node.value
    match node.type, value:
        case "CodeableConcept", dict():
            yield from ((text_of(c, "system"), text_of(c, "code")) for c in _codings(value))
        case "Coding", dict():
            yield text_of(value, "system"), text_of(value, "code")
        case "Identifier", dict():
            yield text_of(value, "system"), text_of(value, "value")
        case "ContactPoint", dict():
            yield "", text_of(value, "value")
        case _, bool():
            yield "", "true" if value else "false"
        case _, str() | int():
            yield "", str(value)


def token_texts(node: Node) -> Iterator[str]:
    """What is said in words beside a code: what the modifier `:text` searches (R4 3.1.1.4.12)."""
    value: Any = node.value
    match node.type, value:
        case "CodeableConcept", dict():
            yield text_of(value, "text")
            yield from (text_of(c, "display") for c in _codings(value))
        case "Coding", dict():
            yield text_of(value, "display")
        case "Identifier", {"type": dict(kind)}:
            yield text_of(kind, "text")


def typed_identifiers(node: Node) -> Iterator[tuple[str, str]]:
    """(system, code|value) of each type of an Identifier: what `:of-type` searches (R4 3.1.1.4.12)."""
    match node.type, node.value:
        case "Identifier", {"type": dict(kind), "value": str(number)}:
            for coding in _codings(kind):
                yield text_of(coding, "system"), f"{text_of(coding, 'code')}|{number}"


def strings(node: Node) -> Iterator[str]:
    """The texts of a value that a string parameter searches."""
    value: Any = node.value
    if isinstance(value, str):
        yield value
    elif isinstance(value, dict) and node.type in ("HumanName", "Address"):
        for name, part in value.items():
            if name.startswith("_") or name in ("use", "type", "period", "extension", "id"):
                continue
            if isinstance(part, str):
                yield part
            elif isinstance(part, list):
                yield from (p for p in part if isinstance(p, str))
    elif isinstance(value, dict) and node.type == "CodeableConcept" and isinstance(value.get("text"), str):
        yield value["text"]


# -- dates -------------------------------------------------------------------------------------------------------


def dates(node: Node) -> Iterator[tuple[datetime, datetime]]:
    """The intervals of a value: first moment, and first moment after it. Raises `Invalid`."""
    value: Any = node.value
    match node.type, value:
        case _, str():
            yield interval(value)
        case "Period", dict():
            yield from _period(value)
        case "Timing", dict():
            yield from (interval(event) for event in value.get("event", ()) if isinstance(event, str))
            match value.get("repeat"):
                case {"boundsPeriod": dict(bounds)}:
                    yield from _period(bounds)


def _period(value: Mapping[str, Any]) -> Iterator[tuple[datetime, datetime]]:
    """The interval of a Period, open where it has no start or no end; none when it has neither."""
    start, end = text_of(value, "start"), text_of(value, "end")
    if start or end:
        low = interval(start)[0] if start else FIRST
        yield low, max(low, interval(end)[1] if end else LAST)


_DURATIONS = frozenset(
    f"http://nictiz.nl/fhir/StructureDefinition/{name}"
    for name in ("ext-TimeInterval.Duration", "zib-MedicationUse-Duration")
)
_SECONDS = {"s": 1, "min": 60, "h": 3600, "d": 86_400, "wk": 604_800}
_MONTHS = {"mo": 1, "a": 12}
_MAX_AMOUNT = 1_000_000_000


def time_interval(node: Node, resource: Resource) -> Iterator[tuple[datetime, datetime]]:
    """The interval of a Period of use. One that lacks its end has it by the duration that stands in the Period
    (R4) or in the resource (STU3); one that lacks its start likewise. Raises `Invalid`.

    Source: the search parameters `period-of-use` (MP9) and `periodofuse` (zib 2017).
    """
    value: Any = node.value
    if node.type != "Period" or not isinstance(value, dict):
        return
    start, end = text_of(value, "start"), text_of(value, "end")
    duration = _duration(value) or _duration(resource)
    if duration is None or bool(start) == bool(end):
        yield from _period(value)
    elif start:
        low, after = interval(start)
        yield low, _moved(after, duration, 1)
    else:
        first, high = interval(end)
        yield _moved(first, duration, -1), high


def _duration(value: Mapping[str, Any]) -> tuple[Decimal, str] | None:
    """Number and UCUM unit of the duration in the extensions of an element."""
    for name in ("extension", "modifierExtension"):
        extensions = value.get(name)
        for extension in extensions if isinstance(extensions, list) else ():
            match extension:
                case {
                    "url": str(url),
                    "valueDuration": {"value": int() | Decimal() as amount, "code": str(unit)},
                }:
                    if url in _DURATIONS and (unit in _SECONDS or unit in _MONTHS):
                        return Decimal(amount), unit
    return None


def _moved(moment: datetime, duration: tuple[Decimal, str], direction: int) -> datetime:
    """`moment` so much later or earlier, at the latest and earliest the ends of an open period.

    Days count by the clock of the Netherlands, as the period does; months by the calendar.
    """
    amount, unit = duration
    if abs(amount) > _MAX_AMOUNT:
        return LAST if (amount > 0) == (direction > 0) else FIRST
    local = moment.astimezone(AMSTERDAM)
    try:
        if unit in _MONTHS:
            months = local.month - 1 + direction * int(amount) * _MONTHS[unit]
            year, month = local.year + months // 12, months % 12 + 1
            day = min(local.day, calendar.monthrange(year, month)[1])
            shifted = local.replace(year=year, month=month, day=day)
        else:
            seconds = float(amount * _SECONDS[unit] * direction)
            shifted = (local if unit in ("d", "wk") else moment) + timedelta(seconds=seconds)
        return min(max(shifted.astimezone(FIRST.tzinfo), FIRST), LAST)
    except (OverflowError, ValueError):
        return LAST if (amount > 0) == (direction > 0) else FIRST


# -- numbers and quantities --------------------------------------------------------------------------------------


def quantities(node: Node) -> Iterator[QuantityRow]:
    """The rows of a number, Quantity, Money, Range or SampledData."""
    value: Any = node.value
    if isinstance(value, bool):
        return
    if isinstance(value, int | Decimal):
        yield _row(Decimal(value), Decimal(value), "", "", "")
    elif not isinstance(value, dict):
        return
    elif node.type == "Range":
        low, high = value.get("low"), value.get("high")
        ends = [end for end in (low, high) if isinstance(end, dict)]
        if ends:
            system, code, unit = _unit(ends[0])
            yield _row(_number(low), _number(high), system, code, unit)
    elif node.type == "SampledData":
        if isinstance(origin := value.get("origin"), dict) and _number(origin) is not None:
            least, most = (_number({"value": value.get(name)}) for name in ("lowerLimit", "upperLimit"))
            yield _row(least, most, *_unit(origin))
    elif node.type == "Money" and "currency" in value:
        if (amount := _number(value)) is not None:
            yield _row(amount, amount, _CURRENCY, text_of(value, "currency"), "")
    elif (amount := _number(value)) is not None:
        comparator = text_of(value, "comparator")
        yield _row(
            None if comparator in ("<", "<=") else amount,
            None if comparator in (">", ">=") else amount,
            *_unit(value),
        )


def _number(value: Any) -> Decimal | None:
    """The `value` of a quantity; None when there is none."""
    number = value.get("value") if isinstance(value, dict) else None
    return Decimal(number) if isinstance(number, int | Decimal) and not isinstance(number, bool) else None


def _unit(value: Mapping[str, Any]) -> tuple[str, str, str]:
    return key(text_of(value, "system")), key(text_of(value, "code")), key(text_of(value, "unit"))


def _row(least: Decimal | None, most: Decimal | None, system: str, code: str, unit: str) -> QuantityRow:
    """A row; an end that is None is open. What is no UCUM quantity has no base and stands as it is."""
    ends = [least, most]
    based = (
        [in_base_units(end, code) if end is not None else None for end in ends]
        if system == UCUM
        else [None] * 2
    )
    base = next((found[1] for found in based if found is not None), "")
    floats = [_float(end, side) for end, side in zip(ends, (-1, 1), strict=True)]
    base_floats = (
        [_float(found[0] if found else None, side) for found, side in zip(based, (-1, 1), strict=True)]
        if base
        else floats
    )
    return floats[0], floats[1], system, code, unit, key(base), base_floats[0], base_floats[1]


def _float(value: Decimal | None, side: int) -> float:
    return side * _INFINITY if value is None else float(value)
