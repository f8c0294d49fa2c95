"""The chain log: one session can be followed, nothing stays longer than it may, and no event holds a person."""

from __future__ import annotations

from collections.abc import AsyncIterator
from dataclasses import fields

import asyncpg
import orjson
import pytest_asyncio

from schakel.generic.logging import ChainEvent, ChainLog
from schakel.store.database import connect, disconnect

SESSION = "37a69211-e8b7-4766-a3ba-085c6dc1e753"


@pytest_asyncio.fixture(loop_scope="session")
async def pool(fresh_database: str) -> AsyncIterator[asyncpg.Pool]:
    opened = await connect(fresh_database, connections=2)
    yield opened
    await disconnect(opened)


def log(pool: asyncpg.Pool, tenant: int = 1) -> ChainLog:
    return ChainLog(pool, tenant, "dva.example", "provider@medmij", 36)


async def test_an_event_says_who_asked_whom_and_what_came_of_it(pool: asyncpg.Pool) -> None:
    await log(pool).write(
        ChainEvent(
            type="send_token_request_error",
            session=SESSION,
            request_id="r",
            client="pgo.example",
            method="POST",
            uri="/a/oauth2/token",
            grant_type="authorization_code",
            status=400,
            error="invalid_grant",
            description="code-invalid",
        )
    )
    async with pool.acquire() as connection:
        row = await connection.fetchrow("SELECT * FROM chain_event")
    assert row is not None
    body = orjson.loads(row["body"])
    assert body["event"].pop("datetime").endswith("Z")
    assert body == {
        "event": {
            "type": "send_token_request_error",
            "location": "dva.example",
            "session_id": SESSION,
            "trace_id": SESSION,
        },
        "request": {
            "id": "r",
            "method": "POST",
            "client_id": "pgo.example",
            "server_id": "dva.example",
            "uri": "/a/oauth2/token",
            "grant_type": "authorization_code",
            "provider_id": "provider@medmij",
        },
        "response": {"id": "r", "status": 400},
        "error": {"code": "invalid_grant", "description": "code-invalid", "request_id": "r"},
    }
    assert (row["tenant"], row["session"], row["type"]) == (1, SESSION, "send_token_request_error")


async def test_events_go_when_their_months_are_over_and_those_of_others_stay(pool: asyncpg.Pool) -> None:
    event = ChainEvent(type="show_landing_page", session=SESSION)
    for tenant in (1, 1, 2):
        await log(pool, tenant).write(event)
    async with pool.acquire() as connection:
        ids = await connection.fetch("SELECT tenant, id FROM chain_event ORDER BY tenant, recorded")
        for row, age in zip(ids, ("37 months", "35 months", "37 months"), strict=True):
            await connection.execute(
                f"UPDATE chain_event SET recorded = now() - interval '{age}' WHERE id = $1", row["id"]
            )
        await log(pool).write(event)
        left = [row["id"] for row in await connection.fetch("SELECT id FROM chain_event")]
    assert len(left) == 3 and ids[0]["id"] not in left and {ids[1]["id"], ids[2]["id"]} < set(left)


def test_an_event_has_no_place_for_a_person() -> None:
    names = {one.name for one in fields(ChainEvent)}
    assert not names & {"patient", "bsn", "name", "query", "token", "code", "state", "scope"}
