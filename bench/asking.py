"""Requests at one node for some seconds, with what they cost node and database."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from dataclasses import dataclass

import asyncpg

from bench.generator import Plan, measure, served_seconds
from bench.pair import Place

_WARM_UP = 0.5


@dataclass(frozen=True, slots=True)
class Asked:
    """What was measured: answers a second, latencies and processor time an answer, all in milliseconds, and bytes
    an answer."""

    rate: float
    p50: float
    p95: float
    p99: float
    node: float
    database: float
    size: float


async def asked(
    place: Place, requests: Sequence[bytes], clients: int, seconds: float, expect: bytes = b""
) -> Asked:
    """Sends `requests` in turn from so many clients. Raises `RuntimeError` when an answer is not right."""
    serving = await backends(place.dsn)
    plan = Plan(place.internal_port, requests, clients, seconds, _WARM_UP, expect, place.pid)
    before = used(serving)
    found = await asyncio.to_thread(measure, plan)
    spent = (used(await backends(place.dsn) | serving) - before) * found.seconds / (found.seconds + _WARM_UP)
    return Asked(
        found.rate,
        found.p50,
        found.p95,
        found.p99,
        found.cost / 1000,
        spent / found.answers * 1000,
        found.received / found.answers,
    )


def middle(runs: Sequence[Asked]) -> Asked:
    """The run with the middle rate: the machine has other things to do."""
    return sorted(runs, key=lambda one: one.rate)[len(runs) // 2]


async def backends(dsn: str) -> set[int]:
    """The processes that serve a database."""
    connection = await asyncpg.connect(dsn)
    try:
        rows = await connection.fetch(
            "SELECT pid FROM pg_stat_activity WHERE datname = current_database() AND pid <> pg_backend_pid()"
        )
    finally:
        await connection.close()
    return {row["pid"] for row in rows}


def used(processes: set[int]) -> float:
    """Processor time they have used, in seconds."""
    return sum(served_seconds(pid) for pid in processes)
