"""Validation against the base specification, beyond structure: what is found, where, and what is left alone."""

from __future__ import annotations

from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from tests.generated import resources

from schakel.fhir import json, structure
from schakel.fhir.definitions import Definitions, definitions
from schakel.fhir.validation import Options, validate, validate_bytes

STU3, R4 = definitions("stu3"), definitions("r4")
BOTH = pytest.mark.parametrize("known", [STU3, R4], ids=["stu3", "r4"])
CORE = "http://hl7.org/fhir/StructureDefinition/"
DIV = '<div xmlns="http://www.w3.org/1999/xhtml">{}</div>'


def patient(**members: Any) -> dict[str, Any]:
    return {"resourceType": "Patient", **members}


def bundle(known: Definitions, kind: str, *entries: dict[str, Any]) -> dict[str, Any]:
    """A Bundle with what the invariants of its version ask of a document."""
    return {
        "resourceType": "Bundle",
        "type": kind,
        "identifier": {"system": "urn:ietf:rfc:3986", "value": "urn:oid:1.2.3"},
        **({"timestamp": "2024-01-01T00:00:00Z"} if known is R4 else {}),
        "entry": list(entries),
    }


def at(url: str, **resource: Any) -> dict[str, Any]:
    return {"fullUrl": url, "resource": resource}


def errors(resource: Any, known: Definitions = R4, **more: Any) -> list[tuple[str, str]]:
    """Issue type and place of every error."""
    issues = validate(resource, known, **more)
    return [(issue.issue, issue.expression) for issue in issues if issue.severity == "error"]


def others(resource: Any, known: Definitions = R4, **more: Any) -> list[str]:
    """Severity and message of what is no error."""
    issues = validate(resource, known, **more)
    return [f"{issue.severity} {issue.message}" for issue in issues if issue.severity != "error"]


# --- structure comes first ---------------------------------------------------------------------------------


@BOTH
@settings(max_examples=60, deadline=None, suppress_health_check=list(HealthCheck))
@given(st.data())
def test_what_the_write_check_finds_is_found_here_too(known: Definitions, data: st.DataObject) -> None:
    value = data.draw(resources(known))
    name = data.draw(st.sampled_from(sorted(value)))
    value[name] = data.draw(
        st.none() | st.just("") | st.just([]) | st.just({}) | st.just([[{}]]) | st.just(7)
    )
    found = validate(value, known)

    assert set(structure.check(value, known)) <= set(found)
    assert all(issue.message.startswith(f"{issue.expression}: ") for issue in found)


@BOTH
@settings(max_examples=40, deadline=None, suppress_health_check=list(HealthCheck))
@given(st.data())
def test_validation_leaves_the_resource_as_it_was(known: Definitions, data: st.DataObject) -> None:
    value = data.draw(resources(known))
    before = json.dump(value)
    validate(value, known)

    assert json.dump(value) == before


@pytest.mark.parametrize(
    ("data", "media"),
    [
        (b"{", "json"),
        (b'{"resourceType":"Patient","id":1,"id":2}', "json"),
        (b"[]", "json"),
        (b"<Patient", "xml"),
        (b'<Patient xmlns="http://hl7.org/fhir"><x/></Patient>', "xml"),
    ],
)
def test_what_cannot_be_read_is_an_issue(data: bytes, media: Any) -> None:
    (issue,) = validate_bytes(data, media, R4)

    assert (issue.severity, issue.issue) == ("error", "structure")


def test_bytes_are_validated_as_what_they_hold() -> None:
    in_xml = b'<Patient xmlns="http://hl7.org/fhir"><contact><gender value="male"/></contact></Patient>'

    assert validate_bytes(b'{"resourceType":"Patient","active":true}', "json", R4) == []
    assert [issue.expression for issue in validate_bytes(in_xml, "xml", STU3)] == ["Patient.contact[0]"]


def test_the_number_of_issues_is_bounded() -> None:
    many = patient(identifier=[{"system": "local"}] * 1000)

    assert len(validate(many, R4, options=Options(max_issues=20))) == 20


# --- invariants --------------------------------------------------------------------------------------------


