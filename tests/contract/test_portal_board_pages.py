"""The pages of the board through the front door of a running node: what they say, in both languages, of a region with a
past; and what they answer to an address that leads nowhere."""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass
from datetime import timedelta
from typing import Any

import httpx
import pytest
import pytest_asyncio
from lxml import html
from tests.boards import DISPUTED, MEMBERS, OWN_ONLY, RUNS, filled, past
from tests.nodes import MakeDatabase, databases, running_node

from schakel.kernel.clock import now
from schakel.roadmap.board import Board, Overview
from schakel.roadmap.checks import CHECKS
from schakel.roadmap.evidence import Finding, Measured, Run
from schakel.roadmap.model import Language, Text
from schakel.roadmap.reading import dump, shipped
from schakel.roadmap.words import STATES
from schakel.store.embedded import EmbeddedServer

PAGE = {"Accept": "text/html"}
HOSPITAL = MEMBERS[0]


@dataclass(frozen=True)
class Door:
    """The portal of a node, and its board."""

    board: Board
    http: httpx.AsyncClient

    async def page(self, path: str, language: Language = "nl", status: int = 200) -> tuple[Any, str]:
        """The page at `path` below `/portal`, as a tree and as its words."""
        answer = await self.http.get(path, headers={**PAGE, "Accept-Language": language})
        assert answer.status_code == status, answer.text
        assert answer.headers["content-language"] == language
        tree: Any = html.document_fromstring(answer.text)
        return tree, " ".join(tree.text_content().split())


@pytest_asyncio.fixture(scope="module", loop_scope="session")
async def door(cluster: EmbeddedServer) -> AsyncIterator[Door]:
    """A region with a past. Tests only read here."""
    async with databases(cluster, "board_pages") as make, opened(make) as found:
        await filled(found.board)
        yield found


@pytest_asyncio.fixture(loop_scope="session")
async def fresh(make_database: MakeDatabase) -> AsyncIterator[Door]:
    """A region of which nothing is known yet."""
    async with opened(make_database) as found:
        yield found


@asynccontextmanager
async def opened(make: MakeDatabase) -> AsyncIterator[Door]:
    """A node that keeps a board which everybody may read."""
    settings = {"portal": {"public": True}, "roadmap": {"region": "Regio Noord", "keepers": ["a"]}}
    async with (
        running_node(make, organisations=("a",), **settings) as node,
        httpx.AsyncClient(base_url=f"{node['a'].front_root}/portal", trust_env=False, timeout=60) as http,
    ):
        assert node.node.board is not None
        yield Door(node.node.board, http)


def rows(tree: Any, path: str = "//table[@class='board']") -> list[list[str]]:
    """The words of the cells of a table, row by row."""
    return [
        [" ".join(cell.text_content().split()) for cell in row.xpath("./th|./td")]
        for row in tree.xpath(f"{path}//tr")
    ]


@pytest.mark.parametrize("language", ["nl", "en"])
async def test_the_region_shows_every_item_at_every_organisation_in_words_and_signs(
    door: Door, language: Language
) -> None:
    tree, words = await door.page("/", language)
    overview = await door.board.overview()
    for item in overview.roadmap.items:
        for member in overview.members:
            look = STATES[overview.cells[member.ura, item.id].state]
            [link] = tree.xpath(f"//table[@class='board']//a[@href='/portal/items/{item.id}/{member.ura}']")
            said = " ".join(link.text_content().split())
            assert said == f"{look.sign}{member.name}: {look.word.of(language)}"
            [sign] = link.xpath("./span[@aria-hidden='true']")
            assert sign.text == look.sign
            assert link.getparent().get("class") == f"state-{look.state}"
    for look in STATES.values():  # The legend.
        assert look.meaning.of(language) in words
    assert "schakel roadmap run" in words  # Who measured it.


async def test_a_row_is_headed_by_its_item_and_a_column_by_its_organisation(door: Door) -> None:
    tree, _ = await door.page("/")
    overview = await door.board.overview()
    heads = tree.xpath("//table[@class='board']/thead/tr[2]/th[@scope='col']/a/@href")
    assert sorted(heads) == sorted(f"/portal/organisations/{one.ura}" for one in MEMBERS)
    assert tree.xpath("//table[@class='board']/tbody/tr/th[@scope='row']/a/@href") == [
        f"/portal/items/{item.id}"
        for category in overview.roadmap.categories
        for item in overview.roadmap.items
        if item.category == category.id
    ]
    spans = [int(one) for one in tree.xpath("//table[@class='board']/thead/tr[1]/th/@colspan")]
    assert sum(spans) == len(MEMBERS)


