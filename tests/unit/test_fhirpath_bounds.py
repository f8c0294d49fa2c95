"""FHIRPath within bounds: nesting, numbers, strings, and the steps of an expression from outside."""

from __future__ import annotations

from typing import Any

import pytest
from tests.expressions import PATIENT, compiled, values

from schakel.kernel.outcomes import Invalid, TooCostly


@pytest.mark.parametrize(
    "text",
    [
        "(" * 5000 + "1" + ")" * 5000,
        "a" + ".a" * 5000,
        "1" + " + 1" * 5000,
        "-" * 5000 + "1",
        "a[" * 5000 + "0" + "]" * 5000,
        "where(" * 5000 + "true" + ")" * 5000,
    ],
    ids=["parentheses", "steps", "operators", "signs", "indexes", "calls"],
)
def test_deep_nesting_is_refused_before_it_fills_the_stack(text: str) -> None:
    with pytest.raises(Invalid, match="deeper"):
        compiled(text)


@pytest.mark.parametrize(
    "text",
    [
        "where(" * 50 + "true" + ")" * 50,
        "select(a.where(" * 25 + "true" + "))" * 25,
        "1" + " + 1" * 100,
        "a" + ".a" * 100,
        "iif(true, " * 100 + "1" + ")" * 100,
        "repeat(" * 50 + "a" + ")" * 50,
    ],
)
def test_what_is_not_too_deep_runs_with_and_without_counting(text: str) -> None:
    expression = compiled(text)

    assert [n.value for n in expression.evaluate({})] == [
        n.value for n in expression.evaluate({}, steps=10**6)
    ]


def test_a_part_that_is_looked_at_twice_is_compiled_once() -> None:
    text = "Bundle" + ".entry.resource.as(Bundle)" * 30

    assert compiled(text, "Bundle").evaluate({"resourceType": "Bundle"}) == []


@pytest.mark.parametrize("text", ["9" * 5000, "0." + "9" * 5000, "9" * 200 + " 'mg'"])
def test_a_number_of_endless_digits_is_refused(text: str) -> None:
    with pytest.raises(Invalid, match="at most 128"):
        compiled(text)


@pytest.mark.parametrize(
    "text",
    [
        "10.power(100000000)",
        "1.5.power(99999999)",
        "100000.exp()",
        "1.0.round(2147483647)",
        "10.power(999999).toString().length()",
        "1 div 0.00000000000000000000000000000000000000000000001",
        "%endless.toInteger()",
        "%endless.toDecimal()",
        "%endless.toQuantity()",
        "%endless.toDate()",
    ],
)
def test_a_number_without_bounds_ends_at_once(text: str) -> None:
    assert len(values(text, variables={"endless": "9" * 1_000_000})) <= 1


def test_steps_stop_an_expression_that_visits_too_much_and_name_the_limit() -> None:
    expression = compiled("Patient.descendants().descendants().count()", "Patient")

    assert expression.evaluate(PATIENT, steps=10_000)[0].value > 10
    with pytest.raises(TooCostly, match=r"limits\.expression_steps"):
        expression.evaluate(PATIENT, steps=10)


@pytest.mark.parametrize(
    "text",
    [
        "(1 | 2 | 3 | 4 | 5).select((1 | 2 | 3 | 4 | 5).select((1 | 2 | 3 | 4 | 5).where(true)))",
        "(1 | 2 | 3 | 4 | 5 | 6 | 7 | 8).aggregate($total.combine($total), 1)",
        "'aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa'.toChars()",
        "%many.all($this in %many)",
        "%many ~ %many",
        "%long & %long",
        "%long.matches('x')",
        "(1).repeat($this + 1)",
    ],
)
def test_steps_count_whatever_an_expression_goes_through(text: str) -> None:
    given = {"many": list(range(60)), "long": "a" * 100_000}

    with pytest.raises(TooCostly, match=r"limits\.expression_steps"):
        values(text, variables=given, steps=60)


@pytest.mark.parametrize(
    "text",
    [
        *("%one = %other", "%one ~ %other", "%one in (%other)", "%one | %other", "%one.union(%other)"),
        *("%one.combine(%other).distinct()", "%one.subsetOf(%other)", "%one.exclude(%other)"),
        *("('x').repeat(%one)", "%one.extension('urn:x')"),
    ],
)
def test_steps_count_all_that_comparing_structures_goes_through(text: str) -> None:
    def large(family: str) -> dict[str, Any]:
        extensions = [{"url": "urn:y", "valueString": str(i)} for i in range(1000)]
        return {"resourceType": "Patient", "name": [{"family": family}], "extension": extensions}

    given = {"one": large("a"), "other": large("b")}

    assert len(values(text, variables=given)) <= 2
    with pytest.raises(TooCostly, match=r"limits\.expression_steps"):
        values(text, variables=given, steps=100)


def test_counting_steps_changes_no_result() -> None:
    text = "Patient.name.where(use = 'official').given.select($this & '-' & $index.toString())"

    assert values(text, PATIENT, steps=1000) == values(text, PATIENT) == ["Anna-0", "Maria-1"]


def test_a_string_that_grows_without_bound_is_stopped() -> None:
    growing = "'a'" + ".replace('a', 'aaaaaaaaaa')" * 30

    with pytest.raises(TooCostly, match="string"):
        values(growing)


def test_a_repeat_without_end_is_stopped() -> None:
    with pytest.raises(TooCostly):
        values("(1).repeat($this + 1)")
