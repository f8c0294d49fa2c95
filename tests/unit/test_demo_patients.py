"""The demo region's patients: determinism, test BSNs, and what the published suites ask of stored data."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from datetime import date
from typing import Any

import pytest

from schakel.demo import cast
from schakel.demo.patients import Region, named_patients, region, versions_at
from schakel.demo.patients.elements import LOINC, SNOMED
from schakel.demo.people import LEADS, MAX_PERSONS, persons
from schakel.fhir import definitions
from schakel.fhir.definitions import Definitions, Version
from schakel.fhir.json import FhirDecimal, Resource, dump, parse
from schakel.fhir.structure import check
from schakel.kernel.values import BSN_SYSTEM, Bsn

TODAY = date(2026, 11, 21)
SLUGS = [place.slug for place in cast.ORGANISATIONS]
GP, PHARMACY = cast.GENERAL_PRACTICE.slug, cast.PHARMACY.slug

Part = tuple[str, Version]
"""What one organisation holds in one FHIR version."""

PARTS: list[Part] = [(slug, version) for slug in SLUGS for version in versions_at(slug)]
Held = dict[Part, list[Resource]]


@pytest.fixture(scope="module")
def somewhere() -> Region:
    """A region of sixty patients."""
    return region(60, today=TODAY)


@pytest.fixture(scope="module")
def held(somewhere: Region) -> Held:
    """Everything in that region, per organisation and version."""
    return {(slug, version): list(somewhere.resources(slug, version)) for slug, version in PARTS}


def as_bytes(where: Region, slug: str, version: Version = "stu3") -> bytes:
    return b"\n".join(dump(resource) for resource in where.resources(slug, version))


def typed(node: Any, kind: str, known: Definitions) -> Iterator[tuple[str, dict[str, Any]]]:
    """Every complex element of a resource with the name of its type, the resource itself first."""
    yield kind, node
    for name, value in node.items():
        by_name = known.types[kind].by_json_name
        if name.startswith("_"):
            kinds = ["Element"]
        elif name in by_name:
            kinds = [by_name[name][1]]
        else:
            continue
        for child in value if isinstance(value, list) else [value]:
            if isinstance(child, dict):
                yield from typed(child, kinds[0], known)


def elements(held: Held, kind: str) -> Iterator[tuple[str, dict[str, Any]]]:
    """Every element of that type in all organisations, with the id of its resource."""
    for (_, version), resources in held.items():
        for resource in resources:
            for found, node in typed(resource, resource["resourceType"], definitions(version)):
                if found == kind:
                    yield f"{resource['resourceType']}/{resource['id']}", node


# Determinism


@pytest.mark.parametrize("part", PARTS)
def test_the_same_seed_and_day_give_the_same_bytes(part: Part) -> None:
    first, second = (region(12, seed=7, today=TODAY) for _ in range(2))
    assert as_bytes(first, *part) == as_bytes(second, *part) != b""


def test_another_seed_gives_other_people_and_other_data() -> None:
    first, second = region(12, seed=1, today=TODAY), region(12, seed=2, today=TODAY)
    assert {who.bsn for who in first.persons}.isdisjoint(who.bsn for who in second.persons)
    assert as_bytes(first, "ziekenhuis-noord") != as_bytes(second, "ziekenhuis-noord")


def test_the_first_patients_are_the_same_in_a_larger_region(somewhere: Region) -> None:
    small = region(10, today=TODAY)
    assert small.persons == somewhere.persons[:10]
    for person in small.persons:
        for slug, version in PARTS:
            assert small.chart(slug, person, version) == somewhere.chart(slug, person, version)


def test_dates_move_with_the_day() -> None:
    later = date(2027, 3, 1)
    chart = region(1, today=later).chart("ziekenhuis-noord", region(1, today=later).persons[0])
    measured = [
        resource["effectiveDateTime"][:10] for resource in chart if resource["id"].startswith("bloodpressure")
    ]
    assert len(measured) >= 4 and measured == sorted(measured)
    assert (later - date.fromisoformat(measured[-1])).days < 400


def test_a_region_without_patients_holds_nothing() -> None:
    empty = region(0, today=TODAY)
    assert named_patients(empty) == ()
    assert [list(empty.resources(*part)) for part in PARTS] == [[] for _ in PARTS]


@pytest.mark.parametrize("count", [-1, MAX_PERSONS + 1])
def test_an_impossible_number_of_patients_is_refused(count: int) -> None:
    with pytest.raises(ValueError, match="patients"):
        region(count, today=TODAY)


# The cast


def test_the_cast_has_eight_organisations_of_two_operators_with_their_own_numbers() -> None:
    assert (
        len({place.ura for place in cast.ORGANISATIONS})
        == len({place.slug for place in cast.ORGANISATIONS})
        == 8
    )
    assert {place.operator for place in cast.ORGANISATIONS} == set(cast.OPERATORS)
    assert {place.operator for place in cast.HOSPITALS} == set(cast.OPERATORS)
    reserved = {"portal", "health", "metrics", "static", "openapi.json", ".well-known"}
    assert reserved.isdisjoint(SLUGS)
    assert all(len(place.ura) == 8 and place.ura.startswith("990001") for place in cast.ORGANISATIONS)


def test_everyone_who_acts_for_another_names_a_colleague() -> None:
    everyone = cast.people()
    assert len({who.number for _, who in everyone}) == len(everyone)
    for place, who in everyone:
        if who.responsible:
            colleague = next(other for other in place.professionals if other.number == who.responsible)
            assert colleague.role_code.startswith("01.") and not colleague.responsible


def test_an_organisation_is_found_by_slug_and_by_ura() -> None:
    for place in cast.ORGANISATIONS:
        assert cast.organisation(place.slug) is cast.organisation(place.ura) is place
    with pytest.raises(KeyError):
        cast.organisation("elders")


# People


def test_every_bsn_is_from_the_test_range_and_unique() -> None:
    numbers = [person.bsn for person in persons(2000, 1, TODAY)]
    assert len(set(numbers)) == 2000
    for number in numbers:
        assert Bsn(number) == number and number.startswith("999") and not number.startswith("9999")


def test_no_one_has_data_from_before_their_birth(held: Held, somewhere: Region) -> None:
    born = {person.number: person.birth_date.isoformat() for person in somewhere.persons}
    dated = 0
    for resources in held.values():
        for resource in resources:
            when = resource.get("effectiveDateTime") or resource.get("period", {}).get("start")
            if when and resource["resourceType"] in ("Observation", "Encounter"):
                number = int(resource["id"].split("-")[2])
                assert when[:10] >= born[number], resource["id"]
                dated += 1
    assert dated > 1000


def test_patients_are_spread_over_the_organisations(somewhere: Region) -> None:
    known = {slug: len(somewhere.known_at(slug)) for slug in SLUGS}
    assert known["huisartsen-aabrink"] == known["apotheek-vijzelbrink"] == 60
    assert 22 <= known["ziekenhuis-noord"] <= 42 and 14 <= known["ziekenhuis-zuid"] <= 32
    assert min(known.values()) >= 3


# What the published suites assert of every response


def test_every_resource_has_an_id_of_its_own_and_a_profile(held: Held) -> None:
    for part, resources in held.items():
        keys = [(resource["resourceType"], resource["id"]) for resource in resources]
        assert len(set(keys)) == len(keys), part
        for resource in resources:
            assert resource["meta"]["profile"] and all(
                profile.startswith(("http://nictiz.nl/fhir/StructureDefinition/", "http://fhir.nl/fhir/"))
                for profile in resource["meta"]["profile"]
            )


def test_every_coding_has_system_code_and_display(held: Held) -> None:
    seen = 0
    for where, coding in elements(held, "Coding"):
        seen += 1
        assert coding["system"] and coding["code"] and coding["display"], where
        assert not coding["system"].startswith("urn:oid:2.16.840.1.113883.2.4.3.11.60.40.2"), where
    assert seen > 10_000


def test_a_code_has_one_display_everywhere(held: Held) -> None:
    displays: dict[tuple[str, str], set[str]] = {}
    for _, coding in elements(held, "Coding"):
        if coding["system"] in (SNOMED, LOINC):
            displays.setdefault((coding["system"], coding["code"]), set()).add(coding["display"].lower())
    assert {code: names for code, names in displays.items() if len(names) > 1} == {}


def test_every_concept_can_be_shown(held: Held) -> None:
    for where, concept in elements(held, "CodeableConcept"):
        assert concept.get("text") or any(coding.get("display") for coding in concept["coding"]), where


def test_every_reference_has_a_display_and_resolves_at_its_own_organisation_and_version(held: Held) -> None:
    elsewhere = 0
    agreed = {i["value"] for r in held[GP, "r4"] for i in r.get("identifier", [])}
    for part, resources in held.items():
        there = {f"{resource['resourceType']}/{resource['id']}" for resource in resources}
        for where, reference in elements({part: resources}, "Reference"):
            assert reference["display"], where
            assert "type" not in reference or reference["type"] in str(reference.get("reference", reference))
            if "identifier" in reference:
                assert part == (PHARMACY, "r4") and reference["identifier"]["value"] in agreed, where
                elsewhere += 1
            else:
                assert reference["reference"] in there, where
    assert elsewhere > 60


def test_every_identifier_has_system_and_value(held: Held) -> None:
    systems = set()
    for where, identifier in elements(held, "Identifier"):
        assert identifier["system"] and identifier["value"], where
        systems.add(identifier["system"])
    assert BSN_SYSTEM in systems


@pytest.mark.parametrize("part", PARTS)
def test_the_base_structure_of_every_resource_is_right(part: Part, held: Held) -> None:
    for resource in held[part]:
        assert check(resource, definitions(part[1]), lenient=False) == [], resource["id"]


def test_nothing_is_null_or_empty(held: Held) -> None:
    def full(value: Any) -> bool:
        if isinstance(value, dict):
            return bool(value) and all(map(full, value.values()))
        if isinstance(value, list):
            return bool(value) and all(map(full, value))
        return value is not None and value != ""

    assert [r["id"] for resources in held.values() for r in resources if not full(r)] == []


def test_every_resource_survives_json(held: Held) -> None:
    for resource in held["ziekenhuis-noord", "stu3"]:
        assert parse(dump(resource)) == resource


def test_a_decimal_keeps_its_last_zero(held: Held) -> None:
    texts = {
        node["value"].text
        for _, node in elements(held, "Quantity")
        if isinstance(node.get("value"), FhirDecimal)
    }
    assert any(text.endswith(".0") for text in texts) and any(
        text.endswith("0") and "." in text for text in texts
    )


# The BgZ of the named patients: the rows of the BgZ-MSZ set


def coded(resource: Resource, element: str, *codes: str) -> bool:
    """Whether that CodeableConcept of the resource, or one of a list, has one of the codes."""
    concepts = resource.get(element, [])
    concepts = concepts if isinstance(concepts, list) else [concepts]
    return any(coding["code"] in codes for concept in concepts for coding in concept.get("coding", []))


Row = tuple[str, Callable[[Resource], bool]]
ROWS: dict[str, Row] = {
    "1 Patient": ("Patient", lambda r: bool(r["generalPractitioner"])),
    "2 Payer": ("Coverage", lambda r: r["payor"][0]["reference"].startswith("Organization/")),
    "3 TreatmentDirective": ("Consent", lambda r: coded(r, "category", "11291000146105")),
    "4 AdvanceDirective": ("Consent", lambda r: coded(r, "category", "11341000146107")),
    "5 MaritalStatus": ("Patient", lambda r: "maritalStatus" in r),
    "6 FunctionalOrMentalStatus": ("Observation", lambda r: coded(r, "category", "118228005", "384821006")),
    "7 Problem": ("Condition", lambda r: True),
    "8 LivingSituation": ("Observation", lambda r: coded(r, "code", "365508006")),
    "9 DrugUse": ("Observation", lambda r: coded(r, "code", "228366006")),
    "10 AlcoholUse": ("Observation", lambda r: coded(r, "code", "228273003")),
    "11 TobaccoUse": ("Observation", lambda r: coded(r, "code", "365980008")),
    "12 NutritionAdvice": ("NutritionOrder", lambda r: True),
    "13 Alert": ("Flag", lambda r: True),
    "14 AllergyIntolerance": ("AllergyIntolerance", lambda r: True),
    "15 MedicationUse": (
        "MedicationStatement",
        lambda r: coded(r, "category", "6") and "medicationReference" in r,
    ),
    "16 MedicationAgreement": ("MedicationRequest", lambda r: coded(r, "category", "16076005")),
    "17 AdministrationAgreement": ("MedicationDispense", lambda r: coded(r, "category", "422037009")),
    "18 MedicalDevice": ("DeviceUseStatement", lambda r: r["device"]["reference"].startswith("Device/")),
    "19 Vaccination": ("Immunization", lambda r: r["status"] == "completed"),
    "20 BloodPressure": ("Observation", lambda r: coded(r, "code", "85354-9")),
    "21 BodyWeight": ("Observation", lambda r: coded(r, "code", "29463-7")),
    "22 BodyHeight": ("Observation", lambda r: coded(r, "code", "8302-2")),
    "23 LaboratoryTestResult": (
        "Observation",
        lambda r: coded(r, "category", "49581000146104") and "related" in r,
    ),
    "24 Encounter": ("Encounter", lambda r: True),
    "25 Procedure": (
        "Procedure",
        lambda r: coded(r, "category", "387713003", "258174001") and "basedOn" in r,
    ),
    "26 Planned procedure": ("ProcedureRequest", lambda r: r["status"] == "active"),
    "27 CareTeam": ("CareTeam", lambda r: r["status"] == "active" and bool(r["participant"])),
    "Metadata": ("Provenance", lambda r: r["activity"]["code"] == "CREATE"),
}


@pytest.mark.parametrize("slug", [place.slug for place in cast.HOSPITALS])
@pytest.mark.parametrize("number", range(1, len(LEADS) + 1))
def test_a_named_patient_has_a_complete_bgz(somewhere: Region, number: int, slug: str) -> None:
    chart = somewhere.chart(slug, somewhere.persons[number - 1])
    missing = [
        name
        for name, (kind, fits) in ROWS.items()
        if not any(resource["resourceType"] == kind and fits(resource) for resource in chart)
    ]
    assert missing == []


def test_the_last_blood_pressure_is_one_of_several(somewhere: Region) -> None:
    for person in somewhere.persons[: len(LEADS)]:
        chart = somewhere.chart("ziekenhuis-zuid", person)
        times = [r["effectiveDateTime"] for r in chart if coded(r, "code", "85354-9")]
        assert len(times) >= 4 and len(set(times)) == len(times)


def test_not_every_patient_has_everything(somewhere: Region) -> None:
    sparse = [
        person
        for person in somewhere.known_at("ziekenhuis-noord")
        if not any(r["resourceType"] == "Consent" for r in somewhere.chart("ziekenhuis-noord", person))
    ]
    assert sparse


def test_named_patients_tell_where_they_are_known(somewhere: Region) -> None:
    named = named_patients(somewhere)
    assert [who.bsn for who in named] == [person.bsn for person in somewhere.persons[: len(LEADS)]]
    for who, person in zip(named, somewhere.persons, strict=False):
        assert {"ziekenhuis-noord", "ziekenhuis-zuid", "huisartsen-aabrink"} <= set(who.known_at)
        there = {slug for slug, version in PARTS if somewhere.chart(slug, person, version)}
        assert who.known_at == tuple(slug for slug in SLUGS if slug in there)


def test_a_small_share_is_entered_in_error_and_says_so(held: Held) -> None:
    resources = held["ziekenhuis-noord", "stu3"] + held["ziekenhuis-zuid", "stu3"]
    wrong = [
        resource
        for resource in resources
        if "entered-in-error" in (resource.get("status"), resource.get("verificationStatus"))
    ]
    assert {"Observation", "Condition", "AllergyIntolerance", "MedicationStatement"} == {
        resource["resourceType"] for resource in wrong
    }
    assert 0 < len(wrong) / len(resources) < 0.02
    assert not any("clinicalStatus" in r for r in wrong if r["resourceType"] == "AllergyIntolerance")


def test_an_interpretation_agrees_with_the_reference_range(held: Held) -> None:
    seen = {"H": 0, "L": 0, "": 0}
    for resource in held["ziekenhuis-noord", "stu3"]:
        if resource["resourceType"] != "Observation" or "referenceRange" not in resource:
            continue
        value, limits = resource["valueQuantity"]["value"], resource["referenceRange"][0]
        flag = resource["interpretation"]["coding"][0]["code"] if "interpretation" in resource else ""
        seen[flag] += 1
        high = "high" in limits and value > limits["high"]["value"]
        low = "low" in limits and value < limits["low"]["value"]
        assert flag == ("H" if high else "L" if low else ""), resource["id"]
    assert all(seen.values())


# One story in two versions


MEDICATION = {"MedicationRequest", "MedicationDispense", "MedicationStatement", "Medication", "Immunization"}


def test_the_gp_practice_and_the_pharmacy_keep_medication_and_vaccinations_as_r4(held: Held) -> None:
    assert [part for part in PARTS if part[1] == "r4"] == [(GP, "r4"), (PHARMACY, "r4")]
    assert (PHARMACY, "stu3") not in held and (GP, "stu3") in held
    assert MEDICATION.isdisjoint(r["resourceType"] for r in held[GP, "stu3"])
    assert MEDICATION - {"MedicationDispense"} <= {r["resourceType"] for r in held[GP, "r4"]}
    assert "MedicationDispense" in {r["resourceType"] for r in held[PHARMACY, "r4"]}


BLOCKS = {
    "mp-MedicationAgreement": ("MedicationRequest", "33633005", GP),
    "mp-VariableDosingRegimen": ("MedicationRequest", "395067002", GP),
    "mp-MedicationUse2": ("MedicationStatement", "422979000", GP),
    "mp-AdministrationAgreement": ("MedicationDispense", "422037009", PHARMACY),
    "mp-MedicationDispense": ("MedicationDispense", "373784005", PHARMACY),
}


def extended(resource: Resource, name: str) -> Any:
    """The value of the extension with that name; None when there is none."""
    for extension in resource.get("extension", []):
        if extension["url"].endswith("/" + name):
            return next(value for key, value in extension.items() if key != "url")
    return None


def block(resource: Resource) -> str:
    """The name of the resource's profile."""
    name: str = resource["meta"]["profile"][0]
    return name.rpartition("/")[2]