async def test_a_filter_stays_in_the_form_and_narrows_the_table(door: Door) -> None:
    tree, words = await door.page("/?sector=VVT&state=fails")
    assert tree.xpath("//select[@name='sector']/option[@selected]/@value") == ["VVT"]
    assert tree.xpath("//select[@name='state']/option[@selected]/@value") == ["fails"]
    overview = await door.board.overview()
    expected = {
        f"/portal/items/{cell.item.id}/{cell.ura}"
        for cell in overview.cells.values()
        if cell.state == "fails" and getattr(overview.member(cell.ura), "sector", "") == "VVT"
    }
    assert expected
    assert set(tree.xpath("//table[@class='board']//td/a/@href")) == expected
    assert f"{len(expected)} van {len(overview.cells)} vakjes" in words


async def test_a_choice_that_is_none_is_said_and_left_out(door: Door) -> None:
    tree, words = await door.page("/?sector=nowhere&year=<b>&legal=law&page=3")
    assert "Niet gebruikt, omdat deze keuze niet bestaat: sector: nowhere year: <b>" in words
    assert tree.xpath("//select[@name='legal']/option[@selected]/@value") == ["law"]
    assert tree.xpath("//select[@name='sector']/option[@selected]") == []


async def test_the_counts_per_sector_add_up_to_all_cells(door: Door) -> None:
    tree, _ = await door.page("/")
    table = rows(tree, "//table[contains(@class, 'sums')]")
    body, foot = table[1:-1], table[-1]
    for column in range(1, len(foot)):
        assert sum(int(row[column]) for row in body) == int(foot[column])
    assert int(foot[-1]) == len((await door.board.overview()).cells)


@pytest.mark.parametrize("language", ["nl", "en"])
async def test_every_item_and_every_cell_has_its_page(door: Door, language: Language) -> None:
    overview = await door.board.overview()
    for item in overview.roadmap.items:
        tree, words = await door.page(f"/items/{item.id}", language)
        assert " ".join(item.plain.of(language).split()) in words
        for one in (*item.open, *(dated.what for dated in item.dates), *(step.text for step in item.steps)):
            assert " ".join(one.of(language).split()) in words
        found = tree.xpath(f"//a[starts-with(@href, '/portal/items/{item.id}/')]/@href")
        assert {path.rpartition("/")[2] for path in found} == {member.ura for member in MEMBERS}
    item = overview.roadmap.by_id["GF-1"]
    for member in overview.members:
        _, words = await door.page(f"/items/{item.id}/{member.ura}", language)
        cell = overview.cells[member.ura, item.id]
        assert " ".join(cell.reason.of(language).split()) in words


async def test_a_cell_shows_what_each_check_found_and_what_it_found_before(door: Door) -> None:
    overview = await door.board.overview()
    for cell in overview.cells.values():
        found = [one for step in cell.steps for one in step.evidence]
        if len(found) > 0:
            break
    tree, words = await door.page(f"/items/{cell.item.id}/{cell.ura}")
    assert found[0].finding.reason.nl in words
    known = await past(door.board, cell.ura, found[0].finding.check)
    assert len(known) >= RUNS - 1
    assert len(tree.xpath("(//details//table)[1]/tbody/tr")) == len(known)
    assert f"/portal/runs/{found[0].run}" in tree.xpath("//a/@href")


