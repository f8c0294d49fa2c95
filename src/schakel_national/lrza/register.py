"""What the directory remembers: every version of every resource, and an index on the newest. One SQLite file.

Versions have a place, which grows, and a moment in milliseconds since 1970, which never shrinks as places grow: what is
read tells a moment, and nothing that is written later has an earlier one.
"""

from __future__ import annotations

import sqlite3
import threading
from collections.abc import Iterable, Iterator, Sequence
from contextlib import closing, contextmanager
from dataclasses import dataclass
from datetime import UTC, datetime
from functools import lru_cache
from itertools import islice
from pathlib import Path

from schakel.fhir import json
from schakel.fhir.json import Resource
from schakel.kernel.clock import instant, now
from schakel.kernel.outcomes import Invalid
from schakel_national.lrza.resources import Entry, entries

_TABLES = """
CREATE TABLE IF NOT EXISTS version (
    place INTEGER PRIMARY KEY, type TEXT, id TEXT, version INTEGER, moment INTEGER, method TEXT, body BLOB);
CREATE TABLE IF NOT EXISTS current (number INTEGER PRIMARY KEY, type TEXT, id TEXT, place INTEGER);
CREATE TABLE IF NOT EXISTS entry (
    parameter TEXT, value TEXT, extra TEXT, number INTEGER,
    PRIMARY KEY (parameter, value, extra, number)) WITHOUT ROWID;
"""
_INDEXES = """
CREATE UNIQUE INDEX IF NOT EXISTS version_number ON version (type, id, version);
CREATE INDEX IF NOT EXISTS version_moment ON version (type, moment);
CREATE UNIQUE INDEX IF NOT EXISTS current_id ON current (type, id);
CREATE INDEX IF NOT EXISTS current_type ON current (type);
CREATE UNIQUE INDEX IF NOT EXISTS current_place ON current (type, place);
"""
_SEEDED = 5_000
"""How many resources of a seed go in at once."""

_VERSION = "v.place, v.type, v.id, v.version, v.moment, v.method, v.body"


@dataclass(frozen=True, slots=True)
class Stored:
    """A version of a resource, with the JSON that it is answered as."""

    place: int
    type: str
    id: str
    version: int
    moment: int
    method: str
    body: bytes

    @property
    def name(self) -> str:
        """`Type/id`."""
        return f"{self.type}/{self.id}"

    @property
    def etag(self) -> str:
        """Its version as an entity tag."""
        return f'W/"{self.version}"'

    @property
    def instant(self) -> str:
        """When it was written."""
        return instant_of(self.moment)

    def resource(self) -> Resource:
        """Its members, to read or to make another version of."""
        return json.parse(self.body)


@lru_cache(maxsize=1024)
def instant_of(moment: int) -> str:
    """Milliseconds since 1970 as a FHIR instant."""
    return instant(datetime.fromtimestamp(moment / 1000, UTC))


class View:
    """The register while nobody else writes."""

    def __init__(self, database: sqlite3.Connection, moment: int) -> None:
        self._database = database
        self.moment = moment

    def rows(self, statement: str, values: Sequence[object]) -> list[tuple[int, ...]]:
        """The rows of a statement on the tables here."""
        return self._database.execute(statement, values).fetchall()

    def stored(self, statement: str, values: Sequence[object]) -> list[Stored]:
        """The versions for which `statement` holds: what comes after `FROM`, with `v` for the versions."""
        return [Stored(*row) for row in self._database.execute(f"SELECT {_VERSION} FROM {statement}", values)]

    def newest(self, kind: str, logical_id: str) -> Stored | None:
        """The newest version of a resource."""
        found = self.stored(
            "current c JOIN version v ON v.place = c.place WHERE c.type = ? AND c.id = ?", (kind, logical_id)
        )
        return found[0] if found else None

    def with_entry(self, parameter: str, value: str, extra: str = "") -> list[Stored]:
        """The newest versions of resources that have this line in the index."""
        return self.stored(
            "entry e JOIN current c ON c.number = e.number JOIN version v ON v.place = c.place "
            "WHERE e.parameter = ? AND e.value = ? AND e.extra = ? ORDER BY c.number",
            (parameter, value, extra),
        )


