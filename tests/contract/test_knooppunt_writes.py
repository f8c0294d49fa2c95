"""A Nuts knooppunt that has its query directory here: it names resources by where it read them (`_source`), without an
id, and so do its references.
"""

from __future__ import annotations

import json
from collections.abc import AsyncIterator
from typing import Any

import httpx
import pytest
import pytest_asyncio
from tests.directories import OPEN, own_base, query_base, telling_node
from tests.knooppunt import HEADERS, Knooppunt, sourced, transaction
from tests.nodes import MakeDatabase, RunningNode

URA = "http://fhir.nl/fhir/NamingSystem/ura"
THERE = "https://directory.example/fhir"
ORGANISATION = {
    "resourceType": "Organization",
    "id": "1",
    "identifier": [{"system": URA, "value": "22222222"}],
    "active": True,
    "name": "Kliniek Oost",
    "endpoint": [{"reference": "Endpoint/1"}],
}
ENDPOINT = {
    "resourceType": "Endpoint",
    "id": "1",
    "status": "active",
    "connectionType": {
        "system": "http://terminology.hl7.org/CodeSystem/endpoint-connection-type",
        "code": "hl7-fhir-rest",
    },
    "managingOrganization": {"reference": "Organization/1"},
    "payloadType": [{"coding": [{"system": "http://example.org/payload", "code": "x"}]}],
    "address": "https://fhir.example/r4",
}


@pytest_asyncio.fixture(loop_scope="session")
async def node(make_database: MakeDatabase) -> AsyncIterator[RunningNode]:
    async with telling_node(make_database, None, OPEN, organisations=("a", "b")) as running:
        yield running


@pytest_asyncio.fixture(loop_scope="session")
async def client() -> AsyncIterator[httpx.AsyncClient]:
    async with httpx.AsyncClient(trust_env=False, timeout=60) as opened:
        yield opened


async def written(client: httpx.AsyncClient, node: RunningNode, bundle: dict[str, Any]) -> list[str]:
    """The status of each entry; it posts to the base with a slash behind it."""
    headers = {**HEADERS, "Content-Type": "application/fhir+json"}
    answer = await client.post(f"{query_base(node)}/", content=json.dumps(bundle), headers=headers)
    assert answer.status_code == 200, answer.text
    return [entry["response"]["status"][:3] for entry in answer.json()["entry"]]


async def found(node: RunningNode, ura: str) -> dict[str, list[dict[str, Any]]]:
    """What the EHR finds of an organisation, by type."""
    question = f"identifier={URA}|{ura}&_include=Organization:endpoint"
    own = node["b"]
    async with httpx.AsyncClient(headers={"X-API-Key": own.key}, trust_env=False) as ehr:
        answer = await ehr.get(f"{own.internal_root}/b/directory/fhir/r4/Organization?{question}")
    assert answer.status_code == 200, answer.text
    by_type: dict[str, list[dict[str, Any]]] = {}
    for entry in answer.json().get("entry", ()):
        by_type.setdefault(entry["resource"]["resourceType"], []).append(entry["resource"])
    return by_type


async def test_what_it_reads_in_our_directory_it_can_write_into_ours(
    node: RunningNode, client: httpx.AsyncClient
) -> None:
    base = own_base(node)
    peer = Knooppunt(client, base)
    await peer.update()
    statuses = await written(client, node, transaction(base, peer.held.values()))
    assert set(statuses) == {"201"} and len(statuses) == len(peer.held)
    seen = await found(node, node["a"].ura)
    [organisation] = seen["Organization"]
    own = next(
        one
        for one in peer.held.values()
        if one["resourceType"] == "Organization" and one["name"] == organisation["name"]
    )
    assert organisation["meta"]["source"] == f"{base}/Organization/{own['id']}"
    assert {one["address"] for one in seen["Endpoint"]} == {
        peer.held[link["reference"]]["address"] for link in own["endpoint"]
    }


async def test_the_same_again_is_the_same_resource_and_a_change_is_a_change_of_it(
    node: RunningNode, client: httpx.AsyncClient
) -> None:
    assert await written(client, node, transaction(THERE, [ORGANISATION, ENDPOINT])) == ["201", "201"]
    before = await found(node, "22222222")
    assert await written(client, node, transaction(THERE, [ORGANISATION, ENDPOINT])) == ["200", "200"]
    renamed = {**ORGANISATION, "name": "Kliniek West"}
    assert await written(client, node, transaction(THERE, [renamed])) == ["200"]
    after = await found(node, "22222222")
    assert [one["id"] for one in after["Organization"]] == [one["id"] for one in before["Organization"]]
    assert after["Organization"][0]["name"] == "Kliniek West"
    assert after["Endpoint"][0]["managingOrganization"]["reference"] == (
        f"Organization/{after['Organization'][0]['id']}"
    )


