"""Grounds for disclosure in the database; each statement carries the tenant."""

from __future__ import annotations

import re
import uuid
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta

import asyncpg

from schakel.generic.consent.model import RECORDED, RecordedKind
from schakel.generic.consent.telling import Told, told_of
from schakel.kernel.clock import now
from schakel.kernel.outcomes import Invalid, NotFound, TooCostly
from schakel.kernel.values import Bsn, Ura
from schakel.store.connection import acquire

LONGEST = timedelta(days=731)
"""Longest term of a ground: nobody looks ahead further than two years, and a forgotten ground must end."""

MAX_REASON = 500
MAX_QUERIES = 200
MAX_QUERY = 2000
MAX_LISTED = 10_000
MAX_TASK = 200
_EXCHANGE = re.compile(r"[a-z0-9][a-z0-9-]{0,63}")

COLUMNS = "id, requester, patient, exchange, queries, until, reason, made, ended, kind, task"
ACTIVE = "ended IS NULL AND until > now()"
COVERS = "(exchange <> '' AND exchange = {exchange} OR {form} <> '' AND {form} = ANY (queries))"
"""What a ground covers, in SQL: the exchange, or exactly this search in normal form."""


@dataclass(frozen=True, slots=True)
class Ground:
    """One ground. `requester` is a URA, `patient` a BSN; either `exchange` or `queries` says what it covers.

    `ended` is when it was withdrawn, or None. `kind` is why the requester may have it, `task` the referral or handover
    that it rests on (the reference or identifier of a Task), '' without one.
    """

    id: str
    requester: str
    patient: str
    exchange: str
    queries: tuple[str, ...]
    until: datetime
    reason: str
    made: datetime
    ended: datetime | None
    kind: RecordedKind = "recorded"
    task: str = ""


class Grounds:
    """The grounds of organisation `tenant`. Whether one is active is judged by the database's clock."""

    def __init__(self, pool: asyncpg.Pool, tenant: int) -> None:
        self._pool = pool
        self._tenant = tenant

    async def write(
        self,
        requester: str,
        patient: str,
        *,
        exchange: str = "",
        queries: Sequence[str] = (),
        until: datetime,
        reason: str,
        kind: str = "recorded",
        task: str = "",
        told: Told[Ground] | None = None,
    ) -> Ground:
        """A new ground, kept; `told` is called in its transaction. Raises `Invalid` naming the member that is wrong."""
        row = (
            str(Ura(requester)),
            str(Bsn(patient)),
            *_checked_scope(exchange, queries),
            _checked_until(until),
            _checked_reason(reason),
            *_checked_kind(kind, task),
        )
        async with acquire(self._pool) as connection, connection.transaction():
            written = await connection.fetchrow(
                "INSERT INTO disclosure_ground "
                "(tenant, requester, patient, exchange, queries, until, reason, kind, task) "
                f"VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9) RETURNING {COLUMNS}",
                self._tenant,
                *row,
            )
            return await told_of(connection, ground_of(written), told)

    async def end(self, ground_id: str, told: Told[Ground] | None = None) -> Ground:
        """Withdraw a ground from this moment; one that was withdrawn before keeps its moment. `told` is called in the
        transaction. Raises `NotFound`."""
        try:
            key = uuid.UUID(ground_id)
        except ValueError:
            raise _unknown() from None
        async with acquire(self._pool) as connection, connection.transaction():
            row = await connection.fetchrow(
                "UPDATE disclosure_ground SET ended = coalesce(ended, now()) WHERE tenant = $1 AND id = $2 "
                f"RETURNING {COLUMNS}",
                self._tenant,
                key,
            )
            if row is None:
                raise _unknown()
            return await told_of(connection, ground_of(row), told)

    async def explain(self, requester: str, patient: str, exchange: str, query: str = "") -> str:
        """Why no ground permits this: `no-ground`, `ground-ended` or `ground-expired`, by the last one
        made."""
        async with acquire(self._pool) as connection:
            ended: bool | None = await connection.fetchval(
                "SELECT coalesce(ended < until, false) FROM disclosure_ground "
                "WHERE tenant = $1 AND requester = $2 AND patient = $3 "
                f"AND {COVERS.format(exchange='$4', form='$5')} AND NOT ({ACTIVE}) "
                "ORDER BY made DESC, id LIMIT 1",
                self._tenant,
                requester,
                patient,
                exchange,
                query,
            )
        if ended is None:
            return "no-ground"
        return "ground-ended" if ended else "ground-expired"

    async def list(
        self, *, patient: str | None = None, requester: str | None = None, active: bool = False
    ) -> list[Ground]:
        """The grounds of this patient and this requester, the newest first; only `active` ones when asked.

        Raises `TooCostly` for more than 10,000, and `Invalid` for a BSN or URA that is none.
        """
        async with acquire(self._pool) as connection:
            rows = await connection.fetch(
                f"SELECT {COLUMNS} FROM disclosure_ground WHERE tenant = $1 "
                "AND ($2::text IS NULL OR patient = $2) AND ($3::text IS NULL OR requester = $3) "
                f"AND (NOT $4 OR {ACTIVE}) ORDER BY made DESC, id LIMIT {MAX_LISTED + 1}",
                self._tenant,
                None if patient is None else str(Bsn(patient)),
                None if requester is None else str(Ura(requester)),
                active,
            )
        if len(rows) > MAX_LISTED:
            raise TooCostly(f"there are more than {MAX_LISTED} grounds: name a patient or a requester")
        return [ground_of(row) for row in rows]


