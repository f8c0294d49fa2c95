"""A patient who takes a choice back while somebody is reading: the next page is refused, at each node."""

from __future__ import annotations

import asyncio
import time
from collections.abc import AsyncIterator
from typing import Any

import httpx
import pytest_asyncio
from tests.guarded import coded, patient, plain
from tests.nation import ALLOWS, Nation
from tests.nodes import MakeDatabase, RunningNode, databases, running_node

from schakel.kernel.values import BSN_SYSTEM
from schakel.store.embedded import EmbeddedServer

FLAGS = 6
WITHIN = 1.0
"""Seconds from the notification to the last answer that rests on the choice before it."""


@pytest_asyncio.fixture(scope="module", loop_scope="session")
async def nodes(
    cluster: EmbeddedServer, nationwide: Nation
) -> AsyncIterator[tuple[RunningNode, RunningNode]]:
    """Two nodes of one database: Mitz tells the first."""
    async with databases(cluster, "consent_withdrawn") as make:
        address = await make()

        async def same() -> str:
            return address

        async with _node(same, nationwide) as first, _node(same, nationwide) as second:
            await put(first, patient("p1", ALLOWS))
            for number in range(FLAGS):
                subject = {"reference": "Patient/p1"}
                code = coded("urn:x", str(number))
                await put(first, plain("Flag", f"f{number}", status="active", code=code, subject=subject))
            yield first, second


def _node(database: MakeDatabase, country: Nation) -> Any:
    organisation = {"a": {"type_code": "V6"}}
    return running_node(database, ("a",), by_slug=organisation, write_check="lenient", **country.settings())


async def put(node: RunningNode, resource: dict[str, Any]) -> None:
    answer = await node["a"].internal.put(f"{resource['resourceType']}/{resource['id']}", json=resource)
    assert answer.status_code == 201, answer.text


async def subscribed(node: RunningNode) -> None:
    """The node is told of the patient's choices."""
    a = node["a"]
    base = f"{a.internal_root}/a/consent/subscriptions"
    wanted = await a.internal.post(base, json={"patient": ALLOWS, "birth_date": "1970-01-01"})
    assert wanted.status_code == 202, wanted.text
    async with asyncio.timeout(20):
        while not (await a.internal.get(f"{base}?state=active")).json()["subscriptions"]:  # noqa: ASYNC110
            await asyncio.sleep(0.05)


async def notices(node: RunningNode) -> int:
    answer = await node["a"].internal.get(f"{node['a'].internal_root}/a/consent/choices?count=1000")
    return len(answer.json()["choices"])


def following(answer: httpx.Response, node: RunningNode) -> str:
    """The next page, at this node."""
    assert answer.status_code == 200, answer.text
    [link] = [one["url"] for one in answer.json()["link"] if one["relation"] == "next"]
    return f"{node['a'].front_root}/a/{link.partition('/a/')[2]}"


async def test_the_next_page_is_refused_at_both_nodes_once_mitz_told_one(
    country: Nation, nodes: tuple[RunningNode, RunningNode]
) -> None:
    first, second = nodes
    await subscribed(first)
    headers = await country.requester.bearer(f"{first['a'].front_root}/a")
    search = f"Flag?patient.identifier={BSN_SYSTEM}|{ALLOWS}&_count=1"
    pages = {}
    for node in nodes:
        page = await node["a"].front.get(search, headers=headers)
        again = await node["a"].front.get(following(page, node), headers=headers)
        pages[node["a"].front_root] = following(again, node)
    assert country.mitz.asked == 2 + 1, "each node asked once, and one subscribed"

    before, asked = await notices(first), country.mitz.asked
    await country.choose(ALLOWS, False)
    async with asyncio.timeout(10):
        while await notices(second) == before:  # noqa: ASYNC110 # no door tells when
            await asyncio.sleep(0.01)
    told = time.monotonic()
    for node in nodes:
        answer = await node["a"].front.get(pages[node["a"].front_root], headers=headers)
        assert answer.status_code == 403, answer.text
        assert "entry" not in answer.json()
    assert time.monotonic() - told < WITHIN
    assert country.mitz.asked == asked + 2, "each was asked anew"

    await country.choose(ALLOWS, True)
    async with asyncio.timeout(10):
        while (await second["a"].front.get(search, headers=headers)).status_code != 200:  # noqa: ASYNC110
            await asyncio.sleep(0.05)


async def test_a_notice_counts_also_when_mitz_is_away_since(
    country: Nation, nodes: tuple[RunningNode, RunningNode]
) -> None:
    """What Mitz answered before it is not used, though nobody can ask again."""
    first, second = nodes
    await subscribed(first)
    headers = await country.requester.bearer(f"{second['a'].front_root}/a")
    search = f"Flag?patient.identifier={BSN_SYSTEM}|{ALLOWS}&_count=1"
    page = await second["a"].front.get(search, headers=headers)
    onward = following(page, second)
    before = await notices(first)
    await country.mitz.down()
    try:
        assert (await second["a"].front.get(onward, headers=headers)).status_code == 200
        await country.choose(ALLOWS, False)
        async with asyncio.timeout(10):
            while await notices(second) == before:  # noqa: ASYNC110 # no door tells when
                await asyncio.sleep(0.01)
        answer = await second["a"].front.get(onward, headers=headers)
        assert answer.status_code == 403 and "entry" not in answer.json()
    finally:
        await country.mitz.up()
        await country.choose(ALLOWS, True)