@BOTH
def test_an_invariant_of_an_element_and_of_a_type_is_told_at_its_place(known: Definitions) -> None:
    period = {"start": "2024-02-01", "end": "2024-01-01"}
    found = errors(patient(contact=[{"gender": "male"}], name=[{"text": "A", "period": period}]), known)

    assert found == [("invariant", "Patient.contact[0]"), ("invariant", "Patient.name[0].period")]


def test_an_invariant_holds_for_content_that_is_defined_elsewhere() -> None:
    inner = {"linkId": "2", "type": "display", "code": [{"code": "x", "system": "urn:x"}]}
    questionnaire = {
        "resourceType": "Questionnaire",
        "status": "draft",
        "item": [{"linkId": "1", "type": "group", "item": [inner]}],
    }

    assert errors(questionnaire) == [("invariant", "Questionnaire.item[0].item[0]")]


def test_best_practice_is_off_unless_asked_for() -> None:
    asked = others(patient(active=True), options=Options(best_practice=True))

    assert others(patient(active=True)) == []
    assert asked == ["warning Patient: the rule dom-6 does not hold"]


@BOTH
def test_an_element_with_nothing_but_an_id_is_empty(known: Definitions) -> None:
    assert errors(patient(name=[{"id": "a"}]), known) == [("invariant", "Patient.name[0]")]
    assert errors(patient(_birthDate={"id": "a"}), known) == [("invariant", "Patient.birthDate")]
    assert errors(patient(birthDate="1970", _birthDate={"id": "a"}), known) == []


def test_an_id_stands_once_in_a_resource() -> None:
    names = [{"id": "n", "text": "A"}, {"id": "n", "text": "B"}]
    inside = {
        "resourceType": "Patient",
        "id": "c",
        "link": [{"other": {"reference": "#"}, "type": "seealso"}],
    }

    assert errors(patient(name=names)) == [("duplicate", "Patient.name[1]")]
    assert errors(patient(contained=[{**inside, "name": names[:1]}, {**inside, "id": "d"}])) == []


# --- codes -------------------------------------------------------------------------------------------------

ACTIVE = {"system": "http://terminology.hl7.org/CodeSystem/condition-clinical", "code": "active"}


def condition(**members: Any) -> dict[str, Any]:
    verified = "http://terminology.hl7.org/CodeSystem/condition-ver-status"
    return {
        "resourceType": "Condition",
        "subject": {"display": "someone"},
        "verificationStatus": {"coding": [{"system": verified, "code": "confirmed"}]},
        **members,
    }


def test_a_concept_with_a_required_binding_needs_one_of_its_codes() -> None:
    other = {"system": "urn:other", "code": "active"}

    assert errors(condition(clinicalStatus={"coding": [other, ACTIVE]})) == []
    for wrong in ({"coding": [other]}, {"text": "active"}, {"coding": [{"code": "active"}]}):
        assert ("code-invalid", "Condition.clinicalStatus") in errors(condition(clinicalStatus=wrong))


def test_a_value_set_that_is_not_enumerated_is_not_checked_and_that_is_said() -> None:
    structure_of = {"resourceType": "MolecularSequence", "coordinateSystem": 0}
    variant = {"structureVariant": [{"variantType": {"coding": [{"code": "x", "system": "urn:x"}]}}]}

    assert errors({**structure_of, **variant}) == []
    assert any("could not check codes" in text for text in others({**structure_of, **variant}))


@BOTH
def test_the_system_of_a_code_or_identifier_is_an_absolute_address_of_a_code_system(
    known: Definitions,
) -> None:
    def coded(system: str) -> dict[str, Any]:
        return patient(maritalStatus={"coding": [{"system": system, "code": "x"}]})

    place = "Patient.maritalStatus.coding[0].system"
    assert errors(coded("urn:x"), known) == []
    assert errors(coded("local"), known) == [("value", place)]
    assert errors(coded("http://hl7.org/fhir/ValueSet/marital-status"), known) == [("value", place)]
    assert errors(patient(identifier=[{"system": "bsn", "value": "1"}]), known) == [
        ("value", "Patient.identifier[0].system")
    ]
    for value, right in (("1.2.3", False), ("urn:oid:1.2.3", True), ("urn:oid:1.2.", False)):
        held = [{"system": "urn:ietf:rfc:3986", "value": value}]
        assert (errors(patient(identifier=held), known) == []) is right


