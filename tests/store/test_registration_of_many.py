"""Registering when there are many patients: no turn costs more for those who wait behind it."""

from __future__ import annotations

from collections.abc import AsyncIterator
from datetime import timedelta

import asyncpg
import pytest_asyncio
from tests.registering import World

from schakel.generic.localisation.register import claim
from schakel.store.database import connect, disconnect
from schakel.store.embedded import EmbeddedServer

MANY = 20_000


@pytest_asyncio.fixture(scope="module", loop_scope="session")
async def pool(cluster: EmbeddedServer) -> AsyncIterator[asyncpg.Pool]:
    opened = await connect(await cluster.ensure_database("registering_many", "registering_many", "secret"))
    yield opened
    await disconnect(opened)
    await cluster.drop_database("registering_many", "registering_many")


async def waiting(world: World, number: int) -> None:
    await world.pool.execute(
        "INSERT INTO localisation_patient (tenant, patient, run_after) "
        "SELECT $1, lpad(n::text, 9, '0'), now() - interval '1 s' * n FROM generate_series(1, $2::integer) n",
        world.tenant,
        number,
    )


async def test_a_turn_looks_at_the_first_alone(pool: asyncpg.Pool) -> None:
    one, other = World(pool), World(pool)
    await waiting(one, MANY)
    await waiting(other, 3)
    read = "SELECT sum(idx_tup_read) FROM pg_stat_user_indexes WHERE relname = 'localisation_patient'"
    async with pool.acquire() as connection:
        await connection.execute("SELECT pg_stat_force_next_flush()")
        before = await connection.fetchval(read)
        async with connection.transaction():
            first = await claim(connection, [one.tenant, other.tenant], timedelta(seconds=60))
            async with pool.acquire() as beside, beside.transaction():
                second = await claim(beside, [one.tenant, other.tenant], timedelta(seconds=60))
                await beside.execute("SELECT pg_stat_force_next_flush()")
        await connection.execute("SELECT pg_stat_force_next_flush()")
        looked_at = await connection.fetchval(read) - before
    assert first is not None and (first.tenant, first.patient) == (one.tenant, f"{MANY:09}")
    assert second is not None and (second.tenant, second.patient) == (one.tenant, f"{MANY - 1:09}")
    assert looked_at < 100
