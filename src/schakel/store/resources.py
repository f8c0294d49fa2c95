"""`Store`: the resources of one organisation in PostgreSQL.

A write, its index rows and its history are one transaction. Reads hand out the stored bytes.
"""

from __future__ import annotations

import asyncio
import uuid
from collections.abc import Sequence
from contextlib import suppress
from dataclasses import dataclass, field
from datetime import timedelta
from typing import Any, TypeAlias

import asyncpg
from asyncpg.pool import PoolConnectionProxy

from schakel.fhir import definitions
from schakel.fhir.definitions import Version
from schakel.fhir.json import Resource, dump
from schakel.fhir.search import Query, QueryParser, pairs_of
from schakel.kernel.clock import instant, now
from schakel.kernel.outcomes import (
    Conflict,
    Gone,
    Invalid,
    NotFound,
    PreconditionFailed,
    TooCostly,
    Unprocessable,
)
from schakel.sources import Found, Included, Stored, Write, Written
from schakel.store import sql
from schakel.store.connection import AWAY, acquire
from schakel.store.database import pack, unpack
from schakel.store.indexing import FHIR_NUMBER, IndexRows, indexer

Connection: TypeAlias = "PoolConnectionProxy[asyncpg.Record]"

PAGE_MINUTES = 10
_ATTEMPTS = 3
_TABLES = ("index_token", "index_reference", "index_string", "index_date")
_RETRIED = (
    asyncpg.UniqueViolationError,
    asyncpg.DeadlockDetectedError,
    asyncpg.SerializationError,
)


@dataclass(frozen=True, slots=True)
class Limits:
    """Bounds of searches: `page` matches by default on a page, `remembered` in all the pages together."""

    page: int = 200
    page_max: int = 1000
    remembered: int = 20_000


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
    index: dict[str, list[tuple[Any, ...]]] = field(default_factory=lambda: {t: [] for t in _TABLES})

    def add_index(self, key: tuple[Any, ...], rid: int, rows: IndexRows) -> None:
        for table, found in (
            ("index_token", rows.token),
            ("index_reference", rows.reference),
            ("index_string", rows.string),
            ("index_date", rows.date),
        ):
            self.index[table].extend([(*key, *row, rid) for row in found])


