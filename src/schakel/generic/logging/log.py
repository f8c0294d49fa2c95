"""One organisation's view of the log: write and read; there is nothing else."""

from __future__ import annotations

import uuid
from datetime import datetime

from schakel.generic.logging.events import Event
from schakel.generic.logging.writer import AuditWriter
from schakel.kernel.outcomes import NotFound
from schakel.store.connection import acquire
from schakel.store.database import unpack


class AuditLog:
    """The log of organisation `tenant`. Reading it is an event too, which the caller writes."""

    def __init__(self, writer: AuditWriter, tenant: int) -> None:
        self._writer = writer
        self._tenant = tenant

    async def write(self, event: Event) -> str:
        """The id of `event`, once it is durable. Raises `Busy`: then do not do what was to be logged."""
        return await self._writer.write(self._tenant, event)

    async def search(
        self,
        *,
        patient: str | None = None,
        since: datetime | None = None,
        until: datetime | None = None,
        decision: str | None = None,
        count: int = 100,
        offset: int = 0,
    ) -> list[bytes]:
        """AuditEvents as JSON, the newest first: those of this BSN, recorded from `since` and before
        `until`, of this decision; `count` of them after leaving out `offset`.
        """
        where, values = "", list[object]([self._tenant])
        for condition, value in (
            # The index on patients leaves out events without one.
            ("patient <> '' AND patient = $", patient),
            ("recorded >= $", since),
            ("recorded < $", until),
            ("decision = $", None if decision is None else _uuid(decision)),
        ):
            if value is not None:
                values.append(value)
                where += f" AND {condition}{len(values)}"
        values += [count, offset]
        async with acquire(self._writer.pool) as connection:
            rows = await connection.fetch(
                f"SELECT body FROM audit_event WHERE tenant = $1{where} "
                f"ORDER BY recorded DESC, id DESC LIMIT ${len(values) - 1} OFFSET ${len(values)}",
                *values,
            )
        return [unpack(row["body"]) for row in rows]

    async def read(self, event_id: str) -> bytes:
        """The AuditEvent with this id, as JSON. Raises `NotFound`."""
        async with acquire(self._writer.pool) as connection:
            body: bytes | None = await connection.fetchval(
                "SELECT body FROM audit_event WHERE tenant = $1 AND id = $2", self._tenant, _uuid(event_id)
            )
        if body is None:
            raise _unknown()
        return unpack(body)

    async def explain(self, decision_id: str) -> list[bytes]:
        """All that was logged under a decision, in the order of time, as JSON. Raises `NotFound`."""
        async with acquire(self._writer.pool) as connection:
            rows = await connection.fetch(
                "SELECT body FROM audit_event WHERE tenant = $1 AND decision = $2 ORDER BY recorded, id",
                self._tenant,
                _uuid(decision_id),
            )
        if not rows:
            raise _unknown()
        return [unpack(row["body"]) for row in rows]


def _uuid(text: str) -> uuid.UUID:
    """`text` as UUID; what is none is the id of nothing."""
    try:
        return uuid.UUID(text)
    except ValueError:
        raise _unknown() from None


def _unknown() -> NotFound:
    return NotFound("the log has no event with this id", code="event-unknown")
