"""The register: whose data are here, what the index should know of them, and what it was told. One tenant's tables.

Judging a patient compares what should be with what was told, and marks the difference; the work (`work`) then carries
it out. Both start from the data and the rules as they are, so that it does not matter what was missed, repeated or
done in another order.
"""

from __future__ import annotations

from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import date, datetime, timedelta
from typing import Literal, Protocol
from uuid import UUID

import asyncpg

from schakel.fhir import json
from schakel.generic.localisation.categories import (
    CATEGORIES,
    ENTERED_IN_ERROR,
    STATUS_NOT_INDEXED,
    STATUSES,
    Kind,
)
from schakel.kernel.outcomes import Invalid
from schakel.kernel.values import BSN_SYSTEM, Bsn
from schakel.store.connection import Connection
from schakel.store.database import unpack

State = Literal["waiting", "active", "withdrawing", "withdrawn", "refused"]
COLUMNS = (
    "id, patient, category, state, asked, ground, record, shared, recipient, scope, source, error, written, made, "
    "changed, registered, withdrawn"
)


@dataclass(frozen=True, slots=True)
class Rule:
    """Under which legal ground, as the organisation wrote it, data of which categories are registered, from `start` on
    and up to and including `end`, without end when None."""

    ground: str
    categories: frozenset[str]
    start: date
    end: date | None = None

    def holds(self, day: date) -> bool:
        """Whether it is in force on this day."""
        return self.start <= day and (self.end is None or day <= self.end)


def in_force(rules: Iterable[Rule], day: date) -> dict[str, str]:
    """The categories that are registered on this day, each with its ground: that of the first rule that has it."""
    found: dict[str, str] = {}
    for rule in rules:
        if rule.holds(day):
            for category in rule.categories:
                found.setdefault(category, rule.ground)
    return found


class Objecting(Protocol):
    """Who knows whether a patient objects."""

    async def stands(self, connection: Connection, patient: str, exchange: str) -> bool:
        """Whether the patient objects to `exchange` as such."""
        ...


EXCHANGE = "localisation"
"""What an objection against being registered names; one against all exchanges is against this too."""


@dataclass(frozen=True, slots=True)
class Registration:
    """What the index was told of one patient and category; see the migration for each member."""

    id: UUID
    patient: str
    category: str
    state: State
    asked: bool
    ground: str
    record: str
    shared: bool
    recipient: str
    scope: str
    source: str
    error: str
    written: datetime | None
    made: datetime
    changed: datetime
    registered: datetime | None
    withdrawn: datetime | None


def registration(row: asyncpg.Record) -> Registration:
    """The row with `COLUMNS`."""
    return Registration(**{name: row[name] for name in COLUMNS.split(", ")})


@dataclass(frozen=True, slots=True)
class Claim:
    """A patient whose registrations a worker looks at: its `turn`, and how often something `changed` until then."""

    tenant: int
    patient: str
    turn: int
    changed: int
    attempts: int


# -- whose data are here -----------------------------------------------------------------------------------


async def look(
    connection: Connection, tenant: int, patients: Mapping[tuple[int, str], datetime | None]
) -> None:
    """Looks whose these Patient resources (version, id) are, and marks everybody whose they are or were. The values
    are when something was written about each."""
    keys = sorted(patients)
    rows = await connection.fetch(
        "SELECT p.fhir, p.id, r.rid IS NOT NULL AS here, s.patient AS before, "
        "ARRAY(SELECT DISTINCT t.code FROM index_token t WHERE t.tenant = $1 AND t.rid = r.rid "
        "AND t.type = 'Patient' AND t.param = 'identifier' AND t.system = $4) AS numbers "
        "FROM unnest($2::smallint[], $3::text[]) AS p (fhir, id) "
        "LEFT JOIN resource r ON r.tenant = $1 AND r.fhir = p.fhir AND r.type = 'Patient' AND r.id = p.id "
        "AND NOT r.deleted "
        "LEFT JOIN localisation_subject s ON s.tenant = $1 AND s.fhir = p.fhir AND s.id = p.id",
        tenant,
        [fhir for fhir, _ in keys],
        [name for _, name in keys],
        BSN_SYSTEM,
    )
    gone = [(tenant, row["fhir"], row["id"]) for row in rows if not row["here"]]
    now_ = {(row["fhir"], row["id"]): _usable(row["numbers"]) for row in rows if row["here"]}
    await connection.executemany(
        "DELETE FROM localisation_subject WHERE tenant = $1 AND fhir = $2 AND id = $3", gone
    )
    await connection.executemany(
        "INSERT INTO localisation_subject (tenant, fhir, id, patient) VALUES ($1, $2, $3, $4) "
        "ON CONFLICT (tenant, fhir, id) DO UPDATE SET patient = excluded.patient",
        [(tenant, *key, bsn) for key, bsn in now_.items()],
    )
    marked: dict[str, datetime | None] = {}
    for row in rows:
        key = (row["fhir"], row["id"])
        for bsn in {row["before"] or "", now_.get(key, "")} - {""}:
            marked[bsn] = _earliest(marked.get(bsn), patients[key])
    await mark(connection, tenant, marked)


