"""The search parameters that exchanges add: medication of MP9 (R4) and zib 2017 (STU3), care plans, vaccinations."""

from __future__ import annotations

from collections.abc import AsyncIterator
from typing import Any
from xml.etree import ElementTree

import pytest
import pytest_asyncio
from tests.searching import SNOMED, concept, filled, found, listed, resource, to
from tests.shared import shared

from schakel.fhir.definitions import VERSIONS, definitions
from schakel.fhir.definitions.added import ADDED
from schakel.kernel.outcomes import Invalid, NotSupported
from schakel.store.embedded import EmbeddedServer
from schakel.store.resources import Store

EXT = "http://nictiz.nl/fhir/StructureDefinition/"
MA, TA = concept((SNOMED, "33633005")), concept((SNOMED, "422037009"))


def extension(name: str, **value: Any) -> dict[str, Any]:
    return {"url": EXT + name, **value}


def lasting(number: int, unit: str, name: str = "ext-TimeInterval.Duration") -> dict[str, Any]:
    code = {"system": "http://unitsofmeasure.org", "code": unit}
    return extension(name, valueDuration={"value": number, **code})


def agreement(
    logical_id: str,
    treatment: str,
    authored: str,
    period: dict[str, Any],
    stop: bool = False,
    patient: str = "p",
    category: dict[str, Any] = MA,
) -> dict[str, Any]:
    stopped = [extension("ext-StopType", valueCodeableConcept=concept((SNOMED, "410546004")))]
    return resource(
        "MedicationRequest",
        logical_id,
        status="active",
        intent="order",
        category=[category],
        subject=to(f"Patient/{patient}"),
        medicationReference=to("Medication/m"),
        authoredOn=authored,
        extension=[
            extension(
                "ext-PharmaceuticalTreatment.Identifier",
                valueIdentifier={"system": "urn:mbh", "value": treatment},
            ),
            extension("ext-TimeInterval.Period", valuePeriod=period),
        ],
        **({"modifierExtension": stopped} if stop else {}),
    )


MEDICATION = [
    resource("Medication", "m", code=concept((SNOMED, "1"))),
    agreement("days", "A", "2024-01-01", {"start": "2024-01-01", "extension": [lasting(7, "d")]}),
    agreement("before", "B", "2024-01-01", {"end": "2024-03-10", "extension": [lasting(1, "wk")]}),
    agreement("months", "C", "2024-01-31", {"start": "2024-01-31", "extension": [lasting(1, "mo")]}),
    agreement("open", "D", "2024-01-01", {"start": "2024-05-01"}),
    agreement(
        "closed",
        "E",
        "2024-01-01",
        {"start": "2024-01-01", "end": "2024-01-02", "extension": [lasting(9, "a")]},
    ),
    agreement("stop-1", "D", "2024-06-01", {"start": "2022-01-01", "end": "2022-02-01"}, stop=True),
    agreement("stop-2", "D", "2024-07-01", {"start": "2023-01-01", "end": "2023-02-01"}, stop=True),
    agreement(
        "stop-ta", "D", "2024-05-01", {"start": "2021-01-01", "end": "2021-02-01"}, stop=True, category=TA
    ),
    agreement(
        "stop-q", "D", "2025-07-01", {"start": "2023-01-01", "end": "2023-02-01"}, stop=True, patient="q"
    ),
    resource(
        "MedicationStatement",
        "use",
        status="active",
        category=concept((SNOMED, "422979000")),
        subject=to("Patient/p"),
        medicationReference=to("Medication/m"),
        effectivePeriod={"start": "2024-01-01T00:00:00Z", "extension": [lasting(36, "h")]},
        extension=[
            extension("ext-MedicationUse2.Author", valueReference=to("Patient/p")),
            extension("ext-MedicationUse2.Prescriber", valueReference=to("PractitionerRole/r")),
        ],
    ),
    resource(
        "MedicationDispense",
        "given",
        status="completed",
        category=TA,
        subject=to("Patient/p"),
        location=to("Location/l"),
        medicationReference=to("Medication/m"),
    ),
    resource(
        "MedicationAdministration",
        "taken",
        status="completed",
        category=MA,
        subject=to("Patient/p"),
        medicationReference=to("Medication/m"),
        effectiveDateTime="2024-01-01",
    ),
    resource(
        "MedicationRequest",
        "rich",
        status="active",
        intent="order",
        subject=to("Patient/p"),
        medicationReference=to("Medication/m"),
        reasonReference=[to("Condition/c")],
        extension=[
            extension("ext-MedicationAgreement.NextPractitioner", valueReference=to("PractitionerRole/r"))
        ],
        dispenseRequest={
            "extension": [extension("ext-DispenseRequest.DispenseLocation", valueReference=to("Location/l"))]
        },
    ),
    resource("Condition", "c", subject=to("Patient/p")),
    resource("Location", "l", name="Balie"),
    resource("PractitionerRole", "r", practitioner=to("Practitioner/d")),
    resource("Practitioner", "d"),
    resource(
        "Immunization",
        "shot",
        status="completed",
        vaccineCode=concept((SNOMED, "1")),
        patient=to("Patient/p"),
        occurrenceDateTime="2024-01-01",
        extension=[extension("ext-imm-Vaccination.PharmaceuticalProduct", valueReference=to("Medication/m"))],
    ),
]


