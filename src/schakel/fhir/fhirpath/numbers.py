"""Mathematics (FHIRPath N1 2.0, section 5.7), and precision and boundaries of values (FHIRPath 2.1)."""

from __future__ import annotations

import calendar
from collections.abc import Callable
from decimal import ROUND_CEILING, ROUND_DOWN, ROUND_FLOOR, ROUND_HALF_UP, Decimal, DecimalException
from typing import Any

from schakel.fhir.fhirpath.dates import Temporal
from schakel.fhir.fhirpath.nodes import EMPTY, Evaluation, Node, Nodes, boolean, integer, single
from schakel.fhir.fhirpath.operators import number
from schakel.fhir.fhirpath.registry import function, whole
from schakel.fhir.fhirpath.units import Quantity, in_one_unit
from schakel.fhir.fhirpath.values import NUMBERS, TEMPORAL, quantity_of, system_type, temporal_of
from schakel.kernel.outcomes import Invalid

_DECIMAL = "System.Decimal"
_INTEGER = "System.Integer"


def _number(nodes: Nodes, name: str) -> int | Decimal | None:
    node = single(nodes, name)
    if node is None or node.value is None:
        return None
    if system_type(node) not in NUMBERS:
        raise Invalid(f"FHIRPath: {name} needs a number, not {node.type}", code="fhirpath-wrong-type")
    value: int | Decimal = node.value
    return value


def _tried(calculation: Callable[[], Any]) -> Nodes:
    """The result, or nothing where mathematics has none that can be written."""
    try:
        result = calculation()
    except (DecimalException, ZeroDivisionError, OverflowError):
        return EMPTY
    if isinstance(result, Decimal) and not result.is_finite():
        return EMPTY
    return number(result)


def _integral(value: Decimal, rounding: str) -> Nodes:
    """`value` as an Integer, or nothing when it does not fit."""
    if value.adjusted() > 10:
        return EMPTY
    whole_number = int(value.to_integral_value(rounding))
    return number(whole_number) if -(2**31) <= whole_number < 2**31 else EMPTY


@function("abs")
def _abs(evaluation: Evaluation, nodes: Nodes) -> Nodes:
    node = single(nodes, "abs()")
    if node is not None and system_type(node) == "System.Quantity":
        amount = quantity_of(node)
        if amount is None:
            return EMPTY
        return [Node(Quantity(abs(amount.value), amount.unit, amount.calendar), "System.Quantity")]
    value = _number(nodes, "abs()")
    return EMPTY if value is None else number(value if value >= 0 else -value)


@function("ceiling", result=_INTEGER)
def _ceiling(evaluation: Evaluation, nodes: Nodes) -> Nodes:
    value = _number(nodes, "ceiling()")
    return EMPTY if value is None else _integral(Decimal(value), ROUND_CEILING)


@function("floor", result=_INTEGER)
def _floor(evaluation: Evaluation, nodes: Nodes) -> Nodes:
    value = _number(nodes, "floor()")
    return EMPTY if value is None else _integral(Decimal(value), ROUND_FLOOR)


@function("truncate", result=_INTEGER)
def _truncate(evaluation: Evaluation, nodes: Nodes) -> Nodes:
    value = _number(nodes, "truncate()")
    return EMPTY if value is None else _integral(Decimal(value), ROUND_DOWN)


@function("exp", result=_DECIMAL)
def _exp(evaluation: Evaluation, nodes: Nodes) -> Nodes:
    value = _number(nodes, "exp()")
    return EMPTY if value is None else _tried(lambda: Decimal(value).exp())


@function("ln", result=_DECIMAL)
def _ln(evaluation: Evaluation, nodes: Nodes) -> Nodes:
    value = _number(nodes, "ln()")
    return EMPTY if value is None else _tried(lambda: Decimal(value).ln())


@function("log", 1, result=_DECIMAL)
def _log(evaluation: Evaluation, nodes: Nodes, base: Nodes) -> Nodes:
    value, to = _number(nodes, "log()"), _number(base, "log()")
    if value is None or to is None:
        return EMPTY
    return _tried(lambda: round(Decimal(value).ln() / Decimal(to).ln(), 20).normalize() + 0)


@function("power", 1)
def _power(evaluation: Evaluation, nodes: Nodes, exponent: Nodes) -> Nodes:
    value, by = _number(nodes, "power()"), _number(exponent, "power()")
    if value is None or by is None:
        return EMPTY
    exact = isinstance(value, int) and isinstance(by, int) and by >= 0

    def calculate() -> int | Decimal:
        result = Decimal(value) ** Decimal(by)
        return int(result) if exact and abs(result) < 2**31 else result

    return _tried(calculate)


@function("sqrt", result=_DECIMAL)
def _sqrt(evaluation: Evaluation, nodes: Nodes) -> Nodes:
    value = _number(nodes, "sqrt()")
    return EMPTY if value is None else _tried(lambda: Decimal(value).sqrt())


