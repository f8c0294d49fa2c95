"""FHIRPath: what expressions give on resources, in strict and in lenient mode."""

from __future__ import annotations

import random
from decimal import Decimal
from typing import Any

import fhirpathpy
import pytest
from fhirpathpy.models import models
from hypothesis import given
from hypothesis import strategies as st

from schakel.fhir.definitions import Version, definitions
from schakel.fhir.fhirpath import Expression, Node, compile_expression
from schakel.kernel.outcomes import Invalid, NotSupported, TooCostly

PATIENT: dict[str, Any] = {
    "resourceType": "Patient",
    "id": "p1",
    "active": True,
    "name": [
        {
            "use": "official",
            "family": "de Vries",
            "given": ["Anna", "Maria"],
            "_given": [None, {"id": "second"}],
        },
        {"use": "nickname", "given": ["Ans"]},
    ],
    "birthDate": "1960-03",
    "_birthDate": {"extension": [{"url": "urn:estimated", "valueBoolean": True}]},
    "_gender": {"extension": [{"url": "urn:absent", "valueCode": "unknown"}]},
    "contained": [{"resourceType": "Organization", "id": "gp", "name": "Practice North"}],
    "managingOrganization": {"reference": "#gp"},
    "generalPractitioner": [{"reference": "Practitioner/7"}, {"reference": "Organization/8"}],
    "multipleBirthInteger": 2,
}
OBSERVATION: dict[str, Any] = {
    "resourceType": "Observation",
    "status": "final",
    "code": {
        "coding": [{"system": "http://loinc.org", "code": "29463-7", "display": "Weight"}, {"code": "w"}]
    },
    "subject": {"reference": "Patient/p1"},
    "valueQuantity": {
        "value": Decimal("72.50"),
        "unit": "kg",
        "system": "http://unitsofmeasure.org",
        "code": "kg",
    },
    "effectiveDateTime": "2024-05-01T10:30:00+02:00",
    "component": [{"code": {"text": "a"}, "valueString": "x"}, {"code": {"text": "b"}, "valueInteger": 4}],
}


def compiled(
    text: str, context: str | None = None, *, lenient: bool = False, version: Version = "r4"
) -> Expression:
    return compile_expression(text, definitions(version), context=context, lenient=lenient)


def values(
    text: str, subject: dict[str, Any] | None = None, *, lenient: bool = False, **more: Any
) -> list[Any]:
    """Values of the results of `text` on `subject`."""
    subject = {} if subject is None else subject
    nodes = compiled(text, subject.get("resourceType"), lenient=lenient).evaluate(subject, **more)
    return [node.value for node in nodes]


# --- paths and types ---------------------------------------------------------------------------------------


def test_a_path_gives_the_nodes_with_their_types() -> None:
    [quantity] = compiled("Observation.value", "Observation").evaluate(OBSERVATION)
    [date] = compiled("effective").evaluate(OBSERVATION)
    [component] = compiled("component[1]", "Observation").evaluate(OBSERVATION)

    assert (quantity.type, quantity.value["unit"]) == ("Quantity", "kg")
    assert (date.type, date.value) == ("dateTime", "2024-05-01T10:30:00+02:00")
    assert component.type == "Observation.component"


def test_a_choice_taken_as_a_type_gives_only_that_type() -> None:
    assert values("Observation.component.value.as(string)", OBSERVATION) == ["x"]
    assert values("Observation.component.value.ofType(integer)", OBSERVATION) == [4]
    assert values("(Observation.value as Quantity).value", OBSERVATION) == [Decimal("72.50")]
    assert values("Observation.value.as(Period)", OBSERVATION) == []


@pytest.mark.parametrize("context", ["Observation", None])
def test_the_prefix_of_another_resource_type_gives_nothing(context: str | None) -> None:
    expression = compiled("Patient.name.given | Observation.status", context)

    assert [node.value for node in expression.evaluate(OBSERVATION)] == ["final"]
    assert values("Resource.id", PATIENT) == values("DomainResource.id", PATIENT) == ["p1"]


def test_an_unknown_element_of_a_known_type_is_refused_with_its_place_and_the_known_names() -> None:
    with pytest.raises(Invalid) as refused:
        compiled("Patient.name.givn", "Patient")

    assert "HumanName has no element 'givn'" in refused.value.message
    assert "at character 14" in refused.value.message
    assert "family, given" in refused.value.message


def test_the_json_name_of_a_choice_is_refused_with_the_right_spelling() -> None:
    with pytest.raises(Invalid, match=r"write value\.ofType"):
        compiled("Observation.valueQuantity", "Observation")


