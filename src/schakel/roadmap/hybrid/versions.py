"""What the inventory keeps of what was replaced: lists of building blocks, what was recorded of a pathway, and by which
rules its record was counted. Each statement carries the tenant."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Mapping, Sequence
from datetime import date
from itertools import pairwise

import asyncpg
import orjson

from schakel.kernel.clock import AMSTERDAM
from schakel.kernel.outcomes import Conflict
from schakel.roadmap.hybrid import blocks as block_lists
from schakel.roadmap.hybrid.model import BlockList, Blocks, CountMade, Pathway, Recorded
from schakel.roadmap.hybrid.rows import blocks_of, digitised_of
from schakel.store.connection import Connection

SHIPPED = 0
"""The number of the list that comes with the program, which was there before any other."""

_RECORDED = ("list", "blocks", "indication", "plan", "excludes")


async def lists(connection: Connection, tenant: int) -> tuple[BlockList, ...]:
    """The lists of building blocks in the order in which they came in force: first that of the program."""
    rows = await connection.fetch(
        "SELECT number, body, account, made FROM hybrid_blocks WHERE tenant = $1 ORDER BY number", tenant
    )
    found = [BlockList(SHIPPED, block_lists.shipped(), None, None, "")]
    found += [
        BlockList(row["number"], block_lists.read(row["body"]), row["made"], None, row["account"])
        for row in rows
    ]
    ended = [_until(one, after) for one, after in pairwise(found)]
    return (*ended, found[-1])


def _until(one: BlockList, after: BlockList) -> BlockList:
    return BlockList(one.number, one.blocks, one.since, after.since, one.account)


def in_force(several: Sequence[BlockList], on: date) -> BlockList:
    """The list of `lists` that was in force at the end of a day."""
    return next(
        one for one in reversed(several) if one.since is None or one.since.astimezone(AMSTERDAM).date() <= on
    )


async def add_list(connection: Connection, tenant: int, body: bytes, account: str) -> Blocks:
    """Brings a list in force; nothing changes when it is already. Raises `Invalid`, and `Conflict` when the name of its
    version was used before."""
    made = block_lists.read(body)
    known = await lists(connection, tenant)
    if known[-1].blocks == made:
        return made
    if any(one.blocks.version == made.version for one in known):
        raise Conflict(
            f"a list of building blocks with version {made.version!r} was there before: give this one a version of "
            "its own, so that figures can say by which list they were made",
            code="blocks-version-taken",
            expression="version",
        )
    await connection.execute(
        "INSERT INTO hybrid_blocks (tenant, body, account) VALUES ($1, $2, $3)", tenant, body, account
    )
    return made


async def record(
    connection: Connection, tenant: int, ura: str, pathways: Sequence[Pathway], of: int, account: str
) -> None:
    """Writes down what became of the pathways of an organisation, read by the list with the number `of`; what is so
    already is not written again."""
    rows = await connection.fetch(
        f"SELECT DISTINCT ON (pathway) pathway, {', '.join(_RECORDED)} FROM hybrid_version "
        "WHERE tenant = $1 AND ura = $2 ORDER BY pathway, number DESC",
        tenant,
        ura,
    )
    last = {
        row["pathway"]: (
            row["list"],
            orjson.loads(row["blocks"]),
            row["indication"],
            row["plan"],
            row["excludes"],
        )
        for row in rows
    }
    changed = [
        (one.id, now)
        for one in pathways
        for now in [(of, blocks_of(one), list(one.indication), list(one.plan), sorted(one.excludes))]
        if last.get(one.id) != now
    ]
    await connection.executemany(
        f"INSERT INTO hybrid_version (tenant, ura, pathway, account, {', '.join(_RECORDED)}) "
        "VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9)",
        [
            (tenant, ura, name, account, of, orjson.dumps(blocks).decode(), *rest)
            for name, (_, blocks, *rest) in changed
        ],
    )


async def recorded(connection: Connection, tenant: int, ura: str, pathway: str) -> tuple[Recorded, ...]:
    """What was recorded of a pathway, the last first."""
    versions = {one.number: one.blocks.version for one in await lists(connection, tenant)}
    rows = await connection.fetch(
        f"SELECT {', '.join(_RECORDED)}, account, recorded FROM hybrid_version "
        "WHERE tenant = $1 AND ura = $2 AND pathway = $3 ORDER BY number DESC",
        tenant,
        ura,
        pathway,
    )
    return tuple(
        Recorded(
            at=row["recorded"],
            account=row["account"],
            list=versions.get(row["list"], ""),
            digitised=digitised_of(row["blocks"]),
            indication=tuple(row["indication"]),
            plan=tuple(row["plan"]),
            excludes=frozenset(row["excludes"]),
        )
        for row in rows
    )


async def write_count(
    connection: Connection, tenant: int, of: tuple[str, str], year: str, people: int, account: str
) -> None:
    """Writes down that the record of a pathway was counted for a year, by the rules that stand with it now."""
    await connection.execute(
        "INSERT INTO hybrid_count (tenant, ura, pathway, counted, version, people, account) "
        "SELECT $1, $2, $3, $4, max(number), $5, $6 FROM hybrid_version "
        "WHERE tenant = $1 AND ura = $2 AND pathway = $3 "
        "ON CONFLICT (tenant, ura, pathway, counted) DO UPDATE SET version = excluded.version, "
        "people = excluded.people, account = excluded.account, made = now()",
        tenant,
        *of,
        year,
        people,
        account,
    )


async def counts(connection: Connection, tenant: int) -> Mapping[tuple[str, str], tuple[CountMade, ...]]:
    """The counts of the record by the key of the pathway, the newest year first."""
    rows: list[asyncpg.Record] = await connection.fetch(
        "SELECT c.ura, c.pathway, c.counted, c.people, c.account, c.made, v.indication, v.plan, "
        "p.indication AS indication_now, p.plan AS plan_now FROM hybrid_count c "
        "JOIN hybrid_version v ON v.tenant = c.tenant AND v.ura = c.ura AND v.pathway = c.pathway "
        "AND v.number = c.version "
        "JOIN hybrid_pathway p ON p.tenant = c.tenant AND p.ura = c.ura AND p.id = c.pathway "
        "WHERE c.tenant = $1 ORDER BY c.counted DESC",
        tenant,
    )
    found: dict[tuple[str, str], list[CountMade]] = defaultdict(list)
    for row in rows:
        older = any(set(row[name]) != set(row[f"{name}_now"]) for name in ("indication", "plan"))
        found[row["ura"], row["pathway"]].append(
            CountMade(row["counted"], row["people"], row["made"], row["account"], older)
        )
    return {key: tuple(several) for key, several in found.items()}
