"""Declarations on the board: with a second reader, for a term, and nothing that was said is lost."""

from __future__ import annotations

import asyncio
from dataclasses import replace
from typing import Any

import asyncpg
import pytest
from tests.standings import DAY, HOSPITAL, PRACTICE, run

from schakel.kernel.clock import AMSTERDAM, new_id, now
from schakel.kernel.outcomes import Conflict, Forbidden, Invalid, NotFound, Outcome
from schakel.roadmap.board import Action, Board, Statement
from schakel.roadmap.board.declarations import LONGEST
from schakel.roadmap.evidence import Declaration

TODAY = now().astimezone(AMSTERDAM).date()
STATEMENT = Statement(
    HOSPITAL.ura, "GF-1.S2", "done", "the board", TODAY, TODAY + 100 * DAY, document="plan.pdf"
)


async def declared(board: Board, by: str = "Anna", **changes: Any) -> Declaration:
    """A declaration by Anna, with the region there."""
    await board.add(run(at=now() - DAY))
    return await board.declare(replace(STATEMENT, **changes), by)


async def step_state(board: Board) -> str:
    cell = (await board.overview()).cell(HOSPITAL.ura, "GF-1")
    assert cell is not None
    return cell.steps[1].state


async def test_a_declaration_counts_when_someone_else_has_seen_it(board: Board) -> None:
    made = await declared(board, link="https://example.org/plan.pdf")
    assert (made.declared_by, made.seen_by, made.withdrawn_at) == ("Anna", "", None)
    assert await step_state(board) == "unconfirmed"
    seen = await board.confirm(made.id, "Bert")
    assert seen.seen_by == "Bert" and seen.seen_at is not None
    assert await step_state(board) == "declared"
    assert await board.declarations() == (seen,)
    assert await board.declaration(made.id) == seen


@pytest.mark.parametrize(
    "reader", ["Zoë de Wit", "ZOË DE WIT", " Zoë  de Wit ", "Zoe\u0308 de Wit", "Ｚoë de Wit"]
)
async def test_nobody_is_the_second_reader_of_what_they_declared(board: Board, reader: str) -> None:
    made = await declared(board, by="Zoë de Wit")
    with pytest.raises(Forbidden) as caught:
        await board.confirm(made.id, reader)
    assert caught.value.kind == "second-reader-is-the-first"
    assert await step_state(board) == "unconfirmed"


async def test_a_new_name_makes_nobody_the_second_reader_of_what_they_declared(board: Board) -> None:
    await board.add(run(at=now() - DAY))
    made = await board.declare(STATEMENT, "Anna", "subject-1")
    assert made.account == "subject-1"
    with pytest.raises(Forbidden):
        await board.confirm(made.id, "Anna de Wit", "subject-1")
    assert (await board.confirm(made.id, "Bert", "subject-2")).seen_by == "Bert"


async def test_of_several_declarations_all_are_written_or_none(board: Board) -> None:
    await board.add(run(at=now() - DAY))
    other = replace(STATEMENT, ura=PRACTICE.ura)
    with pytest.raises(Invalid):
        await board.declare_all([STATEMENT, replace(other, owner="")], "Anna")
    with pytest.raises(NotFound):
        await board.declare_all([STATEMENT, replace(other, ura="90000009")], "Anna")
    assert await board.declarations(ended=True) == ()
    made = await board.declare_all([STATEMENT, other], "Anna")
    assert set(await board.declarations()) == set(made) and len(made) == 2


async def test_a_declaration_has_one_second_reader(board: Board) -> None:
    made = await declared(board)
    results = await asyncio.gather(
        *(board.confirm(made.id, name) for name in ("Bert", "Carla", "Dirk")), return_exceptions=True
    )
    assert sum(isinstance(one, Conflict) for one in results) == 2
    (kept,) = await board.declarations()
    assert [one for one in results if isinstance(one, Declaration)] == [kept]


async def test_what_was_taken_back_does_not_count_and_is_still_there(board: Board) -> None:
    made = await declared(board)
    await board.confirm(made.id, "Bert")
    gone = await board.withdraw(made.id, "Carla")
    assert (gone.withdrawn_by, gone.seen_by) == ("Carla", "Bert")
    assert await step_state(board) == "not-declared"
    assert await board.declarations() == ()
    assert await board.declarations(ended=True) == (gone,)
    for again in (board.withdraw(made.id, "Carla"), board.confirm(made.id, "Dirk")):
        with pytest.raises(Conflict) as caught:
            await again
        assert caught.value.kind == "declaration-withdrawn"


