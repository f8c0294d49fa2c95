"""The board of a region of 200 organisations: `python -m bench.board` is this alone.

Every organisation has evidence of every check on the shipped roadmap, and a declaration about every third step that
none measures. `rebuild` is the overview after a change about one organisation, `whole` the overview when everything is
worked out, as at the start of a node and after a run about the whole region; `kept` the overview when nothing changed,
`add` a run about the whole region with all that it found.
"""

from __future__ import annotations

import asyncio
import time
from contextlib import AsyncExitStack
from datetime import timedelta
from statistics import median

import asyncpg

from bench.pair import temporary_folder
from bench.report import Figure, hardware, table
from schakel.kernel.clock import AMSTERDAM, now
from schakel.roadmap.board import Board, Statement
from schakel.roadmap.evidence import Finding, Measured, Member, Run
from schakel.roadmap.model import Text
from schakel.roadmap.reading import shipped
from schakel.store.database import connect, disconnect
from schakel.store.embedded import EmbeddedServer

_MEMBERS = 200
_TIMES = 7
_KEPT = 500


async def board() -> list[Figure]:
    """The figures of the board."""
    async with AsyncExitStack() as stack:
        folder = stack.enter_context(temporary_folder())
        server = await stack.enter_async_context(await EmbeddedServer.start(folder / "postgres", fsync=False))
        pool = await connect(await server.ensure_database("board", "board", "secret"))
        stack.push_async_callback(disconnect, pool)
        return await _measured(pool)


async def _measured(pool: asyncpg.Pool) -> list[Figure]:
    kept = Board(pool, 1, region="Bench")
    began = time.perf_counter()
    await kept.add(_run("first"))
    added = time.perf_counter() - began
    await _declare(kept)
    whole = []
    for _ in range(_TIMES):
        fresh = Board(pool, 1)
        await fresh.roadmap()
        began = time.perf_counter()
        overview = await fresh.overview()
        whole.append(time.perf_counter() - began)
    assert len(overview.cells) == _MEMBERS * len(shipped().items)
    rebuilds = []
    for said in (await kept.declarations())[:_TIMES]:
        await kept.confirm(said.id, "second reader")
        began = time.perf_counter()
        overview = await fresh.overview()
        rebuilds.append(time.perf_counter() - began)
    assert len(overview.cells) == _MEMBERS * len(shipped().items)
    began = time.perf_counter()
    for _ in range(_KEPT):
        assert await fresh.overview() is overview
    each = (time.perf_counter() - began) / _KEPT
    return [
        Figure("board", "add a run of 200 organisations", added * 1e3, "ms", "less"),
        Figure("board", "rebuild: p50", median(rebuilds) * 1e3, "ms", "less", goal=100),
        Figure("board", "whole: p50", median(whole) * 1e3, "ms", "less"),
        Figure("board", "kept", each * 1e6, "us", "less"),
    ]


def _run(id: str) -> Run:
    """A run in which every check was done everywhere; one in five fails."""
    moment = now()
    checks = sorted({check for item in shipped().items for step in item.steps for check in step.checks})
    sectors = sorted(shipped().sectors)
    members = tuple(
        Member(f"{90000000 + n}", f"Organisation {n}", sectors[n % len(sectors)]) for n in range(_MEMBERS)
    )
    measured = tuple(
        Measured(
            member.ura,
            Finding(
                check,
                "fails" if (place + number) % 5 == 0 else "holds",
                Text("zoals het is gevonden", "as it was found"),
            ),
            moment,
        )
        for number, member in enumerate(members)
        for place, check in enumerate(checks)
    )
    return Run(
        id, "Bench", shipped().version, "bench", moment - timedelta(minutes=1), moment, members, measured
    )


async def _declare(board: Board) -> None:
    today = now().astimezone(AMSTERDAM).date()
    steps = [step.id for item in shipped().items for step in item.steps if not step.checks][::3]
    for n in range(0, _MEMBERS, 4):
        for step in steps:
            said = Statement(f"{90000000 + n}", step, "not-done", "owner", today, today, "later")
            await board.declare(said, "bench")


if __name__ == "__main__":
    print(f"{hardware()}\n\n{table(asyncio.run(board()))}")
