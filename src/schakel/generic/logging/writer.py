"""Events made durable, many in one commit.

While one group is being committed the next gathers, so that the disk's pace bounds the groups and not the
events in them. A caller is answered when its own group is on disk. When that cannot be had it gets `Busy`:
what cannot be written down is not done. An event may then still stand in the log (the connection broke after
the commit); the log says too much rather than too little.
"""

from __future__ import annotations

import asyncio
import os
import time
import uuid
from dataclasses import dataclass, replace
from datetime import datetime
from typing import TypeAlias

import asyncpg

from schakel.generic.logging.events import Event
from schakel.generic.logging.stored import to_json
from schakel.kernel import trace
from schakel.kernel.clock import now
from schakel.kernel.outcomes import Busy, Fault, Outcome
from schakel.store.connection import Connection, acquire
from schakel.store.database import pack

_MAX_GROUP = 500
_COMMIT_SECONDS = 10.0
_SLOW_SECONDS = 1.0
"""A group that failed only after this long was waiting for the database; who waited behind it waits no longer."""

_MAX_WAITING = 20_000
"""Most events that may wait for the disk, some 20 MB; beyond it callers are told to come back."""

_INSERT = """
WITH written AS (
    INSERT INTO audit_event
        (tenant, id, recorded, kind, outcome, requester, person, patient, decision, correlation, body)
    SELECT * FROM unnest($1::int[], $2::uuid[], $3::timestamptz[], $4::text[], $5::smallint[], $6::text[], $7::text[],
        $8::text[], $9::uuid[], $10::text[], $11::bytea[])
), decided AS (
    INSERT INTO decision (tenant, id, event, recorded, body)
    SELECT tenant, id, event, recorded, body FROM unnest($1::int[], $9::uuid[], $2::uuid[], $3::timestamptz[],
        $12::bytea[]) AS given (tenant, id, event, recorded, body) WHERE body <> ''
)
INSERT INTO audit_unsealed (tenant, id) SELECT * FROM unnest($1::int[], $2::uuid[])
"""

_Row: TypeAlias = tuple[int, uuid.UUID, datetime, str, int, str, str, str, uuid.UUID, str, bytes, bytes]
"""What `_INSERT` takes, of one event."""


@dataclass(frozen=True, slots=True)
class _Waiting:
    row: _Row
    done: asyncio.Future[None]


class AuditWriter:
    """The one writer of a process, for all organisations in the database of `pool`.

    Needs no start and no stop: it works while somebody waits for it, and no longer.
    """

    def __init__(self, pool: asyncpg.Pool) -> None:
        self.pool = pool
        self._waiting: list[_Waiting] = []
        self._working: asyncio.Task[None] | None = None

    async def write(self, tenant: int, event: Event, decision: bytes = b"") -> str:
        """The id of `event` in the log of `tenant`, once it is durable. `decision` is the object of the decision that
        it names, kept in the same commit; b"" when this event carries none.

        Raises `Busy` when it could not be written, and `Fault` for an event that is no event.
        """
        if len(self._waiting) >= _MAX_WAITING:
            raise Busy("the log cannot keep up; try again later", code="log-unavailable")
        key = _new_key()
        row = _row(tenant, key, event, decision)
        done: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        self._waiting.append(_Waiting(row, done))
        if self._working is None:
            self._working = asyncio.create_task(self._work())
        await done
        return str(key)

    async def write_within(self, connection: Connection, tenant: int, event: Event) -> str:
        """The id of `event`, written in the transaction of `connection`: it is in the log when that is committed, and
        never was when it is not. Raises `Busy` when it could not be written, and `Fault` for an event that is no
        event."""
        key = _new_key()
        row = _row(tenant, key, event, b"")
        try:
            await connection.execute(_INSERT, *([one] for one in row), timeout=_COMMIT_SECONDS)
        except Exception as error:  # Its text may hold the event.
            raise _unwritable(type(error).__name__) from None
        return str(key)

    async def _work(self) -> None:
        """Commit groups until nobody waits."""
        try:
            while self._waiting:
                group, self._waiting = self._waiting[:_MAX_GROUP], self._waiting[_MAX_GROUP:]
                await self._commit(group)
        finally:
            self._working = None
            _refuse(self._waiting, "the writer was stopped")
            self._waiting = []

    async def _commit(self, group: list[_Waiting]) -> None:
        started = time.monotonic()
        try:
            async with acquire(self.pool) as connection:
                columns = zip(*(one.row for one in group), strict=True)
                await connection.execute(_INSERT, *columns, timeout=_COMMIT_SECONDS)
        except Exception as error:
            # Whatever it was, nobody may go on: all get their refusal, and the next group is tried. The text of
            # the error may hold the event.
            if time.monotonic() - started > _SLOW_SECONDS:
                group, self._waiting = group + self._waiting, []
            _refuse(group, (error.cause if isinstance(error, Outcome) else "") or type(error).__name__)
        except BaseException:
            _refuse(group, "the writer was stopped")
            raise
        for one in group:
            if not one.done.done():
                one.done.set_result(None)


def _refuse(group: list[_Waiting], cause: str) -> None:
    for one in group:
        if not one.done.done():
            one.done.set_exception(_unwritable(cause))


def _unwritable(cause: str) -> Busy:
    return Busy("the log cannot be written; try again later", code="log-unavailable", cause=cause)


def _row(tenant: int, key: uuid.UUID, event: Event, decided: bytes) -> _Row:
    """The row of an event, checked here so that no event can spoil the group it is in."""
    recorded = now()
    recorded = recorded.replace(microsecond=recorded.microsecond // 1000 * 1000)
    if event.patient and not (len(event.patient) == 9 and event.patient.isdecimal()):
        raise Fault("an event names a patient by something that is no BSN")
    if (asked := trace.current()) is not None and not (event.trace and event.correlation):
        event = replace(
            event, trace=event.trace or asked.parent, correlation=event.correlation or asked.correlation
        )
    try:
        decision = uuid.UUID(event.decision)
        person = event.user.id if event.user else ""
        body = pack(to_json(event))
        columns = (
            event.subtype,
            int(event.outcome),
            _column(event.requester),
            _column(person),
            event.patient,
        )
    except (TypeError, ValueError) as error:
        raise Fault("an event cannot be written down", cause=type(error).__name__) from error
    return (tenant, key, recorded, *columns, decision, _column(event.correlation), body, pack(decided))


def _column(text: str) -> str:
    """`text` as the database takes it: without what is no character."""
    return text if text.isprintable() else text.encode("unicode_escape").decode()


def _new_key() -> uuid.UUID:
    """A UUID of version 7 (RFC 9562): its order is that of time, which keeps the index compact."""
    milliseconds = time.time_ns() // 1_000_000
    number = milliseconds << 80 | int.from_bytes(os.urandom(10), "big")
    return uuid.UUID(int=number & ~(0xF << 76 | 0x3 << 62) | 0x7 << 76 | 0x2 << 62)
