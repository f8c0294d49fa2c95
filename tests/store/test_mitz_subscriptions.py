"""Subscriptions at Mitz: wanted once, asked until Mitz took or refused it, by whichever process is alive."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from datetime import date, timedelta

import asyncpg
import pytest
import pytest_asyncio
from aiohttp import web
from tests.mitz import BSN, OTHER_BSN, Handler, Register, Trusting, facility, register

from schakel.facilities import FacilityRules
from schakel.generic.consent import Subscriber, Subscriptions, SubscriptionWork
from schakel.generic.consent.mitz import Mitz
from schakel.kernel.outcomes import Invalid, NotFound
from schakel.store.database import connect
from schakel.store.embedded import EmbeddedServer

BORN = date(1970, 1, 1)
US = Subscriber("11111111", "V6", "https://node.example.org/a/mitz/notify", "2.16.840.1.1", "2.16.840.1.2")


@pytest.fixture(scope="module")
def trusting(tmp_path_factory: pytest.TempPathFactory) -> Trusting:
    return Trusting.made(tmp_path_factory.mktemp("mitz"))


@pytest_asyncio.fixture(scope="module", loop_scope="session")
async def pool(cluster: EmbeddedServer) -> AsyncIterator[asyncpg.Pool]:
    opened = await connect(await cluster.ensure_database("subscriptions", "subscriptions", "secret"))
    yield opened
    await opened.close()
    await cluster.drop_database("subscriptions", "subscriptions")


@pytest_asyncio.fixture(loop_scope="session")
async def wanted(pool: asyncpg.Pool) -> Subscriptions:
    await pool.execute("TRUNCATE mitz_subscription")
    return Subscriptions(pool, 1)


def answering(*statuses: int, **headers: str) -> Handler:
    """Gives these statuses one after the other, the last for ever."""

    async def handler(there: Register, _request: web.Request, _body: bytes) -> web.StreamResponse:
        status = statuses[min(len(there.asked), len(statuses)) - 1]
        return web.Response(status=status, headers={"Location": "Subscription/7", **headers})

    return handler


@asynccontextmanager
async def work(
    pool: asyncpg.Pool, trusting: Trusting, handler: Handler, lease: float = 60
) -> AsyncIterator[tuple[SubscriptionWork, Register]]:
    rules = FacilityRules(timeout=20.0, failures=100)
    async with (
        register(trusting, handler) as there,
        facility(trusting, there.port, rules=rules) as connection,
    ):
        yield SubscriptionWork(pool, Mitz(connection), {1: US}, timedelta(seconds=lease), 0.05), there


async def due(pool: asyncpg.Pool) -> None:
    """What waits for its turn has waited long enough."""
    await pool.execute("UPDATE mitz_subscription SET run_after = now() - interval '1 s' WHERE tenant = 1")


async def test_a_subscription_is_asked_and_then_active(
    pool: asyncpg.Pool, trusting: Trusting, wanted: Subscriptions
) -> None:
    made = await wanted.want(BSN, BORN)
    assert (made.state, made.attempts) == ("waiting", 0)
    async with work(pool, trusting, answering(202)) as (worker, there):
        assert await worker.turn() is True
        assert await worker.turn() is False
    [found] = await wanted.list()
    assert (found.id, found.state, found.location, found.error) == (made.id, "active", "Subscription/7", "")
    assert there.asked[0][0].headers["X-Request-Id"] == made.id


async def test_wanting_it_again_is_the_same_subscription(
    pool: asyncpg.Pool, trusting: Trusting, wanted: Subscriptions
) -> None:
    made = await asyncio.gather(*(wanted.want(BSN, BORN) for _ in range(10)))
    assert len({one.id for one in made}) == 1
    async with work(pool, trusting, answering(201)) as (worker, there):
        while await worker.turn():
            pass
        assert (await wanted.want(BSN, BORN)).state == "active"
        assert await worker.turn() is False
        assert len(there.asked) == 1


async def test_another_date_of_birth_is_asked_again(
    pool: asyncpg.Pool, trusting: Trusting, wanted: Subscriptions
) -> None:
    async with work(pool, trusting, answering(201)) as (worker, there):
        await wanted.want(BSN, BORN)
        await worker.turn()
        assert (await wanted.want(BSN, date(1971, 1, 1))).state == "waiting"
        await worker.turn()
    assert [b"1970-01-01" in body for _, body in there.asked] == [True, False]


@pytest.mark.parametrize("status", [400, 404, 422])
async def test_what_mitz_refuses_is_not_asked_again_until_it_is_wanted_again(
    pool: asyncpg.Pool, trusting: Trusting, wanted: Subscriptions, status: int
) -> None:
    await wanted.want(BSN, BORN)
    async with work(pool, trusting, answering(status, 201)) as (worker, there):
        await worker.turn()
        await due(pool)
        assert await worker.turn() is False
        [refused] = await wanted.list("refused")
        assert refused.error == f"answered {status}"
        await wanted.want(BSN, BORN)
        await worker.turn()
        assert [one.state for one in await wanted.list()] == ["active"]
        assert len(there.asked) == 2


@pytest.mark.parametrize("status", [401, 403, 429, 500, 503])
async def test_what_may_pass_is_asked_again_later_and_later(
    pool: asyncpg.Pool, trusting: Trusting, wanted: Subscriptions, status: int
) -> None:
    await wanted.want(BSN, BORN)
    pauses = []
    async with work(pool, trusting, answering(*[status] * 3, 201)) as (worker, _):
        for _ in range(3):
            await worker.turn()
            assert await worker.turn() is False
            pauses.append(
                await pool.fetchval(
                    "SELECT round(extract(epoch FROM run_after - changed)) FROM mitz_subscription WHERE tenant = 1"
                )
            )
            await due(pool)
        [waiting] = await wanted.list("waiting")
        assert (waiting.attempts, waiting.error) == (3, f"answered {status}")
        await worker.turn()
    assert pauses == [2, 4, 8]
    assert [one.state for one in await wanted.list()] == ["active"]


async def test_a_pause_that_mitz_names_is_kept(
    pool: asyncpg.Pool, trusting: Trusting, wanted: Subscriptions
) -> None:
    await wanted.want(BSN, BORN)
    async with work(pool, trusting, answering(429, **{"Retry-After": "900"})) as (worker, _):
        await worker.turn()
    pause = await pool.fetchval(
        "SELECT round(extract(epoch FROM run_after - changed)) FROM mitz_subscription WHERE tenant = 1"
    )
    assert pause == 900


async def test_nobody_asks_beside_a_worker_and_another_takes_over_when_it_is_gone(
    pool: asyncpg.Pool, trusting: Trusting, wanted: Subscriptions
) -> None:
    made = await wanted.want(BSN, BORN)
    hanging = asyncio.Event()

    async def handler(there: Register, _request: web.Request, _body: bytes) -> web.StreamResponse:
        if len(there.asked) == 1:
            hanging.set()
            await asyncio.sleep(10)
        return web.Response(status=201)

    async with work(pool, trusting, handler, lease=0.5) as (worker, there):
        gone = asyncio.create_task(worker.turn())
        await hanging.wait()
        assert await worker.turn() is False
        gone.cancel()
        await asyncio.sleep(0.6)
        assert await worker.turn() is True
        assert [request.headers["X-Request-Id"] for request, _ in there.asked] == [made.id] * 2
    assert [one.state for one in await wanted.list()] == ["active"]


async def test_several_workers_ask_each_once(
    pool: asyncpg.Pool, trusting: Trusting, wanted: Subscriptions
) -> None:
    numbers = [n for n in range(999900000, 999901000) if _passes(n)][:30]
    for number in numbers:
        await wanted.want(str(number), BORN)
    async with work(pool, trusting, answering(201)) as (worker, there):
        async with worker.working(), worker.working(), asyncio.timeout(20):
            while await wanted.list("waiting"):  # noqa: ASYNC110
                await asyncio.sleep(0.05)
        assert len(there.asked) == len(numbers)


def _passes(number: int) -> bool:
    digits = [int(digit) for digit in str(number)]
    return (sum(w * d for w, d in zip(range(9, 1, -1), digits, strict=False)) - digits[8]) % 11 == 0


async def test_what_ended_is_not_asked_and_may_be_wanted_anew(
    pool: asyncpg.Pool, trusting: Trusting, wanted: Subscriptions
) -> None:
    first = await wanted.want(BSN, BORN)
    with pytest.raises(NotFound):
        await wanted.end("999990019")
    assert [(await wanted.end(BSN)).id for _ in range(2)] == [first.id] * 2
    async with work(pool, trusting, answering(201)) as (worker, there):
        assert await worker.turn() is False
        assert (await wanted.want(BSN, BORN)).id != first.id
        await worker.turn()
    assert len(there.asked) == 1
    assert len(await wanted.list()) == 1 and len(await wanted.list("ended")) == 1


async def test_a_subscription_that_ends_while_it_is_asked_stays_ended(
    pool: asyncpg.Pool, trusting: Trusting, wanted: Subscriptions
) -> None:
    await wanted.want(BSN, BORN)

    async def handler(_there: Register, _request: web.Request, _body: bytes) -> web.StreamResponse:
        await wanted.end(BSN)
        return web.Response(status=201)

    async with work(pool, trusting, handler) as (worker, _):
        await worker.turn()
    assert await wanted.list() == []


async def test_the_list_goes_on_after_an_id(wanted: Subscriptions) -> None:
    for bsn in (BSN, OTHER_BSN):
        await wanted.want(bsn, BORN)
    [first] = await wanted.list(count=1)
    [second] = await wanted.list(after=first.id)
    assert {first.patient, second.patient} == {BSN, OTHER_BSN}
    assert await wanted.list(after=second.id) == []


async def test_a_neighbour_sees_and_ends_nothing(pool: asyncpg.Pool, wanted: Subscriptions) -> None:
    await wanted.want(BSN, BORN)
    neighbour = Subscriptions(pool, 2)
    assert await neighbour.list() == []
    with pytest.raises(NotFound):
        await neighbour.end(BSN)


@pytest.mark.parametrize(
    ("bsn", "born"), [("999911121", BORN), (BSN, date(1800, 1, 1)), (BSN, date(2999, 1, 1))]
)
async def test_a_subscription_on_nobody_is_refused(wanted: Subscriptions, bsn: str, born: date) -> None:
    with pytest.raises(Invalid):
        await wanted.want(bsn, born)
