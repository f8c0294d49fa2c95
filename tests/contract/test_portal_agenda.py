"""The work agenda through the front door of a running node: read by everybody, written by who runs the programme, with
what is wrong told at the field and nothing lost of what was typed."""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import AsyncExitStack
from dataclasses import dataclass
from datetime import timedelta
from typing import Any

import pytest
import pytest_asyncio
from tests.medmij import Page
from tests.nodes import databases
from tests.staff import OTHER, OWN, Member, Region, portal_node

from schakel.kernel.clock import AMSTERDAM, new_id, now
from schakel.roadmap.board import Action, Board
from schakel.roadmap.evidence import Finding, Measured, Run
from schakel.roadmap.evidence import Member as Organisation
from schakel.roadmap.model import Text
from schakel.store.embedded import EmbeddedServer

ROADMAP = {"roadmap": {"region": "Regio Test", "keepers": ["a"]}}
TODAY = now().astimezone(AMSTERDAM).date()
DAY = timedelta(days=1)
MEMBERS = (Organisation(OWN, "Ziekenhuis A", "MSZ"), Organisation(OTHER, "Praktijk B", "HA"))


@dataclass(frozen=True)
class Place:
    """A region whose board has two organisations, with the programme manager logged in, and somebody who is not."""

    region: Region
    manager: Member
    nobody: Member

    @property
    def board(self) -> Board:
        board = self.region.node.node.board
        assert board is not None
        return board


@pytest_asyncio.fixture(scope="module", loop_scope="session")
async def place(cluster: EmbeddedServer) -> AsyncIterator[Place]:
    async with AsyncExitStack() as stack:
        make = await stack.enter_async_context(databases(cluster, "portal_agenda"))
        region = await stack.enter_async_context(portal_node(make, node_settings=ROADMAP, public=True))
        manager = await stack.enter_async_context(Member(region, "programme"))
        nobody = await stack.enter_async_context(Member(region, "nobody is logged in"))
        await manager.log_in("/portal/about")
        found = Place(region, manager, nobody)
        for days, verdict in ((40, "fails"), (1, "holds")):
            await found.board.add(run(days, verdict))
        yield found


def run(days: int, verdict: Any) -> Run:
    """A measurement so many days ago, in which one check found this at the first organisation."""
    at = now() - days * DAY
    said = Text("Dat bleek.", "So it was found.")
    measured = (Measured(OWN, Finding("tls", verdict, said), at),)
    return Run(new_id(), "Regio Test", "iza-2025-06", "tester", at - DAY / 100, at, MEMBERS, measured)


def path_of(page: Page) -> str:
    """Where a page stands below /portal."""
    return str(page.response.url.path).partition("/portal")[2]


def told(page: Page) -> dict[str, str]:
    """What the page says to be wrong, by the id of the field that it stands at."""
    found = {}
    for one in page.tree.xpath("//p[@class='error']"):
        place = one.get("id").removesuffix("-error")
        [at] = page.tree.xpath(f"//*[@id='{place}']")
        assert at.get("aria-invalid") == "true" and one.get("id") in at.get("aria-describedby").split()
        assert page.tree.xpath(f"//*[@role='alert']//a[@href='#{place}']")
        found[place] = one.text_content().strip()
    return found


NEW = {
    "title": "Adresboek vullen",
    "step": "GF-6.S2",
    "ura": OWN,
    "owner": "J. de Boer",
    "starts": (TODAY - 9 * DAY).isoformat(),
    "due": (TODAY - 2 * DAY).isoformat(),
    "progress": "running",
    "note": "Met de leverancier.",
}


async def added(place: Place, **changes: str) -> Page:
    page = await place.manager.page("/agenda/new")
    return await place.manager.submit(page, "/agenda/new", **{**NEW, **changes})


async def test_an_action_that_is_added_is_on_the_agenda_and_is_late_by_its_date(place: Place) -> None:
    page = await added(place, title="Wordt gelezen")
    assert page.response.status_code == 200 and "Wordt gelezen" in page.text and "2 days late" in page.text
    [action] = [one for one in await place.board.actions() if one.title == "Wordt gelezen"]
    assert (action.item, action.step, action.ura, action.owner) == ("GF-6", "GF-6.S2", OWN, "J. de Boer")
    assert (action.starts, action.due, action.progress) == (TODAY - 9 * DAY, TODAY - 2 * DAY, "running")
    assert action.changed_by == "Jo programme" and action.note == "Met de leverancier."
    shown = (await place.nobody.page("/agenda")).text
    assert "Wordt gelezen" in shown and "2 days late" in shown and "Ziekenhuis A" in shown


