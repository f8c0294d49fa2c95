"""Arithmetic, concatenation and membership (FHIRPath N1 2.0, sections 6.4 and 6.6 to 6.8)."""

from __future__ import annotations

from collections.abc import Callable
from decimal import Decimal, DecimalException
from typing import Any

from schakel.fhir.fhirpath.nodes import EMPTY, Evaluation, Node, Nodes, boolean, single, string
from schakel.fhir.fhirpath.units import CALENDAR_UNITS, Quantity, in_one_unit
from schakel.fhir.fhirpath.values import (
    NUMBERS,
    TEMPORAL,
    equal,
    equivalent_collections,
    order,
    quantity_of,
    system_type,
    temporal_of,
)
from schakel.kernel.outcomes import Invalid

Operator = Callable[[Nodes, Nodes], Nodes]


def number(value: int | Decimal) -> Nodes:
    """An Integer or Decimal as a collection."""
    return [Node(value, "System.Decimal" if isinstance(value, Decimal) else "System.Integer")]


def concatenate(left: Nodes, right: Nodes) -> Nodes:
    """`&`: an empty operand is the empty string."""
    return string(_part(left) + _part(right))


def _part(nodes: Nodes) -> str:
    node = single(nodes, "'&'")
    if node is None or node.value is None:
        return ""
    if not isinstance(node.value, str):
        raise _cannot("&", node, node)
    return node.value


def equivalence(evaluation: Evaluation, left: Nodes, right: Nodes) -> bool:
    """`left ~ right`; every item may have to be held against every other."""
    evaluation.spend(len(left) * len(right))
    evaluation.weigh(left, right)
    return equivalent_collections(left, right)


def is_in(evaluation: Evaluation, left: Nodes, right: Nodes) -> Nodes:
    """`left in right`: empty when `left` is empty."""
    node = single(left, "'in'")
    if node is None:
        return EMPTY
    evaluation.weigh(left, right)
    return boolean(any(equal(node, other) for other in right))


def contains(evaluation: Evaluation, left: Nodes, right: Nodes) -> Nodes:
    """`left contains right`."""
    return is_in(evaluation, right, left)


def comparison(operator: str) -> Operator:
    """`<`, `<=`, `>` or `>=`: empty when an operand is empty or the order cannot be decided."""
    wanted = {"<": (-1,), "<=": (-1, 0), ">": (1,), ">=": (1, 0)}[operator]

    def compare(left: Nodes, right: Nodes) -> Nodes:
        a, b = single(left, f"'{operator}'"), single(right, f"'{operator}'")
        if a is None or b is None:
            return EMPTY
        found = order(a, b, operator)
        return EMPTY if found is None else boolean(found in wanted)

    return compare


def arithmetic(operator: str) -> Operator:
    """`+ - * / div mod`: empty for an empty operand, division by zero or a result out of range."""
    body = _ARITHMETIC[operator]

    def calculate(left: Nodes, right: Nodes) -> Nodes:
        a, b = single(left, f"'{operator}'"), single(right, f"'{operator}'")
        if a is None or b is None or a.value is None or b.value is None:
            return EMPTY
        try:
            return body(a, b)
        except (ZeroDivisionError, DecimalException):
            return EMPTY

    return calculate


def _cannot(operator: str, a: Node, b: Node) -> Invalid:
    kinds = [node.type or system_type(node) or "a structure" for node in (a, b)]
    return Invalid(
        f"FHIRPath: '{operator}' does not work on {kinds[0]} and {kinds[1]}", code="fhirpath-wrong-type"
    )


def _numbers(a: Node, b: Node) -> bool:
    return system_type(a) in NUMBERS and system_type(b) in NUMBERS


def _bounded(value: Any) -> Nodes:
    """A result as a collection; an integer that no longer fits 32 bits is out of range."""
    if isinstance(value, int) and not -(2**31) <= value < 2**31:
        return EMPTY
    return number(value)


def _quantities(a: Node, b: Node) -> tuple[Quantity, Quantity] | None:
    allowed = {"System.Quantity", *NUMBERS}
    if {system_type(a), system_type(b)} <= allowed:
        left, right = quantity_of(a), quantity_of(b)
        if left is not None and right is not None:
            return left, right
    return None


