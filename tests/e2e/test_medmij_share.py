"""What patients send: into the inbox of the organisation, about themselves, and once."""

from __future__ import annotations

import uuid
from collections.abc import AsyncIterator
from typing import Any

import httpx
import pytest
import pytest_asyncio
from tests.nodes import RunningNode, RunningOrganisation, databases, running_node
from tests.patients import Person, person

from schakel.kernel.values import BSN_SYSTEM
from schakel.store.embedded import EmbeddedServer

ANNA, BRAM = "999990019", "999990020"


def patient(name: str, bsn: str) -> dict[str, Any]:
    return {"resourceType": "Patient", "id": name, "identifier": [{"system": BSN_SYSTEM, "value": bsn}]}


def task(name: str, status: str = "requested") -> dict[str, Any]:
    return {
        "resourceType": "Task",
        "id": f"task-{name}",
        "status": status,
        "intent": "proposal",
        "code": {"coding": [{"system": "http://loinc.org", "code": "74468-0"}]},
        "for": {"reference": f"Patient/{name}"},
    }


def entry(resource: dict[str, Any], full_url: str = "") -> dict[str, Any]:
    url = resource["resourceType"]
    return {
        **({"fullUrl": full_url} if full_url else {}),
        "resource": resource,
        "request": {"method": "POST", "url": url},
    }


def bundle(*entries: dict[str, Any], kind: str = "transaction") -> dict[str, Any]:
    return {"resourceType": "Bundle", "type": kind, "entry": list(entries)}


def weight(subject: dict[str, Any] | None, code: str = "29463-7") -> dict[str, Any]:
    return {
        "resourceType": "Observation",
        "status": "final",
        "code": {"coding": [{"system": "http://loinc.org", "code": code}]},
        "valueQuantity": {"value": 80, "unit": "kg"},
        **({"subject": subject} if subject else {}),
    }


ME = "urn:oid:2.999.1"
SENT_PATIENT = {"resourceType": "Patient", "name": [{"family": "Aarts"}]}


@pytest_asyncio.fixture(scope="module", loop_scope="session")
async def node(cluster: EmbeddedServer) -> AsyncIterator[RunningNode]:
    async with databases(cluster, "medmij_share") as make, running_node(make) as node:
        for name, bsn in (("anna", ANNA), ("bram", BRAM)):
            for resource in (patient(name, bsn), task(name)):
                path = f"{resource['resourceType']}/{resource['id']}"
                assert (await node["a"].internal.put(path, json=resource)).status_code == 201
                answer = await node["a"].internal_r4.put(path, json=resource)
                assert answer.status_code == 201, answer.text
        yield node


@pytest_asyncio.fixture(loop_scope="session")
async def anna(node: RunningNode) -> AsyncIterator[Person]:
    async with person(node, "a", ANNA) as anna:
        yield anna


async def inbox(organisation: RunningOrganisation, path: str, version: str = "stu3") -> httpx.Response:
    root = f"{organisation.internal_root}/{organisation.slug}/inbox/fhir/{version}"
    return await organisation.internal.get(f"{root}/{path}")


async def test_a_bundle_is_executed_in_the_inbox_and_not_in_the_own_data(
    node: RunningNode, anna: Person
) -> None:
    sent = bundle(entry(SENT_PATIENT, ME), entry(weight({"reference": ME}), "urn:oid:2.999.2"))
    answer = await anna.send("903", sent, Prefer="return=representation")
    assert answer.status_code == 200, answer.text
    made = answer.json()
    assert made["type"] == "transaction-response"
    assert [e["response"]["status"][:3] for e in made["entry"]] == ["201", "201"]
    patient_, observation = (e["resource"] for e in made["entry"])
    assert observation["subject"]["reference"].endswith(f"Patient/{patient_['id']}")
    assert ANNA not in answer.text

    kept = (await inbox(node["a"], f"Observation?patient.identifier={BSN_SYSTEM}|{ANNA}")).json()
    assert observation["id"] in [e["resource"]["id"] for e in kept["entry"]]
    stored = (await inbox(node["a"], f"Patient/{patient_['id']}")).json()
    assert {"system": BSN_SYSTEM, "value": ANNA} in stored["identifier"]
    own = await node["a"].internal.get(f"Observation/{observation['id']}")
    assert own.status_code == 404
    assert (await anna.get("909", f"Observation/{observation['id']}")).status_code == 404


