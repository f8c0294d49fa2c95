"""Whether a row of an index table is what one condition asks: the comparisons of each kind of parameter.

Source: FHIR search, STU3 3.1.1.4 and R4 3.1.1.4. Each function makes a boolean expression on the columns of `alias`,
which is a table of one kind or the table of composites.
"""

from __future__ import annotations

from collections.abc import Iterable
from decimal import Decimal

from schakel.fhir.fhirpath.units import UCUM
from schakel.fhir.moments import interval
from schakel.fhir.search import (
    Condition,
    During,
    approximately,
    fold,
    implied_systems,
    in_base_units,
    number,
    quantity,
    split,
    split_prefix,
    token_parts,
    unescape,
)
from schakel.kernel.outcomes import Invalid
from schakel.store.index_values import key, parse_literal
from schakel.store.indexing import line_of_words
from schakel.store.sql.statement import Statement, any_of

TABLES = {
    "token": "index_token",
    "uri": "index_token",
    "reference": "index_reference",
    "string": "index_string",
    "date": "index_date",
    "special": "index_date",
    "number": "index_quantity",
    "quantity": "index_quantity",
    "composite": "index_composite",
}
"""The index table of each kind of parameter."""


def place(condition: Condition) -> tuple[str, str]:
    """The table where the rows of a condition stand, and what comes after its parameter there."""
    match condition.parameter.type, condition.modifier:
        case "reference", "identifier":
            return "index_token", ":identifier"
        case "token", "of-type":
            return "index_token", ":of-type"
        case kind, _:
            return TABLES[kind], ""


def test(s: Statement, alias: str, kinds: tuple[str, ...], condition: Condition) -> str:
    """Whether a row of `alias` has one of the values of `condition`, which is about resources of `kinds`."""
    modifier, values = condition.modifier, condition.values
    match condition.parameter.type, modifier:
        case "reference", "identifier":
            return _tokens(s, alias, values)
        case "reference", _:
            return _references(s, alias, condition)
        case "string", _:
            return any_of(_string(s, alias, modifier, v) for v in values)
        case "date", _:
            return any_of(dates(s, f"{alias}.low", f"{alias}.high", v) for v in values)
        case "number" | "quantity", _:
            return any_of(_amount(s, alias, condition, v) for v in values)
        case "uri", _:
            return any_of(_uri(s, alias, modifier, v) for v in values)
        case "token", "of-type":
            return any_of(_of_type(s, alias, v) for v in values)
        case "token", "in" | "not-in":
            systems = implied_systems(s.table, kinds, condition.parameter)
            return any_of(_member(s, alias, v, systems) for v in values)
        case _:
            return _tokens(s, alias, values, implied_systems(s.table, kinds, condition.parameter))


# -- tokens, references, strings, uris ---------------------------------------------------------------------------


def _tokens(s: Statement, alias: str, values: Iterable[str], implied: frozenset[str] = frozenset()) -> str:
    """Any of these tokens. A code of a system in `implied` stands in the index without system."""
    whole: list[tuple[str, str]] = []
    codes: list[str] = []
    systems: list[str] = []
    for value in values:
        system, bar, code = (key(part) for part in token_parts(value))
        if not bar:
            codes.append(code)
        elif not code:
            systems.extend([system, ""] if system in implied else [system])
        else:
            whole.append((system, code))
            if system in implied:
                whole.append(("", code))
    parts = []
    if codes:
        parts.append(f"{alias}.code = ANY({s.argument(codes)})")
    if systems:
        parts.append(f"{alias}.system = ANY({s.argument(systems)})")
    if whole:
        pairs = ", ".join(f"({s.argument(c)}, {s.argument(sy)})" for sy, c in whole)
        parts.append(f"({alias}.code, {alias}.system) IN ({pairs})")
    return any_of(parts)


def _member(s: Statement, alias: str, url: str, implied: frozenset[str]) -> str:
    """A code of an enumerated value set."""
    parts = []
    for system, codes in sorted(s.table.value_sets[url.partition("|")[0]].items()):
        known = s.one_of(f"{alias}.system", [system, ""] if system in implied else [system])
        parts.append(f"({known} AND {alias}.code = ANY({s.argument(sorted(codes))}))")
    return any_of(parts)


