"""FHIRPath: logic, equality, arithmetic, functions and regular expressions; laws, and another engine."""

from __future__ import annotations

import random
from decimal import Decimal
from typing import Any

import fhirpathpy
import pytest
from fhirpathpy.models import models
from hypothesis import given
from hypothesis import strategies as st
from tests.expressions import PATIENT, compiled, values

from schakel.kernel.outcomes import Invalid, NotSupported

# --- logic, equality and order ------------------------------------------------------------------------------

_T, _F, _E = "true", "false", "{}"


@pytest.mark.parametrize(
    ("operator", "table"),
    [
        ("and", "T F - / F F F / - F -"),
        ("or", "T T T / T F - / T - -"),
        ("xor", "F T - / T F - / - - -"),
        ("implies", "T F - / T T T / T - -"),
    ],
)
def test_connectives_have_three_values(operator: str, table: str) -> None:
    letters = {(True,): "T", (False,): "F", (): "-"}
    rows = [
        " ".join(letters[tuple(values(f"{left} {operator} {right}"))] for right in (_T, _F, _E))
        for left in (_T, _F, _E)
    ]

    assert " / ".join(rows) == table


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("1.10 = 1.1", [True]),
        ("1 = 1.0", [True]),
        ("'a' = 'A'", [False]),
        ("'a' ~ 'A'", [True]),
        ("(1 | 2) = (2 | 1)", [False]),
        ("(1 | 2) ~ (2 | 1)", [True]),
        ("{} = 1", []),
        ("{} ~ {}", [True]),
        ("@2012 = @2012-01", []),
        ("@2012 < @2013-01", [True]),
        ("@2012 !~ @2012-01", [True]),
        ("@2024-05-01T10:30:00+02:00 = @2024-05-01T08:30:00Z", [True]),
        ("@2024-05-01T10:30:00Z = @2024-05-01T10:30:00", []),
        ("@2024-05-01T10:30:00Z < @2024-05-03T10:30:00", [True]),
        ("@2024-05-01T10:30 = @2024-05-01T10:30:15", []),
        ("@T10:30:00 = @T10:30:00.0", [True]),
        ("4 'g' = 4000 'mg'", [True]),
        ("1 'kg' > 2 'cm'", []),
        ("37 'Cel' = 98.6 '[degF]'", [True]),
        ("120 'mm[Hg]' < 16 'kPa'", [True]),
        ("7 days = 1 'wk'", [True]),
        ("1 year = 1 'a'", []),
        ("1 year ~ 1 'a'", [True]),
        ("'x' in ('x' | 'y')", [True]),
        ("{} in (1 | 2)", []),
    ],
)
def test_equality_and_order_know_precision_zones_and_units(text: str, expected: list[bool]) -> None:
    assert values(text) == expected


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("1 + 2 * 3", [7]),
        ("0.1 + 0.2 = 0.3", [True]),
        ("7 div 2", [3]),
        ("-7 mod 3", [-1]),
        ("1 / 0", []),
        ("2147483647 + 1", []),
        ("'a' & {} & 'b'", ["ab"]),
        ("'a' + {}", []),
        ("@2024-01-31 + 1 month", ["2024-02-29"]),
        ("@2024-12-31T23:59:59Z + 1 second", ["2025-01-01T00:00:00+00:00"]),
        ("@2024 + 24 months", ["2026"]),
        ("@T23:30 + 45 minutes", ["00:15"]),
        ("(1 'kg' + 500 'g') = 1.5 'kg'", [True]),
        ("(2 'cm' * 3 'm') = 0.06 'm2'", [True]),
        ("2 days * 3 = 6 days", [True]),
        ("2 days * 3 'm'", []),
        ("1 year / 1 'a'", []),
        ("1 'B' + 1 'B'", []),
        ("1 'B' * 2", []),
        ("1 'kg' / 0 'g'", []),
        ("6 'm' / 2 'cm/cm' = 3 'm'", [True]),
    ],
)
def test_arithmetic_is_exact_and_empty_where_there_is_no_result(text: str, expected: list[Any]) -> None:
    assert values(text) == expected


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("value = 2 years", [True]),
        ("value = 2 'a'", [True]),
        ("value + 1 year = 3 years", [True]),
        ("@2024-02 + value", ["2026-02"]),
        ("@2024-02 + value * 2", ["2028-02"]),
        ("value.toQuantity('months') > 1 year", [True]),
        ("@2024-02 > @2024-02 - value", [True]),
    ],
)
def test_a_ucum_year_in_fhir_is_also_a_calendar_year(text: str, expected: list[Any]) -> None:
    age = {"value": 2, "unit": "year", "system": "http://unitsofmeasure.org", "code": "a"}

    assert values(text, {"resourceType": "Observation", "valueQuantity": age}) == expected


