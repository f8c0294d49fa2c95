"""Jobs: work of an organisation that goes on after the answer, in steps, until it is done.

A step is one transaction. It locks the row of the job, does a part of the work, and writes how far it came. When the
process is killed, the database undoes the step and lets go of the row, and the next worker that looks for work, in any
process, takes the step again: nothing is lost, and nothing is done twice. A worker that falls silent within a step is
cut off by the database. Several processes work at once, each on another job; the job that waited longest comes first,
so that a long one of an organisation does not hold up those of others.
"""

from __future__ import annotations

from collections.abc import AsyncIterator, Collection, Mapping
from contextlib import asynccontextmanager, suppress
from dataclasses import dataclass
from datetime import datetime
from typing import Any, Literal, Protocol
from uuid import UUID

import asyncpg
import orjson
import structlog

from schakel.kernel.background import beside, repeated
from schakel.kernel.outcomes import NotFound, Outcome
from schakel.store.connection import Connection, acquire

State = Literal["waiting", "running", "done", "failed"]

MOST_ATTEMPTS = 6
"""Attempts at one step, before the job has failed."""
_SILENCE = "60s"
"""How long a worker may do nothing inside a step before the database ends it."""
_KEPT_DAYS = 30
"""How long an ended job can be looked up."""
_LISTED = 200

_COLUMNS = "tenant, id, kind, argument, state, place, done, total, attempts, error, made, started, ended"
_log = structlog.get_logger("schakel.jobs")


@dataclass(frozen=True, slots=True)
class Job:
    """A job as it was last seen. `place` is how far it came, in the words of its kind; `total` is None until it is
    known; `attempts` are those that failed since the last step that was done, `error` says what of the last."""

    tenant: int
    id: str
    kind: str
    argument: dict[str, Any]
    state: State
    place: str
    done: int
    total: int | None
    attempts: int
    error: str
    made: datetime
    started: datetime | None
    ended: datetime | None


@dataclass(frozen=True, slots=True)
class Step:
    """What a step came to: the place it reached, how much it did, and whether the job is done."""

    place: str
    done: int = 0
    finished: bool = False
    total: int | None = None


class Kind(Protocol):
    """The work behind jobs of one kind."""

    async def step(self, connection: Connection, job: Job) -> Step:
        """Does the next part of a job, inside the transaction of `connection`."""
        ...

    async def failed(self, connection: Connection, job: Job) -> None:
        """The job is given up, inside the transaction of `connection`."""
        ...


async def enqueue(
    connection: Connection, tenant: int, kind: str, argument: Mapping[str, Any], after_seconds: float = 0
) -> str:
    """The id of a new job, which begins when this transaction is there and so many seconds have passed."""
    await connection.execute(
        f"DELETE FROM job WHERE tenant = $1 AND made < now() - interval '{_KEPT_DAYS} days' AND ended IS NOT NULL",
        tenant,
    )
    name: UUID = await connection.fetchval(
        "INSERT INTO job (tenant, kind, argument, run_after) "
        "VALUES ($1, $2, $3, clock_timestamp() + $4 * interval '1 second') RETURNING id",
        tenant,
        kind,
        orjson.dumps(argument).decode(),
        after_seconds,
    )
    return str(name)


class Jobs:
    """The jobs of one tenant, to be looked up."""

    def __init__(self, pool: asyncpg.Pool, tenant: int) -> None:
        self._pool = pool
        self._tenant = tenant

    async def newest(self) -> list[Job]:
        """The newest first, at most 200."""
        async with acquire(self._pool) as connection:
            rows = await connection.fetch(
                f"SELECT {_COLUMNS} FROM job WHERE tenant = $1 ORDER BY made DESC, id LIMIT {_LISTED}",
                self._tenant,
            )
        return [_job(row) for row in rows]

    async def get(self, name: str) -> Job:
        """Raises `NotFound`."""
        row = None
        with suppress(ValueError):
            key = UUID(name)
            async with acquire(self._pool) as connection:
                row = await connection.fetchrow(
                    f"SELECT {_COLUMNS} FROM job WHERE tenant = $1 AND id = $2", self._tenant, key
                )
        if row is None:
            raise NotFound("there is no such job here; a job that ended is kept for thirty days")
        return _job(row)


