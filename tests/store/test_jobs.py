"""Jobs are done in steps: in turns, each once, and only by who knows them."""

from __future__ import annotations

import itertools
from collections.abc import AsyncIterator
from typing import Any

import asyncpg
import pytest_asyncio
from tests.nodes import databases

from schakel.store.database import connect, disconnect
from schakel.store.embedded import EmbeddedServer
from schakel.store.jobs import Job, Step, Worker, enqueue

_tenants = itertools.count(1)


@pytest_asyncio.fixture(scope="module", loop_scope="session")
async def pool(cluster: EmbeddedServer) -> AsyncIterator[asyncpg.Pool]:
    async with databases(cluster, "jobs") as make:
        pool = await connect(await make())
        yield pool
        await disconnect(pool)


class Counting:
    """A kind of job that counts to three, one step at a time."""

    def __init__(self) -> None:
        self.steps: list[tuple[int, str]] = []

    async def step(self, connection: Any, job: Job) -> Step:
        self.steps.append((job.tenant, job.place))
        place = int(job.place or 0) + 1
        return Step(str(place), 1, finished=place == 3)

    async def failed(self, connection: Any, job: Job) -> None:
        raise AssertionError("it never fails")


async def test_jobs_take_turns_and_a_worker_leaves_those_of_others_alone(pool: asyncpg.Pool) -> None:
    counting, (first, second, other) = Counting(), (next(_tenants) for _ in range(3))
    async with pool.acquire() as connection:
        for tenant in (first, second, other):
            await enqueue(connection, tenant, "count", {})
        await enqueue(connection, first, "unknown", {})
        await enqueue(connection, first, "count", {}, after_seconds=60)
    worker = Worker(pool, [first, second], {"count": counting})
    while await worker.turn():
        pass
    assert counting.steps == [(tenant, place) for place in ("", "1", "2") for tenant in (first, second)]


async def test_two_workers_never_do_the_same_step(pool: asyncpg.Pool) -> None:
    tenant = next(_tenants)
    worker = Worker(pool, [tenant], {"count": Counting()})
    async with pool.acquire() as connection:
        await enqueue(connection, tenant, "count", {})
        async with connection.transaction():
            await connection.fetch("SELECT FROM job WHERE tenant = $1 FOR UPDATE", tenant)
            assert not await worker.turn()
    assert await worker.turn()