async def test_a_newer_declaration_takes_the_place_of_the_one_before(board: Board) -> None:
    first = await declared(board)
    await board.confirm(first.id, "Bert")
    second = await board.declare(replace(STATEMENT, claim="not-done", reason="not any more"), "Carla")
    assert await step_state(board) == "fails"
    assert await board.declarations(HOSPITAL.ura, "GF-1.S2") == (second,)
    ended = await board.declarations(ended=True)
    assert [(one.claim, one.withdrawn_by) for one in ended] == [("not-done", ""), ("done", "Carla")]
    assert await board.declarations("90000009") == await board.declarations(step="GF-2.S1") == ()


async def test_two_declarations_at_once_leave_one_that_stands(board: Board) -> None:
    await board.add(run(at=now() - DAY))
    await asyncio.gather(*(board.declare(STATEMENT, name) for name in ("Anna", "Bert", "Carla")))
    assert len(await board.declarations()) == 1
    assert len(await board.declarations(ended=True)) == 3


WRONG: dict[str, tuple[dict[str, Any], str]] = {
    "a step that is not there": ({"step": "GF-1.S9"}, "step"),
    "a claim that is none": ({"claim": "perhaps"}, "claim"),
    "a day in the future": ({"on": TODAY + 2 * DAY}, "on"),
    "a term that is past": ({"until": TODAY - 2 * DAY}, "until"),
    "a term that is too long": ({"until": TODAY + LONGEST + 2 * DAY}, "until"),
    "done without a document": ({"document": " "}, "document"),
    "not applicable without a reason": ({"claim": "not-applicable"}, "reason"),
    "not done without a reason": ({"claim": "not-done"}, "reason"),
    "no owner": ({"owner": ""}, "owner"),
    "a link that is none": ({"link": "javascript:alert(1)"}, "link"),
    "a reason that is too long": ({"reason": "x" * 2001}, "reason"),
    "a control character": ({"document": "a\0b"}, "document"),
}


@pytest.mark.parametrize("case", WRONG)
async def test_a_declaration_with_one_thing_wrong_is_not_made(board: Board, case: str) -> None:
    changes, member = WRONG[case]
    with pytest.raises(Invalid) as caught:
        await declared(board, **changes)
    assert caught.value.expression == member
    assert await board.declarations(ended=True) == ()


async def test_only_who_is_in_the_region_can_be_declared_about(board: Board) -> None:
    with pytest.raises(NotFound) as caught:
        await declared(board, ura="90000009")
    assert caught.value.kind == "member-unknown"


@pytest.mark.parametrize("name", ["", "x", "3a539600-a064-48bc-9836-2a3bbeba3631"])
async def test_a_declaration_that_is_not_there_is_not_found(board: Board, name: str) -> None:
    for asked in (board.declaration(name), board.confirm(name, "Bert"), board.withdraw(name, "Bert")):
        with pytest.raises(NotFound) as caught:
            await asked
        assert caught.value.kind == "declaration-unknown"


async def test_the_database_itself_keeps_the_second_reader_apart(
    board: Board, board_pool: asyncpg.Pool
) -> None:
    made = await declared(board)
    with pytest.raises(asyncpg.CheckViolationError):
        await board_pool.execute(
            "UPDATE roadmap_declaration SET seen_by = declared_by WHERE tenant = $1 AND id = $2",
            board._tenant,
            made.id,
        )


ACTIONS: dict[str, tuple[Action, str]] = {
    "an item that is not there": (Action("GF-9", "Do it", "Anna"), "item-unknown"),
    "a step of another item": (Action("GF-2", "Do it", "Anna", step="GF-1.S1"), "step-unknown"),
    "no title": (Action("GF-1", " ", "Anna"), "text-needed"),
    "a title of two lines": (Action("GF-1", "a\nb", "Anna"), "text-odd"),
    "an end before the beginning": (
        Action("GF-1", "Do it", "Anna", starts=TODAY, due=TODAY - DAY),
        "due-early",
    ),
    "an organisation that is none": (Action("GF-1", "Do it", "Anna", ura="haven"), "ura-invalid"),
    "a progress that is none": (Action("GF-1", "Do it", "Anna", progress="stuck"), "progress-unknown"),  # type: ignore[arg-type]
    "an id that is not known": (Action("GF-1", "Do it", "Anna", id=new_id(), change=1), "action-unknown"),
    "an id that is none": (Action("GF-1", "Do it", "Anna", id="x"), "action-unknown"),
}


@pytest.mark.parametrize("case", ACTIONS)
async def test_an_action_with_one_thing_wrong_is_not_on_the_agenda(board: Board, case: str) -> None:
    action, kind = ACTIONS[case]
    with pytest.raises(Outcome) as caught:
        await board.write_action(action, "Anna")
    assert caught.value.kind == kind
    assert await board.actions() == ()