@pytest.mark.parametrize("name", BLOCKS)
def test_every_kind_of_building_block_has_its_category_and_its_treatment(held: Held, name: str) -> None:
    kind, category, slug = BLOCKS[name]
    found = [r for r in held[slug, "r4"] if block(r) == name]
    assert found
    for resource in found:
        assert resource["resourceType"] == kind and coded(resource, "category", category)
        treatment = extended(resource, "ext-PharmaceuticalTreatment.Identifier")
        assert treatment["value"] == f"{resource['id'].split('-')[2]}-{product(resource)}"


def product(resource: Resource) -> str:
    """The key of the medicine, the same in both versions."""
    target: str = resource["medicationReference"]["reference"]
    return target.removeprefix("Medication/product-")


def test_medication_is_the_same_story_at_the_hospital_in_stu3_and_at_gp_and_pharmacy_in_r4(
    somewhere: Region,
) -> None:
    """Product, treatment, period and instruction of each agreement agree."""

    def told(resource: Resource, treatment: str, use: str, text: str) -> tuple[Any, ...]:
        value = extended(resource, treatment)
        return product(resource), value["system"], value["value"], str(extended(resource, use)), text

    compared = 0
    for person in somewhere.known_at("ziekenhuis-noord"):
        hospital = {
            told(r, "zib-Medication-MedicationTreatment", "zib-Medication-PeriodOfUse",
                 r["dosageInstruction"][0]["text"])
            for r in somewhere.chart("ziekenhuis-noord", person) if r["resourceType"] == "MedicationRequest"
        }  # fmt: skip
        for slug, name in ((GP, "mp-MedicationAgreement"), (PHARMACY, "mp-AdministrationAgreement")):
            theirs = {
                told(r, "ext-PharmaceuticalTreatment.Identifier", "ext-TimeInterval.Period",
                     extended(r, "ext-RenderedDosageInstruction"))
                for r in somewhere.chart(slug, person, "r4") if block(r) == name
            }  # fmt: skip
            assert theirs == hospital
            compared += len(theirs)
    assert compared > 100


