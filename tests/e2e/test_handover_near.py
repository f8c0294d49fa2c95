"""A handover gives what its Composition names, and what that is incomplete without: not the record behind it."""

from __future__ import annotations

from collections.abc import AsyncIterator

import pytest_asyncio
from tests.guarded import BSN, condition, observation, patient, plain
from tests.handovers import P1, composition, door, put, task
from tests.nodes import RunningNode, databases, running_node

from schakel.store.embedded import EmbeddedServer

HANDOVER = {"valueReference": {"reference": "Composition/handover"}}
RESOURCES = [
    patient("p1", BSN),
    plain("Practitioner", "nurse"),
    plain("Device", "meter"),
    condition("hiv", P1),
    plain(
        "Encounter",
        "e",
        status="finished",
        subject=P1,
        diagnosis=[{"condition": {"reference": "Condition/hiv"}}],
    ),
    observation("part", P1),
    {
        **observation("pain", P1),
        "context": {"reference": "Encounter/e"},
        "device": {"reference": "Device/meter"},
        "related": [{"type": "has-member", "target": {"reference": "Observation/part"}}],
    },
    plain("Account", "bill", subject=P1),
    composition("handover", P1, "Observation/pain", "Account/bill"),
]


@pytest_asyncio.fixture(scope="module", loop_scope="session")
async def node(cluster: EmbeddedServer) -> AsyncIterator[RunningNode]:
    async with (
        databases(cluster, "handovernear") as make,
        running_node(make, ("a", "b"), write_check="lenient") as running,
    ):
        for resource in RESOURCES:
            path = f"{resource['resourceType']}/{resource['id']}"
            written = await running["a"].internal.put(path, json=resource)
            assert written.status_code == 201, written.text
        await put(running, task("t", running["b"].ura, HANDOVER))
        yield running


async def test_the_document_ends_at_what_an_entry_is_incomplete_without(node: RunningNode) -> None:
    answer = await (await door(node)).send("GET", "Composition/handover/$document")
    assert answer.status_code == 200, answer.text
    keys = {f"{e['resource']['resourceType']}/{e['resource']['id']}" for e in answer.json()["entry"]}
    assert keys == {
        "Composition/handover",
        "Observation/pain",
        "Observation/part",
        "Device/meter",
        "Practitioner/nurse",
        "Patient/p1",
    }


async def test_a_read_opens_as_much_as_the_document_holds(node: RunningNode) -> None:
    b = await door(node)
    for path in ("Observation/part", "Device/meter"):
        assert (await b.send("GET", path)).status_code == 200, path
    for path in ("Encounter/e", "Condition/hiv"):
        assert await b.reason("GET", path) == "task-missing"


async def test_old_tasks_that_nobody_ended_hide_no_newer_one(node: RunningNode) -> None:
    b, owner = await door(node), node["b"].ura
    for number in range(110):
        await put(
            node, task(f"later-{number}", owner, HANDOVER, restriction={"period": {"end": "2020-01-01"}})
        )
    assert (await b.send("GET", "Device/meter")).status_code == 200
