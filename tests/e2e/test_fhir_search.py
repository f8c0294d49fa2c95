"""Searches through the door, where the specification leaves a client some room: R4 search.html, which STU3 shares."""

from __future__ import annotations

from collections.abc import AsyncIterator

import httpx
import pytest
import pytest_asyncio
from tests.fhir_door import patient, refusal
from tests.nodes import RunningNode, databases, running_node

from schakel.store.embedded import EmbeddedServer

PEOPLE = [
    patient("p1", gender="male", birthDate="1980-05-17"),
    patient("p2", gender="female", birthDate="1980-05"),
    patient("p3", gender="female", birthDate="1990"),
]
SEEN = {
    "resourceType": "Encounter",
    "id": "e1",
    "status": "finished",
    "class": {"code": "AMB"},
    "period": {"start": "2013-01-14T10:00:00Z", "end": "2013-01-14T10:00:00Z"},
}


@pytest_asyncio.fixture(scope="module", loop_scope="session")
async def node(cluster: EmbeddedServer) -> AsyncIterator[RunningNode]:
    async with databases(cluster, "searches") as make, running_node(make, ("a",)) as node:
        for door in (node["a"].internal, node["a"].internal_r4):
            for resource in (*PEOPLE, SEEN):
                address = f"{resource['resourceType']}/{resource['id']}"
                assert (await door.put(address, json=resource)).status_code == 201
        yield node


@pytest.fixture(params=["stu3", "r4"])
def door(node: RunningNode, request: pytest.FixtureRequest) -> httpx.AsyncClient:
    return node["a"].internal if request.param == "stu3" else node["a"].internal_r4


async def found(door: httpx.AsyncClient, text: str) -> list[str]:
    answer = await door.get(text)
    assert answer.status_code == 200, answer.text
    return [e["resource"]["id"] for e in answer.json().get("entry", [])]


async def test_an_empty_parameter_is_as_if_it_was_not_there(door: httpx.AsyncClient) -> None:
    """R4 3.1.1.3; the self link tells what was used."""
    for text in ("Patient?name=&_id=p1", "Patient?_count=&_id=p1", "?_id=p1&_type=Patient&_tag="):
        answer = await door.get(text)
        assert [e["resource"]["id"] for e in answer.json()["entry"]] == ["p1"]
        link = answer.json()["link"][0]["url"]
        assert "_id=p1" in link and "=&" not in link and not link.endswith("=")
    answer = await door.post("Patient/_search", data={"name": "", "_id": "p2"})
    assert answer.json()["total"] == 1
    refusal(await door.get("Patient?_id=p1,,p2"), 400)


async def test_an_empty_condition_never_widens_a_write(door: httpx.AsyncClient) -> None:
    assert "identifier" in refusal(await door.delete("Patient?identifier="), 400)
    refusal(await door.put("Patient?identifier=&_id=p1", json=patient("p1")), 400)
    refusal(await door.post("Patient", json=patient("x"), headers={"If-None-Exist": "identifier="}), 400)


async def test_sort_orders_may_repeat(door: httpx.AsyncClient) -> None:
    """R4 3.1.1.9: `_sort` can repeat for inner sort orders."""
    assert await found(door, "Patient?_sort=gender&_sort=-birthdate") == ["p3", "p2", "p1"]
    assert await found(door, "Patient?_sort=gender,-birthdate") == ["p3", "p2", "p1"]
    assert await found(door, "Patient?_sort=gender&_sort=birthdate") == ["p2", "p3", "p1"]


async def test_a_time_zone_that_lost_its_plus_is_understood(door: httpx.AsyncClient) -> None:
    for text, expected in (
        ("2013-01-14T11:00:00+01:00", ["e1"]),
        ("2013-01-14T11:00:00%2B01:00", ["e1"]),
        ("sa2013-01-14T09:59:59+00:00,2012", ["e1"]),
        ("2013-01-14T11:00:00-01:00", []),
    ):
        assert await found(door, f"Encounter?date={text}") == expected
    assert "date" in refusal(await door.get("Encounter?date=14 January 2013"), 400)
    assert "date" in refusal(await door.get("Encounter?date=2013-01-14 11:00:00"), 400)


async def test_the_capability_statement_has_a_tag_that_changes_with_it(door: httpx.AsyncClient) -> None:
    """R4 http.html, capabilities."""
    whole, again = await door.get("metadata"), await door.get("metadata")
    summary = await door.get("metadata?_summary=true")
    assert whole.headers["etag"] == again.headers["etag"] != summary.headers["etag"]
