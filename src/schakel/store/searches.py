"""Searches of one organisation: a first page, the pages that follow it, and what is included.

All pages of a search hold what was found when it was asked: keys and versions are remembered for ten minutes, for
the caller that searched.
"""

from __future__ import annotations

import re
import uuid
from collections.abc import Iterable
from dataclasses import dataclass, replace
from datetime import timedelta

import asyncpg

from schakel.fhir.definitions import Version
from schakel.fhir.search import Query, QueryParser, SearchLimits, pairs_of
from schakel.kernel.clock import now
from schakel.kernel.outcomes import Gone, TooCostly
from schakel.sources import Found, Included, Stored
from schakel.store import sql
from schakel.store.connection import Connection, acquire
from schakel.store.database import unpack
from schakel.store.indexing import FHIR_NUMBER
from schakel.store.parameters import ParameterSets

PAGE_MINUTES = 10
_COMPARTMENT = re.compile(r"@([A-Za-z]+)/([A-Za-z0-9\-.]{1,64})")
_NO_LIMITS = SearchLimits(page_max=1_000_000_000, values=1_000_000, chain_depth=100, sort_keys=1000)
"""What is parsed again was within the limits when it was asked."""


@dataclass(frozen=True, slots=True)
class Limits:
    """Bounds of searches: `page` matches by default on a page, `remembered` in all the pages together, `includes`
    resources that come with a page, `include_depth` rounds in which includes repeat."""

    page: int = 200
    page_max: int = 1000
    remembered: int = 20_000
    includes: int = 1000
    include_depth: int = 4