@pytest.mark.parametrize("text", ["1 + 'a'", "'a' < 1", "@2024 + 1 'mo'", "'a' - 'b'", "-'a'"])
def test_operands_that_do_not_go_together_are_refused(text: str) -> None:
    with pytest.raises(Invalid):
        values(text)


# --- functions ----------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("name.given.first()", ["Anna"]),
        ("name.given.tail()", ["Maria", "Ans"]),
        ("name.given.skip(1).take(1)", ["Maria"]),
        ("name.where(use = 'nickname').given", ["Ans"]),
        ("name.select(given.count())", [2, 1]),
        ("name.given.select($index)", [0, 1, 2]),
        ("name.exists(use = 'old')", [False]),
        ("name.all(given.exists())", [True]),
        ("name.family.allTrue()", None),
        ("(true | false).anyTrue()", [True]),
        ("name.given.intersect('Ans' | 'Bea')", ["Ans"]),
        ("name.given.exclude('Ans')", ["Anna", "Maria"]),
        ("('a' | 'b').subsetOf('a' | 'b' | 'c')", [True]),
        ("('a').combine('a').isDistinct()", [False]),
        ("(1 | 2 | 3 | 4).aggregate($this + $total, 0)", [10]),
        ("iif(name.empty(), 1 / 0, 'named')", ["named"]),
        ("contained.repeat($this.name)", ["Practice North"]),
        ("birthDate.trace('birth')", ["1960-03"]),
        ("name.given.join('-')", ["Anna-Maria-Ans"]),
        ("'a,b'.split(',')", ["a", "b"]),
        ("'abc'.substring(1, 1)", ["b"]),
        ("'abc'.indexOf('z')", [-1]),
        ("' x '.trim().upper()", ["X"]),
        ("'Zoë'.encode('base64').decode('base64')", ["Zoë"]),
        ("'12'.toInteger()", [12]),
        ("'12.50'.toDecimal().toString()", ["12.50"]),
        ("'x'.convertsToDate()", [False]),
        ("'4 days'.toQuantity() = 4 days", [True]),
        ("16.sqrt()", [4]),
        ("(-1).sqrt()", []),
        ("2.power(10)", [1024]),
        ("(-1.5).truncate()", [-1]),
        ("1.587.lowBoundary(2)", [Decimal("1.58")]),
        ("name.first().type().name", ["HumanName"]),
        ("text.div.htmlChecks()", []),
        ("now() = now()", [True]),
        ("today().toString().length()", [10]),
        ("%`ext-birthPlace`", ["http://hl7.org/fhir/StructureDefinition/birthPlace"]),
        ("%sct", ["http://snomed.info/sct"]),
    ],
)
def test_functions_give_what_the_specification_says(text: str, expected: list[Any] | None) -> None:
    if expected is None:
        with pytest.raises(Invalid):
            values(text, PATIENT)
    else:
        assert values(text, PATIENT) == expected


# --- regular expressions ------------------------------------------------------------------------------------


def test_matches_searches_and_matches_full_takes_the_whole_string() -> None:
    assert values("'Practice North'.matches('N.rth')") == [True]
    assert values("'Practice North'.matches('^N.rth$')") == [False]
    assert values("'Practice North'.matchesFull('N.rth')") == [False]
    assert values(r"'a_b'.matches('^[a-z\\_]+$')") == [True]
    assert values(r"'12/31'.replaceMatches('(\\d+)/(\\d+)', '$2-$1')") == ["31-12"]


def test_a_regular_expression_that_could_take_for_ever_runs_in_linear_time() -> None:
    assert values("%long.matches('^(a+)+$')", variables={"long": "a" * 20_000 + "b"}) == [False]