def _usable(numbers: Sequence[str]) -> str:
    """The one BSN among these; '' when there is none, or more than one: then it is not known whose the data are."""
    found = set()
    for number in numbers:
        try:
            found.add(str(Bsn(number)))
        except Invalid:
            continue
    return found.pop() if len(found) == 1 else ""


def _earliest(one: datetime | None, other: datetime | None) -> datetime | None:
    return min((moment for moment in (one, other) if moment is not None), default=None)


async def mark(connection: Connection, tenant: int, patients: Mapping[str, datetime | None]) -> None:
    """These patients (BSN) must be looked at; the values are when something was written about each. Who failed before
    waits for the time of the next attempt."""
    await connection.executemany(
        "INSERT INTO localisation_patient (tenant, patient, since, run_after) VALUES ($1, $2, $3, clock_timestamp()) "
        "ON CONFLICT (tenant, patient) DO UPDATE SET changed = localisation_patient.changed + 1, "
        "since = least(localisation_patient.since, excluded.since), "
        "run_after = CASE WHEN localisation_patient.attempts = 0 THEN clock_timestamp() "
        "ELSE coalesce(localisation_patient.run_after, clock_timestamp()) END",
        [(tenant, bsn, since) for bsn, since in sorted(patients.items())],
    )


# -- judging -----------------------------------------------------------------------------------------------


async def claim(
    connection: Connection, tenants: Collection[int], lease: timedelta, patient: str = ""
) -> Claim | None:
    """The patient who waited longest, or this one, whether anything is due or not; None when there is none. In a
    transaction, in which the patient is then judged; the row stays locked until then."""
    # Of each tenant the first by the index, so that a long row of patients costs no more than a short one.
    due = (
        "w.run_after <= statement_timestamp() AND $2 = '' ORDER BY w.run_after LIMIT 1 FOR UPDATE SKIP LOCKED"
    )
    row = await connection.fetchrow(
        "WITH one AS MATERIALIZED (SELECT first.tenant, first.patient FROM unnest($1::integer[]) AS asked (tenant) "
        "CROSS JOIN LATERAL (SELECT w.tenant, w.patient, w.run_after FROM localisation_patient w "
        f"WHERE w.tenant = asked.tenant AND {'w.patient = $2 FOR UPDATE' if patient else due}) AS first "
        "ORDER BY first.run_after LIMIT 1) "
        "UPDATE localisation_patient p SET turn = nextval('localisation_turn'), attempts = p.attempts + 1, "
        "run_after = clock_timestamp() + $3 FROM one WHERE p.tenant = one.tenant AND p.patient = one.patient "
        "RETURNING p.tenant, p.patient, p.turn, p.changed, p.attempts",
        list(tenants),
        patient,
        lease,
    )
    return None if row is None else Claim(**row)


async def judge(
    connection: Connection, claimed: Claim, grounds: Mapping[str, str], objecting: Objecting
) -> list[Registration]:
    """Marks what must be told of a claimed patient, and gives all of that patient's registrations. `grounds` are the
    categories in force, each with the ground of it."""
    tenant, patient = claimed.tenant, claimed.patient
    rows = await of_patient(connection, tenant, patient)
    wanted: set[str] = set()
    if grounds and not await objecting.stands(connection, patient, EXCHANGE):
        asked = {row.category for row in rows if row.asked}
        wanted = (await present(connection, tenant, patient, grounds.keys()) | asked) & grounds.keys()
    known = {row.category: row for row in rows}
    again = {c for c in wanted if c not in known or known[c].state in ("withdrawing", "withdrawn")}
    kept = {c for c in wanted if c in known and known[c].ground != grounds[c]}
    ended = {
        c for c, row in known.items() if c not in wanted and row.state in ("waiting", "active", "refused")
    }
    since = await connection.fetchval(
        "UPDATE localisation_patient p SET since = NULL FROM (SELECT since FROM localisation_patient "
        "WHERE tenant = $1 AND patient = $2) AS old WHERE p.tenant = $1 AND p.patient = $2 RETURNING old.since",
        tenant,
        patient,
    )
    await connection.executemany(
        "INSERT INTO localisation_record (tenant, patient, category, state, ground, written) "
        "VALUES ($1, $2, $3, 'waiting', $4, $5) ON CONFLICT (tenant, patient, category) DO UPDATE SET "
        "state = 'waiting', ground = excluded.ground, written = excluded.written, error = '', "
        "changed = clock_timestamp()",
        [(tenant, patient, category, grounds[category], since) for category in sorted(again)],
    )
    await connection.executemany(
        "UPDATE localisation_record SET ground = $4 WHERE tenant = $1 AND patient = $2 AND category = $3",
        [(tenant, patient, category, grounds[category]) for category in sorted(kept)],
    )
    await connection.execute(
        "UPDATE localisation_record SET state = 'withdrawing', asked = false, changed = clock_timestamp() "
        "WHERE tenant = $1 AND patient = $2 AND category = ANY ($3)",
        tenant,
        patient,
        sorted(ended),
    )
    return await of_patient(connection, tenant, patient) if again or kept or ended else rows


