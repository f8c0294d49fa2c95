"""Organisations on one database never see each other: whatever is asked, by whatever way."""

from __future__ import annotations

import re
from collections.abc import AsyncIterator
from typing import Any

import httpx
import pytest
import pytest_asyncio
from tests.nodes import RunningNode, databases, running_node

from schakel.store.embedded import EmbeddedServer
from schakel.store.sql import INDEX_TABLES

BSN = "http://fhir.nl/fhir/NamingSystem/bsn"
SEARCHED = tuple(table for table in INDEX_TABLES if table != "index_text")
"""The tables in which values are looked up; words are looked up by their resource."""


def resources(family: str, number: str) -> list[dict[str, Any]]:
    """A record of which both organisations have the same ids, with a word of their own in it."""
    patient = {"reference": "Patient/shared"}
    return [
        {
            "resourceType": "Patient",
            "id": "shared",
            "name": [{"family": family}],
            "identifier": [{"system": BSN, "value": number}],
            "managingOrganization": {"reference": f"Organization/{family}"},
        },
        {"resourceType": "Organization", "id": family, "name": family},
        {
            "resourceType": "Observation",
            "id": "observed",
            "status": "final",
            "code": {"text": family},
            "subject": patient,
            "performer": [{"reference": f"Organization/{family}"}],
        },
    ]


@pytest_asyncio.fixture(scope="module", loop_scope="session")
async def node(cluster: EmbeddedServer) -> AsyncIterator[RunningNode]:
    async with databases(cluster, "tenants") as make, running_node(make, erasure="test") as node:
        for slug, family, number in (("a", "Aarts", "999901370"), ("b", "Bakker", "999901382")):
            for resource in resources(family, number):
                url = f"{resource['resourceType']}/{resource['id']}"
                assert (await node[slug].internal.put(url, json=resource)).status_code == 201
        only = {"resourceType": "Patient", "id": "only-b", "name": [{"family": "Alleen"}]}
        await node["b"].internal.put("Patient/only-b", json=only)
        about = {
            "resourceType": "Provenance",
            "id": "about",
            "target": [{"reference": "Observation/observed"}, {"reference": "Patient/only-b"}],
            "recorded": "2024-01-01T00:00:00Z",
            "agent": [{"whoUri": "urn:x"}],
        }
        assert (await node["b"].internal.put("Provenance/about", json=about)).status_code == 201
        yield node


def words(answer: httpx.Response) -> set[str]:
    return set(re.findall(r"Aarts|Bakker|Alleen|only-b", answer.text))


@pytest.mark.parametrize(
    "path",
    [
        "Patient/only-b",
        "Patient/only-b/_history/1",
        "Provenance/about",
        "Organization/Bakker",
    ],
)
async def test_a_neighbours_resource_is_not_there(node: RunningNode, path: str) -> None:
    assert (await node["b"].internal.get(path)).status_code == 200
    answer = await node["a"].internal.get(path)
    assert answer.status_code == 404


@pytest.mark.parametrize("path", ["Patient/shared", "Patient/shared/_history/1", "Observation/observed"])
async def test_the_same_id_is_each_ones_own(node: RunningNode, path: str) -> None:
    assert words(await node["a"].internal.get(path)) == {"Aarts"}
    assert words(await node["b"].internal.get(path)) == {"Bakker"}


@pytest.mark.parametrize(
    "query",
    [
        "Patient",
        "Patient?_id=shared,only-b",
        "Patient?family=bakker,aarts,alleen",
        f"Patient?identifier={BSN}|",
        "Patient?family:contains=a",
        "Patient?_lastUpdated=ge2020",
        "Patient?identifier:not=nothing",
        "Patient?organization.name=bakker,aarts",
        "Observation?patient=shared,only-b",
        f"Observation?patient.identifier={BSN}|999901370,{BSN}|999901382",
        "Observation?patient.family=bakker,aarts",
        "Observation?performer.name=bakker,aarts",
        "Observation/$lastn?patient=shared",
        "Observation?_include=Observation:subject&_include=Observation:performer",
        "Observation?_revinclude=Provenance:target",
        "Provenance?target=Observation/observed&_include=Provenance:target",
        "Observation?status:not=preliminary",
        "Patient?_sort=-family&_total=accurate",
    ],
)
async def test_no_search_finds_a_neighbours_data(node: RunningNode, query: str) -> None:
    answer = await node["a"].internal.get(query)
    assert answer.status_code == 200
    bundle = answer.json()
    assert not words(answer) & {"Bakker", "Alleen"}
    assert "only-b" not in str(bundle.get("entry"))
    assert bundle["total"] == sum(e["search"]["mode"] == "match" for e in bundle.get("entry", []))
    counted = (await node["a"].internal.get(f"{query}{'&' if '?' in query else '?'}_count=0")).json()
    assert counted["total"] == bundle["total"]


