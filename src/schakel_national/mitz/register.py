"""What Mitz remembers: choices, subscriptions, notifications still to deliver. One SQLite file; a restart keeps it."""

from __future__ import annotations

import sqlite3
import threading
import uuid
from collections.abc import Iterable, Iterator, Mapping
from contextlib import closing, contextmanager
from dataclasses import astuple, dataclass
from pathlib import Path
from typing import Any

from schakel.kernel.clock import instant, now
from schakel.kernel.values import Bsn, Ura


def _types(codes: str) -> frozenset[str]:
    return frozenset(codes.split())


HOLDER_CATEGORIES: Mapping[str, frozenset[str]] = {
    "GGC002": _types(
        "H1 K3 N6 Z3 AMB B3 BRA DIA G3 GC JZ P4 PM13 PM14 PM15 R8 SC TD V4 V5 V6 V7 Z4 Z6 Z7 Z8 Z9 Z10 Z12 Z14 Z15 Z16 "
        "Z17 Z18 Z19 Z20 Z21 Z22 Z23 Z25 Z26"
    ),
    "GGC012": _types("B1 B2 L1 Z5"),
    "GGC013": _types("A1 J8 K9"),
}
"""Data category, and the types of the organisations whose data it is about."""

WIDER = {"GGC012": "GGC002", "GGC013": "GGC002"}
"""A choice for the wider category also holds for these."""

REQUESTER_CATEGORIES: Mapping[str, frozenset[str]] = {
    "RPZAC001": _types("H1 K3 N6 Z3"),
    "RPZAC003": _types("G5 G7 G8"),
    "RPZAC004": _types("G6 H2 IN2 IN3 IN5 IN7 IN9 IN10 IN11 IN13 IN15 K4 M1 R5 T2 X3"),
    "RPZAC005": _types("A1 J8 K9"),
    "RPZAC104": (HOLDER_CATEGORIES["GGC002"] | HOLDER_CATEGORIES["GGC012"]) - _types("H1 K3 N6 Z3"),
    "RPZAC103": frozenset(),
}
"""Category of asking organisations, and their types; the last takes what is in no other."""

_SCHEMA = """
CREATE TABLE IF NOT EXISTS choice (
    patient TEXT, holder TEXT, requester TEXT, allowed INTEGER, recorded TEXT,
    PRIMARY KEY (patient, holder, requester));
CREATE TABLE IF NOT EXISTS subscription (
    id TEXT PRIMARY KEY, patient TEXT, provider TEXT, type TEXT, endpoint TEXT, payload TEXT, gateway TEXT, source TEXT,
    UNIQUE (patient, provider, endpoint));
CREATE TABLE IF NOT EXISTS notice (
    id INTEGER PRIMARY KEY AUTOINCREMENT, subscription TEXT, attempts INTEGER DEFAULT 0, due REAL DEFAULT 0);
CREATE TABLE IF NOT EXISTS assertion (id TEXT PRIMARY KEY, until REAL);
"""


@dataclass(frozen=True, slots=True)
class Choice:
    """`holder` is a data category (GGCnnn) or one organisation's URA, `requester` a category of organisations."""

    patient: str
    holder: str
    requester: str
    allowed: bool
    recorded: str = ""

    @classmethod
    def parse(cls, table: Mapping[str, Any]) -> Choice:
        """The choice in a table of the configuration. Raises `ValueError`, `KeyError` and `Invalid`."""
        holder, requester = str(table["holder"]), str(table["requester"])
        if holder not in HOLDER_CATEGORIES:
            holder = str(Ura(holder))
        if requester not in REQUESTER_CATEGORIES:
            raise ValueError(f"{requester} is no category of organisations that ask")
        return cls(str(Bsn(str(table["patient"]))), holder, requester, bool(table["allowed"]))


@dataclass(frozen=True, slots=True)
class Subscription:
    """An organisation that wants to be told of a patient's choices, and so is known to have data of that patient.

    `gateway` and `source` (urn:oid) are the exchange system and the source system that it named."""

    id: str
    patient: str
    provider: str
    type: str
    endpoint: str
    payload: str
    gateway: str
    source: str


@dataclass(frozen=True, slots=True)
class Notice:
    """A notification still to be delivered; `attempts` were in vain."""

    id: int
    subscription: Subscription
    attempts: int


def data_category(organisation_type: str) -> str:
    """The category of the data of organisations of this type; '' when the table has none."""
    return next((code for code, types in HOLDER_CATEGORIES.items() if organisation_type in types), "")


def requester_category(organisation_type: str) -> str:
    """The category of an organisation that asks."""
    return next(
        (code for code, types in REQUESTER_CATEGORIES.items() if organisation_type in types), "RPZAC103"
    )


