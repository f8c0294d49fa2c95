"""The board written down, through the front door of a running node: each kind, for whom, and made once per change."""

from __future__ import annotations

import asyncio
import csv
import io
import json
import threading
import zipfile
from collections.abc import AsyncIterator
from datetime import timedelta
from typing import Any

import httpx
import pypdf
import pytest
import pytest_asyncio
from lxml import html
from tests.boards import MEMBERS, filled
from tests.contract.test_portal_board_pages import Door, opened
from tests.nodes import MakeDatabase, databases, running_node

from schakel.http.portal import export
from schakel.kernel.clock import now
from schakel.roadmap.evidence import Finding, Measured, Run
from schakel.roadmap.model import Language, Text
from schakel.roadmap.report import MEDIA, Kind, Source, make
from schakel.roadmap.words import STATES
from schakel.store.embedded import EmbeddedServer


@pytest_asyncio.fixture(scope="module", loop_scope="session")
async def door(cluster: EmbeddedServer) -> AsyncIterator[Door]:
    """A region with a past."""
    async with databases(cluster, "portal_export") as make_database, opened(make_database) as found:
        await filled(found.board)
        yield found


async def sent(door: Door, form: str, language: Language = "nl") -> httpx.Response:
    """The report of this form."""
    answer = await door.http.get(f"/export.{form}", headers={"Accept-Language": language})
    assert answer.status_code == 200, answer.text
    return answer


@pytest.mark.parametrize("kind", MEDIA)
async def test_each_kind_is_sent_as_a_file_that_a_browser_keeps_and_does_not_run(
    door: Door, kind: Kind
) -> None:
    answer = await sent(door, kind)
    assert answer.headers["content-type"] == MEDIA[kind]
    name = answer.headers["content-disposition"]
    assert name.startswith('attachment; filename="roadmap-20') and name.endswith(f'.{kind}"')
    assert answer.headers["x-content-type-options"] == "nosniff"
    assert answer.headers["cache-control"] == "no-store"
    assert "sandbox" in answer.headers["content-security-policy"]


async def test_each_kind_says_where_the_region_stands(door: Door) -> None:
    overview = await door.board.overview()
    page = html.document_fromstring((await sent(door, "html")).text)
    assert page.findtext(".//title") == "Regio Noord: waar de regio staat met de routekaart"
    names = {str(one.text) for one in page.iter("h3")}
    assert {member.name for member in MEMBERS} <= names
    paper = pypdf.PdfReader(io.BytesIO((await sent(door, "pdf")).content))
    assert paper.metadata is not None and paper.metadata.title == page.findtext(".//title")
    with zipfile.ZipFile(io.BytesIO((await sent(door, "xlsx")).content)) as book:
        shared = book.read("xl/sharedStrings.xml").decode()
    assert all(member.name in shared for member in MEMBERS)
    table = (await sent(door, "csv")).content.decode("utf-8-sig")
    rows = list(csv.reader(io.StringIO(table, newline=""), delimiter=";"))
    assert len(rows) == 1 + len(overview.cells)
    told = json.loads((await sent(door, "json")).content)
    assert told["region"] == "Regio Noord" and told["revision"] == overview.revision
    assert len(told["cells"]) == len(overview.cells)


async def test_a_report_is_in_the_language_that_was_chosen(door: Door) -> None:
    for language in ("nl", "en"):
        answer = await door.http.get("/export.html", params={"lang": language})
        assert answer.headers["content-language"] == language
        assert html.document_fromstring(answer.text).get("lang") == language


async def test_the_page_of_the_region_leads_to_each_kind(door: Door) -> None:
    tree, _ = await door.page("/")
    links = {one for one in tree.xpath("//a/@href") if "/export." in one}
    assert links == {f"/portal/export.{kind}" for kind in MEDIA}


@pytest.mark.parametrize("form", ["docx", "HTML", "html.exe", "csv2"])
async def test_there_is_no_other_kind(door: Door, form: str) -> None:
    answer = await door.http.get(f"/export.{form}", headers={"Accept": "application/json"})
    assert answer.status_code == 404 and answer.json()["code"] == "page-unknown"


FILTERS = {"sector": "VVT", "state": "fails"}


