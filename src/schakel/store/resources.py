"""`Store`: the resources of one organisation in PostgreSQL.

A write, its index rows and its history are one transaction. Reads hand out the stored bytes.
"""

from __future__ import annotations

import uuid
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import timedelta

import asyncpg

from schakel.fhir import definitions
from schakel.fhir.definitions import Version
from schakel.fhir.search import Query, QueryParser, pairs_of
from schakel.kernel.clock import now
from schakel.kernel.outcomes import (
    Gone,
    NotFound,
    TooCostly,
)
from schakel.sources import Found, Included, Stored, Write, Written
from schakel.store import sql
from schakel.store.connection import Connection, acquire
from schakel.store.database import unpack
from schakel.store.erasing import purge
from schakel.store.indexing import FHIR_NUMBER
from schakel.store.writing import RidBlocks, Writer

PAGE_MINUTES = 10


@dataclass(frozen=True, slots=True)
class Limits:
    """Bounds of searches: `page` matches by default on a page, `remembered` in all the pages together."""

    page: int = 200
    page_max: int = 1000
    remembered: int = 20_000


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
        self._writer = Writer(pool, tenant, rids, own_bases)
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
        return await self._writer.write(version, writes)

    async def purge(self, version: Version, patient: str, requester: str, reason: str) -> int:
        """What names this patient and others as well stays; see `erasing.purge`."""
        return await purge(self._pool, self._tenant, version, patient, requester, reason)


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
