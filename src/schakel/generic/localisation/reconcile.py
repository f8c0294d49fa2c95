"""Our register against the records that the index has of us, and mending what differs.

The index does not tell whose a record is. What it has and we do not know is looked for by asking it per patient, among
those who were registered and then among all who are here, in pages. Nothing is deleted but a record with our number and
our software.
"""

from __future__ import annotations

from collections.abc import AsyncIterator, Iterable
from dataclasses import dataclass

import asyncpg

from schakel.generic.localisation.client import NviClient
from schakel.generic.localisation.model import Record
from schakel.generic.localisation.register import COLUMNS, Registration, mark, registration
from schakel.kernel.values import Bsn
from schakel.store.connection import acquire

PAGE = 200


@dataclass(frozen=True, slots=True)
class Differences:
    """`missing`: we hold them for registered, and the index has no such record. `duplicates`: records of patients who
    have another one already, and `unknown` those of patients whom we registered nowhere; both with the patient.
    `nobody`: records that belong to none of our patients. `other_key`: registered under another recipient, scope or
    software than now, so that nobody finds them. `unreadable` is what the index gave and cannot be read; `here` and
    `there` are how many were compared."""

    here: int
    there: int
    missing: tuple[Registration, ...]
    duplicates: tuple[tuple[str, Record], ...]
    unknown: tuple[tuple[str, Record], ...]
    nobody: tuple[Record, ...]
    other_key: tuple[Registration, ...]
    unreadable: tuple[str, ...]

    def __bool__(self) -> bool:
        return bool(
            self.missing
            or self.duplicates
            or self.unknown
            or self.nobody
            or self.other_key
            or self.unreadable
        )


async def differences(pool: asyncpg.Pool, tenant: int, client: NviClient) -> Differences:
    """What differs now. What a worker is busy with may turn up; look again after it. Raises what `client` raises."""
    found = await client.all_own()
    there = {one.id: one for one in found.records}
    rows = await _told(pool, tenant)  # After the answer: what was registered meanwhile is no difference.
    known = {row.record for row in rows}
    active = [row for row in rows if row.state == "active"]
    stray = {name: one for name, one in there.items() if name not in known}
    missing = [row for row in active if row.record not in there]
    if missing:  # Told after the index was asked, or really not there.
        missing = [row for row in missing if await client.read(row.record) is None]
    registered = {row.patient for row in active}
    key = (client.pseudonyms.recipient, client.pseudonyms.scope, client.rules.source)
    duplicates: list[tuple[str, Record]] = []
    unknown: list[tuple[str, Record]] = []
    async for patient in _patients(pool, tenant):
        if not stray:
            break
        for one in (await client.own(Bsn.kept(patient))).records:
            if stray.pop(one.id, None) is not None:
                (duplicates if patient in registered else unknown).append((patient, one))
    return Differences(
        len(active),
        len(there),
        tuple(missing),
        tuple(duplicates),
        tuple(unknown),
        tuple(stray.values()),
        tuple(row for row in active if (row.recipient, row.scope, row.source) != key),
        found.unreadable,
    )


async def repair(pool: asyncpg.Pool, tenant: int, client: NviClient, found: Differences) -> None:
    """Mends what differs, as far as it can be told; what must be registered again is left to the work.

    A record of a patient whom we registered nowhere is deleted, and the patient is looked at: when there ought to be
    one, it is made and known from then on.
    """
    for patient, one in (*found.duplicates, *found.unknown, *(("", one) for one in found.nobody)):
        if not await _spoken_for(pool, tenant, patient, one.id):
            await client.delete(one.id)
    for name in dict.fromkeys(row.record for row in found.other_key):
        await client.delete(name)
    again = {row.id: row for row in (*found.missing, *found.other_key)}
    async with acquire(pool) as connection, connection.transaction():
        await connection.executemany(
            "UPDATE localisation_record SET state = 'waiting', record = '', shared = false, written = NULL, "
            "changed = clock_timestamp() WHERE tenant = $1 AND id = $2 AND record = $3 AND state = 'active'",
            [(tenant, row.id, row.record) for row in again.values()],
        )
        patients = {row.patient for row in again.values()} | {patient for patient, _ in found.unknown}
        await mark(connection, tenant, dict.fromkeys(patients))


async def _spoken_for(pool: asyncpg.Pool, tenant: int, patient: str, record: str) -> bool:
    """Whether a registration stands on a record by now, or a worker is still about to write that down."""
    async with acquire(pool) as connection:
        found: bool = await connection.fetchval(
            "SELECT EXISTS (SELECT FROM localisation_record WHERE tenant = $1 AND record = $3) "
            "OR EXISTS (SELECT FROM localisation_patient WHERE tenant = $1 AND patient = $2 AND attempts > 0)",
            tenant,
            patient,
            record,
        )
    return found


async def _told(pool: asyncpg.Pool, tenant: int) -> list[Registration]:
    """All registrations of which a record is known."""
    async with acquire(pool) as connection:
        rows = await connection.fetch(
            f"SELECT {COLUMNS} FROM localisation_record WHERE tenant = $1 AND record <> '' ORDER BY id",
            tenant,
        )
    return [registration(row) for row in rows]


async def _patients(pool: asyncpg.Pool, tenant: int) -> AsyncIterator[str]:
    """Those who were ever registered, then all who are here, by BSN."""
    seen: set[str] = set()
    following = "AND patient > $2 ORDER BY patient LIMIT $3"
    for text in (
        f"SELECT DISTINCT patient FROM localisation_record WHERE tenant = $1 {following}",
        f"SELECT DISTINCT patient FROM localisation_subject WHERE tenant = $1 {following}",
    ):
        place = ""
        while rows := await _page(pool, text, tenant, place):
            for patient in rows:
                if patient not in seen:
                    seen.add(patient)
                    yield patient
            place = rows[-1]


async def _page(pool: asyncpg.Pool, text: str, tenant: int, place: str) -> list[str]:
    async with acquire(pool) as connection:
        rows: Iterable[asyncpg.Record] = await connection.fetch(text, tenant, place, PAGE)
    return [row["patient"] for row in rows]
