"""`schakel log retain` and `verify` on the database of a node, without the node."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from datetime import UTC, datetime
from pathlib import Path

import asyncpg
import pytest
import time_machine
from tests.fault.processes import URA, Site
from tests.followed import until

from schakel import config
from schakel.commands.log import retain, verify_log
from schakel.compose import node
from schakel.generic.identity.keys import read_key
from schakel.generic.logging import AuditLog, AuditWriter, Event, Sealer, Sealing, Wanted
from schakel.generic.logging.retention import LOCK, Retention, retaining
from schakel.kernel.outcomes import Invalid
from schakel.store.database import connect, disconnect

EVENT = Event(subtype="read", action="R", outcome="0", requester="22222222", holder=URA, patient="999911120")


async def sealed(pool: asyncpg.Pool, folder: Path) -> AuditLog:
    """A log with three sealed events, of which two are older than seven years."""
    tenant = await pool.fetchval(
        "INSERT INTO tenant (slug, ura, name) VALUES ('noord', $1, 'N') RETURNING id", URA
    )
    (folder / "seals").mkdir()
    log = AuditLog(AuditWriter(pool), tenant)
    sealer = Sealer(pool, {tenant: Sealing(URA, read_key(folder / "noord.jwk"))}, folder / "seals")
    for year in (2005, 2015, datetime.now(UTC).year - 6):
        with time_machine.travel(datetime(year, 1, 1, tzinfo=UTC)):
            await log.write(EVENT)
            await sealer.seal()
    return log


async def kinds(log: AuditLog) -> list[str]:
    """The kinds of the events in a log, newest first."""
    return [one.event.subtype for one in await log.search(Wanted())]


async def test_retention_is_an_event_and_leaves_a_log_that_verifies(
    make_database: Callable[[], Awaitable[str]], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    site = Site(tmp_path, address := await make_database(), log={"retention_years": 7})
    pool = await connect(address)
    log = await sealed(pool, tmp_path)
    assert await asyncio.to_thread(retain, None, site.config, None) == 0
    assert "2 events removed, past 7 years" in capsys.readouterr().out
    events = [one.event for one in await log.search(Wanted())]
    assert [one.subtype for one in events] == ["retention", "read"]
    assert "seals (1 to 2)" in events[0].explanation and events[0].action == "D"
    assert await asyncio.to_thread(verify_log, None, site.config, "noord") == 0
    said = capsys.readouterr().out
    assert "2 events removed at the end of the term" in said and "not sealed yet: 1 event" in said, said
    stated = site.config.read_text()
    site.config.write_text(stated.replace('"retention_years" = 7', '"retention_years" = 20'))
    assert await asyncio.to_thread(verify_log, None, site.config, "noord") == 1
    assert "WRONG seal 2: its events were removed within 20 years" in capsys.readouterr().out
    site.config.write_text(stated)
    assert await asyncio.to_thread(retain, None, site.config, URA) == 0
    assert "0 events removed" in capsys.readouterr().out
    await disconnect(pool)


async def test_a_running_node_removes_what_is_past_its_term(
    make_database: Callable[[], Awaitable[str]], tmp_path: Path
) -> None:
    term = {"retention_years": 7, "retention_seconds": 0.05}
    site = Site(tmp_path, address := await make_database(), log=term)
    pool = await connect(address)
    log = await sealed(pool, tmp_path)
    async with node(config.load(site.config)):

        async def removed() -> bool:
            return await kinds(log) == ["retention", "read"]

        await until(removed, 60)
    assert await asyncio.to_thread(verify_log, None, site.config, "noord") == 0
    await disconnect(pool)


async def test_one_process_at_a_time_removes_from_the_log_of_an_organisation(
    make_database: Callable[[], Awaitable[str]], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    site = Site(tmp_path, address := await make_database(), log={"retention_years": 7})
    pool = await connect(address)
    log = await sealed(pool, tmp_path)
    retention = Retention(pool, log, URA, "N", 7)
    async with pool.acquire() as other:
        await other.fetchval("SELECT pg_advisory_lock($1, $2)", LOCK, log.tenant)
        assert await retention.round() is None
        assert await asyncio.to_thread(retain, None, site.config, None) == 0
        assert "another process is removing" in capsys.readouterr().out
        assert await kinds(log) == ["read"] * 3
    rounds = await asyncio.gather(*(retention.round() for _ in range(4)))
    assert sum(removed or 0 for removed in rounds) == 2
    assert await kinds(log) == ["retention", "read"]
    await disconnect(pool)


async def test_with_an_interval_of_nothing_a_node_removes_nothing(
    make_database: Callable[[], Awaitable[str]], tmp_path: Path
) -> None:
    pool = await connect(await make_database())
    Site(tmp_path, "postgresql://nobody@127.0.0.1:1/x")
    log = await sealed(pool, tmp_path)
    terms = [Retention(pool, log, URA, "N", 7)]
    before = asyncio.all_tasks()
    async with retaining(terms, 0):
        assert asyncio.all_tasks() == before
    assert await kinds(log) == ["read"] * 3
    await disconnect(pool)


async def test_many_organisations_do_not_take_all_connections_to_end_their_terms(
    make_database: Callable[[], Awaitable[str]],
) -> None:
    dsn = await make_database()
    pool, beside = await connect(dsn, connections=2), await connect(dsn)
    tenants = [
        await beside.fetchval(
            "INSERT INTO tenant (slug, ura, name) VALUES ($1, $2, 'N') RETURNING id", f"n{n}", f"9000000{n}"
        )
        for n in range(6)
    ]
    logs = [AuditLog(AuditWriter(pool), tenant) for tenant in tenants]
    terms = [Retention(pool, log, URA, "N", 7) for log in logs]

    async def turns() -> list[int | None]:
        return [await one.round() for one in terms]

    async with retaining(terms, 3600):
        async with asyncio.timeout(8):  # Who waits for a connection gives up after ten seconds.
            await asyncio.sleep(0.2)
            done = await turns()
    assert set(done) <= {0, None}
    await disconnect(pool)
    await disconnect(beside)


@pytest.mark.parametrize("name", ["elders", "90000009"])
async def test_an_organisation_that_is_not_there_is_named(tmp_path: Path, name: str) -> None:
    site = Site(tmp_path, "postgresql://nobody@127.0.0.1:1/x")
    with pytest.raises(Invalid, match=name):
        verify_log(None, site.config, name)
    with pytest.raises(Invalid, match="--data"):
        verify_log(None, None, None)
