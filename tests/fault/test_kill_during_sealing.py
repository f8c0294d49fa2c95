"""A node that is killed while it seals its log: afterwards every event is sealed once, and the log verifies."""

from __future__ import annotations

import asyncio
import contextlib
from collections import Counter
from pathlib import Path

import aiohttp
import asyncpg
import pytest
from tests.fault.processes import BSN, NAME, URA, Site, check_log, ehr, running_site, verified

from schakel.generic.logging import seal

pytestmark = pytest.mark.slow

KILLS = 4


async def _ask(client: aiohttp.ClientSession, site: Site, answered: list[int]) -> None:
    """Reads the log, which is an event each time, until the node is gone."""
    with contextlib.suppress(aiohttp.ClientError, OSError):
        while True:
            async with client.get(f"{site.internal}/noord/log/fhir/r4/AuditEvent?_count=1") as answer:
                await answer.read()
                answered.append(answer.status)


async def test_no_event_is_lost_or_sealed_twice_when_the_node_is_killed_while_it_seals(
    tmp_path: Path,
) -> None:
    async with running_site(tmp_path) as (site, database), ehr() as client:
        bearer = await site.let_in(client)
        file = site.config.parent / "seals" / f"{URA}.seals"
        answered: list[int] = []
        for kill in range(KILLS):
            askers = [asyncio.create_task(_ask(client, site, answered)) for _ in range(8)]
            await asyncio.sleep(1.3 + 0.17 * kill)
            await site.kill()
            await asyncio.gather(*askers)
            whole = file.read_bytes()
            file.write_bytes(whole[: len(whole) - 7 * kill])  # As a disk that had not written all of it.
            code, said = await verified(site)
            assert "event is" not in said and "changed" not in said, said
            await site.start()
        async with client.get(site.guarded_patient, headers=bearer) as answer:
            assert answer.status == 200
        await asyncio.sleep(1.5)
        code, said = await verified(site)
        assert code == 0 and "nothing is wrong" in said and "not sealed yet" not in said, said
        assert BSN not in said and NAME not in said
        held = Counter(
            str(event) for line in file.read_text().splitlines() for event, _ in seal.read(line).leaves
        )
        connection = await asyncpg.connect(database.address)
        try:
            rows = await connection.fetch("SELECT id FROM audit_event")
        finally:
            await connection.close()
        assert set(held) == {str(row["id"]) for row in rows} and set(held.values()) == {1}
        assert len(held) >= answered.count(200) > 50
        check_log(site, bearer)


async def test_what_was_taken_out_of_the_database_is_found_by_the_command(tmp_path: Path) -> None:
    async with running_site(tmp_path) as (site, database), ehr() as client:
        await site.let_in(client)
        await asyncio.sleep(1.5)
        connection = await asyncpg.connect(database.address)
        try:
            await connection.execute("ALTER TABLE audit_event DISABLE TRIGGER USER")
            taken = await connection.fetchval(
                "DELETE FROM audit_event WHERE id = (SELECT id FROM audit_event ORDER BY id LIMIT 1) RETURNING id"
            )
        finally:
            await connection.close()
        code, said = await verified(site)
        assert code == 1 and f"event {taken}: the event is missing" in said, said
