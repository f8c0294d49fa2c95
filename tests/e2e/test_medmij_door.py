"""The MedMij door: who gets in, what comes out, and whose it is."""

from __future__ import annotations

import base64
import re
import uuid
from collections.abc import AsyncIterator
from typing import Any

import httpx
import pytest
import pytest_asyncio
from tests.nodes import MakeDatabase, RunningNode, databases, running_node
from tests.patients import Person, patient_token, person

from schakel.config import MedMij
from schakel.kernel.values import BSN_SYSTEM
from schakel.patient_access import SERVICES
from schakel.store.embedded import EmbeddedServer

ANNA, BRAM = "999990019", "999990020"
SNOMED, LOINC = "http://snomed.info/sct", "http://loinc.org"


def of(name: str) -> dict[str, Any]:
    return {"reference": f"Patient/{name}"}


def observation(logical_id: str, name: str, code: str = "29463-7", **members: Any) -> dict[str, Any]:
    return {
        "resourceType": "Observation",
        "id": logical_id,
        "status": "final",
        "code": {"coding": [{"system": LOINC, "code": code}]},
        "subject": of(name),
        **members,
    }


def letter(logical_id: str, name: str, binary: str) -> dict[str, Any]:
    return {
        "resourceType": "DocumentReference",
        "id": logical_id,
        "status": "current",
        "type": {"coding": [{"system": LOINC, "code": "68626-1"}]},
        "indexed": "2026-01-01T10:00:00+01:00",
        "subject": of(name),
        "content": [{"attachment": {"contentType": "application/pdf", "url": f"Binary/{binary}"}}],
    }


def pdf(logical_id: str, text: str) -> dict[str, Any]:
    content = base64.b64encode(f"%PDF-1.4 {text}".encode()).decode()
    return {"resourceType": "Binary", "id": logical_id, "contentType": "application/pdf", "content": content}


def patient(name: str, bsn: str, number: int) -> list[dict[str, Any]]:
    """The record of one patient, in STU3."""
    return [
        {
            "resourceType": "Patient",
            "id": name,
            "text": {
                "status": "generated",
                "div": f'<div xmlns="http://www.w3.org/1999/xhtml">{name}, BSN {bsn}</div>',
            },
            "identifier": [
                {"system": BSN_SYSTEM, "value": bsn},
                {"system": "urn:oid:1.2.3", "value": f"intern-{number}"},
            ],
            "name": [{"family": name.capitalize()}],
            "generalPractitioner": [{"reference": "Practitioner/gp"}],
        },
        observation(
            f"weight-{name}",
            name,
            effectiveDateTime="2026-01-02",
            valueQuantity={"value": 80.10, "unit": "kg"},
            related=[{"type": "has-member", "target": {"reference": f"Observation/member-{name}"}}],
            performer=[{"reference": "Practitioner/gp"}],
        ),
        observation(f"earlier-{name}", name, effectiveDateTime="2025-01-02"),
        observation(f"member-{name}", name, "8302-2"),
        {
            "resourceType": "Condition",
            "id": f"problem-{name}",
            "clinicalStatus": "active",
            "code": {"coding": [{"system": SNOMED, "code": "73211009"}]},
            "subject": of(name),
            "asserter": {"reference": "Practitioner/gp"},
        },
        {
            "resourceType": "Provenance",
            "id": f"made-{name}",
            "target": [{"reference": f"Condition/problem-{name}"}],
            "recorded": "2026-01-01T10:00:00+01:00",
            "agent": [{"whoReference": {"reference": "Practitioner/gp"}}],
        },
        pdf(f"pdf-{name}", name),
        letter(f"letter-{name}", name, f"pdf-{name}"),
        {
            "resourceType": "Goal",
            "id": f"goal-{name}",
            "status": "proposed",
            "description": {"text": "walk"},
            "subject": of(name),
        },
    ]


OF_NOBODY: list[dict[str, Any]] = [
    {
        "resourceType": "Practitioner",
        "id": "gp",
        "identifier": [{"system": "http://fhir.nl/fhir/NamingSystem/uzi-nr-pers", "value": "900000008"}],
    },
    {"resourceType": "Practitioner", "id": "other"},
    {"resourceType": "Organization", "id": "practice", "name": "Practice"},
    {
        "resourceType": "PractitionerRole",
        "id": "role",
        "practitioner": {"reference": "Practitioner/gp"},
        "organization": {"reference": "Organization/practice"},
    },
    pdf("pdf-loose", "loose"),
]