async def test_a_transaction_reaches_only_ones_own(node: RunningNode) -> None:
    entries = [
        {
            "resource": {"resourceType": "Patient", "id": "only-b", "name": [{"family": "Aarts"}]},
            "request": {"method": "PUT", "url": "Patient/only-b"},
        },
        {
            "resource": {
                "resourceType": "Observation",
                "status": "final",
                "code": {"text": "refers to a neighbour"},
                "subject": {"reference": "Patient/only-b"},
                "performer": [{"reference": "Organization/Bakker"}],
            },
            "request": {"method": "POST", "url": "Observation"},
        },
        {"request": {"method": "GET", "url": "Organization/Bakker"}},
        {"request": {"method": "GET", "url": "Organization?name=bakker"}},
        {"request": {"method": "DELETE", "url": "Provenance/about"}},
    ]
    bundle = {"resourceType": "Bundle", "type": "transaction", "entry": entries}
    answer = (await node["a"].internal.post("", json=bundle)).json()
    assert [e["response"]["status"] for e in answer["entry"]] == ["201", "201", "404", "200", "204"]
    assert answer["entry"][3]["resource"]["total"] == 0
    theirs = await node["b"].internal.get("Patient/only-b")
    assert theirs.json()["meta"]["versionId"] == "1" and words(theirs) == {"Alleen", "only-b"}
    assert (await node["b"].internal.get("Provenance/about")).status_code == 200
    included = await node["a"].internal.get(
        "Observation?code:not=x&_include=Observation:performer&_include=Observation:subject"
    )
    assert "Bakker" not in {e["resource"]["id"] for e in included.json()["entry"]}
    assert (await node["a"].internal.delete("Patient/only-b")).status_code == 204
    assert (await node["b"].internal.get("Patient/only-b")).status_code == 200


async def test_a_version_that_a_neighbour_has_is_not_expected_of_us(node: RunningNode) -> None:
    fresh = {"resourceType": "Organization", "id": "Bakker"}
    answer = await node["a"].internal.put("Organization/Bakker", json=fresh, headers={"If-Match": 'W/"1"'})
    assert answer.status_code == 412


async def test_a_neighbours_page_is_gone(node: RunningNode) -> None:
    first = (await node["b"].internal.get("Patient?_count=1")).json()
    [link] = [one["url"] for one in first["link"] if one["relation"] == "next"]
    assert (await node["b"].internal.get(link)).status_code == 200
    page = link.partition("?")[2]
    answer = await node["a"].internal.get(f"Patient?{page}")
    assert answer.status_code == 410 and answer.json()["resourceType"] == "OperationOutcome"


async def test_erasing_spares_the_neighbours_patient_of_the_same_id(node: RunningNode) -> None:
    for slug in ("a", "b"):
        await node[slug].internal.put("Patient/erased", json={"resourceType": "Patient", "id": "erased"})
    assert (await node["a"].internal.post("Patient/erased/$purge")).status_code == 204
    assert (await node["a"].internal.get("Patient/erased")).status_code == 404
    assert (await node["b"].internal.get("Patient/erased")).status_code == 200


@pytest.mark.parametrize(
    "request_of",
    [
        ("GET", "Patient/shared"),
        ("GET", "Patient"),
        ("PUT", "Patient/shared"),
        ("DELETE", "Patient/shared"),
        ("POST", ""),
        ("GET", "metadata"),
        ("POST", "Patient/shared/$purge"),
    ],
    ids=" ".join,
)
async def test_a_neighbours_key_opens_nothing(node: RunningNode, request_of: tuple[str, str]) -> None:
    method, path = request_of
    url = f"{node['b'].internal_fhir}/{path}"
    for headers, status in (
        ({"X-API-Key": node["a"].key}, 403),
        ({"X-API-Key": "nobody-has-this-key"}, 401),
        ({"X-API-Key": ""}, 401),
        ({}, 401),
    ):
        async with httpx.AsyncClient(headers=headers, trust_env=False) as client:
            answer = await client.request(method, url)
        assert answer.status_code == status
        assert answer.json()["resourceType"] == "OperationOutcome"
        assert not words(answer)
    assert (await node["b"].internal.get("Patient/shared")).status_code == 200


async def test_the_internal_key_does_not_open_the_guarded_door(node: RunningNode) -> None:
    for slug in ("a", "b"):
        answer = await node["b"].front.get("Patient/shared", headers={"X-API-Key": node[slug].key})
        assert answer.status_code == 401


async def test_every_key_and_index_of_the_database_leads_with_the_tenant(node: RunningNode) -> None:
    async with node.node.pool.acquire() as connection:
        rows = await connection.fetch(
            "SELECT t.relname AS of, c.relname AS name, array(SELECT pg_get_indexdef(i.indexrelid, n, true) "
            "FROM generate_series(1, i.indnkeyatts) AS n) AS columns FROM pg_index i "
            "JOIN pg_class c ON c.oid = i.indexrelid JOIN pg_class t ON t.oid = i.indrelid "
            "WHERE t.relnamespace = current_schema()::regnamespace AND t.relkind IN ('r', 'p')"
        )
    shared = {"tenant", "schema_migration", "medmij_list"}  # The same for all of them.
    found = {r["name"]: r["columns"] for r in rows if r["of"] not in shared}
    assert len(found) > 15
    assert {name for name, columns in found.items() if columns[0] != "tenant"} == set()
    for table in SEARCHED:
        assert found[f"{table}_search"][:4] == ["tenant", "fhir", "type", "patient"]


async def test_every_table_with_data_of_an_organisation_names_the_tenant(node: RunningNode) -> None:
    async with node.node.pool.acquire() as connection:
        without = await connection.fetch(
            "SELECT relname FROM pg_class t WHERE relnamespace = current_schema()::regnamespace "
            "AND relkind IN ('r', 'p') AND NOT EXISTS (SELECT FROM pg_attribute a WHERE a.attrelid = t.oid "
            "AND a.attname = 'tenant' AND a.attnotnull)"
        )
    assert {r["relname"] for r in without} == {"tenant", "schema_migration", "medmij_list"}