class Store:
    """Implements `schakel.sources.Source`. `own_bases` are FHIR bases whose references are our own."""

    def __init__(
        self,
        pool: asyncpg.Pool,
        tenant: int,
        rids: RidBlocks,
        own_bases: tuple[str, ...] = (),
        limits: Limits | None = None,
    ) -> None:
        self._pool = pool
        self._tenant = tenant
        self._rids = rids
        self._own_bases = own_bases
        self.limits = limits or Limits()

    # -- reading -------------------------------------------------------------------------------------------

    async def read(self, version: Version, kind: str, logical_id: str) -> Stored:
        async with acquire(self._pool) as connection:
            row = await connection.fetchrow(
                "SELECT type, id, version, updated, body, deleted FROM resource "
                "WHERE tenant = $1 AND fhir = $2 AND type = $3 AND id = $4",
                self._tenant,
                FHIR_NUMBER[version],
                kind,
                logical_id,
            )
        return _present(row, kind, logical_id)

    async def read_with_patient(
        self, version: Version, kind: str, logical_id: str
    ) -> tuple[Stored, Stored | None]:
        async with acquire(self._pool) as connection:
            rows = await connection.fetch(
                "WITH r AS (SELECT type, id, version, updated, body, deleted, patient FROM resource "
                "WHERE tenant = $1 AND fhir = $2 AND type = $3 AND id = $4) "
                "SELECT type, id, version, updated, body, deleted FROM r UNION ALL "
                "SELECT p.type, p.id, p.version, p.updated, p.body, p.deleted FROM r JOIN resource p "
                "ON p.tenant = $1 AND p.fhir = $2 AND p.type = 'Patient' AND p.id = r.patient AND NOT p.deleted",
                self._tenant,
                FHIR_NUMBER[version],
                kind,
                logical_id,
            )
        own = (kind, logical_id)
        found = _present(next((r for r in rows if (r["type"], r["id"]) == own), None), kind, logical_id)
        if kind == "Patient":
            return found, found
        return found, next((_stored(r) for r in rows if r["type"] == "Patient"), None)

    async def read_version(self, version: Version, kind: str, logical_id: str, number: int) -> Stored:
        key = (self._tenant, FHIR_NUMBER[version], kind, logical_id, number)
        async with acquire(self._pool) as connection:
            row = await connection.fetchrow(
                "SELECT type, id, version, updated, body, deleted FROM resource "
                "WHERE tenant = $1 AND fhir = $2 AND type = $3 AND id = $4 AND version = $5 UNION ALL "
                "SELECT type, id, version, updated, body, deleted FROM history "
                "WHERE tenant = $1 AND fhir = $2 AND type = $3 AND id = $4 AND version = $5 LIMIT 1",
                *key,
            )
        return _present(row, kind, logical_id)

    # -- searching -----------------------------------------------------------------------------------------

    async def search(self, version: Version, query: Query, caller: str | None) -> Found:
        if query.page is not None:
            return await self._page(version, query, caller or "")
        limit = self.limits.page if query.count is None else min(query.count, self.limits.page_max)
        total = None
        async with acquire(self._pool) as connection:
            rows: list[asyncpg.Record] = []
            if limit > 0:
                statement = self._statement(version)
                text = sql.search(statement, query, limit)
                rows = await connection.fetch(text, *statement.arguments)
            matches = [r for r in rows if r["via"] is None]
            more = len(matches) > limit
            limited = matches[0]["patients"] if matches else None
            patients = frozenset(p for p in limited if p) if limited is not None else None
            if more and caller is not None:
                row = await self._remember(connection, version, query, caller)
                return await self._part(connection, version, query, row, 0, patients)
            if not more and limit > 0:
                total = len(matches)
            elif query.total == "accurate" or limit == 0:
                statement = self._statement(version)
                text = sql.number_of_matches(statement, query)
                total = await connection.fetchval(text, *statement.arguments)
        return Found(query, *_split(rows, matches[:limit]), total=total, patients=patients)

    async def _remember(
        self, connection: Connection, version: Version, query: Query, caller: str
    ) -> asyncpg.Record:
        """Decides what all pages of a search hold, the first one included, and keeps it."""
        statement = self._statement(version)
        text = sql.everything(statement, query, self.limits.remembered)
        rows = await connection.fetch(text, *statement.arguments)
        if len(rows) > self.limits.remembered:
            raise TooCostly(
                f"more than {self.limits.remembered} matches: add a condition to make the search narrower"
            )
        key = str(uuid.uuid4())
        await connection.execute(
            f"DELETE FROM search_page WHERE tenant = $1 AND made < now() - interval '{PAGE_MINUTES} minutes'",
            self._tenant,
        )
        name = "$lastn" if query.last is not None else ""
        row = await connection.fetchrow(
            "INSERT INTO search_page (tenant, key, caller, fhir, query, ids, versions) "
            "VALUES ($1, $2, $3, $4, $5, $6, $7) RETURNING key, query, ids, versions",
            self._tenant,
            key,
            caller,
            FHIR_NUMBER[version],
            f"{query.type}/{name}?{query.self_link()}",
            [r["id"] for r in rows],
            [r["version"] for r in rows],
        )
        assert row is not None
        return row

    async def _remembered(
        self, connection: Connection, version: Version, key: str, kind: str, caller: str
    ) -> asyncpg.Record:
        row = await connection.fetchrow(
            "SELECT key, query, ids, versions FROM search_page WHERE tenant = $1 AND key = $2 AND caller = $3 "
            "AND fhir = $4 AND query LIKE $5 AND made >= $6",
            self._tenant,
            key,
            caller,
            FHIR_NUMBER[version],
            f"{kind}/%",
            now() - timedelta(minutes=PAGE_MINUTES),
        )
        if row is None:
            raise Gone(
                "this page is no longer there: pages are kept for ten minutes, for the caller that searched; "
                "search again",
                code="page-gone",
                issue="not-found",
            )
        return row

    async def page_query(self, version: Version, key: str, kind: str, caller: str) -> Query:
        async with acquire(self._pool) as connection:
            row = await self._remembered(connection, version, key, kind, caller)
        return self._parsed(version, row["query"])

    def _parsed(self, version: Version, text: str) -> Query:
        path, _, query = text.partition("?")
        kind, _, operation = path.partition("/")
        return QueryParser(definitions(version)).parse(kind, pairs_of(query), last=operation == "$lastn")

    async def _page(self, version: Version, query: Query, caller: str) -> Found:
        assert query.page is not None
        key, offset = query.page
        async with acquire(self._pool) as connection:
            row = await self._remembered(connection, version, key, query.type, caller)
            return await self._part(connection, version, self._parsed(version, row["query"]), row, offset)

    async def _part(
        self,
        connection: Connection,
        version: Version,
        query: Query,
        row: asyncpg.Record,
        offset: int,
        patients: frozenset[str] | None = None,
    ) -> Found:
        """The page from `offset` on of a remembered search, in the versions that it found. What they include is
        what is there now."""
        size = self.limits.page if query.count is None else min(query.count, self.limits.page_max)
        following = offset + size
        statement = self._statement(version)
        ids, versions = row["ids"][offset:following], row["versions"][offset:following]
        text = sql.remembered(statement, query, ids, versions)
        rows = await connection.fetch(text, *statement.arguments)
        return Found(
            query,
            *_split(rows, [r for r in rows if r["via"] is None]),
            total=len(row["ids"]) if query.total == "accurate" else None,
            patients=patients,
            next_page=(row["key"], following) if following < len(row["ids"]) else None,
        )

    def _statement(self, version: Version) -> sql.Statement:
        return sql.Statement(self._tenant, version, self._own_bases)

    # -- writing -------------------------------------------------------------------------------------------

    async def write(self, version: Version, writes: Sequence[Write]) -> list[Written]:
        """Raises `Invalid` (the same resource twice), `PreconditionFailed`, `Conflict` and `Busy`."""
        keys = [(w.type, w.id) for w in writes]
        if len(set(keys)) < len(keys):
            raise Invalid("a transaction may change a resource once", code="duplicate-change")
        async with acquire(self._pool) as connection:
            out = await self._attempt(connection, version, writes)
            if self._rids.statistics_are_stale(len(writes)):
                with suppress(asyncpg.PostgresError, *AWAY):  # They only help; the write itself is done.
                    await connection.execute(f"ANALYZE resource, {', '.join(_TABLES)}")
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
        moment = sql.moment(now())
        batch = _Batch()
        fresh = iter(rids)
        out: list[Written] = []
        updated = instant(moment)
        for place, change in enumerate(writes):
            if place % 25 == 24:
                await asyncio.sleep(0)  # A long transaction must not hold up other requests.
            old = existing.get((change.type, change.id))
            _check_precondition(change, old)
            if change.method == "DELETE" and (old is None or old["deleted"]):
                gone = Stored(change.type, change.id, old["version"] if old else 0, moment, b"", deleted=True)
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
            row = (change.type, change.id, number, rid, rows_of.patient, deleted, moment, pack(body))
            (batch.resources if old is None else batch.replaced).append(row)
            stored = Stored(change.type, change.id, number, moment, body, deleted)
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
            for table in _TABLES:
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

    # -- erasing -------------------------------------------------------------------------------------------

    async def purge(self, version: Version, patient: str, requester: str, reason: str) -> int:
        """Removes current versions, history, index and remembered pages; leaves a row in the erasure ledger.

        What names this patient and others as well stays; of what is another's by now, the versions that named
        this patient go. Source: $purge (R5), and the right to erasure.
        """
        tenant, fhir = self._tenant, FHIR_NUMBER[version]
        async with acquire(self._pool) as connection, connection.transaction():
            rows = await connection.fetch(
                "SELECT rid, type, id FROM resource r WHERE tenant = $1 AND fhir = $2 AND (patient = $3 "
                "OR type = 'Patient' AND id = $3 OR deleted AND (type, id) IN (SELECT type, id FROM history "
                "WHERE tenant = $1 AND fhir = $2 AND patient = $3)) FOR UPDATE",
                tenant,
                fhir,
                patient,
            )
            # A Provenance names what it is about, so it goes when all its targets go.
            about = await connection.fetch(
                "SELECT r.rid, r.type, r.id FROM resource r WHERE r.tenant = $1 AND r.fhir = $2 "
                "AND r.type = 'Provenance' AND r.rid IN (SELECT f.rid FROM index_reference f "
                "JOIN unnest($3::text[], $4::text[]) AS gone (type, id) "
                "ON f.target_type = gone.type AND f.target_id = gone.id "
                "WHERE f.tenant = $1 AND f.fhir = $2 AND f.type = 'Provenance' AND f.param = 'target') "
                "AND NOT EXISTS (SELECT FROM index_reference f WHERE f.tenant = $1 AND f.rid = r.rid "
                "AND f.param = 'target' AND (f.target_type, f.target_id) NOT IN "
                "(SELECT * FROM unnest($3::text[], $4::text[]))) FOR UPDATE OF r",
                tenant,
                fhir,
                [r["type"] for r in rows],
                [r["id"] for r in rows],
            )
            doomed = {(r["type"], r["id"]): r["rid"] for r in [*rows, *about]}
            rids = list(doomed.values())
            for table in _TABLES:
                await connection.execute(
                    f"DELETE FROM {table} WHERE tenant = $1 AND rid = ANY($2)", tenant, rids
                )
            await connection.execute("DELETE FROM resource WHERE tenant = $1 AND rid = ANY($2)", tenant, rids)
            await connection.execute(
                "DELETE FROM history WHERE tenant = $1 AND fhir = $2 AND (patient = $5 "
                "OR (type, id) IN (SELECT * FROM unnest($3::text[], $4::text[])))",
                tenant,
                fhir,
                [k for k, _ in doomed],
                [i for _, i in doomed],
                patient,
            )
            await connection.execute(
                "DELETE FROM search_page WHERE tenant = $1 AND fhir = $2 AND ids && $3",
                tenant,
                fhir,
                [i for _, i in doomed],
            )
            await connection.execute(
                "INSERT INTO erasure (tenant, id, requester, reason, fhir, removed) VALUES ($1,$2,$3,$4,$5,$6)",
                tenant,
                uuid.uuid4(),
                requester,
                reason,
                fhir,
                len(doomed),
            )
        return len(doomed)