@BOTH
def test_a_code_is_one_of_its_code_system_where_the_specification_holds_that_whole(
    known: Definitions,
) -> None:
    def told(system: str, code: str, **more: str) -> list[str]:
        coding = {"system": system, "code": code, **more}
        issues = validate(patient(maritalStatus={"coding": [coding]}), known)
        assert {issue.expression for issue in issues} <= {"Patient.maritalStatus.coding[0].code"}
        return [issue.severity for issue in issues]

    status = "http://hl7.org/fhir/observation-status"
    v3 = "http://hl7.org/fhir/v3/" if known is STU3 else "http://terminology.hl7.org/CodeSystem/v3-"
    assert told(status, "final") == told(f"{v3}MaritalStatus", "M") == told("urn:other", "x") == []
    assert told(status, "finished") == ["error"]
    assert told(status, "finished", version="6.0.0") == []
    assert told(f"{v3}MaritalStatus", "New") == ["warning"]


def test_the_stated_size_of_an_attachment_is_that_of_its_data() -> None:
    assert errors(patient(photo=[{"contentType": "image/png", "data": "YWJj", "size": 3}])) == []
    assert errors(patient(photo=[{"contentType": "image/png", "data": "YWJj", "size": 4}])) == [
        ("value", "Patient.photo[0]")
    ]


@BOTH
def test_a_narrative_has_no_scripts_and_no_links_that_run(known: Definitions) -> None:
    def told(content: str) -> list[tuple[str, str]]:
        return errors(patient(text={"status": "generated", "div": DIV.format(content)}), known)

    assert told('<p>A <a href="http://example.org">link</a> <a href="#x">here</a></p>') == []
    assert ("invariant", "Patient.text.div") in told("<script>alert(1)</script>")
    assert ("invariant", "Patient.text.div") in told('<p onclick="x()">A</p>')
    assert told('<a href="javascript:alert(1)">A</a>') == [("business-rule", "Patient.text.div")]


# --- references and contained resources --------------------------------------------------------------------


@BOTH
def test_a_reference_leads_to_a_type_that_may_stand_there(known: Definitions) -> None:
    def told(reference: str) -> list[tuple[str, str]]:
        return errors(patient(managingOrganization={"reference": reference}), known)

    for right in (
        "Organization/1",
        "http://a.example/fhir/Organization/1",
        "urn:uuid:x",
        "Organization/1/_history/2",
    ):
        assert told(right) == []
    for wrong in ("Patient/1", "http://a.example/fhir/Patient/1"):
        assert told(wrong) == [("structure", "Patient.managingOrganization")]
    assert told("Organisation/1") == [("value", "Patient.managingOrganization.reference")]
    assert ("not-found", "Patient.managingOrganization.reference") in told("#nobody")


def test_the_stated_type_of_a_reference_is_that_of_its_target() -> None:
    def told(**reference: str) -> list[tuple[str, str]]:
        return errors(patient(managingOrganization=reference))

    assert told(reference="Organization/1", type="Organization") == []
    assert told(type="Chicken") == [("value", "Patient.managingOrganization.type")]
    assert told(type="Patient", display="x") == [("structure", "Patient.managingOrganization")]
    assert ("value", "Patient.managingOrganization") in told(reference="Organization/1", type="Patient")


@BOTH
def test_a_contained_resource_has_an_id_of_its_own_and_is_used(known: Definitions) -> None:
    held = {"resourceType": "Organization", "id": "o", "name": "North"}
    uses = {"managingOrganization": {"reference": "#o"}}

    assert errors(patient(contained=[held], **uses), known) == []
    assert errors(patient(contained=[held]), known) == [("invariant", "Patient.contained[0]")]
    assert ("duplicate", "Patient.contained[1]") in errors(patient(contained=[held, held], **uses), known)
    nameless = {"resourceType": "Organization", "name": "North"}
    assert errors(patient(contained=[nameless]), known) == [("required", "Patient.contained[0]")]
    versioned = {**held, "meta": {"versionId": "1"}}
    assert errors(patient(contained=[versioned], **uses), known) == [("invariant", "Patient")]
    person = {"resourceType": "Patient", "id": "o", "active": True}
    assert errors(patient(contained=[person], **uses), known) == [
        ("structure", "Patient.managingOrganization")
    ]


