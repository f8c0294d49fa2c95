"""The region is measured, and its board shows that: what holds, what fails, and what nobody knows."""

from __future__ import annotations

import os
from collections import Counter
from pathlib import Path
from typing import Any

from schakel.demo.check.trial import Trial, prove, prove_equal
from schakel.demo.roadmap.board import KEEPER, send
from schakel.demo.roadmap.region import FILE
from schakel.roadmap.evidence import Run
from schakel.roadmap.reading import shipped
from schakel.roadmap.region import read
from schakel.roadmap.run import measure

_LIST = "medmij-list"
_STEP = "PGO-1.S3"
"""Its link is measured, its contracts are declared (`demo.roadmap.agenda`)."""


async def measured(trial: Trial) -> str:
    """Every check at every organisation, handed to the board; what stands there is what was found, and what nothing
    measures is not proved."""
    run = await _run(trial)
    board = await _board(trial)
    prove_equal(board["last_run"]["id"], run.id, "the last run on the board")
    steps = {(cell["ura"], step["id"]): step for cell in board["cells"] for step in cell["steps"]}
    for one in run.measured:
        if one.finding.verdict == "fails":
            using = [s for (ura, _), s in steps.items() if ura == one.ura and one.finding.check in _checks(s)]
            prove(
                all(step["state"] in ("fails", "not-applicable") for step in using),
                f"{one.finding.check} fails at {one.ura}, and the board does not say so",
            )
    green = [step for step in steps.values() if step["state"] == "proved"]
    prove(bool(green), "nothing is proved")
    prove(all(_checks(step) for step in green), "something is proved that nothing measured")
    found = Counter(str(one.finding.verdict) for one in run.measured)
    states = Counter(step["state"] for step in steps.values())
    return (
        f"{len(run.measured)} findings at {len(run.members)} organisations ({_counted(found)}); the board: "
        f"{_counted(states)}"
    )


async def unknown(trial: Trial) -> str:
    """The lists of MedMij are away: what they would tell is not known, and last known to be so before."""
    before = await _step(trial)
    prove_equal(before["state"], "declared", "the step before")
    async with trial.without("medmij-lists"):
        await _run(trial, _LIST)
        turned = await _step(trial)
    prove_equal(turned["state"], "unknown", "the step without the lists")
    prove_equal(turned["last_true"], before["last_true"], "when it was last true")
    await _run(trial, _LIST)
    prove_equal((await _step(trial))["state"], "declared", "the step afterwards")
    return f"{_STEP}: {turned['reason']['en']} Last true at {turned['last_true']}; good again afterwards"


async def _run(trial: Trial, *only: str) -> Run:
    keeper = trial.parties[KEEPER.slug]
    run = await measure(read(_file(trial), os.environ), shipped(), only=only)
    await send(trial.client, keeper.internal, keeper.internal_key, [run])
    return run


def _file(trial: Trial) -> Path:
    return trial.folder / FILE


async def _board(trial: Trial) -> dict[str, Any]:
    keeper = trial.parties[KEEPER.slug]
    headers = {"X-API-Key": keeper.internal_key}
    reply = await trial.client.send("GET", f"{keeper.internal}/roadmap/board", headers=headers)
    prove_equal(reply.status, 200, "the board")
    return reply.json()


async def _step(trial: Trial) -> dict[str, Any]:
    board = await _board(trial)
    [found] = [
        step
        for cell in board["cells"]
        for step in cell["steps"]
        if cell["ura"] == trial.holder.ura and step["id"] == _STEP
    ]
    return dict(found)


def _checks(step: dict[str, Any]) -> set[str]:
    return {one["check"] for one in step["checks"]}


def _counted(numbers: Counter[str]) -> str:
    return ", ".join(f"{number} {name}" for name, number in sorted(numbers.items()))
