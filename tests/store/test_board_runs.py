"""Runs on the board: whole or not at all, once, added and never changed."""

from __future__ import annotations

import asyncio
from dataclasses import replace
from datetime import timedelta

import asyncpg
import pytest
from tests.boards import past
from tests.standings import DAY, HOSPITAL, PRACTICE, TERMS, finding, run

from schakel.kernel.clock import now
from schakel.kernel.outcomes import Busy, Conflict, Invalid
from schakel.roadmap.board import Board
from schakel.roadmap.board.runs import AHEAD
from schakel.roadmap.evidence import Member, Run

GOOD = [(HOSPITAL.ura, finding(check)) for check in ("tls", "certificate", "log-seals")]


def same_board(board: Board) -> Board:
    """The board as another process has it."""
    return Board(board._pool, board._tenant, terms=TERMS)


async def test_what_a_run_found_is_kept_with_when_by_whom_and_in_which_run(board: Board) -> None:
    found = finding(
        "tls", "fails", detail="handshake failed", facts={"days": 3, "version": "1.1"}, until=now()
    )
    one = run((HOSPITAL.ura, found), at=now())
    assert await board.add(one, sender="Regio Noord")
    (kept,) = await past(board, HOSPITAL.ura, "tls")
    assert kept.finding == found
    assert (kept.ura, kept.at, kept.run) == (HOSPITAL.ura, one.measured[0].at, one.id)
    assert (kept.by, kept.last_true) == ("tester (Regio Noord)", None)
    (told,) = await board.runs()
    assert (told.id, told.sender, told.whole, told.members, told.findings) == (
        one.id,
        "Regio Noord",
        True,
        2,
        1,
    )
    assert await past(board, HOSPITAL.ura, "certificate") == ()


async def test_a_run_that_comes_twice_counts_once(board: Board) -> None:
    one = run(*GOOD, at=now())
    assert [await board.add(one) for _ in range(2)] == [True, False]
    assert len(await past(board, HOSPITAL.ura, "tls")) == 1


async def test_a_run_that_comes_many_times_at_once_counts_once(board: Board) -> None:
    one = run(*GOOD, at=now())
    assert sorted(await asyncio.gather(*(board.add(one) for _ in range(6)))) == [False] * 5 + [True]
    assert len(await past(board, HOSPITAL.ura, "tls")) == 1


async def test_another_run_under_the_same_id_is_refused(board: Board) -> None:
    await board.add(run(*GOOD, at=now()))
    with pytest.raises(Conflict) as caught:
        await board.add(run((HOSPITAL.ura, finding("tls", "fails")), at=now()))
    assert caught.value.kind == "run-taken"
    assert [one.finding.verdict for one in await past(board, HOSPITAL.ura, "tls")] == ["holds"]


async def test_a_run_that_ends_in_the_future_is_refused(board: Board) -> None:
    with pytest.raises(Invalid) as caught:
        await board.add(run(*GOOD, at=now() + AHEAD + timedelta(minutes=1)))
    assert caught.value.kind == "run-in-the-future"
    assert await board.add(run(*GOOD, at=now() + AHEAD - timedelta(minutes=1)))


async def test_a_run_of_which_the_writing_breaks_off_is_not_there_at_all(
    board: Board, monkeypatch: pytest.MonkeyPatch
) -> None:
    await board.add(run(*GOOD, at=now() - DAY, id="before"))
    before = await board.overview()

    async def broken(*_arguments: object) -> None:
        raise ConnectionResetError

    one = run((HOSPITAL.ura, finding("tls", "fails")), at=now(), members=[HOSPITAL])
    with monkeypatch.context() as patched:
        # The last thing that is written: all else of the run stands in the transaction by then.
        patched.setattr("schakel.roadmap.board.runs.add_snapshot", broken)
        with pytest.raises(Busy):
            await board.add(one)
    other = same_board(board)
    assert [told.id for told in await other.runs()] == ["before"]
    assert (await other.overview()).members == before.members
    assert [kept.run for kept in await past(other, HOSPITAL.ura, "tls")] == ["before"]
    assert await board.add(one)


@pytest.mark.parametrize(
    "statement", ["UPDATE roadmap_evidence SET verdict = 'holds'", "DELETE FROM roadmap_evidence"]
)
async def test_evidence_cannot_be_changed_or_removed(
    board: Board, board_pool: asyncpg.Pool, statement: str
) -> None:
    await board.add(run((HOSPITAL.ura, finding("tls", "fails")), at=now()))
    with pytest.raises(asyncpg.RaiseError, match="added to and never changed"):
        await board_pool.execute(statement)
    (kept,) = await past(board, HOSPITAL.ura, "tls")
    assert kept.finding.verdict == "fails"


