"""Access by a Task at the guarded door: a handover or referral opens what it names, to its owner, while it is open.

One condition is taken away at a time. Notifications come in as Tasks, from the organisation that they name alone.
"""

from __future__ import annotations

from collections.abc import AsyncIterator
from datetime import timedelta
from typing import Any

import httpx
import pytest
import pytest_asyncio
from tests.guarded import BSN, NAMED, OTHER, condition, observation, patient, plain
from tests.handovers import P1, P2, composition, door, identified, notification, organisation, put, task
from tests.nodes import RunningNode, databases, running_node

from schakel.kernel.clock import new_id, now
from schakel.kernel.values import BSN_SYSTEM, URA_SYSTEM
from schakel.store.embedded import EmbeddedServer

CONDITIONS = f"Condition?{NAMED}"


COMPOSED = {"valueReference": {"reference": "Composition/handover"}}
RESOURCES = [
    patient("p1", BSN),
    patient("p2", OTHER),
    plain("Practitioner", "nurse"),
    plain("Practitioner", "stranger"),
    condition("c1", P1),
    condition("apart", P1),
    condition("c2", P2),
    observation("o1", P1),
    composition("handover", P1, "Condition/c1", "Condition/c2", "Observation/o1"),
    composition("other", P1, "Condition/apart"),
]


@pytest_asyncio.fixture(scope="module", loop_scope="session")
async def node(cluster: EmbeddedServer) -> AsyncIterator[RunningNode]:
    """A sender a, the receiver b, and c."""
    async with (
        databases(cluster, "guardedtasks") as make,
        running_node(make, ("a", "b", "c"), write_check="lenient") as running,
    ):
        for resource in RESOURCES:
            path = f"{resource['resourceType']}/{resource['id']}"
            written = await running["a"].internal.put(path, json=resource)
            assert written.status_code == 201, written.text
        yield running


OPENED = [
    "Task/t",
    "Composition/handover",
    "Condition/c1",
    "Observation/o1",
    "Practitioner/nurse",
    "Patient/p1",
    "Composition/handover/$document",
]
"""What the Task opens."""


@pytest_asyncio.fixture(loop_scope="session")
async def handover(node: RunningNode) -> dict[str, Any]:
    """The Task that opens the handover to b, and no other."""
    await node.node.pool.execute("DELETE FROM resource WHERE type = 'Task' AND id <> 't'")
    return await put(
        node, task("t", node["b"].ura, COMPOSED, extension=[{"url": "urn:x", "valueDecimal": 1.5}])
    )


@pytest.mark.parametrize("path", OPENED)
async def test_a_task_opens_itself_and_what_it_leads_to(
    node: RunningNode, handover: dict[str, Any], path: str
) -> None:
    answer = await (await door(node)).send("GET", path)
    assert answer.status_code == 200, answer.text


async def test_the_document_holds_nothing_of_another_patient(
    node: RunningNode, handover: dict[str, Any]
) -> None:
    b = await door(node)
    for method in ("GET", "POST"):
        answer = await b.send(method, "Composition/handover/$document")
        assert answer.status_code == 200, answer.text
        resources = [entry["resource"] for entry in answer.json()["entry"]]
        keys = [f"{r['resourceType']}/{r['id']}" for r in resources]
        assert keys[0] == "Composition/handover"
        assert set(keys[1:]) == {"Condition/c1", "Observation/o1", "Practitioner/nurse", "Patient/p1"}


@pytest.mark.parametrize(
    ("path", "reason"),
    [
        ("Condition/apart", "task-missing"),
        ("Condition/c2", "task-missing"),
        ("Composition/other", "task-missing"),
        ("Composition/other/$document", "task-missing"),
        ("Practitioner/stranger", "task-missing"),
        ("Patient/p2", "task-missing"),
        ("Condition/nothing", "not-here"),
        ("Task/nothing", "not-here"),
    ],
)
async def test_a_task_opens_nothing_else(
    node: RunningNode, handover: dict[str, Any], path: str, reason: str
) -> None:
    assert await (await door(node)).reason("GET", path) == reason


