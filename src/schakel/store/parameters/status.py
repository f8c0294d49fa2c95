"""The jobs of an organisation as people look them up, and the parameters behind them."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import asyncpg

from schakel.store.connection import Connection, acquire
from schakel.store.jobs import Job, Jobs
from schakel.store.parameters.changing import restart
from schakel.store.parameters.indexing import FAILED
from schakel.store.parameters.sets import OwnParameter, ParameterSets


@dataclass(frozen=True, slots=True)
class Status:
    """A job; the parameter it is about, None when that is gone; and on how many resources the parameter fails now,
    whoever wrote them."""

    job: Job
    parameter: OwnParameter | None
    failing: int


class ParameterJobs:
    """The jobs behind the search parameters of one organisation."""

    def __init__(self, pool: asyncpg.Pool, sets: ParameterSets) -> None:
        self._pool = pool
        self.sets = sets
        self._jobs = Jobs(pool, sets.tenant)

    async def newest(self) -> list[Status]:
        """The newest first, at most 200."""
        return await self._about(await self._jobs.newest())

    async def get(self, name: str) -> Status:
        """Raises `NotFound`."""
        [status] = await self._about([await self._jobs.get(name)])
        return status

    async def restart(self, url: str = "") -> list[Status]:
        """Builds the parameter with this URL again, or all of them. Raises `NotFound`."""
        async with acquire(self._pool) as connection:
            async with connection.transaction():
                names = await restart(connection, self.sets, url)
            await self.sets.refresh(connection)
        return [await self.get(name) for name in names]

    async def _about(self, jobs: Sequence[Job]) -> list[Status]:
        async with acquire(self._pool) as connection:
            await self.sets.refresh(connection)
            failing = await _failing(connection, self.sets)
        out = []
        for job in jobs:
            number = job.argument.get("number", 0)
            out.append(Status(job, self.sets.current.of(number), failing.get(number, 0)))
        return out


async def _failing(connection: Connection, sets: ParameterSets) -> dict[int, int]:
    """On how many resources each parameter fails."""
    numbers = {f"+{own.number}{FAILED}": own.number for own in sets.current.parameters}
    rows = await connection.fetch(
        "SELECT param, count(*) AS resources FROM index_token WHERE tenant = $1 AND param = ANY($2) "
        "AND param LIKE '+%:failed' GROUP BY param",
        sets.tenant,
        list(numbers),
    )
    return {numbers[row["param"]]: row["resources"] for row in rows}
