"""What the NVI remembers: which organisation has data about which pseudonym. One SQLite file; a restart keeps it."""

from __future__ import annotations

import sqlite3
import threading
import uuid
from collections.abc import Iterator
from contextlib import closing, contextmanager
from dataclasses import dataclass
from pathlib import Path

from schakel.kernel.clock import AMSTERDAM, now

_SCHEMA = """
CREATE TABLE IF NOT EXISTS referral (
    number INTEGER PRIMARY KEY AUTOINCREMENT,
    id TEXT UNIQUE, ura TEXT, pseudonym TEXT, source TEXT, created_at TEXT,
    UNIQUE (ura, pseudonym, source));
CREATE INDEX IF NOT EXISTS referral_pseudonym ON referral (pseudonym);
"""


@dataclass(frozen=True, slots=True)
class Referral:
    """A registration; `created_at` is the local time of the server, without a zone."""

    id: str
    ura: str
    source: str
    created_at: str


@dataclass(frozen=True, slots=True)
class Where:
    """Which registrations: every part that is not '' must be equal."""

    ura: str = ""
    pseudonym: str = ""
    source: str = ""

    def sql(self) -> tuple[str, tuple[str, ...]]:
        """The condition and its values."""
        given = {"ura": self.ura, "pseudonym": self.pseudonym, "source": self.source}
        kept = {name: value for name, value in given.items() if value}
        return " AND ".join(f"{name} = ?" for name in kept) or "TRUE", tuple(kept.values())


class Register:
    """The register in the file at `path`. Processes may share it."""

    def __init__(self, path: Path) -> None:
        self._path = path
        self._lock = threading.Lock()
        fresh = not path.exists()
        with self._open() as database:
            database.executescript(_SCHEMA)
        if fresh:
            path.chmod(0o600)

    @contextmanager
    def _open(self) -> Iterator[sqlite3.Connection]:
        with self._lock, closing(sqlite3.connect(self._path, timeout=5)) as database, database:
            yield database

    def add(self, ura: str, pseudonym: str, source: str) -> Referral | None:
        """The new registration; None when it was there already."""
        moment = now().astimezone(AMSTERDAM).replace(tzinfo=None).isoformat(timespec="microseconds")
        made = Referral(str(uuid.uuid4()), ura, source, moment)
        with self._open() as database:
            done = database.execute(
                "INSERT INTO referral (id, ura, pseudonym, source, created_at) VALUES (?, ?, ?, ?, ?) "
                "ON CONFLICT (ura, pseudonym, source) DO NOTHING",
                (made.id, ura, pseudonym, source, moment),
            )
            return made if done.rowcount else None

    def find(self, where: Where) -> list[Referral]:
        """The registrations, oldest first."""
        condition, values = where.sql()
        return self._read(condition, values)

    def get(self, identifier: str) -> Referral | None:
        """The registration with this id."""
        return next(iter(self._read("id = ?", (identifier,))), None)

    def delete(self, where: Where) -> int:
        """Takes the registrations away; how many there were."""
        condition, values = where.sql()
        with self._open() as database:
            return database.execute(f"DELETE FROM referral WHERE {condition}", values).rowcount

    def delete_one(self, identifier: str) -> None:
        """Takes the registration with this id away."""
        with self._open() as database:
            database.execute("DELETE FROM referral WHERE id = ?", (identifier,))

    def _read(self, condition: str, values: tuple[str, ...]) -> list[Referral]:
        sql = f"SELECT id, ura, source, created_at FROM referral WHERE {condition} ORDER BY number"
        with self._open() as database:
            return [Referral(*row) for row in database.execute(sql, values)]
