"""Among whom a resource that names no patient is looked for: whoever asks the database, the answer is the same."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from datetime import timedelta

import asyncpg
import pytest_asyncio

from schakel.generic.consent import Candidates, Grounds
from schakel.kernel.clock import new_id, now
from schakel.store.database import connect, disconnect
from schakel.store.embedded import EmbeddedServer

REQUESTER, STRANGER = "22222222", "33333333"
PATIENT, OTHER, THIRD = "999911120", "999990019", "999229588"


@pytest_asyncio.fixture(scope="module", loop_scope="session")
async def pool(cluster: EmbeddedServer) -> AsyncIterator[asyncpg.Pool]:
    opened = await connect(await cluster.ensure_database("candidates", "candidates", "secret"))
    yield opened
    await disconnect(opened)
    await cluster.drop_database("candidates", "candidates")


@pytest_asyncio.fixture(loop_scope="session")
async def candidates(pool: asyncpg.Pool) -> Candidates:
    await pool.execute("TRUNCATE disclosure_ground, token_patient")
    return Candidates(pool, 1)


END = timedelta(minutes=5)


async def ground(pool: asyncpg.Pool, patient: str, exchange: str = "bgz") -> str:
    end = now() + timedelta(days=1)
    written = await Grounds(pool, 1).write(REQUESTER, patient, exchange=exchange, until=end, reason="test")
    return written.id


async def test_what_one_process_gave_another_knows_for_that_token_and_organisation_alone(
    candidates: Candidates, pool: asyncpg.Pool
) -> None:
    token = new_id()
    await candidates.given(token, PATIENT, now() + END)
    assert await Candidates(pool, 1).of(REQUESTER, "bgz", token) == [PATIENT]
    assert await Candidates(pool, 1).of(REQUESTER, "bgz", new_id()) == []
    assert await Candidates(pool, 2).of(REQUESTER, "bgz", token) == []


async def test_nobody_is_named_for_a_token_that_has_expired(
    candidates: Candidates, pool: asyncpg.Pool
) -> None:
    token = new_id()
    await candidates.given(token, PATIENT, now())
    for process in (candidates, Candidates(pool, 1)):
        assert await process.of(REQUESTER, "bgz", token) == []


async def test_a_process_says_once_what_it_gave(candidates: Candidates, pool: asyncpg.Pool) -> None:
    token, end = new_id(), now() + END
    for _ in range(2):
        await candidates.given(token, PATIENT, end)
        await pool.execute("TRUNCATE token_patient")
    assert await candidates.of(REQUESTER, "bgz", token) == []
    await candidates.given(token, OTHER, end)
    await Candidates(pool, 1).given(token, PATIENT, end)
    assert set(await candidates.of(REQUESTER, "bgz", token)) == {PATIENT, OTHER}


async def test_processes_that_keep_the_same_at_once_do_not_hinder_each_other(
    candidates: Candidates, pool: asyncpg.Pool
) -> None:
    tokens, end = [new_id() for _ in range(40)], now() + END
    processes = [candidates, *(Candidates(pool, 1) for _ in range(3))]
    given = [
        one.given(token, patient, end)
        for place, one in enumerate(processes)
        for token in tokens[:: -1 if place % 2 else 1]
        for patient in (PATIENT, OTHER, PATIENT)
    ]
    await asyncio.gather(*given)
    for token in tokens:
        assert sorted(await candidates.of(REQUESTER, "bgz", token)) == sorted([PATIENT, OTHER])


async def test_those_of_the_token_come_first_the_last_one_before_the_others(
    candidates: Candidates, pool: asyncpg.Pool
) -> None:
    token, end = new_id(), now() + END
    for patient in (PATIENT, OTHER, THIRD):
        await ground(pool, patient)
    assert await candidates.of(REQUESTER, "bgz", token) == sorted([PATIENT, OTHER, THIRD])
    for patient in (THIRD, OTHER):
        await candidates.given(token, patient, end)
    assert await candidates.of(REQUESTER, "bgz", token) == [OTHER, THIRD, PATIENT]


async def test_a_recorded_ground_counts_while_it_is_in_force_for_that_requester_and_exchange(
    candidates: Candidates, pool: asyncpg.Pool
) -> None:
    grounds = Grounds(pool, 1)
    await ground(pool, PATIENT)
    await ground(pool, PATIENT)
    ended = await ground(pool, OTHER)
    assert set(await candidates.of(REQUESTER, "bgz", "")) == {PATIENT, OTHER}
    await grounds.end(ended)
    assert await candidates.of(REQUESTER, "bgz", "") == [PATIENT]
    assert await candidates.of(STRANGER, "bgz", "") == []
    assert await Candidates(pool, 2).of(REQUESTER, "bgz", "") == []
    end = now() + timedelta(days=1)
    await grounds.write(REQUESTER, OTHER, queries=("Condition",), until=end, reason="test")
    assert await candidates.of(REQUESTER, "", "") == []
    await pool.execute("UPDATE disclosure_ground SET until = now()")
    assert await candidates.of(REQUESTER, "bgz", "") == []
