"""What a receiver of one Task tries to get with it: data of another Task, of another patient, a Task of another sender.

Each of these went through at some time, or does in other doors of this kind.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from typing import Any

import pytest
import pytest_asyncio
from tests.guarded import BSN, OTHER, condition, observation, patient, plain
from tests.handovers import P1, P2, composition, door, identified, notification, organisation, put, task
from tests.nodes import RunningNode, databases, running_node

from schakel.kernel.clock import new_id
from schakel.store.embedded import EmbeddedServer

PATIENT_WITH_GP = {"valueString": "Patient?_include=Patient:general-practitioner"}
RESOURCES = [
    patient("p1", BSN, generalPractitioner=[{"reference": "Practitioner/ours"}]),
    patient("p2", OTHER, generalPractitioner=[{"reference": "Practitioner/theirs"}]),
    plain("Practitioner", "nurse"),
    plain("Practitioner", "ours"),
    plain("Practitioner", "theirs"),
    plain("Practitioner", "stranger"),
    condition("c1", P1),
    condition("c2", P2, asserter={"reference": "Practitioner/stranger"}),
    observation("with-a-strangers-condition", P1, contained=[condition("inside", P2)]),
    observation("o1", P1),
    composition("handover", P1, "Condition/c1", "Condition/c2", "Observation/with-a-strangers-condition"),
    composition("strangers", P2, "Observation/o1"),
]


@pytest_asyncio.fixture(scope="module", loop_scope="session")
async def node(cluster: EmbeddedServer) -> AsyncIterator[RunningNode]:
    """A sender a, the receiver b, and c."""
    async with (
        databases(cluster, "hostiletasks") as make,
        running_node(make, ("a", "b", "c"), write_check="lenient") as running,
    ):
        for resource in RESOURCES:
            path = f"{resource['resourceType']}/{resource['id']}"
            written = await running["a"].internal.put(path, json=resource)
            assert written.status_code == 201, written.text
        yield running


async def tasks(node: RunningNode, *given: dict[str, Any]) -> None:
    """These Tasks and no others are in the store of a."""
    await node.node.pool.execute("DELETE FROM resource WHERE type = 'Task'")
    for one in given:
        await put(node, one)


def to_b(node: RunningNode, name: str, *inputs: dict[str, Any], **members: Any) -> dict[str, Any]:
    return task(name, node["b"].ura, *inputs, **{"status": "requested", **members})


async def test_a_search_that_one_task_lists_gives_nothing_of_the_patient_of_another(
    node: RunningNode,
) -> None:
    """The practitioner names no patient, so that the Tasks of all patients are looked at."""
    await tasks(
        node,
        to_b(node, "one", PATIENT_WITH_GP),
        to_b(node, "two", {"valueString": "Condition"}, **{"for": P2}),
    )
    b = await door(node, "bgz-sender")
    assert (await b.send("GET", "Practitioner/ours")).status_code == 200
    assert await b.reason("GET", "Practitioner/theirs") == "not-referred-to"


async def test_the_task_that_lists_the_search_is_the_ground_that_is_logged(node: RunningNode) -> None:
    await tasks(node, to_b(node, "one", {"valueString": "Condition"}), to_b(node, "two", PATIENT_WITH_GP))
    answer = await (await door(node, "bgz-sender")).send("GET", "Practitioner/ours")
    assert answer.status_code == 200, answer.text
    root = f"{node['a'].internal_root}/a/log/decisions/{answer.headers['X-Decision-ID']}"
    assert (await node["a"].internal.get(root)).json()["task"] == "Task/two"


@pytest.mark.parametrize(
    "path",
    [
        "Condition/c2",
        "Practitioner/stranger",
        "Observation/with-a-strangers-condition",
        "Patient/p2",
        "Composition/strangers",
        "Composition/strangers/$document",
        "Observation/o1",
    ],
)
async def test_a_handover_does_not_lead_through_the_data_of_another_patient(
    node: RunningNode, path: str
) -> None:
    both = ("Composition/handover", "Composition/strangers")
    await tasks(node, to_b(node, "one", *({"valueReference": {"reference": key}} for key in both)))
    b = await door(node, "eOverdracht-sender")
    assert (await b.send("GET", "Condition/c1")).status_code == 200
    await b.reason("GET", path)


async def test_a_document_leaves_out_what_contains_data_of_another_patient(node: RunningNode) -> None:
    await tasks(node, to_b(node, "one", {"valueReference": {"reference": "Composition/handover"}}))
    answer = await (await door(node, "eOverdracht-sender")).send("GET", "Composition/handover/$document")
    assert answer.status_code == 200, answer.text
    held = {f"{e['resource']['resourceType']}/{e['resource']['id']}" for e in answer.json()["entry"]}
    assert held == {
        "Composition/handover",
        "Practitioner/nurse",
        "Practitioner/ours",
        "Condition/c1",
        "Patient/p1",
    }


async def test_the_identifier_of_a_sender_cannot_be_crowded_out_by_another(node: RunningNode) -> None:
    """c sends many Tasks with the identifier that b will use, and b cancels its own all the same."""
    value = new_id()
    b, c = await door(node, "ta-np-notification"), await door(node, "ta-np-notification", "c")
    sender = organisation(node["c"].ura)
    for _ in range(12):
        names = [*identified(value), *identified(new_id())]
        other = notification(
            node, identifier=names, requester={"agent": sender, "onBehalfOf": sender}, id=new_id()
        )
        # Each is a Task of its own: what c sent before is not found again, as its identifiers are taken away.
        answer = await c.send("POST", "Task", json=other)
        assert answer.status_code in (200, 201), answer.text
        copy = {**answer.json(), "id": new_id()}
        written = await node["a"].internal.put(f"Task/{copy['id']}", json=copy)
        assert written.status_code == 201, written.text
    first = await b.send("POST", "Task", json=notification(node, identifier=identified(value)))
    again = await b.send(
        "POST", "Task", json=notification(node, identifier=identified(value), status="cancelled")
    )
    assert (first.status_code, again.status_code) == (201, 200), again.text
    assert first.json()["id"] == again.json()["id"]
    assert first.json()["requester"]["agent"] == organisation(node["b"].ura)


async def test_a_notification_that_is_sent_many_times_at_once_is_one_task(node: RunningNode) -> None:
    """Two of them would need two cancellations, and the sender knows of one."""
    b, value = await door(node, "ta-np-notification"), new_id()
    body = notification(node, identifier=identified(value))
    answers = await asyncio.gather(*(b.send("POST", "Task", json=body) for _ in range(8)))
    assert {answer.status_code for answer in answers} <= {200, 201, 412}
    found = await node["a"].internal.get("Task", params={"identifier": f"urn:ietf:rfc:3986|urn:uuid:{value}"})
    assert found.json()["total"] == 1
    [landed] = [entry["resource"] for entry in found.json()["entry"]]
    deleted = await node["a"].internal.delete(f"Task/{landed['id']}")
    assert deleted.status_code in (200, 204)
    again = await b.send("POST", "Task", json=body)
    assert (again.status_code, again.json()["meta"]["versionId"]) == (201, "1")


@pytest.mark.parametrize("status", ["completed", "cancelled", "draft"])
async def test_a_receiver_changes_nothing_of_a_task_that_is_not_open(node: RunningNode, status: str) -> None:
    name = f"closed-{status}"
    await tasks(node, to_b(node, name, {"valueString": "Condition"}, status=status))
    b = await door(node, "eOverdracht-sender")
    there = (await b.send("GET", f"Task/{name}")).json()
    output = [{"type": {"text": "x"}, "valueReference": {"reference": "Patient/p2"}}]
    changed = await b.send("PUT", f"Task/{name}", json={**there, "output": output})
    assert (changed.status_code, "Task.status" in changed.text) == (422, True), changed.text
    assert (await b.send("PUT", f"Task/{name}", json=there)).status_code == 200
    now_there = (await node["a"].internal.get(f"Task/{name}")).json()
    assert {**now_there, "meta": {}} == {**there, "meta": {}}
