"""What became of the entries in the central directory: the rows of migration 0014."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any, Literal

import asyncpg

from schakel.generic.addressing.own.entries import TYPES
from schakel.kernel.outcomes import NotFound
from schakel.store.connection import acquire
from schakel.store.indexing import FHIR_NUMBER

State = Literal["waiting", "published", "stopped"]

_COLUMNS = (
    "tenant, type, id, version, remote, remote_version, sent, seen, shared, overwrite, signed, state, finding, detail, "
    "attempts, run_after, changed"
)


@dataclass(frozen=True, slots=True)
class Row:
    """One entry on its way; see migration 0014."""

    tenant: int
    type: str
    id: str
    version: int
    remote: str
    remote_version: str
    sent: str
    seen: str
    shared: bool
    overwrite: bool
    signed: str
    state: State
    finding: str
    detail: str
    attempts: int
    run_after: datetime
    changed: datetime


class Ledger:
    """The rows of the organisations whose entries are in `tenants`."""

    def __init__(self, pool: asyncpg.Pool, tenants: Sequence[int]) -> None:
        self._pool = pool
        self._tenants = list(tenants)

    async def look(self) -> None:
        """Lets every entry wait whose version is another one than was to be published."""
        async with acquire(self._pool) as connection:
            await connection.execute(
                "INSERT INTO publication AS p (tenant, type, id, version) "
                "SELECT tenant, type, id, version FROM resource "
                "WHERE tenant = ANY ($1) AND fhir = $2 AND type = ANY ($3) AND NOT deleted "
                "ORDER BY tenant, type, id ON CONFLICT (tenant, type, id) DO UPDATE SET version = excluded.version, "
                "state = 'waiting', finding = '', detail = '', attempts = 0, run_after = clock_timestamp(), "
                "changed = clock_timestamp() WHERE p.version <> excluded.version",
                self._tenants,
                FHIR_NUMBER["r4"],
                list(TYPES),
            )

    async def take(self, lease: timedelta) -> Row | None:
        """The next entry, for `lease`: what is referred to before what refers. None when none waits. What it waited
        for is forgotten, so that nobody wakes it while it is under way."""
        async with acquire(self._pool) as connection:
            row = await connection.fetchrow(
                "UPDATE publication SET run_after = clock_timestamp() + $2, attempts = attempts + 1, finding = '', "
                "detail = '' "
                "WHERE (tenant, type, id) = (SELECT p.tenant, p.type, p.id FROM publication p "
                "WHERE p.tenant = ANY ($1) AND p.state = 'waiting' AND p.run_after <= clock_timestamp() "
                "ORDER BY array_position($3::text[], p.type), p.run_after, p.id LIMIT 1 FOR UPDATE SKIP LOCKED) "
                f"RETURNING {_COLUMNS}",
                self._tenants,
                lease,
                list(TYPES),
            )
        return Row(**dict(row)) if row else None

    async def known(self, tenant: int) -> dict[str, str]:
        """References there by references here, of all that is there."""
        async with acquire(self._pool) as connection:
            rows = await connection.fetch(
                "SELECT type, id, remote FROM publication WHERE tenant = $1 AND remote <> ''", tenant
            )
        return {f"{row['type']}/{row['id']}": f"{row['type']}/{row['remote']}" for row in rows}

    async def wake(self, tenant: int) -> None:
        """Lets those come at once that waited for others to be there."""
        async with acquire(self._pool) as connection:
            await connection.execute(
                "UPDATE publication SET run_after = clock_timestamp() WHERE tenant = $1 AND state = 'waiting' "
                "AND finding IN ('waits', 'in-part')",
                tenant,
            )

    async def keep(self, row: Row, **changes: Any) -> None:
        """Writes what came of a row, as far as it is still about the version that was taken."""
        await self._set(row, changes, "AND version = $4")

    async def note(self, row: Row, **changes: Any) -> None:
        """As `keep`, whatever version is wanted by now: what is there is a fact."""
        await self._set(row, changes, "AND $4::integer IS NOT NULL")

    async def _set(self, row: Row, changes: Mapping[str, Any], condition: str) -> None:
        wait = changes.get("wait")
        named = {name: value for name, value in changes.items() if name != "wait"}
        assigned = [f"{name} = ${number}" for number, name in enumerate(named, 5)]
        values = list(named.values())
        if wait is not None:
            assigned.append(f"run_after = clock_timestamp() + ${5 + len(values)}::interval")
            values.append(wait)
        async with acquire(self._pool) as connection:
            await connection.execute(
                f"UPDATE publication SET {', '.join([*assigned, 'changed = clock_timestamp()'])} "
                f"WHERE tenant = $1 AND type = $2 AND id = $3 {condition}",
                row.tenant,
                row.type,
                row.id,
                row.version,
                *values,
            )

    # -- for the operator ------------------------------------------------------------------------------------

    async def rows(self) -> list[Row]:
        """All of them, by type and id."""
        async with acquire(self._pool) as connection:
            rows = await connection.fetch(
                f"SELECT {_COLUMNS} FROM publication WHERE tenant = ANY ($1) ORDER BY tenant, type, id",
                self._tenants,
            )
        return [Row(**dict(row)) for row in rows]

    async def again(self, reference: str, *, overwrite: bool = False) -> None:
        """Tries a stopped entry (`Type/id` here) again; with `overwrite` ours takes the place of what others wrote
        there. Raises `NotFound`."""
        kind, _, logical_id = reference.partition("/")
        async with acquire(self._pool) as connection:
            done = await connection.fetchval(
                "UPDATE publication SET state = 'waiting', overwrite = $4, attempts = 0, finding = '', detail = '', "
                "run_after = clock_timestamp() WHERE tenant = ANY ($1) AND type = $2 AND id = $3 AND state = 'stopped' "
                "RETURNING true",
                self._tenants,
                kind,
                logical_id,
                overwrite,
            )
        if not done:
            raise NotFound(f"no stopped entry {reference[:100]!r} is here", code="publication-unknown")