def _checked_scope(exchange: str, queries: Sequence[str]) -> tuple[str, list[str]]:
    """What a ground covers: exactly one of the two is given."""
    if bool(exchange) == bool(queries):
        raise _invalid("exactly one of exchange and queries is needed", "exchange")
    if exchange and not _EXCHANGE.fullmatch(exchange):
        raise _invalid("exchange has lower-case letters, digits and '-', at most 64, as in bgz", "exchange")
    if len(queries) > MAX_QUERIES:
        raise _invalid(f"queries has more than {MAX_QUERIES} members", "queries")
    for number, query in enumerate(queries):
        if not 0 < len(query) <= MAX_QUERY or not query.isprintable():
            raise _invalid(
                f"queries[{number}] is not a search of 1 to {MAX_QUERY} printable characters",
                f"queries[{number}]",
            )
    return exchange, list(dict.fromkeys(queries))


def _checked_until(until: datetime) -> datetime:
    if until.tzinfo is None:
        raise _invalid("until has no time zone", "until")
    moment = now()
    if until <= moment:
        raise _invalid("until is not in the future", "until")
    if until > moment + LONGEST:
        raise _invalid(f"until is more than {LONGEST.days} days ahead", "until")
    return until


def _checked_reason(reason: str) -> str:
    if not reason.strip() or len(reason) > MAX_REASON or not reason.isprintable():
        raise _invalid(f"reason is needed: 1 to {MAX_REASON} printable characters on one line", "reason")
    return reason.strip()


def _checked_kind(kind: str, task: str) -> tuple[str, str]:
    """A referral and a handover rest on a task; the other kinds on none."""
    if kind not in RECORDED:
        raise _invalid(f"kind is one of {', '.join(RECORDED)}", "kind")
    if len(task) > MAX_TASK or not task.isprintable() or task != task.strip():
        raise _invalid(f"task is at most {MAX_TASK} printable characters without blanks around it", "task")
    if bool(task) and kind not in ("referral", "handover"):
        raise _invalid(f"task is there for a referral or a handover, not for kind {kind}", "task")
    return kind, task


def _invalid(message: str, where: str) -> Invalid:
    return Invalid(message, code="ground-invalid", expression=where)


def _unknown() -> NotFound:
    return NotFound("no ground has this id", code="ground-unknown")


def ground_of(row: asyncpg.Record | None) -> Ground:
    """The ground in a row with `COLUMNS`."""
    assert row is not None
    return Ground(
        str(row["id"]),
        row["requester"],
        row["patient"],
        row["exchange"],
        tuple(row["queries"]),
        row["until"],
        row["reason"],
        row["made"],
        row["ended"],
        row["kind"],
        row["task"],
    )