class Worker:
    """Does the jobs of these tenants; `kinds` are those it knows. It looks for work each `poll_seconds`."""

    def __init__(
        self,
        pool: asyncpg.Pool,
        tenants: Collection[int],
        kinds: Mapping[str, Kind],
        poll_seconds: float = 1.0,
    ) -> None:
        self._pool = pool
        self._tenants = list(tenants)
        self._kinds = kinds
        self._poll_seconds = poll_seconds

    @asynccontextmanager
    async def working(self) -> AsyncIterator[None]:
        """Works until the end of the block; what was under way then is undone, and taken up by the next worker."""
        async with beside(repeated(self.turn, self._poll_seconds, _log, "job-turn")):
            yield

    async def turn(self) -> bool:
        """Does one step of the job that waited longest; False when there is none."""
        async with acquire(self._pool) as connection, connection.transaction():
            row = await connection.fetchrow(
                f"SELECT {_COLUMNS} FROM job WHERE tenant = ANY($1) AND kind = ANY($2) "
                "AND state IN ('waiting', 'running') AND run_after <= now() "
                "ORDER BY run_after, id LIMIT 1 FOR UPDATE SKIP LOCKED",
                self._tenants,
                list(self._kinds),
            )
            if row is None:
                return False
            await connection.execute(f"SET LOCAL idle_in_transaction_session_timeout = '{_SILENCE}'")
            job = _job(row)
            kind = self._kinds[job.kind]
            try:
                async with connection.transaction():
                    step = await kind.step(connection, job)
            except (Outcome, asyncpg.PostgresError) as error:
                await self._put_off(connection, kind, job, error)
            except Exception as error:
                _log.error("job-fault", job=job.id, kind=type(error).__name__)
                await self._put_off(connection, kind, job, error)
            else:
                await self._went_on(connection, job, step)
        return True

    async def _went_on(self, connection: Connection, job: Job, step: Step) -> None:
        await connection.execute(
            "UPDATE job SET place = $3, done = done + $4, total = coalesce($5, total), attempts = 0, error = '', "
            "state = $6, run_after = clock_timestamp(), started = coalesce(started, now()), "
            "ended = CASE WHEN $6 = 'done' THEN clock_timestamp() END WHERE tenant = $1 AND id = $2",
            job.tenant,
            UUID(job.id),
            step.place,
            step.done,
            step.total,
            "done" if step.finished else "running",
        )

    async def _put_off(self, connection: Connection, kind: Kind, job: Job, error: Exception) -> None:
        """Tries the step again later, each time twice as long; after `MOST_ATTEMPTS` the job has failed."""
        attempts = job.attempts + 1
        given_up = attempts >= MOST_ATTEMPTS
        await connection.execute(
            "UPDATE job SET attempts = $3, error = $4, state = $5, started = coalesce(started, now()), "
            "run_after = clock_timestamp() + $6 * interval '1 second', "
            "ended = CASE WHEN $5 = 'failed' THEN clock_timestamp() END WHERE tenant = $1 AND id = $2",
            job.tenant,
            UUID(job.id),
            attempts,
            error.message if isinstance(error, Outcome) else type(error).__name__,
            "failed" if given_up else "running",
            0.5 * 2**attempts,
        )
        _log.warning("job-attempt", job=job.id, attempt=attempts, kind=type(error).__name__)
        if given_up:
            await kind.failed(connection, job)


def _job(row: asyncpg.Record) -> Job:
    values = dict(row)
    return Job(**{**values, "id": str(row["id"]), "argument": orjson.loads(row["argument"])})
