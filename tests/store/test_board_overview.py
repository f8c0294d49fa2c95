"""The overview: kept in memory until something or time changes it, also by another process."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from dataclasses import replace
from datetime import datetime, timedelta

import asyncpg
import pytest
from tests.standings import DAY, HOSPITAL, PRACTICE, SMALL, TERMS, finding, item, roadmap, run, step

from schakel.kernel.clock import AMSTERDAM, now
from schakel.kernel.outcomes import Conflict, Invalid
from schakel.roadmap import reading
from schakel.roadmap.board import Action, Board, Overview, Statement
from schakel.roadmap.model import Text
from schakel.roadmap.reading import shipped

FOUND = [(HOSPITAL.ura, finding(check)) for check in ("tls", "certificate", "log-seals")]


def state(overview: Overview, item: str, ura: str = HOSPITAL.ura) -> str:
    cell = overview.cell(ura, item)
    assert cell is not None
    return cell.state


async def test_an_empty_board_has_the_roadmap_that_comes_with_the_program(board_pool: asyncpg.Pool) -> None:
    overview = await Board(board_pool, 1_000_001).overview()
    assert overview.roadmap == shipped()
    assert (overview.members, overview.cells, overview.last_run) == ((), {}, None)


async def test_everybody_stands_somewhere_on_every_item(board: Board) -> None:
    await board.add(run(*FOUND, at=now()))
    overview = await board.overview()
    assert [one.item.id for one in overview.of_member(HOSPITAL.ura)] == ["GF-1", "GF-2"]
    assert [one.ura for one in overview.of_item("GF-2")] == [PRACTICE.ura, HOSPITAL.ura]
    assert (state(overview, "GF-1"), state(overview, "GF-2")) == ("partly", "proved")
    assert (state(overview, "GF-1", PRACTICE.ura), state(overview, "GF-2", PRACTICE.ura)) == (
        "not-declared",
        "not-named",
    )
    assert overview.member(HOSPITAL.ura) == HOSPITAL
    assert overview.member("90000009") is None
    assert overview.cell("90000009", "GF-1") is None
    assert overview.of_item("none") == overview.of_member("90000009") == ()


async def test_the_overview_is_kept_until_the_board_changes(board: Board, board_pool: asyncpg.Pool) -> None:
    await board.add(run(*FOUND, at=now(), id="one"))
    first = await board.overview()
    assert await board.overview() is first
    other = Board(board_pool, board._tenant, terms=TERMS)
    await other.add(run((HOSPITAL.ura, finding("log-seals", "fails")), at=now(), id="two"))
    second = await board.overview()
    assert second.revision > first.revision
    assert (state(first, "GF-2"), state(second, "GF-2")) == ("proved", "fails")


async def _add(board: Board) -> None:
    await board.add(run(at=now(), id="more"))


async def _declare(board: Board) -> None:
    today = now().astimezone(AMSTERDAM).date()
    await board.declare(
        Statement(HOSPITAL.ura, "GF-1.S2", "not-done", "the board", today, today, "later"), "Anna"
    )


async def _import(board: Board) -> None:
    await board.import_roadmap(reading.dump(roadmap(*SMALL.items, version="2")), "programme")


@pytest.mark.parametrize("change", [_add, _declare, _import])
async def test_every_change_of_where_people_stand_is_seen_at_once(
    board: Board, change: Callable[[Board], Awaitable[None]]
) -> None:
    await board.add(run(at=now() - DAY))
    first = await board.overview()
    await change(board)
    assert await board.overview() is not first


async def test_what_grows_old_is_stale_without_any_change(
    board: Board, monkeypatch: pytest.MonkeyPatch
) -> None:
    await board.add(run(*FOUND, at=now()))
    first = await board.overview()
    assert state(first, "GF-2") == "proved"
    later = now() + TERMS["log-seals"]

    def clock() -> datetime:
        return later

    monkeypatch.setattr("schakel.roadmap.board.board.now", clock)
    second = await board.overview()
    assert second.revision == first.revision
    assert state(second, "GF-2") == "stale"
    assert state(second, "GF-1") == "partly"


async def test_what_ends_at_a_known_moment_is_stale_from_then_on(
    board: Board, monkeypatch: pytest.MonkeyPatch
) -> None:
    end = now() + timedelta(hours=1)
    await board.add(run((HOSPITAL.ura, finding("log-seals", until=end)), at=now()))
    assert state(await board.overview(), "GF-2") == "proved"
    monkeypatch.setattr("schakel.roadmap.board.board.now", lambda: end)
    assert state(await board.overview(), "GF-2") == "stale"


# -- versions ----------------------------------------------------------------------------------------------------------


async def test_the_version_that_was_imported_last_is_in_force(board: Board, board_pool: asyncpg.Pool) -> None:
    newer = roadmap(SMALL.items[0], item("GF-3", step("GF-3.S1")), version="2")
    changes = await board.import_roadmap(reading.dump(newer), "Anna")
    assert (changes.version, changes.before) == ("2", "1")
    assert {(one.kind, one.item) for one in changes.differences} >= {("added", "GF-3"), ("gone", "GF-2")}
    assert await board.roadmap() == newer
    assert (await Board(board_pool, board._tenant).roadmap()) == newer
    assert [(one.version, one.by) for one in await board.versions()] == [("2", "Anna"), ("1", "programme")]


async def test_a_version_that_was_imported_is_read_whatever_the_bounds_are_now(
    board: Board, board_pool: asyncpg.Pool
) -> None:
    await board.add(run(at=now() - DAY))
    await board.import_roadmap(reading.dump(replace(SMALL, version="next")), "programme")
    strict = Board(board_pool, board._tenant, terms=TERMS, file=reading.RoadmapLimits(100, 1, 10))
    assert (await strict.overview()).roadmap.version == "next"
    # The other way round: larger than what is allowed by itself, and allowed by the settings of this board.
    item = replace(SMALL.items[0], plain=Text("n" * 3000, "e" * 3000))
    large = reading.dump(replace(SMALL, version="large", items=(item, *SMALL.items[1:])))
    wide = Board(board_pool, board._tenant, terms=TERMS, file=reading.RoadmapLimits(characters=5000))
    await wide.import_roadmap(large, "programme")
    assert (await wide.overview()).roadmap.version == "large"
    assert next(one.version for one, _ in await wide.version_changes()) == "large"


async def test_the_same_version_again_changes_nothing_and_its_name_is_taken(board: Board) -> None:
    assert (await board.import_roadmap(reading.dump(SMALL), "Anna")).differences == ()
    with pytest.raises(Conflict) as caught:
        await board.import_roadmap(reading.dump(roadmap(SMALL.items[0])), "Anna")
    assert caught.value.kind == "version-taken"
    await board.import_roadmap(reading.dump(roadmap(SMALL.items[0], version="2")), "Anna")
    with pytest.raises(Conflict):
        await board.import_roadmap(reading.dump(SMALL), "Anna")
    assert len(await board.versions()) == 2


async def test_a_file_that_is_no_roadmap_changes_nothing(board: Board) -> None:
    with pytest.raises(Invalid):
        await board.import_roadmap(b'{"version": "9"}', "Anna")
    assert [one.version for one in await board.versions()] == ["1"]


# -- the work agenda ---------------------------------------------------------------------------------------------------


async def test_an_action_keeps_all_that_it_has_been(board: Board) -> None:
    today = now().date()
    made = await board.write_action(
        Action("GF-1", "Sign the contract", "Anna", step="GF-1.S2", ura=HOSPITAL.ura, due=today), "Anna"
    )
    assert (made.change, made.progress, made.changed_by) == (1, "planned", "Anna")
    done = await board.write_action(replace(made, progress="done", note="two\nlines"), "Bert")
    assert await board.actions() == (done,)
    assert [(one.progress, one.changed_by) for one in await board.action_history(made.id)] == [
        ("done", "Bert"),
        ("planned", "Anna"),
    ]
    with pytest.raises(Conflict) as caught:
        await board.write_action(replace(made, progress="dropped"), "Carla")
    assert caught.value.kind == "action-changed"


async def test_what_is_due_first_stands_first(board: Board) -> None:
    today = now().date()
    for title, due in (("never", None), ("late", today + DAY), ("soon", today)):
        await board.write_action(Action("GF-1", title, "Anna", due=due), "Anna")
    assert [one.title for one in await board.actions()] == ["soon", "late", "never"]
