"""Runs and what they found: added and never changed.

Beside the evidence stands, for every check that was ever done at an organisation, when it last held there. A run about
the whole region also says who are in it, and leaves a snapshot of where everybody stood.
"""

from __future__ import annotations

import asyncio
import hashlib
from collections import Counter
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta

import asyncpg
import orjson

from schakel.kernel.clock import now
from schakel.kernel.outcomes import Conflict, Invalid
from schakel.roadmap import wire
from schakel.roadmap.evidence import Evidence, Finding, Member, Run
from schakel.roadmap.model import Text
from schakel.roadmap.overview import Overview, RunInfo
from schakel.roadmap.standing import State
from schakel.store.connection import Connection

AHEAD = timedelta(minutes=5)
"""How far the clock of who measured may be ahead of ours."""

RUN = "id, region, roadmap, by, sender, whole, started, finished, members, findings"
FOUND = "ura, check_id, number, verdict, reason_nl, reason_en, detail, facts, until, at, run, by, own"


@dataclass(frozen=True, slots=True)
class Snapshot:
    """How many organisations of a sector stood so on an item at the end of a run about the whole region."""

    run: str
    at: datetime
    item: str
    sector: str
    state: State
    number: int


async def add(connection: Connection, tenant: int, run: Run, *, sender: str, whole: bool) -> bool:
    """Writes a run; in a transaction that holds the board. False when exactly this run is there already.

    Raises `Invalid` for a run that ends in the future, and `Conflict` when its id belongs to another run.
    """
    if run.finished > now() + AHEAD:
        raise Invalid(
            "the run ends in the future: the clock of who measured is ahead, and what was found would seem fresh for "
            "too long",
            code="run-in-the-future",
            expression="finished",
        )
    digest = await asyncio.to_thread(lambda: hashlib.sha256(wire.dump(run)).digest())
    known: bytes | None = await connection.fetchval(
        "SELECT digest FROM roadmap_run WHERE tenant = $1 AND id = $2", tenant, run.id
    )
    if known is not None:
        if known == digest:
            return False
        raise Conflict("there is another run with this id: each run has an id of its own", code="run-taken")
    newest = whole and await _is_newest(connection, tenant, run)
    await connection.execute(
        f"INSERT INTO roadmap_run (tenant, {RUN}, digest) "
        "VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11, $12)",
        tenant,
        run.id,
        run.region,
        run.roadmap,
        run.by,
        sender,
        whole,
        run.started,
        run.finished,
        len(run.members),
        len(run.measured),
        digest,
    )
    await _add_members(connection, tenant, run.members, whole=whole, newest=newest)
    await _add_evidence(connection, tenant, run, f"{run.by} ({sender})" if sender else run.by, own=not whole)
    await touch(connection, tenant, {one.ura for one in run.measured})
    return True


async def _is_newest(connection: Connection, tenant: int, run: Run) -> bool:
    """Whether no run about the whole region ended later."""
    later: bool = await connection.fetchval(
        "SELECT EXISTS (SELECT FROM roadmap_run WHERE tenant = $1 AND whole AND finished > $2)",
        tenant,
        run.finished,
    )
    return not later


async def _add_members(
    connection: Connection, tenant: int, members: Sequence[Member], *, whole: bool, newest: bool
) -> None:
    """The newest run about the whole region says who are in it. An organisation that speaks for itself joins when
    nothing is known of it yet, and changes nothing of what the region says of it."""
    if whole and not newest:
        return
    columns = [list(one) for one in zip(*((m.ura, m.name, m.sector, m.kind) for m in members), strict=True)]
    kept = (
        "UPDATE SET name = excluded.name, sector = excluded.sector, kind = excluded.kind, here = true, "
        "changed = now()"
        if whole
        else "NOTHING"
    )
    if columns:
        await connection.execute(
            "INSERT INTO roadmap_member (tenant, ura, name, sector, kind) "
            "SELECT $1, * FROM unnest($2::text[], $3::text[], $4::text[], $5::text[]) "
            f"ON CONFLICT (tenant, ura) DO {kept}",
            tenant,
            *columns,
        )
    if whole:
        await connection.execute(
            "UPDATE roadmap_member SET here = false, changed = now() "
            "WHERE tenant = $1 AND here AND ura <> ALL ($2::text[])",
            tenant,
            [one.ura for one in members],
        )


async def _add_evidence(connection: Connection, tenant: int, run: Run, by: str, *, own: bool) -> None:
    rows = [
        (
            one.ura,
            one.finding.check,
            one.at,
            one.finding.verdict,
            one.finding.reason.nl,
            one.finding.reason.en,
            one.finding.detail,
            orjson.dumps(dict(one.finding.facts)).decode(),
            one.finding.until,
        )
        for one in run.measured
    ]
    if not rows:
        return
    await connection.execute(
        "WITH written AS (INSERT INTO roadmap_evidence (tenant, ura, check_id, at, verdict, reason_nl, reason_en, "
        "detail, facts, until, run, by, own) "
        "SELECT $1, ura, check_id, at, verdict, nl, en, detail, facts::jsonb, until, $2, $3, $4 FROM unnest("
        "$5::text[], $6::text[], $7::timestamptz[], $8::text[], $9::text[], $10::text[], $11::text[], $12::text[], "
        "$13::timestamptz[]) AS t (ura, check_id, at, verdict, nl, en, detail, facts, until) "
        "RETURNING tenant, ura, check_id, own, at, verdict) "
        "INSERT INTO roadmap_checked (tenant, ura, check_id, own, last_true) "
        "SELECT tenant, ura, check_id, own, greatest(max(at) FILTER (WHERE verdict = 'holds'), ("
        "SELECT other.last_true FROM roadmap_checked AS other WHERE other.tenant = $1 AND other.ura = written.ura "
        "AND other.check_id = written.check_id AND other.own <> written.own AND other.last_true <= max(written.at))) "
        "FROM written GROUP BY tenant, ura, check_id, own ON CONFLICT (tenant, ura, check_id, own) "
        "DO UPDATE SET last_true = greatest(roadmap_checked.last_true, excluded.last_true)",
        tenant,
        run.id,
        by,
        own,
        *(list(column) for column in zip(*rows, strict=True)),
    )


