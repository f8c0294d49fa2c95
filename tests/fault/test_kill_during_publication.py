"""A publishing worker that is killed at every step: afterwards the central directory has each entry once, as it should
be, and nothing waits."""

from __future__ import annotations

import asyncio
import os
import signal
import sys
from pathlib import Path

import pytest
from tests.central import Way, published

_WORKER = """
import asyncio, sys
from datetime import timedelta
from schakel.facilities import Facility, FacilityRules
from schakel.generic.addressing.own.central import Central
from schakel.generic.addressing.own.publication import Publisher, PublicationWork
from schakel.store.database import connect
from schakel.store.resources import Store
from schakel.store.writing import RidBlocks

async def main(database, base, tenant, ura):
    pool = await connect(database, connections=2)
    async with Facility.open("the central directory", base, rules=FacilityRules(timeout=10)) as facility:
        publisher = Publisher(ura, Store(pool, int(tenant), RidBlocks()))
        work = PublicationWork(pool, Central(facility), {int(tenant): publisher}, lease=timedelta(seconds=1))
        await work.ledger.look()
        while await work.turn():
            pass

asyncio.run(main(*sys.argv[1:]))
"""


async def killed_at(way: Way, database: str, place: int, *, answered: bool) -> bool:
    """Runs a worker that is killed at its request number `place`: before the central directory did it, or after it did
    and before the worker heard of it. False when it came to its end without so many requests."""
    number = 0
    started = await asyncio.create_subprocess_exec(
        sys.executable, "-c", _WORKER, database, way.base, str(way.tenant), way.publisher.ura
    )

    def fault(_method: str, _path: str) -> int | None:
        nonlocal number
        number += 1
        if number != place:
            return None
        os.kill(started.pid, signal.SIGKILL)
        return 503

    faults = way.after if answered else way.before
    faults.append(fault)
    code = await asyncio.wait_for(started.wait(), 60)
    faults.clear()
    assert code in (0, -signal.SIGKILL)
    return number >= place


@pytest.mark.slow
@pytest.mark.parametrize("answered", [False, True], ids=["before", "after"])
async def test_each_entry_is_there_once_wherever_the_worker_was_killed(
    fresh_database: str, tmp_path: Path, answered: bool
) -> None:
    async with published(fresh_database, tmp_path) as way:
        await way.bring()
        kills = 0
        for place in (1, 2, 1, 3, 2, 1, 2, 4):
            kills += await killed_at(way, fresh_database, place, answered=answered)
            await way.at_once()
        for _ in range(3):
            await way.publish()
            await way.at_once()
        assert kills >= 4
        assert {one.state for one in await way.work.ledger.rows()} == {"published"}
        for kind, number in (("Organization", 2), ("Endpoint", 1), ("Location", 1), ("HealthcareService", 1)):
            assert len(await way.remote(kind)) == number
        [endpoint] = await way.remote("Endpoint")
        whole = next(one for one in await way.remote("Organization") if "partOf" not in one)
        assert whole["endpoint"] == [{"reference": f"Endpoint/{endpoint['id']}"}]