async def load(node: RunningNode, slug: str, resources: list[dict[str, Any]]) -> None:
    for resource in resources:
        path = f"{resource['resourceType']}/{resource['id']}"
        answer = await node[slug].internal.put(path, json=resource)
        assert answer.status_code in (200, 201), answer.text


@pytest_asyncio.fixture(scope="module", loop_scope="session")
async def node(cluster: EmbeddedServer) -> AsyncIterator[RunningNode]:
    """Organisation `a` knows Anna and Bram, `b` knows Bram alone."""
    async with databases(cluster, "medmij_door") as make, running_node(make) as node:
        await load(node, "a", [*OF_NOBODY, *patient("anna", ANNA, 1), *patient("bram", BRAM, 2)])
        mixed = observation("mixed", "anna", "8867-4", performer=[of("bram")])
        loose = observation("by-role", "anna", "8310-5", performer=[{"reference": "Organization/practice"}])
        await load(node, "a", [mixed, loose])
        await load(node, "b", [*OF_NOBODY, *patient("bram", BRAM, 2)])
        yield node


@pytest_asyncio.fixture(loop_scope="session")
async def anna(node: RunningNode) -> AsyncIterator[Person]:
    async with person(node, "a", ANNA) as anna:
        yield anna


def challenge(answer: httpx.Response) -> tuple[str, str]:
    """Error and description in WWW-Authenticate, read as clients of the network read them."""
    header = answer.headers["www-authenticate"]
    found = re.fullmatch(r'Bearer error="([^"]*)", error_description="([^"]*)"', header)
    assert found, header
    return found[1], found[2]


# -- the guards, one condition at a time -----------------------------------------------------------------------


async def test_with_every_condition_met_the_own_record_comes_out(anna: Person) -> None:
    assert await anna.keys("48", "Condition") == ["Condition/problem-anna"]


async def test_without_a_token_there_is_a_challenge_and_nothing_else(anna: Person) -> None:
    answer = await anna.get("48", "Condition", Authorization=None)
    assert answer.status_code == 401
    assert answer.headers["www-authenticate"] == "Bearer"
    assert answer.json()["resourceType"] == "OperationOutcome"


@pytest.mark.parametrize("token", ["nonsense", "A" * 43])
async def test_a_token_that_is_not_known_is_an_invalid_token(anna: Person, token: str) -> None:
    answer = await anna.get("48", "Condition", Authorization=f"Bearer {token}")
    assert answer.status_code == 401
    assert challenge(answer)[0] == "invalid_token"


async def test_an_expired_token_is_an_invalid_token(node: RunningNode, anna: Person) -> None:
    old = await patient_token(node, "a", ANNA, minutes=-1)
    answer = await anna.get("48", "Condition", Authorization=f"Bearer {old}")
    assert (answer.status_code, challenge(answer)[0]) == (401, "invalid_token")


async def test_a_token_of_another_organisation_is_an_invalid_token(node: RunningNode, anna: Person) -> None:
    other = await patient_token(node, "b", BRAM)
    answer = await anna.get("48", "Condition", Authorization=f"Bearer {other}")
    assert (answer.status_code, challenge(answer)[0]) == (401, "invalid_token")


async def test_a_token_for_another_service_has_an_insufficient_scope(node: RunningNode, anna: Person) -> None:
    narrow = await patient_token(node, "a", ANNA, ["49"])
    answer = await anna.get("48", "Condition", Authorization=f"Bearer {narrow}")
    assert (answer.status_code, challenge(answer)[0]) == (403, "insufficient_scope")
    assert (await anna.get("49", "Encounter", Authorization=f"Bearer {narrow}")).status_code == 200


