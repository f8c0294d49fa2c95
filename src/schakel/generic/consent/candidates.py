"""Among whose data a resource that names no patient (a Practitioner, an Organization) is looked for.

Those are the patients of whom the requester got data under the same token, on whatever ground, and those of whom it has
a recorded ground. To be among them permits nothing: `ConsentDesk.permit` is asked for the one whose data leads there.

What was given is kept in the database, because the next request may reach another process. It is kept before the
answer leaves, without waiting for the disk: the answer itself waits until its event in the log is durable, and what the
database writes reaches the disk in order.
"""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Sequence
from datetime import datetime
from typing import TypeAlias

import asyncpg

from schakel.generic.consent.grounds import ACTIVE
from schakel.store.connection import acquire
from schakel.store.groups import Groups

_MOST = 50_000
"""Tokens with a patient that a process remembers to have kept, some 15 MB; of others it says so once more."""

_KEEP = """
INSERT INTO token_patient (tenant, token, patient, expires)
SELECT $1, token, patient, max(expires)
FROM unnest($2::text[], $3::text[], $4::timestamptz[]) AS given (token, patient, expires)
WHERE set_config('synchronous_commit', 'off', true) = 'off'
GROUP BY token, patient ORDER BY token, patient
ON CONFLICT DO NOTHING
"""

_OF = f"""
SELECT patient FROM (
    SELECT patient, made FROM token_patient WHERE tenant = $1 AND token = $4 AND expires > now()
    UNION ALL
    SELECT patient, '-infinity' FROM disclosure_ground
    WHERE tenant = $1 AND requester = $2 AND exchange <> '' AND exchange = $3 AND {ACTIVE}
) AS candidate
GROUP BY patient ORDER BY max(made) DESC, patient
"""

_Given: TypeAlias = tuple[str, str, datetime]
"""The id of a token, a BSN, and when the token expires."""


class Candidates:
    """The candidates of organisation `tenant`."""

    def __init__(self, pool: asyncpg.Pool, tenant: int) -> None:
        self._pool = pool
        self._tenant = tenant
        self._keeping: Groups[_Given, None] = Groups(self._keep)
        self._kept: OrderedDict[tuple[str, str], None] = OrderedDict()

    async def given(self, token: str, patient: str, expires: datetime) -> None:
        """Keeps that data of this patient (BSN) is given under the token with this id, until it expires; asks the
        database when this process did not do so before. Raises `Busy`."""
        if (token, patient) in self._kept:
            return
        await self._keeping.ask((token, patient, expires))
        self._kept[token, patient] = None
        if len(self._kept) > _MOST:
            self._kept.popitem(last=False)

    async def of(self, requester: str, exchange: str, token: str) -> list[str]:
        """The BSNs of whom something was given under this token, the last one first, and then of whom this requester
        may have this exchange now by a recorded ground. Raises `Busy`."""
        async with acquire(self._pool) as connection:
            rows = await connection.fetch(_OF, self._tenant, requester, exchange, token)
        return [row["patient"] for row in rows]

    async def _keep(self, given: Sequence[_Given]) -> list[None]:
        async with acquire(self._pool) as connection:
            await connection.execute(_KEEP, self._tenant, *zip(*given, strict=True))
        return [None] * len(given)