async def test_a_change_keeps_what_was_before(place: Place) -> None:
    page = await added(place, title="Eerst zo")
    action = path_of(page)
    later = (TODAY + 30 * DAY).isoformat()
    page = await place.manager.submit(page, action, title="Nu zo", due=later, progress="done", owner="")
    assert "Eerst zo" in page.text and page.tree.xpath("//h1")[0].text == "Nu zo"
    past = await place.board.action_history(action.rpartition("/")[2])
    assert [(one.title, one.progress, one.owner) for one in past] == [
        ("Nu zo", "done", ""),
        ("Eerst zo", "running", "J. de Boer"),
    ]
    assert "late" not in page.text.replace("the late", "")


async def test_who_saves_what_another_changed_meanwhile_gets_the_form_back(place: Place) -> None:
    page = await added(place, title="Samen")
    action = path_of(page)
    await place.manager.submit(page, action, note="de eerste")
    again = await place.manager.submit(page, action, note="de tweede")
    assert again.response.status_code == 409 and "Someone else changed this action" in again.text
    [note] = again.tree.xpath("//textarea[@name='note']")
    assert note.text.strip() == "de tweede"
    saved = await place.manager.submit(again, action)
    assert saved.response.status_code == 200
    past = await place.board.action_history(action.rpartition("/")[2])
    assert [one.note for one in past] == ["de tweede", "de eerste", NEW["note"]]


@pytest.mark.parametrize(
    ("field", "value", "said"),
    [
        ("title", " ", "Fill this in."),
        ("title", "x" * 201, "This text is too long."),
        ("step", "", "The roadmap has no such item."),
        ("step", "GF-6.S99", "The roadmap has no such step."),
        ("ura", "90000009", "This organisation is not on the board of the region."),
        ("starts", "gisteren", "This is no day. Write it as 2026-01-31."),
        ("due", (TODAY - 30 * DAY).isoformat(), "The end lies before the beginning."),
        ("progress", "stuck", "Choose one of the four."),
        ("note", "x" * 2001, "This text is too long."),
    ],
)
async def test_one_thing_wrong_is_told_at_its_field_and_nothing_is_written(
    place: Place, field: str, value: str, said: str
) -> None:
    before = await place.board.actions()
    page = await added(place, **{field: value})
    assert page.response.status_code == 400 and told(page) == {field: said}
    assert await place.board.actions() == before
    for name in ("title", "owner", "starts", "due"):
        [kept] = page.tree.xpath(f"//main//input[@name='{name}']/@value")
        assert kept == (value if name == field else NEW[name])
    right = await place.manager.submit(page, "/agenda/new", **{field: NEW[field]})
    assert right.response.status_code == 200 and len(await place.board.actions()) == len(before) + 1


@pytest.mark.parametrize("path", ["/agenda/1999", "/agenda/20x6", "/agenda/２０２６", "/agenda/actions/x"])
async def test_what_is_no_year_and_no_action_is_no_page(place: Place, path: str) -> None:
    assert (await place.nobody.page(path)).response.status_code == 404


async def test_who_only_reads_is_shown_no_form(place: Place) -> None:
    page = await added(place, title="Alleen lezen")
    action = path_of(page)
    assert not (await place.nobody.page(action)).tree.xpath("//main//form")
    assert not (await place.nobody.page("/agenda")).tree.xpath("//a[contains(@href, '/agenda/new')]")
    answer = await place.nobody.http.post(f"{place.region.portal}{action}", data={**NEW, "csrf": ""})
    assert answer.status_code == 401