class Searches:
    """Searches for one tenant. `own_bases` are FHIR bases whose references are our own."""

    def __init__(
        self,
        pool: asyncpg.Pool,
        tenant: int,
        own_bases: tuple[str, ...],
        limits: Limits,
        parameters: ParameterSets,
    ) -> None:
        self._pool = pool
        self._tenant = tenant
        self._own_bases = own_bases
        self._limits = limits
        self._parameters = parameters

    async def search(self, version: Version, query: Query, caller: str | None) -> Found:
        """See `schakel.sources.Source.search`."""
        if query.page is not None:
            return await self._page(version, query, caller or "")
        limit = self._size(query)
        total = None
        async with acquire(self._pool) as connection:
            await self._parameters.hold(connection, version, query)
            rows: list[asyncpg.Record] = []
            if limit > 0:
                statement = self._statement(version)
                text = sql.search(statement, query, limit, self._limits.includes)
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
            elif limit == 0 or _counts(query):
                total = await self._count(connection, version, query)
            matches = matches[:limit]
            included = await self._included(connection, version, query, rows, matches)
        return Found(query, tuple(_stored(m) for m in matches), included, total=total, patients=patients)

    async def page_query(self, version: Version, key: str, kind: str, caller: str) -> Query:
        """See `schakel.sources.Source.page_query`."""
        async with acquire(self._pool) as connection:
            row = await self._remembered(connection, version, key, kind, caller)
        return self._parsed(version, row["query"])

    def _size(self, query: Query) -> int:
        """The most matches on a page of this search."""
        if query.summary == "count":
            return 0
        return self._limits.page if query.count is None else min(query.count, self._limits.page_max)

    def _statement(self, version: Version) -> sql.Statement:
        return sql.Statement(self._tenant, version, self._own_bases, self._parameters.table(version))

    async def _count(self, connection: Connection, version: Version, query: Query) -> int:
        statement = self._statement(version)
        total: int = await connection.fetchval(sql.number_of_matches(statement, query), *statement.arguments)
        return total

    # -- pages ---------------------------------------------------------------------------------------------

    async def _remember(
        self, connection: Connection, version: Version, query: Query, caller: str
    ) -> asyncpg.Record:
        """Decides what all pages of a search hold, the first one included, and keeps it. One match too many is kept
        as well, to tell at the end of the pages that there are more."""
        statement = self._statement(version)
        text = sql.everything(statement, query, self._limits.remembered)
        rows = await connection.fetch(text, *statement.arguments)
        await connection.execute(
            f"DELETE FROM search_page WHERE tenant = $1 AND made < now() - interval '{PAGE_MINUTES} minutes'",
            self._tenant,
        )
        row = await connection.fetchrow(
            "INSERT INTO search_page (tenant, key, caller, fhir, query, types, ids, versions, limited) "
            "VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9) RETURNING key, query, types, ids, versions",
            self._tenant,
            str(uuid.uuid4()),
            caller,
            FHIR_NUMBER[version],
            _written(query),
            [r["type"] for r in rows],
            [r["id"] for r in rows],
            [r["version"] for r in rows],
            None if query.limited_to is None else sorted(query.limited_to),
        )
        assert row is not None
        return row

    async def _remembered(
        self, connection: Connection, version: Version, key: str, kind: str, caller: str
    ) -> asyncpg.Record:
        row = await connection.fetchrow(
            "SELECT key, query, types, ids, versions, limited FROM search_page WHERE tenant = $1 AND key = $2 "
            "AND caller = $3 AND fhir = $4 AND query LIKE $5 AND made >= $6",
            self._tenant,
            key,
            caller,
            FHIR_NUMBER[version],
            f"{kind}/%",
            now() - timedelta(minutes=PAGE_MINUTES),
        )
        if row is None:
            raise _page_gone()
        return row

    def _parsed(self, version: Version, text: str) -> Query:
        """The query of a remembered page; see `_written`."""
        path, _, query = text.partition("?")
        kind, _, rest = path.partition("/")
        parser, pairs = QueryParser(self._parameters.table(version), _NO_LIMITS), pairs_of(query, 10_000)
        if compartment := _COMPARTMENT.fullmatch(rest):
            return parser.parse_compartment(compartment[1], compartment[2], kind or "*", pairs)
        return parser.parse(kind, pairs, last=rest == "$lastn")

    async def _page(self, version: Version, query: Query, caller: str) -> Found:
        assert query.page is not None
        key, offset = query.page
        async with acquire(self._pool) as connection:
            row = await self._remembered(connection, version, key, query.type, caller)
            limited = None if row["limited"] is None else frozenset(row["limited"])
            if limited != query.limited_to:
                raise _page_gone()  # Who has another patient now has no part in what was found then.
            asked = replace(self._parsed(version, row["query"]), limited_to=limited)
            await self._parameters.hold(connection, version, asked)
            return await self._part(connection, version, asked, row, offset)

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
        most = self._limits.remembered
        if offset >= most and offset < len(row["ids"]):
            raise TooCostly(
                f"the pages of a search hold {most} matches (setting limits.remembered), and this one has more: "
                "add a condition to make it narrower"
            )
        following = min(offset + self._size(query), most)
        part = slice(offset, following)
        statement = self._statement(version)
        text = sql.remembered(
            statement,
            query,
            row["types"][part],
            row["ids"][part],
            row["versions"][part],
            self._limits.includes,
        )
        rows = await connection.fetch(text, *statement.arguments)
        matches = [r for r in rows if r["via"] is None]
        total = None
        if query.total != "none" and len(row["ids"]) <= most:
            total = len(row["ids"])
        elif _counts(query):
            total = await self._count(connection, version, query)
        return Found(
            query,
            tuple(_stored(m) for m in matches),
            await self._included(connection, version, query, rows, matches),
            total=total,
            patients=patients,
            next_page=(row["key"], following) if following < len(row["ids"]) else None,
        )

    # -- includes ------------------------------------------------------------------------------------------

    async def _included(
        self,
        connection: Connection,
        version: Version,
        query: Query,
        rows: Iterable[asyncpg.Record],
        matches: list[asyncpg.Record],
    ) -> tuple[Included, ...]:
        """What the matches include (in `rows`), and by includes that repeat what that includes in turn."""
        led: dict[int, set[str]] = {m["rid"]: {f"{m['type']}/{m['id']}"} for m in matches}
        included: list[asyncpg.Record] = []
        reached = [r for r in rows if r["via"] is not None]
        repeats = any(i.iterate for i in (*query.includes, *query.revincludes))
        for depth in range(self._limits.include_depth + 1):
            for row in reached:
                led[row["rid"]] = set().union(*(led.get(source, ()) for source in row["via"]))
            included += reached
            if len(included) > self._limits.includes:
                raise TooCostly(
                    f"includes bring more than {self._limits.includes} resources to this page "
                    "(setting limits.includes): ask for smaller pages (_count) or less includes"
                )
            if not reached or not repeats:
                break
            last = depth == self._limits.include_depth
            left = 0 if last else self._limits.includes - len(included)
            statement = self._statement(version)
            frontier = [sql.Reached(r["rid"], r["type"], r["id"]) for r in reached]
            text = sql.iterated(statement, query, frontier, list(led), left)
            reached = await connection.fetch(text, *statement.arguments)
            if last and reached:
                raise TooCostly(
                    f"includes that repeat still bring more after {self._limits.include_depth} rounds "
                    "(setting limits.include_depth)"
                )
        return tuple(Included(_stored(r), tuple(sorted(led[r["rid"]]))) for r in included)


def _counts(query: Query) -> bool:
    return query.total in ("accurate", "estimate")


def _written(query: Query) -> str:
    """A query as it is kept with its pages: type, `$lastn` or compartment, and parameters. What only says which are
    found (`during`, the compartments of all) is not asked again."""
    rest = "$lastn" if query.last is not None else ""
    if query.compartment is not None and query.compartment[1]:
        rest = "@{}/{}".format(*query.compartment)
    return f"{query.type}/{rest}?{query.self_link()}"


def _page_gone() -> Gone:
    return Gone(
        "this page is no longer there: pages are kept for ten minutes, for the caller that searched; search again",
        code="page-gone",
        issue="not-found",
    )


def _stored(row: asyncpg.Record) -> Stored:
    return Stored(row["type"], row["id"], row["version"], row["updated"], unpack(row["body"]))