async def test_a_report_has_what_the_page_shows_with_the_same_filters(door: Door) -> None:
    tree, _ = await door.page("/?sector=VVT&state=fails&page=3")
    links = {one for one in tree.xpath("//a/@href") if "/export." in one}
    assert links == {f"/portal/export.{kind}?sector=VVT&state=fails" for kind in MEDIA}
    shown = {tuple(one.split("/")[-2:]) for one in tree.xpath("//table[@class='board']//td/a/@href")}
    answers = {kind: await door.http.get(f"/export.{kind}", params=FILTERS) for kind in MEDIA}
    told = json.loads(answers["json"].content)
    assert told["narrowed"] == FILTERS
    assert {(cell["item"], cell["ura"]) for cell in told["cells"]} == shown
    rows = list(csv.DictReader(io.StringIO(answers["csv"].content.decode("utf-8-sig")), delimiter=";"))
    assert {(row["item"], row["ura"]) for row in rows} == shown
    page: Any = html.document_fromstring(answers["html"].text)
    [table] = page.xpath("//table[@class='board']")
    marks = table.xpath("./tbody//td/span")
    assert len(marks) == len(shown) and {one.get("class") for one in marks} == {"mark fails"}
    overview = await door.board.overview()
    words = " ".join(page.text_content().split())
    others = [one for one in MEMBERS if one.sector != "VVT"]
    assert others and not any(one.name in words for one in others)
    said = f"sector: {overview.roadmap.sectors['VVT'].nl}; stand: {STATES['fails'].word.nl}"
    assert said in words
    paper = pypdf.PdfReader(io.BytesIO(answers["pdf"].content))
    told_on_paper = " ".join(" ".join(one.extract_text() for one in paper.pages).split())
    assert said in told_on_paper and not any(one.name in told_on_paper for one in others)
    with zipfile.ZipFile(io.BytesIO(answers["xlsx"].content)) as book:
        shared = book.read("xl/sharedStrings.xml").decode()
    assert not any(one.ura in shared for one in others)
    whole = json.loads((await sent(door, "json")).content)
    assert whole["narrowed"] == {} and len(whole["cells"]) == len(overview.cells)


@pytest.mark.parametrize(
    "query", ["?theme=GF", "?year=none", "?legal=law", "?state=proved&theme=GF", "?year=2027"]
)
async def test_every_filter_narrows_a_report_as_it_narrows_the_page(door: Door, query: str) -> None:
    tree, _ = await door.page(f"/{query}")
    shown = {tuple(one.split("/")[-2:]) for one in tree.xpath("//table[@class='board']//td/a/@href")}
    told = (await door.http.get(f"/export.json{query}")).json()
    assert {(cell["item"], cell["ura"]) for cell in told["cells"]} == shown
    assert (await door.http.get(f"/export.html{query}")).status_code == 200


async def test_a_filter_that_is_no_choice_makes_no_report(door: Door) -> None:
    answer = await door.http.get("/export.json?sector=nowhere", headers={"Accept": "application/json"})
    assert answer.status_code == 400 and answer.json()["code"] == "filter-unknown"


async def test_no_more_requests_wait_for_a_report_than_a_few(
    make_database: MakeDatabase, monkeypatch: pytest.MonkeyPatch
) -> None:
    held = threading.Event()

    def slow(kind: Kind, source: Source, language: Language) -> bytes:
        assert held.wait(60)
        return make(kind, source, language)

    monkeypatch.setattr(export, "make", slow)
    async with opened(make_database) as fresh:
        asked = [asyncio.create_task(fresh.http.get("/export.html")) for _ in range(12)]
        done, _ = await asyncio.wait(asked, return_when=asyncio.FIRST_COMPLETED)
        held.set()
        answers = [await one for one in asked]
        assert {one.result().status_code for one in done} == {503}
        assert sorted(one.status_code for one in answers) == [200] * 8 + [503] * 4


async def test_a_report_is_made_once_for_all_who_ask_until_the_board_changes(
    make_database: MakeDatabase, monkeypatch: pytest.MonkeyPatch
) -> None:
    made: list[tuple[Kind, Language, int]] = []

    def counted(kind: Kind, source: Source, language: Language) -> bytes:
        made.append((kind, language, len(source.evidence)))
        return make(kind, source, language)

    monkeypatch.setattr(export, "make", counted)
    async with opened(make_database) as fresh:
        await asyncio.gather(*(sent(fresh, "json", language) for language in ("nl", "en", "nl")))
        await asyncio.gather(*(sent(fresh, "html", language) for language in ("nl", "en", "nl")))
        assert sorted(made) == [("html", "en", 0), ("html", "nl", 0), ("json", "nl", 0)]
        made.clear()
        at = now()
        finding = Finding("tls", "fails", Text("te oud", "too old"))
        await fresh.board.add(
            Run(
                *("run-1", "Regio Noord", "iza-2025-06", "tester", at - timedelta(seconds=1), at),
                MEMBERS[:1],
                (Measured(MEMBERS[0].ura, finding, at),),
            )
        )
        assert "te oud" in (await sent(fresh, "html")).text
        assert made == [("html", "nl", 1)]


async def test_a_node_without_a_board_has_nothing_to_write_down(make_database: MakeDatabase) -> None:
    async with (
        running_node(make_database, organisations=("a",), portal={"public": True}) as node,
        httpx.AsyncClient(base_url=f"{node['a'].front_root}/portal", trust_env=False) as http,
    ):
        assert (await http.get("/export.pdf")).status_code == 404
