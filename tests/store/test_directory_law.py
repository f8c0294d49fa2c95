"""The law of the replica: whatever a source does, and wherever a run is cut off, in the end the two are equal."""

from __future__ import annotations

from collections.abc import AsyncIterator
from datetime import timedelta
from typing import Any

import pytest
import pytest_asyncio
from aiohttp import web
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from tests.followed import (
    Directory,
    Follower,
    endpoint,
    follower,
    link,
    open_remote,
    organisation,
    refusal,
    serving,
)
from tests.nodes import databases

from schakel.generic.addressing.copying import local_id
from schakel.generic.addressing.sync import CentralFeeder
from schakel.store.embedded import EmbeddedServer

HOUR = timedelta(hours=1)

NAMES = st.sampled_from(["a", "b", "c"])
STEPS = st.one_of(
    st.tuples(st.just("organisation"), NAMES, st.integers(0, 3)),
    st.tuples(st.just("endpoint"), NAMES, st.integers(0, 3)),
    st.tuples(st.just("off"), NAMES, st.integers(0, 3)),
    st.tuples(st.just("delete organisation"), NAMES, st.just(0)),
    st.tuples(st.just("delete endpoint"), NAMES, st.just(0)),
    st.tuples(st.just("run"), st.sampled_from(["whole", "cut off"]), st.integers(1, 12)),
    st.tuples(st.just("all again"), st.just(""), st.just(0)),
)


@pytest_asyncio.fixture(scope="module", loop_scope="session")
async def node(cluster: EmbeddedServer) -> AsyncIterator[Follower]:
    async with databases(cluster, "law") as make, follower(make) as one:
        yield one


async def _step(directory: Directory, node: Follower, step: tuple[str, str, int]) -> None:
    what, name, number = step
    if what == "organisation":
        directory.put(f"o{name}", organisation(f"{name} {number}", endpoint=[link("Endpoint", f"e{name}")]))
    elif what == "endpoint":
        directory.put(f"e{name}", endpoint(f"https://fhir.example/{number}"))
    elif what == "off":
        directory.put(f"e{name}", endpoint(f"https://fhir.example/{number}", status="off"))
    elif what == "delete organisation":
        directory.delete("Organization", f"o{name}")
    elif what == "delete endpoint":
        directory.delete("Endpoint", f"e{name}")
    elif what == "all again":
        await node.ledger.whole(node.feeders[0].name)
    else:
        left = number if name == "cut off" else 1000

        async def behave(request: web.Request) -> web.StreamResponse | None:
            nonlocal left
            left -= 1
            return None if left >= 0 else refusal(503)

        directory.behave = behave
        await node.run()
        directory.behave = None


@settings(max_examples=40, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(steps=st.lists(STEPS, max_size=25), page=st.integers(1, 4), batch=st.integers(1, 3))
async def test_the_replica_becomes_what_the_source_is(
    node: Follower, steps: list[tuple[str, str, int]], page: int, batch: int
) -> None:
    with pytest.MonkeyPatch.context() as patching:
        patching.setattr("schakel.generic.addressing.sync.feeder.BATCH", batch)
        async with serving(Directory(page=page)) as directory:
            node.feeders = [CentralFeeder("source", directory.base, open_remote(), HOUR)]
            for step in steps:
                await _step(directory, node, step)
            ran = await node.run()
            assert ran.error == ""
            assert await _kept(node) == _expected(directory)
            assert await node.findings() == {}
            node.feeders = []
            await node.following().align()
            assert await node.here() == {}


def _expected(directory: Directory) -> dict[tuple[str, str], Any]:
    found = {}
    for (kind, name), resource in directory.now().items():
        links = [{"reference": f"Endpoint/{local_id(directory.base, 'Endpoint', one['reference'][9:])}"}
                 for one in resource.get("endpoint", [])]  # fmt: skip
        found[kind, name] = {
            **resource,
            **({"endpoint": links} if links else {}),
            "id": local_id(directory.base, kind, name),
            "meta": {"source": f"{directory.base}/{kind}/{name}"},
        }
    return found


async def _kept(node: Follower) -> dict[tuple[str, str], Any]:
    return {
        key: {**one, "meta": {"source": one["meta"]["source"]}} for key, one in (await node.here()).items()
    }
