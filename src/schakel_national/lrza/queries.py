"""A search as SQL on the index.

Source: FHIR R4 search (3.1.1); the parameters are those of `resources`. What is not known is refused by name.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass

from schakel.fhir.moments import interval
from schakel.fhir.search.values import fold, split, split_prefix, token_parts, unescape
from schakel.kernel.outcomes import Invalid, NotSupported
from schakel_national.lrza.resources import INCLUDES, PARAMETERS, REVINCLUDES, Parameter

Pairs = Sequence[tuple[str, str]]

_MODIFIERS = {"string": ("", "exact", "contains")}
_LAST = "\U0010ffff"
_NUMBER = re.compile(r"[0-9]{1,6}")
_OPERATORS = {
    "eq": "? <= {low} AND {high} <= ?",
    "ne": "NOT (? <= {low} AND {high} <= ?)",
    "gt": "{high} > ?",
    "lt": "{low} < ?",
    "ge": "{high} > ?",
    "le": "{low} < ?",
    "sa": "{low} >= ?",
    "eb": "{high} <= ?",
}


@dataclass(frozen=True, slots=True)
class Search:
    """A search on one type: what must hold of the newest versions `v` and their numbers `c.number`, what comes along,
    in which order (`sort`: '' as registered, `_lastUpdated` or `-_lastUpdated`), and how many on a page."""

    conditions: tuple[str, ...] = ()
    values: tuple[object, ...] = ()
    include: tuple[str, ...] = ()
    revinclude: tuple[str, ...] = ()
    sort: str = ""
    count: int | None = None


def parse(kind: str, pairs: Pairs) -> Search:
    """The search that the pairs ask on a type. Raises `Invalid` and `NotSupported` naming the parameter."""
    conditions: list[str] = []
    values: list[object] = []
    include: list[str] = []
    revinclude: list[str] = []
    sort, number = "", None
    for name, value in pairs:
        code, _, modifier = name.partition(":")
        if name == "_count":
            number = count(value)
        elif name == "_format":
            check_format(value)
        elif name == "_sort":
            if value not in ("_lastUpdated", "-_lastUpdated"):
                raise NotSupported("_sort is _lastUpdated or -_lastUpdated here", expression="_sort")
            sort = value
        elif name == "_include":
            include.append(_listed(name, value, sorted(INCLUDES.get(kind, ()))))
        elif name == "_revinclude":
            revinclude.append(_listed(name, value, sorted(REVINCLUDES.get(kind, ()))))
        elif name == "_id":
            parts = [part for part in value.split(",") if part]
            conditions.append(f"v.id IN ({', '.join('?' * len(parts))})")
            values += parts
        elif name == "_lastUpdated":
            said, given = _updated(value)
            conditions.append(said)
            values += given
        elif code in PARAMETERS[kind]:
            said, given = _indexed(kind, code, modifier, PARAMETERS[kind][code], value)
            conditions.append(said)
            values += given
        else:
            known = ", ".join(sorted(PARAMETERS[kind]))
            raise NotSupported(
                f"{name[:60]} is no search parameter of {kind} here: there are _id, _lastUpdated and {known}",
                code="search-parameter-unknown",
                expression=name[:60],
            )
    return Search(tuple(conditions), tuple(values), tuple(include), tuple(revinclude), sort, number)


def count(value: str) -> int:
    """The value of `_count`. Raises `Invalid`."""
    if not _NUMBER.fullmatch(value):
        raise Invalid("_count must be a whole number", expression="_count")
    return int(value)


def check_format(value: str) -> None:
    """Raises `NotSupported` for another format than JSON."""
    if value.partition(";")[0] not in ("json", "application/json", "application/fhir+json"):
        raise NotSupported("_format: only JSON is given here", expression="_format")


def since(value: str) -> float:
    """The value of `_since` in milliseconds since 1970. Raises `Invalid`."""
    if not re.fullmatch(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d(\.\d+)?(Z|[+-]\d\d:\d\d)", value):
        raise Invalid(
            "_since must be an instant: a date and a time to the second or finer with a zone, its '+' written as %2B",
            expression="_since",
        )
    return interval(value)[0].timestamp() * 1000


def _listed(name: str, value: str, known: Sequence[str]) -> str:
    if value not in known:
        raise NotSupported(
            f"{name}={value[:80]} is not supported here; there are: {', '.join(known) or 'none'}",
            code="include-unsupported",
            expression=name,
        )
    return value


def _updated(value: str) -> tuple[str, list[object]]:
    prefix, text = split_prefix(value)
    low, high = interval(text)
    first, after = low.timestamp() * 1000, high.timestamp() * 1000
    said = {
        "eq": ("v.moment >= ? AND v.moment < ?", [first, after]),
        "ne": ("NOT (v.moment >= ? AND v.moment < ?)", [first, after]),
        "gt": ("v.moment >= ?", [after]),
        "ge": ("v.moment >= ?", [first]),
        "lt": ("v.moment < ?", [first]),
        "le": ("v.moment < ?", [after]),
        "sa": ("v.moment >= ?", [after]),
        "eb": ("v.moment < ?", [first]),
    }
    if prefix not in said:
        raise NotSupported(f"_lastUpdated: the prefix {prefix} is not supported", expression="_lastUpdated")
    text, given = said[prefix]
    return text, list(given)


def _indexed(
    kind: str, code: str, modifier: str, parameter: Parameter, value: str
) -> tuple[str, list[object]]:
    if modifier not in _MODIFIERS.get(parameter.kind, ("",)):
        raise NotSupported(
            f"modifier ':{modifier[:30]}' is not supported on {code}",
            code="search-modifier-unsupported",
            expression=f"{code}:{modifier}"[:60],
        )
    parts = split(value, ",")
    if not all(part.strip() for part in parts):
        raise Invalid(f"{code} has an empty value", expression=code)
    ways, given = [], []
    for part in parts:
        way, values = _one(parameter, code, modifier, part.strip())
        ways.append(f"({way})")
        given += values
    inner = f"SELECT e.number FROM entry e WHERE e.parameter = ? AND ({' OR '.join(ways)})"
    return f"c.number IN ({inner})", [f"{kind}.{code}", *given]


def _one(parameter: Parameter, code: str, modifier: str, value: str) -> tuple[str, list[object]]:
    if parameter.kind == "token":
        system, bar, token = token_parts(value)
        if not bar:
            return "e.value = ?", [token]
        return ("e.value = ? AND e.extra = ?", [token, system]) if token else ("e.extra = ?", [system])
    if parameter.kind == "reference":
        reference = unescape(value)
        if "/" in reference:
            return "e.value = ?", ["/".join(reference.split("/")[-2:])]
        return "substr(e.value, instr(e.value, '/') + 1) = ?", [reference]
    if parameter.kind == "string":
        text = unescape(value)
        if modifier == "exact":
            return "e.value = ? AND e.extra = ?", [fold(text), text]
        if modifier == "contains":
            return "instr(e.value, ?) > 0", [fold(text)]
        return "e.value >= ? AND e.value < ?", [fold(text), fold(text) + _LAST]
    return _date(code, value)


def _date(code: str, value: str) -> tuple[str, list[object]]:
    prefix, text = split_prefix(value)
    if prefix not in _OPERATORS:
        raise NotSupported(f"{code}: the prefix {prefix} is not supported", expression=code)
    low, high = (moment.isoformat(timespec="microseconds") for moment in interval(text))
    given: dict[str, list[object]] = {
        "eq": [low, high],
        "ne": [low, high],
        "gt": [high],
        "ge": [low],
        "lt": [low],
        "le": [high],
        "sa": [high],
        "eb": [low],
    }
    return _OPERATORS[prefix].format(low="e.value", high="e.extra"), given[prefix]
