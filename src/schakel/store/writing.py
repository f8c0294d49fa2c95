"""Writing: all changes of a transaction or none, with their index rows and history."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime
from typing import Any

import asyncpg

from schakel.fhir.definitions import Version
from schakel.fhir.json import STORED_DEPTH, Resource, dump, parse
from schakel.kernel.clock import instant
from schakel.kernel.outcomes import Conflict, Gone, NotFound, PreconditionFailed, at
from schakel.sources import Linker, Lookup, Settle, Stored, Write, Written
from schakel.store.conditional import Settled, Settling, Step, unconditional
from schakel.store.connection import AWAY, Connection, acquire
from schakel.store.database import pack, unpack
from schakel.store.indexing import FHIR_NUMBER, IndexRows, indexer
from schakel.store.outbox import put_patients
from schakel.store.parameters import ParameterSets
from schakel.store.parameters.changing import Change, change
from schakel.store.parameters.sets import ParameterSet
from schakel.store.sql import INDEX_TABLES, moment

_ATTEMPTS = 3
_PARAMETER = "SearchParameter"
_NEVER = datetime.min.replace(tzinfo=UTC)

Beside = Callable[[Connection], Awaitable[None]]
"""More statements of the transaction of a write, after it; done again when the transaction is tried again."""


class _MovedError(Exception):
    """What a condition found was deleted before the transaction could use it."""


_RETRIED = (
    _MovedError,
    asyncpg.UniqueViolationError,
    asyncpg.DeadlockDetectedError,
    asyncpg.SerializationError,
)


_NO_STATISTICS = "SELECT reltuples < 0 FROM pg_class WHERE oid = 'resource'::regclass"
"""Whether the table was never analysed."""


class RidBlocks:
    """Hands out resource keys from blocks of 1000 that the database gives; one per process and database.

    It also sees how much this process has written, and says when the planner's statistics are stale: after
    1000 resources, and each time that number has doubled. After the first 100 it may be that there are none at all:
    the database's own round comes late, and after a crash it has forgotten how much was written.
    """

    def __init__(self) -> None:
        self._next = 0
        self._end = 0
        self._written = 0
        self._analyse_at = 1000
        self._look_at: int | None = 100

    def statistics_may_be_absent(self) -> bool:
        """Whether it is time to look if there are statistics, which is once."""
        if self._look_at is None or self._written < self._look_at:
            return False
        self._look_at = None
        return True

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
        for table, found in rows.tables():
            self.index[table].extend([(*key, *row, rid) for row in found])


class Writer:
    """Writes for one tenant. `own_bases` are FHIR bases whose references are our own, `parameters` the search
    parameters of the organisation's own."""

    def __init__(
        self,
        pool: asyncpg.Pool,
        tenant: int,
        rids: RidBlocks,
        own_bases: tuple[str, ...],
        parameters: ParameterSets,
    ) -> None:
        self._pool = pool
        self._tenant = tenant
        self._rids = rids
        self._own_bases = own_bases
        self._parameters = parameters

    async def write(
        self,
        version: Version,
        writes: Sequence[Write],
        lookups: Sequence[Lookup] = (),
        settle: Settle | None = None,
        beside: Beside | None = None,
    ) -> list[Written]:
        """See `schakel.sources.Source.write`; `beside` is done in the same transaction."""
        async with acquire(self._pool) as connection:
            out = await self._attempt(connection, version, writes, lookups, settle, beside)
            stale = self._rids.statistics_are_stale(len(writes))
            if stale or self._rids.statistics_may_be_absent():
                with suppress(asyncpg.PostgresError, *AWAY):  # They only help; the write itself is done.
                    if stale or await connection.fetchval(_NO_STATISTICS):
                        await connection.execute(f"ANALYZE resource, history, {', '.join(INDEX_TABLES)}")
        return out

    async def _attempt(
        self,
        connection: Connection,
        version: Version,
        writes: Sequence[Write],
        lookups: Sequence[Lookup],
        settle: Settle | None,
        beside: Beside | None,
    ) -> list[Written]:
        """One transaction, tried again when another one was in the way."""
        conditional = bool(lookups) or any(w.criteria is not None for w in writes)
        alone = any(w.type == _PARAMETER for w in writes)
        for attempt in range(_ATTEMPTS):
            # Outside the transaction: what a crash of the database undoes could be handed out again.
            rids = await self._rids.take(connection, len(writes))
            try:
                async with connection.transaction():
                    if conditional:
                        settled = await self._settled(connection, version, writes, lookups, alone)
                    else:
                        settled = unconditional(writes)
                    kept = await self._kept(connection, version, writes, settled)
                    done = await self._write(connection, version, settled, kept, rids, settle)
                    if beside is not None:
                        await beside(connection)
                if alone:
                    await self._parameters.refresh(connection)
                return [done.get(place) or _nothing(write) for place, write in enumerate(writes)]
            except _RETRIED:
                await asyncio.sleep(0.01 * (attempt + 1))
        raise Conflict("another change to the same resource came first; try again")

    async def _settled(
        self,
        connection: Connection,
        version: Version,
        writes: Sequence[Write],
        lookups: Sequence[Lookup],
        alone: bool,
    ) -> Settled:
        """What conditional writes are about, by the search parameters that hold now."""
        generation = await connection.fetchval("SELECT write_gate($1, $2)", self._tenant, alone)
        table = (await self._parameters.at(connection, generation)).table(version)
        for query in (*(w.criteria for w in writes if w.criteria is not None), *(k.query for k in lookups)):
            await self._parameters.hold(connection, version, query)
        settling = Settling(connection, self._tenant, version, self._own_bases, table)
        return await settling.settle(writes, lookups)

    async def _kept(
        self, connection: Connection, version: Version, writes: Sequence[Write], settled: Settled
    ) -> dict[int, Written]:
        """What conditional creates found, as it is now."""
        if not settled.kept:
            return {}
        rows = await connection.fetch(
            "SELECT w.place, r.type, r.id, r.version, r.updated, r.body FROM "
            "unnest($3::text[], $4::text[], $5::int[]) AS w (type, id, place) JOIN resource r "
            "ON r.tenant = $1 AND r.fhir = $2 AND r.type = w.type AND r.id = w.id AND NOT r.deleted",
            self._tenant,
            FHIR_NUMBER[version],
            [writes[place].type for place in settled.kept],
            list(settled.kept.values()),
            list(settled.kept),
        )
        if len(rows) < len(settled.kept):
            raise _MovedError
        return {
            r["place"]: Written(
                Stored(r["type"], r["id"], r["version"], r["updated"], unpack(r["body"])),
                False,
                changed=False,
            )
            for r in rows
        }

    async def _locked(self, connection: Connection, fhir: int, steps: Sequence[Step]) -> list[asyncpg.Record]:
        """The rows that are there already, locked, with the body of those that are patched. Each record has
        `moment`, the time after the locks were had, and the `generation` of the organisation's search parameters;
        when no row is there, one record has those alone.

        The gate (migration 0006) is passed before a row is locked. The transaction gets its id here, before that
        moment: the feed of changes rests on it (see `history`). `followed` says whether the outbox is read (see
        `outbox`).
        """
        return await connection.fetch(
            "WITH gate AS MATERIALIZED (SELECT write_gate($1, $6) AS generation), "
            "reader AS MATERIALIZED (SELECT outbox_followed($1) AS followed FROM gate WHERE generation >= 0), "
            "locked AS MATERIALIZED (SELECT r.type, r.id, r.version, r.rid, r.deleted, r.patient, "
            "CASE WHEN w.patched THEN r.body END AS body FROM resource r "
            "JOIN unnest($3::text[], $4::text[], $5::boolean[]) AS w (type, id, patched) "
            "ON r.type = w.type AND r.id = w.id WHERE r.tenant = $1 AND r.fhir = $2 "
            "AND (SELECT generation FROM gate) >= 0 ORDER BY r.type, r.id FOR UPDATE OF r) "
            "SELECT pg_current_xact_id(), clock_timestamp() AS moment, gate.generation, reader.followed, locked.* "
            "FROM gate CROSS JOIN reader LEFT JOIN locked ON true",
            self._tenant,
            fhir,
            [s.write.type for s in steps],
            [s.id for s in steps],
            [s.write.patch is not None for s in steps],
            any(s.write.type == _PARAMETER for s in steps),
        )

    async def _write(
        self,
        connection: Connection,
        version: Version,
        settled: Settled,
        kept: dict[int, Written],
        rids: list[int],
        settle: Settle | None,
    ) -> dict[int, Written]:
        """Writes every step. What became of each change by place, with what was kept as it is."""
        fhir, steps = FHIR_NUMBER[version], settled.steps
        if not steps:
            return kept
        rows = await self._locked(connection, fhir, steps)
        existing = {(r["type"], r["id"]): r for r in rows if r["id"] is not None}
        link = settle(settled.ids, _versions(settled, kept, existing), settled.targets) if settle else None
        written_at = moment(rows[-1]["moment"])
        parameters = await self._parameters.at(connection, rows[-1]["generation"])
        batch = _Batch()
        changes: list[Change] = []
        fresh = iter(rids)
        out = dict(kept)
        for number, step in enumerate(steps):
            if number % 25 == 24:
                await asyncio.sleep(0)  # A long transaction must not hold up other requests.
            with at(step.place):
                old = existing.get((step.write.type, step.id))
                _check_precondition(step, old)
                if step.write.method == "DELETE" and (old is None or old["deleted"]):
                    out[step.place] = _nothing(step.write, old["version"] if old else 0, written_at)
                    continue
                resource = _next(step, old, link)
                rid = next(fresh) if old is None else old["rid"]
                out[step.place] = self._add(batch, version, step, old, rid, resource, written_at, parameters)
                if step.write.type == _PARAMETER:
                    changes.append(Change(step.place, step.id, resource))
        if changes:
            for place, job in (await change(connection, self._parameters, version, changes)).items():
                out[place] = replace(out[place], job=f"{self._parameters.rules.jobs}/{job}")
        await self._apply(connection, fhir, batch)
        if rows[-1]["followed"]:
            await put_patients(connection, self._tenant, fhir, _touched(batch, existing))
        return out

    def _add(
        self,
        batch: _Batch,
        version: Version,
        step: Step,
        old: asyncpg.Record | None,
        rid: int,
        resource: Resource | None,
        written_at: datetime,
        parameters: ParameterSet,
    ) -> Written:
        """Adds the next version of one resource to the batch."""
        kind, fhir = step.write.type, FHIR_NUMBER[version]
        number = 1 if old is None else old["version"] + 1
        rows = IndexRows()
        body = b""
        if resource is not None:
            stamp(resource, step.id, number, instant(written_at))
            body = dump(resource)
            rows = indexer(version, kind).rows(resource, self._own_bases)
            parameters.add_rows(version, kind, rows, resource, self._own_bases)
            batch.add_index((self._tenant, fhir, kind, rows.patient), rid, rows)
        deleted = resource is None
        method = step.write.method
        row = (kind, step.id, number, rid, rows.patient, deleted, written_at, pack(body), method)
        (batch.resources if old is None else batch.replaced).append(row)
        stored = Stored(kind, step.id, number, written_at, body, deleted)
        return Written(stored, created=not deleted and (old is None or old["deleted"]))

    async def _apply(self, connection: Connection, fhir: int, batch: _Batch) -> None:
        tenant = self._tenant
        if batch.replaced:
            replaced = [row[3] for row in batch.replaced]
            await connection.execute(
                "INSERT INTO history "
                "(tenant, fhir, type, id, version, patient, deleted, updated, xid, body, method) "
                "SELECT tenant, fhir, type, id, version, patient, deleted, updated, xid, body, method "
                "FROM resource WHERE tenant = $1 AND rid = ANY($2)",
                tenant,
                replaced,
            )
            for table in INDEX_TABLES:
                await connection.execute(
                    f"DELETE FROM {table} WHERE tenant = $1 AND rid = ANY($2)", tenant, replaced
                )
            await connection.executemany(
                "UPDATE resource SET version = $3, patient = $4, deleted = $5, updated = $6, body = $7, "
                "method = $8, xid = greatest(pg_current_xact_id(), xid) WHERE tenant = $1 AND rid = $2",
                [(tenant, r[3], r[2], r[4], r[5], r[6], r[7], r[8]) for r in batch.replaced],
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
                    "method",
                ],
            )
        for table, records in batch.index.items():
            if records:
                await connection.copy_records_to_table(table, records=records)