async def test_a_task_opens_nothing_to_another_organisation(
    node: RunningNode, handover: dict[str, Any]
) -> None:
    c = await door(node, slug="c")
    assert await c.reason("GET", "Task/t") == "task-owner-other"
    assert await c.reason("GET", "Condition/c1") == "task-missing"
    assert await c.reason("GET", "Composition/handover/$document") == "task-missing"
    assert await c.reason("PUT", "Task/t", json=handover) == "task-owner-other"


async def test_the_owner_may_be_one_of_our_organisations(node: RunningNode, handover: dict[str, Any]) -> None:
    own = plain("Organization", "b", identifier=[{"system": URA_SYSTEM, "value": node["b"].ura}])
    await node["a"].internal.put("Organization/b", json=own)
    await put(node, {**handover, "owner": {"reference": "Organization/b"}})
    b = await door(node)
    for path in OPENED:
        assert (await b.send("GET", path)).status_code == 200, path


@pytest.mark.parametrize(
    "status", ["draft", "completed", "rejected", "cancelled", "failed", "entered-in-error"]
)
async def test_a_task_that_is_not_open_opens_nothing_but_itself(
    node: RunningNode, handover: dict[str, Any], status: str
) -> None:
    await put(node, {**handover, "status": status})
    b = await door(node)
    assert await b.reason("GET", "Condition/c1") == "task-missing"
    assert await b.reason("GET", "Composition/handover/$document") == "task-missing"
    assert (await b.send("GET", "Task/t")).json()["status"] == status


async def test_a_task_opens_nothing_when_its_period_is_over(
    node: RunningNode, handover: dict[str, Any]
) -> None:
    ended = (now() - timedelta(seconds=5)).isoformat(timespec="seconds")
    await put(node, {**handover, "restriction": {"period": {"end": ended}}})
    b = await door(node)
    for path in OPENED:
        assert await b.reason("GET", path) == "task-missing"


async def test_a_task_opens_nothing_under_another_scope(node: RunningNode, handover: dict[str, Any]) -> None:
    for scope in ("bgz-sender", "bgz"):
        answer = await (await door(node, scope)).send("GET", "Composition/handover/$document")
        assert answer.status_code in (403, 405), answer.text
    assert await (await door(node, "bgz")).reason("GET", "Condition/c1") == "no-ground"


# -- changing the Task --------------------------------------------------------------------------------------


async def test_the_receiver_sets_the_state_and_the_sender_sees_it(
    node: RunningNode, handover: dict[str, Any]
) -> None:
    b = await door(node)
    read = await b.send("GET", "Task/t")
    done = {**read.json(), "status": "completed", "statusReason": {"text": "received"}}
    stale = await b.send("PUT", "Task/t", json=done, headers={"If-Match": 'W/"999"'})
    assert (stale.status_code, "If-Match" in stale.text) == (412, True)
    answer = await b.send("PUT", "Task/t", json=done, headers={"If-Match": read.headers["ETag"]})
    assert (answer.status_code, answer.json()["status"]) == (200, "completed")
    own = (await node["a"].internal.get("Task/t")).json()
    assert own["extension"] == handover["extension"], (
        "what the receiver did not change stays to the last digit"
    )
    assert (own["status"], own["statusReason"], own["owner"]) == (
        "completed",
        {"text": "received"},
        read.json()["owner"],
    )
    assert await b.reason("GET", "Condition/c1") == "task-missing"


