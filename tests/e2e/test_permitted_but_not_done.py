"""A change that was permitted and written down, and could not be made: nothing says that it was."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import httpx
import orjson
import pytest
import pytest_asyncio
from tests.guarded import Door, guarded_node
from tests.handovers import notification, put, task
from tests.nodes import RunningNode

from schakel.commands import doors
from schakel.commands.explain import explain
from schakel.generic.logging import AuditLog, Event
from schakel.kernel.outcomes import Fault
from schakel.store.embedded import EmbeddedServer
from schakel.store.resources import Store

MADE_AGAIN = "Organisation a: made again from what is stored, the decision is the same\n"
NOT_DONE = "permitted, but not carried out: it was refused when it was to be done"
UNCERTAIN = "permitted, but it failed when it was to be done; whether it was done is not certain"


@pytest_asyncio.fixture(scope="module", loop_scope="session")
async def node(cluster: EmbeddedServer) -> AsyncIterator[RunningNode]:
    async with guarded_node(cluster, "notdone") as running:
        yield running


@pytest_asyncio.fixture(loop_scope="session")
async def told(node: RunningNode) -> dict[str, Any]:
    """A Task of a that b may change."""
    await node.node.pool.execute("DELETE FROM resource WHERE type = 'Task'")
    return await put(node, task("t", node["b"].ura, {"valueReference": {"reference": "Composition/x"}}))


async def door(node: RunningNode, scope: str) -> Door:
    return Door(node["a"], node["b"], await node["b"].token(node["a"], scope))


def together(monkeypatch: pytest.MonkeyPatch, kinds: tuple[str, ...]) -> None:
    """Two requests are both written down as permitted before either is carried out."""
    write, both = AuditLog.write, asyncio.Barrier(2)

    async def writing(log: AuditLog, event: Event, decision: bytes = b"") -> str:
        written = await write(log, event, decision)
        if event.outcome == "0" and event.subtype in kinds:
            await both.wait()
        return written

    monkeypatch.setattr(AuditLog, "write", writing)


async def explained(
    node: RunningNode, answer: httpx.Response, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> list[str]:
    """What `schakel explain --replay` prints of the decision behind an answer: each event, and the end."""
    a = node["a"]
    table = {
        "slug": "a",
        "name": "Organisation a",
        "ura": a.ura,
        "front": f"{a.front_root}/a",
        "internal": f"{a.internal_root}/a",
        "internal_key": a.key,
    }
    demo = {"organisations": [table], "people": [], "test_keys": {}}
    (tmp_path / "demo.json").write_bytes(orjson.dumps(demo))
    places = doors.places(tmp_path, None)
    decision = answer.headers["X-Decision-ID"]
    code = await asyncio.to_thread(explain, places, places.organisations, decision, again=True)
    assert code == 0
    return capsys.readouterr().out.split("\n\n")


async def objects(node: RunningNode, answer: httpx.Response) -> list[dict[str, Any]]:
    """The object of a decision as the door gives it, then that of each of its events, the oldest first."""
    a, decision = node["a"], answer.headers["X-Decision-ID"]
    events = await Door(a, node["b"], "").logged(decision)
    events.sort(key=lambda event: (event["recorded"], int(event["outcome"])))
    root = f"{a.internal_root}/a/log/decisions/{decision}"
    paths = [root, *(f"{root}?event={event['id']}" for event in events)]
    answers = [await a.internal.get(path) for path in paths]
    assert [one.status_code for one in answers] == [200] * len(paths)
    return [one.json() for one in answers]


async def test_of_two_changes_at_once_the_one_that_came_late_is_told_as_not_carried_out(
    node: RunningNode,
    told: dict[str, Any],
    monkeypatch: pytest.MonkeyPatch,
    tmp_path: Path,
    capsys: pytest.CaptureFixture[str],
) -> None:
    b = await door(node, "eOverdracht-sender")
    together(monkeypatch, ("update",))
    done = {**told, "status": "completed"}
    answers = await asyncio.gather(*(b.send("PUT", "Task/t", json=done) for _ in range(2)))
    first, late = sorted(answers, key=lambda one: one.status_code)
    assert (first.status_code, late.status_code) == (200, 412), late.text
    version = f"Task/t/_history/{int(told['meta']['versionId']) + 1}"

    last, permitted, refused = await objects(node, late)
    assert (permitted["outcome"], permitted["shown"]) == ("0", [version])
    assert (refused["outcome"], refused["shown"]) == ("4", []) and last == refused

    begun, ended, again = await explained(node, late, tmp_path, capsys)
    assert f"  outcome        {NOT_DONE}\n" in begun and f"  was to be      {version}" in begun
    assert "  outcome        refused\n" in ended and "  reason         " in ended
    assert "disclosed" not in begun + ended and version not in ended
    assert again == f"{MADE_AGAIN}  {NOT_DONE}\n{MADE_AGAIN}"

    # The one that was made is told as ever.
    [whole, again] = await explained(node, first, tmp_path, capsys)
    assert "  outcome        permitted\n" in whole and f"  disclosed      {version}" in whole
    assert again == MADE_AGAIN


async def test_of_one_notification_sent_twice_at_once_only_one_is_told_as_taken_in(
    node: RunningNode,
    monkeypatch: pytest.MonkeyPatch,
    tmp_path: Path,
    capsys: pytest.CaptureFixture[str],
) -> None:
    b = await door(node, "ta-np-notification")
    together(monkeypatch, ("create",))
    sent = notification(node)
    answers = await asyncio.gather(*(b.send("POST", "Task", json=sent) for _ in range(2)))
    first, late = sorted(answers, key=lambda one: one.status_code)
    assert first.status_code == 201 and late.status_code in (409, 412), late.text
    begun, ended, _ = await explained(node, late, tmp_path, capsys)
    assert NOT_DONE in begun and "  outcome        refused\n" in ended
    assert "disclosed" not in begun + ended


async def test_a_store_that_breaks_leaves_it_uncertain_whether_the_change_was_made(
    node: RunningNode,
    told: dict[str, Any],
    monkeypatch: pytest.MonkeyPatch,
    tmp_path: Path,
    capsys: pytest.CaptureFixture[str],
) -> None:
    async def breaking(*_: object) -> None:
        raise Fault("the connection broke")

    monkeypatch.setattr(Store, "write", breaking)
    b = await door(node, "eOverdracht-sender")
    answer = await b.send("PUT", "Task/t", json={**told, "status": "completed"})
    assert answer.status_code == 500
    begun, ended, again = await explained(node, answer, tmp_path, capsys)
    assert f"  outcome        {UNCERTAIN}\n" in begun and "  was to be      Task/t/_history/" in begun
    assert "  outcome        failed\n" in ended and "disclosed" not in begun + ended
    assert UNCERTAIN in again
