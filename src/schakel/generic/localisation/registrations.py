"""The registrations of one organisation, for its EHR and for who runs the node."""

from __future__ import annotations

from collections.abc import Collection, Mapping
from dataclasses import dataclass
from datetime import timedelta
from uuid import UUID

import asyncpg

from schakel.generic.localisation.categories import CATEGORIES
from schakel.generic.localisation.register import (
    COLUMNS,
    EXCHANGE,
    Objecting,
    Registration,
    Rule,
    in_force,
    mark,
    of_patient,
    registration,
)
from schakel.generic.localisation.registration import RegistrationWork
from schakel.kernel.clock import AMSTERDAM, now
from schakel.kernel.outcomes import Conflict, Forbidden, Invalid, NotFound
from schakel.kernel.values import Bsn
from schakel.store.connection import Connection, acquire


@dataclass(frozen=True, slots=True)
class Status:
    """Numbers of registrations by state, of patients who wait (`due`) and who failed before (`failing`), of Patient
    resources without a BSN that can be used, and of the last day the seconds between the writing of data and their
    registration: the median, that of 95 in 100, the longest; None when nothing was registered."""

    states: Mapping[str, int]
    due: int
    failing: int
    without_bsn: int
    error: str
    seconds: tuple[float, float, float] | None


class Registrations:
    """Those of organisation `tenant`; `work` is what tells the index, `source` (system, value) names our software."""

    def __init__(
        self,
        pool: asyncpg.Pool,
        tenant: int,
        rules: tuple[Rule, ...],
        objecting: Objecting,
        work: RegistrationWork,
        source: tuple[str, str],
    ) -> None:
        self._pool = pool
        self._tenant = tenant
        self._rules = rules
        self._objecting = objecting
        self._work = work
        self.source = source

    @property
    def categories(self) -> int:
        """How many categories of data are registered today, by the rules."""
        return len(in_force(self._rules, now().astimezone(AMSTERDAM).date()))

    async def status(self) -> Status:
        """How they stand."""
        return await status(self._pool, self._tenant)

    async def of(self, patient: Bsn, *, asked: bool = False) -> list[Registration]:
        """Those of a patient that the index knows, by category; with `asked` also those that it will know because the
        EHR asked for them, which a process that was killed has left."""
        async with acquire(self._pool) as connection:
            rows = await of_patient(connection, self._tenant, patient)
        return [row for row in rows if row.record or (asked and row.asked)]

    async def get(self, name: str) -> Registration | None:
        """The one with this id of ours; None when there is none that the index knows."""
        try:
            key = UUID(name)
        except ValueError:
            return None
        async with acquire(self._pool) as connection:
            row = await connection.fetchrow(
                f"SELECT {COLUMNS} FROM localisation_record WHERE tenant = $1 AND id = $2 AND record <> ''",
                self._tenant,
                key,
            )
        return None if row is None else registration(row)

    async def check(self, patient: Bsn, category: str) -> None:
        """Whether this may be registered now. Raises `Invalid` for a category that is none, and `Forbidden` without a
        rule for it and when the patient objects."""
        self._check_rule(category)
        async with acquire(self._pool) as connection:
            await self._check_objection(connection, patient)

    def _check_rule(self, category: str) -> None:
        if category not in CATEGORIES:
            raise Invalid(
                f"{category[:40]!r} is no category of data for the index: there are {', '.join(CATEGORIES)}",
                code="category-unknown",
                expression="List.code",
            )
        if category not in in_force(self._rules, now().astimezone(AMSTERDAM).date()):
            raise Forbidden(
                f"the organisation has no registration rule in force for {category}: what is registered needs a "
                "ground (setting organisations.registrations)",
                code="no-registration-rule",
                expression="List.code",
            )

    async def _check_objection(self, connection: Connection, patient: Bsn) -> None:
        if await self._objecting.stands(connection, patient, EXCHANGE):
            raise Forbidden("this patient may not be registered", code="registration-refused")

    async def register(self, patient: Bsn, category: str) -> tuple[Registration, bool]:
        """Registers what the EHR asks, and waits until the index took it; whether it is new.

        Raises what `check` raises, and what the index raises: then nothing is registered.
        """
        self._check_rule(category)
        async with acquire(self._pool) as connection, connection.transaction():
            await self._check_objection(connection, patient)
            before = await connection.fetchval(
                "SELECT state FROM localisation_record WHERE tenant = $1 AND patient = $2 AND category = $3",
                self._tenant,
                patient,
                category,
            )
            await connection.execute(
                "INSERT INTO localisation_record (tenant, patient, category, state, asked) "
                "VALUES ($1, $2, $3, 'waiting', true) "
                "ON CONFLICT (tenant, patient, category) DO UPDATE SET asked = true",
                self._tenant,
                patient,
                category,
            )
            await mark(connection, self._tenant, {patient: None})
        outcome = await self._work.now(self._tenant, patient)
        made = await self._one(patient, category)
        if made is not None and made.state == "active":
            return made, before != "active"
        await self._unasked(patient, category)
        if outcome is not None:
            raise outcome
        raise Conflict(
            "this registration was changed by another at the same time; look what it is now, and try again",
            code="registration-changed",
        )

    async def withdraw(self, found: Registration) -> None:
        """Withdraws what the EHR asked for, and waits until the index has no such record.

        Raises `Conflict` when there are data of that category here, of which a rule says that they are registered,
        and what the index raises: then it is tried again until it is done.
        """
        patient = Bsn.kept(found.patient)
        await self._unasked(patient, found.category)
        outcome = await self._work.now(self._tenant, patient)
        left = await self._one(patient, found.category)
        if left is not None and left.state == "active":
            raise Conflict(
                f"there are data of the category {found.category} here, which a registration rule of the organisation "
                "registers: record an objection of the patient, or end the rule",
                code="registered-by-rule",
            )
        if left is not None and (left.record or left.state == "withdrawing"):
            raise outcome or NotFound("there is no such record", code="record-unknown")

    async def _unasked(self, patient: Bsn, category: str) -> None:
        async with acquire(self._pool) as connection, connection.transaction():
            await connection.execute(
                "UPDATE localisation_record SET asked = false WHERE tenant = $1 AND patient = $2 AND category = $3",
                self._tenant,
                patient,
                category,
            )
            await mark(connection, self._tenant, {patient: None})

    async def _one(self, patient: Bsn, category: str) -> Registration | None:
        async with acquire(self._pool) as connection:
            rows = await of_patient(connection, self._tenant, patient)
        return next((row for row in rows if row.category == category), None)