@pytest_asyncio.fixture(scope="module", loop_scope="session")
async def r4(cluster: EmbeddedServer) -> AsyncIterator[Store]:
    async with filled(cluster, "mp9", MEDICATION, "r4") as store:
        yield store


@pytest.mark.parametrize(
    ("kind", "text", "expected"),
    [
        ("MedicationRequest", "pharmaceutical-treatment-identifier=urn:mbh|A", "days"),
        ("MedicationRequest", "period-of-use=ge2024-01-07&period-of-use=le2024-01-07", "days"),
        ("MedicationRequest", "period-of-use=ge2024-02-28&period-of-use=lt2024-02-29", "months"),
        ("MedicationRequest", "period-of-use=ge2024-03-01&period-of-use=lt2024-03-03", ""),
        ("MedicationRequest", "period-of-use=ge2024-03-09&period-of-use=le2024-03-09", "before"),
        ("MedicationRequest", "patient=p&period-of-use=lt2024-03-04&period-of-use=gt2024-03-02", "before"),
        ("MedicationRequest", "period-of-use=gt2024-05-02", "open"),
        ("MedicationRequest", "patient=p&period-of-use=lt2023", "stop-1 stop-ta"),
        ("MedicationRequest", "period-of-use:missing=true", "rich"),
        # the latest stops
        ("MedicationRequest", "patient=p&period-of-use=ge2024-04&is-latest-stop=true", "open stop-2 stop-ta"),
        ("MedicationRequest", "patient=p&period-of-use=ge2024-04&is-latest-stop=false", "open"),
        (
            "MedicationRequest",
            f"patient=p&category={SNOMED}|33633005&period-of-use=ge2024-04&is-latest-stop=true",
            "open stop-2",
        ),
        ("MedicationRequest", "period-of-use=ge2024-04&is-latest-stop=true", "open stop-2 stop-q stop-ta"),
        ("MedicationRequest", "patient=q&is-latest-stop=true", "stop-q"),
        (
            "MedicationRequest",
            "patient=p&period-of-use=ge2024-04&period-of-use=lt2024-05-03&is-latest-stop=true&status=active",
            "open stop-2 stop-ta",
        ),
        ("MedicationRequest", "patient=p&is-latest-stop=true&status=completed&period-of-use=ge2020", ""),
        # building blocks
        ("MedicationStatement", "period-of-use=ge2024-01-02T11:00:00Z", "use"),
        ("MedicationStatement", "period-of-use=ge2024-01-02T13:00:00Z", ""),
        ("MedicationStatement", "author=Patient/p&prescriber=PractitionerRole/r", "use"),
        ("MedicationDispense", f"category={SNOMED}|422037009&location=Location/l", "given"),
        ("MedicationAdministration", "category=33633005", "taken"),
        ("MedicationRequest", "next-practitioner=PractitionerRole/r", "rich"),
        ("MedicationRequest", "dispense-location.name=balie&reason=Condition/c", "rich"),
        ("Immunization", "pharmaceutical-product.code=1", "shot"),
    ],
)
async def test_medication_is_found_by_the_parameters_of_mp9(
    r4: Store, kind: str, text: str, expected: str
) -> None:
    assert await listed(r4, kind, text, "r4") == expected


@pytest.mark.parametrize(
    ("kind", "text"),
    [
        ("MedicationRequest", "is-latest-stop=yes"),
        ("MedicationRequest", "is-latest-stop:not=true"),
        ("MedicationRequest", "_sort=is-latest-stop"),
        ("Patient", "_has:MedicationRequest:subject:is-latest-stop=true"),
    ],
)
async def test_the_latest_stop_is_asked_of_a_whole_search_alone(r4: Store, kind: str, text: str) -> None:
    with pytest.raises((Invalid, NotSupported), match="is-latest-stop"):
        await found(r4, kind, text, version="r4")


async def test_what_an_extension_refers_to_is_included(r4: Store) -> None:
    text = (
        "_id=rich&_include=MedicationRequest:next-practitioner&_include=MedicationRequest:dispense-location"
        "&_include:iterate=PractitionerRole:practitioner&_include:iterate=PractitionerRole:location"
    )
    answer = await found(r4, "MedicationRequest", text, version="r4")
    assert {i.stored.id for i in answer.included} == {"r", "l", "d"}