@pytest.mark.parametrize("header", ["MedMij_Request_ID", "X_Correlation_ID"])
@pytest.mark.parametrize("value", [None, "1", "zzzzzzzz-zzzz-4zzz-8zzz-zzzzzzzzzzzz"])
async def test_a_header_that_is_missing_or_no_uuid_is_an_invalid_request(
    anna: Person, header: str, value: str | None
) -> None:
    answer = await anna.get("48", "Condition", **{header: value})
    assert (answer.status_code, challenge(answer)[0]) == (400, "invalid_request")
    assert header.replace("_", "-") in challenge(answer)[1]


async def test_the_request_id_comes_back_also_with_a_refusal(anna: Person) -> None:
    number = str(uuid.uuid4())
    for path in ("Condition", "Condition/nothing"):
        answer = await anna.get("48", path, MedMij_Request_ID=number)
        assert answer.headers["medmij-request-id"] == number


async def test_another_fhir_version_than_that_of_the_service_is_refused(anna: Person) -> None:
    answer = await anna.get("48", "Condition", Accept="application/fhir+json; fhirVersion=4.0")
    assert answer.status_code == 400
    assert challenge(answer) == ("invalid_request", "Requested FHIR version not supported")
    assert answer.json()["issue"][0]["code"] == "not-supported"
    for accept in (
        "application/fhir+json; fhirVersion=3.0",
        "application/json+fhir",
        "*/*",
        "application/fhir+xml;fhirVersion=3.0",
    ):
        assert (await anna.get("48", "Condition", Accept=accept)).status_code == 200, accept


@pytest.mark.parametrize("service", ["0", "47", "999", "abc", "48 "])
async def test_a_service_that_is_not_known_is_not_there(anna: Person, service: str) -> None:
    answer = await anna.get(service, "Condition")
    assert answer.status_code == 404
    assert answer.json()["issue"][0]["code"] == "not-found"


async def test_a_type_that_the_service_does_not_have_is_not_there(anna: Person) -> None:
    assert (await anna.get("49", "Condition")).status_code == 404
    assert (await anna.get("48", "Goal")).status_code == 404


@pytest.mark.parametrize(
    "query",
    [
        "Condition?patient=anna",
        "Condition?patient=Patient/bram",
        "Condition?subject=Patient/anna",
        "Condition?subject:Patient=bram",
        "Condition?subject:Patient.name=anna",
        f"Condition?patient.identifier={BSN_SYSTEM}|{BRAM}",
        f"Condition?patient:identifier={BSN_SYSTEM}|{BRAM}",
        "Coverage?beneficiary=Patient/anna",
        "Observation?performer=Patient/bram",
        "Observation?performer:Patient.name=bram",
        f"Patient?identifier={BSN_SYSTEM}|{ANNA}",
        f"Patient?identifier={ANNA}",
        "Patient?_has:Observation:subject:performer=Patient/bram",
    ],
)
async def test_a_request_that_names_a_patient_is_refused(anna: Person, query: str) -> None:
    answer = await anna.get("48", query)
    assert answer.status_code == 400, answer.text
    assert challenge(answer)[0] == "invalid_request"
    assert ANNA not in answer.text and BRAM not in answer.text


async def test_the_form_of_a_search_by_post_names_no_patient_either(anna: Person) -> None:
    address = f"{anna.base('48')}/Patient/_search"
    form = {"identifier": f"{BSN_SYSTEM}|{ANNA}"}
    assert (await anna.client.post(address, data=form, headers=anna.headers())).status_code == 400
    ok = await anna.client.post(address, data={"_count": "5"}, headers=anna.headers())
    assert [e["resource"]["id"] for e in ok.json()["entry"]] == ["anna"]


@pytest.mark.parametrize(
    "path",
    [
        "Patient/anna/Condition",
        "Patient/anna/$everything",
        "Condition/problem-anna/_history",
        "Condition/problem-anna/_history/1",
        "Condition/_history",
        "_history",
        "?_type=Condition",
        "$meta",
        "Condition/$meta",
        "DocumentReference/$",
    ],
)
async def test_what_is_no_read_or_search_of_a_type_is_refused_with_an_outcome(
    anna: Person, path: str
) -> None:
    answer = await anna.get("48", path)
    assert 400 <= answer.status_code < 500, answer.text
    assert answer.json()["resourceType"] == "OperationOutcome"


