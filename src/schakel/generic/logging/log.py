"""One organisation's view of the log: write and read; there is nothing else."""

from __future__ import annotations

import uuid
from dataclasses import dataclass
from datetime import datetime, timedelta

from schakel.generic.logging.events import Event
from schakel.generic.logging.stored import EPOCH, Logged, logged
from schakel.generic.logging.writer import AuditWriter
from schakel.kernel.outcomes import Invalid, NotFound
from schakel.store.connection import Connection, acquire
from schakel.store.database import pack, unpack


@dataclass(frozen=True, slots=True, kw_only=True)
class Wanted:
    """Which events: each condition that is not None must hold. `patient` is a BSN, `requester` a URA or the host name
    of a patient's client, `person` the professional's number or account, `kind` a subtype; recorded from `since` and
    before `until`. `after` is the place of the last event of the page before."""

    patient: str | None = None
    requester: str | None = None
    person: str | None = None
    kind: str | None = None
    outcome: int | None = None
    decision: str | None = None
    correlation: str | None = None
    since: datetime | None = None
    until: datetime | None = None
    after: str | None = None


_QUESTIONS = """
WITH wanted AS NOT MATERIALIZED (
    SELECT id, recorded, kind, requester, person, correlation, body,
        CASE correlation WHEN '' THEN decision END AS decision,
        (recorded AT TIME ZONE 'Europe/Amsterdam')::date AS day
    FROM audit_event WHERE tenant = $1{where}
), question AS (
    SELECT * FROM (
        SELECT DISTINCT ON (requester, person, correlation, decision, day)
            id, recorded, requester, person, correlation, decision, day
        FROM wanted ORDER BY requester, person, correlation, decision, day, recorded DESC, id DESC
    ) AS newest
    WHERE true{after}
    ORDER BY recorded DESC, id DESC LIMIT ${count}
)
SELECT question.id AS question, part.id, part.recorded, part.body
FROM question CROSS JOIN LATERAL (
    SELECT id, recorded, body FROM (
        SELECT id, recorded, kind, body, row_number() OVER (ORDER BY recorded DESC, id DESC) AS place FROM wanted
        WHERE requester = question.requester AND person = question.person AND correlation = question.correlation
        AND decision IS NOT DISTINCT FROM question.decision
        AND recorded >= question.day::timestamp AT TIME ZONE 'Europe/Amsterdam'
        AND recorded < (question.day + 1)::timestamp AT TIME ZONE 'Europe/Amsterdam'
    ) AS placed
    WHERE place <= ${most} OR kind = 'break-glass'
    ORDER BY place LIMIT 2 * ${most}
) AS part
ORDER BY question.recorded DESC, question.id DESC, part.recorded DESC, part.id DESC
"""
"""The work is that of sorting what is wanted, whatever ids the requesters chose; the index on the patient is enough."""


