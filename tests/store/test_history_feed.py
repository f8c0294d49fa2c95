"""The history of a type or of everything is a feed in the order of commit: who follows it misses nothing."""

from __future__ import annotations

import asyncio
import random
from collections.abc import AsyncIterator
from dataclasses import replace
from datetime import datetime, timedelta

import asyncpg
import pytest
import pytest_asyncio

from schakel.kernel.outcomes import Invalid, NotFound
from schakel.sources import Changes, HistoryQuery, Write
from schakel.store.database import connect, disconnect
from schakel.store.embedded import EmbeddedServer
from schakel.store.resources import Limits, Store
from schakel.store.writing import RidBlocks

EVERYTHING = HistoryQuery(oldest_first=True)


@pytest_asyncio.fixture(scope="module", loop_scope="session")
async def pool(cluster: EmbeddedServer) -> AsyncIterator[asyncpg.Pool]:
    dsn = await cluster.ensure_database("feed", "feed", "secret")
    opened = await connect(dsn, connections=12)
    yield opened
    await disconnect(opened)
    await cluster.drop_database("feed", "feed")


_tenants = iter(range(1, 100))


@pytest.fixture
def store(pool: asyncpg.Pool) -> Store:
    """An empty store: each has a tenant of its own."""
    return Store(pool, next(_tenants), RidBlocks(), limits=Limits(page=5, page_max=50))


def put(name: str, kind: str = "Patient") -> Write:
    body = {"resourceType": kind, "id": name}
    return Write("PUT", kind, name, body | ({"code": {"text": "x"}} if kind == "Basic" else {}))


def names(changes: Changes) -> list[str]:
    return [f"{c.stored.id}/{c.stored.version}" for c in changes.changes]


async def followed(store: Store, query: HistoryQuery) -> tuple[list[str], Changes]:
    """Everything on all pages of a history, and the last page."""
    page = await store.history("stu3", query)
    seen = names(page)
    while page.next_page:
        page = await store.history("stu3", replace(query, cursor=page.next_page))
        seen += names(page)
    return seen, page


async def test_pages_give_each_version_once_while_others_write(store: Store) -> None:
    for n in range(12):
        await store.write("stu3", [put(f"p{n}"), put(f"b{n}", "Basic")])
    expected = [f"{kind}{n}/1" for n in range(12) for kind in ("b", "p")]
    for query in (EVERYTHING, HistoryQuery()):
        page = await store.history("stu3", query)
        seen = names(page)
        while page.next_page:
            await store.write("stu3", [put("p3"), put(f"new{len(seen)}")])
            page = await store.history("stu3", replace(query, cursor=page.next_page))
            seen += names(page)
        before = [name for name in seen if not name.startswith("new")]
        assert len(set(seen)) == len(seen)
        if query is EVERYTHING:
            assert seen == expected
        else:
            assert set(expected) <= set(before), "what was replaced meanwhile is on its page still"
    assert (await followed(store, HistoryQuery("Basic")))[0] == [f"b{n}/1" for n in reversed(range(12))]


async def test_a_transaction_that_is_open_holds_back_what_was_committed_after_it(
    pool: asyncpg.Pool, store: Store
) -> None:
    await store.write("stu3", [put("before")])
    async with pool.acquire() as connection:
        transaction = connection.transaction()
        await transaction.start()
        opened = await connection.fetchval("SELECT now()")
        await connection.fetchval("SELECT pg_current_xact_id()")
        await store.write("stu3", [put("after")])
        page = await store.history("stu3", EVERYTHING)
        assert names(page) == ["before/1"]
        assert page.settled <= opened
        assert names(await store.history("stu3", HistoryQuery("Patient", "after"))) == ["after/1"]
        await transaction.commit()
    assert names(await store.history("stu3", EVERYTHING)) == ["before/1", "after/1"]


