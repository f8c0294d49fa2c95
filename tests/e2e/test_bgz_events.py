"""The BgZ told step by step: each holder as soon as it is there, in our log before it is told."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from dataclasses import dataclass
from typing import Any

import httpx
import orjson
import pytest
import pytest_asyncio
from aiohttp import web
from tests.guarded import BSN, guarded_node
from tests.liars import peer
from tests.nodes import DOCTOR, RunningNode

from schakel.store.embedded import EmbeddedServer

GOOD, SLOW, UNKNOWN = "90000001", "80000001", "80000002"
SECONDS = 4.0


@dataclass
class Slow:
    """A holder that answers nothing, and knows whether anybody waits for it."""

    begun: asyncio.Event
    left: asyncio.Event

    async def answer(self, request: web.Request) -> web.StreamResponse:
        self.begun.set()
        try:
            await asyncio.sleep(60)
        finally:
            self.left.set()
        raise AssertionError("nobody waits this long")


@pytest_asyncio.fixture(scope="module", loop_scope="session")
async def slow() -> AsyncIterator[tuple[Slow, str]]:
    holder = Slow(asyncio.Event(), asyncio.Event())
    app = web.Application()
    app.router.add_route("*", "/{ura}/{path:.*}", holder.answer)
    runner = web.AppRunner(app, access_log=None, shutdown_timeout=0.1, handler_cancellation=True)
    await runner.setup()
    site = web.TCPSite(runner, "127.0.0.1", 0)
    await site.start()
    try:
        yield holder, f"http://127.0.0.1:{runner.addresses[0][1]}"
    finally:
        await runner.cleanup()


@pytest_asyncio.fixture(scope="module", loop_scope="session")
async def node(cluster: EmbeddedServer, slow: tuple[Slow, str]) -> AsyncIterator[RunningNode]:
    directory = (peer(SLOW, slow[1]),)
    async with guarded_node(
        cluster, "bgz_events", also=directory, source_timeout=SECONDS, source_failures=2
    ) as running:
        await running["a"].ground(BSN, running["b"].ura)
        yield running


def ask(*holders: str) -> dict[str, Any]:
    return {
        "patient": BSN,
        "holders": list(holders),
        "user": DOCTOR.json(),
        "purpose": "TREAT",
        "treatment_relation": "current",
    }


async def events(response: httpx.Response) -> AsyncIterator[tuple[str, Any]]:
    """The events of an answer, as they come; their numbers go up by one."""
    number, name = 0, ""
    async for line in response.aiter_lines():
        field, _, value = line.partition(": ")
        if field == "event":
            name = value
        elif field == "id":
            number += 1
            assert int(value) == number
        elif field == "data":
            yield name, orjson.loads(value)


def at(node: RunningNode) -> str:
    return f"{node['b'].internal_root}/b/exchanges/bgz"


STREAM = {"Accept": "text/event-stream"}


async def test_a_slow_holder_keeps_nobody_waiting_for_the_others(node: RunningNode) -> None:
    body = ask(SLOW, GOOD, UNKNOWN)
    told: list[tuple[str, Any]] = []
    began = asyncio.get_running_loop().time()
    moments: dict[str, float] = {}
    async with node["b"].internal.stream("POST", at(node), json=body, headers=STREAM, timeout=60) as answer:
        assert answer.headers["content-type"].startswith("text/event-stream")
        async for name, content in events(answer):
            told.append((name, content))
            if name == "holder":
                moments[content["ura"]] = asyncio.get_running_loop().time() - began
    assert [name for name, _ in told] == ["localised", "holder", "holder", "holder", "assembled"]
    assert [one["ura"] for one in told[0][1]["holders"]] == [SLOW, GOOD, UNKNOWN]
    assert {tuple(one["found"][0].items()) for one in told[0][1]["holders"]} == {(("by", "ehr"),)}
    by_ura = {content["ura"]: content for name, content in told if name == "holder"}
    assert {ura: one["status"] for ura, one in by_ura.items()} == {
        SLOW: "late",
        GOOD: "complete",
        UNKNOWN: "failed",
    }
    assert moments[GOOD] < SECONDS <= moments[SLOW]
    entries = by_ura[GOOD]["entry"]
    assert {"Condition", "Patient", "Provenance"} <= {e["resource"]["resourceType"] for e in entries}
    whole = told[-1][1]
    assert [one["ura"] for one in whole["holders"]] == [SLOW, GOOD, UNKNOWN]
    assert whole["status"] == "incomplete" and "bundle" not in whole
    assert "Problem" in [section["zib"] for section in whole["sections"]]


async def test_the_steps_tell_what_the_whole_at_once_tells(node: RunningNode) -> None:
    async with node["b"].internal.stream("POST", at(node), json=ask(GOOD), headers=STREAM) as answer:
        steps = dict([one async for one in events(answer)])
    plain = (await node["b"].internal.post(at(node), json=ask(GOOD))).json()
    found = {name: plain[name] for name in ("status", "localised", "sections")}
    assert {name: steps["assembled"][name] for name in found} == found

    def urls(entries: list[dict[str, Any]]) -> list[str]:
        return [e["fullUrl"] for e in entries if e["resource"]["resourceType"] != "Provenance"]

    assert urls(steps["holder"]["entry"]) == urls(plain["bundle"]["entry"])


async def test_what_is_told_of_a_holder_stands_in_our_log_first(node: RunningNode) -> None:
    async with node["b"].internal.stream("POST", at(node), json=ask(GOOD), headers=STREAM) as answer:
        async for name, content in events(answer):
            if name == "localised":
                exchange = content["id"]
            if name == "holder":
                log = f"{node['b'].internal_root}/b/log/fhir/r4/AuditEvent"
                logged = await node["b"].internal.get(log, params={"_count": "50"})
                assert exchange in logged.text


async def test_who_leaves_takes_the_questions_along(node: RunningNode, slow: tuple[Slow, str]) -> None:
    holder, _ = slow
    holder.begun.clear()
    holder.left.clear()
    async with node["b"].internal.stream("POST", at(node), json=ask(SLOW), headers=STREAM) as answer:
        async for name, _ in events(answer):
            assert name == "localised"
            await asyncio.wait_for(holder.begun.wait(), SECONDS)
            break
    await asyncio.wait_for(holder.left.wait(), SECONDS / 2)


@pytest.mark.parametrize(
    ("accept", "streamed"),
    [
        ("text/event-stream", True),
        ("text/event-stream, application/json", True),
        ("application/json, text/event-stream;q=0.5", False),
        ("application/json", False),
        ("*/*", False),
        ("text/event-stream;q=0", False),
    ],
)
async def test_steps_are_for_who_asks_for_them_by_name(
    node: RunningNode, accept: str, streamed: bool
) -> None:
    answer = await node["b"].internal.post(at(node), json=ask(GOOD), headers={"Accept": accept})
    assert answer.headers["content-type"].startswith("text/event-stream" if streamed else "application/json")


async def test_a_wrong_ask_is_an_error_and_no_stream(node: RunningNode) -> None:
    answer = await node["b"].internal.post(at(node), json={**ask(GOOD), "patient": "1"}, headers=STREAM)
    assert (answer.status_code, answer.headers["content-type"]) == (400, "application/problem+json")


async def test_a_holder_without_any_sign_of_life_is_left_alone_for_a_while(node: RunningNode) -> None:
    for _ in range(4):
        answer = await node["b"].internal.post(at(node), json=ask(SLOW, GOOD), timeout=60)
        slow, good = answer.json()["holders"]
        assert good["status"] == "complete"
        if "not asked" in slow["reason"]:
            assert slow["status"] == "failed"
            return
        assert slow["status"] == "late"
    raise AssertionError("it was asked again and again")
