"""The jobs behind an organisation's own search parameters, as people look them up."""

from __future__ import annotations

from collections.abc import Sequence

import asyncpg

from schakel.sources.jobs import JobStatus, ParameterStatus
from schakel.store.connection import Connection, acquire
from schakel.store.jobs import Job, Jobs
from schakel.store.parameters.changing import restart
from schakel.store.parameters.indexing import FAILED
from schakel.store.parameters.sets import ParameterSets


class StoredJobs:
    """Implements `schakel.sources.jobs.ParameterJobs` for the organisation with these parameters."""

    def __init__(self, pool: asyncpg.Pool, sets: ParameterSets) -> None:
        self._pool = pool
        self._sets = sets
        self._jobs = Jobs(pool, sets.tenant)

    async def newest(self) -> list[JobStatus]:
        return await self._shown(await self._jobs.newest())

    async def get(self, name: str) -> JobStatus:
        [status] = await self._shown([await self._jobs.get(name)])
        return status

    async def restart(self, url: str = "") -> list[JobStatus]:
        async with acquire(self._pool) as connection:
            async with connection.transaction():
                names = await restart(connection, self._sets, url)
            await self._sets.refresh(connection)
        return [await self.get(name) for name in names]

    async def _shown(self, jobs: Sequence[Job]) -> list[JobStatus]:
        async with acquire(self._pool) as connection:
            await self._sets.refresh(connection)
            failing = await _failing(connection, self._sets)
        return [self._status(job, failing) for job in jobs]

    def _status(self, job: Job, failing: dict[int, int]) -> JobStatus:
        about, number = job.argument, job.argument["number"]
        own = self._sets.current.of(number)
        state = "removed" if own is None else own.state
        return JobStatus(
            id=job.id,
            kind=job.kind,
            parameter=ParameterStatus(
                about["fhir"], about["url"], about["code"], state, failing.get(number, 0)
            ),
            state=job.state,
            done=job.done,
            total=job.total,
            attempts=job.attempts,
            error=job.error,
            made=job.made,
            started=job.started,
            ended=job.ended,
        )


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