@pytest.mark.parametrize(
    ("service", "kind", "codes"),
    [
        ("909", "Observation", ["read", "search-type"]),
        ("903", "Observation", ["create"]),
        ("904", "Task", ["create", "read", "search-type", "update"]),
    ],
)
async def test_the_door_says_what_it_gives_and_takes_of_each_type_and_does_no_other(
    anna: Person, service: str, kind: str, codes: list[str]
) -> None:
    told = (await anna.client.get(f"{anna.base(service)}/metadata")).json()["rest"][0]
    [said] = [one for one in told["resource"] if one["type"] == kind]
    assert sorted(one["code"] for one in said["interaction"]) == codes
    takes = "create" in codes
    assert [one["code"] for one in told.get("interaction", [])] == (["batch", "transaction"] if takes else [])
    assert ((await anna.get(service, kind)).status_code == 200) == ("search-type" in codes)
    by_itself = await anna.send(service, {"resourceType": kind, "id": "new"}, f"{kind}/new")
    assert by_itself.status_code == (404 if "update" in codes else 405)
    assert all("Bundle" in one["documentation"] for one in said["interaction"] if one["code"] == "create")


async def test_a_batch_is_taken_too_with_references_between_its_entries(
    node: RunningNode, anna: Person
) -> None:
    sent = bundle(
        entry(SENT_PATIENT, ME), entry(weight({"reference": ME}, "8302-2"), "urn:oid:2.999.3"), kind="batch"
    )
    answer = await anna.send("903", sent, Prefer="return=representation")
    assert answer.status_code == 200, answer.text
    assert answer.json()["type"] == "batch-response"
    patient_, observation = (e["resource"] for e in answer.json()["entry"])
    assert observation["subject"]["reference"].endswith(patient_["id"])


@pytest.mark.parametrize(
    "subject",
    [
        None,
        {"reference": "Patient/anna"},
        {"identifier": {"system": BSN_SYSTEM, "value": ANNA}},
        {"identifier": {"system": BSN_SYSTEM, "_value": {"extension": []}}},
    ],
)
async def test_a_resource_without_a_patient_beside_it_is_linked_to_the_patient_of_the_token(
    node: RunningNode, anna: Person, subject: dict[str, Any] | None
) -> None:
    if subject and "_value" in str(subject):
        absent = {"url": "http://hl7.org/fhir/StructureDefinition/data-absent-reason", "valueCode": "masked"}
        subject["identifier"]["_value"]["extension"] = [absent]
    answer = await anna.send("903", bundle(entry(weight(subject))), Prefer="return=representation")
    assert answer.status_code == 200, answer.text
    logical_id = answer.json()["entry"][0]["resource"]["id"]
    stored = (await inbox(node["a"], f"Observation/{logical_id}")).json()
    owner = (await inbox(node["a"], stored["subject"]["reference"])).json()
    assert {"system": BSN_SYSTEM, "value": ANNA} in owner["identifier"]


@pytest.mark.parametrize(
    "entries",
    [
        [entry(weight({"reference": "Patient/bram"}))],
        [entry(weight({"identifier": {"system": BSN_SYSTEM, "value": BRAM}}))],
        [entry(weight({"reference": "https://elsewhere.example/fhir/Patient/bram"}))],
        [entry({**SENT_PATIENT, "identifier": [{"system": BSN_SYSTEM, "value": BRAM}]})],
        [entry(SENT_PATIENT), entry(SENT_PATIENT)],
        [entry({**weight({"reference": "Patient/anna"}), "performer": [{"reference": "Patient/bram"}]})],
    ],
)
async def test_what_is_about_another_patient_is_refused_as_a_whole(
    node: RunningNode, anna: Person, entries: list[dict[str, Any]]
) -> None:
    before = (await inbox(node["a"], "Observation?_summary=count")).json()["total"]
    answer = await anna.send("903", bundle(entry(weight(None)), *entries))
    assert answer.status_code == 422, answer.text
    assert (await inbox(node["a"], "Observation?_summary=count")).json()["total"] == before


