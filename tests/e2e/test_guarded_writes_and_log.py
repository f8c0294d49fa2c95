"""The guarded door gives out by read and search alone, writes down first, and no door changes what it wrote."""

from __future__ import annotations

from collections.abc import AsyncIterator
from typing import Any

import pytest
import pytest_asyncio
from tests.guarded import BSN, NAMED, OTHER, SEARCH, Door, condition, guarded_node, keys
from tests.nodes import RunningNode

from schakel.store.embedded import EmbeddedServer

JSON = {"Content-Type": "application/fhir+json"}
FORM = {"Content-Type": "application/x-www-form-urlencoded"}
CONDITION = condition("new", {"reference": "Patient/p1"})
TRANSACTION = {
    "resourceType": "Bundle",
    "type": "transaction",
    "entry": [{"resource": CONDITION, "request": {"method": "PUT", "url": "Condition/new"}}],
}


@pytest_asyncio.fixture(scope="module", loop_scope="session")
async def node(cluster: EmbeddedServer) -> AsyncIterator[RunningNode]:
    async with guarded_node(cluster, "guardedwrites") as running:
        yield running


@pytest_asyncio.fixture(loop_scope="session")
async def door(node: RunningNode) -> Door:
    return await Door.opened(node)


async def rows(node: RunningNode) -> dict[str, int]:
    """The number of rows per table that a request could change."""
    counted = {}
    for table in ("resource", "history", "disclosure_ground", "erasure", "index_token", "index_reference"):
        counted[table] = await node.node.pool.fetchval(f"SELECT count(*) FROM {table}")
    return counted


OTHER_INTERACTIONS: dict[str, tuple[str, str, Any]] = {
    "vread": ("GET", "Condition/c1/_history/1", None),
    "history of one": ("GET", "Condition/c1/_history", None),
    "history of a type": ("GET", "Condition/_history", None),
    "history of all": ("GET", "_history", None),
    "search of all": ("GET", f"?{NAMED}", None),
    "create": ("POST", "Condition", CONDITION),
    "update": ("PUT", "Condition/new", CONDITION),
    "patch": ("PATCH", "Condition/c1", CONDITION),
    "delete": ("DELETE", "Condition/c1", None),
    "conditional delete": ("DELETE", f"Condition?{NAMED}", None),
    "transaction": ("POST", "", TRANSACTION),
    "$purge": ("POST", "Patient/p1/$purge", None),
    "$everything": ("GET", "Patient/p1/$everything", None),
    "$validate": ("POST", "Condition/$validate", CONDITION),
    "$meta": ("GET", "Condition/c1/$meta", None),
    "$meta on all": ("GET", "$meta", None),
    "$meta-add": ("POST", "Condition/c1/$meta-add", {"resourceType": "Parameters"}),
    "an operation that is none": ("GET", "Condition/c1/$anything", None),
    "compartment": ("GET", "Patient/p1/Condition", None),
    "whole compartment": ("GET", "Patient/p1/*", None),
    "conditional update": ("PUT", f"Condition?{NAMED}", CONDITION),
    "conditional patch": ("PATCH", f"Condition?{NAMED}", CONDITION),
}


@pytest.mark.parametrize("case", OTHER_INTERACTIONS)
async def test_what_is_no_read_or_search_is_refused_logged_and_changes_nothing(
    door: Door, node: RunningNode, case: str
) -> None:
    method, path, body = OTHER_INTERACTIONS[case]
    before = await rows(node)
    answer = await door.send(method, path, json=body, headers=JSON if body else {})
    assert answer.status_code in (400, 405), answer.text
    [event] = await door.logged(answer.headers["X-Decision-ID"])
    assert event["outcome"] == "4"
    assert await rows(node) == before
    assert "73211009" not in str(event), "the log holds what the refused request wanted to write"


async def test_a_preference_for_leniency_changes_nothing_at_this_door(door: Door) -> None:
    answer = await door.send("GET", f"{SEARCH}&naam=x", headers={"Prefer": "handling=lenient"})
    assert answer.status_code == 400 and "naam" in answer.text


async def test_an_empty_parameter_is_not_left_out_at_this_door(door: Door) -> None:
    assert keys(await door.send("GET", SEARCH)) == {"Condition/c1"}
    answer = await door.send("GET", f"{SEARCH}&category=")
    assert answer.status_code == 400 and "category" in answer.text


async def test_head_is_judged_and_logged_like_the_get_it_stands_for(door: Door) -> None:
    head = await door.send("HEAD", "Condition/c1")
    assert (head.status_code, head.content) == (200, b"")
    [event] = await door.logged(head.headers["X-Decision-ID"])
    assert event["outcome"] == "0"


async def test_a_search_by_form_is_judged_by_its_form_alone(door: Door) -> None:
    form = NAMED.encode()
    posted = await door.send("POST", "Condition/_search", content=form, headers=FORM)
    assert keys(posted) == {"Condition/c1"}
    two = await door.send("POST", f"Condition/_search?{NAMED}", content=form, headers=FORM)
    assert two.status_code == 400
    # A GET takes nothing from a body: what is judged is what runs.
    read = await door.send("GET", "Condition?code=1", content=form, headers=FORM)
    assert (read.status_code, "no form of the exchange for Condition has code" in read.text) == (403, True)
    [event] = await door.logged(posted.headers["X-Decision-ID"])
    assert event["outcome"] == "0"