async def test_the_agenda_is_narrowed_by_what_is_chosen_and_says_what_is_no_choice(place: Place) -> None:
    await added(place, title="Voor B", ura=OTHER, owner="", progress="planned")
    page = await place.nobody.page(
        f"/agenda?organisation={OTHER}&owner=-&progress=planned&item=GF-6&item=nope"
    )
    shown = [one.text_content() for one in page.tree.xpath("//table//tbody//th/a")]
    assert shown == ["Voor B"] and "item: nope" in page.text
    for name, value in (("organisation", OWN), ("owner", "J. de Boer"), ("progress", "done")):
        other = await place.nobody.page(f"/agenda?{name}={value}")
        assert "Voor B" not in [one.text_content() for one in other.tree.xpath("//table//tbody//th/a")]


async def test_the_plan_of_a_year_has_what_is_due_on_its_ground_and_what_has_no_action(place: Place) -> None:
    await place.board.write_action(
        Action("WEG-1", "BgZ invoeren", "J. de Boer", starts=TODAY.replace(2026, 11, 2), due=None), "tester"
    )
    page = await place.nobody.page("/agenda/2027")
    roadmap = await place.board.roadmap()
    due = {
        item.id
        for item in roadmap.items
        for one in item.dates
        if one.certainty != "done"
        and one.legal != "advice"
        and (day := one.last or one.first)
        and day.year == 2027
    }
    tables = "//table[caption[starts-with(@id, 'due-')]]"
    links = set(page.tree.xpath(f"{tables}//tbody//th/a/@href"))
    assert links == {f"/portal/items/{one}" for one in due} and due
    [row] = page.tree.xpath(f"{tables}//tr[th/a[@href='/portal/items/WEG-1']]")
    said = " ".join(row.text_content().split())
    assert "law in preparation" in said and "expected" in said and "BgZ invoeren" in said
    unplanned = page.tree.xpath("//section[@aria-labelledby='unplanned-heading']//li/a/@href")
    assert "/portal/items/LDN-2" in unplanned and "/portal/items/WEG-1" not in unplanned
    new = (
        "//section[@aria-labelledby='unplanned-heading']//a[contains(@href, '/agenda/new?step=LDN-2')]/@href"
    )
    assert not page.tree.xpath(new)
    [address, *_] = (await place.manager.page("/agenda/2027")).tree.xpath(new)
    form = await place.manager.page(address.removeprefix("/portal"))
    assert form.tree.xpath("//select[@name='step']//option[@selected]/@value") == ["LDN-2"]
    other = await place.nobody.page("/agenda/2026")
    starts = other.tree.xpath("//table[caption[@id='starts-4']]//tbody//th/a")
    assert "BgZ invoeren" in [one.text_content() for one in starts]


async def test_trends_count_the_last_measurement_of_each_month_and_tell_what_turned(place: Place) -> None:
    page = await place.nobody.page("/trends")
    rows = page.tree.xpath("//table[caption[@id='trend-caption']]//tbody/tr")
    snapshots = await place.board.trend()
    counted = [sum(int(one.text_content().replace(",", "")) for one in row.xpath("./td")) for row in rows]
    runs = {one.run: sum(other.number for other in snapshots if other.run == one.run) for one in snapshots}
    assert len(rows) == 2 and counted == list(runs.values())
    assert "it is not so" in page.text and "it is so" in page.text
    narrow = await place.nobody.page("/trends?sector=HA&theme=GF&sector=nope")
    assert "sector: nope" in narrow.text
    few = narrow.tree.xpath("//table[caption[@id='trend-caption']]//tbody/tr[last()]/td")
    items = [one for one in (await place.board.roadmap()).items if one.category == "GF"]
    assert sum(int(one.text_content()) for one in few) == len(items)


async def test_objectives_show_who_serves_them_and_each_number_with_its_formula(place: Place) -> None:
    page = await place.nobody.page("/objectives")
    roadmap = await place.board.roadmap()
    shown = page.text
    for objective in roadmap.objectives:
        assert objective.title.en in shown
        for ambition in objective.ambitions:
            assert ambition.text.en in shown
    for kpi in roadmap.kpis:
        [section] = page.tree.xpath(f"//section[@aria-labelledby='kpi-{kpi.id}']")
        said = " ".join(section.text_content().split())
        assert kpi.formula.en in said and all(target.whose.en in said for target in kpi.targets)
        linked = bool(section.xpath(".//a[@href='/portal/hybrid']"))
        assert linked == (kpi.id in ("KPI-1", "KPI-2", "KPI-4"))
