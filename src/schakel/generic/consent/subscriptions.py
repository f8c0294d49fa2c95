"""Subscriptions at Mitz: which patients we are told about, and the work of asking for it until it is done.

What the EHR asks is a row; a worker asks Mitz. Before it does, it moves `run_after` of the row ahead, so that nobody
asks beside it and another takes over when it is killed. Mitz may therefore be asked twice, with the same X-Request-Id:
at least once, and the row is one per patient.
"""

from __future__ import annotations

from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager
from dataclasses import dataclass
from datetime import date, datetime, timedelta
from typing import Literal

import asyncpg
import structlog

from schakel.facilities import FacilityAway
from schakel.generic.consent.mitz import Mitz, SubscriptionRequest
from schakel.generic.consent.mitz.client import SubscriptionAnswer
from schakel.generic.consent.objections import key_of
from schakel.generic.consent.telling import Told, told_of
from schakel.kernel.background import beside, pause, repeated
from schakel.kernel.clock import now
from schakel.kernel.outcomes import Invalid, NotFound, naming
from schakel.kernel.values import Bsn
from schakel.store.connection import acquire

State = Literal["waiting", "active", "refused", "ended"]

LEASE = timedelta(seconds=60)
"""How long a worker has for one attempt, before another takes over."""
MAX_PAGE = 1000
OLDEST_BIRTH = date(1870, 1, 1)

_COLUMNS = "id, patient, birth_date, state, location, attempts, error, made, changed"
_log = structlog.get_logger("schakel.mitz")


@dataclass(frozen=True, slots=True)
class Subscription:
    """A patient about whom Mitz tells us: `waiting` until Mitz took it, then `active`; `refused` when Mitz will not,
    with what it said in `error`; `ended` when the EHR no longer wants it."""

    id: str
    patient: str
    birth_date: date
    state: State
    location: str
    attempts: int
    error: str
    made: datetime
    changed: datetime


class Subscriptions:
    """The subscriptions of organisation `tenant`."""

    def __init__(self, pool: asyncpg.Pool, tenant: int) -> None:
        self._pool = pool
        self._tenant = tenant

    @property
    def tenant(self) -> int:
        """Whose they are."""
        return self._tenant

    async def want(
        self, patient: str, birth_date: date, told: Told[Subscription] | None = None
    ) -> Subscription:
        """Tells Mitz from now on that we want to know; asked again for the same patient it is the same one. `told` is
        called in the transaction.

        One that Mitz refused is tried again, and so is one with another date of birth. Raises `Invalid`.
        """
        with naming("patient"):
            bsn = str(Bsn(patient))
        if not OLDEST_BIRTH <= birth_date <= now().date():
            raise Invalid("birth_date is not the date of birth of a living person", expression="birth_date")
        async with acquire(self._pool) as connection, connection.transaction():
            row = await connection.fetchrow(
                "INSERT INTO mitz_subscription (tenant, patient, birth_date) VALUES ($1, $2, $3) "
                "ON CONFLICT (tenant, patient) WHERE state <> 'ended' DO UPDATE SET birth_date = $3, "
                "state = CASE WHEN mitz_subscription.birth_date = $3 AND mitz_subscription.state = 'active' "
                "THEN 'active' ELSE 'waiting' END, "
                "run_after = CASE WHEN mitz_subscription.state = 'waiting' "
                "THEN mitz_subscription.run_after ELSE now() END, "
                "attempts = CASE WHEN mitz_subscription.state = 'refused' "
                "THEN 0 ELSE mitz_subscription.attempts END "
                f"RETURNING {_COLUMNS}",
                self._tenant,
                bsn,
                birth_date,
            )
            return await told_of(connection, _subscription(row), told)

    async def end(self, patient: str, told: Told[Subscription] | None = None) -> Subscription:
        """It is no longer wanted: nothing is asked for it any more. `told` is called in the transaction. Ended again,
        it is the one that ended last, and nobody is told. Raises `NotFound`."""
        with naming("patient"):
            bsn = str(Bsn(patient))
        async with acquire(self._pool) as connection, connection.transaction():
            row = await connection.fetchrow(
                "UPDATE mitz_subscription SET state = 'ended', changed = now() "
                f"WHERE tenant = $1 AND patient = $2 AND state <> 'ended' RETURNING {_COLUMNS}",
                self._tenant,
                bsn,
            )
            if row is not None:
                return await told_of(connection, _subscription(row), told)
            row = await connection.fetchrow(
                f"SELECT {_COLUMNS} FROM mitz_subscription WHERE tenant = $1 AND patient = $2 "
                "ORDER BY changed DESC, id DESC LIMIT 1",
                self._tenant,
                bsn,
            )
        if row is None:
            raise NotFound("there is no subscription on this patient", code="subscription-unknown")
        return _subscription(row)

    async def list(self, state: State | None = None, after: str = "", count: int = 100) -> list[Subscription]:
        """Those in this state, all that did not end when None, after the one with this id; at most 1,000."""
        async with acquire(self._pool) as connection:
            rows = await connection.fetch(
                f"SELECT {_COLUMNS} FROM mitz_subscription WHERE tenant = $1 AND ($2::uuid IS NULL OR id > $2) "
                "AND ($3::text IS NULL AND state <> 'ended' OR state = $3) ORDER BY id LIMIT $4",
                self._tenant,
                key_of(after, "no subscription has this id") if after else None,
                state,
                min(count, MAX_PAGE),
            )
        return [_subscription(row) for row in rows]


