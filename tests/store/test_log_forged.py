"""What somebody writes into the log, its seals or its file who is not the node: verification ends, and names it."""

from __future__ import annotations

import asyncio
import base64
import uuid
from collections.abc import AsyncIterator, Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path

import asyncpg
import orjson
import pytest
import pytest_asyncio
import time_machine
from tests.sealed import EVENT, KEY, OTHER_KEY, URA, Sealed

from schakel.generic.logging import Wanted, seal, seal_file
from schakel.generic.logging import sealer as sealer_module
from schakel.generic.logging.retention import expired, remove
from schakel.generic.logging.verify import Verified
from schakel.kernel.clock import now
from schakel.kernel.outcomes import Invalid
from schakel.store.database import connect
from schakel.store.embedded import EmbeddedServer

FAR = 10**15


@pytest_asyncio.fixture(scope="module", loop_scope="session")
async def pool(cluster: EmbeddedServer) -> AsyncIterator[asyncpg.Pool]:
    opened = await connect(await cluster.ensure_database("forged", "forged", "secret"))
    yield opened
    await opened.close()
    await cluster.drop_database("forged", "forged")


@pytest.fixture
def sealed(pool: asyncpg.Pool, tmp_path: Path) -> Sealed:
    return Sealed.new(pool, tmp_path)


@pytest.fixture(autouse=True)
def hurried(monkeypatch: pytest.MonkeyPatch) -> None:
    """No node runs beside these tests that could still be adding a seal to the file."""
    monkeypatch.setattr("schakel.generic.logging.verify._TRY_SECONDS", 0.001)


def said(verified: Verified) -> list[str]:
    return [str(one) for one in verified.findings]


# -- the file and the list of seals ------------------------------------------------------------------------------


def _unsigned(number: object) -> str:
    payload = {
        "organisation": URA,
        "number": number,
        "sealed": "2026-01-01T00:00:00Z",
        "previous": "",
        "count": 0,
        "events": "",
    }
    return f"x.{base64.urlsafe_b64encode(orjson.dumps(payload)).decode()}.x"


def _made(number: int, organisation: str = URA, other: bool = False) -> str:
    return seal.make(OTHER_KEY if other else KEY, organisation, number, now(), seal.FIRST, [])


@pytest.mark.parametrize(
    ("line", "why"),
    [
        (_unsigned(FAR), "is not signed with a key of this organisation"),
        (_made(FAR, other=True), "is not signed with a key of this organisation"),
        (_made(FAR, "33333333"), "is of organisation 33333333"),
        (_made(0), "has no number"),
        (_made(-1), "has no number"),
        (_made(1 << 63), "has no number"),
        (_unsigned("1"), "has no number"),
        (_unsigned(True), "has no number"),
        ("eyJhbGciOiAiRVMyNTYiLCAiY3JpdCI6IDF9" + _unsigned(1)[1:], "is not signed with a key of this organisation"),
    ],
)  # fmt: skip
async def test_a_forged_line_in_the_file_is_named_by_its_place_and_moves_nothing(
    sealed: Sealed, line: str, why: str
) -> None:
    for _ in range(3):
        await sealed.write(1)
    first, *others = sealed.lines
    sealed.file.write_text("\n".join((first, line, *others, "")))
    async with asyncio.timeout(10):
        verified = await sealed.verify()
    assert said(verified) == [f"line 2 of {URA}.seals {why}"]
    assert (verified.seals, verified.events) == (3, 3)


async def test_a_gap_is_one_finding_however_wide(sealed: Sealed) -> None:
    await sealed.write(1)
    seal_file.add(sealed.file, [_made(FAR)])  # Of somebody who has the key.
    async with asyncio.timeout(10):
        assert f"seal 2: the seals 2 to {FAR - 1} are missing" in said(await sealed.verify())


async def test_a_gap_in_the_database_is_one_finding_too(sealed: Sealed) -> None:
    await sealed.write(1)
    await sealed.tamper(
        f"INSERT INTO audit_seal (tenant, number, sealed, line) VALUES (TENANT, {FAR}, now(), 'x')"
    )
    async with asyncio.timeout(10):
        found = said(await sealed.verify())
    assert f"seal 2: the seals 2 to {FAR - 1} are missing" in found
    assert f"seal {FAR}: the seal cannot be read" in found


