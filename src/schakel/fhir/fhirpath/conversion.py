"""Conversions, and the moment of evaluation (FHIRPath N1 2.0, sections 5.5 and 5.9)."""

from __future__ import annotations

import re
from collections.abc import Callable
from decimal import Decimal, DecimalException

from schakel.fhir.fhirpath.dates import Temporal, from_moment
from schakel.fhir.fhirpath.nodes import EMPTY, Evaluation, Node, Nodes, boolean, plain, single
from schakel.fhir.fhirpath.parser import MAX_DIGITS
from schakel.fhir.fhirpath.registry import function, text
from schakel.fhir.fhirpath.units import CALENDAR_UNITS, Quantity
from schakel.fhir.fhirpath.values import TEMPORAL, quantity_of, system_type, temporal_of

_TRUE = frozenset({"true", "t", "yes", "y", "1", "1.0"})
_FALSE = frozenset({"false", "f", "no", "n", "0", "0.0"})
_INTEGER = re.compile(r"[+-]?[0-9]{1,10}")
_DECIMAL = re.compile(r"[+-]?[0-9]+(?:\.[0-9]+)?")
_QUANTITY = re.compile(r"(?P<number>[+-]?[0-9]+(?:\.[0-9]+)?)(?:\s*(?:'(?P<unit>[^']+)'|(?P<word>[a-z]+)))?")

Convert = Callable[[Node], object | None]


def _to_boolean(node: Node) -> object | None:
    kind, value = system_type(node), node.value
    if kind == "System.Boolean":
        return value  # type: ignore[no-any-return]
    if kind in ("System.Integer", "System.Decimal"):
        return {1: True, 0: False}.get(value)
    if kind == "System.String":
        word = value.lower()
        return True if word in _TRUE else False if word in _FALSE else None
    return None


def _to_integer(node: Node) -> object | None:
    kind, value = system_type(node), node.value
    if kind == "System.Boolean":
        return int(value)
    if kind == "System.String" and _INTEGER.fullmatch(value):
        value = int(value)
    elif kind != "System.Integer":
        return None
    return value if -(2**31) <= value < 2**31 else None


def _to_decimal(node: Node) -> object | None:
    kind, value = system_type(node), node.value
    if kind in ("System.Boolean", "System.Integer"):
        return Decimal(int(value))
    if kind == "System.Decimal":
        return value  # type: ignore[no-any-return]
    if kind != "System.String" or len(value) > MAX_DIGITS or not _DECIMAL.fullmatch(value):
        return None
    return Decimal(value)


def _to_string(node: Node) -> object | None:
    kind, value = system_type(node), node.value
    if kind == "System.Boolean":
        return "true" if value else "false"
    if kind == "System.Decimal":
        return plain(value)
    if kind == "System.Quantity":
        amount = quantity_of(node)
        return None if amount is None else str(amount)
    return str(value) if kind else None


def _to_temporal(kind: str) -> Convert:
    def convert(node: Node) -> object | None:
        source = system_type(node)
        if source == "System.String" or (source in TEMPORAL and source == kind):
            moment = Temporal.parse(node.value, kind)
        elif kind != "System.Time" and source in TEMPORAL and source != "System.Time":
            moment = temporal_of(node, source)
            if moment is not None and kind == "System.Date":
                moment = Temporal(kind, moment.parts[:3])
        else:
            return None
        return None if moment is None else str(moment) if source != kind else node.value

    return convert


def _to_quantity(node: Node) -> object | None:
    kind, value = system_type(node), node.value
    if kind == "System.Boolean":
        return Quantity(Decimal("1.0") if value else Decimal("0.0"), "1")
    if kind != "System.String":
        return quantity_of(node)
    match = _QUANTITY.fullmatch(value)
    if match is None or len(match["number"]) > MAX_DIGITS:
        return None
    number = Decimal(match["number"])
    if match["word"]:
        unit = CALENDAR_UNITS.get(match["word"])
        return None if unit is None else Quantity(number, unit, calendar=True)
    return Quantity(number, match["unit"] or "1")


CONVERSIONS: dict[str, Convert] = {
    "Boolean": _to_boolean,
    "Integer": _to_integer,
    "Decimal": _to_decimal,
    "String": _to_string,
    "Date": _to_temporal("System.Date"),
    "DateTime": _to_temporal("System.DateTime"),
    "Time": _to_temporal("System.Time"),
}


def _converted(nodes: Nodes, name: str, convert: Convert) -> object | None:
    node = single(nodes, name)
    return None if node is None or node.value is None else convert(node)


def _register(name: str, convert: Convert) -> None:
    """Put `toX` and `convertsToX` in the table."""

    def to(evaluation: Evaluation, nodes: Nodes) -> Nodes:
        value = _converted(nodes, f"to{name}()", convert)
        return EMPTY if value is None else [Node(value, "System." + name)]

    def converts(evaluation: Evaluation, nodes: Nodes) -> Nodes:
        if not nodes:
            return EMPTY
        return boolean(_converted(nodes, f"convertsTo{name}()", convert) is not None)

    function(f"to{name}", result="System." + name)(to)
    function(f"convertsTo{name}", result="System.Boolean")(converts)


for _name, _convert in CONVERSIONS.items():
    _register(_name, _convert)


def _quantity_in(nodes: Nodes, unit: Nodes | None, name: str) -> Quantity | None:
    found = _converted(nodes, name, _to_quantity)
    wanted = None if unit is None else text(unit, name)
    if not isinstance(found, Quantity) or unit is None:
        return found if isinstance(found, Quantity) else None
    if wanted is None:
        return None
    calendar = wanted in CALENDAR_UNITS
    one = Quantity(Decimal(1), CALENDAR_UNITS.get(wanted, wanted), calendar)
    try:
        return Quantity(found.value_in(one), one.unit, calendar)
    except (ZeroDivisionError, DecimalException):
        return None


@function("toQuantity", 0, 1, result="System.Quantity")
def _quantity(evaluation: Evaluation, nodes: Nodes, unit: Nodes | None = None) -> Nodes:
    value = _quantity_in(nodes, unit, "toQuantity()")
    return EMPTY if value is None else [Node(value, "System.Quantity")]


@function("convertsToQuantity", 0, 1, result="System.Boolean")
def _converts_to_quantity(evaluation: Evaluation, nodes: Nodes, unit: Nodes | None = None) -> Nodes:
    return boolean(_quantity_in(nodes, unit, "convertsToQuantity()") is not None) if nodes else EMPTY


@function("now", result="System.DateTime")
def _now(evaluation: Evaluation, nodes: Nodes) -> Nodes:
    return [Node(str(from_moment(evaluation.moment)), "System.DateTime")]


@function("today", result="System.Date")
def _today(evaluation: Evaluation, nodes: Nodes) -> Nodes:
    return [Node(evaluation.moment.date().isoformat(), "System.Date")]


@function("timeOfDay", result="System.Time")
def _time_of_day(evaluation: Evaluation, nodes: Nodes) -> Nodes:
    return [Node(evaluation.moment.time().isoformat("milliseconds"), "System.Time")]
