"""kill -9 of the node, and of the database, while a search parameter is built: the work goes on where it was, without
a hand, and afterwards everything is found once."""

from __future__ import annotations

import asyncio
from pathlib import Path
from typing import Any

import aiohttp
import asyncpg
import pytest
from tests.fault.processes import Database, Site, ehr, running_site
from tests.fhir_door import entry, patient, transaction
from tests.parameters import search_parameter, shoe

PATIENTS = 3000
SIZES = 5


async def _fill(client: aiohttp.ClientSession, site: Site) -> None:
    for start in range(0, PATIENTS, 1500):
        entries = [
            entry("PUT", f"Patient/p{n}", patient(f"p{n}", extension=shoe(f"size-{n % SIZES}")))
            for n in range(start, start + 1500)
        ]
        async with client.post(site.fhir, json=transaction(*entries)) as answer:
            assert answer.status == 200, await answer.text()


async def _until_under_way(client: aiohttp.ClientSession, address: str, more_than: int) -> int:
    """How much of the job is done, once that is more and not yet all."""
    async with asyncio.timeout(20):
        while True:
            async with client.get(address) as answer:
                job: dict[str, Any] = await answer.json()
            assert answer.status == 200 and job["state"] != "done", job
            if job["done"] > more_than:
                return int(job["done"])


async def _ended(client: aiohttp.ClientSession, address: str) -> dict[str, Any]:
    async with asyncio.timeout(60):
        while True:
            async with client.get(address) as answer:
                job: dict[str, Any] = await answer.json()
            if answer.status == 200 and job["state"] in ("done", "failed"):
                return job
            await asyncio.sleep(0.1)


async def _kill_node(site: Site, database: Database) -> None:
    await site.kill()
    await site.start()


async def _kill_database(site: Site, database: Database) -> None:
    await database.kill()
    await database.start()


@pytest.mark.parametrize("kill", [_kill_node, pytest.param(_kill_database, marks=pytest.mark.slow)])
async def test_building_a_search_parameter_goes_on_after_kill_9(open_folder: Path, kill: Any) -> None:
    async with running_site(open_folder) as (site, database), ehr() as client:
        await _fill(client, site)
        parameter = search_parameter()
        async with client.put(f"{site.fhir}/SearchParameter/shoe", json=parameter) as answer:
            assert answer.status == 201, await answer.text()
            address = answer.headers["X-Job"]
        done = 0
        for _ in range(2):
            before = done
            done = await _until_under_way(client, address, before)
            await kill(site, database)
            async with client.get(f"{site.front}/health/ready") as answer:
                await answer.read()
            await site.until_ready(client)
        job = await _ended(client, address)
        assert (job["state"], job["done"], job["total"]) == ("done", PATIENTS, PATIENTS), job
        for size in range(SIZES):
            query = f"{site.fhir}/Patient?shoe=size-{size}&_summary=count"
            async with client.get(query) as answer:
                assert (await answer.json(content_type="application/fhir+json"))["total"] == PATIENTS // SIZES
        await _check_rows(database)


async def _check_rows(database: Database) -> None:
    """Each resource has the row of its own value, and has it once."""
    connection = await asyncpg.connect(database.address)
    try:
        [found] = await connection.fetch(
            "SELECT count(*), count(DISTINCT rid) FROM index_token WHERE param LIKE '+%'"
        )
        assert tuple(found) == (PATIENTS, PATIENTS)
    finally:
        await connection.close()