# -- events that were written in ---------------------------------------------------------------------------------


async def _written_in(sealed: Sealed, recorded: datetime, named: datetime) -> str:
    """An event that somebody puts into the database and onto the list, of one moment by its column and of another by
    its id; the node seals it."""
    event = uuid.UUID(int=int(named.timestamp() * 1000) << 80 | 0x7 << 76 | 0x2 << 62 | 1)
    await sealed.pool.execute(
        "WITH put AS (INSERT INTO audit_event (tenant, id, recorded, kind, outcome, requester, person, patient, "
        "decision, correlation, body) SELECT tenant, $2, $3, kind, outcome, requester, person, patient, decision, "
        "correlation, body FROM audit_event WHERE tenant = $1 LIMIT 1) INSERT INTO audit_unsealed VALUES ($1, $2)",
        sealed.tenant,
        event,
        recorded,
    )
    await sealed.sealer().seal()
    return str(event)


HOUR, MINUTE = timedelta(hours=1), timedelta(minutes=1)


@pytest.mark.parametrize(
    ("recorded", "named", "why"),
    [
        (-HOUR, -HOUR, "was recorded before events that were sealed earlier"),
        (HOUR, HOUR, "was recorded after it was sealed"),
        (-HOUR, 0 * HOUR, "has another time than its id says"),
        (0 * HOUR, -HOUR, "was recorded before events that were sealed earlier"),
    ],
)
async def test_an_event_that_was_written_in_at_another_time_is_named_though_it_was_sealed(
    sealed: Sealed, recorded: timedelta, named: timedelta, why: str
) -> None:
    await sealed.write(1)
    event = await _written_in(sealed, now() + recorded, now() + named)
    await sealed.write(1)
    found = (await sealed.verify()).findings
    assert {one.event for one in found} == {event}
    assert any(why in one.what for one in found)


async def test_a_second_event_that_was_written_in_is_named_as_the_first(sealed: Sealed) -> None:
    await sealed.write(1)
    events = [await _written_in(sealed, now() - n * HOUR, now() - n * HOUR) for n in (9, 8)]
    assert [one.event for one in (await sealed.verify()).findings] == events


@pytest.mark.parametrize("minutes", [-5, 5])
async def test_clocks_of_nodes_may_differ_by_some_minutes(sealed: Sealed, minutes: int) -> None:
    await sealed.write(1)
    await _written_in(sealed, now() + minutes * MINUTE, now() + minutes * MINUTE)
    assert said(await sealed.verify()) == []


