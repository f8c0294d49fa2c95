"""A board from before it was known whose word evidence is: what a program of then wrote is read as it was meant."""

from __future__ import annotations

import shutil
from importlib.resources import as_file, files
from pathlib import Path
from typing import Any

import asyncpg
from tests.boards import past
from tests.standings import HOSPITAL, TERMS

from schakel.kernel.clock import now
from schakel.roadmap.board import Board
from schakel.store.database import connect, disconnect
from schakel.store.migrations import migrate

BEFORE = 18
"""The migrations that such a program knew."""

_RUN = """
INSERT INTO roadmap_run (tenant, id, region, roadmap, by, sender, whole, started, finished, members, findings, digest)
VALUES (1, $1, 'Noord', '1', 'tester', 'Sender', $2, $3, $3, 1, 1, '')
"""
_FOUND = """
INSERT INTO roadmap_evidence (tenant, ura, check_id, at, verdict, reason_nl, reason_en, detail, facts, run, by)
VALUES (1, $1, 'log-seals', $2, $3, 'nl', 'en', '', '{}', $4, 'tester')
"""


async def test_a_board_of_before_knows_afterwards_whose_word_its_evidence_is(
    fresh_database: str, tmp_path: Path
) -> None:
    with as_file(files("schakel.store") / "migrations") as folder:
        for path in sorted(folder.glob("*.sql"))[:BEFORE]:
            shutil.copy(path, tmp_path)
    older: asyncpg.Connection[Any] = await asyncpg.connect(fresh_database)
    try:
        assert len(await migrate(older, tmp_path)) == BEFORE
        moment = now()
        await older.execute(
            "INSERT INTO roadmap_member (tenant, ura, name, sector, kind) VALUES (1, $1, 'Noord', 'MSZ', '')",
            HOSPITAL.ura,
        )
        await older.execute("INSERT INTO roadmap_board (tenant) VALUES (1)")
        for number, (whole, verdict) in enumerate([(True, "holds"), (True, "fails"), (False, "holds")]):
            at = moment.replace(microsecond=number)
            await older.execute(_RUN, f"run-{number}", whole, at)
            await older.execute(_FOUND, HOSPITAL.ura, at, verdict, f"run-{number}")
        await older.execute(
            "INSERT INTO roadmap_checked (tenant, ura, check_id, last_true) VALUES (1, $1, 'log-seals', $2)",
            HOSPITAL.ura,
            moment,
        )
    finally:
        await older.close()
    pool = await connect(fresh_database)
    try:
        board = Board(pool, 1, terms=TERMS)
        found = [(one.run, one.own) for one in await past(board, HOSPITAL.ura, "log-seals")]
        assert found == [("run-2", True), ("run-1", False), ("run-0", False)]
        counts, *_ = [
            one
            for cell in (await board.overview()).of_member(HOSPITAL.ura)
            for step in cell.steps
            for one in step.evidence
        ]
        assert counts.run == "run-1" and counts.beside is not None and counts.beside.run == "run-2"
        assert counts.last_true == moment.replace(microsecond=0)
    finally:
        await disconnect(pool)