@pytest.mark.parametrize(
    ("service", "changed"),
    [
        ("903", {"method": "GET", "url": "Observation"}),
        ("903", {"method": "DELETE", "url": "Observation/x"}),
        ("903", {"method": "PUT", "url": "Observation/x"}),
        ("903", {"method": "POST", "url": "Observation", "ifNoneExist": "code=1"}),
        ("902", {"method": "POST", "url": "Observation"}),
        ("48", {"method": "POST", "url": "Observation"}),
    ],
)
async def test_what_a_service_does_not_take_is_refused(
    anna: Person, service: str, changed: dict[str, str]
) -> None:
    answer = await anna.send(service, bundle({"resource": weight(None), "request": changed}))
    assert answer.status_code in (400, 405), answer.text
    assert answer.json()["resourceType"] == "OperationOutcome"


async def test_a_bundle_that_is_sent_again_is_written_once(node: RunningNode, anna: Person) -> None:
    sent, number = bundle(entry(weight(None, "8310-5"))), str(uuid.uuid4())
    answers = [await anna.send("903", sent, MedMij_Request_ID=number) for _ in range(2)]
    places = [a.json()["entry"][0]["response"] for a in answers]
    assert [p["status"][:3] for p in places] == ["201", "201"]
    found = (await inbox(node["a"], "Observation?code=http://loinc.org|8310-5")).json()
    assert len(found["entry"]) == 1
    other = await anna.send("903", bundle(entry(weight(None, "8893-0"))), MedMij_Request_ID=number)
    assert other.status_code == 200
    found = (await inbox(node["a"], "Observation?code=http://loinc.org|8893-0")).json()
    assert len(found["entry"]) == 1


async def test_the_same_request_of_two_patients_is_two(node: RunningNode, anna: Person) -> None:
    request_id, sent = str(uuid.uuid4()), bundle(entry(weight(None, "8867-4")))
    ids = {}
    async with person(node, "a", BRAM) as bram:
        for who, bsn in ((anna, ANNA), (bram, BRAM)):
            answer = await who.send("903", sent, MedMij_Request_ID=request_id)
            assert answer.status_code == 200, answer.text
            found = await inbox(node["a"], f"Observation?code=8867-4&patient.identifier={BSN_SYSTEM}|{bsn}")
            [kept] = [e["resource"] for e in found.json()["entry"]]
            ids[kept["id"]] = kept["meta"]["versionId"]
    assert list(ids.values()) == ["1", "1"]


@pytest.mark.parametrize("code", ["8302-2", "never-sent"])
async def test_a_reference_by_condition_is_no_question_about_what_others_sent(
    node: RunningNode, anna: Person, code: str
) -> None:
    async with person(node, "a", BRAM) as bram:
        assert (await bram.send("903", bundle(entry(weight(None, "8302-2"))))).status_code == 200
    by_condition = {"reference": f"Patient?identifier={BSN_SYSTEM}|{BRAM}"}
    for base in ("", f"{anna.base('903')}/"):
        target = {"reference": f"{base}Observation?code=http://loinc.org|{code}"}
        asking = {**weight(None, "3137-7"), "related": [{"target": target}]}
        for kind in ("transaction", "batch"):
            for resource in (asking, {**SENT_PATIENT, "link": [{"other": by_condition, "type": "seealso"}]}):
                answer = await anna.send("903", bundle(entry(resource), kind=kind))
                assert answer.status_code == 400, answer.text
                assert answer.json()["issue"][0]["details"]["coding"][0]["code"] == "reference-conditional"
    assert "entry" not in (await inbox(node["a"], "Observation?code=http://loinc.org|3137-7")).json()


