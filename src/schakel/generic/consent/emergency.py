"""Access in an emergency (break-glass): each use is a case that the holder's officer looks at within a term."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import date, datetime, timedelta

import asyncpg

from schakel.generic.consent.model import ConsentQuestion
from schakel.generic.consent.objections import checked_text, key_of
from schakel.generic.consent.telling import Told, told_of
from schakel.kernel.clock import now
from schakel.kernel.outcomes import Conflict, NotFound
from schakel.store.connection import acquire

HIGH = "http://eidas.europa.eu/LoA/high"
MAX_LISTED = 1000
_AT_A_TIME = 100
_COLUMNS = (
    "id, patient, requester, token, user_id, user_name, user_role, purpose, reason, overrode, document, "
    "made, due, judged, accepted, judge, note"
)


@dataclass(frozen=True, slots=True)
class EmergencyPolicy:
    """What the holder decided, in a written policy: `document` names it, `dated` is its date.

    `hours` is the term of the second look, `levels` are the levels of assurance (URIs) that count as high.
    `overrides_objection` is whether the policy names the case of a patient who objected. `rejected_days` is how long a
    professional of whom an emergency was not accepted has no other with the same patient.
    """

    document: str
    dated: date
    hours: int
    levels: frozenset[str] = frozenset({HIGH})
    overrides_objection: bool = False
    rejected_days: int = 30

    @property
    def named(self) -> str:
        """The document as it is written down with each use."""
        return f"{self.document}, {self.dated.isoformat()}"


@dataclass(frozen=True, slots=True)
class EmergencyAccess:
    """One use: who had access to whose data and why; `overrode` is the objection that stood against it, or ''.

    `due` is when the second look must have been given, `judged` when it was, `accepted` what came of it.
    """

    id: str
    patient: str
    requester: str
    token: str
    user_id: str
    user_name: str
    user_role: str
    purpose: str
    reason: str
    overrode: str
    document: str
    made: datetime
    due: datetime
    judged: datetime | None
    accepted: bool | None
    judge: str
    note: str

    @property
    def overdue(self) -> bool:
        """Whether the term has passed without a second look."""
        return self.judged is None and self.due < now()


class Emergencies:
    """The cases of organisation `tenant`."""

    def __init__(self, pool: asyncpg.Pool, tenant: int) -> None:
        self._pool = pool
        self._tenant = tenant

    async def open(
        self, question: ConsentQuestion, reason: str, policy: EmergencyPolicy, overrode: str = ""
    ) -> EmergencyAccess:
        """The case of this token and patient; the first request makes it, later ones belong to it."""
        async with acquire(self._pool) as connection:
            row = await connection.fetchrow(
                "INSERT INTO emergency_access (tenant, patient, requester, token, user_id, user_name, user_role, "
                "purpose, reason, overrode, document, due) "
                "VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11, now() + $12) "
                # An objection that came up after the first request is written down with the case.
                "ON CONFLICT (tenant, token, patient) DO UPDATE SET overrode = "
                "coalesce(nullif(emergency_access.overrode, ''), excluded.overrode) "
                f"RETURNING {_COLUMNS}",
                self._tenant,
                question.patient,
                question.requester,
                question.token,
                question.user_id,
                question.user_name,
                question.user_role,
                question.purpose,
                reason,
                overrode,
                policy.named,
                timedelta(hours=policy.hours),
            )
        return _case(row)

    async def rejected(self, question: ConsentQuestion, policy: EmergencyPolicy) -> bool:
        """Whether an emergency of this professional with this patient was not accepted, in the days that count."""
        async with acquire(self._pool) as connection:
            found: bool = await connection.fetchval(
                "SELECT EXISTS (SELECT FROM emergency_access WHERE tenant = $1 AND patient = $2 AND NOT accepted "
                "AND requester = $3 AND user_id = $4 AND judged > now() - $5::interval)",
                self._tenant,
                question.patient,
                question.requester,
                question.user_id,
                timedelta(days=policy.rejected_days),
            )
        return found

    async def find_overdue(self, told: Told[EmergencyAccess]) -> int:
        """How many cases have gone past their term without a second look since this was asked last, some at a time;
        `told` is called for each in the transaction that marks them."""
        async with acquire(self._pool) as connection, connection.transaction():
            rows = await connection.fetch(
                "UPDATE emergency_access SET overdue_told = now() WHERE tenant = $1 AND id IN (SELECT id "
                "FROM emergency_access WHERE tenant = $1 AND judged IS NULL AND due < now() AND overdue_told IS NULL "
                f"ORDER BY due LIMIT {_AT_A_TIME} FOR UPDATE SKIP LOCKED) RETURNING {_COLUMNS}",
                self._tenant,
            )
            for row in rows:
                await told(connection, _case(row))
        return len(rows)

    async def list(self, *, judged: bool = False) -> list[EmergencyAccess]:
        """The cases that wait for a second look, those that are due first; with `judged` the others, newest first."""
        async with acquire(self._pool) as connection:
            rows = await connection.fetch(
                f"SELECT {_COLUMNS} FROM emergency_access WHERE tenant = $1 AND "
                + (
                    "judged IS NOT NULL ORDER BY judged DESC, id"
                    if judged
                    else "judged IS NULL ORDER BY due, id"
                )
                + f" LIMIT {MAX_LISTED}",
                self._tenant,
            )
        return [_case(row) for row in rows]

    async def get(self, name: str) -> EmergencyAccess:
        """Raises `NotFound`."""
        async with acquire(self._pool) as connection:
            row = await connection.fetchrow(
                f"SELECT {_COLUMNS} FROM emergency_access WHERE tenant = $1 AND id = $2",
                self._tenant,
                key_of(name, _UNKNOWN),
            )
        if row is None:
            raise NotFound(_UNKNOWN, code="review-unknown")
        return _case(row)

    async def judge(
        self,
        name: str,
        *,
        accepted: bool,
        by: str,
        note: str = "",
        told: Told[EmergencyAccess] | None = None,
    ) -> EmergencyAccess:
        """The second look, given once; `told` is called in its transaction. Raises `NotFound`, `Conflict` when it was
        given, `Invalid`.

        A case that is not accepted needs a note.
        """
        async with acquire(self._pool) as connection, connection.transaction():
            row = await connection.fetchrow(
                "UPDATE emergency_access SET judged = now(), accepted = $3, judge = $4, note = $5 "
                f"WHERE tenant = $1 AND id = $2 AND judged IS NULL RETURNING {_COLUMNS}",
                self._tenant,
                key_of(name, _UNKNOWN),
                accepted,
                checked_text(by, "by"),
                checked_text(note, "note", needed=not accepted),
            )
            if row is not None:
                return await told_of(connection, _case(row), told)
        before = await self.get(name)
        raise Conflict(
            f"this case was judged before, by {before.judge}; a judgement is given once",
            code="review-given",
        )


_UNKNOWN = "no case has this id"


def _case(row: asyncpg.Record | None) -> EmergencyAccess:
    assert row is not None
    return EmergencyAccess(**{**dict(row), "id": str(row["id"])})
