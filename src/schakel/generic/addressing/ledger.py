"""What is kept of the directories that are followed: how far each was followed, and what is not right with it.

The rows change only under the turn of a source: who runs it takes a turn (`begin`), and each transaction of that run
first makes sure that it is still that turn's (`hold`), so that a run that was overtaken writes nothing more.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Literal

import asyncpg

from schakel.kernel.outcomes import Conflict, NotFound
from schakel.store.connection import Connection, acquire

CursorState = Literal["initial", "catching-up", "in-step"]

_SOURCE = (
    "name, kind, base, parent, authority, called, in_step, turn, whole, run_after, tried, succeeded, failures, error, "
    "report"
)
_NO_RESOURCE = ("", "")


@dataclass(frozen=True, slots=True)
class Source:
    """A directory that is followed. `in_step` is the last moment at which all it had was here, None before that was
    ever so; `error` is why the last run failed, '' when it did not. The rest is as in migration 0013."""

    name: str
    kind: str
    base: str
    parent: str = ""
    authority: str = ""
    called: str = ""
    in_step: datetime | None = None
    turn: int = 0
    whole: int = 0
    run_after: datetime | None = None
    tried: datetime | None = None
    succeeded: datetime | None = None
    failures: int = 0
    error: str = ""
    report: str = ""

    @property
    def key(self) -> str:
        """What the ids here are made of: two organisations with one directory have nothing in common, and neither have
        two roots that name one, nor a directory that is read in two ways."""
        told = (self.base, "" if self.kind == "central" else self.kind, self.authority, self.parent)
        return "|".join(part for part in told if part)


@dataclass(frozen=True, slots=True)
class Cursor:
    """How far a type of a source was followed: see migration 0013."""

    type: str
    state: CursorState = "initial"
    since: str = ""
    next: str = ""


@dataclass(frozen=True, slots=True)
class Finding:
    """What is not right with a resource of a source, or with the source itself when `type` and `remote` are ''."""

    type: str
    remote: str
    code: str
    sentence: str


@dataclass(frozen=True, slots=True)
class KnownFinding:
    """A finding as it is kept."""

    source: str
    finding: Finding
    first_seen: datetime
    last_seen: datetime
    resolved: datetime | None


class Ledger:
    """The sources, cursors and findings of the query directory, which is tenant `tenant`."""

    def __init__(self, pool: asyncpg.Pool, tenant: int) -> None:
        self._pool = pool
        self.tenant = tenant

    # -- sources -------------------------------------------------------------------------------------------

    async def sources(self) -> list[Source]:
        """All that are followed, by name."""
        async with acquire(self._pool) as connection:
            rows = await connection.fetch(
                f"SELECT {_SOURCE} FROM directory_source WHERE tenant = $1 ORDER BY name", self.tenant
            )
        return [Source(**dict(row)) for row in rows]

    async def concerning(self, ura: str, *, received: bool) -> list[Source]:
        """Those of the settings, and beside them those that have an organisation with this URA, by name. `received` is
        whether the settings let somebody else write here: without it, what was ever written so is of the settings no
        longer."""
        async with acquire(self._pool) as connection:
            rows = await connection.fetch(
                f"SELECT {_SOURCE} FROM directory_source s WHERE tenant = $1 AND ("
                "(parent = '' AND (kind <> 'received' OR $3)) OR EXISTS ("
                "SELECT FROM directory_resource r WHERE r.tenant = $1 AND r.ura = $2 AND r.source = s.name "
                "AND r.type = 'Organization' AND r.state IN ('live', 'off'))) ORDER BY name",
                self.tenant,
                ura,
                received,
            )
        return [Source(**dict(row)) for row in rows]

    async def source(self, name: str) -> Source:
        """The source of that name. Raises `NotFound`."""
        async with acquire(self._pool) as connection:
            row = await connection.fetchrow(
                f"SELECT {_SOURCE} FROM directory_source WHERE tenant = $1 AND name = $2", self.tenant, name
            )
        if row is None:
            raise NotFound(f"no directory {name!r} is followed", code="source-unknown")
        return Source(**dict(row))

    async def follow(self, source: Source) -> None:
        """Follows it from now on; one that is followed already goes on, and gets what its root calls it now."""
        async with acquire(self._pool) as connection:
            await connection.execute(
                "INSERT INTO directory_source (tenant, name, kind, base, parent, authority, called) "
                "VALUES ($1, $2, $3, $4, $5, $6, $7) ON CONFLICT (tenant, name) DO UPDATE SET "
                "whole = CASE WHEN directory_source.called = $7 THEN directory_source.whole ELSE -1 END, called = $7",
                self.tenant,
                source.name,
                source.kind,
                source.base,
                source.parent,
                source.authority,
                source.called,
            )

    async def forget(self, name: str) -> None:
        """Nothing is known of a source any more; its resources are gone already."""
        async with acquire(self._pool) as connection, connection.transaction():
            for table, column in (
                ("directory_resource", "source"),
                ("directory_cursor", "source"),
                ("directory_finding", "source"),
                ("directory_source", "name"),
            ):
                await connection.execute(
                    f"DELETE FROM {table} WHERE tenant = $1 AND {column} = $2", self.tenant, name
                )

    async def due(self, names: Sequence[str], parents: Sequence[str], busy: Iterable[str]) -> str:
        """The source that has waited longest for its next run, of those with these names or found by these roots and
        not in `busy`; '' when none is due."""
        async with acquire(self._pool) as connection:
            found: str | None = await connection.fetchval(
                "SELECT name FROM directory_source WHERE tenant = $1 AND run_after <= clock_timestamp() "
                "AND (name = ANY ($2) OR parent = ANY ($3)) AND NOT name = ANY ($4) ORDER BY run_after, name LIMIT 1",
                self.tenant,
                list(names),
                list(parents),
                list(busy),
            )
        return found or ""

    async def begin(self, name: str) -> Source:
        """Takes the next turn of a source. One that must be read as a whole again (`whole` is -1) starts with that."""
        async with acquire(self._pool) as connection, connection.transaction():
            row = await connection.fetchrow(
                "UPDATE directory_source SET turn = turn + 1, tried = clock_timestamp(), "
                "whole = CASE WHEN whole = 0 AND in_step IS NOT NULL THEN 0 WHEN whole > 0 THEN whole "
                f"ELSE turn + 1 END WHERE tenant = $1 AND name = $2 RETURNING {_SOURCE}",
                self.tenant,
                name,
            )
            if row is None:
                raise NotFound(f"no directory {name!r} is followed", code="source-unknown")
            source = Source(**dict(row))
            if source.whole == source.turn:
                await connection.execute(
                    "DELETE FROM directory_cursor WHERE tenant = $1 AND source = $2", self.tenant, name
                )
                # What is read as a whole is what there is now, also when the directory began to count anew.
                await connection.execute(
                    "UPDATE directory_resource SET version = '', updated = NULL "
                    "WHERE tenant = $1 AND source = $2 AND (version <> '' OR updated IS NOT NULL)",
                    self.tenant,
                    name,
                )
                await connection.execute(
                    "UPDATE directory_finding SET resolved = now() WHERE tenant = $1 AND source = $2 AND type <> '' "
                    "AND code <> 'ura-conflict' AND resolved IS NULL",
                    self.tenant,
                    name,
                )
        return source

    async def whole(self, name: str) -> None:
        """Lets the next run, which may come at once, read all of a source again."""
        await self._change(name, "whole = -1, run_after = now()")

    async def soon(self, name: str) -> None:
        """Lets the next run of a source come at once."""
        await self._change(name, "run_after = now()")

    async def done(self, source: Source, report: str, wait: timedelta) -> None:
        """The run that `source` was begun for is done: all that it had then is here. The next comes after `wait`."""
        async with acquire(self._pool) as connection, connection.transaction():
            await self.hold(connection, source)
            await connection.execute(
                "UPDATE directory_source SET in_step = $3, succeeded = clock_timestamp(), failures = 0, error = '', "
                "whole = CASE WHEN whole < 0 THEN whole ELSE 0 END, report = $4, "
                "run_after = CASE WHEN whole < 0 THEN clock_timestamp() ELSE clock_timestamp() + $5 END "
                "WHERE tenant = $1 AND name = $2",
                self.tenant,
                source.name,
                source.tried,
                report,
                wait,
            )
            # Of the source itself, what this run did not find again.
            await connection.execute(
                "UPDATE directory_finding SET resolved = now() WHERE tenant = $1 AND source = $2 AND type = '' "
                "AND last_seen < $3 AND resolved IS NULL",
                self.tenant,
                source.name,
                source.tried,
            )

    async def failed(self, source: Source, why: str, wait: timedelta) -> None:
        """The run failed; it is tried again after `wait`, from where it was."""
        async with acquire(self._pool) as connection, connection.transaction():
            await self.hold(connection, source)
            await connection.execute(
                "UPDATE directory_source SET failures = failures + 1, error = $3, run_after = clock_timestamp() + $4 "
                "WHERE tenant = $1 AND name = $2",
                self.tenant,
                source.name,
                why,
                wait,
            )
            await self.put_findings(connection, source.name, [Finding("", "", "source-failed", why)])

    async def _change(self, name: str, assignments: str) -> None:
        async with acquire(self._pool) as connection:
            await connection.execute(
                f"UPDATE directory_source SET {assignments} WHERE tenant = $1 AND name = $2",
                self.tenant,
                name,
            )

    async def hold(self, connection: Connection, source: Source) -> None:
        """Makes sure, until the end of the transaction, that nobody has taken the next turn. Raises `Conflict`."""
        turn = await connection.fetchval(
            "SELECT turn FROM directory_source WHERE tenant = $1 AND name = $2 FOR UPDATE",
            self.tenant,
            source.name,
        )
        if turn != source.turn:
            raise Conflict(
                f"another run of directory {source.name!r} has begun meanwhile", code="source-overtaken"
            )

    # -- cursors -------------------------------------------------------------------------------------------

    async def cursors(self, name: str) -> dict[str, Cursor]:
        """How far each type of a source was followed."""
        async with acquire(self._pool) as connection:
            rows = await connection.fetch(
                "SELECT type, state, since, next FROM directory_cursor WHERE tenant = $1 AND source = $2",
                self.tenant,
                name,
            )
        return {row["type"]: Cursor(**dict(row)) for row in rows}

    async def put_cursors(self, connection: Connection, name: str, cursors: Iterable[Cursor]) -> None:
        """Keeps how far types were followed, in a transaction."""
        for cursor in cursors:
            await connection.execute(
                "INSERT INTO directory_cursor (tenant, source, type, state, since, next) "
                "VALUES ($1, $2, $3, $4, $5, $6) ON CONFLICT (tenant, source, type) "
                "DO UPDATE SET state = $4, since = $5, next = $6",
                self.tenant,
                name,
                cursor.type,
                cursor.state,
                cursor.since,
                cursor.next,
            )

    # -- findings ------------------------------------------------------------------------------------------

    async def findings(self, name: str = "", *, resolved: bool = False) -> list[KnownFinding]:
        """Those of a source, of all without a name; only those that still hold unless `resolved`."""
        async with acquire(self._pool) as connection:
            rows = await connection.fetch(
                "SELECT source, type, remote, code, sentence, first_seen, last_seen, resolved FROM directory_finding "
                "WHERE tenant = $1 AND ($2 = '' OR source = $2) AND ($3 OR resolved IS NULL) "
                "ORDER BY source, type, remote, code",
                self.tenant,
                name,
                resolved,
            )
        return [
            KnownFinding(
                row["source"],
                Finding(row["type"], row["remote"], row["code"], row["sentence"]),
                row["first_seen"],
                row["last_seen"],
                row["resolved"],
            )
            for row in rows
        ]

    async def note(self, name: str, findings: Sequence[Finding]) -> None:
        """Keeps findings."""
        async with acquire(self._pool) as connection, connection.transaction():
            await self.put_findings(connection, name, findings)

    async def put_findings(self, connection: Connection, name: str, findings: Sequence[Finding]) -> None:
        """Keeps findings in a transaction; one that was resolved holds again."""
        await connection.executemany(
            "INSERT INTO directory_finding AS known (tenant, source, type, remote, code, sentence) "
            "VALUES ($1, $2, $3, $4, $5, $6) ON CONFLICT (tenant, source, type, remote, code) DO UPDATE SET "
            "sentence = $6, last_seen = now(), resolved = NULL, "
            "first_seen = CASE WHEN known.resolved IS NULL THEN known.first_seen ELSE now() END",
            [(self.tenant, name, one.type, one.remote, one.code, one.sentence) for one in findings],
        )

    async def resolve(
        self, connection: Connection, name: str, resources: Sequence[tuple[str, str]] = (_NO_RESOURCE,)
    ) -> None:
        """What was found on these resources (type, id there) holds no longer, but for a conflict with another source:
        that is judged when all is read."""
        await connection.execute(
            "UPDATE directory_finding f SET resolved = now() "
            "FROM unnest($3::text[], $4::text[]) AS good (type, remote) "
            "WHERE f.tenant = $1 AND f.source = $2 AND f.resolved IS NULL AND f.type = good.type "
            "AND f.remote = good.remote AND f.code <> 'ura-conflict'",
            self.tenant,
            name,
            [kind for kind, _ in resources],
            [remote for _, remote in resources],
        )
