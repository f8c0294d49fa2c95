"""What the board works out anew after a change is what it would be if all of it were worked out; and whose word counts
when a keeper and an organisation itself found otherwise."""

from __future__ import annotations

from dataclasses import replace
from datetime import datetime, timedelta
from random import Random
from typing import Any

import asyncpg
import pytest
from tests.boards import past
from tests.standings import DAY, HOSPITAL, PRACTICE, SMALL, TERMS, finding, run

from schakel.kernel.clock import AMSTERDAM, now
from schakel.roadmap import reading, standing
from schakel.roadmap.board import Board, Statement
from schakel.roadmap.evidence import Claim, Evidence, Member
from schakel.roadmap.standing import State, StepStanding

CARE = Member("90000003", "Thuiszorg Noord", "VVT", "home care")
EVERYBODY = (HOSPITAL, PRACTICE, CARE)
VERDICTS = ("holds", "holds", "fails", "unknown", "not-applicable")
STEPS = 40


class Region:
    """Changes of a board, one at random after another, at a clock that is put ahead."""

    def __init__(self, board: Board, seed: int) -> None:
        self.board = board
        self.random = Random(seed)
        self.clock = now() - DAY
        self.number = 0

    async def change(self) -> None:
        self.number += 1
        await self.random.choice(
            (
                self.measure,
                self.measure,
                self.speak,
                self.speak,
                self.declare,
                self.decide,
                self.wait,
                self.load,
            )
        )()

    def found(self, members: tuple[Member, ...]) -> list[tuple[str, Any]]:
        end = self.random.choice((None, None, self.clock + timedelta(hours=self.random.randint(1, 60))))
        return [
            (member.ura, finding(check, self.random.choice(VERDICTS), until=end))
            for member in members
            for check in TERMS
            if self.random.random() < 0.6
        ]

    async def measure(self) -> None:
        here = tuple(one for one in EVERYBODY if self.random.random() < 0.8) or (HOSPITAL,)
        here = tuple(replace(one, kind=self.random.choice(("", "other"))) for one in here)
        at = self.clock - timedelta(hours=self.random.choice((0, 0, 50)))
        await self.board.add(run(*self.found(here), id=f"whole-{self.number}", at=at, members=here))

    async def speak(self) -> None:
        one = self.random.choice(EVERYBODY)
        await self.board.add(
            run(*self.found((one,)), id=f"own-{self.number}", at=self.clock, members=[one]), whole=False
        )

    async def declare(self) -> None:
        members = [one.ura for one in await self.board.members()]
        if members:
            today = now().astimezone(AMSTERDAM).date()
            step = self.random.choice(("GF-1.S1", "GF-1.S2"))
            claims: tuple[Claim, ...] = ("done", "not-done", "not-applicable")
            until = today + timedelta(days=self.random.randint(0, 3))
            said = Statement(
                self.random.choice(members),
                step,
                self.random.choice(claims),
                "owner",
                today,
                until,
                "because",
                "plan.pdf",
            )
            await self.board.declare(said, "Anna")

    async def decide(self) -> None:
        open_ones = [one for one in await self.board.declarations() if not one.seen_by]
        if open_ones:
            one = self.random.choice(open_ones)
            if self.random.random() < 0.7:
                await self.board.confirm(one.id, "Bert")
            else:
                await self.board.withdraw(one.id, "Anna")

    async def wait(self) -> None:
        self.clock += timedelta(hours=self.random.choice((1, 20, 40)))

    async def load(self) -> None:
        if self.random.random() < 0.4:
            items = SMALL.items[: self.random.randint(1, 2)]
            made = replace(SMALL, version=f"v{self.number}", items=items)
            await self.board.import_roadmap(reading.dump(made), "programme")


@pytest.mark.parametrize("seed", range(6))
async def test_what_is_worked_out_anew_is_what_all_of_it_would_be(
    board: Board, board_pool: asyncpg.Pool, monkeypatch: pytest.MonkeyPatch, seed: int
) -> None:
    region = Region(board, seed)
    for module in ("board", "runs"):
        monkeypatch.setattr(f"schakel.roadmap.board.{module}.now", lambda: region.clock)
    states: set[State] = set()
    for _ in range(STEPS):
        await region.change()
        kept = await board.overview()
        whole = await Board(board_pool, board._tenant, terms=TERMS).overview()
        assert kept.cells == whole.cells
        assert (kept.members, kept.revision, kept.last_run) == (whole.members, whole.revision, whole.last_run)
        states |= {one.state for cell in kept.cells.values() for one in cell.steps}
    assert {"proved", "stale", "fails", "not-declared"} <= states  # It went somewhere.


async def test_only_what_a_change_is_about_is_worked_out_anew(
    board: Board, monkeypatch: pytest.MonkeyPatch
) -> None:
    await board.add(run((HOSPITAL.ura, finding()), (PRACTICE.ura, finding()), at=now() - DAY))
    before = await board.overview()
    done: list[str] = []
    cells = standing.cells

    def counted(roadmap: Any, members: Any, *rest: Any) -> Any:
        done.extend(one.ura for one in members)
        return cells(roadmap, members, *rest)

    monkeypatch.setattr("schakel.roadmap.overview.cells", counted)
    await board.add(
        run((PRACTICE.ura, finding(verdict="fails")), at=now(), id="own", members=[PRACTICE]), whole=False
    )
    after = await board.overview()
    assert done == [PRACTICE.ura]
    assert after.cells[HOSPITAL.ura, "GF-1"] is before.cells[HOSPITAL.ura, "GF-1"]
    assert after.cells[PRACTICE.ura, "GF-1"].state == "fails"