def _touched(batch: _Batch, existing: Mapping[tuple[str, str], asyncpg.Record]) -> dict[str, set[str]]:
    """The patients whose resources are written, before and after, with the types of those."""
    out: dict[str, set[str]] = {}
    for kind, name, _, _, patient, *_ in (*batch.resources, *batch.replaced):
        old = existing.get((kind, name))
        for one in {name} if kind == "Patient" else {patient, "" if old is None else old["patient"]} - {""}:
            out.setdefault(one, set()).add(kind)
    return out


def _nothing(write: Write, version: int = 0, moment_of: datetime = _NEVER) -> Written:
    """What a DELETE of what is not there came to."""
    return Written(Stored(write.type, write.id, version, moment_of, b"", True), created=False, changed=False)


def _versions(
    settled: Settled, kept: Mapping[int, Written], existing: Mapping[tuple[str, str], asyncpg.Record]
) -> list[int]:
    """The version that the resource of each write will have; 0 of nothing."""
    versions = [kept[place].stored.version if place in kept else 0 for place in range(len(settled.ids))]
    for step in settled.steps:
        old = existing.get((step.write.type, step.id))
        versions[step.place] = 1 if old is None else old["version"] + 1
    return versions


def _next(step: Step, old: asyncpg.Record | None, link: Linker | None) -> Resource | None:
    """The resource that follows `old`; None when it is deleted. Raises what the patch raises."""
    write = step.write
    resource = write.resource
    if write.patch is not None:
        if old is None:
            raise NotFound(f"{write.type}/{step.id} is not here, so that there is nothing to patch")
        if old["deleted"]:
            raise Gone(f"{write.type}/{step.id} was deleted, so that there is nothing to patch")
        resource = write.patch(parse(unpack(old["body"]), max_depth=STORED_DEPTH))
    return resource if resource is None or link is None else link(step.place, resource)


def stamp(resource: Resource, logical_id: str, number: int, updated: str) -> None:
    """Puts id, version and time into a resource that is about to be stored; its `meta`, if any, is one object."""
    resource["id"] = logical_id
    resource["meta"] = {**resource.get("meta", {}), "versionId": str(number), "lastUpdated": updated}


def _check_precondition(step: Step, old: asyncpg.Record | None) -> None:
    write = step.write
    current = None if old is None or old["deleted"] else old["version"]
    if current is not None and step.fresh:
        raise Conflict(
            f"the condition matches nothing, but {write.type}/{step.id} is here: update it by its id",
            expression=f"{write.type}.id",
        )
    if current is not None and write.if_absent:
        raise PreconditionFailed(
            f"If-None-Match asks that nothing be here, but version {current} is", expression="If-None-Match"
        )
    if write.if_match is not None and current != write.if_match:
        raise PreconditionFailed(
            f"If-Match names version {write.if_match}, but "
            + ("the resource is not there" if current is None else f"version {current} is current"),
            expression="If-Match",
        )