def test_a_name_below_a_resource_of_any_type_is_only_known_when_it_runs() -> None:
    bundle = {"resourceType": "Bundle", "entry": [{"resource": PATIENT}, {"resource": OBSERVATION}]}

    assert values("Bundle.entry.resource.birthDate", bundle) == ["1960-03"]
    assert values("Bundle.entry.resource.ofType(Observation).status", bundle) == ["final"]
    assert values("Bundle.entry.resource.nothingOfTheKind", bundle) == []


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("Patient.active.is(boolean)", True),
        ("Patient.active.is(System.Boolean)", False),
        ("Patient.name.first() is HumanName", True),
        ("Patient.is(DomainResource)", True),
        ("Patient.name.first().use is string", True),
        ("1.is(Integer)", True),
        ("@2020-01.is(Date)", True),
        ("4 'mg' is Quantity", True),
    ],
)
def test_a_type_test_knows_the_hierarchy_and_keeps_fhir_and_system_types_apart(
    text: str, expected: bool
) -> None:
    assert values(text, PATIENT) == [expected]


def test_an_unknown_type_is_refused() -> None:
    with pytest.raises(Invalid, match="no type 'string1'"):
        compiled("Patient.gender.as(string1)", "Patient")


def test_a_result_can_be_the_subject_of_another_expression() -> None:
    [name, _] = compiled("Patient.name", "Patient").evaluate(PATIENT)

    assert [node.value for node in compiled("family", "HumanName").evaluate(name)] == ["de Vries"]
    assert [node.value for node in compiled("%resource.id & use").evaluate(name)] == ["p1official"]


# --- primitives with extensions ----------------------------------------------------------------------------


def test_a_primitive_with_an_extension_is_one_node() -> None:
    [birth] = compiled("Patient.birthDate", "Patient").evaluate(PATIENT)

    assert (birth.value, birth.type) == ("1960-03", "date")
    assert birth.extra == PATIENT["_birthDate"]
    assert values("Patient.birthDate.extension('urn:estimated').value", PATIENT) == [True]
    assert values("Patient.birthDate.hasValue()", PATIENT) == [True]
    assert values("Patient.birthDate.value is System.Date", PATIENT) == [True]
    assert values("Patient.name.given.id", PATIENT) == ["second"]


def test_a_primitive_without_a_value_is_there_but_equals_nothing() -> None:
    assert values("Patient.gender.exists()", PATIENT) == [True]
    assert values("Patient.gender.hasValue()", PATIENT) == [False]
    assert values("Patient.gender = 'male'", PATIENT) == [False]
    assert values("Patient.gender.extension('urn:absent').value", PATIENT) == ["unknown"]
    assert values("Patient.gender.length()", PATIENT) == []


# --- references ---------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("reference", "found"),
    [
        ({"reference": "Patient/1"}, True),
        ({"reference": "Patient/1/_history/3"}, True),
        ({"reference": "https://example.org/fhir/Patient/1"}, True),
        ({"reference": "https://example.org/fhir/Patient/1/_history/3"}, True),
        ({"reference": "urn:uuid:6a4b9f9e-21c4-4b67-9d3c-0a4c5a6a0001", "type": "Patient"}, True),
        ({"reference": "#me"}, True),
        ({"type": "Patient", "identifier": {"value": "1"}}, True),
        ({"reference": "Group/1"}, False),
        ({"reference": "urn:uuid:6a4b9f9e-21c4-4b67-9d3c-0a4c5a6a0001"}, False),
        ({"reference": "#other"}, False),
        ({"display": "somebody"}, False),
    ],
)
def test_the_type_of_a_reference_is_read_from_its_text_without_fetching(
    reference: dict[str, Any], found: bool
) -> None:
    resource = {
        "resourceType": "Observation",
        "contained": [{"resourceType": "Patient", "id": "me"}],
        "subject": reference,
    }
    expression = compiled("Observation.subject.where(resolve() is Patient)", "Observation")

    assert [node.value for node in expression.evaluate(resource)] == ([reference] if found else [])


def test_resolve_finds_contained_resources_entries_of_the_bundle_and_asks_the_caller_for_the_rest() -> None:
    urn = "urn:uuid:6a4b9f9e-21c4-4b67-9d3c-0a4c5a6a0002"
    encounter = {"resourceType": "Encounter", "subject": {"reference": urn}}
    bundle = {
        "resourceType": "Bundle",
        "entry": [
            {"fullUrl": urn, "resource": PATIENT},
            {"fullUrl": "https://example.org/Encounter/e", "resource": encounter},
        ],
    }
    asked: list[str] = []

    def fetch(reference: str) -> dict[str, Any] | None:
        asked.append(reference)
        return {"resourceType": "Practitioner", "id": "7"} if reference == "Practitioner/7" else None

    assert values("Patient.managingOrganization.resolve().name", PATIENT) == ["Practice North"]
    assert values("Bundle.entry.resource.ofType(Encounter).subject.resolve().id", bundle) == ["p1"]
    assert values("entry.resource.managingOrganization.resolve().name", bundle) == ["Practice North"]
    assert values("Patient.generalPractitioner.resolve().id", PATIENT, resolve=fetch) == ["7"]
    assert asked == ["Practitioner/7", "Organization/8"]


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
    ],
)
def test_arithmetic_is_exact_and_empty_where_there_is_no_result(text: str, expected: list[Any]) -> None:
    assert values(text) == expected


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


