"""Histories: of one resource by version, of a type and of everything in the order of commit.

Source: FHIR http.html, history. A feed (type, system) is ordered by the position of a version, see migration 0004.
Transactions end in another order than they began, so that a feed ends before the oldest one that is still open:
what is shown is never preceded later by what was not. A page names the bounds of its feed in its cursor, so that
following the pages gives each version once, whatever is written meanwhile.

Who polls with the largest `lastUpdated` seen, or with that of the Bundle, misses nothing: `since` gives every
version from the first position on that holds one updated at or after it, which may be a few more than asked.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta

import asyncpg

from schakel.fhir.definitions import Version
from schakel.kernel.outcomes import Invalid, NotFound
from schakel.sources import Change, Changes, HistoryQuery, Stored
from schakel.store.connection import Connection, acquire
from schakel.store.database import unpack
from schakel.store.indexing import FHIR_NUMBER
from schakel.store.sql import Statement, moment

_CURSOR = re.compile(
    r"(\d{1,19})\.(\d{1,19})\.(\d{1,15})\.(\d{1,19})\.(\d{1,9})\.([A-Za-z]{1,60})\.([A-Za-z0-9\-.]{1,64})"
)
_COLUMNS = "type, id, version, updated, deleted, method, xid, body"
_NOTHING = 2**63 - 1
_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)


@dataclass(frozen=True, slots=True)
class _Bounds:
    """Positions from `lower` up to, not including, `upper`; before `settled` nothing can appear any more. `after`
    is the place (position, type, id, version) of the last version of the page before."""

    upper: int
    lower: int
    settled: datetime
    after: tuple[int, str, str, int] | None = None

    def cursor(self, row: asyncpg.Record) -> str:
        """The cursor of the page that follows `row`."""
        settled = (self.settled - _EPOCH) // timedelta(milliseconds=1)
        place = f"{row['xid']}.{row['version']}.{row['type']}.{row['id']}"
        return f"{self.upper}.{self.lower}.{settled}.{place}"


def _bounds_of(cursor: str) -> _Bounds:
    """Raises `Invalid` when `cursor` is none of ours."""
    match = _CURSOR.fullmatch(cursor)
    if match is None or max(int(match[n]) for n in (1, 2, 4)) >= 2**63:
        raise Invalid("_page is not a page link of this server", expression="_page")
    settled = _EPOCH + timedelta(milliseconds=min(int(match[3]), 2**47))
    after = (int(match[4]), match[6], match[7], int(match[5]))
    return _Bounds(int(match[1]), int(match[2]), settled, after)


class Histories:
    """The histories of one tenant; pages have `page` versions unless asked otherwise, at most `page_max`."""

    def __init__(self, pool: asyncpg.Pool, tenant: int, page: int, page_max: int) -> None:
        self._pool = pool
        self._tenant = tenant
        self._page = page
        self._page_max = page_max

    async def history(self, version: Version, query: HistoryQuery) -> Changes:
        """See `schakel.sources.Source.history`."""
        size = self._page if query.count is None else min(query.count, self._page_max)
        async with acquire(self._pool) as connection:
            if query.id:
                await self._known(connection, version, query)
            bounds = await self._bounds(connection, version, query)
            rows: list[asyncpg.Record] = []
            if size > 0:
                statement = Statement(self._tenant, version)
                text = _page(statement, query, bounds, size + 1)
                rows = await connection.fetch(text, *statement.arguments)
            more = len(rows) > size
            total = None
            if size == 0 or (query.id and (more or query.cursor)):
                statement = Statement(self._tenant, version)
                total = await connection.fetchval(_count(statement, query, bounds), *statement.arguments)
            elif not more and not query.cursor:
                total = len(rows)
        rows = rows[:size]
        return Changes(
            tuple(_change(row) for row in rows),
            bounds.settled,
            total,
            bounds.cursor(rows[-1]) if more else "",
        )

    async def _known(self, connection: Connection, version: Version, query: HistoryQuery) -> None:
        """Raises `NotFound` when the resource never was."""
        known = await connection.fetchval(
            "SELECT true FROM resource WHERE tenant = $1 AND fhir = $2 AND type = $3 AND id = $4",
            self._tenant,
            FHIR_NUMBER[version],
            query.type,
            query.id,
        )
        if not known:
            raise NotFound(f"{query.type}/{query.id} is not here")

    async def _bounds(self, connection: Connection, version: Version, query: HistoryQuery) -> _Bounds:
        """The bounds of a feed that starts now, or of the one that the cursor goes on with."""
        # The look at what is open comes before the snapshot: what ends in between is in the tables by then.
        look = await connection.fetchrow(
            "SELECT clock_timestamp() AS moment, "
            "(SELECT min(xact_start) FROM pg_stat_activity WHERE backend_xid IS NOT NULL) AS opened"
        )
        statement = Statement(self._tenant, version)
        now = await connection.fetchrow(_limits(statement, query), *statement.arguments)
        assert look is not None and now is not None
        upper: int = now["upper"]
        if query.cursor:  # Made by us as a rule; whatever it says, no more is shown than is settled.
            bounds = _bounds_of(query.cursor)
            return _Bounds(min(upper, bounds.upper), bounds.lower, bounds.settled, bounds.after)
        settled = min(m for m in (look["moment"], look["opened"], now["unsettled"]) if m is not None)
        lower = 0 if query.since is None else _NOTHING if now["lower"] is None else now["lower"]
        return _Bounds(upper, lower, moment(settled))


def _limits(statement: Statement, query: HistoryQuery) -> str:
    """`upper`: the oldest transaction that is open; `unsettled`: the earliest time of what is committed at or after
    it; `lower`: the first position with a version updated at or after `since`."""
    lower = "NULL::xid8"
    if query.since is not None and not query.cursor:
        since = statement.argument(query.since)
        # OFFSET 0: found by time, never by walking the positions from the first one on.
        lower = _least(
            "xid", f"SELECT xid FROM {{}} AND t.updated >= {since}{_whose(statement, query)} OFFSET 0"
        )
    unsettled = _least(
        "updated", "SELECT updated FROM {} AND t.xid >= pg_snapshot_xmin(pg_current_snapshot()) OFFSET 0"
    )
    return (
        f"SELECT pg_snapshot_xmin(pg_current_snapshot()) AS upper, {unsettled} AS unsettled, {lower} AS lower"
    )


def _least(column: str, text: str) -> str:
    """The least `column` of `text` over both tables, which take the place of {}."""
    parts = (
        f"(SELECT min({column}) FROM ({text.format(Statement.rows(table, 't'))}) AS found)"
        for table in ("resource", "history")
    )
    return f"least({', '.join(parts)})"


def _whose(statement: Statement, query: HistoryQuery) -> str:
    """The condition on type and id."""
    text = ""
    if query.type:
        text += f" AND t.type = {statement.argument(query.type)}"
    if query.id:
        text += f" AND t.id = {statement.argument(query.id)}"
    return text


def _conditions(statement: Statement, query: HistoryQuery, bounds: _Bounds) -> dict[str, str]:
    """What a version must be, by the table that it is in. The history of one resource has no upper bound: its
    versions are committed in their order."""
    text = _whose(statement, query)
    text += f" AND t.xid >= {statement.argument(bounds.lower)}::xid8"
    if not query.id:
        text += f" AND t.xid < {statement.argument(bounds.upper)}::xid8"
    current = replaced = text
    if query.at is not None:
        low, high = (statement.argument(m) for m in query.at)
        current = replaced = f"{text} AND t.updated < {high}"
        for table in ("resource", "history"):
            replaced += (
                f" AND NOT EXISTS (SELECT FROM {Statement.rows(table, 'n')} AND n.type = t.type AND n.id = t.id "
                f"AND n.version = t.version + 1 AND n.updated <= {low})"
            )
    return {"resource": current, "history": replaced}


def _page(statement: Statement, query: HistoryQuery, bounds: _Bounds, most: int) -> str:
    """One page: the columns of `_COLUMNS` and `created`."""
    direction, beyond = ("", ">") if query.oldest_first else (" DESC", "<")
    order = ", ".join(f"{name}{direction}" for name in (["version"] if query.id else _PLACE))
    conditions = _conditions(statement, query, bounds)
    after = ""
    if bounds.after is not None:
        position, kind, logical_id, number = bounds.after
        if query.id:
            after = f" AND t.version {beyond} {statement.argument(number)}"
        else:
            place = ", ".join(statement.argument(value) for value in (kind, logical_id, number))
            after = f" AND (t.xid, t.type, t.id, t.version) {beyond} ({statement.argument(position)}::xid8, {place})"
    limit = statement.argument(most)
    parts = (
        f"(SELECT {_COLUMNS} FROM {Statement.rows(table, 't')}{where}{after} ORDER BY {order} LIMIT {limit})"
        for table, where in conditions.items()
    )
    return (
        f"SELECT {_COLUMNS}, f.version = 1 OR EXISTS (SELECT FROM {Statement.rows('history', 'p')} "
        "AND p.type = f.type AND p.id = f.id AND p.version = f.version - 1 AND p.deleted) AS created "
        f"FROM ({' UNION ALL '.join(parts)} ORDER BY {order} LIMIT {limit}) AS f ORDER BY {order}"
    )


_PLACE = ("xid", "type", "id", "version")


def _count(statement: Statement, query: HistoryQuery, bounds: _Bounds) -> str:
    parts = (
        f"(SELECT count(*) FROM {Statement.rows(table, 't')}{where})"
        for table, where in _conditions(statement, query, bounds).items()
    )
    return f"SELECT {' + '.join(parts)}"


def _change(row: asyncpg.Record) -> Change:
    stored = Stored(
        row["type"], row["id"], row["version"], row["updated"], unpack(row["body"]), row["deleted"]
    )
    return Change(stored, row["method"], row["created"] and not row["deleted"])