def _add(a: Node, b: Node) -> Nodes:
    return _sum(a, b, 1)


def _subtract(a: Node, b: Node) -> Nodes:
    return _sum(a, b, -1)


def _sum(a: Node, b: Node, sign: int) -> Nodes:
    if _numbers(a, b):
        return _bounded(a.value + b.value if sign > 0 else a.value - b.value)
    kind, other = system_type(a), system_type(b)
    if sign > 0 and kind == other == "System.String":
        return string(a.value + b.value)
    if kind in TEMPORAL and other == "System.Quantity":
        return _shift(a, kind, b, sign)
    pair = _quantities(a, b)
    if pair is None:
        raise _cannot("+" if sign > 0 else "-", a, b)
    left, right = pair
    if in_one_unit(left, right) is None or left.logarithmic:
        return EMPTY
    if left.calendar != right.calendar:  # those of FHIR that are UCUM as well
        left, right = left.in_calendar or left, right.in_calendar or right
    finer = left if left.unit_size() <= right.unit_size() else right
    total = left.value_in(finer) + sign * right.value_in(finer)
    return [Node(Quantity(total, finer.unit, finer.calendar), "System.Quantity")]


def _shift(a: Node, kind: str, b: Node, sign: int) -> Nodes:
    moment, amount = temporal_of(a, kind), quantity_of(b)
    if moment is None or amount is None:
        return EMPTY
    duration = amount.in_calendar
    unit = CALENDAR_UNITS.get(amount.unit) if duration is None else duration.unit
    if unit is None or (kind == "System.Time" and unit in ("year", "month", "week", "day")):
        raise Invalid(
            f"FHIRPath: a {kind.removeprefix('System.')} cannot be moved by {amount}; "
            "use a calendar duration, such as 1 month for a date or 1 hour for a time",
            code="fhirpath-wrong-type",
        )
    moved = moment.plus(sign * amount.value, unit)
    return EMPTY if moved is None else [Node(str(moved), kind)]


def _multiply(a: Node, b: Node) -> Nodes:
    if _numbers(a, b):
        return _bounded(a.value * b.value)
    pair = _quantities(a, b)
    if pair is None:
        raise _cannot("*", a, b)
    left, right = pair if pair[0].unit != "1" else (pair[1], pair[0])
    return [Node(left.times(right, 1), "System.Quantity")]


def _divide(a: Node, b: Node) -> Nodes:
    if _numbers(a, b):
        return number(Decimal(a.value) / Decimal(b.value))
    pair = _quantities(a, b)
    if pair is None:
        raise _cannot("/", a, b)
    return [Node(pair[0].times(pair[1], -1), "System.Quantity")]


def _div(a: Node, b: Node) -> Nodes:
    if not _numbers(a, b):
        raise _cannot("div", a, b)
    return _bounded(int(Decimal(a.value) // Decimal(b.value)))


def _mod(a: Node, b: Node) -> Nodes:
    if not _numbers(a, b):
        raise _cannot("mod", a, b)
    rest = Decimal(a.value) % Decimal(b.value)
    whole = isinstance(a.value, int) and isinstance(b.value, int)
    return number(int(rest) if whole else rest)


_ARITHMETIC: dict[str, Callable[[Node, Node], Nodes]] = {
    "+": _add,
    "-": _subtract,
    "*": _multiply,
    "/": _divide,
    "div": _div,
    "mod": _mod,
}


def negative(nodes: Nodes) -> Nodes:
    """Unary `-` of a number or quantity."""
    node = single(nodes, "'-'")
    if node is None or node.value is None:
        return EMPTY
    if system_type(node) in NUMBERS:
        return number(-node.value)
    if system_type(node) == "System.Quantity":
        amount = quantity_of(node)
        if amount is None:
            return EMPTY
        return [Node(Quantity(-amount.value, amount.unit, amount.calendar), "System.Quantity")]
    raise _cannot("-", node, node)


def positive(nodes: Nodes) -> Nodes:
    """Unary `+`."""
    node = single(nodes, "'+'")
    if node is not None and system_type(node) not in {"System.Quantity", *NUMBERS}:
        raise _cannot("+", node, node)
    return nodes
