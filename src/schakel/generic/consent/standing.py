"""What is known of a patient's wishes at one moment: one statement, so that all of it is of the same moment."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import asyncpg

from schakel.generic.consent.choices import VERSION
from schakel.generic.consent.grounds import ACTIVE, COLUMNS, COVERS, Ground, ground_of
from schakel.generic.consent.model import RECORDED, ConsentQuestion
from schakel.generic.consent.objections import STANDS
from schakel.generic.consent.organisations import TREATMENT
from schakel.store.connection import acquire

_STATEMENT = (
    "SELECT (SELECT o.id FROM consent_objection o WHERE o.tenant = $1 AND o.patient = $2 AND "
    + STANDS.format(requester="$3", category="$4", exchange="$5")
    + " ORDER BY o.made LIMIT 1) AS objection, "
    + VERSION.format(tenant="$1", patient="$2")
    + " AS version, ARRAY(SELECT ROW(c.category, c.provider_category, c.permitted) FROM mitz_choice c "
    "WHERE c.tenant = $1 AND c.patient = $2 AND c.category = ANY ($6)) AS choices, g.* "
    f"FROM (SELECT 1) AS one LEFT JOIN LATERAL (SELECT {COLUMNS} FROM disclosure_ground d "
    "WHERE d.tenant = $1 AND d.patient = $2 AND d.requester = $3 AND d.kind = ANY ($7) "
    f"AND {COVERS.format(exchange='$5', form='$8')} AND {ACTIVE} "
    "ORDER BY d.kind = 'recorded', d.until DESC, d.id LIMIT 1) AS g ON true"
)


@dataclass(frozen=True, slots=True)
class Standing:
    """`objection` is the id of a recorded objection to this request, or ''. `choices` are those that Mitz notified, as
    category, category of providers ('' is all) and whether it permits, and `version` that of all it notified of this
    patient. `ground` is the active ground that covers the request, one for a specific reason before a general one."""

    objection: str
    version: int
    choices: tuple[tuple[str, str, bool], ...]
    ground: Ground | None


class Standings:
    """Reads it for organisation `tenant`."""

    def __init__(self, pool: asyncpg.Pool, tenant: int) -> None:
        self._pool = pool
        self._tenant = tenant

    async def of(
        self, question: ConsentQuestion, provider_category: str, categories: Sequence[str]
    ) -> Standing:
        """What stands for and against `question`, by a requester of this category, about data of `categories`."""
        async with acquire(self._pool) as connection:
            row = await connection.fetchrow(
                _STATEMENT,
                self._tenant,
                question.patient,
                question.requester,
                provider_category,
                question.exchange,
                [*categories, TREATMENT] if categories else [],
                [kind for kind in RECORDED if kind in question.accepted],
                question.form,
            )
        assert row is not None
        return Standing(
            "" if row["objection"] is None else str(row["objection"]),
            row["version"],
            tuple((category, providers, permitted) for category, providers, permitted in row["choices"]),
            None if row["id"] is None else ground_of(row),
        )