@pytest.mark.parametrize("language", ["nl", "en"])
async def test_a_cell_shows_what_a_keeper_found_and_what_the_organisation_says_otherwise(
    door: Door, language: Language
) -> None:
    cell = (await door.board.overview()).cells[DISPUTED.ura, "LDN-2"]
    [one] = [one for step in cell.steps for one in step.evidence if one.beside is not None]
    assert one.beside is not None and one.beside.own and one.finding.verdict == "fails"
    tree, _ = await door.page(f"/items/LDN-2/{DISPUTED.ura}", language)
    [notice] = tree.xpath("//div[@class='notice'][.//strong[contains(@class, 'verdict')]]")
    words = " ".join(notice.text_content().split())
    own = {"nl": "De organisatie zelf vond iets anders", "en": "The organisation itself found otherwise"}
    assert own[language] in words and one.beside.finding.reason.of(language) in words
    assert DISPUTED.name in words and f"/portal/runs/{one.beside.run}" in notice.xpath(".//a/@href")
    told = (await door.http.get("/export.json")).json()
    [item] = [row for row in told["cells"] if (row["ura"], row["item"]) == (DISPUTED.ura, "LDN-2")]
    [check] = [one for step in item["steps"] for one in step["checks"] if one["beside"]]
    assert (check["verdict"], check["own"]) == ("fails", False)
    assert (check["beside"]["verdict"], check["beside"]["own"]) == ("holds", True)


@pytest.mark.parametrize("language", ["nl", "en"])
async def test_what_an_organisation_measured_by_itself_is_told_as_that_everywhere(
    door: Door, language: Language
) -> None:
    look, ura = STATES["self-measured"], DISPUTED.ura
    cell = (await door.board.overview()).cells[ura, "ET-4"]
    assert cell.state == "self-measured" and cell.steps[0].evidence[0].finding.check == OWN_ONLY
    whose = {"nl": "Door de organisatie zelf gemeten", "en": "Measured by the organisation itself"}[language]
    place = f"/items/ET-4/{ura}"
    tree, words = await door.page(place, language)
    assert look.word.of(language) in words and whose in words
    assert {"nl": "Dit vond de organisatie zelf.", "en": "The organisation found this itself."}[
        language
    ] in words
    tree, words = await door.page("/", language)
    [link] = tree.xpath(f"//td[@class='state-self-measured']/a[@href='/portal{place}']")
    assert link.text_content() == f"{look.sign}{DISPUTED.name}: {look.word.of(language)}"
    assert look.meaning.of(language) in words
    for page in ("/items/ET-4", f"/organisations/{ura}"):
        assert whose in (await door.page(page, language))[1]
    report = (await door.http.get("/export.html", params={"lang": language})).text
    assert whose in report and look.word.of(language) in report
    itself = {"nl": "de organisatie zelf", "en": "the organisation itself"}[language]
    assert f"({DISPUTED.name}), {itself}" in report
    lines = (await door.http.get("/export.csv")).text.replace(";", ",").splitlines()
    [line] = [one for one in lines if one.removeprefix("\ufeff").startswith(ura) and ",ET-4," in one]
    assert ",self-measured," in line and whose in line
    told = (await door.http.get("/export.json")).json()["cells"]
    assert [one["state"] for one in told if (one["ura"], one["item"]) == (ura, "ET-4")] == ["self-measured"]


async def test_an_item_that_is_named_for_other_sectors_says_so_and_can_be_declared_on(door: Door) -> None:
    overview = await door.board.overview()
    unnamed = [cell for cell in overview.cells.values() if cell.state == "not-named"]
    assert unnamed and not any(cell.item.is_for(sector_of(overview, cell.ura)) for cell in unnamed)
    cell = unnamed[0]
    tree, words = await door.page(f"/items/{cell.item.id}/{cell.ura}")
    assert STATES["not-named"].word.nl in words and "deze organisatie is van" in words
    assert len(tree.xpath("//section[@class='step']")) == len(cell.item.steps)


def sector_of(overview: Overview, ura: str) -> str:
    member = overview.member(ura)
    assert member is not None
    return member.sector


async def test_a_cell_shows_its_declarations_those_that_were_withdrawn_too(door: Door) -> None:
    for said in await door.board.declarations():
        item = said.step.partition(".")[0]
        _, words = await door.page(f"/items/{item}/{said.ura}")
        assert said.document in words and said.declared_by in words and said.owner in words
        assert said.seen_by in words if said.seen_by else "nog niet" in words


@pytest.mark.parametrize("language", ["nl", "en"])
async def test_an_organisation_sees_what_is_next_and_every_step(door: Door, language: Language) -> None:
    overview = await door.board.overview()
    for member in overview.members:
        tree, words = await door.page(f"/organisations/{member.ura}", language)
        assert tree.xpath("//h1")[0].text_content() == member.name
        for cell in overview.of_member(member.ura):
            assert " ".join(cell.reason.of(language).split()) in words
            for step in cell.steps:
                assert " ".join(step.reason.of(language).split()) in words


