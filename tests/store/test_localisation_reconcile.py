"""Our registrations against the records of the index: what differs is shown, and mended as far as it is ours."""

from __future__ import annotations

from collections.abc import AsyncIterator

import asyncpg
import pytest
import pytest_asyncio
from tests.nvi import FakePseudonyms, away
from tests.registering import BSN, OTHER_BSN, URA, World, data, patient, rule

from schakel.facilities import FacilityAway
from schakel.generic.localisation.reconcile import Differences, differences, repair
from schakel.generic.pseudonyms import Recipient
from schakel.store.database import connect, disconnect
from schakel.store.embedded import EmbeddedServer

STRANGER = "999900092"


@pytest_asyncio.fixture(scope="module", loop_scope="session")
async def pool(cluster: EmbeddedServer) -> AsyncIterator[asyncpg.Pool]:
    opened = await connect(await cluster.ensure_database("reconciling", "reconciling", "secret"))
    yield opened
    await disconnect(opened)
    await cluster.drop_database("reconciling", "reconciling")


@pytest_asyncio.fixture(loop_scope="session")
async def world(pool: asyncpg.Pool) -> World:
    """One patient registered, another here without data."""
    made = World(pool)
    made.restart(rule("Condition"))
    await made.write(patient("p", BSN), patient("q", OTHER_BSN), data("Condition", "c", "p"))
    await made.settle()
    return made


async def compared(world: World, pseudonyms: FakePseudonyms | None = None) -> Differences:
    client = world.index.client(URA, pseudonyms or world.pseudonyms)
    return await differences(world.pool, world.tenant, client)


async def mended(world: World, pseudonyms: FakePseudonyms | None = None) -> Differences:
    """What differs after mending."""
    client = world.index.client(URA, pseudonyms or world.pseudonyms)
    await repair(world.pool, world.tenant, client, await compared(world, pseudonyms))
    world.restart(*world.rules, client=client)
    await world.settle()
    return await compared(world, pseudonyms)


async def test_nothing_differs(world: World) -> None:
    found = await compared(world)
    assert not found and (found.here, found.there) == (1, 1)


async def test_a_record_that_vanished_there_is_made_again(world: World) -> None:
    world.index.records.clear()
    found = await compared(world)
    assert [row.category for row in found.missing] == ["Condition"]
    assert not await mended(world) and world.index.patients(URA) == {(BSN, "")}


async def test_a_second_record_of_a_patient_is_removed(world: World) -> None:
    extra = world.index.add(BSN, URA)
    found = await compared(world)
    assert [(who, one.id) for who, one in found.duplicates] == [(BSN, extra)]
    assert not await mended(world) and extra not in world.index.records and len(world.index.records) == 1


async def test_a_record_of_a_patient_without_data_is_removed(world: World) -> None:
    extra = world.index.add(OTHER_BSN, URA)
    assert [(who, one.id) for who, one in (await compared(world)).unknown] == [(OTHER_BSN, extra)]
    assert not await mended(world) and extra not in world.index.records


async def test_a_record_of_nobody_here_is_removed(world: World) -> None:
    extra = world.index.add(STRANGER, URA)
    assert [one.id for one in (await compared(world)).nobody] == [extra]
    assert not await mended(world) and extra not in world.index.records


async def test_what_is_not_ours_is_neither_shown_nor_touched(world: World) -> None:
    others = {world.index.add(BSN, URA, "another-system"), world.index.add(BSN, "90000002")}
    assert not await compared(world)
    await mended(world)
    assert others <= set(world.index.records)


async def test_what_was_registered_under_another_recipient_is_registered_anew(world: World) -> None:
    moved = FakePseudonyms(recipient="oin:00000099000000009000")
    [old] = world.index.records
    found = await compared(world, moved)
    assert [row.record for row in found.other_key] == [old]
    assert not await mended(world, moved)
    [held] = world.index.records.values()
    assert held.id != old and held.patient.startswith("oin-00000099000000009000.")
    assert (await world.rows())["Condition"].recipient == moved.recipient


async def test_what_was_registered_while_persons_were_written_otherwise_is_registered_anew(
    world: World,
) -> None:
    """`prs.person` is part of the key that is told as the scope (`Recipient.key`)."""
    other = FakePseudonyms(scope=Recipient("oin:00000099000000001000", "nvi", "blanks").key)
    [old] = world.index.records
    assert [row.record for row in (await compared(world, other)).other_key] == [old]
    assert not await mended(world, other)
    assert old not in world.index.records
    assert (await world.rows())["Condition"].scope == "nvi (blanks)"


async def test_a_record_that_a_worker_is_about_to_write_down_stays(world: World) -> None:
    await world.write(data("Condition", "d", "q"))
    world.index.after = lambda method, _p: (_ for _ in ()).throw(away()) if method == "POST" else None
    await world.work.settle()
    world.index.after = lambda _m, _p: None
    found = await compared(world)
    await repair(world.pool, world.tenant, world.index.client(URA, world.pseudonyms), found)
    assert len(world.index.records) == 2
    await world.due()
    await world.settle()
    assert not await compared(world) and len(world.index.records) == 2


async def test_an_index_that_is_away_differs_in_nothing(world: World) -> None:
    world.index.before = lambda _m, _p: (_ for _ in ()).throw(away())
    with pytest.raises(FacilityAway):
        await compared(world)
    assert await world.states() == {"Condition": "active"}
