"""A transaction is done whole or not at all, and its references lead to what it made."""

from __future__ import annotations

from collections.abc import AsyncIterator
from typing import Any

import httpx
import pytest
import pytest_asyncio
from tests.fhir_door import XML, entry, patient, refusal, transaction
from tests.nodes import RunningNode, databases, running_node

from schakel.store.embedded import EmbeddedServer


@pytest_asyncio.fixture(scope="module", loop_scope="session")
async def node(cluster: EmbeddedServer) -> AsyncIterator[RunningNode]:
    async with databases(cluster, "transactions") as make, running_node(make, ("a",), erasure="test") as node:
        yield node


@pytest.fixture
def door(node: RunningNode) -> httpx.AsyncClient:
    return node["a"].internal


async def test_a_transaction_creates_changes_deletes_and_reads(door: httpx.AsyncClient) -> None:
    await door.put("Patient/ta", json=patient("ta"))
    await door.put("Patient/tb", json=patient("tb"))
    bundle = transaction(
        entry("GET", "Patient/ta"),
        entry("POST", "Patient", patient("ignored", active=True)),
        entry("PUT", "Patient/ta", patient("ta", active=True), request={"ifMatch": 'W/"1"'}),
        entry("DELETE", "Patient/tb"),
        entry("PUT", "Patient/tc", {"resourceType": "Patient"}),
        entry("GET", "Patient?_id=ta,tc"),
        entry("GET", "Patient/ta/_history/1"),
        entry("DELETE", "Patient/never"),
        entry("GET", "Patient/never"),
    )
    answer = await door.post("", json=bundle)
    assert answer.status_code == 200
    out = answer.json()
    assert out["type"] == "transaction-response"
    statuses = [e["response"]["status"] for e in out["entry"]]
    assert statuses == ["200", "201", "200", "204", "201", "200", "200", "204", "404"]
    read, made, changed, deleted, put, searched, version, nothing, never = out["entry"]
    assert read["resource"]["active"] is True, "reading comes after changing"
    assert made["resource"]["id"] != "ignored"
    assert made["response"]["location"].endswith(f"Patient/{made['resource']['id']}/_history/1")
    assert changed["response"]["etag"] == 'W/"2"' and deleted["response"]["etag"] == 'W/"2"'
    assert put["fullUrl"] == f"{door.base_url}Patient/tc"
    assert searched["resource"]["total"] == 2
    assert "active" not in version["resource"]
    assert "etag" not in nothing["response"]
    assert never["response"]["outcome"]["resourceType"] == "OperationOutcome"


async def test_an_empty_transaction_is_answered(door: httpx.AsyncClient) -> None:
    answer = await door.post("", json={"resourceType": "Bundle", "type": "transaction"})
    assert answer.status_code == 200 and answer.json()["type"] == "transaction-response"
    as_xml = await door.post("", json=transaction(entry("GET", "Patient?_id=no")), headers={"Accept": XML})
    assert as_xml.status_code == 200


async def test_references_between_entries_lead_to_what_was_made(door: httpx.AsyncClient) -> None:
    who, org = "urn:uuid:7d8d0f9e-6a0c-4b64-9a9b-5d9b2d5a0001", "urn:oid:1.2.3.4"
    reference = {"reference": who}
    observation = {
        "resourceType": "Observation",
        "contained": [{"resourceType": "Group", "id": "g", "type": "person", "actual": True}],
        "extension": [{"url": "http://x", "valueReference": {"reference": org, "display": "org"}}],
        "status": "final",
        "code": {"text": who},
        "subject": reference,
        "performer": [reference, {"reference": "http://ehr.example/fhir/Practitioner/7"}],
        "related": [{"target": {"reference": "Observation/elsewhere"}}],
    }
    observation["contained"][0]["member"] = [{"entity": {"reference": who}}]  # type: ignore[index]
    relative = {"resourceType": "Basic", "code": {"text": "x"}, "author": {"reference": "Practitioner/7"}}
    answer = await door.post(
        "",
        json=transaction(
            entry(
                "POST", "Observation", observation, fullUrl="urn:uuid:7d8d0f9e-6a0c-4b64-9a9b-5d9b2d5a0002"
            ),
            entry("POST", "Patient", patient("x"), fullUrl=who),
            entry("PUT", "Organization/org", {"resourceType": "Organization", "name": "x"}, fullUrl=org),
            entry(
                "POST",
                "Practitioner",
                {"resourceType": "Practitioner", "name": [{"text": "x"}]},
                fullUrl="http://ehr.example/fhir/Practitioner/7",
            ),
            entry("POST", "Basic", relative, fullUrl="http://ehr.example/fhir/Basic/8"),
        ),
    )
    assert answer.status_code == 200
    out = [e["resource"] for e in answer.json()["entry"]]
    made, them, practitioner = (
        out[0],
        {"reference": f"Patient/{out[1]['id']}"},
        f"Practitioner/{out[3]['id']}",
    )
    assert made["subject"] == made["performer"][0] == made["contained"][0]["member"][0]["entity"] == them
    assert made["performer"][1]["reference"] == out[4]["author"]["reference"] == practitioner
    assert made["extension"][0]["valueReference"] == {"reference": "Organization/org", "display": "org"}
    assert made["related"][0]["target"]["reference"] == "Observation/elsewhere"
    assert made["code"]["text"] == who
    found = await door.get(f"Observation?patient={them['reference']}&_include=Observation:performer")
    assert {e["resource"]["id"] for e in found.json()["entry"]} == {made["id"], out[1]["id"], out[3]["id"]}


