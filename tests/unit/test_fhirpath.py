"""FHIRPath: paths, types, references, mistakes and limits, in strict and in lenient mode."""

from __future__ import annotations

from decimal import Decimal
from typing import Any

import pytest
from tests.expressions import OBSERVATION, PATIENT, compiled, values

from schakel.fhir.definitions import Version
from schakel.fhir.fhirpath import Node, compile_expression
from schakel.kernel.outcomes import Invalid, NotSupported

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


@pytest.mark.parametrize(("version", "own"), [("r4", "gp"), ("stu3", "p1")])
def test_a_contained_resource_is_its_own_resource_in_r4_and_its_container_in_stu3(
    version: Version, own: str
) -> None:
    [contained] = compiled("Patient.contained", "Patient", version=version).evaluate(PATIENT)
    found = compiled("%resource.id | %rootResource.id | %context.id", version=version).evaluate(contained)

    assert [node.value for node in found] == list(dict.fromkeys([own, "p1", "gp"]))


def test_a_resource_in_a_bundle_is_its_own_root() -> None:
    bundle = {"resourceType": "Bundle", "id": "b", "entry": [{"resource": PATIENT}]}
    [entry] = compiled("Bundle.entry.resource", "Bundle").evaluate(bundle)

    assert [node.value for node in compiled("%resource.id | %rootResource.id").evaluate(entry)] == ["p1"]
    assert values("entry.resource.select(%resource.id)", bundle) == ["b"]


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


@pytest.mark.parametrize("function", ["elementDefinition()", "slice('urn:x', 'y')"])
def test_functions_that_need_whole_profiles_are_not_supported(function: str) -> None:
    with pytest.raises(NotSupported):
        compiled(f"Patient.gender.{function}")


# --- profiles and terminology -------------------------------------------------------------------------------


class Known:
    """Answers for one profile, one value set and one hierarchy."""

    def conforms(self, resource: dict[str, Any], profile: str) -> bool:
        if profile != "urn:profile":
            raise NotSupported(f"the profile {profile} is not known here")
        return "birthDate" in resource

    def member_of(self, coded: Node, value_set: str) -> bool:
        return (coded.value, value_set) == ("official", "urn:uses")

    def subsumes(self, ancestor: Node, descendant: Node) -> bool:
        return str(descendant.value).startswith(str(ancestor.value))


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("Patient.conformsTo('urn:profile')", [True]),
        ("Patient.contained.conformsTo('urn:profile')", [False]),
        ("Patient.name[0].use.memberOf('urn:uses')", [True]),
        ("Patient.name[1].use.memberOf('urn:uses')", [False]),
        ("'off'.subsumes(Patient.name[0].use)", [True]),
        ("'off'.subsumedBy(Patient.name[0].use)", [False]),
        ("Patient.photo.conformsTo('urn:profile')", []),
    ],
)
def test_the_caller_answers_for_profiles_and_terminology(text: str, expected: list[Any]) -> None:
    assert values(text, PATIENT, profiles=Known(), terminology=Known()) == expected


@pytest.mark.parametrize("function", ["conformsTo('urn:profile')", "memberOf('urn:x')", "subsumes('x')"])
def test_what_nobody_can_check_is_an_error_and_not_false(function: str) -> None:
    expression = compiled(f"Patient.{function}")

    with pytest.raises(NotSupported, match="could not be checked"):
        expression.evaluate(PATIENT)


def test_a_profile_that_is_not_known_is_an_error_and_not_false() -> None:
    with pytest.raises(NotSupported, match="not known"):
        values("Patient.conformsTo('urn:other')", PATIENT, profiles=Known())


def test_a_modifier_extension_that_the_expression_does_not_know_is_an_error() -> None:
    changed = {**PATIENT, "modifierExtension": [{"url": "urn:a"}, {"url": "urn:b"}]}

    assert values("checkModifiers('urn:a', 'urn:b').id", changed) == ["p1"]
    with pytest.raises(Invalid, match="modifier extension"):
        values("checkModifiers('urn:a')", changed)


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


def test_names_may_be_quoted_in_the_ways_of_both_versions() -> None:
    assert values('`Patient`.name.`family` | Patient."name"."family"', PATIENT) == ["de Vries"]


# --- without definitions -------------------------------------------------------------------------------------


def test_without_definitions_names_are_those_of_the_json() -> None:
    def found(text: str, subject: dict[str, Any]) -> list[Any]:
        return [node.value for node in compile_expression(text, None).evaluate(subject)]

    assert found("Observation.valueQuantity.unit", OBSERVATION) == ["kg"]
    assert found("Observation.value", OBSERVATION) == []
    assert found("Settings.depth + 1", {"Settings": {"depth": 2}}) == [3]
    assert found("Patient.name.given.id", PATIENT) == ["second"]
    assert found("contained.where($this is Organization).name", PATIENT) == ["Practice North"]
    assert found("Patient.birthDate.extension('urn:estimated').valueBoolean", PATIENT) == [True]


# --- what only STU3 takes -------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("text", "expected"),
    [("'1'.isInteger()", [True]), ("'x'.isDecimal()", [False]), ("(true | false).all()", [False])],
)
def test_the_drafts_of_stu3_are_taken_by_stu3_alone(text: str, expected: list[Any]) -> None:
    assert [node.value for node in compiled(text, version="stu3").evaluate({})] == expected
    with pytest.raises(Invalid):
        compiled(text, version="r4")


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


def test_a_compiled_expression_is_shared_without_carrying_state() -> None:
    expression = compiled("Patient.name.given.where($index = 0)", "Patient")
    first = expression.evaluate(PATIENT)
    first.append(Node("x", "string"))

    assert [node.value for node in expression.evaluate(PATIENT)] == ["Anna"]
    assert [node.value for node in expression.evaluate({"resourceType": "Patient"})] == []
