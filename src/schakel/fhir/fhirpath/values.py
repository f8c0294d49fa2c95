"""From nodes to values that compare: system types, equality, equivalence, order (N1 2.0, 6.1 and 6.2)."""

from __future__ import annotations

import re
from collections.abc import Iterable
from decimal import ROUND_HALF_UP, Decimal, InvalidOperation
from typing import Any

from schakel.fhir.fhirpath.dates import Temporal
from schakel.fhir.fhirpath.nodes import Node, Nodes
from schakel.fhir.fhirpath.units import UCUM, Quantity, in_one_unit
from schakel.fhir.json import FhirDecimal
from schakel.kernel.outcomes import Invalid

_WHITESPACE = re.compile(r"\s")
_STRINGS = (
    *("string", "code", "id", "uri", "url", "canonical", "oid", "uuid", "markdown", "base64Binary", "xhtml"),
    "System.String",
)

# Type to the system type its values have.
SYSTEM: dict[str, str] = {
    **dict.fromkeys(_STRINGS, "System.String"),
    **dict.fromkeys(("boolean", "System.Boolean"), "System.Boolean"),
    **dict.fromkeys(("integer", "positiveInt", "unsignedInt", "System.Integer"), "System.Integer"),
    **dict.fromkeys(("decimal", "System.Decimal"), "System.Decimal"),
    **dict.fromkeys(("date", "System.Date"), "System.Date"),
    **dict.fromkeys(("dateTime", "instant", "System.DateTime"), "System.DateTime"),
    **dict.fromkeys(("time", "System.Time"), "System.Time"),
    **dict.fromkeys(
        ("Quantity", "Age", "Count", "Distance", "Duration", "Money", "SimpleQuantity", "System.Quantity"),
        "System.Quantity",
    ),
}
PRIMITIVES = frozenset(name for name, kind in SYSTEM.items() if kind != "System.Quantity")
"""FHIR primitive types, and the system types but Quantity."""

TEMPORAL = frozenset({"System.Date", "System.DateTime", "System.Time"})
NUMBERS = frozenset({"System.Integer", "System.Decimal"})
SYSTEM_TYPES = frozenset(SYSTEM.values())


_HELD_AS = frozenset({
    *((kind, str) for kind in ("System.String", "System.Date", "System.DateTime", "System.Time")),
    *(("System.Boolean", bool), ("System.Integer", int), ("System.Decimal", int)),
    *(("System.Decimal", Decimal), ("System.Decimal", FhirDecimal)),
    *(("System.Quantity", Quantity), ("System.Quantity", dict)),
})  # fmt: skip


def system_type(node: Node) -> str:
    """The system type of a node's value; empty for a structure.

    A value that JSON holds in another way than its type has (a number in a string's place) is what it looks like.
    """
    kind = SYSTEM.get(node.type)
    if kind is not None:
        value = node.value
        return kind if value is None or (kind, type(value)) in _HELD_AS else guessed_type(value)
    if node.type and node.type[0].isupper():
        return ""
    return guessed_type(node.value)


def guessed_type(value: Any) -> str:
    """The system type of a value of which the type is not known; empty for a structure."""
    if isinstance(value, bool):
        return "System.Boolean"
    if isinstance(value, str):
        return "System.String"
    if isinstance(value, int):
        return "System.Integer"
    if isinstance(value, Decimal):
        return "System.Decimal"
    return "System.Quantity" if isinstance(value, Quantity) else ""


def quantity_of(node: Node) -> Quantity | None:
    """A node as a quantity, numbers included; None for a FHIR Quantity without value or with a comparator."""
    value = node.value
    if isinstance(value, Quantity):
        return value
    if isinstance(value, Decimal | int) and not isinstance(value, bool):
        return Quantity(Decimal(value), "1")
    if not isinstance(value, dict):
        return None
    number = value.get("value")
    if not isinstance(number, Decimal | int) or value.get("comparator") is not None:
        return None
    if value.get("system") == UCUM:
        return Quantity(Decimal(number), str(value.get("code") or "1"), fhir=True)
    unit = value.get("code") or value.get("unit") or value.get("currency") or "1"
    return Quantity(Decimal(number), str(unit))


def temporal_of(node: Node, kind: str) -> Temporal | None:
    return Temporal.parse(node.value, kind) if isinstance(node.value, str) else None


def equal(a: Node, b: Node) -> bool | None:
    """`=` of two items; None when it cannot be decided."""
    kind, other = system_type(a), system_type(b)
    if a.value is None or b.value is None:
        return a.value is b.value and a.extra == b.extra
    if kind == other == "System.String":
        return bool(a.value == b.value)
    if kind in TEMPORAL or other in TEMPORAL:
        return _equal_temporal(a, kind, b, other)
    if "System.Quantity" in (kind, other):
        return _equal_quantity(a, kind, b, other)
    if kind in NUMBERS and other in NUMBERS:
        return bool(a.value == b.value)
    return kind == other and bool(a.value == b.value)


def _equal_temporal(a: Node, kind: str, b: Node, other: str) -> bool | None:
    if kind not in TEMPORAL or other not in TEMPORAL or (kind == "System.Time") != (other == "System.Time"):
        return False
    left, right = temporal_of(a, kind), temporal_of(b, other)
    if left is None or right is None:
        return bool(a.value == b.value)
    order = left.compare(right)
    return None if order is None else order == 0


def _equal_quantity(a: Node, kind: str, b: Node, other: str) -> bool | None:
    comparable = {"System.Quantity", *NUMBERS}
    if kind not in comparable or other not in comparable:
        return False
    left, right = quantity_of(a), quantity_of(b)
    if left is None or right is None:
        return bool(a.value == b.value)
    pair = in_one_unit(left, right)
    return None if pair is None else pair[0] == pair[1]


