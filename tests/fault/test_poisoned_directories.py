"""Directories that lie or are broken on purpose: what one of their resources says holds up no other."""

from __future__ import annotations

from collections.abc import AsyncIterator, Awaitable, Callable
from datetime import timedelta
from typing import Any

import pytest
import pytest_asyncio
from aiohttp import web
from tests.followed import (
    Directory,
    Follower,
    Json,
    endpoint,
    follower,
    link,
    open_remote,
    organisation,
    reply,
    serving,
)

from schakel.generic.addressing.sync import CentralFeeder
from schakel.kernel.clock import now
from schakel.kernel.values import URA_SYSTEM

HOUR = timedelta(hours=1)


@pytest_asyncio.fixture(loop_scope="session")
async def directory() -> AsyncIterator[Directory]:
    """Two organisations."""
    async with serving(Directory(page=50)) as one:
        one.put("o1", organisation("Huis 1", "00000001"))
        one.put("o2", organisation("Huis 2", "00000002"))
        yield one


@pytest_asyncio.fixture(loop_scope="session")
async def node(make_database: Callable[[], Awaitable[str]], directory: Directory) -> AsyncIterator[Follower]:
    async with follower(make_database) as one:
        one.feeders = [CentralFeeder("lrza", directory.base, open_remote(most=20_000_000), HOUR)]
        yield one


def _nested(depth: int) -> Json:
    found: Json = {"url": "https://example.org/leaf", "valueString": "x"}
    for _ in range(depth):
        found = {"url": "https://example.org/nest", "extension": [found]}
    return found


def _moment(value: str) -> Json:
    return {"meta": {"versionId": "1", "lastUpdated": value}}


POISON: dict[str, Json] = {
    "a name of 300,000 characters": organisation("x" * 300_000),
    "an identifier of 300,000 characters": {
        **organisation(), "identifier": [{"system": "https://example.org/" + "y" * 300_000, "value": "z" * 300_000}],
    },
    "5,000 identifiers": {
        **organisation(), "identifier": [{"system": "https://example.org", "value": str(n)} for n in range(5000)],
    },
    "3,000 endpoints": organisation(endpoint=[link("Endpoint", f"e{n}") for n in range(3000)]),
    "a reference of 100,000 characters": organisation(endpoint=[{"reference": "https://x.example/" + "r" * 100_000}]),
    "extensions in extensions": {**organisation(), "extension": [_nested(150)]},
    "a link to itself": organisation(partOf=link("Organization", "poison")),
    "a URA with a letter": organisation("x", "0000000a"),
    "a URA with a line end": organisation("x", "00000001\n"),
    "a version before the first": {**organisation(), "meta": {"versionId": "-1"}},
    "a version that is no number": {**organisation(), "meta": {"versionId": "<b>\u202e"}},
    "a moment before the first": {**organisation(), **_moment("0001-01-01T00:00:00+14:00")},
    "a moment after the last": {**organisation(), **_moment("9999-12-31T23:59:59-14:00")},
    "a period from before the first moment": endpoint(period={"start": "0001-01-01", "end": "9999-12-31"}),
    "a telephone number with bytes that steer": {
        **organisation("\u0007\u001b[2J"), "telecom": [{"system": "phone", "value": "\u0000\u0001"}],
    },
    "markup in its name": organisation("<script>alert(1)</script>\u2028\u202e"),
    "a security label and tags of 50,000 characters": {
        **organisation(), "meta": {"tag": [{"system": "s" * 50_000, "code": "c" * 50_000}],
                                   "security": [{"system": "s" * 50_000, "code": "c" * 50_000}],
                                   "profile": ["https://example.org/" + "p" * 50_000]},
    },
    "numbers that are too large": {**organisation(), "extension": [
        {"url": "https://example.org/n", "valueDecimal": 1e300},
    ]},
    "a resource in it": {**organisation(), "contained": [
        {"resourceType": "Patient", "id": "p", "identifier": [{"system": "http://fhir.nl/fhir/NamingSystem/bsn",
                                                                "value": "999990019"}]}]},
    "a place beyond the poles": {"resourceType": "Location", "position": {"longitude": 1e300, "latitude": -1e300}},
}  # fmt: skip


@pytest.mark.parametrize("first", [True, False], ids=["at the first load", "as a change"])
@pytest.mark.parametrize("what", POISON)
async def test_one_poisoned_resource_holds_up_no_other(
    directory: Directory, node: Follower, what: str, first: bool
) -> None:
    if not first:
        assert (await node.run()).error == ""
    poison = POISON[what]
    directory.put("poison", poison)
    if "meta" in poison:  # As it stands there, and not as a good server would say it.
        directory.log[-1].resource = {**poison, "id": "poison"}
    directory.put("o9", organisation("Huis 9", "00000009"))
    ran = await node.run()
    assert ran.error == ""
    assert ("Organization", "o9") in await node.here()
    directory.put("o8", organisation("Huis 8", "00000008"))
    assert (await node.run()).error == ""
    assert ("Organization", "o8") in await node.here()