def test_a_regular_expression_beyond_linear_time_is_refused_when_compiled() -> None:
    with pytest.raises(Invalid, match="regular expression"):
        compiled(r"'x'.matches('(?=x)')")


# --- laws ---------------------------------------------------------------------------------------------------

_numbers = st.lists(st.integers(-50, 50), max_size=8)
_texts = st.lists(st.text(max_size=6), max_size=6)


@given(left=_numbers, right=_numbers)
def test_a_union_is_the_same_set_in_either_order(left: list[int], right: list[int]) -> None:
    given_values = {"left": left, "right": right}

    one = values("%left | %right", variables=given_values)
    other = values("%right | %left", variables=given_values)

    assert sorted(one) == sorted(other) == sorted({*left, *right})


@given(items=_texts)
def test_filtering_by_true_and_selecting_the_item_change_nothing(items: list[str]) -> None:
    for text in ("%items.where(true)", "%items.select($this)", "%items.skip(0)", "%items.combine({})"):
        assert values(text, variables={"items": items}) == items


@given(items=_numbers, count=st.integers(0, 10))
def test_take_and_skip_split_a_collection(items: list[int], count: int) -> None:
    text = "%items.take(%count).combine(%items.skip(%count))"

    assert values(text, variables={"items": items, "count": count}) == items


@given(value=st.sampled_from(["true", "false", "{}"]))
def test_not_twice_changes_nothing(value: str) -> None:
    assert values(f"({value}).not().not()") == values(value)


@given(left=st.sampled_from([_T, _F, _E]), right=st.sampled_from([_T, _F, _E]))
def test_implies_is_not_left_or_right(left: str, right: str) -> None:
    assert values(f"{left} implies {right}") == values(f"{left}.not() or {right}")


@given(a=st.decimals(-1000, 1000, places=3), b=st.decimals(-1000, 1000, places=2))
def test_exactly_one_of_less_equal_and_greater_holds(a: Decimal, b: Decimal) -> None:
    found = [values(f"%a {operator} %b", variables={"a": a, "b": b}) for operator in ("<", "=", ">")]

    assert found.count([True]) == 1


@given(text=st.text(alphabet="abP.()[]|'\"`%$@0123 +-*/=<>&,{}name", max_size=40))
def test_any_text_compiles_or_is_refused_with_a_message(text: str) -> None:
    try:
        outcome = compiled(text).text
    except (Invalid, NotSupported) as refused:
        outcome = refused.message

    assert outcome == text or outcome.startswith("FHIRPath: ")


@given(seed=st.integers(0, 10_000))
def test_a_date_moved_forth_and_back_by_days_is_the_same(seed: int) -> None:
    chance = random.Random(seed)
    date = f"@{chance.randint(1900, 2100)}-{chance.randint(1, 12):02}-{chance.randint(1, 28):02}"
    days = chance.randint(0, 5000)

    assert values(f"{date} + {days} days - {days} days = {date}") == [True]


# --- another engine -----------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "text",
    [
        "Patient.name.given",
        "Patient.name.where(use = 'official').family",
        "Patient.name.given.count()",
        "Patient.name.select(given | family)",
        "Patient.name.given.distinct().count() > 2",
        "Patient.multipleBirth",
        "Patient.contained.name",
        "Patient.active and Patient.name.exists()",
        "Patient.name.given.where($this.startsWith('A'))",
        "Patient.generalPractitioner.reference.select(substring(0, 4))",
        "Patient.name[0].given[1] & ' ' & Patient.name[0].family",
        "(1 | 2 | 3).where($this > 1)",
        "3.14.round(1)",
        "'abc'.replace('b', 'x').upper()",
        "iif(Patient.active, 'yes', 'no')",
        "10 mod 4 + 10 div 4",
    ],
)
def test_plain_expressions_give_the_same_in_another_engine(text: str) -> None:
    plain = {name: member for name, member in PATIENT.items() if not name.startswith("_")}
    plain["name"] = [{n: m for n, m in name.items() if n != "_given"} for name in PATIENT["name"]]

    theirs = fhirpathpy.evaluate(plain, text, None, models["r4"])

    assert [str(value) for value in values(text, plain)] == [str(value) for value in theirs]