async def test_a_reference_to_a_version_goes_on_naming_one(door: httpx.AsyncClient) -> None:
    """R4 http.html, transaction processing rules: the versions that a client names are its own choice."""
    for _ in range(2):
        await door.put("Patient/vb", json=patient("vb"))
    condition = {"ifNoneExist": "_id=vb"}
    bundle = transaction(
        entry("POST", "Patient", patient("x"), fullUrl="urn:uuid:0c3201bd-1cbf-4d64-b04d-cd9187a4c6e0"),
        entry("PUT", "Patient/va", patient("va"), fullUrl="http://old.example/fhir/Patient/va"),
        entry("PUT", "Patient/vb", patient("vb"), fullUrl=f"{door.base_url}Patient/vb"),
        entry("POST", "List", _listing("urn:uuid:0c3201bd-1cbf-4d64-b04d-cd9187a4c6e0/_history/1")),
        entry("POST", "List", _listing("http://old.example/fhir/Patient/va/_history/77")),
        entry("POST", "List", _listing("Patient/vb/_history/1")),
        entry("POST", "List", _listing("http://old.example/fhir/Patient/elsewhere/_history/1")),
    )
    out = (await door.post("", json=bundle)).json()["entry"]
    made = out[0]["resource"]["id"]
    assert [_listed(e) for e in out[3:]] == [
        f"Patient/{made}/_history/1",
        "Patient/va/_history/1",
        "Patient/vb/_history/3",
        "http://old.example/fhir/Patient/elsewhere/_history/1",
    ]
    kept = transaction(
        entry("POST", "Patient", patient("x"), fullUrl="urn:uuid:kept", request=condition),
        entry("POST", "List", _listing("urn:uuid:kept/_history/9")),
    )
    out = (await door.post("", json=kept)).json()["entry"]
    assert _listed(out[1]) == "Patient/vb/_history/3"


async def test_a_relative_reference_is_one_below_our_base_where_the_entry_has_none(
    door: httpx.AsyncClient,
) -> None:
    bundle = transaction(
        entry("POST", "Patient", patient("src"), fullUrl=f"{door.base_url}Patient/src"),
        entry("POST", "List", _listing("Patient/src")),
        entry("POST", "List", _listing("Patient/src"), fullUrl="http://old.example/fhir/List/1"),
    )
    made, ours, theirs = (await door.post("", json=bundle)).json()["entry"]
    assert _listed(ours) == f"Patient/{made['resource']['id']}"
    assert _listed(theirs) == "Patient/src"


def _listing(reference: str) -> dict[str, Any]:
    entries = [{"item": {"reference": reference}}]
    return {"resourceType": "List", "status": "current", "mode": "working", "entry": entries}


def _listed(answered: dict[str, Any]) -> str:
    found: str = answered["resource"]["entry"][0]["item"]["reference"]
    return found


def _authored(reference: str) -> dict[str, Any]:
    resource = {"resourceType": "Basic", "code": {"text": "x"}, "author": {"reference": reference}}
    return entry("POST", "Basic", resource)


