"""The inventory in PostgreSQL, of the region whose board this node keeps; each statement carries the tenant."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass, replace
from datetime import date

import asyncpg

from schakel.kernel.clock import AMSTERDAM, now
from schakel.kernel.outcomes import Invalid, NotFound
from schakel.roadmap.hybrid import reading, versions
from schakel.roadmap.hybrid.counting import Period
from schakel.roadmap.hybrid.deciding import faults, tidied
from schakel.roadmap.hybrid.model import BlockList, Blocks, Decided, Decision, Person, Recorded
from schakel.roadmap.hybrid.overview import Organisation, Overview, overview
from schakel.roadmap.hybrid.pseudonyms import Pseudonyms
from schakel.roadmap.hybrid.rows import DECISION, PERSON, decision_of, of_pathway, pathway_of, person_of
from schakel.roadmap.tables import rows_of
from schakel.store.connection import Connection, acquire

_MOST_PATIENTS = 20_000_000


QUARTERS = 8
"""Of which the course is shown."""

_MOST_PERIODS = 32
"""Kept in memory at once."""


@dataclass(frozen=True, slots=True)
class Counted:
    """What a count of the record brought: how many people, and how many rows that somebody sent about people of the
    same pathway and year stand beside it, those that only record an exclusion left out."""

    people: int
    by_hand: int


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
        self._shown: dict[Period, Overview] = {}
        self._shown_at = (-1, date.min)
        self._making = asyncio.Lock()

    async def overview(self, period: Period | None = None) -> Overview:
        """The inventory in a period as far as it is over, by what was decided by then; without one in the year that
        ends today. Raises `Invalid` for a period that is still to come."""
        day = today()
        if period is None:
            period = Period.year_to(day)
        if period.start > day:
            raise Invalid("this period is still to come", code="period-future", expression="period")
        return (await self._of([period.until(day)], day))[0]

    async def course(self) -> tuple[Overview, ...]:
        """The inventory in each of the last quarters, the newest last."""
        day = today()
        return await self._of([one.until(day) for one in Period.quarters(day, QUARTERS)], day)

    async def _of(self, periods: Sequence[Period], day: date) -> tuple[Overview, ...]:
        async with acquire(self._pool) as connection:
            now_at = (await self._revision(connection), day)
        if self._shown_at == now_at and all(one in self._shown for one in periods):
            return tuple(self._shown[one] for one in periods)
        async with self._making:
            if self._shown_at != now_at:
                self._shown, self._shown_at = {}, now_at
            shown = {}
            for one in periods:
                shown[one] = self._shown.get(one) or await self._made(one)
            self._shown |= {one: made for one, made in shown.items() if made.revision == now_at[0]}
            while len(self._shown) > _MOST_PERIODS:
                del self._shown[next(iter(self._shown))]
        return tuple(shown[one] for one in periods)

    async def _made(self, period: Period) -> Overview:
        async with (
            acquire(self._pool) as connection,
            connection.transaction(isolation="repeatable_read", readonly=True),
        ):
            revision = await self._revision(connection)
            lists = {one.number: one for one in await versions.lists(connection, self._tenant)}
            number = versions.in_force(tuple(lists.values()), period.end).number
            organisations = await self._organisations(connection)
            rows = await self._pathways(connection, period.end, number)
            people = await self._people(connection, period)
            counts = await versions.counts(connection, self._tenant)
        # When every pathway came by a later list, that in force then judged nothing.
        judged_by = lists[max(number, min((row["list"] for row in rows), default=number))]
        otherwise = {
            (row["ura"], row["id"]): lists[row["list"]].blocks
            for row in rows
            if row["list"] > judged_by.number
        }
        return await asyncio.to_thread(
            lambda: overview(
                revision,
                period,
                judged_by,
                organisations,
                [pathway_of(row) for row in rows],
                map(person_of, people),
                otherwise,
                counts,
            )
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
        async with self._changing() as connection:
            in_force = (await versions.lists(connection, self._tenant))[-1]
            found = await asyncio.to_thread(
                lambda: reading.pathways(rows_of(body, "pathways"), ura, in_force.blocks, today())
            )
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
                "excludes, digizo_reference, digizo_choice, digizo_reason, blocks, layers, indication, plan) "
                "VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11, $12, $13, $14, $15, $16, $17) "
                "ON CONFLICT (tenant, ura, id) DO UPDATE SET name = excluded.name, sector = excluded.sector, "
                "specialism = excluded.specialism, condition = excluded.condition, intramural = excluded.intramural, "
                "zmsc = excluded.zmsc, excludes = excluded.excludes, digizo_reference = excluded.digizo_reference, "
                "digizo_choice = excluded.digizo_choice, digizo_reason = excluded.digizo_reason, "
                "blocks = excluded.blocks, layers = excluded.layers, indication = excluded.indication, "
                "plan = excluded.plan, changed = now()",
                [(self._tenant, *of_pathway(one)) for one in found],
            )
            await versions.record(connection, self._tenant, ura, found, in_force.number, account)
            decided = [await self._decided(connection, one.key, one.decision, account) for one in found]
        return Taken(len(found), sum(decided))

    async def replace_people(self, body: bytes, ura: str) -> Taken:
        """Takes in the people of a file, all or none: they replace those that an earlier file had of each pathway that
        this one names. Raises `Invalid`."""
        async with self._changing() as connection:
            rows = await connection.fetch(
                "SELECT id FROM hybrid_pathway WHERE tenant = $1 AND ura = $2", self._tenant, ura
            )
            known = frozenset(row["id"] for row in rows)
            found = await asyncio.to_thread(
                lambda: reading.people(rows_of(body, "people"), ura, known, self._pseudonyms, today())
            )
            await connection.execute(
                "DELETE FROM hybrid_person WHERE tenant = $1 AND ura = $2 AND pathway = ANY ($3) AND counted = ''",
                self._tenant,
                ura,
                sorted({one.pathway for one in found}),
            )
            await self._write_people(connection, found)
        return Taken(len(found))

    async def replace_count(self, body: bytes, ura: str, pathway: str, year: str, account: str) -> Counted:
        """Takes in whom a count of the record found for a pathway in a year, in the form of a file of people, which may
        be empty: they replace those of an earlier count of the two. What somebody sent stays. Raises `Invalid` and
        `NotFound`."""
        period = Period.of(year)
        if "\0" in pathway:
            raise _unknown()
        async with self._changing() as connection:
            rules = await connection.fetchrow(
                "SELECT indication, plan FROM hybrid_pathway WHERE tenant = $1 AND ura = $2 AND id = $3",
                self._tenant,
                ura,
                pathway,
            )
            if rules is None:
                raise _unknown()
            if not (rules["indication"] and rules["plan"]):
                raise Invalid(
                    "the pathway cannot be counted: it has no rules (columns indication and plan)",
                    code="hybrid-rules-missing",
                    expression="pathway",
                )
            read = await asyncio.to_thread(
                lambda: reading.people(
                    rows_of(body, "people", none=True), ura, frozenset({pathway}), self._pseudonyms, today()
                )
            )
            found = [replace(one, counted=year) for one in read]
            for one in found:
                if one.eligible_from < period.start or (one.eligible_until or date.max) > period.end:
                    raise Invalid(
                        f"a count of {year} says who was eligible from {period.start} to {period.end}, and no "
                        "other day",
                        code="table-form",
                        expression="eligible_from",
                    )
            of = (self._tenant, ura, pathway)
            await connection.execute(
                "DELETE FROM hybrid_person WHERE tenant = $1 AND ura = $2 AND pathway = $3 AND counted = $4",
                *of,
                year,
            )
            await self._write_people(connection, found)
            await versions.write_count(connection, self._tenant, (ura, pathway), year, len(found), account)
            by_hand: int = await connection.fetchval(
                "SELECT count(*) FROM hybrid_person WHERE tenant = $1 AND ura = $2 AND pathway = $3 AND counted = '' "
                "AND exclusion = '' AND eligible_from <= $5 AND (eligible_until IS NULL OR eligible_until >= $4)",
                *of,
                period.start,
                period.end,
            )
        return Counted(len(found), by_hand)

    async def _write_people(self, connection: Connection, people: Sequence[Person]) -> None:
        await connection.copy_records_to_table(
            "hybrid_person",
            columns=["tenant", *PERSON],
            records=((self._tenant, *(getattr(one, name) for name in PERSON)) for one in people),
        )

    async def decide(self, ura: str, pathway: str, decision: Decision, account: str) -> bool:
        """Writes down a decision on a pathway; False when it was known already. Raises `Invalid` and `NotFound`."""
        checked = tidied(decision)
        for fault in faults(checked, today()):
            raise fault
        if "\0" in pathway:  # Which the database takes in no text.
            raise _unknown()
        async with self._changing() as connection:
            there = await connection.fetchval(
                "SELECT true FROM hybrid_pathway WHERE tenant = $1 AND ura = $2 AND id = $3",
                self._tenant,
                ura,
                pathway,
            )
            if not there:
                raise _unknown()
            return await self._decided(connection, (ura, pathway), checked, account)

    async def remove(self, ura: str, pathway: str) -> None:
        """Takes a pathway and its people away; what was decided stays in the history. Raises `NotFound`."""
        if "\0" in pathway:
            raise _unknown()
        async with self._changing() as connection:
            gone = await connection.fetchval(
                "DELETE FROM hybrid_pathway WHERE tenant = $1 AND ura = $2 AND id = $3 RETURNING id",
                self._tenant,
                ura,
                pathway,
            )
            if gone is None:
                raise _unknown()

    async def history(self, ura: str, pathway: str) -> tuple[Decided, ...]:
        """What was decided about a pathway, in the order of the days of the decisions, the last first."""
        async with acquire(self._pool) as connection:
            rows = await connection.fetch(
                f"SELECT {DECISION}, account, recorded FROM hybrid_decision "
                "WHERE tenant = $1 AND ura = $2 AND pathway = $3 ORDER BY decided_on DESC, number DESC",
                self._tenant,
                ura,
                pathway,
            )
        return tuple(Decided(decision_of(row), row["recorded"], row["account"]) for row in rows)

    async def recorded(self, ura: str, pathway: str) -> tuple[Recorded, ...]:
        """What was recorded of a pathway, blocks and rules, the last first."""
        async with acquire(self._pool) as connection:
            return await versions.recorded(connection, self._tenant, ura, pathway)

    async def lists(self) -> tuple[BlockList, ...]:
        """The lists of building blocks, the one in force first."""
        async with acquire(self._pool) as connection:
            return (await versions.lists(connection, self._tenant))[::-1]

    async def import_blocks(self, body: bytes, account: str) -> Blocks:
        """Puts a list of building blocks in the place of the one there is, which stays to be read. Raises `Invalid`,
        and `Conflict` when its version was there before."""
        async with self._changing() as connection:
            return await versions.add_list(connection, self._tenant, body, account)

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

    async def _organisations(self, connection: Connection) -> list[Organisation]:
        rows = await connection.fetch(
            "SELECT ura, name, population FROM hybrid_organisation WHERE tenant = $1 ORDER BY name, ura",
            self._tenant,
        )
        return [Organisation(row["ura"], row["name"], row["population"]) for row in rows]

    async def _pathways(self, connection: Connection, on: date, judged_by: int) -> Sequence[asyncpg.Record]:
        """The pathways about which something was decided by the day `on`, with that decision, and with the blocks that
        were last recorded while the list `judged_by` was in force, or before; of a pathway that came later, under the
        first `list` that it was recorded by."""
        return await connection.fetch(
            f"SELECT p.*, {DECISION}, v.list, v.blocks AS recorded FROM hybrid_pathway p CROSS JOIN LATERAL ("
            f"SELECT {DECISION} FROM hybrid_decision WHERE tenant = p.tenant AND ura = p.ura AND pathway = p.id "
            "AND decided_on <= $2 ORDER BY decided_on DESC, number DESC LIMIT 1) d CROSS JOIN LATERAL ("
            "SELECT list, blocks FROM hybrid_version WHERE tenant = p.tenant AND ura = p.ura AND pathway = p.id "
            "ORDER BY greatest(list, $3), number DESC LIMIT 1) v WHERE p.tenant = $1 ORDER BY p.name, p.ura, p.id",
            self._tenant,
            on,
            judged_by,
        )

    async def _people(self, connection: Connection, period: Period) -> Sequence[asyncpg.Record]:
        return await connection.fetch(
            f"SELECT {', '.join(PERSON)} FROM hybrid_person WHERE tenant = $1 AND eligible_from <= $3 "
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
            f"INSERT INTO hybrid_decision (tenant, ura, pathway, {DECISION}, account) "
            "SELECT $1, $2, $3, $4, $5, $6, $7, $8 WHERE NOT EXISTS (SELECT FROM hybrid_decision "
            "WHERE tenant = $1 AND ura = $2 AND pathway = $3 AND suitability = $4 AND decided_by = $5 "
            "AND decided_on = $6 AND reason = $7) RETURNING true",
            self._tenant,
            *of,
            *values,
            account,
        )
        return added is not None


def _unknown() -> NotFound:
    return NotFound("this organisation has no such pathway", code="pathway-unknown")


def today() -> date:
    """The day in the Netherlands."""
    return now().astimezone(AMSTERDAM).date()