@pytest.mark.parametrize(
    ("changes", "named"),
    [
        ({"owner": organisation("90000003")}, "Task.owner"),
        ({"for": P2}, "Task.for"),
        (
            {"input": [{"type": {"text": "x"}, "valueReference": {"reference": "Composition/other"}}]},
            "Task.input",
        ),
        ({"restriction": {"period": {"end": "2100-01-01"}}}, "Task.restriction"),
        ({"intent": "plan"}, "Task.intent"),
        ({"status": "requested"}, "Task.status"),
        ({"id": "other"}, "Task"),
        ({"resourceType": "Observation"}, "Observation"),
    ],
)
async def test_a_receiver_changes_nothing_else_of_a_task(
    node: RunningNode, handover: dict[str, Any], changes: dict[str, Any], named: str
) -> None:
    b = await door(node)
    answer = await b.send("PUT", "Task/t", json={**handover, "status": "completed", **changes})
    assert answer.status_code in (400, 422) and named in answer.text, answer.text
    assert (await node["a"].internal.get("Task/t")).json()["meta"]["versionId"] == handover["meta"][
        "versionId"
    ]


async def test_other_ways_to_change_a_task_are_not_there(node: RunningNode, handover: dict[str, Any]) -> None:
    b = await door(node)
    for method, path, body in (
        ("PATCH", "Task/t", [{"op": "replace", "path": "/status", "value": "completed"}]),
        ("DELETE", "Task/t", None),
        ("POST", "Task", handover),
        ("PUT", "Condition/c1", condition("c1", P1)),
        ("PUT", "Task?identifier=a|b", handover),
    ):
        answer = await b.send(method, path, json=body)
        assert answer.status_code in (400, 403, 405, 415), (method, path, answer.text)
    answer = await b.send("PUT", "Task/t", json=handover, headers={"If-None-Match": "*"})
    assert answer.status_code in (400, 403)
    assert (await node["a"].internal.get("Task/t")).json() == handover


# -- a referral with searches --------------------------------------------------------------------------------


SEARCHES = ({"valueString": "Condition"}, {"valueString": "Flag"})


@pytest_asyncio.fixture(loop_scope="session")
async def referral(node: RunningNode) -> dict[str, Any]:
    """The Task that refers p1 to b, with two searches, and no other."""
    await node.node.pool.execute("DELETE FROM resource WHERE type = 'Task' AND id <> 'r'")
    return await put(node, task("r", node["b"].ura, *SEARCHES, status="requested"))


def found(answer: httpx.Response) -> set[str]:
    assert answer.status_code == 200, answer.text
    return {f"{e['resource']['resourceType']}/{e['resource']['id']}" for e in answer.json().get("entry", [])}


@pytest.mark.parametrize(
    "search", ["Condition", CONDITIONS, "Condition?patient=Patient/p1", "Condition?_count=1"]
)
async def test_a_listed_search_is_narrowed_to_the_patient_of_the_task(
    node: RunningNode, referral: dict[str, Any], search: str
) -> None:
    b = await door(node, "bgz-sender")
    assert found(await b.send("GET", search)) <= {"Condition/c1", "Condition/apart"}
    assert (await b.send("GET", "Condition/c1")).status_code == 200


async def test_pages_of_a_narrowed_search_stay_with_the_patient(
    node: RunningNode, referral: dict[str, Any]
) -> None:
    b = await door(node, "bgz-sender")
    first = await b.send("GET", "Condition?_count=1")
    [link] = [one["url"] for one in first.json()["link"] if one["relation"] == "next"]
    second = await b.send("GET", link)
    assert found(first) | found(second) == {"Condition/c1", "Condition/apart"}


@pytest.mark.parametrize(
    ("path", "reason"),
    [
        ("NutritionOrder", "task-missing"),
        (f"Condition?patient.identifier={BSN_SYSTEM}|{OTHER}", "task-missing"),
        ("Condition?patient=Patient/p2", "task-missing"),
        ("Condition/c2", "form-not-allowed"),
        ("Observation/o1", "form-not-allowed"),
        ("Composition/handover", "form-not-allowed"),
    ],
)
async def test_a_referral_opens_only_the_searches_it_lists(
    node: RunningNode, referral: dict[str, Any], path: str, reason: str
) -> None:
    assert await (await door(node, "bgz-sender")).reason("GET", path) == reason


