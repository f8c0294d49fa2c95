"""Authorisations under way: how many may wait, and who keeps a place."""

from __future__ import annotations

from collections.abc import AsyncIterator

import asyncpg
import pytest
import pytest_asyncio

from schakel.generic.identity import flows
from schakel.generic.identity.authorisation_request import AuthorisationRequest
from schakel.generic.identity.flows import FlowGone, Flows
from schakel.store.database import connect, disconnect

REQUEST = AuthorisationRequest("pgo.example", "https://pgo.example/cb", "s", "", "request", "session")


@pytest_asyncio.fixture(loop_scope="session")
async def pool(fresh_database: str) -> AsyncIterator[asyncpg.Pool]:
    opened = await connect(fresh_database, connections=2)
    yield opened
    await disconnect(opened)


@pytest.fixture(autouse=True)
def always_cleaning(monkeypatch: pytest.MonkeyPatch) -> None:
    """Otherwise it is done once in a second."""
    monkeypatch.setattr(flows, "_CLEANING_SECONDS", 0.0)


async def rows(pool: asyncpg.Pool, tenant: int = 1) -> int:
    async with pool.acquire() as connection:
        return int(await connection.fetchval("SELECT count(*) FROM medmij_flow WHERE tenant = $1", tenant))


async def test_the_oldest_that_wait_make_place_and_nobody_else(pool: asyncpg.Pool) -> None:
    own, other = Flows(pool, 1, 900, most=2), Flows(pool, 2, 900, most=2)
    elsewhere = await other.begin(REQUEST, "nl")
    gone_on, oldest = await own.begin(REQUEST, "nl"), await own.begin(REQUEST, "nl")
    await own.to_login(*gone_on)
    older, newest = await own.begin(REQUEST, "nl"), await own.begin(REQUEST, "nl")
    with pytest.raises(FlowGone):
        await own.find(*oldest, "landing")
    for kept in (older, newest):
        assert (await own.find(*kept, "landing")).step == "landing"
    assert (await own.find(*gone_on, "login")).step == "login"
    assert (await other.find(*elsewhere, "landing")).step == "landing"
    assert await rows(pool) == 3


async def test_what_took_too_long_is_removed(pool: asyncpg.Pool) -> None:
    own = Flows(pool, 1, 900, most=100)
    flow, secret = await own.begin(REQUEST, "nl")
    await own.to_login(flow, secret)
    async with pool.acquire() as connection:
        await connection.execute("UPDATE medmij_flow SET expires = now() - interval '1 second'")
    await own.begin(REQUEST, "nl")
    assert await rows(pool) == 1
