"""What clients of each MedMij data service ask, one request after another, in JSON and in XML.

The requests are those of the information standards of Nictiz (documents, questionnaires, self-measurements,
appointments, GGZ, long-term care, GP data, medication, birth care); the data are the smallest that tell right answers
from wrong ones.
"""

from __future__ import annotations

import base64
import io
from collections.abc import AsyncIterator
from typing import Any

import pytest
import pytest_asyncio
from pypdf import PdfWriter
from tests.nodes import RunningNode, databases, running_node
from tests.patients import Person, person

from schakel.fhir import definitions, json, xml
from schakel.kernel.values import BSN_SYSTEM
from schakel.patient_access import SERVICES
from schakel.store.embedded import EmbeddedServer

ANNA, BRAM = "999990019", "999990020"
SCT, LOINC = "http://snomed.info/sct", "http://loinc.org"
CATEGORY = "http://hl7.org/fhir/observation-category"
NHG45 = "https://referentiemodel.nhg.org/tabellen/nhg-tabel-45-diagnostische-bepalingen"
EXTENSION = "http://nictiz.nl/fhir/StructureDefinition/"
XML = "application/fhir+xml"


def coded(system: str, code: str) -> dict[str, Any]:
    return {"coding": [{"system": system, "code": code, "display": code}]}


def one(kind: str, logical_id: str, owner: str | None = "subject", **members: Any) -> dict[str, Any]:
    """A resource of Anna."""
    of = {owner: {"reference": "Patient/anna", "display": "Anna"}} if owner else {}
    return {"resourceType": kind, "id": logical_id, **of, **members}


def observation(logical_id: str, code: dict[str, Any], when: str, **members: Any) -> dict[str, Any]:
    return one("Observation", logical_id, status="final", code=code, effectiveDateTime=when, **members)


def vital(logical_id: str, code: str, when: str) -> dict[str, Any]:
    quantity = {"value": 1, "unit": "u", "system": "http://unitsofmeasure.org", "code": "1"}
    category = [coded(CATEGORY, "vital-signs")]
    return observation(logical_id, coded(LOINC, code), when, category=category, valueQuantity=quantity)


def paper(text: str) -> bytes:
    """A small PDF."""
    writer, out = PdfWriter(), io.BytesIO()
    writer.add_blank_page(100, 100)
    writer.add_metadata({"/Title": text})
    writer.write(out)
    return out.getvalue()


def binary(logical_id: str) -> dict[str, Any]:
    content = base64.b64encode(paper(logical_id)).decode()
    return {"resourceType": "Binary", "id": logical_id, "contentType": "application/pdf", "content": content}


def agreement(logical_id: str, start: str, treatment: str) -> dict[str, Any]:
    """A medication agreement of 9.0.7."""
    identifier = {"system": "urn:oid:2.999.77", "value": treatment}
    return one(
        "MedicationRequest",
        logical_id,
        status="active",
        intent="order",
        category=coded(SCT, "16076005"),
        medicationReference={"reference": "Medication/paracetamol", "display": "paracetamol"},
        authoredOn=start,
        extension=[
            {
                "url": f"{EXTENSION}zib-Medication-PeriodOfUse",
                "valuePeriod": {"start": start, "end": start},
            },
            {"url": f"{EXTENSION}zib-Medication-MedicationTreatment", "valueIdentifier": identifier},
        ],
    )