async def test_two_patients_in_listed_searches_must_be_told_apart(
    node: RunningNode, referral: dict[str, Any]
) -> None:
    await put(node, {**task("r2", node["b"].ura, *SEARCHES, status="requested"), "for": P2})
    b = await door(node, "bgz-sender")
    assert await b.reason("GET", "Condition") == "task-several-patients"
    assert found(await b.send("GET", CONDITIONS)) == {"Condition/c1", "Condition/apart"}


async def test_a_rejected_referral_opens_nothing(node: RunningNode, referral: dict[str, Any]) -> None:
    b = await door(node, "bgz-sender")
    answer = await b.send("PUT", "Task/r", json={**referral, "status": "rejected"})
    assert answer.status_code == 200, answer.text
    assert await b.reason("GET", "Condition") == "task-missing"


# -- notifications that come in -----------------------------------------------------------------------------


@pytest.mark.parametrize("scope", ["eOverdracht-receiver", "ta-np-notification"])
async def test_a_notification_lands_where_the_ehr_sees_it(node: RunningNode, scope: str) -> None:
    since = now().isoformat()
    b = await door(node, scope)
    answer = await b.send("POST", "Task", json=notification(node))
    assert answer.status_code == 201, answer.text
    history = (await node["a"].internal.get("Task/_history", params={"_since": since})).json()
    [entry] = [e for e in history["entry"] if e["resource"]["id"] == answer.json()["id"]]
    landed = entry["resource"]
    assert landed["basedOn"] == [{"reference": f"{node['b'].front_fhir}/Task/1234"}]
    assert landed["owner"] == organisation(node["a"].ura)
    log = f"{node['a'].internal_root}/a/log/fhir/r4/AuditEvent"
    decided = {"entity:identifier": f"urn:uuid:{answer.headers['X-Decision-ID']}"}
    [event] = (await node["a"].internal.get(log, params=decided)).json()["entry"]
    assert BSN in str(event["resource"]["entity"])  # It is in the log of whom it names.


async def test_a_bare_notification_becomes_a_task_as_well(node: RunningNode) -> None:
    since = now().isoformat()
    answer = await (await door(node, "eOverdracht-receiver")).send("POST", "")
    assert (answer.status_code, answer.content) == (202, b"")
    history = (await node["a"].internal.get("Task/_history", params={"_since": since})).json()
    [landed] = [entry["resource"] for entry in history["entry"]]
    assert landed["requester"]["onBehalfOf"] == organisation(node["b"].ura)


async def test_a_bare_notification_may_name_the_senders_task(node: RunningNode) -> None:
    since = now().isoformat()
    b = await door(node, "eOverdracht-receiver")
    assert (await b.send("POST", "Task/handover-1")).status_code == 202
    history = (await node["a"].internal.get("Task/_history", params={"_since": since})).json()
    [landed] = [entry["resource"] for entry in history["entry"]]
    assert landed["basedOn"] == [{"reference": f"{node['b'].front_fhir}/Task/handover-1"}]
    assert (await b.send("POST", "Task/handover-1", json=landed)).status_code == 405
    assert (await (await door(node, "bgz")).send("POST", "Task/handover-1")).status_code == 405


async def test_the_same_notification_sent_again_is_the_same_task(node: RunningNode) -> None:
    b = await door(node, "ta-np-notification")
    value = new_id()
    first = await b.send("POST", "Task", json=notification(node, identifier=identified(value)))
    again = await b.send("POST", "Task", json=notification(node, identifier=identified(value)))
    assert (first.status_code, again.status_code) == (201, 200), again.text
    assert first.json()["id"] == again.json()["id"]
    cancelled = await b.send(
        "PUT",
        "Task",
        params={"identifier": f"urn:ietf:rfc:3986|urn:uuid:{value}"},
        json=notification(node, identifier=identified(value), status="cancelled"),
    )
    assert cancelled.status_code == 200, cancelled.text
    assert (await node["a"].internal.get(f"Task/{first.json()['id']}")).json()["status"] == "cancelled"


