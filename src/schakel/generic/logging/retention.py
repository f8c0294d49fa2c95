"""The end of an event: at the end of its term it is removed, and its hash stays in its seal.

`Retention.round` does it for one organisation, in one process at a time; the command `schakel log retain` and the node
itself (`retaining`) have no other way.

Source: NEN 7513 (in practice the term of the record itself, 20 years) and the decree of 2019 (at least five years after
writing). The database refuses to remove what is younger than that, whatever is asked.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass
from datetime import datetime
from functools import partial

import asyncpg
import structlog

from schakel.generic.logging import seal
from schakel.generic.logging.events import Event
from schakel.generic.logging.log import AuditLog
from schakel.kernel.background import beside, repeated
from schakel.kernel.clock import now
from schakel.kernel.outcomes import Invalid
from schakel.store.connection import acquire

LEAST_YEARS = 5
DEFAULT_YEARS = 20

LOCK = 0x5C4A_5EA2
"""The first number of the advisory lock; the second is that of the organisation."""
_log = structlog.get_logger("schakel.log")


@dataclass(frozen=True, slots=True)
class Retention:
    """The end of the term in the log of one organisation (`ura`, `name`), which keeps events for `years`."""

    pool: asyncpg.Pool
    log: AuditLog
    ura: str
    name: str
    years: int

    async def round(self) -> int | None:
        """Removes what is past its term now, after an event that says so: how many events. None when another process
        is doing it, which an advisory lock of the database tells. What a crash left is removed in a later round.

        Raises `Invalid` for a term that is shorter than the law allows, and `Busy` when the log cannot be written.
        """
        async with acquire(self.pool) as holding:
            if not await holding.fetchval("SELECT pg_try_advisory_lock($1, $2)", LOCK, self.log.tenant):
                return None
            try:
                return await self._removed()
            finally:
                await holding.execute("SELECT pg_advisory_unlock($1, $2)", LOCK, self.log.tenant)

    async def _removed(self) -> int:
        numbers = await expired(self.pool, self.log.tenant, now(), self.years)
        if not numbers:
            return 0
        seals = "1 seal" if len(numbers) == 1 else f"{len(numbers)} seals"
        await self.log.write(
            Event(
                subtype="retention",
                action="D",
                outcome="0",
                requester=self.ura,
                holder=self.ura,
                holder_name=self.name,
                explanation=f"events of {seals} ({numbers[0]} to {numbers[-1]}), past {self.years} years",
            )
        )
        return sum([await remove(self.pool, self.log.tenant, number) for number in numbers])


@asynccontextmanager
async def retaining(logs: Sequence[Retention], seconds: float) -> AsyncIterator[None]:
    """Removes what is past its term from these logs, at once and every so many `seconds`, until the end of the block;
    with 0 seconds never."""

    alone = asyncio.Lock()
    """A round holds a connection and asks for another: many at once could hold all there are, and none get theirs."""

    async def turn(one: Retention) -> bool:
        async with alone:
            removed = await one.round()
        if removed:
            _log.info("log-past-term-removed", organisation=one.ura, events=removed)
        return False

    async def work() -> None:
        turns = (partial(turn, one) for one in logs)
        await asyncio.gather(*(repeated(step, seconds, _log, "log-past-term-not-removed") for step in turns))

    if not seconds:
        yield
        return
    async with beside(work()):
        yield


def latest_removable(moment: datetime, years: int = LEAST_YEARS) -> datetime:
    """What was sealed until then may be removed at `moment`."""
    try:
        return moment.replace(year=moment.year - years)
    except ValueError:  # 29 February
        return moment.replace(year=moment.year - years, day=28)


async def expired(pool: asyncpg.Pool, tenant: int, moment: datetime, years: int) -> tuple[int, ...]:
    """The numbers of the seals whose events are past a term of `years` at `moment`, and still there.

    Raises `Invalid` for a term that is shorter than the law allows.
    """
    if years < LEAST_YEARS:
        raise Invalid(
            f"a log is kept for at least {LEAST_YEARS} years (setting log.retention_years)",
            code="retention-too-short",
            expression="log.retention_years",
        )
    async with acquire(pool) as connection:
        rows = await connection.fetch(
            "SELECT s.number FROM audit_seal s WHERE s.tenant = $1 AND s.sealed <= $2 AND NOT EXISTS "
            "(SELECT FROM audit_removed r WHERE r.tenant = $1 AND r.number = s.number) ORDER BY s.number",
            tenant,
            latest_removable(moment, years),
        )
    return tuple(row["number"] for row in rows)


async def remove(pool: asyncpg.Pool, tenant: int, number: int) -> int:
    """Removes the events of a seal with their decisions: how many events. The seal stays as it is."""
    async with acquire(pool) as connection, connection.transaction():
        line = await connection.fetchval(
            "SELECT line FROM audit_seal WHERE tenant = $1 AND number = $2", tenant, number
        )
        ids = [event for event, _ in seal.read(line).leaves]
        await connection.execute(
            "DELETE FROM decision WHERE tenant = $1 AND event = ANY ($2::uuid[])", tenant, ids
        )
        removed = await connection.execute(
            "DELETE FROM audit_event WHERE tenant = $1 AND id = ANY ($2::uuid[])", tenant, ids
        )
        await connection.execute(
            "INSERT INTO audit_removed (tenant, number) VALUES ($1, $2) ON CONFLICT (tenant, number) DO NOTHING",
            tenant,
            number,
        )
    return int(removed.rpartition(" ")[2])