RECORD: list[dict[str, Any]] = [
    {"resourceType": "Practitioner", "id": "gp"},
    {"resourceType": "Medication", "id": "paracetamol", "code": coded("http://www.whocc.no/atc", "N02BE01")},
    {"resourceType": "Device", "id": "stick", "type": coded(SCT, "87405001")},
    {
        "resourceType": "Patient",
        "id": "anna",
        "identifier": [{"system": BSN_SYSTEM, "value": ANNA}],
        "generalPractitioner": [{"reference": "Practitioner/gp", "display": "gp"}],
    },
    # Documents
    binary("letter"),
    binary("report"),
    binary("listed"),
    binary("enclosed"),
    binary("loose"),
    one(
        "DocumentReference",
        "letter",
        status="current",
        type=coded(SCT, "11071000146104"),
        indexed="2026-03-01T10:00:00+01:00",
        content=[{"attachment": {"contentType": "application/pdf", "url": "Binary/letter"}}],
    ),
    one(
        "DocumentManifest",
        "manifest",
        status="current",
        created="2026-03-01T10:00:00+01:00",
        content=[
            {"pReference": {"reference": "DocumentReference/letter", "display": "letter"}},
            {"pAttachment": {"contentType": "application/pdf", "url": "Binary/listed"}},
        ],
    ),
    one(
        "DiagnosticReport",
        "report",
        status="final",
        code=coded(LOINC, "18842-5"),
        presentedForm=[{"contentType": "application/pdf", "url": "Binary/report"}],
    ),
    # Questionnaires
    one("Task", "asked", "for", status="requested", intent="proposal", code=coded(LOINC, "74468-0")),
    one("Task", "done", "for", status="completed", intent="proposal", code=coded(LOINC, "74468-0")),
    # Measurements
    vital("weight-1", "29463-7", "2026-01-01T10:00:00+01:00"),
    vital("weight-2", "29463-7", "2026-02-01T10:00:00+01:00"),
    vital("height-1", "8302-2", "2026-01-15T10:00:00+01:00"),
    observation("lab-1", coded(LOINC, "14760-3"), "2026-01-20", category=[coded(SCT, "49581000146104")]),
    observation("pain", coded(SCT, "225908003"), "2026-01-21"),
    observation("gp-result", coded(NHG45, "2076"), "2026-01-22"),
    # Appointments
    one(
        "Appointment",
        "visit",
        None,
        status="booked",
        start="2026-05-01T10:00:00+02:00",
        end="2026-05-01T10:10:00+02:00",
        participant=[{"actor": {"reference": "Patient/anna", "display": "Anna"}, "status": "accepted"}],
    ),
    # Plans and teams
    one(
        "CarePlan",
        "plan",
        status="active",
        intent="plan",
        category=[coded(SCT, "243114000")],
        activity=[
            {
                "outcomeReference": [{"reference": "Observation/pain", "display": "pain"}],
                "detail": {
                    "status": "in-progress",
                    "goal": [{"reference": "Goal/walk", "display": "walk"}],
                    "extension": [
                        {
                            "url": f"{EXTENSION}extension-medicaldevice",
                            "valueReference": {"reference": "DeviceUseStatement/use", "display": "stick"},
                        }
                    ],
                },
            }
        ],
    ),
    one("Goal", "walk", status="in-progress", description={"text": "walk"}),
    one("DeviceUseStatement", "use", status="active", device={"reference": "Device/stick", "display": "s"}),
    one(
        "CareTeam",
        "team",
        status="active",
        participant=[{"member": {"reference": "Practitioner/gp", "display": "gp"}}],
    ),
    # GP and birth care
    one(
        "EpisodeOfCare",
        "pregnancy",
        "patient",
        status="active",
        type=[coded(SCT, "364320009")],
    ),
    one(
        "Encounter",
        "check-up",
        status="finished",
        episodeOfCare=[{"reference": "EpisodeOfCare/pregnancy", "display": "pregnancy"}],
    ),
    one(
        "Condition",
        "nausea",
        clinicalStatus="active",
        code=coded(SCT, "422587007"),
        context={"reference": "EpisodeOfCare/pregnancy", "display": "pregnancy"},
    ),
    observation(
        "heartbeat",
        coded(LOINC, "55283-6"),
        "2026-01-23",
        context={"reference": "Encounter/check-up", "display": "check-up"},
    ),
    one(
        "Composition",
        "note",
        status="final",
        type=coded(LOINC, "67781-5"),
        date="2026-01-23",
        author=[{"reference": "Practitioner/gp", "display": "gp"}],
        title="note",
        encounter={"reference": "Encounter/check-up", "display": "check-up"},
        section=[{"title": "enclosed", "entry": [{"reference": "Binary/enclosed", "display": "enclosed"}]}],
    ),
    one("AllergyIntolerance", "pollen", "patient", clinicalStatus="active", verificationStatus="confirmed"),
    # Medication
    agreement("agreement-1", "2026-01-01", "A"),
    agreement("agreement-2", "2026-03-01", "B"),
    one(
        "MedicationDispense",
        "handed",
        status="completed",
        category=coded(SCT, "373784005"),
        medicationReference={"reference": "Medication/paracetamol", "display": "paracetamol"},
        whenHandedOver="2026-01-05",
        extension=[{"url": f"{EXTENSION}zib-Dispense-RequestDate", "valueDateTime": "2026-01-04"}],
    ),
]


