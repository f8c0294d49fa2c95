"""Ingest: whole charts in transactions through the internal door, beside COPY of the same rows."""

from __future__ import annotations

import time
from collections.abc import Iterator
from datetime import date
from typing import Any

import asyncpg

from bench.generator import Measured, Plan, measure, request
from bench.pair import Place
from bench.report import Figure
from schakel.demo.patients import Region
from schakel.demo.patients import region as make_region
from schakel.fhir.json import Resource, dump
from schakel.store.sql import INDEX_TABLES

MOST = 300
"""A transaction is closed at about so many resources; a chart is never divided."""

_TABLES = ("resource", *INDEX_TABLES)


def region(patients: int) -> Region:
    """The synthetic people whose charts are loaded; the same at every run."""
    return make_region(patients, 1, today=date(2026, 11, 21))


def transactions(people: Region, slug: str) -> Iterator[list[Resource]]:
    """The charts of one organisation, in lists of 200 to 450 resources."""
    waiting = list(people.shared(slug))
    for person in people.known_at(slug):
        waiting += people.chart(slug, person)
        if len(waiting) >= MOST:
            yield waiting
            waiting = []
    if waiting:
        yield waiting


def bundle(resources: list[Resource]) -> bytes:
    """A transaction that puts each resource under its own id."""
    entries = [
        {"resource": one, "request": {"method": "PUT", "url": f"{one['resourceType']}/{one['id']}"}}
        for one in resources
    ]
    return dump({"resourceType": "Bundle", "type": "transaction", "entry": entries})


async def load(place: Place, people: Region) -> list[Figure]:
    """Loads everything; the first transaction, in which search expressions are compiled, is not timed."""
    groups = list(transactions(people, place.slug))
    headers = {**place.headers, "Content-Type": "application/fhir+json"}
    requests = [request("POST", f"/{place.slug}/fhir/stu3", headers, bundle(one)) for one in groups]
    measure(Plan(place.internal_port, requests[:1], connections=1))
    measured = measure(Plan(place.internal_port, requests[1:], connections=2, pid=place.pid))
    number = sum(len(one) for one in groups[1:])
    rate = number / measured.seconds
    copied, rows, size, held = await _copy(place.dsn, len(groups) - 1)
    return [
        Figure(
            "ingest",
            f"resources in transactions of {number / (len(groups) - 1):.0f}",
            rate,
            "/s",
            "more",
            copied,
            "COPY of the same rows",
            3000,
        ),
        Figure("ingest", "floor", rate, "/s", "more", goal=2000),
        Figure("ingest", "p50 of a transaction", measured.p50, "ms", "less"),
        Figure("ingest", "processor time of the node", _cost(measured, number), "ms a resource", "less"),
        Figure("ingest", "index rows of a resource", rows / held, "rows", "less"),
        Figure("ingest", "stored with all indexes", size / held, "bytes a resource", "less"),
    ]


def _cost(measured: Measured, resources: int) -> float:
    return measured.cost * measured.answers / resources / 1000


async def _copy(dsn: str, parts: int) -> tuple[float, int, int, int]:
    """Resources a second when the rows that now stand in the tables are copied into empty ones like them, in
    as many transactions as were loaded; and index rows, bytes and resources that stand there."""
    connection = await asyncpg.connect(dsn)
    try:
        size = sum(
            [await connection.fetchval("SELECT pg_total_relation_size($1::regclass)", t) for t in _TABLES]
        )
        await connection.execute("CREATE SCHEMA beside")
        held: dict[str, list[tuple[Any, ...]]] = {}
        columns: dict[str, list[str]] = {}
        for table in _TABLES:
            await connection.execute(f"CREATE TABLE beside.{table} (LIKE {table} INCLUDING ALL)")
            rows = await connection.fetch(f"SELECT * FROM {table} ORDER BY rid")
            columns[table] = [name for name in rows[0].keys() if name != "xid"]  # noqa: SIM118 - a record
            held[table] = [tuple(row[name] for name in columns[table]) for row in rows]
        began = time.perf_counter()
        for part in range(parts):
            async with connection.transaction():
                for table, rows_of in held.items():
                    first, last = len(rows_of) * part // parts, len(rows_of) * (part + 1) // parts
                    await connection.copy_records_to_table(
                        table, schema_name="beside", records=rows_of[first:last], columns=columns[table]
                    )
        seconds = time.perf_counter() - began
        await connection.execute("DROP SCHEMA beside CASCADE")
    finally:
        await connection.close()
    resources = len(held["resource"])
    index_rows = sum(len(rows_of) for rows_of in held.values()) - resources
    return resources / seconds, index_rows, size, resources
