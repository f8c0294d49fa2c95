"""`schakel log retain` and `verify` on the database of a node, without the node."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from datetime import UTC, datetime
from pathlib import Path

import pytest
import time_machine
from tests.fault.processes import URA, Site

from schakel.commands.log import retain, verify_log
from schakel.generic.identity.keys import read_key
from schakel.generic.logging import AuditLog, AuditWriter, Event, Sealer, Sealing, Wanted
from schakel.kernel.outcomes import Invalid
from schakel.store.database import connect, disconnect

EVENT = Event(subtype="read", action="R", outcome="0", requester="22222222", holder=URA, patient="999911120")


async def test_retention_is_an_event_and_leaves_a_log_that_verifies(
    make_database: Callable[[], Awaitable[str]], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    site = Site(tmp_path, address := await make_database(), log={"retention_years": 7})
    pool = await connect(address)
    tenant = await pool.fetchval(
        "INSERT INTO tenant (slug, ura, name) VALUES ('noord', $1, 'N') RETURNING id", URA
    )
    folder = tmp_path / "seals"
    folder.mkdir()
    log = AuditLog(AuditWriter(pool), tenant)
    sealer = Sealer(pool, {tenant: Sealing(URA, read_key(tmp_path / "noord.jwk"))}, folder)
    for year in (2005, 2015, datetime.now(UTC).year - 6):
        with time_machine.travel(datetime(year, 1, 1, tzinfo=UTC)):
            await log.write(EVENT)
            await sealer.seal()
    assert await asyncio.to_thread(retain, None, site.config, None) == 0
    assert "2 events removed, past 7 years" in capsys.readouterr().out
    events = [one.event for one in await log.search(Wanted())]
    assert [one.subtype for one in events] == ["retention", "read"]
    assert "seals (1 to 2)" in events[0].explanation and events[0].action == "D"
    assert await asyncio.to_thread(verify_log, None, site.config, "noord") == 0
    said = capsys.readouterr().out
    assert "2 events removed at the end of the term" in said and "not sealed yet: 1 event" in said, said
    assert await asyncio.to_thread(retain, None, site.config, URA) == 0
    assert "0 events removed" in capsys.readouterr().out
    await disconnect(pool)


@pytest.mark.parametrize("name", ["elders", "90000009"])
async def test_an_organisation_that_is_not_there_is_named(tmp_path: Path, name: str) -> None:
    site = Site(tmp_path, "postgresql://nobody@127.0.0.1:1/x")
    with pytest.raises(Invalid, match=name):
        verify_log(None, site.config, name)
    with pytest.raises(Invalid, match="--data"):
        verify_log(None, None, None)
