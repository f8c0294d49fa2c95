"""The operators of an assertion, over text (TestScript `assert-operator-codes`).

Numbers are compared by value when both sides are numbers, so 9.20 equals 9.2 and 10 is greater than 9.
"""

from __future__ import annotations

from collections.abc import Sequence
from decimal import Decimal, InvalidOperation

OPERATORS = frozenset(
    [
        "equals",
        "notEquals",
        "in",
        "notIn",
        "greaterThan",
        "lessThan",
        "empty",
        "notEmpty",
        "contains",
        "notContains",
        "eval",
        "manualEval",
    ]
)


def compare(operator: str, found: Sequence[str], wanted: str) -> bool:
    """Whether `found` (no, one or several values) stands in `operator` to `wanted`.

    `in` and `notIn` take a list separated by commas. Several values equal the same values joined by commas;
    `contains` holds when one of them contains the text. Raises `KeyError` for an operator outside `OPERATORS`
    and for those that are no comparison (`eval`, `manualEval`).
    """
    joined = ",".join(found)
    match operator:
        case "equals":
            return bool(found) and _same(joined, wanted)
        case "notEquals":
            return not (found and _same(joined, wanted))
        case "in":
            return bool(found) and any(_same(joined, one.strip()) for one in wanted.split(","))
        case "notIn":
            return not (found and any(_same(joined, one.strip()) for one in wanted.split(",")))
        case "greaterThan":
            return bool(found) and _order(joined, wanted) > 0
        case "lessThan":
            return bool(found) and _order(joined, wanted) < 0
        case "empty":
            return not any(found)
        case "notEmpty":
            return any(found)
        case "contains":
            return any(wanted in one for one in found)
        case "notContains":
            return not any(wanted in one for one in found)
    raise KeyError(operator)


def _same(one: str, other: str) -> bool:
    if one == other:
        return True
    left, right = _number(one), _number(other)
    return left is not None and left == right


def _order(one: str, other: str) -> int:
    """Negative, zero or positive as `one` sorts before, with or after `other`."""
    left, right = _number(one), _number(other)
    if left is not None and right is not None:
        return (left > right) - (left < right)
    return (one > other) - (one < other)


def _number(text: str) -> Decimal | None:
    """The number in `text` when it is written as one: no infinity, and no code with a leading zero."""
    digits = text.strip().lstrip("+-")
    if not digits[:1].isdigit() or (digits[0] == "0" and digits[1:2].isdigit()):
        return None
    try:
        return Decimal(text.strip())
    except InvalidOperation:
        return None