def stamp(resource: Resource, logical_id: str, number: int, updated: str) -> None:
    """Puts id, version and time into a resource that is about to be stored. Raises `Unprocessable` for a `meta`
    that is no object: a lenient check keeps an array, but version and time need one place."""
    meta = resource.get("meta", {})
    if not isinstance(meta, dict):
        raise Unprocessable("meta may be there once", expression=f"{resource.get('resourceType')}.meta")
    resource["id"] = logical_id
    resource["meta"] = {**meta, "versionId": str(number), "lastUpdated": updated}


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


def _present(row: asyncpg.Record | None, kind: str, logical_id: str) -> Stored:
    if row is None:
        raise NotFound(f"{kind}/{logical_id} is not here")
    if row["deleted"]:
        raise Gone(f"{kind}/{logical_id} was deleted")
    return _stored(row)


def _stored(row: asyncpg.Record) -> Stored:
    return Stored(row["type"], row["id"], row["version"], row["updated"], unpack(row["body"]))


def _split(
    rows: list[asyncpg.Record], matches: list[asyncpg.Record]
) -> tuple[tuple[Stored, ...], tuple[Included, ...]]:
    keys = {r["rid"]: f"{r['type']}/{r['id']}" for r in matches}
    included = tuple(
        Included(_stored(r), tuple(sorted(keys[v] for v in r["via"] if v in keys)))
        for r in rows
        if r["via"] is not None
    )
    return tuple(_stored(r) for r in matches), included