def test_several_items_where_one_is_needed_are_an_error() -> None:
    with pytest.raises(Invalid, match="at most one item, not 3"):
        values("Patient.name.given.startsWith('A')", PATIENT)
    with pytest.raises(Invalid):
        values("Patient.name.where(given)", PATIENT)


def test_a_single_item_in_a_boolean_place_is_true() -> None:
    assert values("Patient.name.where(family).given", PATIENT) == ["Anna", "Maria"]
    assert values("Patient.id and Patient.active", PATIENT) == [True]


def test_descendants_keep_their_types() -> None:
    bundle = {"resourceType": "Bundle", "entry": [{"resource": OBSERVATION}]}

    assert values("descendants().where($this.is(Coding)).code", bundle) == ["29463-7", "w"]
    assert values("descendants().where($this is Quantity).unit", bundle) == ["kg"]


def test_the_callers_variables_are_seen_and_a_missing_one_is_an_error() -> None:
    assert values("%limit + 1", variables={"limit": 4}) == [5]
    assert values("%other.id", variables={"other": PATIENT}) == ["p1"]
    assert values("%many", variables={"many": ["a", True]}) == ["a", True]
    with pytest.raises(Invalid, match="%unknown"):
        values("%unknown")


@pytest.mark.parametrize("function", ["memberOf('urn:x')", "conformsTo('urn:x')", "elementDefinition()"])
def test_functions_that_need_terminology_or_profiles_are_not_supported(function: str) -> None:
    with pytest.raises(NotSupported):
        compiled(f"Patient.gender.{function}")


# --- syntax -------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("text", "place"),
    [
        ("name.", "character 6"),
        ("name.(x)", "character 6"),
        ("'open", "character 1"),
        ("1 + + ", "character 7"),
        ("a b", "character 3"),
        ("where(", "character 7"),
        ("@2024-13", "character 1"),
        ("name.nosuch()", "character 6"),
        ("name.first(1)", "character 6"),
        ("'\\q'", "character 2"),
        ("1 /* no end", "character 3"),
    ],
)
def test_a_mistake_is_refused_with_its_place(text: str, place: str) -> None:
    with pytest.raises(Invalid, match=place):
        compiled(text)


def test_deep_nesting_is_refused_before_it_fills_the_stack() -> None:
    with pytest.raises(Invalid, match="deeper"):
        compiled("(" * 5000 + "1" + ")" * 5000)
    with pytest.raises(Invalid, match="deeper"):
        compiled("a" + ".a" * 5000)


def test_names_may_be_quoted_in_the_ways_of_both_versions() -> None:
    assert values('`Patient`.name.`family` | Patient."name"."family"', PATIENT) == ["de Vries"]


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


# --- the budget ---------------------------------------------------------------------------------------------


def test_a_budget_stops_an_expression_that_visits_too_much() -> None:
    expression = compiled("Patient.descendants().descendants().count()", "Patient")

    assert expression.evaluate(PATIENT, budget=10_000)[0].value > 10
    with pytest.raises(TooCostly):
        expression.evaluate(PATIENT, budget=10)


def test_a_repeat_without_end_is_stopped() -> None:
    with pytest.raises(TooCostly):
        values("(1).repeat($this + 1)")


# --- lenient ------------------------------------------------------------------------------------------------


def test_lenient_takes_several_items_in_a_boolean_place_as_true() -> None:
    text = "Observation.code.where(coding.where(code)).exists() and Observation.code.coding"

    assert values(text, OBSERVATION, lenient=True) == [True]
    with pytest.raises(Invalid):
        values(text, OBSERVATION)


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("Patient.noSuchElement.exists()", [False]),
        ("Composition.descendants().where($this is Coding).all(code.exists())", [True]),
        ("NoSuchType.name", []),
        ("Patient.name.first().is(coding)", [False]),
        ("Patient.name.is(HumanName)", [False]),
        ("Patient.name.as(noSuchType)", []),
        ("'NL1 extra'.matches('NL[0-9]')", [False]),
        ("9.20 = 9.2", [True]),
    ],
)
def test_lenient_gives_nothing_for_what_does_not_exist(text: str, expected: list[Any]) -> None:
    assert values(text, PATIENT, lenient=True) == expected


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


def test_a_compiled_expression_is_shared_without_carrying_state() -> None:
    expression = compiled("Patient.name.given.where($index = 0)", "Patient")
    first = expression.evaluate(PATIENT)
    first.append(Node("x", "string"))

    assert [node.value for node in expression.evaluate(PATIENT)] == ["Anna"]
    assert [node.value for node in expression.evaluate({"resourceType": "Patient"})] == []