@dataclass(frozen=True, slots=True)
class Subscriber:
    """What a subscription of an organisation says of it: its URA and type, our address for what Mitz tells, and the
    OIDs of our systems."""

    holder: str
    holder_type: str
    endpoint: str
    gateway: str
    source: str


class SubscriptionWork:
    """Asks Mitz for what is waiting, of the organisations in `subscribers` (by tenant)."""

    def __init__(
        self,
        pool: asyncpg.Pool,
        mitz: Mitz,
        subscribers: Mapping[int, Subscriber],
        lease: timedelta = LEASE,
        poll_seconds: float = 1.0,
    ) -> None:
        self._pool = pool
        self._mitz = mitz
        self._subscribers = subscribers
        self._poll_seconds = poll_seconds
        self._lease = lease

    @asynccontextmanager
    async def working(self) -> AsyncIterator[None]:
        """Works until the end of the block; what was under way then is taken up when its time is over."""
        async with beside(repeated(self.turn, self._poll_seconds, _log, "mitz-subscription-turn")):
            yield

    async def turn(self) -> bool:
        """Asks for the one that waited longest; False when none waits."""
        async with acquire(self._pool) as connection:
            row = await connection.fetchrow(
                "UPDATE mitz_subscription SET run_after = clock_timestamp() + $2, attempts = attempts + 1 "
                "WHERE (tenant, id) = (SELECT s.tenant, s.id FROM mitz_subscription s "
                "WHERE s.tenant = ANY ($1) AND s.state = 'waiting' AND s.run_after <= clock_timestamp() "
                "ORDER BY s.run_after, s.id LIMIT 1 FOR UPDATE SKIP LOCKED) "
                f"RETURNING tenant, {_COLUMNS}",
                list(self._subscribers),
                self._lease,
            )
        if row is None:
            return False
        tenant, wanted = row["tenant"], _subscription(row)
        await self._settle(tenant, wanted, await self._asked(self._subscribers[tenant], wanted))
        return True

    async def _asked(self, subscriber: Subscriber, wanted: Subscription) -> SubscriptionAnswer:
        request = SubscriptionRequest(
            wanted.id,
            wanted.patient,
            wanted.birth_date,
            subscriber.holder,
            subscriber.holder_type,
            subscriber.endpoint,
            subscriber.gateway,
            subscriber.source,
        )
        try:
            return await self._mitz.subscribe(request)
        except FacilityAway as away:
            return SubscriptionAnswer(False, later=True, why=away.why)

    async def _settle(self, tenant: int, wanted: Subscription, answer: SubscriptionAnswer) -> None:
        """Writes down what came of it, unless the EHR ended it or changed it meanwhile."""
        state = "active" if answer.taken else "waiting" if answer.later else "refused"
        async with acquire(self._pool) as connection:
            await connection.execute(
                "UPDATE mitz_subscription SET state = $4, location = $5, error = $6, changed = clock_timestamp(), "
                "run_after = clock_timestamp() + $7 "
                "WHERE tenant = $1 AND id = $2 AND state = 'waiting' AND birth_date = $3",
                tenant,
                wanted.id,
                wanted.birth_date,
                state,
                answer.location,
                answer.why,
                answer.wait or pause(wanted.attempts),
            )
        if not answer.taken:
            _log.warning("mitz-subscription", subscription=wanted.id, attempt=wanted.attempts, why=answer.why)


def _subscription(row: asyncpg.Record | None) -> Subscription:
    assert row is not None
    values = {name: row[name] for name in _COLUMNS.split(", ")}
    return Subscription(**{**values, "id": str(row["id"])})