class Change(View):
    """The register in one transaction that writes."""

    def put(self, resource: Resource, method: str) -> Stored:
        """Stores the next version of a resource that has an id: `method` is how it was sent."""
        kind, logical_id = resource["resourceType"], resource["id"]
        before = self.newest(kind, logical_id)
        version = before.version + 1 if before else 1
        body = _body(resource, version, self.moment)
        place = self._database.execute(
            "INSERT INTO version (type, id, version, moment, method, body) VALUES (?, ?, ?, ?, ?, ?)",
            (kind, logical_id, version, self.moment, method, body),
        ).lastrowid
        assert place is not None
        if before is None:
            number = self._database.execute(
                "INSERT INTO current (type, id, place) VALUES (?, ?, ?)", (kind, logical_id, place)
            ).lastrowid
            gone: set[Entry] = set()
        else:
            [(number,)] = self.rows(
                "UPDATE current SET place = ? WHERE type = ? AND id = ? RETURNING number",
                (place, kind, logical_id),
            )
            gone = entries(before.resource())
        wanted = entries(resource)
        self._database.executemany(
            "DELETE FROM entry WHERE parameter = ? AND value = ? AND extra = ? AND number = ?",
            [(one.parameter, one.value, one.extra, number) for one in gone - wanted],
        )
        self._database.executemany(
            "INSERT INTO entry VALUES (?, ?, ?, ?)",
            [(one.parameter, one.value, one.extra, number) for one in wanted - gone],
        )
        return Stored(place, kind, logical_id, version, self.moment, method, body)


class Register:
    """The register in the file at `path`, of one process; `seed` are its first contents, taken when it is new."""

    def __init__(self, path: Path, seed: Iterable[Resource] = ()) -> None:
        self._path = path
        self._lock = threading.Lock()
        fresh = not path.exists()
        making = path.with_name(f".{path.name}.new") if fresh else path
        if fresh:
            for old in (
                making,
                *(path.with_name(f"{one.name}-{end}") for one in (making, path) for end in ("wal", "shm")),
            ):
                old.unlink(missing_ok=True)
        with closing(self._connected(making)) as database:
            database.executescript(_TABLES)
            if fresh:
                making.chmod(0o600)
                _load(database, seed)
            database.executescript(_INDEXES)
            if fresh:
                database.execute("PRAGMA wal_checkpoint(TRUNCATE)")
        if fresh:
            making.replace(path)
        self._database = self._connected(path)
        [(latest,)] = self._database.execute("SELECT coalesce(max(moment), 0) FROM version").fetchall()
        self._latest: int = latest

    @staticmethod
    def _connected(path: Path) -> sqlite3.Connection:
        database = sqlite3.connect(path, timeout=5, isolation_level=None, check_same_thread=False)
        database.execute("PRAGMA journal_mode = WAL")
        database.execute("PRAGMA synchronous = NORMAL")
        database.execute("PRAGMA cache_size = -65536")
        return database

    @contextmanager
    def reading(self) -> Iterator[View]:
        """The register as it stands."""
        with self._lock:
            yield View(self._database, self._moment())

    @contextmanager
    def writing(self) -> Iterator[Change]:
        """A transaction: all that is put in the block, or nothing when it raises."""
        with self._lock:
            self._database.execute("BEGIN IMMEDIATE")
            try:
                yield Change(self._database, self._moment())
            except BaseException:
                self._database.execute("ROLLBACK")
                raise
            self._database.execute("COMMIT")

    def _moment(self) -> int:
        """Now, and never before a moment that was told."""
        self._latest = max(self._latest, _milliseconds(now()))
        return self._latest

    def close(self) -> None:
        """Closes the file."""
        with self._lock:
            self._database.close()


def _body(resource: Resource, version: int, moment: int) -> bytes:
    """The JSON of a version, as it is answered."""
    meta = {name: value for name, value in resource.get("meta", {}).items() if name != "source"}
    meta |= {"versionId": str(version), "lastUpdated": instant_of(moment)}
    return json.dump(
        {"resourceType": resource["resourceType"], "id": resource["id"], **resource, "meta": meta}
    )


def _load(database: sqlite3.Connection, seed: Iterable[Resource]) -> None:
    """The first contents, in one transaction; the file is not there yet for anyone else. Raises `Invalid`."""
    moment = _milliseconds(now())
    database.execute("PRAGMA synchronous = OFF")
    database.execute("CREATE TEMP TABLE seeded (parameter TEXT, value TEXT, extra TEXT, number INTEGER)")
    database.execute("BEGIN")
    names: set[tuple[str, str]] = set()
    numbered = enumerate(seed, 1)
    while some := list(islice(numbered, _SEEDED)):
        for number, one in some:
            name = one["resourceType"], one["id"]
            if name in names:
                raise Invalid(f"the seed has {'/'.join(name)} more than once (place {number})")
            names.add(name)
        database.executemany(
            "INSERT INTO version VALUES (?, ?, ?, 1, ?, 'PUT', ?)",
            [(n, one["resourceType"], one["id"], moment, _body(one, 1, moment)) for n, one in some],
        )
        database.executemany(
            "INSERT INTO current VALUES (?, ?, ?, ?)",
            [(n, one["resourceType"], one["id"], n) for n, one in some],
        )
        database.executemany(
            "INSERT INTO seeded VALUES (?, ?, ?, ?)",
            [(*entry, n) for n, one in some for entry in entries(one)],
        )
    database.execute("INSERT INTO entry SELECT * FROM seeded ORDER BY parameter, value, extra, number")
    database.execute("COMMIT")
    database.execute("DROP TABLE seeded")


def _milliseconds(moment: datetime) -> int:
    return int(moment.timestamp() * 1000)