def test_a_dosing_regimen_stands_beside_the_agreement_that_refers_to_it(held: Held) -> None:
    agreements = {
        f"MedicationRequest/{r['id']}": r for r in held[GP, "r4"] if block(r) == "mp-MedicationAgreement"
    }
    for resource in held[GP, "r4"]:
        if block(resource) == "mp-VariableDosingRegimen":
            agreed = agreements[resource["basedOn"][0]["reference"]]
            assert "doseAndRate" not in agreed["dosageInstruction"][0]
            days = len(resource["dosageInstruction"])
            use = extended(resource, "ext-TimeInterval.Period")
            first, last = (date.fromisoformat(use[side]) for side in ("start", "end"))
            assert (last - first).days == days - 1 and first <= TODAY <= last


def test_a_vaccination_names_its_product_and_is_the_one_the_hospital_was_told_of(
    somewhere: Region, held: Held
) -> None:
    products = {f"Medication/{r['id']}": r for r in held[GP, "r4"] if r["resourceType"] == "Medication"}
    for person in somewhere.known_at("ziekenhuis-noord"):
        given = set()
        for resource in somewhere.chart(GP, person, "r4"):
            if resource["resourceType"] == "Immunization":
                target = extended(resource, "ext-imm-Vaccination.PharmaceuticalProduct")["reference"]
                codes = {coding["code"] for coding in products[target]["code"]["coding"]}
                assert codes == {coding["code"] for coding in resource["vaccineCode"]["coding"]}
                given |= {(code, resource["occurrenceDateTime"]) for code in codes}
        told = {
            (r["vaccineCode"]["coding"][0]["code"], r["date"])
            for r in somewhere.chart("ziekenhuis-noord", person)
            if r["resourceType"] == "Immunization"
        }
        assert told <= given


def test_a_patient_is_the_same_person_in_both_versions(somewhere: Region) -> None:
    for person in somewhere.persons:
        stu3, r4 = somewhere.chart(GP, person)[0], somewhere.chart(GP, person, "r4")[0]
        for element in ("identifier", "name", "gender", "birthDate", "deceasedBoolean", "active"):
            assert stu3[element] == r4[element]
        assert stu3["address"][0]["line"] == r4["address"][0]["line"]