@function("round", 0, 1, result=_DECIMAL)
def _round(evaluation: Evaluation, nodes: Nodes, precision: Nodes | None = None) -> Nodes:
    value = _number(nodes, "round()")
    digits = 0 if precision is None else whole(precision, "round()")
    if value is None or digits is None:
        return EMPTY
    if digits < 0:
        raise Invalid("FHIRPath: round() takes a precision of 0 or more", code="fhirpath-wrong-type")
    return _tried(lambda: Decimal(value).quantize(Decimal(1).scaleb(-digits), ROUND_HALF_UP))


@function("precision", result=_INTEGER)
def _precision(evaluation: Evaluation, nodes: Nodes) -> Nodes:
    """How many digits a value has: of a decimal those after the point, of a date or time all of them."""
    node = single(nodes, "precision()")
    if node is None or node.value is None:
        return EMPTY
    kind = system_type(node)
    if kind in TEMPORAL:
        moment = temporal_of(node, kind)
        return EMPTY if moment is None else integer(_digits_of(moment))
    value = _number(nodes, "precision()")
    return EMPTY if value is None else integer(_scale(Decimal(value)))


def _scale(value: Decimal) -> int:
    return max(0, -int(value.as_tuple().exponent))


def _digits_of(moment: Temporal) -> int:
    digits = 2 * moment.precision + (0 if moment.kind == "System.Time" else 2)
    last = moment.parts[-1]
    return digits + (3 if isinstance(last, Decimal) and _scale(last) else 0)


@function("comparable", 1, result="System.Boolean")
def _comparable(evaluation: Evaluation, nodes: Nodes, other: Nodes) -> Nodes:
    a, b = single(nodes, "comparable()"), single(other, "comparable()")
    left, right = None if a is None else quantity_of(a), None if b is None else quantity_of(b)
    if left is None or right is None:
        return EMPTY
    return boolean(in_one_unit(left, right) is not None)


@function("lowBoundary", 0, 1)
def _low(evaluation: Evaluation, nodes: Nodes, precision: Nodes | None = None) -> Nodes:
    return _boundary(nodes, precision, -1)


@function("highBoundary", 0, 1)
def _high(evaluation: Evaluation, nodes: Nodes, precision: Nodes | None = None) -> Nodes:
    return _boundary(nodes, precision, 1)


def _boundary(nodes: Nodes, precision: Nodes | None, side: int) -> Nodes:
    """The least or greatest value that the input, with the digits it has, can stand for."""
    name = "lowBoundary()" if side < 0 else "highBoundary()"
    node = single(nodes, name)
    digits = None if precision is None else whole(precision, name)
    if node is None or node.value is None:
        return EMPTY
    kind = system_type(node)
    if kind in TEMPORAL:
        moment = temporal_of(node, kind)
        return EMPTY if moment is None else _temporal_boundary(moment, digits, side)
    if kind == "System.Quantity":
        amount = quantity_of(node)
        found = None if amount is None else _decimal_boundary(amount.value, digits, side)
        if amount is None or found is None:
            return EMPTY
        return [Node(Quantity(found, amount.unit, amount.calendar), "System.Quantity")]
    value = _number(nodes, name)
    found = None if value is None else _decimal_boundary(Decimal(value), digits, side)
    return EMPTY if found is None else number(found)


def _decimal_boundary(value: Decimal, digits: int | None, side: int) -> Decimal | None:
    digits = 8 if digits is None else digits
    if not 0 <= digits <= 31:
        return None
    try:
        edge = value + side * Decimal("0.5").scaleb(-_scale(value))
        return edge.quantize(Decimal(1).scaleb(-digits), ROUND_FLOOR if side < 0 else ROUND_CEILING)
    except DecimalException:
        return None


_PARTS = {4: 1, 6: 2, 8: 3, 10: 4, 12: 5, 14: 6, 17: 6}
_TIME_PARTS = {2: 1, 4: 2, 6: 3, 9: 3}


def _temporal_boundary(moment: Temporal, digits: int | None, side: int) -> Nodes:
    time, date = moment.kind == "System.Time", moment.kind == "System.Date"
    digits = (9 if time else 8 if date else 17) if digits is None else digits
    count = (_TIME_PARTS if time else _PARTS).get(digits)
    if count is None or (date and count > 3):
        return EMPTY
    parts = list(moment.parts)
    limits = (
        ([0, 0, 0] if time else [1, 1, 1, 0, 0, 0])
        if side < 0
        else ([23, 59, 59] if time else [9999, 12, 31, 23, 59, 59])
    )
    for at in range(len(parts), count):
        limit = limits[at]
        if side > 0 and not time and at == 2:
            limit = calendar.monthrange(int(parts[0]), int(parts[1]))[1]
        parts.append(limit)
    if count == len(limits) and digits in (9, 17):
        second = Decimal(parts[-1])
        if second == int(second) and _scale(second) == 0:
            second += Decimal("0.999") if side > 0 else Decimal("0.000")
        parts[-1] = second.quantize(Decimal("0.001"))
    zone = moment.zone
    if moment.kind == "System.DateTime" and count > 3 and zone is None:
        zone = 14 * 60 if side < 0 else -12 * 60
    found = Temporal(moment.kind, tuple(parts[:count]), zone if count > 3 else None)
    return [Node(str(found), moment.kind)]