async def last_evidence(
    connection: Connection, tenant: int, uras: Iterable[str], until: datetime | None = None
) -> tuple[Evidence, ...]:
    """The last evidence of every check at these organisations, by a keeper of the board and by the organisation itself;
    with `until` as it was then."""
    rows = await connection.fetch(
        "SELECT found.*, done.last_true FROM roadmap_checked AS done CROSS JOIN LATERAL ("
        f"SELECT {FOUND} FROM roadmap_evidence AS e WHERE e.tenant = done.tenant AND e.ura = done.ura "
        "AND e.check_id = done.check_id AND e.own = done.own AND e.at <= $3 "
        "ORDER BY e.at DESC, e.number DESC LIMIT 1) AS found "
        "WHERE done.tenant = $1 AND done.ura = ANY ($2::text[])",
        tenant,
        list(uras),
        until or datetime.max,
    )
    return tuple(evidence(row) for row in rows)


async def members(connection: Connection, tenant: int) -> tuple[Member, ...]:
    """Who are in the region now."""
    rows = await connection.fetch(
        "SELECT ura, name, sector, kind FROM roadmap_member WHERE tenant = $1 AND here", tenant
    )
    return tuple(Member(**row) for row in rows)


async def touch(connection: Connection, tenant: int, uras: Iterable[str]) -> None:
    """Writes down that something was found or declared about these organisations in this revision of the board; in a
    transaction that holds it."""
    await connection.execute(
        "UPDATE roadmap_member SET touched = b.revision FROM (SELECT revision FROM roadmap_board WHERE tenant = $1) "
        "AS b WHERE tenant = $1 AND ura = ANY ($2::text[])",
        tenant,
        list(uras),
    )


async def touched(connection: Connection, tenant: int, revision: int) -> frozenset[str]:
    """The organisations about which something was found or declared after this revision of the board."""
    rows = await connection.fetch(
        "SELECT ura FROM roadmap_member WHERE tenant = $1 AND touched > $2", tenant, revision
    )
    return frozenset(row["ura"] for row in rows)


async def listed(
    connection: Connection, tenant: int, most: int, *, whole: bool = False
) -> tuple[RunInfo, ...]:
    """The runs, the one that ended last first; with `whole` only those about the whole region."""
    rows = await connection.fetch(
        f"SELECT {RUN} FROM roadmap_run WHERE tenant = $1 AND (whole OR NOT $3) "
        "ORDER BY finished DESC, id LIMIT $2",
        tenant,
        most,
        whole,
    )
    return tuple(RunInfo(**row) for row in rows)


async def add_snapshot(connection: Connection, tenant: int, run: Run, stood: Overview) -> None:
    """Keeps how many organisations of each sector stood how at the end of a run."""
    sectors = {one.ura: one.sector for one in stood.members}
    counted = Counter((item, sectors[ura], cell.state) for (ura, item), cell in stood.cells.items())
    if not counted:
        return
    await connection.execute(
        "INSERT INTO roadmap_snapshot (tenant, run, at, item, sector, state, number) SELECT $1, $2, $3, * "
        "FROM unnest($4::text[], $5::text[], $6::text[], $7::integer[])",
        tenant,
        run.id,
        run.finished,
        *([key[place] for key in counted] for place in range(3)),
        list(counted.values()),
    )


async def trend(connection: Connection, tenant: int, most: int) -> tuple[Snapshot, ...]:
    """The snapshots of the last `most` runs about the whole region, the oldest first."""
    rows = await connection.fetch(
        "SELECT s.run, s.at, s.item, s.sector, s.state, s.number FROM roadmap_snapshot AS s JOIN ("
        "SELECT tenant, id FROM roadmap_run WHERE tenant = $1 AND whole ORDER BY finished DESC, id LIMIT $2) AS r "
        "ON s.tenant = r.tenant AND s.run = r.id ORDER BY s.at, s.run, s.item, s.sector, s.state",
        tenant,
        most,
    )
    return tuple(Snapshot(**row) for row in rows)


def evidence(row: asyncpg.Record) -> Evidence:
    """A row with `FOUND` and `last_true`."""
    finding = Finding(
        row["check_id"],
        row["verdict"],
        Text(row["reason_nl"], row["reason_en"]),
        row["detail"],
        orjson.loads(row["facts"]),
        row["until"],
    )
    return Evidence(
        str(row["number"]),
        row["ura"],
        finding,
        row["at"],
        row["run"],
        row["by"],
        row["last_true"],
        row["own"],
    )
