"""One organisation that registers at an index in this process: its store, its rules, its work."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from datetime import date, timedelta
from functools import partial
from itertools import count
from typing import Any, Literal

import asyncpg
from tests.nvi import SOURCE, FakePseudonyms, IndexPeer

from schakel.fhir.definitions import Version
from schakel.generic.consent import Objections
from schakel.generic.localisation import (
    Registrar,
    Registration,
    Registrations,
    RegistrationWork,
    Rule,
)
from schakel.generic.localisation.register import of_patient
from schakel.kernel.clock import now
from schakel.kernel.values import BSN_SYSTEM
from schakel.sources import Write
from schakel.store.resources import Store
from schakel.store.writing import RidBlocks

BSN, OTHER_BSN = "999900006", "999900018"
URA = "90000001"
LONG_AGO = date(2020, 1, 1)
OBSERVATION_CATEGORY = "http://terminology.hl7.org/CodeSystem/observation-category"

_tenants = count(1)


def rule(*categories: str, start: date = LONG_AGO, end: date | None = None, ground: str = "law") -> Rule:
    """A rule for these categories."""
    return Rule(ground, frozenset(categories), start, end)


def patient(name: str, *numbers: str) -> Write:
    """A Patient with these BSNs."""
    identifier = [{"system": BSN_SYSTEM, "value": number} for number in numbers]
    body = {"resourceType": "Patient", "id": name, **({"identifier": identifier} if identifier else {})}
    return Write("PUT", "Patient", name, body)


def data(kind: str, name: str, about: str, **members: Any) -> Write:
    """A resource about the Patient `about`."""
    reference = {"reference": f"Patient/{about}"}
    where = (
        "patient"
        if kind in ("AllergyIntolerance", "Consent", "Immunization", "VisionPrescription")
        else "subject"
    )
    return Write("PUT", kind, name, {"resourceType": kind, "id": name, where: reference, **members})


def observation(name: str, about: str, category: str = "laboratory", **members: Any) -> Write:
    """An Observation of this category, as R4 writes it."""
    coding = [{"system": OBSERVATION_CATEGORY, "code": category}]
    return data("Observation", name, about, category=[{"coding": coding}], code={"text": "x"}, **members)


def in_error(kind: str, name: str, about: str) -> Write:
    """A resource of this type that was entered in error, as R4 says it of that type."""
    if kind in ("AllergyIntolerance", "Condition"):
        return data(kind, name, about, verificationStatus={"coding": [{"code": "entered-in-error"}]})
    make = observation if kind == "Observation" else partial(data, kind)
    return make(name, about, status="entered-in-error")


def gone(kind: str, name: str) -> Write:
    """A delete."""
    return Write("DELETE", kind, name, None)


@dataclass
class World:
    """The organisation with number `URA`; `told` is what its log says of registrations."""

    pool: asyncpg.Pool
    index: IndexPeer = field(default_factory=IndexPeer)
    pseudonyms: FakePseudonyms = field(default_factory=FakePseudonyms)
    told: list[tuple[str, str, str]] = field(default_factory=list)
    tenant: int = field(default_factory=lambda: next(_tenants))

    def __post_init__(self) -> None:
        self.store = Store(self.pool, self.tenant, RidBlocks())
        self.objections = Objections(self.pool, self.tenant)
        self.rules: tuple[Rule, ...] = ()
        self.restart()

    def restart(self, *rules: Rule, client: Any = None, lease: float = 60) -> None:
        """Another process takes over, with these rules."""
        self.rules = rules
        registrar = Registrar(
            client or self.index.client(URA, self.pseudonyms), rules, self.objections, self._witness
        )
        self.work = RegistrationWork(self.pool, {self.tenant: registrar}, timedelta(seconds=lease))
        self.registrations = Registrations(
            self.pool, self.tenant, rules, self.objections, self.work, ("urn:ietf:rfc:3986", SOURCE)
        )

    async def _witness(self, action: Literal["C", "D"], registration: Registration) -> None:
        self.told.append((action, registration.patient, registration.category))

    async def write(self, *writes: Write, version: Version = "r4") -> None:
        """One transaction."""
        await self.store.write(version, writes)

    async def settle(self) -> None:
        """Works until nothing is to be done, not even what waits for another attempt."""
        while True:
            await self.work.settle()
            woken = await self.pool.fetchval(
                "WITH woken AS (UPDATE localisation_patient SET run_after = now() - interval '1 s' "
                "WHERE tenant = $1 AND run_after > now() AND (attempts > 0) RETURNING 1) SELECT count(*) FROM woken",
                self.tenant,
            )
            if not woken:
                return

    async def due(self) -> None:
        """What waits for its time has waited long enough."""
        await self.pool.execute(
            "UPDATE localisation_patient SET run_after = now() - interval '1 s' "
            "WHERE tenant = $1 AND run_after IS NOT NULL",
            self.tenant,
        )

    async def rows(self, bsn: str = BSN) -> dict[str, Registration]:
        """What we hold of a patient, by category."""
        async with self.pool.acquire() as connection:
            return {row.category: row for row in await of_patient(connection, self.tenant, bsn)}

    async def states(self, bsn: str = BSN) -> dict[str, str]:
        return {category: row.state for category, row in (await self.rows(bsn)).items()}

    async def objects(self, exchanges: Sequence[str] = (), **members: Any) -> str:
        """The patient objects; the id."""
        made = await self.objections.write(BSN, exchanges=exchanges, by="test", **members)
        return made.id


def yesterday() -> date:
    return now().date() - timedelta(days=1)


def tomorrow() -> date:
    return now().date() + timedelta(days=2)