async def test_a_questionnaire_is_read_accepted_and_answered(node: RunningNode, anna: Person) -> None:
    query = "Task?code=http://loinc.org|74468-0&status=requested"
    assert await anna.keys("904", query) == ["Task/task-anna"]
    own = (await anna.found("904", query))["entry"][0]["resource"]
    answer = await anna.send("904", {**own, "status": "accepted"}, "Task/task-anna")
    assert answer.status_code == 200, answer.text
    assert (await node["a"].internal.get("Task/task-anna")).json()["status"] == "requested"
    assert (await inbox(node["a"], "Task/task-anna")).json()["status"] == "accepted"

    reply = {"resourceType": "QuestionnaireResponse", "status": "completed", "subject": own["for"]}
    done = {**own, "status": "completed"}
    sent = bundle(
        {"fullUrl": "urn:uuid:1", "resource": done, "request": {"method": "PUT", "url": "Task/task-anna"}},
        entry(reply, "urn:uuid:2"),
    )
    answer = await anna.send("904", sent, Prefer="return=representation")
    assert answer.status_code == 200, answer.text
    responses = [e["response"] for e in answer.json()["entry"]]
    assert [r["status"][:3] for r in responses] == ["200", "201"]
    assert "Task" in responses[0]["location"] and "QuestionnaireResponse" in responses[1]["location"]
    assert (await inbox(node["a"], "Task/task-anna")).json()["meta"]["versionId"] == "3"


@pytest.mark.parametrize("logical_id", ["task-bram", "never-was"])
async def test_a_task_of_another_patient_is_as_one_that_never_was(
    node: RunningNode, anna: Person, logical_id: str
) -> None:
    changed = {**task("anna", "accepted"), "id": logical_id}
    answer = await anna.send("904", changed, f"Task/{logical_id}")
    assert answer.status_code == 404
    assert (await inbox(node["a"], f"Task/{logical_id}")).status_code == 404


async def test_a_task_may_not_be_turned_into_one_about_another_patient(anna: Person) -> None:
    changed = {**task("anna"), "for": {"reference": "Patient/bram"}}
    assert (await anna.send("904", changed, "Task/task-anna")).status_code == 422


async def test_a_correction_is_answered_with_a_notice(node: RunningNode, anna: Person) -> None:
    letter = {
        "resourceType": "Communication",
        "status": "completed",
        "subject": {"reference": ME},
        "payload": [{"contentString": "De meting van gisteren is niet van mij"}],
    }
    answer = await anna.send(
        "902", bundle(entry(SENT_PATIENT, ME), entry(letter, "urn:uuid:3")), Prefer="return=representation"
    )
    assert answer.status_code == 200, answer.text
    [notice] = [e for e in answer.json()["entry"] if e["resource"]["resourceType"] == "OperationOutcome"]
    [issue] = notice["resource"]["issue"]
    assert (issue["severity"], issue["code"]) == ("information", "informational")
    assert issue["details"]["text"]
    assert (await inbox(node["a"], "Communication", "r4")).json()["entry"]


async def test_somebody_who_is_not_known_here_can_send_nothing(node: RunningNode) -> None:
    async with person(node, "b", ANNA) as stranger:
        assert (await stranger.send("903", bundle(entry(weight(None))))).status_code == 404
    assert (await inbox(node["b"], "Observation?_summary=count")).json()["total"] == 0


async def test_the_inbox_is_for_the_own_system_which_empties_it(node: RunningNode, anna: Person) -> None:
    answer = await anna.send("903", bundle(entry(weight(None, "59408-5"))), Prefer="return=representation")
    logical_id = answer.json()["entry"][0]["resource"]["id"]
    root = f"{node['a'].internal_root}/a/inbox/fhir/stu3"
    assert (await anna.client.get(f"{root}/Observation/{logical_id}")).status_code == 401
    other = await node["b"].internal.get(f"{root}/Observation/{logical_id}")
    assert other.status_code == 403
    assert (await anna.client.get(f"{node['a'].front_root}/a/inbox/fhir/stu3/Patient")).status_code == 404
    assert (await node["a"].internal.delete(f"{root}/Observation/{logical_id}")).status_code == 204
    assert (await inbox(node["a"], f"Observation/{logical_id}")).status_code == 410