@pytest.mark.parametrize("method", ["POST", "PUT", "PATCH", "DELETE"])
async def test_a_service_that_gives_takes_nothing(anna: Person, node: RunningNode, method: str) -> None:
    for path in ("", "/Condition", "/Condition/problem-anna"):
        answer = await anna.client.request(
            method,
            anna.base("48") + path,
            json={"resourceType": "Condition"},
            headers=anna.headers() | {"Content-Type": "application/fhir+json"},
        )
        assert 400 <= answer.status_code < 500, (path, answer.text)
    assert (await node["a"].internal.get("Condition/problem-anna")).json()["meta"]["versionId"] == "1"


# -- what comes out --------------------------------------------------------------------------------------------


async def test_searches_give_the_own_record_alone(anna: Person) -> None:
    for service in SERVICES.values():
        if service.version != "stu3":
            continue
        for kind in sorted(service.gives):
            body = (await anna.get(service.id, kind)).text
            assert "bram" not in body.lower(), (service.id, kind)


async def test_values_of_a_search_are_as_they_were_stored(anna: Person) -> None:
    answer = await anna.get("48", "Observation?code=http://loinc.org|29463-7&_sort=-date&_count=1")
    assert '"value":80.1' in answer.text
    assert answer.json()["entry"][0]["resource"]["id"] == "weight-anna"


async def test_pages_lead_on_below_this_door_and_belong_to_the_token(node: RunningNode, anna: Person) -> None:
    seen: list[str] = []
    address = "Observation?_count=1"
    while address:
        bundle = await anna.found("48", address)
        seen += [e["resource"]["id"] for e in bundle["entry"]]
        links = {link["relation"]: link["url"] for link in bundle["link"]}
        assert all(url.startswith(anna.base("48")) for url in links.values())
        address = links.get("next", "")
    assert sorted(seen) == ["by-role", "earlier-anna", "member-anna", "weight-anna"]
    first = (await anna.found("48", "Observation?_count=1"))["link"][-1]["url"]
    async with person(node, "a", BRAM) as bram:
        assert (await bram.get("48", first)).status_code == 410
    async with person(node, "a", ANNA) as again:
        assert (await again.get("48", first)).status_code == 410


async def test_the_last_of_each_code_and_what_it_refers_to(anna: Person) -> None:
    query = "Observation/$lastn?code=http://loinc.org|29463-7&_include=Observation:related-target"
    assert await anna.keys("48", query) == ["Observation/weight-anna", "Observation/member-anna"]


async def test_includes_bring_what_is_referred_to_and_its_provenance(anna: Person) -> None:
    keys = await anna.keys("48", "Condition?_include=Condition:asserter&_revinclude=Provenance:target")
    assert keys == ["Condition/problem-anna", "Practitioner/gp", "Provenance/made-anna"]


async def test_a_chain_through_what_belongs_to_nobody_finds_the_own_record(anna: Person) -> None:
    uzi = "http://fhir.nl/fhir/NamingSystem/uzi-nr-pers|900000008"
    query = f"Condition?asserter:Practitioner.identifier={uzi}"
    assert await anna.keys("48", query) == ["Condition/problem-anna"]


@pytest.mark.parametrize(
    "path",
    [
        "Patient/anna",
        "Condition/problem-anna",
        "Practitioner/gp",
        "Organization/practice",
        "Provenance/made-anna",
    ],
)
async def test_a_read_of_the_record_and_of_what_it_refers_to(anna: Person, path: str) -> None:
    answer = await anna.get("48", path)
    assert answer.status_code == 200, answer.text
    assert answer.json()["id"] == path.partition("/")[2]


@pytest.mark.parametrize(
    "path",
    [
        "Patient/bram",
        "Condition/problem-bram",
        "Observation/weight-bram",
        "Observation/mixed",
        "Provenance/made-bram",
        "Binary/pdf-bram",
        "Binary/pdf-loose",
        "Practitioner/other",
        "PractitionerRole/role",
        "Goal/goal-anna",
        "Condition/never-was",
    ],
)
async def test_what_is_somebody_elses_and_what_never_was_get_the_same_answer(anna: Person, path: str) -> None:
    kind, _, logical_id = path.partition("/")
    for service in ("48", "51"):
        answers = [await anna.get(service, p) for p in (path, f"{kind}/never-was")]
        texts = [a.text.replace(logical_id, "*").replace("never-was", "*") for a in answers]
        assert [a.status_code for a in answers] == [404, 404]
        assert texts[0] == texts[1]