def of_bram(resource: dict[str, Any]) -> dict[str, Any]:
    """The same of a neighbour, so that an answer that is not about Anna alone is longer."""
    text = json.dump(resource).decode().replace(ANNA, BRAM).replace("Patient/anna", "Patient/bram")
    changed = json.parse(text.encode())
    return {**changed, "id": "bram" if changed["id"] == "anna" else f"{changed['id']}-bram"}


@pytest_asyncio.fixture(scope="module", loop_scope="session")
async def node(cluster: EmbeddedServer) -> AsyncIterator[RunningNode]:
    async with databases(cluster, "medmij_services") as make, running_node(make) as node:
        own = [r for r in RECORD if "anna" in str(r)]
        for resource in (*RECORD, *map(of_bram, own)):
            answer = await node["a"].internal.put(
                f"{resource['resourceType']}/{resource['id']}", json=resource
            )
            assert answer.status_code == 201, answer.text
        yield node


@pytest_asyncio.fixture(loop_scope="session")
async def anna(node: RunningNode) -> AsyncIterator[Person]:
    async with person(node, "a", ANNA) as anna:
        yield anna


async def found(anna: Person, service: str, path: str) -> list[str]:
    """`Type/id` of all that a search gives, which is the same in JSON and XML; an included one begins with +."""
    both = []
    for form in ("application/fhir+json", XML):
        answer = await anna.get(service, path, Accept=form)
        assert answer.status_code == 200, answer.text
        known = definitions(SERVICES[service].version)
        bundle = answer.json() if form != XML else xml.parse(answer.content, known)
        assert bundle["type"] == "searchset"
        assert next(link["relation"] for link in bundle["link"]) == "self"
        entries = bundle.get("entry", [])
        matches = [e for e in entries if e["search"]["mode"] == "match"]
        assert bundle.get("total", len(matches)) == len(matches)
        both.append(
            [
                f"{'+' * (e not in matches)}{e['resource']['resourceType']}/{e['resource']['id']}"
                for e in entries
            ]
        )
    assert both[0] == both[1]
    return sorted(both[0])