async def test_a_reader_that_has_no_id_holds_nothing_back(pool: asyncpg.Pool, store: Store) -> None:
    async with pool.acquire() as connection, connection.transaction():
        await connection.fetchval("SELECT 1")
        await store.write("stu3", [put("seen")])
        assert names(await store.history("stu3", EVERYTHING)) == ["seen/1"]


async def test_since_gives_all_from_the_first_position_with_a_change_at_or_after_it(
    pool: asyncpg.Pool, store: Store
) -> None:
    for n in range(4):
        await store.write("stu3", [put(f"s{n}")])
    page = await store.history("stu3", EVERYTHING)
    moments = [c.stored.updated for c in page.changes]
    # The second and the third were committed in the order of their positions, but their clocks ran the other way.
    await pool.execute(
        "UPDATE resource SET updated = $2 WHERE id = $1 AND tenant = $3", "s2", moments[0], store._tenant
    )
    query = replace(EVERYTHING, since=moments[1])
    assert names(await store.history("stu3", query)) == ["s1/1", "s2/1", "s3/1"]
    later = moments[3] + timedelta(milliseconds=1)
    assert names(await store.history("stu3", replace(EVERYTHING, since=later))) == []


async def test_at_gives_what_was_current_then(pool: asyncpg.Pool, store: Store) -> None:
    for n in range(3):
        await store.write("stu3", [put("at")])
        if n == 1:
            await store.write("stu3", [Write("DELETE", "Patient", "at")])
    day = datetime.fromisoformat("2026-01-01T00:00:00+00:00")
    for table in ("resource", "history"):
        await pool.execute(
            f"UPDATE {table} SET updated = $1::timestamptz + (version - 1) * interval '1 day' WHERE tenant = $2",
            day,
            store._tenant,
        )

    async def at(days: float, length: float) -> list[str]:
        start = day + timedelta(days=days)
        query = HistoryQuery("Patient", "at", at=(start, start + timedelta(days=length)))
        return names(await store.history("stu3", query))

    assert await at(-1, 0.5) == []
    assert await at(0.25, 0.5) == ["at/1"]
    assert await at(0.25, 1) == ["at/2", "at/1"]
    assert await at(2.25, 0.5) == ["at/3"]
    assert await at(9, 1) == ["at/4"]
    assert await at(1, 1) == ["at/2"]


async def test_versions_say_how_they_came_about(store: Store) -> None:
    await store.write("stu3", [Write("POST", "Patient", "how", {"resourceType": "Patient"})])
    await store.write("stu3", [put("how")])
    await store.write("stu3", [Write("PATCH", "Patient", "how", patch=lambda r: {**r, "active": True})])
    await store.write("stu3", [Write("DELETE", "Patient", "how")])
    await store.write("stu3", [put("how")])
    page = await store.history("stu3", HistoryQuery("Patient", "how", oldest_first=True))
    told = [(c.method, c.created, c.stored.deleted, bool(c.stored.body)) for c in page.changes]
    assert told == [
        ("POST", True, False, True),
        ("PUT", False, False, True),
        ("PATCH", False, False, True),
        ("DELETE", False, True, False),
        ("PUT", True, False, True),
    ]
    assert page.total == 5


async def test_counting_alone_and_counting_on_pages(store: Store) -> None:
    for _ in range(7):
        await store.write("stu3", [put("count")])
    counted = await store.history("stu3", HistoryQuery(count=0))
    assert (counted.total, counted.changes, counted.next_page) == (7, (), "")
    first = await store.history("stu3", HistoryQuery("Patient", "count", count=3))
    assert first.total == 7 and names(first) == ["count/7", "count/6", "count/5"]
    await store.write("stu3", [put("count")])
    seen, _ = await followed(store, HistoryQuery("Patient", "count", count=3, cursor=first.next_page))
    assert seen == ["count/4", "count/3", "count/2", "count/1"]


