"""A log with its seals on a real database, for tests of them: written, sealed, tampered with and verified."""

from __future__ import annotations

import itertools
from dataclasses import dataclass, replace
from pathlib import Path

import asyncpg
from joserfc.jwk import ECKey, KeySet

from schakel.facilities import Facility
from schakel.generic.logging import AuditLog, AuditWriter, Event, Sealer, Sealing, seal_file
from schakel.generic.logging.retention import Retention
from schakel.generic.logging.verify import Verified, verify
from schakel.kernel.clock import new_id

URA = "11111111"
EVENT = Event(
    subtype="read",
    action="R",
    outcome="0",
    requester="22222222",
    holder=URA,
    patient="999911120",
    query="GET /x",
)
tenants = itertools.count(1)
"""An organisation for each log."""


def _new_key(name: str) -> ECKey:
    key = ECKey.generate_key("P-256")
    return ECKey.import_key({**key.as_dict(private=True), "kid": name})


KEY, OTHER_KEY = _new_key("present"), _new_key("other")


@dataclass
class Sealed:
    """The log of one organisation with its seals in `folder`."""

    pool: asyncpg.Pool
    tenant: int
    folder: Path
    log: AuditLog

    @property
    def file(self) -> Path:
        return seal_file.path(self.folder, URA)

    @property
    def lines(self) -> list[str]:
        return self.file.read_text().splitlines()

    @classmethod
    def new(cls, pool: asyncpg.Pool, folder: Path) -> Sealed:
        """One that nobody wrote in yet."""
        tenant = next(tenants)
        return cls(pool, tenant, folder, AuditLog(AuditWriter(pool), tenant))

    def sealer(self, folder: Path | None = None, address: Facility | None = None) -> Sealer:
        return Sealer(self.pool, {self.tenant: Sealing(URA, KEY)}, folder or self.folder, address)

    async def write(self, number: int, **changes: str) -> list[str]:
        """Writes so many events, each with a decision, and seals them."""
        names = [
            await self.log.write(replace(EVENT, decision=new_id(), **changes), b"decided %d" % n)  # type: ignore[arg-type]
            for n in range(number)
        ]
        await self.sealer().seal()
        return names

    async def remove(self, years: int = 20) -> int | None:
        """Removes what is past its term, and seals the event that says so."""
        removed = await Retention(self.pool, self.log, URA, "N", years).round()
        await self.sealer().seal()
        return removed

    async def verify(self, *keys: ECKey, years: int = 20) -> Verified:
        return await verify(self.pool, self.tenant, URA, KeySet(list(keys or (KEY,))), self.folder, years)

    async def tamper(self, *statements: str) -> None:
        """What an owner of the database can do: the triggers are put out of work first."""
        tables = ("audit_event", "decision", "audit_seal", "audit_removed")
        async with self.pool.acquire() as connection, connection.transaction():
            for table in tables:
                await connection.execute(f"ALTER TABLE {table} DISABLE TRIGGER USER")
            for statement in statements:
                await connection.execute(statement.replace("TENANT", str(self.tenant)))
            for table in tables:
                await connection.execute(f"ALTER TABLE {table} ENABLE TRIGGER USER")