AGREED = [
    resource(
        "MedicationRequest",
        "agreed",
        status="active",
        intent="order",
        subject=to("Patient/p"),
        medicationReference=to("Medication/m"),
        extension=[
            extension("zib-Medication-PeriodOfUse", valuePeriod={"start": "2024-01-01"}),
            lasting(2, "wk", "zib-MedicationUse-Duration"),
            extension(
                "zib-Medication-MedicationTreatment", valueIdentifier={"system": "urn:mbh", "value": "A"}
            ),
        ],
    ),
    resource(
        "MedicationDispense",
        "asked",
        subject=to("Patient/p"),
        category=concept((SNOMED, "373784005")),
        medicationReference=to("Medication/m"),
        extension=[extension("zib-Dispense-RequestDate", valueDateTime="2024-02-03")],
    ),
    resource(
        "CarePlan",
        "plan",
        status="active",
        intent="plan",
        subject=to("Patient/p"),
        activity=[
            {
                "outcomeReference": [to("Observation/o")],
                "detail": {
                    "status": "completed",
                    "goal": [to("Goal/g")],
                    "extension": [
                        extension("extension-medicaldevice", valueReference=to("DeviceUseStatement/d"))
                    ],
                },
            }
        ],
    ),
    resource("DeviceUseStatement", "d", status="active", subject=to("Patient/p"), device=to("Device/thing")),
    resource("Device", "thing"),
    resource("Goal", "g", status="proposed", description={"text": "x"}),
    resource("Observation", "o", status="final", code={"text": "x"}),
]


@pytest_asyncio.fixture(scope="module", loop_scope="session")
async def stu3(cluster: EmbeddedServer) -> AsyncIterator[Store]:
    async with filled(cluster, "zib2017", AGREED) as store:
        yield store


@pytest.mark.parametrize(
    ("kind", "text", "expected"),
    [
        ("MedicationRequest", "periodofuse=ge2024-01-14&periodofuse=le2024-01-20", "agreed"),
        ("MedicationRequest", "periodofuse=ge2024-01-17", ""),
        ("MedicationRequest", "medicationtreatment=urn:mbh|A", "agreed"),
        ("MedicationDispense", "requestdate=2024-02-03", "asked"),
        ("MedicationDispense", f"category={SNOMED}|373784005,{SNOMED}|422037009", "asked"),
        ("CarePlan", "activity-goal=Goal/g&activity-outcomereference=Observation/o", "plan"),
    ],
)
async def test_zibs_of_2017_are_found_by_their_own_parameters(
    stu3: Store, kind: str, text: str, expected: str
) -> None:
    assert await listed(stu3, kind, text) == expected


async def test_a_nursing_care_plan_comes_with_goals_outcomes_and_devices(stu3: Store) -> None:
    text = (
        "_id=plan&_include=CarePlan:activity-goal:Goal&_include=CarePlan:activity-outcomereference:Observation"
        "&_include=CarePlan:activity-medicaldevice:DeviceUseStatement"
        "&_include:recurse=DeviceUseStatement:device:Device"
    )
    answer = await found(stu3, "CarePlan", text)
    assert {i.stored.id for i in answer.included} == {"g", "o", "d", "thing"}


def test_every_added_parameter_says_what_it_is() -> None:
    for version in VERSIONS:
        codes = [(base, p.code) for p in ADDED[version] for base in p.base]
        assert len(set(codes)) == len(codes)
        for parameter in ADDED[version]:
            for base in parameter.base:
                assert definitions(version).search_parameters(base)[parameter.code] is parameter


@pytest.mark.shared
def test_published_custom_parameters_are_those_of_our_table() -> None:
    """Code, bases, type, targets and, but for the two that are special, the expression."""
    paths = sorted(shared("packages").glob("nictiz.*/SearchParameter-*.xml"))
    ours = {p.url: p for version in VERSIONS for p in ADDED[version]}
    namespace = "{http://hl7.org/fhir}"
    seen = set()
    for path in paths:
        root = ElementTree.parse(path).getroot()

        def values(name: str, root: ElementTree.Element = root) -> list[str]:
            return [element.get("value", "") for element in root.findall(namespace + name)]

        [url] = values("url")
        parameter = ours[url]
        seen.add(url)
        assert [parameter.code] == values("code")
        assert set(parameter.base) == set(values("base"))
        assert set(parameter.targets) == set(values("target"))
        if parameter.special or "extension(" in parameter.expression:
            continue
        assert [parameter.type] == values("type")
        assert [parameter.expression] == values("expression")
    assert seen == {url for url in ours if url.startswith("http://nictiz.nl/")}
