"""What is known of a patient's wishes at one moment: one statement, so that all of it is of the same moment."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import asyncpg
import orjson

from schakel.generic.consent.choices import VERSION, Told
from schakel.generic.consent.grounds import ACTIVE, COLUMNS, COVERS, Ground, ground_of
from schakel.generic.consent.model import RECORDED, ConsentQuestion
from schakel.generic.consent.objections import STANDS
from schakel.generic.consent.organisations import TREATMENT
from schakel.store.connection import acquire
from schakel.store.groups import Groups

_STATEMENT = (
    "SELECT a.place, (SELECT o.id FROM consent_objection o WHERE o.tenant = $1 AND o.patient = a.patient AND "
    + STANDS.format(requester="a.requester", category="a.providers", exchange="a.exchange")
    + " ORDER BY o.made LIMIT 1) AS objection, "
    + VERSION.format(tenant="$1", patient="a.patient")
    + " AS version, ARRAY(SELECT ROW(c.category, c.provider_category, c.permitted, c.chosen) FROM mitz_choice c "
    "WHERE c.tenant = $1 AND c.patient = a.patient AND c.category = ANY (a.categories)) AS choices, g.* "
    "FROM json_to_recordset($2::json) AS a (place int, patient text, requester text, providers text, exchange text, "
    "form text, categories text[], kinds text[]) "
    f"LEFT JOIN LATERAL (SELECT {COLUMNS} FROM disclosure_ground d "
    "WHERE d.tenant = $1 AND d.patient = a.patient AND d.requester = a.requester AND d.kind = ANY (a.kinds) "
    f"AND {COVERS.format(exchange='a.exchange', form='a.form')} AND {ACTIVE} "
    "ORDER BY d.kind = 'recorded', d.until DESC, d.id LIMIT 1) AS g ON true"
)


@dataclass(frozen=True, slots=True)
class Standing:
    """`objection` is the id of a recorded objection to this request, or ''. `choices` are those that Mitz notified, as
    `choices.Told`, and `version` that of all it notified of this
    patient. `ground` is the active ground that covers the request, one for a specific reason before a general one."""

    objection: str
    version: int
    choices: tuple[Told, ...]
    ground: Ground | None


class Standings:
    """Reads it for organisation `tenant`; who asks at the same time is answered by the same statement."""

    def __init__(self, pool: asyncpg.Pool, tenant: int) -> None:
        self._pool = pool
        self._tenant = tenant
        self._groups: Groups[dict[str, object], Standing] = Groups(self._read)

    async def of(
        self, question: ConsentQuestion, provider_category: str, categories: Sequence[str]
    ) -> Standing:
        """What stands for and against `question`, by a requester of this category, about data of `categories`."""
        return await self._groups.ask(
            {
                "patient": question.patient,
                "requester": question.requester,
                "providers": provider_category,
                "exchange": question.exchange,
                "form": question.form,
                "categories": [*categories, TREATMENT] if categories else [],
                "kinds": [kind for kind in RECORDED if kind in question.accepted],
            }
        )

    async def _read(self, asked: Sequence[dict[str, object]]) -> list[Standing]:
        given = orjson.dumps([{"place": place, **one} for place, one in enumerate(asked)]).decode()
        async with acquire(self._pool) as connection:
            rows = await connection.fetch(_STATEMENT, self._tenant, given)
        by_place = {row["place"]: _standing(row) for row in rows}
        return [by_place[place] for place in range(len(asked))]


def _standing(row: asyncpg.Record) -> Standing:
    return Standing(
        "" if row["objection"] is None else str(row["objection"]),
        row["version"],
        tuple(
            (category, providers, permitted, chosen)
            for category, providers, permitted, chosen in row["choices"]
        ),
        None if row["id"] is None else ground_of(row),
    )
