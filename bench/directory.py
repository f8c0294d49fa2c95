"""The query directory at size; `uv run python -m bench.directory [--organisations 200000]` is this alone.

A central directory in a process of its own, over HTTP: the first load until the directory is in step, a run after some
hundred changes, and finding the endpoint for an exchange.
"""

from __future__ import annotations

import argparse
import asyncio
import random
import shutil
import statistics
import sys
import time
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, suppress
from datetime import timedelta
from pathlib import Path

import aiohttp
import asyncpg

from bench.directory_peer import ura
from bench.pair import temporary_folder
from bench.report import Figure, hardware, table
from schakel.facilities import Facility, FacilityRules
from schakel.generic.addressing import QueryDirectory
from schakel.generic.addressing.ledger import Ledger
from schakel.generic.addressing.replica import Replica
from schakel.generic.addressing.sync import CentralFeeder, Following, Remote
from schakel.store.database import connect, disconnect
from schakel.store.embedded import EmbeddedServer
from schakel.store.resources import Store
from schakel.store.tenants import DIRECTORY, tenant_of
from schakel.store.writing import RidBlocks

CHANGES = 300
_LOOKUPS = 3000
_NAME = "lrza"


async def at_size(organisations: int) -> list[Figure]:
    """Measures with so many organisations, each with an endpoint."""
    folder = temporary_folder()
    try:
        async with await EmbeddedServer.start(folder / "postgres") as server, _peer(organisations) as base:
            dsn = await server.ensure_database("directory", "directory", "secret")
            pool = await connect(dsn, statement_seconds=600)
            try:
                return await _measured(dsn, pool, base, organisations)
            finally:
                await disconnect(pool)
    finally:
        shutil.rmtree(folder, ignore_errors=True)


async def _measured(dsn: str, pool: asyncpg.Pool, base: str, organisations: int) -> list[Figure]:
    tenant = await tenant_of(pool, "", "", "Query directory", DIRECTORY)
    replica = Replica(pool, Store(pool, tenant, RidBlocks()), Ledger(pool, tenant))
    following = Following(dsn, replica, [CentralFeeder(_NAME, base, _open, timedelta(hours=1))])
    await following.align()
    loading, used = time.monotonic(), time.process_time()
    first = await following.run(_NAME)
    loading, used = time.monotonic() - loading, time.process_time() - used
    assert first.applied.created == 2 * organisations, first
    async with aiohttp.ClientSession() as session:
        await session.post(f"{base.removesuffix('/fhir')}/change?number={CHANGES // 2}")
    changing = time.monotonic()
    second = await following.run(_NAME)
    changing = time.monotonic() - changing
    assert second.applied.updated == CHANGES, second
    async with pool.acquire() as connection:
        await connection.execute("ANALYZE")
    taken = await _looked_up(QueryDirectory(pool, tenant), organisations)
    named = f"{organisations:,} organisations with an endpoint"
    return [
        Figure(
            "directory", f"first load of {named}", loading, "s", "less", goal=300 * organisations / 200_000
        ),
        Figure("directory", "resources a second in that load", 2 * organisations / loading, "/s", "more"),
        Figure(
            "directory", "processor time of the node", used / organisations * 500, "ms a resource", "less"
        ),
        Figure("directory", f"a run after {CHANGES} changes", changing, "s", "less", goal=5),
        Figure(
            "directory",
            f"p50 of finding an endpoint, of {named}",
            statistics.median(taken),
            "ms",
            "less",
            goal=1,
        ),
        Figure("directory", "p99 of the same", sorted(taken)[int(len(taken) * 0.99)], "ms", "less"),
    ]


async def _looked_up(directory: QueryDirectory, organisations: int) -> list[float]:
    """Milliseconds of each look-up of an endpoint for the BgZ, one after the other; those that warm up are left out."""
    chance = random.Random(1)
    taken = []
    for number in range(_LOOKUPS + 200):
        wanted = ura(chance.randint(1, organisations))
        began = time.perf_counter()
        found = await directory.find(wanted, "bgz")
        if number >= 200:
            taken.append((time.perf_counter() - began) * 1000)
        assert found.endpoint.startswith(f"https://fhir.example/{int(wanted)}/")
    return taken


@asynccontextmanager
async def _open(base: str) -> AsyncIterator[Remote]:
    async with Facility.open(_NAME, base, None, FacilityRules(timeout=60, most=20_000_000)) as facility:
        yield Remote(facility)


@asynccontextmanager
async def _peer(organisations: int) -> AsyncIterator[str]:
    """The FHIR base of the central directory."""
    process = await asyncio.create_subprocess_exec(
        sys.executable,
        "-m",
        "bench.directory_peer",
        str(organisations),
        stdout=asyncio.subprocess.PIPE,
        cwd=Path(__file__).parent.parent,
    )
    try:
        assert process.stdout is not None
        yield f"http://127.0.0.1:{int(await process.stdout.readline())}/fhir"
    finally:
        with suppress(ProcessLookupError):
            process.kill()
        await process.wait()


def main() -> None:
    """Runs this scenario alone."""
    parser = argparse.ArgumentParser(prog="bench.directory", description=__doc__)
    parser.add_argument("--organisations", type=int, default=200_000, metavar="N")
    figures = asyncio.run(at_size(parser.parse_args().organisations))
    print(f"\n{hardware()}\n")
    print(table(figures))


if __name__ == "__main__":
    main()
