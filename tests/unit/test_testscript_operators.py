"""The operators of an assertion."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from schakel.conformance.operators import OPERATORS, compare


@pytest.mark.parametrize(
    ("operator", "found", "wanted", "held"),
    [
        ("equals", ["final"], "final", True),
        ("equals", ["final"], "amended", False),
        ("equals", [], "", False),
        ("equals", ["9.20"], "9.2", True),
        ("equals", ["010"], "10", False),
        ("equals", ["a", "b"], "a", False),
        ("equals", ["a", "b"], "a,b", True),
        ("notEquals", ["a"], "b", True),
        ("notEquals", ["a"], "a", False),
        ("notEquals", [], "a", True),
        ("in", ["201"], "200, 201", True),
        ("in", ["404"], "200,201", False),
        ("in", [], "200", False),
        ("notIn", ["404"], "200,201", True),
        ("notIn", ["200"], "200,201", False),
        ("greaterThan", ["10"], "9", True),
        ("greaterThan", ["9"], "9", False),
        ("greaterThan", [], "9", False),
        ("greaterThan", ["2024-02-01"], "2024-01-31", True),
        ("lessThan", ["9.5"], "10", True),
        ("lessThan", ["10"], "9.5", False),
        ("empty", [], "", True),
        ("empty", [""], "", True),
        ("empty", ["x"], "", False),
        ("notEmpty", ["x"], "", True),
        ("notEmpty", [], "", False),
        ("contains", ["abc", "def"], "ef", True),
        ("contains", ["abc"], "x", False),
        ("notContains", ["/Observation?code=1"], "patient=", True),
        ("notContains", ["/Observation?patient=1"], "patient=", False),
    ],
)
def test_an_operator_compares_what_was_found(
    operator: str, found: list[str], wanted: str, held: bool
) -> None:
    assert compare(operator, found, wanted) is held


@pytest.mark.parametrize("operator", ["eval", "manualEval", "roughly"])
def test_what_is_no_comparison_is_refused(operator: str) -> None:
    with pytest.raises(KeyError):
        compare(operator, ["1"], "1")


PAIRS = [("equals", "notEquals"), ("in", "notIn"), ("empty", "notEmpty"), ("contains", "notContains")]


@given(st.lists(st.text("ab1.0,", max_size=4), max_size=3), st.text("ab1.0,", max_size=4))
def test_each_operator_and_its_negation_never_agree(found: list[str], wanted: str) -> None:
    for one, other in PAIRS:
        assert one in OPERATORS and other in OPERATORS
        assert compare(one, found, wanted) is not compare(other, found, wanted)