async def test_it_is_known_when_a_check_last_held_whatever_came_after(board: Board) -> None:
    moments = [now() - n * DAY for n in (6, 5, 4, 3)]
    for place, (at, verdict) in enumerate(zip(moments, ("fails", "holds", "fails", "unknown"), strict=True)):
        await board.add(run((HOSPITAL.ura, finding("tls", verdict)), at=at, id=f"run-{place}"))
    held = moments[1] - timedelta(seconds=9)
    history = await past(board, HOSPITAL.ura, "tls")
    assert [one.finding.verdict for one in history] == ["unknown", "fails", "holds", "fails"]
    assert [one.last_true for one in history] == [held, held, held, None]
    cell = (await board.overview()).cell(HOSPITAL.ura, "GF-1")
    assert cell is not None and [one.last_true for one in cell.steps[0].evidence] == [held]
    assert await past(board, HOSPITAL.ura, "tls", 2) == history[:2]


async def test_a_run_that_comes_late_does_not_hide_what_was_found_after_it(board: Board) -> None:
    await board.add(run((HOSPITAL.ura, finding("log-seals", "fails")), at=now(), id="new"))
    late = run((HOSPITAL.ura, finding("log-seals")), at=now() - 9 * DAY, id="late", members=[HOSPITAL])
    assert await board.add(late)
    overview = await board.overview()
    cell = overview.cell(HOSPITAL.ura, "GF-2")
    assert cell is not None
    assert (cell.state, cell.last_true) == ("fails", late.measured[0].at)
    assert {one.ura for one in overview.members} == {HOSPITAL.ura, PRACTICE.ura}
    assert overview.last_run is not None and overview.last_run.id == "new"


# -- who is in the region ----------------------------------------------------------------------------------------------


async def _members(board: Board) -> list[Member]:
    return list((await board.overview()).members)


async def test_who_left_the_region_is_off_the_board_and_the_evidence_stays(board: Board) -> None:
    await board.add(run(*GOOD, at=now() - DAY, id="first"))
    assert await _members(board) == [PRACTICE, HOSPITAL]
    await board.add(run(at=now() - DAY / 2, id="second", members=[PRACTICE]))
    assert await _members(board) == [PRACTICE]
    assert len(await past(board, HOSPITAL.ura, "tls")) == 1
    await board.add(run(at=now(), id="third"))
    assert await _members(board) == [PRACTICE, HOSPITAL]
    cell = (await board.overview()).cell(HOSPITAL.ura, "GF-2")
    assert cell is not None and cell.last_true is not None


def alone(at_board: str, **changes: object) -> Run:
    return run((HOSPITAL.ura, finding("tls")), at=now(), id=at_board, members=[replace(HOSPITAL, **changes)])  # type: ignore[arg-type]


async def test_an_organisation_that_speaks_for_itself_joins_and_changes_nothing_else(board: Board) -> None:
    assert await board.add(alone("self"), whole=False)
    assert await _members(board) == [HOSPITAL]
    await board.add(run(at=now(), id="region"))
    assert await board.add(alone("again", sector="HA", name="Other"), whole=False)
    assert await _members(board) == [PRACTICE, HOSPITAL]
    overview = await board.overview()
    assert overview.last_run is not None and overview.last_run.id == "region"


async def test_who_was_taken_off_the_board_does_not_come_back_by_itself(board: Board) -> None:
    await board.add(run(at=now() - DAY, id="first"))
    await board.add(run(at=now() - DAY / 2, id="second", members=[PRACTICE]))
    assert await board.add(alone("self"), whole=False)
    assert await _members(board) == [PRACTICE]


async def test_a_neighbour_sees_nothing(board: Board) -> None:
    await board.add(run(*GOOD, at=now()))
    neighbour = Board(board._pool, board._tenant + 100_000, terms=TERMS)
    assert await neighbour.runs() == ()
    assert await past(neighbour, HOSPITAL.ura, "tls") == ()
    assert (await neighbour.overview()).members == ()
    assert await neighbour.trend() == ()
    assert await neighbour.versions() == ()


async def test_each_run_about_the_region_leaves_a_snapshot_of_that_moment(board: Board) -> None:
    bad = [(HOSPITAL.ura, finding("log-seals", "fails"))]
    await board.add(run(*bad, at=now() - 9 * DAY, id="first"))
    await board.add(run(*GOOD, at=now() - 5 * DAY, id="second"))
    await board.add(alone("self"), whole=False)
    found = await board.trend()
    assert [one.run for one in found if one.item == "GF-2" and one.sector == "MSZ"] == ["first", "second"]
    stood = {(one.run, one.item, one.sector): (one.state, one.number) for one in found}
    assert stood["first", "GF-2", "MSZ"] == ("fails", 1)
    assert stood["second", "GF-2", "MSZ"] == ("proved", 1)
    assert stood["second", "GF-2", "HA"] == ("not-named", 1)
    assert {one.run for one in await board.trend(1)} == {"second"}
