"""Loading many resources: the store's own writer, in processes of their own, straight into the database of a node.

Beside the HTTP door it leaves out the transport, the parsing and the check of the base structure; versions, index
rows, history, commits with fsync and statistics are those of any write. A job goes in on standard input (pickle,
from our own process).
"""

from __future__ import annotations

import asyncio
import os
import pickle
import sys
import time
from asyncio.subprocess import PIPE
from dataclasses import dataclass
from pathlib import Path

import asyncpg
import uvloop

from bench import records
from bench.pair import Place
from schakel.sources import Write
from schakel.store.database import connect, disconnect
from schakel.store.resources import Store
from schakel.store.sql import INDEX_TABLES
from schakel.store.writing import RidBlocks

_ROOT = Path(__file__).resolve().parents[1]
_RECORDS = 10
"""Laboratory records in one transaction: 1,000 resources."""


@dataclass(frozen=True, slots=True)
class Job:
    """The laboratory records of these people, by number, for the tenant `slug` of the database `dsn`."""

    dsn: str
    slug: str
    people: range


@dataclass(frozen=True, slots=True)
class Stored:
    """What stands in the tables of resources and their index (with all B-trees)."""

    resources: int
    rows: int
    size: int

    def since(self, before: Stored) -> Stored:
        return Stored(self.resources - before.resources, self.rows - before.rows, self.size - before.size)


async def load(place: Place, people: range) -> float:
    """Loads laboratory records into the database of a node, in as many processes as there are cores; returns the
    seconds it took, without the vacuum after it."""
    number = os.cpu_count() or 1
    began = time.monotonic()
    await asyncio.gather(
        *(_process(Job(place.dsn, place.slug, people[part::number])) for part in range(number))
    )
    seconds = time.monotonic() - began
    await vacuum(place)
    return seconds


async def vacuum(place: Place) -> None:
    """What PostgreSQL does by itself in time, now."""
    connection = await asyncpg.connect(place.dsn)
    try:
        await connection.execute(f"VACUUM (ANALYZE) resource, {', '.join(INDEX_TABLES)}")
    finally:
        await connection.close()


async def stored(place: Place) -> Stored:
    """Counts what is there."""
    connection = await asyncpg.connect(place.dsn)
    try:
        size = rows = 0
        for table in ("resource", *INDEX_TABLES):
            size += await connection.fetchval("SELECT pg_total_relation_size($1::regclass)", table)
        for table in INDEX_TABLES:
            rows += await connection.fetchval(f"SELECT count(*) FROM {table}")
        return Stored(await connection.fetchval("SELECT count(*) FROM resource"), rows, size)
    finally:
        await connection.close()


async def _process(job: Job) -> None:
    process = await asyncio.create_subprocess_exec(sys.executable, "-m", "bench.bulk", stdin=PIPE, cwd=_ROOT)
    await process.communicate(pickle.dumps(job))
    if process.returncode:
        raise RuntimeError("a process that loads records ended with an error")


async def _write(job: Job) -> None:
    pool = await connect(job.dsn, connections=1)
    tenant = await pool.fetchval("SELECT id FROM tenant WHERE slug = $1", job.slug)
    store = Store(pool, tenant, RidBlocks())
    for first in range(0, len(job.people), _RECORDS):
        resources = [
            resource
            for number in job.people[first : first + _RECORDS]
            for resource in records.laboratory_record(records.person(number))
        ]
        await store.write("stu3", [Write("PUT", r["resourceType"], r["id"], r) for r in resources])
    await disconnect(pool)


if __name__ == "__main__":
    # Under its own name, so that the pickled job is of the class that is looked for here.
    from bench.bulk import _write as write

    uvloop.run(write(pickle.load(sys.stdin.buffer)))