VITAL = f"category={CATEGORY}|vital-signs"
SEARCHES = [
    ("46", f"Observation?category={SCT}|49581000146104", ["Observation/lab-1"]),
    ("51", "DocumentManifest?status=current", ["DocumentManifest/manifest"]),
    (
        "51",
        "DocumentManifest?status=current&created=ge2026-02-01&created=le2026-04-01",
        ["DocumentManifest/manifest"],
    ),
    ("51", "DocumentManifest?status=current&created=ge2026-04-01", []),
    ("51", "DocumentReference?status=current", ["DocumentReference/letter"]),
    ("51", "DocumentReference?status=current&indexed=ge2026-02-01&indexed=le2026-02-28", []),
    ("59", f"Task?code={LOINC}|74468-0&status=requested", ["Task/asked"]),
    ("904", f"Task?code={LOINC}|74468-0&status=requested", ["Task/asked"]),
    ("52", f"Observation?code={LOINC}|29463-7", ["Observation/weight-1", "Observation/weight-2"]),
    (
        "52",
        f"Observation?code={LOINC}|29463-7,{LOINC}|8302-2&date=ge2026-01-10&date=le2026-01-31",
        ["Observation/height-1"],
    ),
    ("52", f"Observation/$lastn?code={LOINC}|29463-7", ["Observation/weight-2"]),
    (
        "52",
        f"Observation/$lastn?{VITAL}",
        ["Observation/height-1", "Observation/weight-2"],
    ),
    (
        "909",
        f"Observation?{VITAL}",
        ["Observation/height-1", "Observation/weight-1", "Observation/weight-2"],
    ),
    (
        "909",
        "Observation?category=vital-signs",
        ["Observation/height-1", "Observation/weight-1", "Observation/weight-2"],
    ),
    ("901", "Appointment?date=ge2026-05-01", ["Appointment/visit"]),
    ("901", "Appointment?date=ge2026-04-01&date=le2026-04-30", []),
    ("54", "AllergyIntolerance", ["AllergyIntolerance/pollen"]),
    ("908", "AllergyIntolerance", ["AllergyIntolerance/pollen"]),
    ("50", f"CarePlan?category={SCT}|243114000", ["CarePlan/plan"]),
    ("50", "DiagnosticReport", ["DiagnosticReport/report"]),
    ("50", "CareTeam?_include=CareTeam:participant", ["+Practitioner/gp", "CareTeam/team"]),
    (
        "61",
        "CarePlan?_include=CarePlan:activity-goal:Goal&_include=CarePlan:activity-outcomereference:Observation"
        "&_include=CarePlan:activity-medicaldevice:DeviceUseStatement"
        "&_include:recurse=DeviceUseStatement:device:Device",
        ["+Device/stick", "+DeviceUseStatement/use", "+Goal/walk", "+Observation/pain", "CarePlan/plan"],
    ),
    ("49", "Patient?_include=Patient:general-practitioner", ["+Practitioner/gp", "Patient/anna"]),
    ("49", f"Composition?type={LOINC}|67781-5", ["Composition/note"]),
    ("49", f"Observation?code={NHG45}|&date=ge2026-01-01", ["Observation/gp-result"]),
    (
        "49",
        f"Observation?code={NHG45}|&date=ge2026-01-01&_include=Observation:related-target"
        "&_include=Observation:specimen",
        ["Observation/gp-result"],
    ),
    (
        "49",
        f"MedicationRequest?periodofuse=ge2026-02-01&category={SCT}|16076005"
        "&_include=MedicationRequest:medication",
        ["+Medication/paracetamol", "MedicationRequest/agreement-2"],
    ),
    ("31", "MedicationRequest?medicationtreatment=urn:oid:2.999.77|A", ["MedicationRequest/agreement-1"]),
    ("31", "MedicationRequest?medicationtreatment=B", ["MedicationRequest/agreement-2"]),
    (
        "31",
        "MedicationRequest?periodofuse=ge2026-01-01&periodofuse=le2026-01-31",
        ["MedicationRequest/agreement-1"],
    ),
    (
        "31",
        "MedicationRequest?medication.code=http://www.whocc.no/atc|N02BE01",
        ["MedicationRequest/agreement-1", "MedicationRequest/agreement-2"],
    ),
    (
        "31",
        f"MedicationDispense?category={SCT}|373784005,{SCT}|422037009&_include=MedicationDispense:medication"
        "&whenhandedover=ge2026-01-01",
        ["+Medication/paracetamol", "MedicationDispense/handed"],
    ),
    (
        "31",
        "MedicationDispense?requestdate=ge2026-01-04&requestdate=le2026-01-04",
        ["MedicationDispense/handed"],
    ),
    ("31", "MedicationDispense?requestdate=gt2026-01-04", []),
    ("65", f"EpisodeOfCare?type={SCT}|364320009&status=active,finished", ["EpisodeOfCare/pregnancy"]),
    (
        "65",
        "Condition?context=EpisodeOfCare/pregnancy,EpisodeOfCare/pregnancy-bram",
        ["Condition/nausea"],
    ),
    ("65", "Encounter?episodeofcare=EpisodeOfCare/pregnancy", ["Encounter/check-up"]),
    ("65", "Observation?context=Encounter/check-up", ["Observation/heartbeat"]),
    ("65", "Observation?context:Encounter.episodeofcare=EpisodeOfCare/pregnancy", ["Observation/heartbeat"]),
]


@pytest.mark.parametrize(("service", "path", "expected"), SEARCHES)
async def test_a_search_of_the_standard_finds_what_is_meant(
    anna: Person, service: str, path: str, expected: list[str]
) -> None:
    assert await found(anna, service, path) == expected


async def test_the_newest_alone_can_be_asked(anna: Person) -> None:
    bundle = await anna.found("52", f"Observation?code={LOINC}|29463-7&_sort=-date&_count=1")
    assert [e["resource"]["id"] for e in bundle["entry"]] == ["weight-2"]
    assert "total" not in bundle or bundle["total"] == 1