@pytest.mark.parametrize(
    ("bad", "status", "named"),
    [
        (entry("POST", "Patient", {"resourceType": "Patient", "naam": 1}), 422, "entry[1].Patient.naam"),
        (entry("PUT", "Patient/all", patient("all")), 400, "entry 0 changes the same"),
        (entry("DELETE", "Patient/all"), 400, "entry 0 changes the same"),
        (entry("PUT", "Patient/x", patient("y")), 400, "Patient.id"),
        (entry("PUT", "Patient/x", patient("x"), request={"ifMatch": 'W/"7"'}), 412, "entry[1]"),
        (entry("PUT", "Patient/x", patient("x"), request={"ifMatch": "7"}), 400, "entry[1].If-Match"),
        (entry("PUT", "Patient/x", patient("x"), request={"ifMatch": 3}), 422, "entry[1].request.ifMatch"),
        (entry("POST", "Patient", {"resourceType": "Basic", "code": {"text": "x"}}), 400, "Basic"),
        (entry("POST", "Patient"), 400, "resource"),
        (entry("POST", "Patient", patient("x"), request={"ifNoneExist": ""}), 422, "ifNoneExist"),
        (entry("POST", "Patient", patient("x"), request={"ifNoneExist": "?"}), 400, "condition"),
        (entry("POST", "Patient", patient("x"), request={"ifNoneExist": "_sort=name"}), 400, "_sort"),
        (entry("PUT", "Patient?nome=1", patient("x")), 400, "nome"),
        (entry("DELETE", "Patient?_count=1"), 400, "_count"),
        (entry("DELETE", "Patient"), 405, "DELETE"),
        (entry("DELETE", "Patient?_format=json"), 400, "condition"),
        (entry("DELETE", "Patient?active=true", request={"ifMatch": "x"}), 400, "If-Match"),
        (entry("PATCH", "Patient/x", patient("x")), 422, "method"),
        (entry("HEAD", "Patient/x"), 422, "method"),
        (entry("GET", "Patient/x", fullUrl=7), 422, "entry[1].fullUrl"),
        (entry("GET", "Patient?nome=x"), 400, "nome"),
        (entry("GET", "Patient?birthdate=xx2024"), 400, "xx2024"),
        (entry("GET", "metadata"), 400, "capabilities"),
        (entry("POST", "Patient/x/$purge"), 400, "purge"),
        (entry("POST", "/", {"resourceType": "Bundle", "type": "batch"}), 400, "transaction inside"),
        (entry("GET", "http://elsewhere.example/Patient/1"), 404, "entry[1]"),
        (_authored("Patient?identifier=never"), 412, "Patient?identifier=never"),
        (_authored("Patient?nome=1"), 400, "nome"),
        (_authored("Patience?identifier=1"), 400, "Patience"),
        ({"resource": patient("x")}, 400, "request"),
        ({"foo": 1, "request": {"method": "GET", "url": "Patient"}}, 422, "entry[1].foo"),
    ],
)
async def test_a_transaction_with_one_refusal_changes_nothing_and_names_the_entry(
    door: httpx.AsyncClient, bad: dict[str, Any], status: int, named: str
) -> None:
    good = entry(
        "PUT", "Patient/all", patient("all"), fullUrl="urn:uuid:7d8d0f9e-6a0c-4b64-9a9b-5d9b2d5a0001"
    )
    text = refusal(await door.post("", json=transaction(good, bad)), status)
    assert "Bundle.entry[1]" in text
    assert named in text
    refusal(await door.get("Patient/all"), 404)


async def test_two_entries_do_not_share_a_full_url(door: httpx.AsyncClient) -> None:
    same = {"fullUrl": "urn:uuid:7d8d0f9e-6a0c-4b64-9a9b-5d9b2d5a0001"}
    bundle = transaction(
        entry("POST", "Patient", patient("x"), **same), entry("POST", "Patient", patient("y"), **same)
    )
    assert "fullUrl" in refusal(await door.post("", json=bundle), 400)


@pytest.mark.parametrize(
    ("body", "status", "named"),
    [
        ({"resourceType": "Bundle", "type": "searchset"}, 400, "transaction"),
        ({"resourceType": "Bundle"}, 400, "transaction"),
        (patient("x"), 400, "Bundle"),
        ({"resourceType": "Bundle", "type": "transaction", "entry": {}}, 422, "entry"),
        ({"resourceType": "Bundle", "type": "transaction", "entry": None}, 422, "entry"),
        ({"resourceType": "Bundle", "type": "transaction", "entry": ["x"]}, 422, "entry"),
        ({"resourceType": "Bundle", "type": "transaction", "more": 1}, 422, "more"),
    ],
)
async def test_the_base_takes_batches_and_transactions_alone(
    door: httpx.AsyncClient, body: dict[str, Any], status: int, named: str
) -> None:
    assert named in refusal(await door.post("", json=body), status)