async def test_neighbours_and_versions_of_fhir_have_histories_of_their_own(
    pool: asyncpg.Pool, store: Store
) -> None:
    await store.write("stu3", [put("mine")])
    other = Store(pool, next(_tenants), RidBlocks())
    assert (await other.history("stu3", HistoryQuery())).changes == ()
    assert (await store.history("r4", HistoryQuery())).changes == ()
    page = await store.history("stu3", HistoryQuery(count=1))
    with pytest.raises(NotFound):
        await other.history("stu3", HistoryQuery("Patient", "mine"))
    assert not page.next_page


@pytest.mark.parametrize(
    "cursor", ["x", "1.2.3", "1.0.0.1.1.Patient", "99999999999999999999.0.0.1.1.Patient.x", "1.0.0.1.1.P.x y"]
)
async def test_a_cursor_that_is_none_is_refused(store: Store, cursor: str) -> None:
    with pytest.raises(Invalid):
        await store.history("stu3", HistoryQuery(cursor=cursor))


async def test_a_cursor_from_the_future_shows_no_more_than_is_settled(
    pool: asyncpg.Pool, store: Store
) -> None:
    async with pool.acquire() as connection, connection.transaction():
        await connection.fetchval("SELECT pg_current_xact_id()")
        await store.write("stu3", [put("late")])
        cursor = f"{2**63 - 1}.0.0.0.1.Patient.x"
        assert (await store.history("stu3", replace(EVERYTHING, cursor=cursor))).changes == ()


@pytest.mark.parametrize("by", ["seen", "bundle"])
async def test_a_poller_misses_nothing_of_writers_that_commit_in_another_order(
    pool: asyncpg.Pool, store: Store, by: str
) -> None:
    """Writers get their place in the order and then wait for a resource that somebody holds, so that who came later
    commits first; the poller goes on from the largest lastUpdated it saw, or from that of the Bundle."""
    dice = random.Random(7)
    done = asyncio.Event()
    committed: set[str] = set()
    gates = [f"z-gate{n}" for n in range(2)]
    await store.write("stu3", [*(put(gate) for gate in gates), *(put(f"a-{n}") for n in range(6))])

    async def holder(gate: str) -> None:
        while not done.is_set():
            async with pool.acquire() as connection, connection.transaction():
                await connection.execute(
                    "SELECT FROM resource WHERE tenant = $1 AND id = $2 FOR UPDATE", store._tenant, gate
                )
                await asyncio.sleep(dice.random() * 0.03)
            await asyncio.sleep(0.002)

    async def writer(number: int) -> None:
        for turn in range(25):
            writes = [put(f"a-{number}"), put(f"w{number}-{turn}"), put(f"shared{dice.randrange(3)}")]
            if number < 4:
                writes.append(put(gates[number % 2]))
            written = await store.write("stu3", writes)
            committed.update(f"{w.stored.id}/{w.stored.version}" for w in written)

    seen: list[str] = []

    async def poll(since: datetime | None) -> datetime | None:
        query = HistoryQuery(since=since, oldest_first=True, count=50)
        page = await store.history("stu3", query)
        largest, bundle = since, page.settled
        while True:
            for change in page.changes:
                seen.append(f"{change.stored.id}/{change.stored.version}")
                largest = max(largest or change.stored.updated, change.stored.updated)
            if not page.next_page:
                return largest if by == "seen" else bundle
            page = await store.history("stu3", replace(query, cursor=page.next_page))

    async def poller() -> datetime | None:
        since = None
        while not done.is_set():
            since = await poll(since)
            await asyncio.sleep(0.003)
        return since

    polling = asyncio.create_task(poller())
    holding = [asyncio.create_task(holder(gate)) for gate in gates]
    await asyncio.gather(*(writer(n) for n in range(6)))
    done.set()
    await asyncio.gather(*holding)  # What is written behind an open transaction is shown when that has ended.
    await poll(await polling)
    assert committed - set(seen) == set()
    for name in ("shared0", "shared1", "shared2"):
        whole = [int(v.rpartition("/")[2]) for v in seen if v.startswith(f"{name}/")]
        firsts = list(dict.fromkeys(whole))
        assert firsts == sorted(firsts), "the versions of a resource come in their order"