async def test_a_body_that_no_search_needs_is_refused_before_it_is_read_whole(door: Door) -> None:
    answer = await door.send("POST", "Condition/_search", content=b"a=" + b"x" * 100_000, headers=FORM)
    assert answer.status_code == 413


async def test_a_very_long_request_is_refused_and_logged_in_part(door: Door) -> None:
    answer = await door.get(f"{SEARCH}&code={'x' * 30_000}")
    assert answer.status_code in (400, 403)
    [event] = await door.logged(answer.headers["X-Decision-ID"])
    assert len(str(event)) < 10_000


async def test_a_request_id_with_anything_in_it_is_kept_as_text(door: Door) -> None:
    given = "x\"'<script>\t" + "y" * 300
    answer = await door.send("GET", SEARCH, headers={"X-Request-ID": given})
    assert answer.status_code == 200
    assert not [name for name, value in answer.headers.items() if "script" in value]
    [event] = await door.logged(answer.headers["X-Decision-ID"])
    kept = [e for e in event["entity"] if e.get("type", {}).get("code") == "XrequestId"]
    assert len(kept) == 1 and len(kept[0]["what"]["identifier"]["value"]) < 300


@pytest.mark.parametrize(
    "path",
    [SEARCH, "Condition/c1", "Practitioner/gp", "Condition/c2", f"Condition?{NAMED.replace(BSN, OTHER)}"],
)
async def test_what_cannot_be_written_down_does_not_go_out(door: Door, node: RunningNode, path: str) -> None:
    await node.node.pool.execute("ALTER TABLE audit_event RENAME TO audit_event_away")
    try:
        answer = await door.get(path)
    finally:
        await node.node.pool.execute("ALTER TABLE audit_event_away RENAME TO audit_event")
    assert answer.status_code == 503
    for secret in ("73211009", BSN, OTHER, "audit_event", "Practitioner", "entry"):
        assert secret not in answer.text
    assert (await door.get(SEARCH)).status_code == 200


async def test_a_fault_of_ours_is_written_down_too(
    door: Door, node: RunningNode, monkeypatch: pytest.MonkeyPatch
) -> None:
    def broken(*_: object) -> None:
        raise ZeroDivisionError

    monkeypatch.setattr("schakel.gateway.acts.minimise", broken)
    before = await node.node.pool.fetchval("SELECT count(*) FROM audit_event")
    answer = await door.get(SEARCH)
    assert (answer.status_code, "ZeroDivision" in answer.text) == (500, False)
    root = f"{door.holder.internal_root}/a/log/fhir/r4/AuditEvent"
    assert await node.node.pool.fetchval("SELECT count(*) FROM audit_event") == before + 1
    newest = (await door.holder.internal.get(root, params={"_count": 2})).json()["entry"]
    assert any((e["resource"]["outcome"], e["resource"].get("outcomeDesc")) == ("8", "fault") for e in newest)


@pytest.mark.parametrize("method", ["POST", "PUT", "PATCH", "DELETE"])
async def test_no_door_changes_the_log(door: Door, node: RunningNode, method: str) -> None:
    answer = await door.get(SEARCH)
    [event] = await door.logged(answer.headers["X-Decision-ID"])
    for root in (door.holder.internal_root, door.holder.front_root):
        for path in ("AuditEvent", f"AuditEvent/{event['id']}"):
            url = f"{root}/a/log/fhir/r4/{path}"
            changed = await door.holder.internal.request(method, url, json=event, headers=JSON)
            assert changed.status_code in (404, 405), (url, changed.text)
    assert await door.logged(answer.headers["X-Decision-ID"]) == [event]


async def test_an_audit_event_written_as_a_resource_does_not_show_in_the_log(door: Door) -> None:
    forged = {
        "resourceType": "AuditEvent",
        "id": "forged",
        "type": {"system": "http://dicom.nema.org/resources/ontology/DCM", "code": "110101"},
        "recorded": "2024-02-28T12:00:00Z",
        "agent": [{"requestor": True, "userId": {"value": "forged"}}],
        "source": {"identifier": {"value": "forged"}},
    }
    written = await door.holder.internal.put("AuditEvent/forged", json=forged, headers=JSON)
    assert written.status_code in (200, 201, 400, 405)
    root = f"{door.holder.internal_root}/a/log/fhir/r4/AuditEvent"
    assert "forged" not in (await door.holder.internal.get(root, params={"_count": 1000})).text
    assert (await door.holder.internal.get(f"{root}/forged")).status_code == 404


async def test_the_log_is_read_with_the_organisations_own_key_and_not_on_the_front(
    door: Door, node: RunningNode
) -> None:
    answer = await door.get(SEARCH)
    [event] = await door.logged(answer.headers["X-Decision-ID"])
    path = f"a/log/fhir/r4/AuditEvent/{event['id']}"
    neighbour = await node["b"].internal.get(f"{node['b'].internal_root}/{path}")
    assert neighbour.status_code == 403
    own_path = await node["b"].internal.get(f"{node['b'].internal_root}/{path.replace('a/', 'b/', 1)}")
    assert own_path.status_code == 404
    anybody = await node["a"].front.get(f"{node['a'].internal_root}/{path}")
    assert anybody.status_code == 401
    front = await door.send("GET", f"{node['a'].front_root}/{path}")
    assert front.status_code == 404
