"""The work of registration: follows what is written, goes through all patients when the rules change, and tells the
index what differs.

Nothing is registered without a rule of the organisation that is in force. Several processes may work on one database:
messages, the pass through the patients and each patient are taken by locked rows.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Collection, Mapping, Sequence
from contextlib import asynccontextmanager
from datetime import datetime, timedelta

import asyncpg
import structlog

from schakel.generic.localisation.register import claim, in_force, judge, look, mark
from schakel.generic.localisation.telling import Registrar, Telling
from schakel.kernel.background import beside, repeated
from schakel.kernel.clock import AMSTERDAM, now
from schakel.kernel.outcomes import Outcome
from schakel.store import outbox
from schakel.store.connection import Connection, acquire

CONSUMER = "localisation"
LEASE = timedelta(seconds=60)
"""How long a worker has between two steps with a patient, before another takes over."""
PAGE = 500
"""Patients in one step of a pass through all of them."""

_log = structlog.get_logger("schakel.localisation")


class RegistrationWork:
    """Registers for the organisations in `registrars` (by tenant), with so many patients at once."""

    def __init__(
        self,
        pool: asyncpg.Pool,
        registrars: Mapping[int, Registrar],
        lease: timedelta = LEASE,
        parallel: int = 4,
        poll_seconds: float = 1.0,
    ) -> None:
        self._pool = pool
        self._registrars = registrars
        self._lease = lease
        self._poll_seconds = poll_seconds
        self._parallel = parallel
        self._applied: dict[int, list[str]] = {}

    @asynccontextmanager
    async def working(self) -> AsyncIterator[None]:
        """Works until the end of the block; what was under way then is taken up when its time is over."""
        async with beside(self._work()):
            yield

    async def _work(self) -> None:
        steps = (self.plan, *(self.turn for _ in range(self._parallel)))
        await asyncio.gather(
            *(repeated(step, self._poll_seconds, _log, "localisation-turn") for step in steps)
        )

    async def settle(self) -> None:
        """Works until nothing is due now."""
        while await self.plan() or await self.turn():
            pass

    async def plan(self) -> bool:
        """Applies the rules of today, takes the next messages, goes on with a pass; False when there was nothing."""
        for tenant, registrar in self._registrars.items():
            await self._apply(tenant, registrar)
        told = await outbox.turn(self._pool, self._registrars, CONSUMER, _receive)
        return await self._sweep() or told

    # -- whom to look at -----------------------------------------------------------------------------------

    async def _apply(self, tenant: int, registrar: Registrar) -> None:
        """Begins a pass through all patients when other rules are in force than at the last one."""
        rules = [f"{category}: {ground}" for category, ground in sorted(_today(registrar).items())]
        if self._applied.get(tenant) == rules:
            return
        async with acquire(self._pool) as connection, connection.transaction():
            fresh = False
            if rules:
                fresh = await outbox.follow(connection, tenant, CONSUMER)
            else:
                await outbox.unfollow(connection, tenant, CONSUMER)
            if fresh:  # What was written meanwhile nobody has told us: everybody is looked at anew.
                await connection.execute("DELETE FROM localisation_subject WHERE tenant = $1", tenant)
            await connection.execute(
                "INSERT INTO localisation_sweep (tenant) VALUES ($1) ON CONFLICT (tenant) DO NOTHING", tenant
            )
            await connection.execute(
                "UPDATE localisation_sweep SET rules = $2, phase = $4, place = '' "
                "WHERE tenant = $1 AND (rules <> $2 OR $3)",
                tenant,
                rules,
                fresh,
                "patients" if rules else "records",
            )
        self._applied[tenant] = rules

    async def _sweep(self) -> bool:
        """Marks the next page of patients of a pass; False when there is none."""
        async with acquire(self._pool) as connection, connection.transaction():
            row = await connection.fetchrow(
                "SELECT tenant, phase, place FROM localisation_sweep WHERE tenant = ANY ($1) "
                "AND phase <> 'done' LIMIT 1 FOR UPDATE SKIP LOCKED",
                list(self._registrars),
            )
            if row is None:
                return False
            if row["phase"] == "patients":
                page = await _next_patients(connection, row["tenant"], row["place"])
                following = "records"  # Of those who are not here any more.
            else:
                page = await _next_records(connection, row["tenant"], row["place"])
                following = "done"
            await connection.execute(
                "UPDATE localisation_sweep SET phase = $2, place = $3 WHERE tenant = $1",
                row["tenant"],
                row["phase"] if page else following,
                page,
            )
        return True

    # -- what to tell --------------------------------------------------------------------------------------

    async def turn(self) -> bool:
        """Deals with the patient who waited longest; False when none waits."""
        telling = await self._claimed(list(self._registrars))
        if telling is None:
            return False
        await telling.tell()
        return True

    async def now(self, tenant: int, patient: str) -> Outcome | None:
        """Deals with this patient now. What stood in the way, if anything did."""
        telling = await self._claimed([tenant], patient)
        return await telling.tell() if telling else None

    async def _claimed(self, tenants: Sequence[int], patient: str = "") -> Telling | None:
        """The turn with the patient who waited longest, or with this one, judged; None when there is none."""
        async with acquire(self._pool) as connection, connection.transaction():
            claimed = await claim(connection, tenants, self._lease, patient)
            if claimed is None:
                return None
            registrar = self._registrars[claimed.tenant]
            rows = await judge(connection, claimed, _today(registrar), registrar.objecting)
        return Telling(self._pool, registrar.client, registrar.witness, claimed, rows, self._lease)


async def leave(pool: asyncpg.Pool, tenants: Collection[int]) -> None:
    """Nobody registers for these tenants any more: what they write is kept for nobody. Who begins again goes through
    all patients."""
    async with acquire(pool) as connection, connection.transaction():
        for tenant in sorted(tenants):
            await outbox.unfollow(connection, tenant, CONSUMER)


def _today(registrar: Registrar) -> dict[str, str]:
    """The categories in force today, as days are counted here, with the ground of each."""
    return in_force(registrar.rules, now().astimezone(AMSTERDAM).date())


async def _receive(connection: Connection, tenant: int, messages: Sequence[outbox.Message]) -> None:
    """Looks at everybody about whom something was written."""
    patients: dict[tuple[int, str], datetime | None] = {}
    objecting: dict[str, datetime | None] = {}
    for message in messages:
        if message.topic == outbox.PATIENT:
            patients.setdefault((message.fhir, message.subject), message.made)
        elif message.topic == outbox.OBJECTION:
            objecting.setdefault(message.subject, message.made)
    await look(connection, tenant, patients)
    await mark(connection, tenant, objecting)


async def _next_records(connection: Connection, tenant: int, place: str) -> str:
    """Marks the next patients of whom the index was told; the place of the last, '' when there are no more."""
    rows = await connection.fetch(
        "SELECT DISTINCT patient FROM localisation_record WHERE tenant = $1 AND patient > $2 ORDER BY patient LIMIT $3",
        tenant,
        place,
        PAGE,
    )
    await mark(connection, tenant, {row["patient"]: None for row in rows})
    return rows[-1]["patient"] if rows else ""


async def _next_patients(connection: Connection, tenant: int, place: str) -> str:
    """Looks at the next patients who are here; the place of the last, '' when there are no more."""
    fhir, _, name = place.partition("/")
    rows = await connection.fetch(
        "SELECT fhir, id FROM resource WHERE tenant = $1 AND fhir IN (3, 4) AND type = 'Patient' AND NOT deleted "
        "AND (fhir, id) > ($2, $3) ORDER BY fhir, id LIMIT $4",
        tenant,
        int(fhir or 0),
        name,
        PAGE,
    )
    await look(connection, tenant, {(row["fhir"], row["id"]): None for row in rows})
    return f"{rows[-1]['fhir']}/{rows[-1]['id']}" if rows else ""
