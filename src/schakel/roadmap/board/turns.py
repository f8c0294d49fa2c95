"""What a run found otherwise than was known before it, check by check; and what checks found one time after another."""

from __future__ import annotations

from collections.abc import Collection, Mapping
from dataclasses import dataclass
from datetime import datetime

from schakel.kernel.outcomes import NotFound
from schakel.roadmap.board.runs import FOUND, RUN, evidence
from schakel.roadmap.evidence import Evidence, Verdict
from schakel.roadmap.overview import RunInfo
from schakel.store.connection import Connection

_BEFORE = (
    "SELECT p.verdict, p.at FROM roadmap_evidence AS p WHERE p.tenant = e.tenant AND p.ura = e.ura "
    "AND p.check_id = e.check_id AND p.own = e.own AND (p.at, p.number) < (e.at, e.number) "
    "ORDER BY p.at DESC, p.number DESC LIMIT 1"
)
"""The evidence before that of `e`: of the same check at the same organisation, said by the same of the two."""


@dataclass(frozen=True, slots=True)
class Turn:
    """A check that found something else than the time before. `before` is what it found then, at `before_at`."""

    now: Evidence
    before: Verdict
    before_at: datetime


@dataclass(frozen=True, slots=True)
class Counted:
    """How often a check found so in a run."""

    check: str
    verdict: Verdict
    number: int


@dataclass(frozen=True, slots=True)
class RunTurns:
    """What a run found, `counted` by check and verdict; and what turned in it: the `turns`, by organisation and check,
    as many as were asked for; how many those are in all (`turned`), and how many checks were done for the first time
    (`first`)."""

    counted: tuple[Counted, ...]
    turns: tuple[Turn, ...]
    turned: int
    first: int


async def run(connection: Connection, tenant: int, id: str) -> RunInfo:
    """The run with this id. Raises `NotFound`."""
    row = None
    if "\0" not in id:  # Which the database takes in no text.
        row = await connection.fetchrow(
            f"SELECT {RUN} FROM roadmap_run WHERE tenant = $1 AND id = $2", tenant, id
        )
    if row is None:
        raise NotFound("there is no such run on the board", code="run-unknown")
    return RunInfo(**row)


async def of_run(connection: Connection, tenant: int, id: str, most: int) -> RunTurns:
    """What the run with this id found, and what turned in it; nothing for one that is not there."""
    columns = ", ".join(f"e.{one.strip()}" for one in FOUND.split(","))
    rows = await connection.fetch(
        f"SELECT {columns}, CASE WHEN e.verdict = 'holds' THEN e.at END AS last_true, "
        "before.verdict AS before, before.at AS before_at, count(*) OVER () AS turned "
        f"FROM roadmap_evidence AS e CROSS JOIN LATERAL ({_BEFORE}) AS before "
        "WHERE e.tenant = $1 AND e.run = $2 AND before.verdict <> e.verdict "
        "ORDER BY e.ura, e.check_id, e.number LIMIT $3",
        tenant,
        id,
        most,
    )
    first: int = await connection.fetchval(
        f"SELECT count(*) FROM roadmap_evidence AS e WHERE e.tenant = $1 AND e.run = $2 AND NOT EXISTS ({_BEFORE})",
        tenant,
        id,
    )
    counted = await connection.fetch(
        "SELECT check_id AS check, verdict, count(*) AS number FROM roadmap_evidence "
        "WHERE tenant = $1 AND run = $2 GROUP BY check_id, verdict ORDER BY check_id, verdict",
        tenant,
        id,
    )
    return RunTurns(
        tuple(Counted(**row) for row in counted),
        tuple(Turn(evidence(row), row["before"], row["before_at"]) for row in rows),
        rows[0]["turned"] if rows else 0,
        first,
    )


async def histories(
    connection: Connection, tenant: int, ura: str, checks: Collection[str], most: int
) -> Mapping[str, tuple[Evidence, ...]]:
    """What each of these checks found at an organisation, the last `most` times of each, the newest first; `last_true`
    as it was each time."""
    rows = await connection.fetch(
        f"SELECT {FOUND}, last_true FROM (SELECT *, max(at) FILTER (WHERE verdict = 'holds') OVER past AS last_true, "
        "row_number() OVER (PARTITION BY check_id ORDER BY at DESC, number DESC) AS place "
        "FROM roadmap_evidence WHERE tenant = $1 AND ura = $2 AND check_id = ANY ($3::text[]) "
        "WINDOW past AS (PARTITION BY check_id ORDER BY at, number)) AS found "
        "WHERE place <= $4 ORDER BY check_id, at DESC, number DESC",
        tenant,
        ura,
        list(checks),
        most,
    )
    found: dict[str, list[Evidence]] = {}
    for row in rows:
        found.setdefault(row["check_id"], []).append(evidence(row))
    return {check: tuple(several) for check, several in found.items()}