async def test_a_deleted_resource_is_as_one_that_never_was(node: RunningNode, anna: Person) -> None:
    await load(node, "a", [observation("short", "anna", "2708-6")])
    assert (await anna.get("48", "Observation/short")).status_code == 200
    await node["a"].internal.delete("Observation/short")
    assert (await anna.get("48", "Observation/short")).status_code == 404


async def test_the_neighbour_never_comes_out_by_any_way(anna: Person) -> None:
    ways = [
        "Patient?_has:Observation:subject:code=http://loinc.org|29463-7",
        "Patient?name=bram",
        "Patient?_id=bram",
        "Patient?_revinclude=Observation:subject&_revinclude=Condition:subject",
        "Condition?_id=problem-bram",
        "Condition?code=http://snomed.info/sct|73211009",
        "Condition?asserter=Practitioner/gp",
        "Condition?_include=*",
        "Condition?_include=Condition:asserter&_revinclude=*:*",
        "Condition?asserter=Practitioner/gp&_include=Condition:asserter"
        "&_revinclude:recurse=Condition:asserter&_revinclude:recurse=Observation:performer",
        "Observation?performer=Practitioner/gp",
        "Observation?performer.name=bram",
        "Observation?related-target=Observation/member-bram",
        "Observation?related-target.code=http://loinc.org|8302-2",
        "Observation?_id=mixed",
        "Observation/$lastn?code=http://loinc.org|8867-4&max=5",
        "Observation?_sort=date&_total=accurate",
        "Condition?_summary=count",
        "Condition?_elements=subject",
        "Condition?_lastUpdated=gt2000",
    ]
    for way in ways:
        answer = await anna.get("48", way)
        assert answer.status_code in (200, 400), (way, answer.text)
        given = str([e["resource"] for e in answer.json().get("entry", [])])
        assert "-bram" not in given and "Patient/bram" not in given, way
        assert BRAM not in answer.text and "Bram" not in answer.text, way
        if answer.status_code == 200 and "total" in answer.json():
            alone = {"Condition": 1, "Patient": 1}.get(way.partition("?")[0], 9)
            assert answer.json()["total"] <= alone, way


async def test_a_person_who_is_not_known_here_gets_empty_answers(node: RunningNode) -> None:
    async with person(node, "b", ANNA) as stranger:
        for kind in SERVICES["48"].gives:
            assert await stranger.keys("48", kind) == []
        for path in ("Patient/bram", "Condition/problem-bram", "Practitioner/gp", "Organization/practice"):
            assert (await stranger.get("48", path)).status_code == 404, path


async def test_a_patient_with_the_numbers_of_two_people_is_nobodys(node: RunningNode) -> None:
    numbers = [{"system": BSN_SYSTEM, "value": v} for v in ("999990032", "999990044")]
    both = {"resourceType": "Patient", "id": "both", "identifier": numbers}
    await load(node, "a", [both, observation("of-both", "both")])
    async with person(node, "a", "999990032") as one:
        assert await one.keys("48", "Patient") == []
        assert await one.keys("48", "Observation") == []
        assert (await one.get("48", "Patient/both")).status_code == 404


# -- masking and documents -------------------------------------------------------------------------------------


async def test_no_answer_holds_the_bsn(anna: Person) -> None:
    for accept in ("application/fhir+json", "application/fhir+xml"):
        for path in ("Patient", "Patient/anna", "Patient?_include=Patient:general-practitioner"):
            answer = await anna.get("48", path, Accept=accept)
            assert answer.status_code == 200
            assert ANNA not in answer.text
            assert BSN_SYSTEM in answer.text and "intern-1" in answer.text
    identifier = (await anna.get("48", "Patient/anna")).json()["identifier"][0]
    assert identifier["_value"]["extension"][0]["valueCode"] == "masked"


