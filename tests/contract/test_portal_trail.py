"""Who did what on the board and who logged in, through the doors of a running node: written in the same breath, read by
the programme alone, and forgotten after its term."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from dataclasses import replace
from datetime import timedelta
from typing import Any

import asyncpg
import httpx
import pytest
import pytest_asyncio
from tests.boards import MEMBERS, filled
from tests.nodes import MakeDatabase, databases
from tests.staff import OWN, Member, Region, portal_node
from tests.standings import finding, run

from schakel.kernel.clock import AMSTERDAM, now
from schakel.kernel.outcomes import Conflict
from schakel.roadmap import reading, wire
from schakel.roadmap.board import Action, Board, Deed, Statement
from schakel.roadmap.reading import shipped
from schakel.store.embedded import EmbeddedServer

LONG = "Jo " + "x" * 252
"""As long a name as there may be."""
PEOPLE: dict[str, dict[str, Any]] = {
    "programme": {"roles": ["programme"]},
    "declarer": {"roles": ["declarer", "reader"], "organisations": [MEMBERS[0].ura]},
    "s" * 255: {"roles": ["declarer"], "organisations": [MEMBERS[0].ura]},
}
ROADMAP = {"roadmap": {"region": "Regio Test", "keepers": ["a"]}}
TODAY = now().astimezone(AMSTERDAM).date()
STEP = next(step.id for item in shipped().items for step in item.steps if not step.checks)
CELL = f"/items/{STEP.partition('.')[0]}/{MEMBERS[0].ura}"
DECLARED = {
    "action": "declare",
    "step": STEP,
    "claim": "done",
    "document": "plan.pdf",
    "owner": "A. de Boer",
    "on": TODAY.isoformat(),
    "until": TODAY.isoformat(),
}


@pytest_asyncio.fixture(loop_scope="session")
async def region(make_database: MakeDatabase) -> AsyncIterator[Region]:
    names = {"s" * 255: LONG}
    async with portal_node(
        make_database, people=PEOPLE, names=names, node_settings=ROADMAP, public=True
    ) as found:
        await board_of(found).add(run(at=now(), members=MEMBERS, region="Regio Test"))
        yield found


def board_of(region: Region) -> Board:
    assert region.node.node.board is not None
    return region.node.node.board


async def sent(member: Member, path: str, data: dict[str, str]) -> httpx.Response:
    answer = await member.http.post(
        f"{member.region.portal}{path}", data={**data, "csrf": await member.token()}
    )
    assert answer.status_code == 303, answer.text
    return answer


async def rows(member: Member, path: str = "/trail") -> list[list[str]]:
    """The words of the rows of the page."""
    page = await member.page(path)
    assert page.response.status_code == 200
    return [
        [" ".join(cell.text_content().split()) for cell in row.xpath("./th|./td")]
        for row in page.tree.xpath("//table/tbody/tr")
    ]


async def test_everything_that_people_do_is_on_the_page_with_who_and_at_which_organisation(
    region: Region,
) -> None:
    async with Member(region, "declarer") as declarer, Member(region, "programme") as manager:
        await declarer.log_in()
        await manager.log_in()
        await sent(declarer, CELL, DECLARED)
        [said] = await board_of(region).declarations()
        await sent(manager, CELL, {"action": "confirm", "declaration": said.id})
        await sent(manager, CELL, {"action": "withdraw", "declaration": said.id})
        scan = f"organisation;step;claim;owner;date;until;document\n{MEMBERS[0].ura};{STEP};done;A;{TODAY};{TODAY};plan"
        await sent(declarer, "/scans", {"action": "import", "scan": scan})
        action = {
            "title": "Beleid schrijven",
            "owner": "W",
            "step": STEP.partition(".")[0],
            "progress": "planned",
        }
        await sent(manager, "/agenda/new", {**action, "change": "0"})
        found = await rows(manager)
    name = MEMBERS[0].name
    assert [row[1:] for row in found] == [
        ["Jo programme programme", "Wrote or changed an action", "–", "Beleid schrijven"],
        ["Jo declarer declarer", "Imported a self-scan", name, "1 declaration"],
        ["Jo programme programme", "Withdrew a declaration", name, STEP],
        ["Jo programme programme", "Confirmed as second reader", name, STEP],
        ["Jo declarer declarer", "Declared", name, STEP],
        ["Jo programme programme", "Logged in", "–", "–"],
        ["Jo declarer declarer", "Logged in", "–", "–"],
        ["tester", "Brought a measurement", "–", "run-1 (0 findings)"],
    ]


async def test_what_an_organisation_brings_at_its_own_door_is_there_by_its_name(region: Region) -> None:
    organisation = region.node["a"]
    one = replace(
        run((OWN, finding()), at=now(), id="own-run", region="Regio Test"),
        members=(replace(MEMBERS[0], ura=OWN),),
    )
    roadmap = reading.dump(replace(shipped(), version="next"))
    door = f"{organisation.internal_root}/a/roadmap"
    for _ in range(2):  # Sent twice, it counts once.
        answer = await organisation.internal.post(f"{door}/runs?about=self", content=wire.dump(one))
        assert answer.status_code in (200, 201), answer.text
        assert (await organisation.internal.post(f"{door}/versions", content=roadmap)).status_code == 200
    async with Member(region, "programme") as manager:
        await manager.log_in()
        found = await rows(manager)
        links = (await manager.page("/trail")).tree.xpath("//table//a/@href")
        for link in links:
            assert (await manager.page(link.removeprefix("/portal"))).response.status_code == 200
    assert [row[2:] for row in found[1:3]] == [
        ["Brought a roadmap in force", "–", "next"],
        ["Brought a measurement", MEMBERS[0].name, "own-run (1 finding)"],
    ]
    assert len(found) == 4 and found[1][1] == found[2][1] != ""
    assert "/portal/runs/own-run" in links and "/portal/versions" in links


@pytest.mark.parametrize("who", ["declarer", "nobody"])
async def test_nobody_else_reads_it_or_is_shown_the_way(region: Region, who: str) -> None:
    async with Member(region, who) as member:
        if who != "nobody":
            await member.log_in()
        answer = await member.http.get(f"{region.portal}/trail", headers={"Accept": "application/json"})
        assert answer.status_code == (403 if who != "nobody" else 401)
        assert "/portal/trail" not in (await member.page("/")).tree.xpath("//nav//a/@href")
    async with Member(region, "programme") as manager:
        await manager.log_in()
        assert "/portal/trail" in (await manager.page("/")).tree.xpath("//nav//a/@href")


async def test_who_does_not_get_in_leaves_no_trace_and_who_has_a_long_name_may_do_all(region: Region) -> None:
    async with Member(region, "nobody") as stranger:
        await stranger.log_in()
        assert stranger.kept() == []
    async with Member(region, "s" * 255) as long:
        await long.log_in()
        await sent(long, CELL, DECLARED)
    found = await board_of(region).trail()
    assert [(one.name, one.account, one.deed.what) for one in found[:2]] == [
        (LONG, "s" * 255, "declaration"),
        (LONG, "s" * 255, "login"),
    ]
    assert "nobody" not in {one.account for one in found}


async def test_a_login_that_cannot_be_written_down_is_none(
    region: Region, monkeypatch: pytest.MonkeyPatch
) -> None:
    async def broken(*_arguments: object) -> None:
        raise ConnectionResetError

    monkeypatch.setattr("schakel.roadmap.board.trail.write", broken)
    async with Member(region, "programme") as manager:
        page = await manager.log_in()
        assert page.response.status_code == 503 and manager.kept() == []


async def test_it_is_read_page_by_page(region: Region) -> None:
    board = board_of(region)
    for number in range(150):
        await board.logged_in(f"Person {number:03}", f"p{number}")
    async with Member(region, "programme") as manager:
        await manager.log_in()
        first = await rows(manager)
        page = await manager.page("/trail")
        [further] = page.tree.xpath("//a[contains(@href, '/trail?before=')]/@href")
        second = await rows(manager, further.removeprefix("/portal"))
        assert (len(first), len(second)) == (100, 52)
        names = [row[1].rpartition(" ")[0] for row in (*first, *second)]
        assert names[1:151] == [f"Person {number:03}" for number in reversed(range(150))]
        for odd in ("x", "-1", "9" * 30, str(2**63), "²"):
            assert len(await rows(manager, f"/trail?before={odd}")) == 100
        end = await manager.page("/trail?before=0")
        assert "Nothing was done before that." in end.text


# -- the board ---------------------------------------------------------------------------------------------------------


@pytest_asyncio.fixture(scope="module", loop_scope="session")
async def measured(cluster: EmbeddedServer) -> AsyncIterator[Region]:
    async with (
        databases(cluster, "portal_trail") as make,
        portal_node(make, node_settings=ROADMAP) as found,
    ):
        await filled(board_of(found))
        yield found


async def test_what_was_refused_is_not_there_and_a_file_is_one_row_for_each_organisation(
    measured: Region,
) -> None:
    board = board_of(measured)
    steps = [step.id for item in shipped().items for step in item.steps if not step.checks][:3]
    before = await board.trail(most=1)
    statements = [
        Statement(member.ura, step, "done", "owner", TODAY, TODAY, document="plan")
        for member in MEMBERS[:2]
        for step in steps
    ]
    made = await board.declare_all(statements, "Anna", "a1", from_file=True)
    await board.confirm(made[0].id, "Bert", "b1")
    with pytest.raises(Conflict):
        await board.confirm(made[0].id, "Carla", "c1")
    action = await board.write_action(Action(shipped().items[0].id, "x", "y"), "Anna", "a1")
    with pytest.raises(Conflict):
        await board.write_action(replace(action, change=7), "Carla", "c1")
    found = [one for one in await board.trail() if not before or one.number > before[0].number]
    assert [(one.name, one.account, one.deed) for one in reversed(found)] == [
        ("Anna", "a1", Deed("import", MEMBERS[0].ura, times=3)),
        ("Anna", "a1", Deed("import", MEMBERS[1].ura, times=3)),
        ("Bert", "b1", Deed("confirmation", made[0].ura, made[0].step)),
        ("Anna", "a1", Deed("action", "", action.id)),
    ]


async def test_it_is_forgotten_after_its_term_and_never_changed(measured: Region) -> None:
    board, pool = board_of(measured), measured.node.node.pool
    await board.logged_in("Old", "old")
    short = Board(pool, board._tenant, trail_kept=timedelta(milliseconds=1))
    await asyncio.sleep(0.05)
    assert await short.trail() == ()
    await short.logged_in("New", "new")
    assert [one.account for one in await board.trail()] == ["new"]
    async with pool.acquire() as connection:
        with pytest.raises(asyncpg.RaiseError, match="added to and never changed"):
            await connection.execute("UPDATE roadmap_trail SET name = 'Other'")


async def test_a_neighbour_sees_nothing_of_it(measured: Region) -> None:
    board = board_of(measured)
    await board.logged_in("Jo", "jo")
    neighbour = Board(measured.node.node.pool, board._tenant + 100_000)
    assert await board.trail() and await neighbour.trail() == ()