async def test_what_could_not_be_sealed_for_days_is_no_finding(
    sealed: Sealed, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(sealer_module, "SEAL_EVENTS", 2)
    with time_machine.travel(datetime(2026, 1, 1, tzinfo=UTC)) as clock:
        await sealed.write(1)
        for day in range(2, 7):
            clock.move_to(datetime(2026, 1, day, tzinfo=UTC))
            await sealed.log.write(EVENT)  # No sealer runs.
        clock.move_to(datetime(2026, 1, 9, tzinfo=UTC))
        await sealed.write(1)
        verified = await sealed.verify()
    assert (said(verified), verified.seals, verified.events) == ([], 4, 7)


# -- the end of the term -----------------------------------------------------------------------------------------


@pytest.fixture
def clock() -> Iterator[time_machine.Traveller]:
    with time_machine.travel(datetime(2004, 5, 1, tzinfo=UTC)) as traveller:
        yield traveller


async def test_after_retention_the_hashes_stay_and_the_log_verifies(
    sealed: Sealed, clock: time_machine.Traveller
) -> None:
    old = await sealed.write(3)
    clock.move_to(datetime(2026, 1, 1, tzinfo=UTC))
    new = await sealed.write(2)
    assert await expired(sealed.pool, sealed.tenant, now(), 20) == (1,)
    assert await sealed.remove() == 3
    assert await expired(sealed.pool, sealed.tenant, now(), 20) == ()
    assert {one.id for one in await sealed.log.search(Wanted())} > set(new)
    assert await sealed.pool.fetchval("SELECT count(*) FROM decision WHERE tenant = $1", sealed.tenant) == 2
    verified = await sealed.verify()
    assert (said(verified), verified.events, verified.removed) == ([], 3, 3)
    assert [str(event) for event, _ in seal.read(sealed.lines[0]).leaves] == sorted(old)


async def test_a_removal_that_no_event_tells_is_found_however_old(
    sealed: Sealed, clock: time_machine.Traveller
) -> None:
    await sealed.write(3)
    clock.move_to(datetime(2026, 1, 1, tzinfo=UTC))
    await remove(sealed.pool, sealed.tenant, 1)
    assert said(await sealed.verify()) == [
        "seal 1: its events (3) were removed, and no event of that time says so"
    ]


async def test_an_event_tells_of_the_seals_it_names_and_of_no_other(
    sealed: Sealed, clock: time_machine.Traveller
) -> None:
    for year in (2004, 2005, 2006):
        clock.move_to(datetime(year, 6, 1, tzinfo=UTC))
        await sealed.write(1)
    clock.move_to(datetime(2025, 7, 1, tzinfo=UTC))
    await remove(sealed.pool, sealed.tenant, 1)
    assert await sealed.remove() == 1  # The second.
    clock.move_to(datetime(2026, 7, 1, tzinfo=UTC))
    await remove(sealed.pool, sealed.tenant, 3)
    verified = await sealed.verify()
    assert [one.seal for one in verified.findings] == [1, 3]
    assert verified.removed == 1


async def test_a_removal_within_the_term_of_the_organisation_is_found_though_the_law_allows_it(
    sealed: Sealed, clock: time_machine.Traveller
) -> None:
    await sealed.write(1)
    clock.move_to(datetime(2012, 1, 1, tzinfo=UTC))
    assert await sealed.remove(5) == 1
    assert said(await sealed.verify(years=5)) == []
    assert "seal 1: its events were removed within 20 years" in said(await sealed.verify())
    clock.move_to(datetime(2026, 1, 1, tzinfo=UTC))  # The term is over by now, and was not then.
    assert said(await sealed.verify()) == [
        "seal 1: its events (1) were removed, and no event of that time says so"
    ]


async def test_an_event_that_was_changed_tells_of_no_removal(
    sealed: Sealed, clock: time_machine.Traveller
) -> None:
    await sealed.write(1)
    clock.move_to(datetime(2026, 1, 1, tzinfo=UTC))
    assert await sealed.remove() == 1
    await sealed.tamper("UPDATE audit_event SET person = 'x' WHERE tenant = TENANT AND kind = 'retention'")
    assert [one.seal for one in (await sealed.verify()).findings] == [2, 1]


async def test_a_removal_counts_when_the_event_that_told_it_is_past_its_own_term(
    sealed: Sealed, clock: time_machine.Traveller
) -> None:
    await sealed.write(1)
    clock.move_to(datetime(2010, 1, 1, tzinfo=UTC))
    assert await sealed.remove(5) == 1
    clock.move_to(datetime(2016, 1, 1, tzinfo=UTC))
    assert await sealed.remove(5) == 1
    verified = await sealed.verify(years=5)
    assert (said(verified), verified.removed) == ([], 2)


async def test_what_went_without_a_record_of_it_is_missing_however_old(
    sealed: Sealed, clock: time_machine.Traveller
) -> None:
    await sealed.write(1)
    clock.move_to(datetime(2026, 1, 1, tzinfo=UTC))
    await sealed.pool.execute("DELETE FROM audit_event WHERE tenant = $1", sealed.tenant)
    assert "the event is missing" in [one.what for one in (await sealed.verify()).findings]


async def test_no_term_is_shorter_than_the_law_allows(sealed: Sealed) -> None:
    with pytest.raises(Invalid, match=r"log\.retention_years"):
        await expired(sealed.pool, sealed.tenant, now(), 4)


async def test_nothing_younger_than_five_years_can_be_removed(sealed: Sealed) -> None:
    [name] = await sealed.write(1)
    with pytest.raises(asyncpg.InsufficientPrivilegeError, match="younger than five years"):
        await remove(sealed.pool, sealed.tenant, 1)
    assert (await sealed.log.read(name)).id == name
    assert said(await sealed.verify()) == []