def _of_type(s: Statement, alias: str, value: str) -> str:
    system, code, number_of = (unescape(part) for part in split(value, "|"))
    return (
        f"({alias}.code = {s.argument(key(f'{code}|{number_of}'))} "
        f"AND {alias}.system = {s.argument(key(system))})"
    )


def literal(s: Statement, condition: Condition, value: str) -> tuple[str, str]:
    """Type and id that a reference value names. An id alone is a patient's where only patients can stand."""
    kind, target = parse_literal(value, s.own_bases)
    only = condition.parameter.code == "patient" or condition.parameter.targets == ("Patient",)
    if not kind and only and "/" not in target and ":" not in target:
        return "Patient", target
    return kind, target


def _references(s: Statement, alias: str, condition: Condition) -> str:
    parts = []
    for value in condition.values:
        kind, target = literal(s, condition, value)
        if kind:
            typed = f"= {s.argument(kind)}"
        else:
            typed = "= ''" if "/" in target or ":" in target else "<> ''"
        parts.append(f"({alias}.target_type {typed} AND {alias}.target_id = {s.argument(key(target))})")
    return any_of(parts)


def _pattern(text: str) -> str:
    """`text` with the signs escaped that mean something to LIKE."""
    return text.replace("\\", "\\\\").replace("%", "\\%").replace("_", "\\_")


def _string(s: Statement, alias: str, modifier: str, value: str) -> str:
    if modifier == "exact":
        folded, exact = s.argument(key(fold(value))), s.argument(key(value))
        return f"({alias}.folded = {folded} AND {alias}.value = {exact})"
    pattern = _pattern(key(fold(value))) + "%"
    if modifier == "contains":
        pattern = "%" + pattern
    return f"{alias}.folded LIKE {s.argument(pattern)}"


def words(s: Statement, column: str, codes: Iterable[str], values: Iterable[str]) -> str:
    """Whether what is said beside a code begins with one of these texts (`:text`)."""
    starts = [f"%{_pattern(line_of_words(code, fold(value)))}%" for code in codes for value in values]
    return f"{column} LIKE ANY ({s.argument(starts)}::text[])"


def _uri(s: Statement, alias: str, modifier: str, value: str) -> str:
    """A URI, or `url|version` of the resource that has both (R4 3.1.1.4.9); `:below` what is below it in the path or,
    for a canonical with version, a version below it; `:above` what it is below (STU3 and R4 3.1.1.4.13)."""
    if modifier == "below":
        exact = value.rstrip("/") or value
        edge = "." if "|" in value else "/"
        return (
            f"({alias}.code = {s.argument(key(exact))} "
            f"OR {alias}.code LIKE {s.argument(_pattern(key(exact + edge)) + '%')})"
        )
    if modifier == "above":
        return f"{alias}.code = ANY({s.argument(_ancestors(value))})"
    same = f"{alias}.code = {s.argument(key(value))}"
    url, bar, number_of = value.rpartition("|")
    if not bar:
        return same
    version = s.alias()
    return (
        f"({same} OR ({alias}.code = {s.argument(key(url))} AND EXISTS (SELECT FROM "
        f"{s.rows('index_token', version)} AND {version}.rid = {alias}.rid AND {version}.param = 'version' "
        f"AND {version}.code = {s.argument(key(number_of))})))"
    )


def _ancestors(value: str) -> list[str]:
    """The URL and what it is below, each with and without a slash at its end."""
    start = value.find("://") + 3 if "://" in value else 0
    ends = [place for place, sign in enumerate(value) if sign == "/" and place > start]
    found = [value, value.rstrip("/")]
    for end in ends:
        found += [value[:end], value[: end + 1]]
    return sorted({key(one) for one in found})


# -- dates and numbers -------------------------------------------------------------------------------------------


