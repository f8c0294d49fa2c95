"""What Mitz told us of the choices of patients: the last known, and a feed of all in the order in which they came.

The number of the last notice of a patient is the version of what is known of that patient. An answer of Mitz is
remembered under the version that was read before it was asked, and the version is read again each time it is used:
a notice that any process has committed ends what every process remembers.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from datetime import datetime

import asyncpg

from schakel.generic.consent.organisations import TREATMENT
from schakel.store.connection import acquire

VERSION = "coalesce((SELECT max(n.number) FROM mitz_notice n WHERE n.tenant = {tenant} AND n.patient = {patient}), 0)"
"""The version of what is known of a patient, in SQL."""

_NEW_NOTICE = """
INSERT INTO mitz_notice (tenant, number, patient, category, provider_category, permitted, chosen)
SELECT $1, $2, $3, $4, $5, $6, $7
WHERE NOT EXISTS (
    SELECT FROM mitz_notice WHERE tenant = $1 AND patient = $3 AND category = $4 AND provider_category = $5
        AND permitted = $6 AND chosen = $7
) OR EXISTS (
    SELECT FROM (
        SELECT permitted, chosen FROM mitz_notice
        WHERE tenant = $1 AND patient = $3 AND category = $4 AND provider_category = $5 ORDER BY number DESC LIMIT 1
    ) AS latest WHERE latest.chosen = $7 AND latest.permitted <> $6
) RETURNING number
"""

MAX_PAGE = 1000


@dataclass(frozen=True, slots=True)
class Choice:
    """A choice of a patient (BSN): may providers of this category have data of this category? `provider_category` ''
    is all providers. `chosen` is when."""

    patient: str
    category: str
    provider_category: str
    permitted: bool
    chosen: datetime


@dataclass(frozen=True, slots=True)
class Notice:
    """A choice as it was notified, with its number in the feed."""

    number: int
    choice: Choice
    received: datetime


class Choices:
    """The choices known to organisation `tenant`."""

    def __init__(self, pool: asyncpg.Pool, tenant: int) -> None:
        self._pool = pool
        self._tenant = tenant

    async def keep(self, choices: Iterable[Choice]) -> int:
        """Keeps what was notified, all or nothing; how many were new. The same notice twice is one, unless another of
        the same moment came in between.

        A choice that is older than what is known changes nothing but the feed. Of two choices of the same moment the
        one that permits less stands. From the moment this returns no process uses an answer of Mitz about these
        patients from before it.
        """
        new = 0
        async with acquire(self._pool) as connection, connection.transaction():
            # The row of the feed is held until the end, so that numbers become visible in their order.
            last: int = await connection.fetchval(
                "INSERT INTO mitz_feed (tenant, last) VALUES ($1, 0) "
                "ON CONFLICT (tenant) DO UPDATE SET last = mitz_feed.last RETURNING last",
                self._tenant,
            )
            for choice in choices:
                values = (
                    choice.patient,
                    choice.category,
                    choice.provider_category,
                    choice.permitted,
                    choice.chosen,
                )
                added = await connection.fetchval(_NEW_NOTICE, self._tenant, last + new + 1, *values)
                if added is None:
                    continue
                new += 1
                await connection.execute(
                    "INSERT INTO mitz_choice (tenant, patient, category, provider_category, permitted, chosen) "
                    "VALUES ($1, $2, $3, $4, $5, $6) "
                    "ON CONFLICT (tenant, patient, category, provider_category) DO UPDATE "
                    "SET permitted = excluded.permitted, chosen = excluded.chosen "
                    "WHERE excluded.chosen > mitz_choice.chosen "
                    "OR excluded.chosen = mitz_choice.chosen AND NOT excluded.permitted",
                    self._tenant,
                    *values,
                )
            await connection.execute(
                "UPDATE mitz_feed SET last = $2 WHERE tenant = $1", self._tenant, last + new
            )
        return new

    async def feed(self, after: int = 0, count: int = 100) -> list[Notice]:
        """What was notified after this number, in order; at most 1,000."""
        async with acquire(self._pool) as connection:
            rows = await connection.fetch(
                "SELECT number, patient, category, provider_category, permitted, chosen, received "
                "FROM mitz_notice WHERE tenant = $1 AND number > $2 ORDER BY number LIMIT $3",
                self._tenant,
                after,
                min(count, MAX_PAGE),
            )
        return [
            Notice(
                row["number"],
                Choice(
                    row["patient"],
                    row["category"],
                    row["provider_category"],
                    row["permitted"],
                    row["chosen"],
                ),
                row["received"],
            )
            for row in rows
        ]

    async def version(self, patient: str) -> int:
        """The version of what is known of a patient now; 0 when nothing was ever notified."""
        async with acquire(self._pool) as connection:
            number: int = await connection.fetchval(
                f"SELECT {VERSION.format(tenant='$1', patient='$2')}", self._tenant, patient
            )
        return number


Told = tuple[str, str, bool, datetime]
"""What is known of a choice: category, category of providers ('' is all), whether it permits, when it was made."""


def refused(known: Sequence[Told], categories: Iterable[str], provider_category: str) -> bool:
    """Whether the choices that are known say no to one of `categories`.

    A choice for treatment data counts for a category without one of its own for these providers. What was chosen for
    these providers and what for all are one choice: the younger counts. A requester whose category is not known ('')
    may be of any.
    """
    for category in categories:
        own = [one for one in known if one[0] == category]
        general = [one for one in known if one[0] == TREATMENT]
        if provider_category:
            told = [one for one in own if one[1] in (provider_category, "")]
            if not _permits(told or general, provider_category):
                return True
            continue
        there = {one[1] for one in own}
        beside = [one for one in general if one[1] not in there]
        for rows in (own, beside):
            if not all(_permits(rows, providers) for providers in {one[1] for one in rows}):
                return True
    return False


def _permits(rows: Iterable[Told], provider_category: str) -> bool:
    """Whether the youngest of what is said of these providers and of all permits, as nothing at all does; of two of the
    same moment the no counts."""
    about = [one for one in rows if one[1] in (provider_category, "")]
    return not about or max(about, key=lambda one: (one[3], not one[2]))[2]
