"""Writing: all changes of a transaction or none, with their index rows and history."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from contextlib import suppress
from dataclasses import dataclass, field
from typing import Any

import asyncpg

from schakel.fhir.definitions import Version
from schakel.fhir.json import Resource, dump
from schakel.kernel.clock import instant, now
from schakel.kernel.outcomes import Conflict, Invalid, PreconditionFailed
from schakel.sources import Stored, Write, Written
from schakel.store.connection import AWAY, Connection, acquire
from schakel.store.database import pack
from schakel.store.indexing import FHIR_NUMBER, IndexRows, indexer
from schakel.store.sql import INDEX_TABLES, moment

_ATTEMPTS = 3
_RETRIED = (
    asyncpg.UniqueViolationError,
    asyncpg.DeadlockDetectedError,
    asyncpg.SerializationError,
)


class RidBlocks:
    """Hands out resource keys from blocks of 1000 that the database gives; one per process and database.

    It also sees how much this process has written, and says when the planner's statistics are stale: after
    1000 resources, and each time that number has doubled.
    """

    def __init__(self) -> None:
        self._next = 0
        self._end = 0
        self._written = 0
        self._analyse_at = 1000

    def statistics_are_stale(self, written: int) -> bool:
        """Counts `written` resources; True when it is time to analyse."""
        self._written += written
        if self._written < self._analyse_at:
            return False
        self._analyse_at = self._written * 2
        return True

    async def take(self, connection: Connection, number: int) -> list[int]:
        """`number` fresh keys; `connection` is outside a transaction, so that they are taken for good."""
        out: list[int] = []
        while len(out) < number:
            if self._next >= self._end:
                self._next = await connection.fetchval("SELECT nextval('rid_block')")
                self._end = self._next + 1000
            step = min(number - len(out), self._end - self._next)
            out.extend(range(self._next, self._next + step))
            self._next += step
        return out


@dataclass
class _Batch:
    """Rows of one transaction, ready for COPY."""

    resources: list[tuple[Any, ...]] = field(default_factory=list)
    replaced: list[tuple[Any, ...]] = field(default_factory=list)
    index: dict[str, list[tuple[Any, ...]]] = field(default_factory=lambda: {t: [] for t in INDEX_TABLES})

    def add_index(self, key: tuple[Any, ...], rid: int, rows: IndexRows) -> None:
        for table, found in (
            ("index_token", rows.token),
            ("index_reference", rows.reference),
            ("index_string", rows.string),
            ("index_date", rows.date),
        ):
            self.index[table].extend([(*key, *row, rid) for row in found])


class Writer:
    """Writes for one tenant. `own_bases` are FHIR bases whose references are our own."""

    def __init__(self, pool: asyncpg.Pool, tenant: int, rids: RidBlocks, own_bases: tuple[str, ...]) -> None:
        self._pool = pool
        self._tenant = tenant
        self._rids = rids
        self._own_bases = own_bases

    async def write(self, version: Version, writes: Sequence[Write]) -> list[Written]:
        """Raises `Invalid` (the same resource twice), `PreconditionFailed`, `Conflict` and `Busy`."""
        keys = [(w.type, w.id) for w in writes]
        if len(set(keys)) < len(keys):
            raise Invalid("a transaction may change a resource once", code="duplicate-change")
        async with acquire(self._pool) as connection:
            out = await self._attempt(connection, version, writes)
            if self._rids.statistics_are_stale(len(writes)):
                with suppress(asyncpg.PostgresError, *AWAY):  # They only help; the write itself is done.
                    await connection.execute(f"ANALYZE resource, {', '.join(INDEX_TABLES)}")
        return out

    async def _attempt(
        self, connection: Connection, version: Version, writes: Sequence[Write]
    ) -> list[Written]:
        """One transaction, tried again when another one was in the way."""
        for attempt in range(_ATTEMPTS):
            # Outside the transaction: what a crash of the database undoes could be handed out again.
            rids = await self._rids.take(connection, len(writes))
            try:
                async with connection.transaction():
                    return await self._write(connection, version, writes, rids)
            except _RETRIED:
                await asyncio.sleep(0.01 * (attempt + 1))
        raise Conflict("another change to the same resource came first; try again")

    async def _write(
        self, connection: Connection, version: Version, writes: Sequence[Write], rids: list[int]
    ) -> list[Written]:
        tenant, fhir = self._tenant, FHIR_NUMBER[version]
        rows = await connection.fetch(
            "SELECT r.type, r.id, r.version, r.rid, r.deleted FROM resource r "
            "JOIN unnest($3::text[], $4::text[]) AS w (type, id) ON r.type = w.type AND r.id = w.id "
            "WHERE r.tenant = $1 AND r.fhir = $2 ORDER BY r.type, r.id FOR UPDATE OF r",
            tenant,
            fhir,
            [w.type for w in writes],
            [w.id for w in writes],
        )
        existing = {(r["type"], r["id"]): r for r in rows}
        written_at = moment(now())
        batch = _Batch()
        fresh = iter(rids)
        out: list[Written] = []
        updated = instant(written_at)
        for place, change in enumerate(writes):
            if place % 25 == 24:
                await asyncio.sleep(0)  # A long transaction must not hold up other requests.
            old = existing.get((change.type, change.id))
            _check_precondition(change, old)
            if change.method == "DELETE" and (old is None or old["deleted"]):
                gone = Stored(
                    change.type, change.id, old["version"] if old else 0, written_at, b"", deleted=True
                )
                out.append(Written(gone, created=False))
                continue
            number = 1 if old is None else old["version"] + 1
            rid = next(fresh) if old is None else old["rid"]
            rows_of = IndexRows()
            body = b""
            if change.resource is not None:
                stamp(change.resource, change.id, number, updated)
                body = dump(change.resource)
                rows_of = indexer(version, change.type).rows(change.resource, self._own_bases)
                batch.add_index((tenant, fhir, change.type, rows_of.patient), rid, rows_of)
            deleted = change.method == "DELETE"
            row = (change.type, change.id, number, rid, rows_of.patient, deleted, written_at, pack(body))
            (batch.resources if old is None else batch.replaced).append(row)
            stored = Stored(change.type, change.id, number, written_at, body, deleted)
            out.append(Written(stored, created=not deleted and (old is None or old["deleted"])))
        await self._apply(connection, fhir, batch)
        return out

    async def _apply(self, connection: Connection, fhir: int, batch: _Batch) -> None:
        tenant = self._tenant
        if batch.replaced:
            replaced = [row[3] for row in batch.replaced]
            await connection.execute(
                "INSERT INTO history (tenant, fhir, type, id, version, patient, deleted, updated, xid, body) "
                "SELECT tenant, fhir, type, id, version, patient, deleted, updated, xid, body FROM resource "
                "WHERE tenant = $1 AND rid = ANY($2)",
                tenant,
                replaced,
            )
            for table in INDEX_TABLES:
                await connection.execute(
                    f"DELETE FROM {table} WHERE tenant = $1 AND rid = ANY($2)", tenant, replaced
                )
            await connection.executemany(
                "UPDATE resource SET version = $3, patient = $4, deleted = $5, updated = $6, body = $7, "
                "xid = pg_current_xact_id() WHERE tenant = $1 AND rid = $2",
                [(tenant, r[3], r[2], r[4], r[5], r[6], r[7]) for r in batch.replaced],
            )
        if batch.resources:
            await connection.copy_records_to_table(
                "resource",
                records=[(tenant, fhir, *row) for row in batch.resources],
                columns=[
                    "tenant",
                    "fhir",
                    "type",
                    "id",
                    "version",
                    "rid",
                    "patient",
                    "deleted",
                    "updated",
                    "body",
                ],
            )
        for table, records in batch.index.items():
            if records:
                await connection.copy_records_to_table(table, records=records)


def stamp(resource: Resource, logical_id: str, number: int, updated: str) -> None:
    """Puts id, version and time into a resource that is about to be stored; its `meta`, if any, is one object."""
    resource["id"] = logical_id
    resource["meta"] = {**resource.get("meta", {}), "versionId": str(number), "lastUpdated": updated}


def _check_precondition(change: Write, old: asyncpg.Record | None) -> None:
    if change.if_match is None:
        return
    current = None if old is None or old["deleted"] else old["version"]
    if current != change.if_match:
        raise PreconditionFailed(
            f"If-Match names version {change.if_match}, but "
            + ("the resource is not there" if current is None else f"version {current} is current"),
            expression=f"{change.type}/{change.id}",
        )