async def status(pool: asyncpg.Pool, tenant: int, day: timedelta = timedelta(days=1)) -> Status:
    """How the registrations of organisation `tenant` stand."""
    async with acquire(pool) as connection:
        states = await connection.fetch(
            "SELECT state, count(*) AS number FROM localisation_record WHERE tenant = $1 GROUP BY state ORDER BY state",
            tenant,
        )
        work = await connection.fetchrow(
            "SELECT count(*) FILTER (WHERE run_after IS NOT NULL) AS due, "
            "count(*) FILTER (WHERE error <> '') AS failing, max(error) AS error, "
            "(SELECT count(*) FROM localisation_subject WHERE tenant = $1 AND patient = '') AS without_bsn "
            "FROM localisation_patient WHERE tenant = $1",
            tenant,
        )
        seconds = await connection.fetchval(
            "SELECT percentile_cont(ARRAY[0.5, 0.95, 1]) WITHIN GROUP "
            "(ORDER BY extract(epoch FROM registered - written)::float8) FROM localisation_record "
            "WHERE tenant = $1 AND written IS NOT NULL AND registered > now() - $2::interval",
            tenant,
            day,
        )
    assert work is not None
    return Status(
        {row["state"]: row["number"] for row in states},
        work["due"],
        work["failing"],
        work["without_bsn"],
        work["error"] or "",
        None if seconds is None else (seconds[0], seconds[1], seconds[2]),
    )


async def told_of(pool: asyncpg.Pool, tenants: Collection[int]) -> int:
    """How many registrations of these organisations the index has, as far as we know."""
    async with acquire(pool) as connection:
        number: int = await connection.fetchval(
            "SELECT count(*) FROM localisation_record WHERE tenant = ANY ($1) AND record <> ''", list(tenants)
        )
    return number
