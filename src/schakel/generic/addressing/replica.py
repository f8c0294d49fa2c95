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
import hashlib
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field, replace
from datetime import datetime
from typing import Any

import asyncpg

from schakel.fhir.json import Resource, dump
from schakel.generic.addressing.copying import TYPES, Copied, Problem, copy, is_id, local_id
from schakel.generic.addressing.ledger import Cursor, Finding, Ledger, Source
from schakel.sources import Write
from schakel.store.connection import Connection, acquire
from schakel.store.resources import Store

BATCH = 1000
"""Changes in one transaction."""

_ROW = "type, remote, id, state, version, updated, hash, ura, owner, links, called, seen"


@dataclass(frozen=True, slots=True)
class Change:
    """What a source says of a resource: what it is now, or that it is deleted (`resource` is None). `version` and
    `updated` are what the source says of that version, '' and None when it says nothing.

    With `noted` the resource is not to be kept here, only known; `called` is then what is remembered of it. With
    `refused` a rule forbids to take it from this source: what was taken before goes, also when `resource` is not given.
    """

    type: str
    id: str
    resource: Resource | None
    version: str = ""
    updated: datetime | None = None
    noted: bool = False
    called: str = ""
    refused: Problem | None = None


@dataclass(frozen=True, slots=True)
class Applied:
    """How many resources were made, changed, left as they were, ended (deleted or switched off) and not taken."""

    created: int = 0
    updated: int = 0
    unchanged: int = 0
    ended: int = 0
    refused: int = 0

    def __add__(self, other: Applied) -> Applied:
        return Applied(
            self.created + other.created,
            self.updated + other.updated,
            self.unchanged + other.unchanged,
            self.ended + other.ended,
            self.refused + other.refused,
        )

    @property
    def changed(self) -> bool:
        """Whether the query directory is not what it was."""
        return bool(self.created or self.updated or self.ended)


@dataclass(frozen=True, slots=True)
class Entry:
    """A resource of a source, as migration 0013 says."""

    type: str
    remote: str
    id: str
    state: str
    version: str
    updated: datetime | None
    hash: bytes
    ura: str
    owner: str
    links: str
    called: str
    seen: int

    @property
    def here(self) -> bool:
        """Whether it is in the query directory."""
        return self.state in ("live", "off")