class AuditLog:
    """The log of organisation `tenant`. Reading it is an event too, which the caller writes."""

    def __init__(self, writer: AuditWriter, tenant: int) -> None:
        self._writer = writer
        self.tenant = tenant

    async def write(self, event: Event, decision: bytes = b"") -> str:
        """The id of `event`, once it is durable, together with the object of its decision if it carries one.

        Raises `Busy`: then do not do what was to be logged.
        """
        return await self._writer.write(self.tenant, event, decision)

    async def write_within(self, connection: Connection, event: Event) -> str:
        """The id of `event`, written in the transaction of `connection`, for an act that is itself a change in this
        database: both are there or neither is."""
        return await self._writer.write_within(connection, self.tenant, event)

    async def search(self, wanted: Wanted, count: int = 100) -> list[Logged]:
        """The first `count` events that are wanted, the newest first."""
        where, values = self._conditions(wanted)
        if wanted.after is not None:
            where += _after(wanted.after, values)
        values.append(count)
        async with acquire(self._writer.pool) as connection:
            rows = await connection.fetch(
                f"SELECT id, recorded, body FROM audit_event WHERE tenant = $1{where} "
                f"ORDER BY recorded DESC, id DESC LIMIT ${len(values)}",
                *values,
            )
        return [logged(row) for row in rows]

    async def questions(self, wanted: Wanted, count: int, most: int) -> list[list[Logged]]:
        """The first `count` questions among the events that are wanted, the one with the newest event first; of each
        the newest `most` of those events, the newest first, and behind them the newest `most` emergencies (events
        `break-glass`) that are older, so that what follows an emergency never hides it.

        A question is what has the same correlation or, without one, the same decision, from the same person of the
        same requester on one day in Amsterdam: a requester may use one correlation for as long as it likes. It stands
        where its newest event stands, so that `after` continues behind the newest event of the last question, and no
        question is on two pages (with the same `until`).
        """
        where, values = self._conditions(wanted)
        after = "" if wanted.after is None else _after(wanted.after, values)
        values += [count, most]
        async with acquire(self._writer.pool) as connection:
            rows = await connection.fetch(
                _QUESTIONS.format(where=where, after=after, count=len(values) - 1, most=len(values)), *values
            )
        found: dict[uuid.UUID, list[Logged]] = {}
        for row in rows:
            found.setdefault(row["question"], []).append(logged(row))
        return list(found.values())

    def _conditions(self, wanted: Wanted) -> tuple[str, list[object]]:
        """The conditions but `after`, as SQL behind the tenant's, and the arguments from $1 on."""
        where, values = "", list[object]([self.tenant])
        for condition, value in (
            # The indexes on patients and persons leave out events without one.
            ("patient <> '' AND patient = $", wanted.patient),
            ("requester = $", wanted.requester),
            ("person <> '' AND person = $", wanted.person),
            ("kind = $", wanted.kind),
            ("outcome = $", wanted.outcome),
            ("decision = $", None if wanted.decision is None else _uuid(wanted.decision)),
            ("correlation <> '' AND correlation = $", wanted.correlation),
            ("recorded >= $", wanted.since),
            ("recorded < $", wanted.until),
        ):
            if value is not None:
                values.append(value)
                where += f" AND {condition}{len(values)}"
        return where, values

    async def read(self, event_id: str) -> Logged:
        """The event with this id. Raises `NotFound`."""
        async with acquire(self._writer.pool) as connection:
            row = await connection.fetchrow(
                "SELECT id, recorded, body FROM audit_event WHERE tenant = $1 AND id = $2",
                self.tenant,
                _uuid(event_id),
            )
        if row is None:
            raise _unknown()
        return logged(row)

    async def explain(self, decision_id: str) -> list[Logged]:
        """All that was logged under a decision, in the order of time. Raises `NotFound`."""
        async with acquire(self._writer.pool) as connection:
            rows = await connection.fetch(
                "SELECT id, recorded, body FROM audit_event WHERE tenant = $1 AND decision = $2 ORDER BY recorded, id",
                self.tenant,
                _uuid(decision_id),
            )
        if not rows:
            raise _unknown()
        return [logged(row) for row in rows]

    async def decision(self, decision_id: str, event_id: str | None = None) -> bytes:
        """The object of a decision, as this event gave it; without one as the last that carried it did, which tells
        how it ended: what was permitted may have been refused when it was carried out (in the same millisecond too, so
        that a refusal counts as the later). Raises `NotFound`."""
        async with acquire(self._writer.pool) as connection:
            body: bytes | None = await connection.fetchval(
                "SELECT decision.body FROM decision JOIN audit_event AS told "
                "ON told.tenant = decision.tenant AND told.id = decision.event "
                "WHERE decision.tenant = $1 AND decision.id = $2 AND ($3::uuid IS NULL OR event = $3) "
                "ORDER BY decision.recorded DESC, told.outcome DESC, event DESC LIMIT 1",
                self.tenant,
                _uuid(decision_id),
                None if event_id is None else _uuid(event_id),
            )
        if body is None:
            what = "decision with this id" if event_id is None else "decision with this id of this event"
            raise NotFound(f"the log has no {what}", code="decision-unknown")
        return unpack(body)

    async def keep_policy(self, digest: str, text: str) -> None:
        """Keeps the text of a policy, so that its decisions can be made again; a second time changes nothing."""
        async with acquire(self._writer.pool) as connection:
            await connection.execute(
                "INSERT INTO policy_text (tenant, digest, body) VALUES ($1, $2, $3) "
                "ON CONFLICT (tenant, digest) DO NOTHING",
                self.tenant,
                digest,
                pack(text.encode()),
            )

    async def policy(self, digest: str) -> str:
        """The text of the policy with this digest. Raises `NotFound`."""
        async with acquire(self._writer.pool) as connection:
            body: bytes | None = await connection.fetchval(
                "SELECT body FROM policy_text WHERE tenant = $1 AND digest = $2",
                self.tenant,
                digest if digest.isalnum() else "",
            )
        if body is None:
            raise NotFound("no policy with this digest ever decided here", code="policy-unknown")
        return unpack(body).decode()


def _after(text: str, values: list[object]) -> str:
    """The condition that an event comes after a place; its arguments go behind `values`. Raises `Invalid`."""
    values += _place(text)
    return f" AND (recorded, id) < (${len(values) - 1}, ${len(values)})"


def place(event: Logged) -> str:
    """The place of an event in a search, as `Wanted.after` takes it."""
    return f"{(event.recorded - EPOCH) // timedelta(microseconds=1)}.{event.id}"


def _place(text: str) -> tuple[datetime, uuid.UUID]:
    """The inverse of `place`. Raises `Invalid`."""
    microseconds, _, key = text.partition(".")
    try:
        return EPOCH + timedelta(microseconds=int(microseconds)), uuid.UUID(key)
    except (ValueError, OverflowError):
        raise Invalid("_page is not a page link of this log", expression="_page") from None


def _uuid(text: str) -> uuid.UUID:
    """`text` as UUID; what is none is the id of nothing."""
    try:
        return uuid.UUID(text)
    except ValueError:
        raise _unknown() from None


def _unknown() -> NotFound:
    return NotFound("the log has no event with this id", code="event-unknown")