@pytest.mark.parametrize(
    ("service", "document"),
    [
        ("51", "letter"),
        ("51", "listed"),
        ("50", "report"),
        ("46", "report"),
        ("49", "enclosed"),
    ],
)
async def test_a_document_opens_by_whatever_leads_to_it(anna: Person, service: str, document: str) -> None:
    address = f"{anna.base(service)}/Binary/{document}"
    for accept in ("application/pdf", "*/*"):
        answer = await anna.get(service, address, Accept=accept)
        assert answer.headers.get("content-type") == "application/pdf", answer.text
        assert answer.content == paper(document)
    for accept in ("application/fhir+json", XML):
        answer = await anna.get(service, address, Accept=accept)
        assert answer.headers["content-type"].startswith(accept)
        known = definitions("stu3")
        resource = answer.json() if accept != XML else xml.parse(answer.content, known)
        assert resource["resourceType"] == "Binary" and resource["contentType"] == "application/pdf"
        assert base64.b64decode(resource["content"]) == paper(document)
    assert (await anna.client.get(address)).status_code == 401


@pytest.mark.parametrize(
    ("service", "document"),
    [
        ("51", "letter-bram"),
        ("51", "loose"),
        ("51", "never-was"),
        ("51", "report"),
        ("54", "letter"),
        ("50", "listed"),
    ],
)
async def test_a_document_to_which_nothing_in_the_service_leads_is_not_there(
    anna: Person, service: str, document: str
) -> None:
    assert (await anna.get(service, f"Binary/{document}")).status_code == 404


@pytest.mark.parametrize("accept", ["application/fhir+json", XML])
async def test_a_search_that_cannot_be_understood_is_a_bad_request_with_an_outcome(
    anna: Person, accept: str
) -> None:
    answer = await anna.get("51", "DocumentReference/$", Accept=accept)
    assert answer.status_code == 400
    outcome = answer.json() if accept != XML else xml.parse(answer.content, definitions("stu3"))
    [issue] = outcome["issue"]
    assert outcome["resourceType"] == "OperationOutcome"
    assert issue["severity"] in ("error", "fatal") and issue["diagnostics"]


SELF = "urn:oid:2.999.1"
SENT = [
    {"fullUrl": SELF, "resource": {"resourceType": "Patient", "name": [{"family": "Aarts"}]}},
    {
        "fullUrl": "urn:oid:2.999.2",
        "resource": {
            "resourceType": "Observation",
            "status": "final",
            "category": [coded(CATEGORY, "vital-signs")],
            "code": coded(LOINC, "29463-7"),
            "subject": {"reference": SELF, "display": "Aarts"},
            "effectiveDateTime": "2026-04-01",
            "valueQuantity": {"value": 80, "unit": "kg"},
        },
    },
]


@pytest.mark.parametrize("media", ["application/fhir+json", XML])
async def test_measurements_are_sent_as_a_batch_and_come_back(anna: Person, media: str) -> None:
    entries = [{**e, "request": {"method": "POST", "url": e["resource"]["resourceType"]}} for e in SENT]  # type: ignore[index]
    bundle: dict[str, Any] = {"resourceType": "Bundle", "type": "batch", "entry": entries}
    known = definitions("stu3")
    headers = anna.headers(Accept=media, Content_Type=media, Prefer="return=representation")
    if media == XML:
        answer = await anna.client.post(anna.base("903"), content=xml.dump(bundle, known), headers=headers)
        made = xml.parse(answer.content, known)
    else:
        answer = await anna.client.post(anna.base("903"), json=bundle, headers=headers)
        made = answer.json()
    assert answer.status_code == 200, answer.text
    assert made["type"] == "batch-response"
    sent_patient, weight = (e["resource"] for e in made["entry"])
    assert [e["response"]["status"][:3] for e in made["entry"]] == ["201", "201"]
    assert weight["subject"]["reference"].endswith(f"Patient/{sent_patient['id']}")
    assert "80" in answer.text and SELF not in answer.text