def test_a_contained_resource_may_be_used_by_the_narrative_or_use_its_container() -> None:
    linked = {"status": "generated", "div": DIV.format('<a href="#o">North</a>')}
    held = {"resourceType": "Organization", "id": "o", "name": "North"}
    back = {"resourceType": "Basic", "id": "b", "code": {"text": "x"}, "subject": {"reference": "#"}}

    assert errors(patient(contained=[held], text=linked)) == []
    assert errors(patient(contained=[back])) == []


# --- Bundles -----------------------------------------------------------------------------------------------


@BOTH
def test_a_full_url_is_absolute_and_agrees_with_its_resource(known: Definitions) -> None:
    def told(url: str, **resource: Any) -> list[tuple[str, str]]:
        return errors(bundle(known, "collection", at(url, **patient(active=True, **resource))), known)

    assert told("urn:uuid:c757873d-ec9a-4326-a141-556f43239520") == []
    assert told("http://a.example/fhir/Patient/1", id="1") == []
    assert told("Patient/1", id="1") == [("value", "Bundle.entry[0].fullUrl")]
    for wrong in ({}, {"id": "2"}):
        assert told("http://a.example/fhir/Patient/1", **wrong) == [("value", "Bundle.entry[0]")]
    assert told("urn:uuid:C757873D-ec9a-4326-a141-556f43239520") == [("value", "Bundle.entry[0].fullUrl")]


BASE = "http://a.example/fhir/"


def composition(known: Definitions, *entries: str, author: str = "Practitioner/1") -> dict[str, Any]:
    return {
        "resourceType": "Composition",
        "id": "c",
        "status": "final",
        "type": {"text": "x"},
        "date": "2024",
        "title": "x",
        "subject": {"reference": "Patient/1"},
        "author": [{"reference": author}],
        "section": [{"entry": [{"reference": reference} for reference in entries]}] if entries else [],
    }


@BOTH
def test_a_document_holds_what_its_composition_refers_to_and_nothing_apart(known: Definitions) -> None:
    def told(*entries: dict[str, Any], **members: Any) -> list[tuple[str, str]]:
        head = composition(known, **members)
        if not head["section"]:
            del head["section"]
        people = [
            at(f"{BASE}Patient/1", resourceType="Patient", id="1", active=True),
            at(f"{BASE}Practitioner/1", resourceType="Practitioner", id="1", active=True),
        ]
        return errors(bundle(known, "document", at(f"{BASE}Composition/c", **head), *people, *entries), known)

    stray = at(f"{BASE}Organization/9", resourceType="Organization", id="9", name="Stray")
    assert told() == []
    assert told(stray) == [("business-rule", "Bundle.entry[3]")]
    assert told(author="Practitioner/2") == [
        ("not-found", "Bundle.entry[0].resource.author[0]"),
        ("business-rule", "Bundle.entry[2]"),
    ]


def test_a_reference_in_a_bundle_is_judged_by_what_it_finds() -> None:
    url = "urn:uuid:c757873d-ec9a-4326-a141-556f43239520"
    source = at(f"{BASE}Patient/1", **patient(id="1", managingOrganization={"reference": url}))

    def told(**target: Any) -> list[tuple[str, str]]:
        return errors(bundle(R4, "collection", source, at(url, **target)))

    assert told(resourceType="Organization", name="North") == []
    assert told(resourceType="Practitioner", active=True) == [
        ("structure", "Bundle.entry[0].resource.managingOrganization")
    ]


# --- extensions and profiles -------------------------------------------------------------------------------


def extended(url: str, **value: Any) -> dict[str, Any]:
    return {"url": url, **(value or {"valueString": "x"})}


@BOTH
def test_an_extension_has_an_absolute_url_without_a_version(known: Definitions) -> None:
    for wrong in ("local", "http://example.org/x|1"):
        assert errors(patient(extension=[extended(wrong)]), known) == [("value", "Patient.extension[0].url")]


