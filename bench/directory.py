"""The query directory at size; `uv run python -m bench.directory [--organisations 200000]` is this alone.

The stand-in of the LRZa in a process of its own, over HTTP: the first load until the directory is in step, a run after
some hundred changes, runs when nothing changed, and finding the endpoint for an exchange.
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
from contextlib import asynccontextmanager
from datetime import timedelta
from pathlib import Path

import aiohttp
import asyncpg

from bench.credentials import HOST
from bench.directory_seed import endpoint, organisation, ura, write
from bench.facilities import answering
from bench.pair import free_row, temporary_folder
from bench.report import Figure, hardware, table
from schakel.demo import toml
from schakel.demo.processes import RegionProcess
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
from schakel_national.__main__ import FACILITIES
from schakel_national.lrza.register import Register

CHANGES = 300
_PAGE = 1000
_LOOKUPS, _WARM_UP, _ROUNDS = 2000, 300, 5
_IDLE = 20
_INTERVAL = timedelta(minutes=15)
_NAME = "lrza"


async def at_size(organisations: int) -> list[Figure]:
    """Measures with so many organisations, each with an endpoint."""
    folder = temporary_folder()
    try:
        async with await EmbeddedServer.start(folder / "postgres") as server:
            dsn = await server.ensure_database("directory", "directory", "secret")
            pool = await connect(dsn, statement_seconds=600)
            try:
                async with _central(folder, organisations) as base:
                    return await _measured(dsn, pool, folder, base, organisations)
            finally:
                await disconnect(pool)
    finally:
        shutil.rmtree(folder, ignore_errors=True)


async def _measured(
    dsn: str, pool: asyncpg.Pool, folder: Path, base: str, organisations: int
) -> list[Figure]:
    tenant = await tenant_of(pool, "", "", "Query directory", DIRECTORY)
    replica = Replica(pool, Store(pool, tenant, RidBlocks()), Ledger(pool, tenant))
    following = Following(dsn, replica, [CentralFeeder(_NAME, base, _open, _INTERVAL)])
    await following.align()
    loading, used = time.monotonic(), time.process_time()
    first = await following.run(_NAME)
    loading, used = time.monotonic() - loading, time.process_time() - used
    assert first.applied.created == 2 * organisations, first
    _change(folder)
    changing = time.monotonic()
    second = await following.run(_NAME)
    changing = time.monotonic() - changing
    assert second.applied.updated == CHANGES, second
    idling, resting = time.monotonic(), time.process_time()
    for _ in range(_IDLE):
        assert not (await following.run(_NAME)).applied.updated
    idling, resting = (time.monotonic() - idling) / _IDLE, (time.process_time() - resting) / _IDLE
    async with pool.acquire() as connection:
        await connection.execute("ANALYZE")
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
        Figure("directory", "a run when nothing changed", idling * 1000, "ms", "less"),
        Figure(
            "directory",
            f"processor time of that, every {_INTERVAL.seconds // 60} minutes",
            resting * 1000,
            "ms",
            "less",
        ),
        *await _looked_up(pool, tenant, organisations),
    ]


def _change(folder: Path) -> None:
    """Gives the first organisations and endpoints another version."""
    register = Register(folder / "lrza.sqlite")
    with register.writing() as change:
        for number in range(1, CHANGES // 2 + 1):
            change.put(organisation(number, 2), "PUT")
            change.put(endpoint(number, 2), "PUT")
    register.close()


async def _looked_up(pool: asyncpg.Pool, tenant: int, organisations: int) -> list[Figure]:
    """Look-ups of an endpoint for the BgZ, one after the other, in the quietest of a few rounds: what else this machine
    does takes more than they do. Between them a statement that does nothing, as the reference."""
    directory, chance = QueryDirectory(pool, tenant), random.Random(1)
    rounds = []
    for number in range(_ROUNDS + 1):
        found, nothing = list[float](), list[float]()
        spent = time.process_time()
        for _ in range(_LOOKUPS if number else _WARM_UP):
            wanted = ura(chance.randint(1, organisations))
            began = time.perf_counter()
            address = await directory.find(wanted, "bgz")
            found.append((time.perf_counter() - began) * 1000)
            assert address.endpoint.startswith(f"https://fhir.example/{int(wanted)}/")
            async with pool.acquire() as connection:
                began = time.perf_counter()
                await connection.fetchval("SELECT $1::int", 1)
                nothing.append((time.perf_counter() - began) * 1000)
        if number:
            rounds.append((found, nothing, (time.process_time() - spent) / len(found) * 1000))
    found, nothing, used = min(rounds, key=lambda one: statistics.median(one[0]))
    beside = "a statement that does nothing"
    named = f"of {organisations:,}"
    return [
        Figure(
            "directory",
            f"p50 of finding an endpoint, {named}",
            statistics.median(found),
            "ms",
            "less",
            statistics.median(nothing),
            beside,
            1,
        ),
        Figure("directory", "p99 of the same", _late(found), "ms", "less", _late(nothing), beside),
        Figure("directory", "processor time of the node for both", used, "ms", "less"),
    ]


def _late(taken: list[float]) -> float:
    return sorted(taken)[int(len(taken) * 0.99)]


@asynccontextmanager
async def _open(base: str) -> AsyncIterator[Remote]:
    async with Facility.open(_NAME, base, None, FacilityRules(timeout=60, most=20_000_000)) as facility:
        yield Remote(facility)


@asynccontextmanager
async def _central(folder: Path, organisations: int) -> AsyncIterator[str]:
    """The FHIR base of the central directory, which is there when it has all of them."""
    write(folder / "lrza.ndjson", organisations)
    told: dict[str, toml.Value] = {
        "seed": "lrza.ndjson",
        "tls": False,
        "open_reading": True,
        "page_size": _PAGE,
    }
    (folder / "lrza.toml").write_text(toml.document(told))
    first = free_row(len(FACILITIES))
    options = ["--folder", str(folder), "--host", HOST, "--port", str(first), "--only", _NAME]
    program = [sys.executable, "-P", "-m", "schakel_national", *options]
    process = await RegionProcess.start(_NAME, "the stand-in of the LRZa", program, folder / "lrza.log")
    try:
        base = f"http://{HOST}:{first + list(FACILITIES).index(_NAME)}/fhir"
        async with aiohttp.ClientSession() as session:
            await answering(session, process, f"{base}/metadata", seconds=600)
        yield base
    finally:
        await process.stop()


def main() -> None:
    """Runs this scenario alone."""
    parser = argparse.ArgumentParser(prog="bench.directory", description=__doc__)
    parser.add_argument("--organisations", type=int, default=200_000, metavar="N")
    options = parser.parse_args()
    machine = hardware()
    print(f"\n{machine}\n\n{table(asyncio.run(at_size(options.organisations)))}")


if __name__ == "__main__":
    main()