# -- a keeper of the board, and an organisation about itself -----------------------------------------------------------

MOMENT = now() - DAY / 2


async def keeper(board: Board, verdict: str, hours: float, check: str = "log-seals") -> None:
    await board.add(
        run((HOSPITAL.ura, finding(check, verdict)), id=f"keeper-{hours}", at=_at(hours)), sender="Regio"
    )


async def itself(board: Board, verdict: str, hours: float, check: str = "log-seals") -> None:
    one = run((HOSPITAL.ura, finding(check, verdict)), id=f"own-{hours}", at=_at(hours), members=[HOSPITAL])
    await board.add(one, sender=HOSPITAL.name, whole=False)


def _at(hours: float) -> datetime:
    return MOMENT + timedelta(hours=hours)


async def step(board: Board) -> StepStanding:
    return (await board.overview()).cells[HOSPITAL.ura, "GF-2"].steps[0]


def runs(one: Evidence | None) -> str:
    return "" if one is None else one.run


CASES: dict[str, tuple[str, str, State, str, str]] = {
    "it does not take away what failed": ("fails", "holds", "fails", "keeper-1", "own-2"),
    "it does not take away that it could not be checked": (
        "unknown",
        "holds",
        "unknown",
        "keeper-1",
        "own-2",
    ),
    "it does not take away what failed by not applying": (
        "fails",
        "not-applicable",
        "fails",
        "keeper-1",
        "own-2",
    ),
    "not applying takes away nothing": ("holds", "not-applicable", "proved", "keeper-1", "own-2"),
    "it may say that it fails": ("holds", "fails", "fails", "own-2", "keeper-1"),
    "it may say that it could not be checked": ("holds", "unknown", "unknown", "own-2", "keeper-1"),
    "both find the same": ("holds", "holds", "proved", "keeper-1", ""),
    "both find the same that is wrong": ("fails", "fails", "fails", "own-2", ""),
}


@pytest.mark.parametrize("case", CASES)
async def test_after_a_keeper_measured_an_organisation_speaks_for_itself(board: Board, case: str) -> None:
    measured, said, state, counts, beside = CASES[case]
    await keeper(board, measured, 1)
    await itself(board, said, 2)
    found = await step(board)
    [one] = found.evidence
    assert (found.state, one.run, runs(one.beside)) == (state, counts, beside)
    if state in ("fails", "unknown") and beside:
        assert one.beside is not None and one.beside.finding.reason.nl in found.reason.nl
        assert one.beside.finding.reason.en in found.reason.en
    assert len(await past(board, HOSPITAL.ura, "log-seals")) == 2  # Both stay to be read.


async def test_what_a_keeper_finds_later_counts_alone(board: Board) -> None:
    await keeper(board, "fails", 1)
    await itself(board, "holds", 2)
    await keeper(board, "holds", 3)
    found = await step(board)
    assert (found.state, [(one.run, one.beside) for one in found.evidence]) == (
        "proved",
        [("keeper-3", None)],
    )
    await itself(board, "fails", 4)
    await keeper(board, "holds", 5)
    assert (await step(board)).state == "proved"


async def test_an_organisation_that_takes_back_its_own_word_stands_as_the_keeper_found(board: Board) -> None:
    await keeper(board, "holds", 1)
    await itself(board, "fails", 2)
    await itself(board, "holds", 3)
    assert (await step(board)).state == "proved"
    await keeper(board, "fails", 4)
    await itself(board, "holds", 5)
    await itself(board, "holds", 6)
    assert (await step(board)).state == "fails"


async def test_where_no_keeper_measured_the_word_of_the_organisation_counts_and_says_whose_it_is(
    board: Board,
) -> None:
    await itself(board, "holds", 1)
    found = await step(board)
    [one] = found.evidence
    assert (found.state, one.own, one.by) == ("self-measured", True, f"tester ({HOSPITAL.name})")


async def test_the_word_of_an_organisation_does_not_keep_fresh_what_a_keeper_found(
    board: Board, monkeypatch: pytest.MonkeyPatch
) -> None:
    await keeper(board, "holds", 1)
    await itself(board, "holds", 2)
    assert (await step(board)).state == "proved"
    aged = _at(1) + TERMS["log-seals"]
    for module in ("board", "runs"):
        monkeypatch.setattr(f"schakel.roadmap.board.{module}.now", lambda: aged)
    found = await step(board)
    assert (found.state, [one.run for one in found.evidence]) == ("self-measured", ["own-2"])
    monkeypatch.setattr("schakel.roadmap.board.board.now", lambda: aged + timedelta(hours=1))
    assert (await step(board)).state == "stale"


async def test_when_it_last_held_is_known_up_to_what_counts(board: Board) -> None:
    await itself(board, "holds", 1)
    held = _at(1) - timedelta(seconds=9)
    await keeper(board, "fails", 2)
    assert (await step(board)).last_true == held
    await itself(board, "holds", 3)
    found = await step(board)
    assert (found.state, found.last_true) == ("fails", held)  # What counts is of before that.


async def test_a_run_turns_against_what_its_own_side_found_before(board: Board) -> None:
    await keeper(board, "fails", 1)
    await itself(board, "holds", 2)
    await keeper(board, "fails", 3)
    assert (await board.turns("keeper-3")).turns == ()
    assert (await board.turns("own-2")).turns == ()
    assert (await board.turns("own-2")).first == 1
