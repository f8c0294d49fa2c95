"""The patient's own log: every access to the record, in words, and nobody else's."""

from __future__ import annotations

import uuid
from collections.abc import AsyncIterator
from typing import Any

import orjson
import pytest_asyncio
from tests.nodes import RunningNode, databases, running_node
from tests.patients import CLIENT, Person, person

from schakel.kernel.values import BSN_SYSTEM
from schakel.store.embedded import EmbeddedServer

ANNA, BRAM = "999990019", "999990020"


@pytest_asyncio.fixture(scope="module", loop_scope="session")
async def node(cluster: EmbeddedServer) -> AsyncIterator[RunningNode]:
    async with databases(cluster, "medmij_log") as make, running_node(make) as node:
        for name, bsn in (("anna", ANNA), ("bram", BRAM)):
            number = {"system": BSN_SYSTEM, "value": bsn}
            patient = {"resourceType": "Patient", "id": name, "identifier": [number]}
            flag = {
                "resourceType": "Flag",
                "id": f"flag-{name}",
                "status": "active",
                "code": {"text": "x"},
                "subject": {"reference": f"Patient/{name}"},
            }
            for resource in (patient, flag):
                path = f"{resource['resourceType']}/{resource['id']}"
                assert (await node["a"].internal.put(path, json=resource)).status_code == 201
        yield node


@pytest_asyncio.fixture(loop_scope="session")
async def anna(node: RunningNode) -> AsyncIterator[Person]:
    async with person(node, "a", ANNA) as anna:
        yield anna


async def events(person: Person, query: str = "") -> dict[str, Any]:
    organisation = person.organisation
    address = f"{organisation.front_root}/{organisation.slug}/log/fhir/r4/AuditEvent"
    headers = {"Authorization": f"Bearer {person.token}"}
    answer = await person.client.get(address + query, headers=headers)
    assert answer.status_code == 200, answer.text
    assert ANNA not in answer.text and BRAM not in answer.text
    bundle: dict[str, Any] = answer.json()
    return bundle


async def test_every_access_and_every_refusal_is_in_the_patients_log(anna: Person) -> None:
    number = str(uuid.uuid4())
    await anna.get("48", "Flag", MedMij_Request_ID=number)
    await anna.get("48", "Flag/flag-anna")
    await anna.get("48", "Flag/flag-bram")
    await anna.get("48", "Flag?patient=bram")
    resources = [e["resource"] for e in (await events(anna))["entry"]]
    told = [(r["subtype"][0]["code"], r["outcome"]) for r in resources[:5]]
    assert told == [("log", "0"), ("search-type", "4"), ("read", "4"), ("read", "0"), ("search-type", "0")]
    search = resources[4]
    assert search["purposeOfEvent"][0]["coding"][0]["code"] == "PATRQT"
    assert search["agent"][0]["who"]["identifier"]["value"].endswith(CLIENT)
    details = {d["type"]: d["valueString"] for e in search["entity"] for d in e.get("detail", [])}
    assert details["autorisatieProtocol"] == "medmij-48"
    assert details["toestemmingsProfiel"].startswith("patient-request ")
    assert number in str(search["entity"])
    references = [e["what"]["reference"] for e in search["entity"] if "reference" in e.get("what", {})]
    assert references == ["Flag/flag-anna/_history/1"]


async def test_an_event_says_who_when_why_and_what_in_words(anna: Person) -> None:
    await anna.get("48", "Flag/flag-anna")
    entries = (await events(anna, "?_count=2"))["entry"]
    [entry] = [e for e in entries if e["resource"]["subtype"][0]["code"] == "read"]
    text = entry["resource"]["text"]["div"]
    assert CLIENT in text and "las gegevens" in text and "op uw eigen verzoek" in text and "1 Flag" in text


