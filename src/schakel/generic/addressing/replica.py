"""The replica: what other directories say, as FHIR resources of the query directory.

    changes of a source -> which are news -> fit to be kept -> one transaction: resources, where they are from, cursor

A transaction holds the resources, the rows that say where they are from, the findings on them and how far the source
was followed, so that a process that is killed leaves all of it or nothing. Applying the same changes again, in whatever
order they come, ends in the same: an older version never takes the place of a newer one.

What a directory deletes is deleted here too, and not marked as inactive: the history keeps what it was, a search no
longer finds it, and nothing is written here that its directory did not say. What it switches off stays, switched off.
A new version that is broken leaves the one before it in place, unless it says that the resource is switched off.
"""

from __future__ import annotations

import asyncio
from collections.abc import Iterable, Sequence
from typing import Any

import asyncpg

from schakel.generic.addressing.applying import Applied, Batch, Change, Entry, add, fit
from schakel.generic.addressing.ledger import Cursor, Finding, Ledger, Source
from schakel.store.connection import Connection, acquire
from schakel.store.resources import Store

__all__ = ["BATCH", "Applied", "Change", "Entry", "Replica"]

BATCH = 1000
"""Changes in one transaction."""

_ROW = "type, remote, id, state, version, updated, hash, ura, owner, links, called, seen"


