"""The end of an event: at the end of its term it is removed, and its hash stays in its seal.

Source: NEN 7513 (in practice the term of the record itself, 20 years) and the decree of 2019 (at least five years after
writing). The database refuses to remove what is younger than that, whatever is asked.
"""

from __future__ import annotations

from datetime import datetime

import asyncpg

from schakel.generic.logging import seal
from schakel.kernel.outcomes import Invalid
from schakel.store.connection import acquire

LEAST_YEARS = 5
DEFAULT_YEARS = 20


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