@dataclass
class Batch:
    """A transaction in the making; writes by type and id here, rows by type and id there."""

    writes: dict[tuple[str, str], Write] = field(default_factory=dict)
    rows: dict[tuple[str, str], Entry] = field(default_factory=dict)
    findings: dict[tuple[str, str, str], Finding] = field(default_factory=dict)
    good: set[tuple[str, str]] = field(default_factory=set)
    counts: dict[str, int] = field(default_factory=dict)

    def count(self, what: str) -> None:
        self.counts[what] = self.counts.get(what, 0) + 1

    def found(self, kind: str, remote: str, problem: Problem) -> None:
        self.good.discard((kind, remote))
        self.findings[kind, remote, problem.code] = Finding(kind, remote, problem.code, problem.sentence)


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
            _add(batch, source, change, known)
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
        async with acquire(self._pool) as connection:
            rows = await connection.fetch(
                f"SELECT {_ROW} FROM directory_resource JOIN unnest($3::text[], $4::text[]) AS asked (type, remote) "
                "USING (type, remote) WHERE tenant = $1 AND source = $2",
                self.ledger.tenant,
                name,
                [change.type for change in changes],
                [change.id for change in changes],
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


def _add(batch: Batch, source: Source, change: Change, known: dict[tuple[str, str], Entry]) -> None:
    """Puts one change into the transaction; `known` is kept up, as a later change may be of the same resource."""
    kind, remote = change.type, change.id
    if kind not in TYPES or not is_id(remote):
        sentence = "no resource of a type that is taken from directories, or one without id"
        batch.found(str(kind)[:64], str(remote)[:256], Problem("resource-unknown", sentence))
        batch.count("refused")
        return
    entry = known.get((kind, remote))
    if entry is not None and _older(change, entry):
        batch.count("unchanged")
        _met(batch, source, entry, known)
        return
    logical_id = local_id(source.key, kind, remote)
    if change.resource is None and change.refused is not None:
        _withdrawn(batch, change.refused, entry, known)
        return
    if change.resource is None:
        _gone(batch, source, change, entry, logical_id, known)
        return
    copied = copy(source.base, source.key, kind, remote, change.resource)
    problem = change.refused or copied.problem
    batch.good.add((kind, remote))
    state = "refused" if problem else "noted" if change.noted else copied.state
    digest = b""
    if problem is not None:
        batch.found(kind, remote, problem)
        batch.count("refused")
        keep = problem is not change.refused and problem.code not in _FINAL and copied.state == "live"
        if keep and entry is not None:
            # The version before it stays, and it stays known that this one was not taken.
            _met(batch, source, entry, known)
            return
        if entry is None and problem is not change.refused:
            return
    if state in ("live", "off"):
        digest = hashlib.sha256(dump(copied.resource)).digest()
        same = entry is not None and entry.here and entry.hash == digest
        if not same:
            batch.writes[kind, logical_id] = Write("PUT", kind, logical_id, copied.resource)
        ended = entry is not None and entry.state == "live" and state == "off"
        new = entry is None or not entry.here
        batch.count("unchanged" if same else "ended" if ended else "created" if new else "updated")
    elif entry is not None and entry.here:
        batch.writes[kind, logical_id] = Write("DELETE", kind, logical_id)
        batch.count("ended")
    _put(batch, known, _row(source, change, entry, logical_id, state, digest, copied))


_FINAL = frozenset({"ura-many"})
"""What is wrong with an organisation itself: then the version before is no longer believed either."""


def _gone(
    batch: Batch,
    source: Source,
    change: Change,
    entry: Entry | None,
    logical_id: str,
    known: dict[tuple[str, str], Entry],
) -> None:
    """The source deleted it. One that was never seen is remembered as well: an older version may come late."""
    batch.good.add((change.type, change.id))
    if entry is not None and entry.here:
        batch.writes[change.type, logical_id] = Write("DELETE", change.type, logical_id)
        batch.count("ended")
    else:
        batch.count("unchanged")
    _put(batch, known, _row(source, change, entry, logical_id, "gone", b"", None))


def _withdrawn(
    batch: Batch, problem: Problem, entry: Entry | None, known: dict[tuple[str, str], Entry]
) -> None:
    """What was taken before may not be kept any more."""
    if entry is not None and entry.here:
        batch.found(entry.type, entry.remote, problem)
        batch.writes[entry.type, entry.id] = Write("DELETE", entry.type, entry.id)
        batch.count("ended")
        _put(batch, known, replace(entry, state="refused", hash=b""))


def _row(
    source: Source,
    change: Change,
    entry: Entry | None,
    logical_id: str,
    state: str,
    digest: bytes,
    copied: Copied | None,
) -> Entry:
    """Of a version of which the source does not say which it is, the one before it is remembered."""
    version, updated = change.version, change.updated
    if not version and updated is None and entry is not None:
        version, updated = entry.version, entry.updated
    if state == "noted" and copied is not None and copied.state == "off":
        state = "gone"
    return Entry(
        change.type,
        change.id,
        logical_id,
        state,
        version,
        updated,
        digest,
        copied.ura if copied else "",
        copied.owner if copied else "",
        " ".join(copied.links) if copied else "",
        change.called if copied else "",
        source.whole or (entry.seen if entry else 0),
    )


def _put(batch: Batch, known: dict[tuple[str, str], Entry], entry: Entry) -> None:
    batch.rows[entry.type, entry.remote] = known[entry.type, entry.remote] = entry


def _met(batch: Batch, source: Source, entry: Entry, known: dict[tuple[str, str], Entry]) -> None:
    """It stays as it is, and is still there."""
    if source.whole and entry.seen < source.whole:
        _put(batch, known, replace(entry, seen=source.whole))


def _older(change: Change, entry: Entry) -> bool:
    return age(change, entry.version, entry.updated, gone=entry.state == "gone") < 0


def age(change: Change, version: str, updated: datetime | None, *, gone: bool = False) -> int:
    """Whether a change is of a version before (-1) or after (1) this one, or nobody can tell (0). The numbers of the
    versions say so, the times where these are no numbers or the same. Where one of the two is a deletion (`gone`) the
    times come first: what is made again may count anew."""
    number = _sign(_number(change.version), _number(version))
    time = _sign(change.updated, updated)
    return (time or number) if gone or change.resource is None else (number or time)


def _number(version: str) -> int | None:
    return int(version) if version.isascii() and version.isdigit() and len(version) < 19 else None


def _sign(new: Any, old: Any) -> int:
    """-1, 0 or 1; 0 when one of the two is not known."""
    return 0 if new is None or old is None else (new > old) - (new < old)