class Register:
    """The register in the file at `path`. Processes may share it."""

    def __init__(self, path: Path, first: Iterable[Choice] = ()) -> None:
        self._path = path
        self._lock = threading.Lock()
        fresh = not path.exists()
        with self._open() as database:
            database.executescript(_SCHEMA)
        if fresh:
            path.chmod(0o600)
            for one in first:
                self.choose(one.patient, one.holder, {one.requester: one.allowed})

    @contextmanager
    def _open(self) -> Iterator[sqlite3.Connection]:
        with self._lock, closing(sqlite3.connect(self._path, timeout=5)) as database, database:
            yield database

    def choices(self, patient: str) -> list[Choice]:
        """All choices of a patient."""
        with self._open() as database:
            rows = database.execute(
                "SELECT patient, holder, requester, allowed, recorded FROM choice WHERE patient = ? "
                "ORDER BY holder, requester",
                (patient,),
            ).fetchall()
        return [Choice(p, h, r, bool(allowed), recorded) for p, h, r, allowed, recorded in rows]

    def choose(self, patient: str, holder: str, wanted: Mapping[str, bool | None]) -> None:
        """Records choices for one holder (None withdraws one), and notes whom to tell, in one transaction."""
        moment = instant(now())
        with self._open() as database:
            changed = False
            for requester, allowed in wanted.items():
                key = (patient, holder, requester)
                if allowed is None:
                    sql = "DELETE FROM choice WHERE patient = ? AND holder = ? AND requester = ?"
                    changed |= database.execute(sql, key).rowcount > 0
                    continue
                sql = (
                    "INSERT INTO choice VALUES (?, ?, ?, ?, ?) ON CONFLICT (patient, holder, requester) DO UPDATE "
                    "SET allowed = excluded.allowed, recorded = excluded.recorded WHERE allowed <> excluded.allowed"
                )
                changed |= database.execute(sql, (*key, int(allowed), moment)).rowcount > 0
            if changed:
                database.execute(
                    "INSERT INTO notice (subscription) SELECT id FROM subscription WHERE patient = ?",
                    (patient,),
                )

    def permits(self, patient: str, holder: str, category: str, requester: str) -> bool:
        """Whether data of this category of holder (a URA) may go to this category of organisations."""
        found = {(one.holder, one.requester): one.allowed for one in self.choices(patient)}
        for where in (holder, category, WIDER.get(category, "")):
            if (answer := found.get((where, requester))) is not None:
                return answer
        return False

    def subscribe(self, wanted: Subscription) -> str:
        """The id of the subscription; the same one when it was there already."""
        with self._open() as database:
            database.execute(
                "INSERT INTO subscription VALUES (?, ?, ?, ?, ?, ?, ?, ?) ON CONFLICT (patient, provider, endpoint) "
                "DO UPDATE SET type = excluded.type, payload = excluded.payload, gateway = excluded.gateway, "
                "source = excluded.source",
                (str(uuid.uuid4()), *astuple(wanted)[1:]),
            )
            row = database.execute(
                "SELECT id FROM subscription WHERE patient = ? AND provider = ? AND endpoint = ?",
                (wanted.patient, wanted.provider, wanted.endpoint),
            ).fetchone()
        return str(row[0])

    def holders(self, patient: str, requester: str) -> list[Subscription]:
        """The subscriptions on a patient of holders whose data may go to this category of organisations.

        One for each holder and source system, however many addresses want to be told."""
        with self._open() as database:
            rows = database.execute(
                "SELECT min(id), patient, provider, type, min(endpoint), min(payload), gateway, source "
                "FROM subscription WHERE patient = ? GROUP BY patient, provider, type, gateway, source "
                "ORDER BY provider, source",
                (patient,),
            ).fetchall()
        known = [Subscription(*row) for row in rows]
        return [
            one for one in known if self.permits(patient, one.provider, data_category(one.type), requester)
        ]

    def fresh(self, assertion: str, until: float, moment: float) -> bool:
        """Whether an assertion comes for the first time; it is remembered `until` (seconds since 1970)."""
        with self._open() as database:
            database.execute("DELETE FROM assertion WHERE until < ?", (moment,))
            sql = "INSERT INTO assertion VALUES (?, ?) ON CONFLICT (id) DO NOTHING"
            return database.execute(sql, (assertion, until)).rowcount > 0

    def due(self, moment: float, most: int = 20) -> list[Notice]:
        """Notifications to deliver now (`moment` in seconds since 1970)."""
        with self._open() as database:
            rows = database.execute(
                "SELECT n.id, n.attempts, s.id, s.patient, s.provider, s.type, s.endpoint, s.payload, "
                "s.gateway, s.source FROM notice n JOIN subscription s ON s.id = n.subscription "
                "WHERE n.due <= ? ORDER BY n.id LIMIT ?",
                (moment, most),
            ).fetchall()
        return [Notice(number, Subscription(*rest), attempts) for number, attempts, *rest in rows]

    def delivered(self, notice: Notice) -> None:
        """Forgets a notification that arrived."""
        with self._open() as database:
            database.execute("DELETE FROM notice WHERE id = ?", (notice.id,))

    def failed(self, notice: Notice, again: float) -> None:
        """Tries a notification again at `again` (seconds since 1970)."""
        with self._open() as database:
            database.execute(
                "UPDATE notice SET attempts = attempts + 1, due = ? WHERE id = ?", (again, notice.id)
            )