@BOTH
def test_an_unknown_extension_is_told_once_and_an_unknown_modifier_is_an_error(known: Definitions) -> None:
    unknown = extended("http://example.org/x")

    assert others(patient(extension=[unknown, unknown]), known) == [
        "information Patient.extension[0]: could not check the extension http://example.org/x"
    ]
    assert errors(patient(extension=[unknown]), known) == []
    assert errors(patient(modifierExtension=[unknown]), known) == [
        ("extension", "Patient.modifierExtension[0]")
    ]


@BOTH
def test_an_extension_of_the_specification_stands_in_its_place_with_its_type(known: Definitions) -> None:
    place = CORE + ("patient-birthPlace" if known is R4 else "birthPlace")
    city = extended(place, valueAddress={"city": "Delft"})

    assert errors(patient(extension=[city]), known) == []
    assert errors(patient(name=[{"text": "A", "extension": [city]}]), known) == [
        ("extension", "Patient.name[0].extension[0]")
    ]
    assert errors(patient(extension=[extended(place)]), known) == [
        ("structure", "Patient.extension[0].value")
    ]
    assert errors(patient(modifierExtension=[city]), known) == [("extension", "Patient.modifierExtension[0]")]
    time = extended(CORE + "patient-birthTime", valueDateTime="1970-01-01T10:00:00Z")
    assert errors(patient(birthDate="1970-01-01", _birthDate={"extension": [time]}), known) == []
    assert errors(patient(extension=[time]), known) == [("extension", "Patient.extension[0]")]


def test_the_parts_of_an_extension_are_those_of_its_definition() -> None:
    species = {"url": "species", "valueCodeableConcept": {"text": "dog"}}

    def told(*parts: dict[str, Any]) -> list[tuple[str, str]]:
        return errors(patient(extension=[{"url": CORE + "patient-animal", "extension": list(parts)}]))

    assert told(species) == []
    assert told({"url": "breed", "valueCodeableConcept": {"text": "x"}}) == [
        ("required", "Patient.extension[0]")
    ]
    assert told(species, species) == [("structure", "Patient.extension[0]")]
    assert told(species, {"url": "age", "valueInteger": 3}) == [
        ("extension", "Patient.extension[0].extension[1]")
    ]
    assert told({"url": "species", "valueString": "dog"}) == [
        ("structure", "Patient.extension[0].extension[0].value")
    ]


def test_the_definition_of_an_extension_can_be_given() -> None:
    url = "http://example.org/ours"
    definition = {
        "resourceType": "StructureDefinition",
        "type": "Extension",
        "context": [{"type": "element", "expression": "Patient.name"}],
        "differential": {
            "element": [
                {"id": "Extension", "path": "Extension"},
                {"id": "Extension.value[x]", "path": "Extension.value[x]", "type": [{"code": "string"}]},
            ]
        },
    }

    def told(resource: dict[str, Any]) -> list[tuple[str, str]]:
        return errors(resource, find={url: definition}.get)

    assert told(patient(name=[{"extension": [extended(url)]}])) == []
    assert told(patient(extension=[extended(url)])) == [("extension", "Patient.extension[0]")]
    assert told(patient(name=[{"extension": [extended(url, valueInteger=1)]}])) == [
        ("structure", "Patient.name[0].extension[0].value")
    ]


@BOTH
def test_a_profile_could_not_be_checked_and_is_never_an_error(known: Definitions) -> None:
    url = "http://example.org/StructureDefinition/ours"
    claims = patient(active=True, meta={"profile": [url, CORE + "Patient"]})

    assert errors(claims, known) == []
    assert others(claims, known) == [f"warning Patient.meta.profile[0]: could not check the profile {url}"]
    assert others(patient(active=True), known, profiles=[url, CORE + "Patient"]) == [
        f"warning Patient: could not check the profile {url}"
    ]


# --- definitions -------------------------------------------------------------------------------------------


@BOTH
def test_the_definitions_say_what_belongs_to_a_summary_and_what_modifies(known: Definitions) -> None:
    elements = known.types["Patient"].elements

    assert elements["birthDate"].summary and not elements["photo"].summary
    assert elements["active"].modifier and not elements["gender"].modifier
    assert len(known.extensions) > 350