class Replica:
    """Writes into the query directory. `store` is that of its tenant."""

    def __init__(self, pool: asyncpg.Pool, store: Store, ledger: Ledger) -> None:
        self._pool = pool
        self._store = store
        self.ledger = ledger

    async def apply(
        self, source: Source, changes: Sequence[Change], cursors: Sequence[Cursor] = ()
    ) -> Applied:
        """Applies the changes of a source, of which each comes after those before it; `cursors` are kept with the last
        of them. Raises `Conflict` when another run of the source has begun, and `Busy`."""
        applied = Applied()
        for start in range(0, max(len(changes), 1), BATCH):
            last = start + BATCH >= len(changes)
            batch = await self.prepare(source, changes[start : start + BATCH])
            applied += await self.commit(source, batch, cursors if last else ())
        return applied

    async def prepare(self, source: Source, changes: Sequence[Change]) -> Batch:
        """The transaction that applies these changes, not done yet. A long reading prepares one while the one before it
        is written."""
        known = await self._known(source.name, changes)
        batch = Batch()
        for number, change in enumerate(changes):
            if number % 25 == 24:
                await asyncio.sleep(0)  # Others must not wait for a large batch.
            add(batch, source, change, known)
        return batch

    async def commit(self, source: Source, batch: Batch, cursors: Sequence[Cursor] = ()) -> Applied:
        """Does the transaction; see `apply`."""
        ledger = self.ledger

        async def beside(connection: Connection) -> None:
            await ledger.hold(connection, source)
            await self._put(connection, source.name, batch.rows.values())
            if batch.findings:
                await ledger.put_findings(connection, source.name, list(batch.findings.values()))
            if batch.good:
                await ledger.resolve(connection, source.name, sorted(batch.good))
            await ledger.put_cursors(connection, source.name, cursors)

        await self._store.write("r4", list(batch.writes.values()), beside=beside)
        return Applied(**batch.counts)

    async def _put(self, connection: Connection, name: str, rows: Iterable[Entry]) -> None:
        rows = list(rows)
        if not rows:
            return
        columns = [[getattr(row, column) for row in rows] for column in _ROW.split(", ")]
        await connection.execute(
            f"INSERT INTO directory_resource (tenant, source, {_ROW}) SELECT $1, $2, * FROM unnest($3::text[], "
            "$4::text[], $5::text[], $6::text[], $7::text[], $8::timestamptz[], $9::bytea[], $10::text[], "
            "$11::text[], $12::text[], $13::text[], $14::bigint[]) ON CONFLICT (tenant, source, type, remote) "
            "DO UPDATE SET state = excluded.state, version = excluded.version, updated = excluded.updated, "
            "hash = excluded.hash, ura = excluded.ura, owner = excluded.owner, links = excluded.links, "
            "called = excluded.called, seen = excluded.seen",
            self.ledger.tenant,
            name,
            *columns,
        )

    async def _known(self, name: str, changes: Sequence[Change]) -> dict[tuple[str, str], Entry]:
        keys = [(change.type, change.id) for change in changes if fit(change)]
        async with acquire(self._pool) as connection:
            rows = await connection.fetch(
                f"SELECT {_ROW} FROM directory_resource JOIN unnest($3::text[], $4::text[]) AS asked (type, remote) "
                "USING (type, remote) WHERE tenant = $1 AND source = $2",
                self.ledger.tenant,
                name,
                [kind for kind, _ in keys],
                [remote for _, remote in keys],
            )
        return {(row["type"], row["remote"]): Entry(**dict(row)) for row in rows}

    # -- what a source has -----------------------------------------------------------------------------------

    async def entries(self, name: str) -> list[Entry]:
        """All that is known of the resources of a source."""
        async with acquire(self._pool) as connection:
            rows = await connection.fetch(
                f"SELECT {_ROW} FROM directory_resource WHERE tenant = $1 AND source = $2 ORDER BY type, remote",
                self.ledger.tenant,
                name,
            )
        return [Entry(**dict(row)) for row in rows]

    async def sweep(self, source: Source, kind: str) -> Applied:
        """Ends what a source no longer has, after all of a type was read: what the turn `source.whole` did not see."""
        applied = Applied()
        while gone := await self._unseen(source, kind):
            applied += await self.apply(source, [Change(kind, remote, None) for remote in gone])
        return applied

    async def _unseen(self, source: Source, kind: str) -> list[str]:
        async with acquire(self._pool) as connection:
            rows = await connection.fetch(
                "SELECT remote FROM directory_resource WHERE tenant = $1 AND source = $2 AND type = $3 AND seen < $4 "
                "AND state <> 'gone' LIMIT $5",
                self.ledger.tenant,
                source.name,
                kind,
                source.whole,
                BATCH,
            )
        return [row["remote"] for row in rows]

    async def leave(self, name: str) -> Applied:
        """Takes everything of a source out of the query directory and forgets it: it is no longer followed."""
        source = await self.ledger.begin(name)
        entries = [one for one in await self.entries(name) if one.state != "gone"]
        applied = await self.apply(source, [Change(one.type, one.remote, None) for one in entries])
        await self.ledger.forget(name)
        return applied

    # -- one URA, one organisation ---------------------------------------------------------------------------

    async def judge(self) -> None:
        """Finds the URAs that more than one organisation has, of one source or of several, and writes each down at all
        of them. A part that has the number of the organisation it is part of is no other organisation."""
        async with acquire(self._pool) as connection:
            rows = await connection.fetch(
                "SELECT r.source, r.remote, r.id, r.owner, r.ura FROM directory_resource r JOIN ("
                "SELECT ura FROM directory_resource WHERE tenant = $1 AND ura <> '' AND state = 'live' "
                "GROUP BY ura HAVING count(*) > 1) AS shared USING (ura) "
                "WHERE r.tenant = $1 AND r.ura <> '' AND r.state = 'live' ORDER BY r.ura, r.source, r.remote",
                self.ledger.tenant,
            )
        same: dict[str, list[Any]] = {}
        for row in rows:
            same.setdefault(row["ura"], []).append(row)
        found: dict[str, list[Finding]] = {}
        for ura, organisations in same.items():
            ids = {one["id"] for one in organisations}
            tops = [one for one in organisations if one["owner"] not in ids]
            if len(tops) < 2:
                continue
            names = ", ".join(f"{one['source']} (Organization/{one['remote']})" for one in tops[:5])
            sentence = f"URA {ura} is that of more than one organisation: {names}"
            for one in tops:
                conflict = Finding("Organization", one["remote"], "ura-conflict", sentence)
                found.setdefault(one["source"], []).append(conflict)
        async with acquire(self._pool) as connection, connection.transaction():
            await connection.execute(
                "UPDATE directory_finding SET resolved = now() WHERE tenant = $1 AND code = 'ura-conflict' "
                "AND resolved IS NULL AND NOT (source, remote) IN (SELECT * FROM unnest($2::text[], $3::text[]))",
                self.ledger.tenant,
                [name for name, findings in found.items() for _ in findings],
                [one.remote for findings in found.values() for one in findings],
            )
            for name, findings in found.items():
                await self.ledger.put_findings(connection, name, findings)