@pytest.mark.parametrize("media", ["application/fhir+json", XML])
async def test_a_questionnaire_is_accepted_and_then_answered(anna: Person, media: str) -> None:
    known = definitions("stu3")
    asked = (await anna.get("904", "Task/asked")).json()

    async def send(method: str, path: str, resource: dict[str, Any]) -> dict[str, Any]:
        headers = anna.headers(Accept=media, Content_Type=media, Prefer="return=representation")
        address = f"{anna.base('904')}/{path}".rstrip("/")
        body = {"content": xml.dump(resource, known)} if media == XML else {"json": resource}
        answer = await anna.client.request(method, address, headers=headers, **body)
        assert answer.status_code == 200, answer.text
        given: dict[str, Any] = answer.json() if media != XML else xml.parse(answer.content, known)
        return given

    accepted = await send("PUT", "Task/asked", {**asked, "status": "accepted"})
    assert accepted["status"] == "accepted"
    reply = {"resourceType": "QuestionnaireResponse", "status": "completed", "subject": asked["for"]}
    output = {
        "type": {"text": "QuestionnaireResponse"},
        "valueReference": {"reference": "urn:uuid:8a426e27-4998-486b-80c1-2bd9f21754a9", "display": "x"},
    }
    done = {**asked, "status": "completed", "output": [output]}
    made = await send(
        "POST",
        "",
        {
            "resourceType": "Bundle",
            "type": "transaction",
            "entry": [
                {"resource": done, "request": {"method": "PUT", "url": "Task/asked"}},
                {
                    "fullUrl": "urn:uuid:8a426e27-4998-486b-80c1-2bd9f21754a9",
                    "resource": reply,
                    "request": {"method": "POST", "url": "QuestionnaireResponse"},
                },
            ],
        },
    )
    task, response = made["entry"]
    assert task["response"]["status"].startswith("200") and "Task" in task["response"]["location"]
    assert response["response"]["status"].startswith("201")
    assert "QuestionnaireResponse" in response["response"]["location"]
    answer = task["resource"]["output"][0]["valueReference"]["reference"]
    assert answer.endswith(f"QuestionnaireResponse/{response['resource']['id']}")


@pytest.mark.parametrize("media", ["application/fhir+json", XML])
async def test_documents_are_sent_with_their_content(anna: Person, media: str) -> None:
    known = definitions("stu3")
    paper_url = "urn:uuid:6ad5a3b0-3bd0-4b5f-8df5-9bd23fd1e0a1"
    reference_url = "urn:uuid:6ad5a3b0-3bd0-4b5f-8df5-9bd23fd1e0a2"
    subject = {"reference": SELF, "display": "Aarts"}
    reference = {
        "resourceType": "DocumentReference",
        "status": "current",
        "type": coded(LOINC, "68626-1"),
        "indexed": "2026-03-01T10:00:00+01:00",
        "subject": subject,
        "content": [{"attachment": {"contentType": "application/pdf", "url": paper_url}}],
    }
    manifest = {
        "resourceType": "DocumentManifest",
        "status": "current",
        "subject": subject,
        "content": [{"pReference": {"reference": reference_url, "display": "x"}}],
    }
    resources: dict[str, dict[str, Any]] = {
        SELF: {"resourceType": "Patient", "name": [{"family": "Aarts"}]},
        "urn:uuid:6ad5a3b0-3bd0-4b5f-8df5-9bd23fd1e0a3": manifest,
        reference_url: reference,
        paper_url: {k: v for k, v in binary("sent").items() if k != "id"},
    }
    bundle = {
        "resourceType": "Bundle",
        "type": "transaction",
        "entry": [
            {"fullUrl": url, "resource": r, "request": {"method": "POST", "url": r["resourceType"]}}
            for url, r in resources.items()
        ],
    }
    headers = anna.headers(Accept=media, Content_Type=media, Prefer="return=representation")
    body = {"content": xml.dump(bundle, known)} if media == XML else {"json": bundle}
    answer = await anna.client.post(anna.base("907"), headers=headers, **body)
    assert answer.status_code == 200, answer.text
    made = answer.json() if media != XML else xml.parse(answer.content, known)
    assert made["type"] == "transaction-response"
    _, manifest, reference, sent = (e["resource"] for e in made["entry"])
    assert manifest["content"][0]["pReference"]["reference"].endswith(f"DocumentReference/{reference['id']}")
    assert reference["content"][0]["attachment"]["url"].endswith(f"Binary/{sent['id']}")