async def of_patient(connection: Connection, tenant: int, patient: str) -> list[Registration]:
    """All registrations of a patient, by category."""
    rows = await connection.fetch(
        f"SELECT {COLUMNS} FROM localisation_record WHERE tenant = $1 AND patient = $2 ORDER BY category",
        tenant,
        patient,
    )
    return [registration(row) for row in rows]


async def present(connection: Connection, tenant: int, patient: str, categories: Iterable[str]) -> set[str]:
    """Those of these categories of which there are data of the patient here, in any version, that were not entered in
    error. Asked in a transaction."""
    kinds = [(category, kind) for category in categories for kind in _expanded(CATEGORIES[category])]
    indexed = [(category, kind) for category, kind in kinds if kind.type not in STATUS_NOT_INDEXED]
    rows = await connection.fetch(
        "SELECT DISTINCT k.category FROM localisation_subject s "
        "CROSS JOIN unnest($3::text[], $4::text[], $5::text[], $6::text[]) AS k (category, type, code, system) "
        "WHERE s.tenant = $1 AND s.patient = $2 AND CASE "
        "WHEN k.type = 'Patient' THEN true "
        "WHEN k.code = '' THEN EXISTS (SELECT FROM resource r WHERE r.tenant = $1 AND r.fhir = s.fhir "
        f"AND r.type = k.type AND r.patient = s.id AND NOT r.deleted AND {_RIGHT.format('r')}) "
        "ELSE EXISTS (SELECT FROM index_token t WHERE t.tenant = $1 AND t.fhir = s.fhir AND t.type = k.type "
        "AND t.patient = s.id AND t.param = 'category' AND t.code = k.code AND t.system = k.system "
        f"AND {_RIGHT.format('t')}) END",
        tenant,
        patient,
        [category for category, _ in indexed],
        [kind.type for _, kind in indexed],
        [kind.code for _, kind in indexed],
        [system for _, kind in indexed for system in kind.systems or ("",)],
        list(STATUSES.values()),
        ENTERED_IN_ERROR,
    )
    found = {str(row["category"]) for row in rows}
    for category, kind in kinds:
        read = kind.type in STATUS_NOT_INDEXED and category not in found
        if read and await _read(connection, tenant, patient, kind.type):
            found.add(category)
    return found


_RIGHT = (
    "NOT EXISTS (SELECT FROM index_token e WHERE e.tenant = $1 AND e.rid = {}.rid AND e.param = ANY ($7) "
    "AND e.code = $8)"
)
"""That a resource, by the key of its row, was not entered in error, as far as the index says."""


async def _read(connection: Connection, tenant: int, patient: str, kind: str) -> bool:
    """Whether the patient has a resource of this type, of which the status stands in the resource alone."""
    bodies = connection.cursor(
        "SELECT r.body FROM localisation_subject s JOIN resource r ON r.tenant = $1 AND r.fhir = s.fhir "
        "AND r.type = $3 AND r.patient = s.id AND NOT r.deleted WHERE s.tenant = $1 AND s.patient = $2",
        tenant,
        patient,
        kind,
    )
    async for row in bodies:
        if json.parse(unpack(row["body"]), max_depth=json.STORED_DEPTH).get("status") != ENTERED_IN_ERROR:
            return True
    return False


def _expanded(kinds: Iterable[Kind]) -> list[Kind]:
    """A kind with several systems as so many kinds with one."""
    return [Kind(one.type, one.code, (system,)) for one in kinds for system in one.systems or ("",)]
