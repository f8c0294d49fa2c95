"""The inventory in PostgreSQL, of the region whose board this node keeps; each statement carries the tenant."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Mapping, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass
from datetime import date

import asyncpg
import orjson

from schakel.kernel.clock import AMSTERDAM, now
from schakel.kernel.outcomes import Invalid, NotFound
from schakel.roadmap.hybrid import blocks as block_lists
from schakel.roadmap.hybrid import reading
from schakel.roadmap.hybrid.counting import Period
from schakel.roadmap.hybrid.model import (
    SUITABILITIES,
    Blocks,
    Decided,
    Decision,
    Digitised,
    Digizo,
    Pathway,
    Person,
)
from schakel.roadmap.hybrid.overview import Organisation, Overview, overview
from schakel.roadmap.hybrid.pseudonyms import Pseudonyms
from schakel.roadmap.hybrid.tables import rows_of
from schakel.store.connection import Connection, acquire

LONGEST_REASON = 1000
"""Characters of who decided and why."""

_MOST_PATIENTS = 20_000_000


@dataclass(frozen=True, slots=True)
class Taken:
    """What an import brought: how many rows, and how many decisions that were not known before."""

    rows: int
    decisions: int = 0


class Inventory:
    """The inventory of `tenant`. What is shown is kept in memory until something changes or a day passes, so that a
    page needs one small query."""

    def __init__(self, pool: asyncpg.Pool, tenant: int, pseudonyms: Pseudonyms) -> None:
        self._pool = pool
        self._tenant = tenant
        self._pseudonyms = pseudonyms
        self._shown: Overview | None = None
        self._making = asyncio.Lock()

    async def overview(self) -> Overview:
        """The inventory now, of the year that ends today."""
        today = _today()
        async with acquire(self._pool) as connection:
            revision = await self._revision(connection)
        shown = self._shown
        if shown is None or (shown.revision, shown.period.end) != (revision, today):
            async with self._making:
                shown = self._shown = await self._made(Period.year_to(today))
        return shown

    async def _made(self, period: Period) -> Overview:
        async with (
            acquire(self._pool) as connection,
            connection.transaction(isolation="repeatable_read", readonly=True),
        ):
            revision = await self._revision(connection)
            if (shown := self._shown) is not None and (shown.revision, shown.period) == (revision, period):
                return shown
            blocks = await self._blocks(connection)
            organisations = await self._organisations(connection)
            pathways = await self._pathways(connection)
            people = await self._people(connection, period)
        return await asyncio.to_thread(
            lambda: overview(revision, period, blocks, organisations, pathways, map(_person, people))
        )

    async def add_pathways(
        self, body: bytes, ura: str, name: str, account: str, population: int | None = None
    ) -> Taken:
        """Takes in the pathways of a file, all or none: new ones, and those that are there by their id. A decision that
        is not known yet is added to the history. `population` None leaves that as it is. Raises `Invalid`."""
        if population is not None and not 0 < population <= _MOST_PATIENTS:
            raise Invalid(
                f"population is a number of patients from 1 to {_MOST_PATIENTS:,}", expression="population"
            )
        async with acquire(self._pool) as connection:
            blocks = await self._blocks(connection)
        found = await asyncio.to_thread(
            lambda: reading.pathways(rows_of(body, "pathways"), ura, blocks, _today())
        )
        async with self._changing() as connection:
            await connection.execute(
                "INSERT INTO hybrid_organisation (tenant, ura, name, population) VALUES ($1, $2, $3, $4) "
                "ON CONFLICT (tenant, ura) DO UPDATE SET name = excluded.name, changed = now(), "
                "population = coalesce(excluded.population, hybrid_organisation.population)",
                self._tenant,
                ura,
                name,
                population,
            )
            await connection.executemany(
                "INSERT INTO hybrid_pathway (tenant, ura, id, name, sector, specialism, condition, intramural, zmsc, "
                "excludes, digizo_reference, digizo_choice, digizo_reason, blocks, layers) "
                "VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11, $12, $13, $14, $15) "
                "ON CONFLICT (tenant, ura, id) DO UPDATE SET name = excluded.name, sector = excluded.sector, "
                "specialism = excluded.specialism, condition = excluded.condition, intramural = excluded.intramural, "
                "zmsc = excluded.zmsc, excludes = excluded.excludes, digizo_reference = excluded.digizo_reference, "
                "digizo_choice = excluded.digizo_choice, digizo_reason = excluded.digizo_reason, "
                "blocks = excluded.blocks, layers = excluded.layers, changed = now()",
                [self._row(one) for one in found],
            )
            decided = [await self._decided(connection, one.key, one.decision, account) for one in found]
        return Taken(len(found), sum(decided))

    async def replace_people(self, body: bytes, ura: str) -> Taken:
        """Takes in the people of a file, all or none: they replace those of each pathway that the file names. Raises
        `Invalid`."""
        async with self._changing() as connection:
            rows = await connection.fetch(
                "SELECT id FROM hybrid_pathway WHERE tenant = $1 AND ura = $2", self._tenant, ura
            )
            known = frozenset(row["id"] for row in rows)
            found = await asyncio.to_thread(
                lambda: reading.people(rows_of(body, "people"), ura, known, self._pseudonyms, _today())
            )
            await connection.execute(
                "DELETE FROM hybrid_person WHERE tenant = $1 AND ura = $2 AND pathway = ANY ($3)",
                self._tenant,
                ura,
                sorted({one.pathway for one in found}),
            )
            await connection.copy_records_to_table(
                "hybrid_person",
                columns=["tenant", *_PERSON],
                records=((self._tenant, *(getattr(one, name) for name in _PERSON)) for one in found),
            )
        return Taken(len(found))

    async def decide(self, ura: str, pathway: str, decision: Decision, account: str) -> bool:
        """Writes down a decision on a pathway; False when it was known already. Raises `Invalid` and `NotFound`."""
        checked = _checked(decision)
        async with self._changing() as connection:
            there = await connection.fetchval(
                "SELECT true FROM hybrid_pathway WHERE tenant = $1 AND ura = $2 AND id = $3",
                self._tenant,
                ura,
                pathway,
            )
            if not there:
                raise NotFound("this organisation has no such pathway", code="pathway-unknown")
            return await self._decided(connection, (ura, pathway), checked, account)

    async def remove(self, ura: str, pathway: str) -> None:
        """Takes a pathway and its people away; what was decided stays in the history. Raises `NotFound`."""
        async with self._changing() as connection:
            gone = await connection.fetchval(
                "DELETE FROM hybrid_pathway WHERE tenant = $1 AND ura = $2 AND id = $3 RETURNING id",
                self._tenant,
                ura,
                pathway,
            )
            if gone is None:
                raise NotFound("this organisation has no such pathway", code="pathway-unknown")

    async def history(self, ura: str, pathway: str) -> tuple[Decided, ...]:
        """What was decided about a pathway, in the order of the days of the decisions, the last first."""
        async with acquire(self._pool) as connection:
            rows = await connection.fetch(
                f"SELECT {_DECISION}, account, recorded FROM hybrid_decision "
                "WHERE tenant = $1 AND ura = $2 AND pathway = $3 ORDER BY decided_on DESC, number DESC",
                self._tenant,
                ura,
                pathway,
            )
        return tuple(Decided(_decision(row), row["recorded"], row["account"]) for row in rows)

    async def import_blocks(self, body: bytes, account: str) -> Blocks:
        """Puts a list of building blocks in the place of the one there is. Raises `Invalid`."""
        made = block_lists.read(body)
        async with self._changing() as connection:
            await connection.execute(
                "INSERT INTO hybrid_blocks (tenant, body, account) VALUES ($1, $2, $3)",
                self._tenant,
                body,
                account,
            )
        return made

    # -- statements --------------------------------------------------------------------------------------------

    @asynccontextmanager
    async def _changing(self) -> AsyncIterator[Connection]:
        """A transaction in which something changes; one at a time."""
        async with acquire(self._pool) as connection, connection.transaction():
            await connection.execute(
                "INSERT INTO hybrid_revision (tenant, number) VALUES ($1, 1) "
                "ON CONFLICT (tenant) DO UPDATE SET number = hybrid_revision.number + 1",
                self._tenant,
            )
            yield connection

    async def _revision(self, connection: Connection) -> int:
        found: int | None = await connection.fetchval(
            "SELECT number FROM hybrid_revision WHERE tenant = $1", self._tenant
        )
        return found or 0

    async def _blocks(self, connection: Connection) -> Blocks:
        body: bytes | None = await connection.fetchval(
            "SELECT body FROM hybrid_blocks WHERE tenant = $1 ORDER BY number DESC LIMIT 1", self._tenant
        )
        return block_lists.shipped() if body is None else block_lists.read(body)

    async def _organisations(self, connection: Connection) -> list[Organisation]:
        rows = await connection.fetch(
            "SELECT ura, name, population FROM hybrid_organisation WHERE tenant = $1 ORDER BY name, ura",
            self._tenant,
        )
        return [Organisation(row["ura"], row["name"], row["population"]) for row in rows]

    async def _pathways(self, connection: Connection) -> list[Pathway]:
        rows = await connection.fetch(
            f"SELECT p.*, {_DECISION} FROM hybrid_pathway p CROSS JOIN LATERAL ("
            f"SELECT {_DECISION} FROM hybrid_decision WHERE tenant = p.tenant AND ura = p.ura AND pathway = p.id "
            "ORDER BY decided_on DESC, number DESC LIMIT 1) d WHERE p.tenant = $1 ORDER BY p.name, p.ura, p.id",
            self._tenant,
        )
        return [_pathway(row) for row in rows]

    async def _people(self, connection: Connection, period: Period) -> Sequence[asyncpg.Record]:
        return await connection.fetch(
            f"SELECT {', '.join(_PERSON)} FROM hybrid_person WHERE tenant = $1 AND eligible_from <= $3 "
            "AND (eligible_until IS NULL OR eligible_until >= $2)",
            self._tenant,
            period.start,
            period.end,
        )

    async def _decided(
        self, connection: Connection, of: tuple[str, str], decision: Decision, account: str
    ) -> bool:
        """Adds a decision to the history, unless it is there."""
        values = (decision.suitability, decision.by, decision.on, decision.reason)
        added = await connection.fetchval(
            f"INSERT INTO hybrid_decision (tenant, ura, pathway, {_DECISION}, account) "
            "SELECT $1, $2, $3, $4, $5, $6, $7, $8 WHERE NOT EXISTS (SELECT FROM hybrid_decision "
            "WHERE tenant = $1 AND ura = $2 AND pathway = $3 AND suitability = $4 AND decided_by = $5 "
            "AND decided_on = $6 AND reason = $7) RETURNING true",
            self._tenant,
            *of,
            *values,
            account,
        )
        return added is not None

    def _row(self, one: Pathway) -> tuple[object, ...]:
        blocks = [{"code": d.code, "since": d.since, "source": d.source} for d in one.digitised]
        return (
            self._tenant,
            one.ura,
            one.id,
            one.name,
            one.sector,
            one.specialism,
            one.condition,
            one.intramural,
            one.zmsc,
            sorted(one.excludes),
            one.digizo.reference,
            one.digizo.choice,
            one.digizo.reason,
            orjson.dumps(blocks).decode(),
            orjson.dumps(dict(one.layers)).decode(),
        )


_PERSON = (
    "ura",
    "pathway",
    "pseudonym",
    "eligible_from",
    "eligible_until",
    "exclusion",
    "enrolled_from",
    "enrolled_until",
    "last_event",
    "ended_reason",
)
_DECISION = "suitability, decided_by, decided_on, reason"


def _person(row: asyncpg.Record) -> Person:
    return Person(*row)


def _pathway(row: asyncpg.Record) -> Pathway:
    blocks: Sequence[Mapping[str, str | None]] = orjson.loads(row["blocks"])
    return Pathway(
        id=row["id"],
        ura=row["ura"],
        name=row["name"],
        sector=row["sector"],
        specialism=row["specialism"],
        condition=row["condition"],
        decision=_decision(row),
        digitised=tuple(
            Digitised(one["code"] or "", _since(one["since"]), one["source"] or "") for one in blocks
        ),
        layers=orjson.loads(row["layers"]),
        digizo=Digizo(row["digizo_reference"], row["digizo_choice"], row["digizo_reason"]),
        intramural=row["intramural"],
        zmsc=row["zmsc"],
        excludes=frozenset(row["excludes"]),
    )


def _since(text: str | None) -> date | None:
    return date.fromisoformat(text) if text else None


def _decision(row: asyncpg.Record) -> Decision:
    return Decision(row["suitability"], row["decided_by"], row["decided_on"], row["reason"])


def _checked(decision: Decision) -> Decision:
    """A decision of a person, with its texts tidied. Raises `Invalid` naming the member."""
    by, reason = decision.by.strip(), " ".join(decision.reason.split())
    if decision.suitability not in SUITABILITIES:
        raise Invalid(f"suitability is one of {', '.join(SUITABILITIES)}", expression="suitability")
    for name, value in (("decided_by", by), ("reason", reason)):
        if not value or len(value) > LONGEST_REASON or not value.isprintable():
            raise Invalid(f"{name} is needed: 1 to {LONGEST_REASON} printable characters", expression=name)
    if not date(1990, 1, 1) <= decision.on <= _today():
        raise Invalid("decided_on is not in the future, and not before 1990", expression="decided_on")
    return Decision(decision.suitability, by, decision.on, reason)


def _today() -> date:
    return now().astimezone(AMSTERDAM).date()
