"""What turned in a run against what was known before it, and what checks found one time after another."""

from __future__ import annotations

from datetime import datetime
from typing import Any

import pytest
from tests.boards import past
from tests.standings import DAY, HOSPITAL, PRACTICE, TERMS, finding, run

from schakel.kernel.clock import now
from schakel.kernel.outcomes import NotFound
from schakel.roadmap.board import Board


async def measured(board: Board, id: str, at: datetime, **verdicts: Any) -> None:
    """A run at the hospital and the practice in which these checks found so."""
    found = [
        (member.ura, finding(check.replace("_", "-"), verdict))
        for member in (HOSPITAL, PRACTICE)
        for check, verdict in verdicts.items()
    ]
    await board.add(run(*found, id=id, at=at))


async def test_a_run_turns_what_it_finds_otherwise_than_the_last_time_that_was_looked_at(
    board: Board,
) -> None:
    moment = now()
    await measured(board, "one", moment - 3 * DAY, tls="holds", certificate="holds", log_seals="fails")
    await measured(board, "two", moment - 2 * DAY, certificate="holds")  # tls was not looked at
    await measured(board, "three", moment - DAY, tls="fails", certificate="holds", mail_domain="holds")
    first, second, third = [await board.turns(id) for id in ("one", "two", "three")]
    assert (first.turns, first.turned, first.first) == ((), 0, 6)
    assert (second.turns, second.turned, second.first) == ((), 0, 0)
    assert (third.turned, third.first) == (2, 2)
    assert [
        (one.now.ura, one.now.finding.check, one.before, one.now.finding.verdict) for one in third.turns
    ] == [(ura, "tls", "holds", "fails") for ura in (HOSPITAL.ura, PRACTICE.ura)]
    assert third.turns[0].before_at < moment - 3 * DAY < third.turns[0].now.at
    assert [(one.check, one.verdict, one.number) for one in third.counted] == [
        ("certificate", "holds", 2),
        ("mail-domain", "holds", 2),
        ("tls", "fails", 2),
    ]


async def test_a_run_that_comes_late_turns_against_what_was_before_it_in_time(board: Board) -> None:
    moment = now()
    await measured(board, "one", moment - 3 * DAY, tls="holds")
    await measured(board, "three", moment - DAY, tls="holds")
    await measured(board, "two", moment - 2 * DAY, tls="unknown")
    assert [one.now.finding.verdict for one in (await board.turns("two")).turns] == ["unknown"] * 2
    assert [one.before for one in (await board.turns("three")).turns] == ["unknown"] * 2


async def test_no_more_turns_are_told_than_were_asked_for_but_all_are_counted(board: Board) -> None:
    moment = now()
    await measured(board, "one", moment - 2 * DAY, tls="holds", certificate="holds")
    await measured(board, "two", moment - DAY, tls="fails", certificate="fails")
    found = await board.turns("two", most=3)
    assert (len(found.turns), found.turned) == (3, 4)


async def test_a_run_that_is_not_there_has_no_page_and_nothing_of_a_neighbour_is_told(board: Board) -> None:
    await measured(board, "one", now(), tls="holds")
    assert (await board.run("one")).id == "one"
    neighbour = Board(board._pool, board._tenant + 100_000, terms=TERMS)
    for other, id in ((board, "two"), (board, "\0"), (neighbour, "one")):
        with pytest.raises(NotFound) as refused:
            await other.run(id)
        assert refused.value.kind == "run-unknown"
    assert (await neighbour.turns("one")).counted == ()
    assert await neighbour.histories(HOSPITAL.ura, ["tls"]) == {}


async def test_histories_are_those_of_each_check_apart(board: Board) -> None:
    moment = now()
    for number in range(5):
        verdict = "holds" if number % 2 else "fails"
        await measured(board, f"run-{number}", moment - (5 - number) * DAY, tls=verdict, certificate="holds")
    found = await board.histories(HOSPITAL.ura, ["tls", "certificate", "log-seals"], most=3)
    assert set(found) == {"tls", "certificate"}
    for check, several in found.items():
        assert several == (await past(board, HOSPITAL.ura, check))[:3]


async def test_an_address_may_ask_for_no_check_at_all(board: Board) -> None:
    assert await board.histories(HOSPITAL.ura, []) == {}
