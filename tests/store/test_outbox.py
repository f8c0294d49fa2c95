"""The outbox: what is written is told once to who follows, in the order of commit, and to nobody else."""

from __future__ import annotations

import asyncio
import random
from collections.abc import AsyncIterator, Sequence

import asyncpg
import pytest
import pytest_asyncio
from tests.registering import data, gone, patient

from schakel.generic.consent import Objections
from schakel.store import outbox
from schakel.store.connection import Connection
from schakel.store.database import connect, disconnect
from schakel.store.embedded import EmbeddedServer
from schakel.store.resources import Store
from schakel.store.writing import RidBlocks

BSN = "999900006"


@pytest_asyncio.fixture(scope="module", loop_scope="session")
async def pool(cluster: EmbeddedServer) -> AsyncIterator[asyncpg.Pool]:
    opened = await connect(await cluster.ensure_database("outbox", "outbox", "secret"), connections=12)
    yield opened
    await disconnect(opened)
    await cluster.drop_database("outbox", "outbox")


_tenants = iter(range(1, 100))


class Place:
    """A tenant with its store; `told` is what the receiver got."""

    def __init__(self, pool: asyncpg.Pool) -> None:
        self.pool, self.tenant = pool, next(_tenants)
        self.store = Store(pool, self.tenant, RidBlocks())
        self.told: list[outbox.Message] = []

    async def follow(self, name: str = "a") -> bool:
        async with self.pool.acquire() as connection, connection.transaction():
            return await outbox.follow(connection, self.tenant, name)

    async def unfollow(self, name: str = "a") -> None:
        async with self.pool.acquire() as connection, connection.transaction():
            await outbox.unfollow(connection, self.tenant, name)

    async def receive(self, _connection: Connection, tenant: int, messages: Sequence[outbox.Message]) -> None:
        assert tenant == self.tenant
        self.told += messages

    async def turns(self, name: str = "a", most: int = 3) -> None:
        """Takes all there is."""
        while await outbox.turn(self.pool, [self.tenant], name, self.receive, most):
            pass

    async def rows(self) -> int:
        number: int = await self.pool.fetchval("SELECT count(*) FROM outbox WHERE tenant = $1", self.tenant)
        return number

    def subjects(self) -> list[tuple[str, tuple[str, ...]]]:
        return [(message.subject, message.types) for message in self.told]


@pytest.fixture
def place(pool: asyncpg.Pool) -> Place:
    return Place(pool)


async def test_without_anybody_who_follows_nothing_is_kept(place: Place) -> None:
    await place.store.write("r4", [patient("p"), data("Condition", "c", "p")])
    assert await place.rows() == 0


async def test_a_transaction_tells_of_each_patient_once(place: Place) -> None:
    await place.follow()
    await place.store.write(
        "r4", [patient("p"), patient("q"), data("Condition", "c", "p"), data("Flag", "f", "p")]
    )
    assert await place.rows() == 2
    await place.turns()
    assert place.subjects() == [("p", ("Condition", "Flag", "Patient")), ("q", ("Patient",))]
    assert {(one.topic, one.fhir) for one in place.told} == {("patient", 4)}
    assert await place.rows() == 0, "nobody else waits for it"


async def test_a_delete_a_move_and_an_erasure_are_told_of(place: Place) -> None:
    await place.store.write("r4", [patient("p"), patient("q"), data("Condition", "c", "p")])
    await place.follow()
    await place.store.write("r4", [data("Condition", "c", "q")])
    await place.store.write("r4", [gone("Condition", "c")])
    await place.store.purge("r4", "q", "test", "test")
    await place.turns()
    assert [subject for subject, _ in place.subjects()] == ["p", "q", "q", "q"]


async def test_what_is_undone_is_not_told(place: Place) -> None:
    await place.follow()
    with pytest.raises(Exception, match="another entry"):
        await place.store.write("r4", [patient("p"), patient("p")])
    assert await place.rows() == 0


async def test_an_objection_is_told_when_it_is_made_and_when_it_ends(place: Place) -> None:
    await place.follow()
    objections = Objections(place.pool, place.tenant)
    made = await objections.write(BSN, by="test")
    await objections.end(made.id, by="test")
    await place.turns()
    assert [(one.topic, one.subject) for one in place.told] == [("objection", BSN)] * 2


async def test_each_who_follows_has_its_own_place(place: Place) -> None:
    assert await place.follow("a") and not await place.follow("a")
    await place.store.write("r4", [patient("p")])
    await place.follow("b")
    await place.store.write("r4", [patient("q")])
    await place.turns("b")
    assert place.subjects() == [("q", ("Patient",))]
    await place.turns("a")
    assert place.subjects()[1:] == [("p", ("Patient",)), ("q", ("Patient",))]
    await place.store.write("r4", [patient("r")])
    await place.turns("b")
    assert await place.rows() == 1
    await place.unfollow("a")
    assert await place.rows() == 0


async def test_a_receiver_that_fails_gets_it_again(place: Place) -> None:
    await place.follow()
    await place.store.write("r4", [patient("p")])

    async def fail(connection: Connection, tenant: int, messages: Sequence[outbox.Message]) -> None:
        raise RuntimeError

    with pytest.raises(RuntimeError):
        await outbox.turn(place.pool, [place.tenant], "a", fail)
    await place.turns()
    assert place.subjects() == [("p", ("Patient",))]


async def test_two_who_take_turns_take_nothing_twice(place: Place) -> None:
    await place.follow()
    for number in range(20):
        await place.store.write("r4", [patient(f"p{number}")])
    await asyncio.gather(*(place.turns() for _ in range(4)))
    await place.turns()
    assert [subject for subject, _ in place.subjects()] == [f"p{number}" for number in range(20)]


async def test_nothing_is_told_before_what_was_begun_earlier(place: Place) -> None:
    await place.follow()
    async with place.pool.acquire() as connection:
        transaction = connection.transaction()
        await transaction.start()
        await outbox.enter(connection, place.tenant)
        await outbox.tell(connection, place.tenant, outbox.OBJECTION, "first")
        await place.store.write("r4", [patient("second")])
        await place.turns()
        assert place.told == []
        await transaction.commit()
    await place.turns()
    assert [message.subject for message in place.told] == ["first", "second"]


async def test_whoever_begins_to_follow_while_many_write_misses_nothing(place: Place) -> None:
    """What was not told is in the data by the time that following has begun."""
    begun = asyncio.Event()
    here: set[str] = set()

    async def write(number: int) -> None:
        await asyncio.sleep(random.random() * 0.1)
        await place.store.write("r4", [patient(f"p{number}")])

    async def begin() -> None:
        await asyncio.sleep(0.05)
        await place.follow()
        rows = await place.pool.fetch("SELECT id FROM resource WHERE tenant = $1", place.tenant)
        here.update(row["id"] for row in rows)
        begun.set()

    await asyncio.gather(begin(), *(write(number) for number in range(60)))
    assert begun.is_set()
    await place.turns(most=50)
    told = {message.subject for message in place.told}
    assert here | told == {f"p{number}" for number in range(60)}
    assert len(told) == len(place.told)