async def test_a_number_in_a_logged_request_of_another_door_is_masked(
    node: RunningNode, anna: Person
) -> None:
    holder, requester = node["a"], node["b"]
    await holder.ground(ANNA, requester.ura)
    token = await requester.token(holder)
    address = f"Flag?patient.identifier={BSN_SYSTEM}|{ANNA}"
    answer = await holder.front.get(address, headers={"Authorization": f"Bearer {token}"})
    assert answer.status_code == 200, answer.text
    event = (await events(anna, "?_count=2"))["entry"][1]["resource"]
    assert "namens" in event["text"]["div"] and "voor uw behandeling" in event["text"]["div"]
    assert "controles" not in str(event)


async def test_the_log_has_no_event_of_another_patient(node: RunningNode, anna: Person) -> None:
    async with person(node, "a", BRAM) as bram:
        await bram.get("48", "Flag")
        assert "flag-anna" not in str(await events(bram))
    assert "flag-bram/" not in str(await events(anna))


async def test_the_pages_of_the_log_hold_each_event_once(anna: Person) -> None:
    for _ in range(5):
        await anna.get("48", "Flag")
    seen: list[str] = []
    query = "?_count=2"
    while query:
        bundle = await events(anna, query)
        seen += [e["resource"]["id"] for e in bundle["entry"]]
        links = {link["relation"]: link["url"] for link in bundle["link"]}
        query = "?" + links["next"].partition("?")[2] if "next" in links else ""
    assert len(seen) == len(set(seen)) >= 5


async def test_the_log_asks_a_token_and_lets_nobody_choose_a_patient(node: RunningNode, anna: Person) -> None:
    address = f"{node['a'].front_root}/a/log/fhir/r4/AuditEvent"
    assert (await anna.client.get(address)).status_code == 401
    own = {"Authorization": f"Bearer {anna.token}"}
    for query in (f"patient.identifier={BSN_SYSTEM}|{BRAM}", "patient=x", "agent=y"):
        answer = await anna.client.get(f"{address}?{query}", headers=own)
        assert answer.status_code == 400, query
    elsewhere = f"{node['a'].front_root}/b/log/fhir/r4/AuditEvent"
    assert (await anna.client.get(elsewhere, headers=own)).status_code == 401


async def chain(node: RunningNode, session: str) -> list[dict[str, Any]]:
    """The events of a session in the chain log, in order."""
    async with node.node.pool.acquire() as connection:
        query = "SELECT body FROM chain_event WHERE session = $1 ORDER BY recorded"
        return [orjson.loads(row["body"]) for row in await connection.fetch(query, session)]


async def test_each_data_request_and_its_answer_are_in_the_chain_log_without_a_person(
    node: RunningNode,
) -> None:
    async with person(node, "a", ANNA) as anna:
        number = str(uuid.uuid4())
        await anna.get("48", "Flag?_id=flag-anna", MedMij_Request_ID=number)
        await anna.get("48", "Flag/flag-bram")
        await anna.get("48", "Flag", MedMij_Request_ID="none")
        events = await chain(node, anna.correlation_id)
    assert [(e["event"]["type"], e.get("response", {}).get("status")) for e in events] == [
        ("receive_resource_request", None),
        ("send_resource_response", 200),
        ("receive_resource_request", None),
        ("send_resource_request_error", 404),
        ("receive_resource_request", None),
        ("send_resource_request_error", 400),
    ]
    request = events[0]["request"]
    assert (request["id"], request["method"], request["client_id"]) == (number, "GET", CLIENT)
    assert (request["service_id"], request["uri"]) == ("48", "/a/medmij/48/fhir")
    assert [e["error"]["code"] for e in events if "error" in e] == ["other", "invalid_request"]
    told = str(events)
    assert ANNA not in told and "flag-bram" not in told and "flag-anna" not in told


async def test_a_request_whose_token_is_not_known_is_in_no_chain(node: RunningNode) -> None:
    async with person(node, "a", ANNA) as anna:
        assert (await anna.get("48", "Flag", Authorization="Bearer made-up")).status_code == 401
        assert await chain(node, anna.correlation_id) == []