async def test_a_run_says_what_turned_in_it(fresh: Door) -> None:
    first = measured("tls", "holds", Text("Het klopt.", "It holds."), days=2)
    later = measured("tls", "fails", Text("TLS 1.0 mag nog.", "TLS 1.0 is still allowed."), days=1)
    for run in (first, later):
        await fresh.board.add(run)
    _, words = await fresh.page("/")
    assert "TLS 1.0 mag nog." in words and "Controles die iets anders vonden" in words
    _, words = await fresh.page(f"/runs/{later.id}", "en")
    assert CHECKS["tls"].title.en in words and "TLS 1.0 is still allowed." in words
    assert HOSPITAL.name in words and "it is not so" in words
    _, words = await fresh.page(f"/runs/{first.id}", "en")
    assert "1 check was done for the first time." in words and "TLS 1.0" not in words
    _, words = await fresh.page("/runs")
    assert words.count("een programma") == 2


async def test_a_region_of_which_nothing_is_known_says_so(fresh: Door) -> None:
    _, words = await fresh.page("/")
    assert "Deze regio is nog niet gemeten." in words and "nog geen organisaties" in words
    _, words = await fresh.page("/runs")
    assert "Hier is nog niets gemeten." in words
    _, words = await fresh.page("/versions", "en")
    assert "Nothing was imported yet" in words
    _, words = await fresh.page("/items/GF-1")
    assert "Wie is waar" in words


async def test_versions_tell_what_each_changed(fresh: Door) -> None:
    body = dump(shipped())
    second = body.replace(shipped().version.encode(), b"test-2")
    title = shipped().items[0].title
    third = second.replace(b"test-2", b"test-3").replace(
        f'"{title.nl}"'.encode(), f'"{title.nl} en meer"'.encode(), 1
    )
    assert third != second
    await fresh.board.import_roadmap(second, "de programmaleider")
    _, words = await fresh.page("/versions", "en")
    assert "In force: test-2." in words and "Nothing is other than in the version before." in words
    await fresh.board.import_roadmap(third, "de programmaleider")
    _, words = await fresh.page("/versions", "en")
    assert "In force: test-3." in words and f"item {shipped().items[0].id} changed: title" in words
    assert words.index("test-3") < words.rindex("test-2")


@pytest.mark.parametrize(
    ("path", "said"),
    [
        ("/items/XYZ-9", "Dit punt staat niet op de routekaart."),
        ("/items/XYZ-9/90000101", "Dit punt staat niet op de routekaart."),
        ("/items/GF-1/90000999", "Er is in deze regio geen organisatie met dit URA-nummer."),
        ("/organisations/90000999", "Er is in deze regio geen organisatie met dit URA-nummer."),
        ("/organisations/%3Cscript%3E", "Er is in deze regio geen organisatie met dit URA-nummer."),
        ("/runs/none", "Deze meting is er niet in deze regio."),
        ("/runs/%00", "Deze meting is er niet in deze regio."),
    ],
)
async def test_an_address_that_leads_nowhere_says_what_is_not_there(door: Door, path: str, said: str) -> None:
    tree, words = await door.page(path, status=404)
    assert said in words and tree.xpath("//a[@href='/portal/']")
    program = await door.http.get(path, headers={"Accept": "application/json"})
    assert program.status_code == 404
    assert program.headers["content-type"] == "application/problem+json"


async def test_a_broken_query_is_never_a_fault_of_ours(door: Door) -> None:
    for query in ("?sector=%", "?sector=%ff", "?" + "&".join(f"a{n}=1" for n in range(1500)), "?%00=%00"):
        answer = await door.http.get(f"/{query}", headers=PAGE)
        assert answer.status_code < 500, query


def measured(check: str, verdict: str, reason: Text, *, days: int) -> Run:
    """A run of some days ago that found one thing at the hospital."""
    at = now() - timedelta(days=days)
    assert verdict in ("holds", "fails")
    finding = Finding(check, "holds" if verdict == "holds" else "fails", reason)
    return Run(
        id=f"run-{days}",
        region="Regio Noord",
        roadmap=shipped().version,
        by="een programma",
        started=at - timedelta(minutes=1),
        finished=at,
        members=(HOSPITAL,),
        measured=(Measured(HOSPITAL.ura, finding, at),),
    )
