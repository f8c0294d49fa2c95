"""Connections stay at hand for a moment after use. Whatever happened on one, the next user gets a good one."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator

import asyncpg
import pytest
import pytest_asyncio

from schakel.kernel.outcomes import Busy, NotFound, TooCostly
from schakel.store import connection as connections
from schakel.store.connection import acquire
from schakel.store.database import connect, disconnect


@pytest_asyncio.fixture
async def pool(fresh_database: str) -> AsyncIterator[asyncpg.Pool]:
    """A pool of two connections."""
    pool = await connect(fresh_database, connections=2)
    yield pool
    await disconnect(pool)


async def _process(pool: asyncpg.Pool) -> int:
    """The process of the server that answers the next statement."""
    async with acquire(pool) as connection:
        return int(await connection.fetchval("SELECT pg_backend_pid()"))


async def _ended(address: str, process: int) -> None:
    """Has the server end one of its processes, and waits until that is gone."""
    other = await asyncpg.connect(address)
    try:
        await other.execute("SELECT pg_terminate_backend($1, 5000)", process)
    finally:
        await other.close()
    await asyncio.sleep(0.05)  # For our side to be told.


async def test_the_next_statement_gets_the_connection_of_the_last(pool: asyncpg.Pool) -> None:
    first = await _process(pool)
    assert pool.get_idle_size() == 0, "it went back at once"
    assert await _process(pool) == first


async def test_a_kept_connection_goes_back_when_nobody_uses_it(
    pool: asyncpg.Pool, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(connections, "_KEEP_SECONDS", 0.05)
    await _process(pool)
    await asyncio.sleep(0.2)
    assert pool.get_idle_size() == 1
    assert id(pool) not in connections._KEPT, "a pool at rest is remembered"


async def test_a_cancelled_statement_leaves_a_connection_that_works(pool: asyncpg.Pool) -> None:
    async def slow() -> None:
        async with acquire(pool) as connection:
            await connection.execute("SELECT pg_sleep(30)")

    for _ in range(5):
        working = asyncio.create_task(slow())
        await asyncio.sleep(0.03)
        working.cancel()
        with pytest.raises(asyncio.CancelledError):
            await working
        assert await asyncio.wait_for(_process(pool), 5)
    assert await asyncio.gather(*(asyncio.wait_for(_process(pool), 5) for _ in range(8)))


async def test_a_statement_that_ran_out_of_time_and_was_forgiven_leaves_a_connection_that_works(
    pool: asyncpg.Pool,
) -> None:
    async with acquire(pool) as connection:
        with pytest.raises(TimeoutError):
            await connection.execute("SELECT pg_sleep(30)", timeout=0.05)
    async with acquire(pool) as connection:
        assert await asyncio.wait_for(connection.fetchval("SELECT 7"), 5) == 7


async def test_who_is_cancelled_while_waiting_takes_nobodys_place(pool: asyncpg.Pool) -> None:
    async with acquire(pool), acquire(pool):
        waiting = [asyncio.create_task(_process(pool)) for _ in range(3)]
        await asyncio.sleep(0.02)
        for one in waiting:
            one.cancel()
        await asyncio.gather(*waiting, return_exceptions=True)
    async with acquire(pool), acquire(pool):
        pass


async def test_who_is_cut_off_at_its_turn_leaves_it_to_the_next(pool: asyncpg.Pool) -> None:
    async with acquire(pool):
        async with acquire(pool):
            first, second = asyncio.create_task(_process(pool)), asyncio.create_task(_process(pool))
            await asyncio.sleep(0.02)
        first.cancel()  # Before it could run with what was just left to it.
        with pytest.raises(asyncio.CancelledError):
            await first
        assert await asyncio.wait_for(second, 5)
        assert await asyncio.wait_for(_process(pool), 5)


async def test_who_came_first_is_served_first(pool: asyncpg.Pool) -> None:
    served: list[int] = []

    async def one(number: int) -> None:
        async with acquire(pool):
            served.append(number)
            await asyncio.sleep(0)

    async with acquire(pool):
        async with acquire(pool):
            waiting = [asyncio.create_task(one(number)) for number in range(20)]
            await asyncio.sleep(0.02)
        await asyncio.gather(*waiting)
    assert served == list(range(20))


async def test_a_broken_connection_is_no_loss_to_who_waits_for_it(
    pool: asyncpg.Pool, fresh_database: str
) -> None:
    async with acquire(pool):
        async with acquire(pool) as connection:
            process = await connection.fetchval("SELECT pg_backend_pid()")
            waiting = asyncio.create_task(_process(pool))
            await asyncio.sleep(0.02)
            await _ended(fresh_database, process)
        assert await asyncio.wait_for(waiting, 5) != process


async def test_connections_the_server_dropped_while_idle_are_replaced_unseen(
    pool: asyncpg.Pool, fresh_database: str
) -> None:
    async with acquire(pool) as one, acquire(pool) as other:
        processes = [await each.fetchval("SELECT pg_backend_pid()") for each in (one, other)]
    for process in processes:
        await _ended(fresh_database, process)
    assert await _process(pool) not in processes
    async with acquire(pool) as one, acquire(pool) as other:
        assert await one.fetchval("SELECT 1") == await other.fetchval("SELECT 1") == 1


async def test_a_connection_the_server_dropped_after_the_last_statement_is_no_error(
    pool: asyncpg.Pool, fresh_database: str
) -> None:
    async with acquire(pool) as connection:
        process = await connection.fetchval("SELECT pg_backend_pid()")
        await _ended(fresh_database, process)
    assert await _process(pool) != process


async def test_a_connection_dropped_during_a_statement_is_busy_and_then_replaced(
    pool: asyncpg.Pool, fresh_database: str
) -> None:
    process = await _process(pool)

    async def slow() -> None:
        async with acquire(pool) as connection:
            await connection.execute("SELECT pg_sleep(30)")

    working = asyncio.create_task(slow())
    await asyncio.sleep(0.05)
    await _ended(fresh_database, process)
    with pytest.raises(Busy):
        await working
    assert await _process(pool) != process


async def _left_open(pool: asyncpg.Pool, told: Exception | None) -> None:
    async with acquire(pool) as connection:
        await connection.execute("BEGIN")
        await connection.execute("INSERT INTO said VALUES ('left open')")
        if told is not None:
            raise told


async def test_a_transaction_left_open_is_undone_before_the_next_user(pool: asyncpg.Pool) -> None:
    async with acquire(pool) as connection:
        await connection.execute("CREATE TABLE said (what text)")
    await _left_open(pool, None)
    with pytest.raises(NotFound):
        await _left_open(pool, NotFound("not here"))
    for _ in range(3):
        async with acquire(pool) as connection:
            assert not connection.is_in_transaction()
            assert await connection.fetchval("SELECT count(*) FROM said") == 0


async def _in_transaction(pool: asyncpg.Pool, *statements: str) -> None:
    async with acquire(pool) as connection, connection.transaction():
        for statement in statements:
            await connection.execute(statement)


async def test_a_failed_statement_in_a_transaction_leaves_nothing_behind(pool: asyncpg.Pool) -> None:
    with pytest.raises(asyncpg.DivisionByZeroError):
        await _in_transaction(pool, "SET LOCAL work_mem = '1MB'", "SELECT 1 / 0")
    async with acquire(pool) as connection, acquire(pool) as other:
        for each in (connection, other):
            assert not each.is_in_transaction()
            assert await each.fetchval("SHOW work_mem") != "1MB"


async def test_a_statement_over_its_time_is_too_costly_and_the_connection_good(
    pool: asyncpg.Pool,
) -> None:
    with pytest.raises(TooCostly, match=r"limits\.query_seconds"):
        await _in_transaction(pool, "SET LOCAL statement_timeout = '20ms'", "SELECT pg_sleep(5)")
    async with acquire(pool) as connection:
        assert await connection.fetchval("SHOW statement_timeout") != "20ms"


async def test_who_waits_is_served_while_others_come_back_at_once(pool: asyncpg.Pool) -> None:
    """Two that always use the two connections, and five that want one now and then."""
    over = asyncio.Event()

    async def greedy() -> None:
        while not over.is_set():
            async with acquire(pool) as connection:
                await connection.fetchval("SELECT 1")

    always = [asyncio.create_task(greedy()) for _ in range(2)]
    try:
        for _ in range(5):
            await asyncio.wait_for(asyncio.gather(*(_process(pool) for _ in range(5))), 5)
    finally:
        over.set()
        await asyncio.gather(*always)


async def test_too_many_who_wait_are_told_to_come_back(
    pool: asyncpg.Pool, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(connections, "_WAIT_SECONDS", 0.05)
    async with acquire(pool), acquire(pool):
        with pytest.raises(Busy):
            await _process(pool)
    assert await _process(pool)


async def test_who_asks_the_pool_itself_gets_a_kept_connection_soon(pool: asyncpg.Pool) -> None:
    async with acquire(pool), acquire(pool):
        pass
    assert await pool.fetchval("SELECT 1", timeout=5) == 1


async def test_a_pool_ends_with_kept_connections_and_one_in_use(fresh_database: str) -> None:
    pool = await connect(fresh_database, connections=3)
    used, over = asyncio.Event(), asyncio.Event()

    async def using() -> int:
        async with acquire(pool) as connection:
            used.set()
            await over.wait()
            return int(await connection.fetchval("SELECT 1"))

    working = asyncio.create_task(using())
    await used.wait()
    await _process(pool)
    ending = asyncio.create_task(disconnect(pool))
    await asyncio.sleep(0.05)
    assert not ending.done()
    over.set()
    assert await working == 1, "the work in hand was not ended in peace"
    await asyncio.wait_for(ending, 1)
    with pytest.raises(Busy):
        await _process(pool)
    assert id(pool) not in connections._KEPT


async def test_a_pool_ends_though_one_does_not_give_back(fresh_database: str) -> None:
    pool = await connect(fresh_database, connections=2)
    async with acquire(pool) as connection:
        await _process(pool)
        await asyncio.wait_for(disconnect(pool), 5)
        with pytest.raises(asyncpg.InterfaceError):
            await connection.fetchval("SELECT 1")
    assert id(pool) not in connections._KEPT


async def test_a_pool_whose_ending_is_cut_off_leaves_no_connection(fresh_database: str) -> None:
    pool = await connect(fresh_database, connections=2)
    async with acquire(pool):
        await _process(pool)
        ending = asyncio.create_task(disconnect(pool))
        await asyncio.sleep(0.02)
        ending.cancel()
        with pytest.raises(asyncio.CancelledError):
            await ending
    assert pool.get_size() == 0