async def test_a_notification_is_changed_only_at_the_version_that_if_match_names(node: RunningNode) -> None:
    b = await door(node, "ta-np-notification")
    value = new_id()
    body = notification(node, identifier=identified(value), status="cancelled")
    asked = {"params": {"identifier": f"urn:ietf:rfc:3986|urn:uuid:{value}"}, "json": body}
    nothing = await b.send("PUT", "Task", headers={"If-Match": 'W/"1"'}, **asked)
    assert (nothing.status_code, "If-Match" in nothing.text) == (412, True), nothing.text
    first = await b.send("POST", "Task", json={**body, "status": "requested"})
    other = await b.send("PUT", "Task", headers={"If-Match": 'W/"99"'}, **asked)
    assert (other.status_code, "If-Match" in other.text) == (412, True), other.text
    here = await node["a"].internal.get(f"Task/{first.json()['id']}")
    assert (here.json()["status"], here.json()["meta"]["versionId"]) == ("requested", "1")
    assert (await b.send("PUT", "Task", headers={"If-Match": 'W/"1"'}, **asked)).status_code == 200
    assert (await b.send("PUT", "Task", **asked)).status_code == 200


@pytest.mark.parametrize(
    ("members", "status", "named"),
    [
        ({"owner": organisation("90000003")}, 403, "Task.owner"),
        ({"owner": {"reference": "Organization/b"}}, 403, "Task.owner"),
        (
            {"requester": {"agent": organisation("90000003"), "onBehalfOf": organisation("90000003")}},
            403,
            "requester",
        ),
        ({"status": "completed"}, 422, "Task.status"),
        ({"intent": "order"}, 422, "Task.intent"),
        ({"code": {"coding": [{"system": "http://snomed.info/sct", "code": "3457005"}]}}, 422, "Task.code"),
        ({"code": {"coding": [{"code": "pull-notification"}]}}, 422, "Task.code"),
        ({"code": {"text": "pull-notification"}}, 422, "Task.code"),
        ({"for": {"identifier": {"system": BSN_SYSTEM, "value": "123456789"}}}, 400, "11-proef"),
        ({"contained": [{"resourceType": "Patient", "id": "x"}]}, 422, "contained"),
        ({"naam": "x"}, 422, "naam"),
    ],
)
async def test_a_notification_of_another_or_for_another_is_refused_by_name(
    node: RunningNode, members: dict[str, Any], status: int, named: str
) -> None:
    b = await door(node, "ta-np-notification")
    before = await node.node.pool.fetchval("SELECT count(*) FROM resource WHERE type = 'Task'")
    answer = await b.send("POST", "Task", json=notification(node, **members))
    assert (answer.status_code, named in answer.text) == (status, True), answer.text
    assert await node.node.pool.fetchval("SELECT count(*) FROM resource WHERE type = 'Task'") == before


async def test_no_reference_in_a_notification_leads_to_our_own_data(node: RunningNode) -> None:
    b = await door(node, "ta-np-notification")
    relative = await b.send("POST", "Task", json=notification(node, **{"for": P1}))
    assert relative.json()["for"] == {"reference": f"{node['b'].front_fhir}/Patient/p1"}
    ours = {"reference": f"{node['a'].front_fhir}/Patient/p1"}
    answer = await b.send("POST", "Task", json=notification(node, **{"for": ours}))
    assert (answer.status_code, "Task.for" in answer.text) == (422, True)


async def test_a_notification_opens_nothing(node: RunningNode) -> None:
    b = await door(node, "ta-np-notification eOverdracht-sender")
    inputs = [{"type": {"text": "x"}, "valueReference": {"reference": "Composition/handover"}}]
    answer = await b.send("POST", "Task", json=notification(node, input=inputs))
    assert answer.status_code == 201, answer.text
    assert await b.reason("GET", f"Task/{answer.json()['id']}") == "task-owner-other"