def dates(s: Statement, low: str, high: str, text: str) -> str:
    """FHIR date comparison: the value is [low, high), the parameter [first, after)."""
    prefix, rest = split_prefix(text)
    moments = approximately(rest) if prefix == "ap" else interval(rest)

    def first() -> str:
        return s.argument(moments[0])

    def after() -> str:
        return s.argument(moments[1])

    match prefix:  # An argument that the text does not use would have no type, so each is made where it is.
        case "eq":
            return f"({low} >= {first()} AND {high} <= {after()})"
        case "ne":
            return f"NOT ({low} >= {first()} AND {high} <= {after()})"
        case "gt":
            return f"{high} > {after()}"
        case "lt":
            return f"{low} < {first()}"
        case "ge":
            return f"({high} > {after()} OR {low} >= {first()})"
        case "le":
            return f"({low} < {first()} OR {high} <= {after()})"
        case "sa":
            return f"{low} >= {after()}"
        case "eb":
            return f"{high} <= {first()}"
        case _:
            return f"({low} < {after()} AND {high} > {first()})"


def care(s: Statement, alias: str, during: During) -> list[str]:
    """What a time of care asks of the resource `alias`: none of its dates that count, or one that is not past (or still
    to come)."""
    parts = []
    inner = s.alias()
    for counted, moment, fits in (
        (during.ends, during.start, "high >"),
        (during.begins, during.end, "low <"),
    ):
        if moment is not None:
            kinds, codes = s.argument([k for k, _ in counted]), s.argument([c for _, c in counted])
            rows = (
                f"SELECT FROM {s.rows('index_date', inner)} AND {inner}.rid = {alias}.rid AND ({inner}.type, "
                f"{inner}.param) IN (SELECT * FROM unnest({kinds}::text[], {codes}::text[]))"
            )
            parts.append(f"(NOT EXISTS ({rows}) OR EXISTS ({rows} AND {inner}.{fits} {s.argument(moment)}))")
    return parts


def _amount(s: Statement, alias: str, condition: Condition, text: str) -> str:
    """A number or quantity; with a UCUM unit in base units, so that what is equal is found in any unit."""
    code = condition.parameter.code
    prefix, rest = split_prefix(text)
    amount = (number if condition.parameter.type == "number" else quantity)(rest, code)
    least, most, unit, base = f"{alias}.least", f"{alias}.most", "", False
    if amount.coded and not amount.unit:
        unit = f"{alias}.system = {s.argument(key(amount.system))}"
    elif amount.coded and amount.system == UCUM:
        least, most, base = f"{alias}.base_least", f"{alias}.base_most", True
    elif amount.coded and amount.system:
        unit = f"{alias}.system = {s.argument(key(amount.system))} AND {alias}.code = {s.argument(key(amount.unit))}"
    elif amount.coded:
        unit = f"{s.argument(key(amount.unit))} IN ({alias}.code, {alias}.unit)"

    def bound(value: Decimal) -> str:
        nonlocal unit
        if base:
            found = in_base_units(value, amount.unit)
            if found is None:
                raise Invalid(f"{code}: {amount.unit[:40]!r} cannot be compared", expression=code)
            value = found[0]
            unit = unit or f"{alias}.base = {s.argument(key(found[1]))}"
        return f"{s.argument(float(value))}::float8"

    value = amount.value
    match prefix:
        case "eq":
            compared = f"{least} >= {bound(amount.around[0])} AND {most} < {bound(amount.around[1])}"
        case "ne":
            compared = f"NOT ({least} >= {bound(amount.around[0])} AND {most} < {bound(amount.around[1])})"
        case "gt":
            compared = f"{most} > {bound(value)}"
        case "lt":
            compared = f"{least} < {bound(value)}"
        case "ge":
            compared = f"{most} >= {bound(value)}"
        case "le":
            compared = f"{least} <= {bound(value)}"
        case "sa":
            compared = f"{least} > {bound(value)}"
        case "eb":
            compared = f"{most} < {bound(value)}"
        case _:
            compared = f"{most} >= {bound(amount.near()[0])} AND {least} <= {bound(amount.near()[1])}"
    return f"({compared} AND {unit})" if unit else f"({compared})"