async def test_an_id_that_holds_the_bsn_has_an_alias_that_reads_back(node: RunningNode) -> None:
    number = "999990056"
    record = {
        "resourceType": "Patient",
        "id": f"p-{number}",
        "identifier": [{"system": BSN_SYSTEM, "value": number}],
    }
    await load(node, "a", [record, observation(number, f"p-{number}")])
    async with person(node, "a", number) as one:
        [entry] = (await one.found("48", "Observation"))["entry"]
        assert number not in str(entry)
        assert (await one.get("48", entry["fullUrl"])).json()["id"] == entry["resource"]["id"]
        subject = entry["resource"]["subject"]["reference"]
        answer = await one.get("48", subject)
        assert answer.status_code == 200 and number not in answer.text


async def test_a_document_is_fetched_by_the_address_in_its_attachment(anna: Person) -> None:
    [entry] = (await anna.found("51", "DocumentReference?status=current"))["entry"]
    address = entry["resource"]["content"][0]["attachment"]["url"]
    assert address == f"{anna.base('51')}/Binary/pdf-anna"
    for accept in ("*/*", "application/pdf"):
        answer = await anna.get("51", address, Accept=accept)
        assert answer.headers["content-type"] == "application/pdf"
        assert answer.content == b"%PDF-1.4 anna"
    answer = await anna.get("51", address, Accept="application/fhir+json")
    assert answer.json()["resourceType"] == "Binary"
    assert (await anna.client.get(address)).status_code == 401
    assert (await anna.get("48", "Binary/pdf-anna")).status_code == 404


async def test_a_document_with_a_bsn_goes_out_and_is_reported(node: RunningNode, anna: Person) -> None:
    await load(node, "a", [pdf("pdf-told", f"BSN {ANNA}"), letter("letter-told", "anna", "pdf-told")])
    answer = await anna.get("51", "Binary/pdf-told")
    assert ANNA.encode() in answer.content
    events = (await node["a"].internal.get(_log(node, ANNA))).text
    assert "BSN in a document (found): Binary/pdf-told content" in events


async def test_with_the_setting_a_document_with_a_bsn_stays_inside(make_database: MakeDatabase) -> None:
    async with running_node(make_database, medmij=MedMij(documents="withhold")) as node:
        told = pdf("pdf-told", f"BSN {ANNA}")
        attached = letter("attached", "anna", "none")
        attached["content"][0]["attachment"] = {
            "contentType": "application/zip",
            "data": base64.b64encode(ANNA.encode()).decode(),
        }
        clean = {**pdf("clean", ""), "contentType": "image/png", "content": "iVBORw=="}
        letters = [
            letter("letter-told", "anna", "pdf-told"),
            letter("letter-clean", "anna", "clean"),
            attached,
        ]
        await load(node, "a", [*patient("anna", ANNA, 1), told, clean, *letters])
        async with person(node, "a", ANNA) as anna:
            for accept in ("*/*", "application/fhir+json"):
                assert (await anna.get("51", "Binary/pdf-told", Accept=accept)).status_code == 404
                assert (await anna.get("51", "Binary/clean", Accept=accept)).status_code == 200
            [content] = (await anna.get("51", "DocumentReference/attached")).json()["content"]
            assert "data" not in content["attachment"]
            assert content["attachment"]["_data"]["extension"][0]["valueCode"] == "masked"


def _log(node: RunningNode, bsn: str) -> str:
    root = f"{node['a'].internal_root}/a/log/fhir/r4"
    return f"{root}/AuditEvent?patient.identifier={BSN_SYSTEM}|{bsn}&_count=1000"


# -- metadata and retries --------------------------------------------------------------------------------------


async def test_the_capabilities_are_for_everybody(anna: Person) -> None:
    answer = await anna.client.get(f"{anna.base('63')}/metadata")
    assert answer.status_code == 200
    assert [r["type"] for r in answer.json()["rest"][0]["resource"]] == ["Immunization", "Patient"]
    assert answer.json()["fhirVersion"] == "4.0.1"


async def test_a_request_that_is_sent_again_gets_the_same_answer(anna: Person) -> None:
    number = str(uuid.uuid4())
    answers = [await anna.get("48", "Condition", MedMij_Request_ID=number) for _ in range(3)]
    assert len({a.text for a in answers}) == 1 and answers[0].status_code == 200