async def test_what_it_deletes_is_gone_and_may_be_deleted_again(
    node: RunningNode, client: httpx.AsyncClient
) -> None:
    await written(client, node, transaction(THERE, [ORGANISATION, ENDPOINT]))
    assert await written(client, node, transaction(THERE, [], ["Organization/1"])) == ["204"]
    assert await found(node, "22222222") == {}
    assert await written(client, node, transaction(THERE, [], ["Organization/1", "Location/9"])) == [
        "204",
        "204",
    ]
    assert await written(client, node, transaction(THERE, [ORGANISATION])) == ["201"]
    assert [one["name"] for one in (await found(node, "22222222"))["Organization"]] == ["Kliniek Oost"]


async def test_one_address_is_one_resource_whatever_its_type(
    node: RunningNode, client: httpx.AsyncClient
) -> None:
    """An Organization and an Endpoint with one id in one directory, and the same id in another directory."""
    other = {**ORGANISATION, "identifier": [{"system": URA, "value": "33333333"}]}
    await written(client, node, transaction(THERE, [ORGANISATION, ENDPOINT]))
    await written(client, node, transaction("https://other.example/fhir", [other, ENDPOINT]))
    ids = [
        one["id"]
        for ura in ("22222222", "33333333")
        for kind in (await found(node, ura)).values()
        for one in kind
    ]
    assert len(ids) == len(set(ids)) == 4


async def test_a_reference_may_come_before_what_it_refers_to(
    node: RunningNode, client: httpx.AsyncClient
) -> None:
    assert await written(client, node, transaction(THERE, [ORGANISATION])) == ["201"]
    assert "Endpoint" not in await found(node, "22222222")
    assert await written(client, node, transaction(THERE, [ENDPOINT])) == ["201"]
    assert "Endpoint" in await found(node, "22222222")


@pytest.mark.parametrize(
    "entry",
    [
        {"request": {"method": "DELETE", "url": "Organization?_source="}},
        {"request": {"method": "DELETE", "url": "Organization?_source=x&name=y"}},
        {"request": {"method": "DELETE", "url": "Organization?name=y"}},
        {"request": {"method": "DELETE", "url": "Organization"}},
        {"request": {"method": "DELETE", "url": sourced(THERE, "Patient/1")}},
        {"request": {"method": "PUT", "url": sourced(THERE, "Organization/1")}, "resource": ENDPOINT},
        {"request": {"method": "PUT", "url": sourced(THERE, "Organization/1")}, "resource": ORGANISATION},
        {"request": {"method": "PUT", "url": sourced(THERE, "Organization/1")}, "resource": []},
        {"request": {"method": "PUT", "url": 7}, "resource": {"reference": []}},
        {"request": None},
        None,
    ],
    ids=[
        "no source", "another parameter", "by name", "all", "a patient", "another type", "an id of its own",
        "no resource", "no url", "no request", "no entry",
    ],
)  # fmt: skip
async def test_what_does_not_name_one_resource_by_its_source_is_refused_whole(
    node: RunningNode, client: httpx.AsyncClient, entry: Any
) -> None:
    bundle = transaction(THERE, [ORGANISATION])
    bundle["entry"].append(entry)
    answer = await client.post(
        f"{query_base(node)}/", json=bundle, headers={"Content-Type": "application/fhir+json"}
    )
    assert 400 <= answer.status_code < 500, answer.text
    assert answer.json()["resourceType"] == "OperationOutcome"
    assert await found(node, "22222222") == {}


async def test_what_is_not_whole_is_kept_and_leads_nowhere(
    node: RunningNode, client: httpx.AsyncClient
) -> None:
    """The ministry's update client writes such an Endpoint where it fills in what a directory left out (14)."""
    bare = {name: value for name, value in ENDPOINT.items() if name != "payloadType"}
    assert await written(client, node, transaction(THERE, [ORGANISATION, bare])) == ["201", "201"]
    own = node["b"]
    async with httpx.AsyncClient(headers={"X-API-Key": own.key}, trust_env=False) as ehr:
        answer = await ehr.get(f"{own.internal_root}/b/directory/address?ura=22222222&exchange=bgz")
    assert (answer.status_code, answer.json()["code"]) == (404, "no-endpoint"), answer.text
    unknown = {**ENDPOINT, "foo": 1}
    headers = {"Content-Type": "application/fhir+json"}
    refused = await client.post(f"{query_base(node)}/", json=transaction(THERE, [unknown]), headers=headers)
    assert refused.status_code == 422