def equal_collections(left: Nodes, right: Nodes) -> bool | None:
    """`left = right`, both not empty."""
    if len(left) != len(right):
        return False
    known = True
    for a, b in zip(left, right, strict=True):
        same = equal(a, b)
        if same is False:
            return False
        known = known and same is not None
    return True if known else None


def _digits(number: Decimal) -> int:
    """Digits after the point, without zeros at the end."""
    return max(0, -int(number.normalize().as_tuple().exponent))


def equivalent(a: Node, b: Node) -> bool:
    """`~` of two items."""
    kind, other = system_type(a), system_type(b)
    if kind == other == "System.String" and isinstance(a.value, str) and isinstance(b.value, str):
        return _folded(a.value) == _folded(b.value)
    if kind in NUMBERS and other in NUMBERS:
        return _equivalent_numbers(Decimal(a.value), Decimal(b.value))
    if "System.Quantity" in (kind, other):
        left, right = quantity_of(a), quantity_of(b)
        if left is not None and right is not None:
            return _equivalent_quantities(left, right)
        return bool(a.value == b.value)
    if not kind and not other:
        return _equivalent_structures(a.value, b.value)
    return equal(a, b) is True


def _folded(text: str) -> str:
    return _WHITESPACE.sub(" ", text).casefold()


def _equivalent_numbers(a: Decimal, b: Decimal) -> bool:
    try:
        step = Decimal(1).scaleb(-min(_digits(a), _digits(b)))
        return a.quantize(step, ROUND_HALF_UP) == b.quantize(step, ROUND_HALF_UP)
    except InvalidOperation:
        return a == b


_UCUM_LIKE = {"year": "a", "month": "mo"}


def _equivalent_quantities(a: Quantity, b: Quantity) -> bool:
    if a.calendar != b.calendar:  # here a year is the same as 1 'a'
        a, b = (
            Quantity(q.value, _UCUM_LIKE[q.unit]) if q.calendar and q.unit in _UCUM_LIKE else q
            for q in (a, b)
        )
    pair = in_one_unit(a, b)
    return pair is not None and _equivalent_numbers(*pair)


def _equivalent_structures(a: Any, b: Any) -> bool:
    """Same members, in any order within a list; ids do not count."""
    if isinstance(a, dict) and isinstance(b, dict):
        names = (a.keys() | b.keys()) - {"id"}
        return all(n in a and n in b and _equivalent_structures(a[n], b[n]) for n in names)
    if isinstance(a, list) and isinstance(b, list):
        left = list(b)
        for item in a:
            found = next((i for i, other in enumerate(left) if _equivalent_structures(item, other)), None)
            if found is None:
                return False
            del left[found]
        return not left
    if isinstance(a, str) and isinstance(b, str):
        return _folded(a) == _folded(b)
    return bool(a == b)


def equivalent_collections(left: Nodes, right: Nodes) -> bool:
    """`left ~ right`: same items in any order; two empty collections are equivalent."""
    if len(left) != len(right):
        return False
    rest = list(right)
    for a in left:
        found = next((i for i, b in enumerate(rest) if equivalent(a, b)), None)
        if found is None:
            return False
        del rest[found]
    return True


def order(a: Node, b: Node, operator: str) -> int | None:
    """Below, equal to or above zero as `a` is before, at or after `b`; None when it cannot be decided.

    Raises `Invalid` when the types have no order between them.
    """
    if a.value is None or b.value is None:
        return None
    kind, other = system_type(a), system_type(b)
    if kind == other == "System.String" or (kind in NUMBERS and other in NUMBERS):
        return 0 if a.value == b.value else -1 if a.value < b.value else 1
    if kind in TEMPORAL and other in TEMPORAL and (kind == "System.Time") == (other == "System.Time"):
        left, right = temporal_of(a, kind), temporal_of(b, other)
        return None if left is None or right is None else left.compare(right)
    if "System.Quantity" in (kind, other) and {kind, other} <= {"System.Quantity", *NUMBERS}:
        amount, limit = quantity_of(a), quantity_of(b)
        if amount is None or limit is None:
            return None
        pair = in_one_unit(amount, limit)
        return None if pair is None else 0 if pair[0] == pair[1] else -1 if pair[0] < pair[1] else 1
    raise Invalid(
        f"FHIRPath: '{operator}' cannot compare {a.type or kind or 'a structure'} with "
        f"{b.type or other or 'a structure'}; convert one of them",
        code="fhirpath-not-comparable",
    )


def key(node: Node) -> object:
    """Hashable; the same for two nodes exactly when `equal` says true of them (units in their base form)."""
    if node.value is None:
        return ("no value", _frozen(node.extra))
    kind = system_type(node)
    if kind == "System.String" or kind == "System.Boolean":
        return (kind, node.value)
    if kind in NUMBERS:
        return ("number", node.value)
    if kind in TEMPORAL:
        value = temporal_of(node, kind)
        return value.key() if value is not None else (kind, node.value)
    if kind == "System.Quantity":
        quantity = quantity_of(node)
        if quantity is not None:
            return ("quantity", *quantity.canonical())
    return _frozen(node.value)


def _frozen(value: Any) -> object:
    if isinstance(value, dict):
        return frozenset((name, _frozen(item)) for name, item in value.items())
    if isinstance(value, list):
        return tuple(map(_frozen, value))
    return (isinstance(value, bool), value)


def distinct(nodes: Iterable[Node]) -> Nodes:
    """The nodes without those equal to an earlier one."""
    seen: dict[object, Node] = {}
    for node in nodes:
        seen.setdefault(key(node), node)
    return list(seen.values())
