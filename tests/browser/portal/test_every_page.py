"""What holds for every page of the portal, in both languages: anyone can read and use it, at any width, by keyboard
alone, without script, on paper.

A page is opened once and looked at by several tests. Pages of a template that another page has as well are `slow`.
`SCHAKEL_SCREENSHOTS=1` writes the pictures of the docs; else they go where pytest puts what is temporary.
"""

from __future__ import annotations

import html
import os
import re
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any
from urllib.parse import parse_qsl, urlsplit

import httpx
import pytest
import pytest_asyncio
from playwright.async_api import Browser, Page
from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Match, Route
from tests.boards import MEMBERS
from tests.browser.portal.looking import looking
from tests.browser.portal.measuring import FOCUSED, LOCALES, SMALLER, STOPS, UNPRINTED, clean
from tests.browser.portal.pages import ELSEWHERE, PAGES, PortalPage
from tests.browser.test_looks import CONTRAST, RULES
from tests.browser.walking import heading, language, width_beyond

from schakel.http.portal.rights import RIGHTS

DOCS = Path(__file__).parents[3] / "docs/images/portal"
MOST_BYTES = 180_000
ALL = [pytest.param(one, marks=pytest.mark.slow) if one.again else one for one in PAGES]

pages = pytest.mark.parametrize("wanted", ALL, ids=str)
languages = pytest.mark.parametrize("spoken", LOCALES)


def test_every_address_of_the_portal_is_looked_at_or_is_named_with_a_reason() -> None:
    asked = [Route(path, ok) for method, path in map(str.split, RIGHTS) if method == "GET"]
    found = set()
    for wanted in PAGES:
        scope = {"type": "http", "method": "GET", "path": f"/portal{urlsplit(wanted.path).path}"}
        match = next((one for one in asked if one.matches(scope)[0] is Match.FULL), None)
        if match is not None and wanted.status == 200:
            found.add(match.path)
    assert found & set(ELSEWHERE) == set()
    assert found | set(ELSEWHERE) == {one.path for one in asked}


@pytest_asyncio.fixture(scope="module", loop_scope="session", params=ALL, ids=str)
async def page(chromium: Browser, portal: str, request: pytest.FixtureRequest) -> AsyncIterator[Page]:
    """A page in Dutch, opened once for all tests that ask for it. Each of these puts it into the window it needs."""
    wanted: PortalPage = request.param
    async with looking(chromium, portal, status=wanted.status) as found:
        await opened(found, portal, wanted)
        yield found


async def ok(_: Request) -> Response:
    """A route has a handler."""
    return Response()


async def opened(page: Page, portal: str, wanted: PortalPage) -> None:
    answer = await page.goto(f"{portal}{wanted.path}")
    assert answer is not None and answer.status == wanted.status


async def shown(page: Page, width: int = 1280, height: int = 900, **media: Any) -> None:
    """Puts a page into a window, on a screen in light unless `media` says otherwise."""
    await page.emulate_media(**{"media": "screen", "color_scheme": "light", **media})
    await page.set_viewport_size({"width": width, "height": height})


async def test_a_page_says_what_it_is_and_leads_to_itself_in_the_other_language(page: Page) -> None:
    await shown(page)
    assert await language(page) == "nl"
    assert await page.locator("h1").count() == 1
    title, head = await page.title(), await heading(page)
    assert head and title.startswith(" ".join(head.split())) and "Regio Zonnestreek" in title
    assert await page.evaluate(SMALLER) == []
    here = urlsplit(page.url)
    there = urlsplit(await page.locator("a.other").get_attribute("href") or "")
    assert there.path == here.path
    assert parse_qsl(there.query) == [*parse_qsl(here.query), ("lang", "en")]


async def test_a_page_is_never_wider_than_its_window(page: Page) -> None:
    for width, height in ((1280, 900), (640, 450), (320, 640), (320, 180)):
        await shown(page, width, height)
        assert await width_beyond(page) == 0, width
    await shown(page, 800, 600)
    await page.evaluate("document.documentElement.style.fontSize = '200%'")  # WCAG 2.2, 1.4.4.
    beyond = await width_beyond(page)
    await page.evaluate("document.documentElement.style.fontSize = ''")
    assert beyond == 0


async def test_a_page_can_be_printed(page: Page) -> None:
    await shown(page, 700, 1000, media="print", color_scheme="dark")  # A4 within its margins.
    assert await page.locator("h1").is_visible()
    assert not await page.locator(".main-nav, .tools").first.is_visible()
    assert await page.evaluate("getComputedStyle(document.querySelector('main')).color") == "rgb(0, 0, 0)"
    assert await page.evaluate(UNPRINTED) == []
    assert await width_beyond(page) == 0


async def test_the_keyboard_alone_reaches_everything(page: Page) -> None:
    await shown(page)
    await page.reload()
    expected: int = await page.evaluate(STOPS)
    assert expected > 5
    reached: list[int] = []
    for _ in range(expected):
        await page.keyboard.press("Tab")
        at: dict[str, Any] = await page.evaluate(FOCUSED)
        assert at["place"] is not None, at
        assert at["line"] == "solid" and at["thick"] >= 2 and at["seen"], at
        assert at["wide"] >= 10 and at["high"] >= 10, at
        reached.append(int(at["place"]))
    assert reached == list(range(expected))  # All, in the order in which they stand on the page.


async def test_the_skip_link_leads_past_the_menu(page: Page) -> None:
    await shown(page)
    await page.reload()
    await page.keyboard.press("Tab")
    link = page.locator(":focus")
    assert await link.inner_text() == "Direct naar de inhoud"
    box = await link.bounding_box()
    assert box is not None and box["y"] >= 0 and box["height"] >= 24
    await page.keyboard.press("Enter")
    assert await page.evaluate("document.activeElement.id") == "main"
    await page.keyboard.press("Tab")
    assert await page.evaluate("!document.activeElement.closest('header')")


async def test_axe_finds_nothing_wrong_in_light_and_in_dark(page: Page) -> None:
    await shown(page)
    await page.evaluate("document.querySelectorAll('details').forEach(one => { one.open = true; })")
    await clean(page, RULES)
    await shown(page, color_scheme="dark")
    await clean(page, CONTRAST)


@pages
async def test_a_page_is_whole_in_english(chromium: Browser, portal: str, wanted: PortalPage) -> None:
    async with looking(chromium, portal, status=wanted.status, locale=LOCALES["en"]) as page:
        await opened(page, portal, wanted)
        assert await language(page) == "en"
        assert (await page.title()).startswith(" ".join((await heading(page)).split()))
        for width in (1280, 320):
            await shown(page, width)
            assert await width_beyond(page) == 0, width


@pages
async def test_a_page_is_the_same_without_script(chromium: Browser, portal: str, wanted: PortalPage) -> None:
    said = []
    for script in (True, False):
        async with looking(chromium, portal, status=wanted.status, java_script_enabled=script) as page:
            await opened(page, portal, wanted)
            said.append(await page.locator("body").inner_text())
    assert said[0] == said[1] and len(said[0]) > 100


@pytest.mark.parametrize("wanted", [one for one in PAGES if one.name], ids=str)
async def test_a_page_has_its_picture(
    chromium: Browser, portal: str, wanted: PortalPage, tmp_path: Path
) -> None:
    where = DOCS if os.environ.get("SCHAKEL_SCREENSHOTS") == "1" else tmp_path
    where.mkdir(parents=True, exist_ok=True)
    async with looking(chromium, portal) as page:
        await opened(page, portal, wanted)
        if wanted.begins:
            await page.evaluate("id => document.getElementById(id).scrollIntoView()", wanted.begins)
        await page.screenshot(path=where / f"{wanted.name}.png")
    assert 5_000 < (where / f"{wanted.name}.png").stat().st_size < MOST_BYTES


async def test_no_two_pages_have_one_title(portal: str) -> None:
    titles: dict[str, str] = {}
    async with httpx.AsyncClient(trust_env=False, headers={"Accept": "text/html"}) as http:
        for wanted in PAGES:
            if wanted.status != 200:
                continue
            answer = await http.get(f"{portal}{wanted.path}")
            assert answer.status_code == 200, wanted
            [title] = re.findall("<title>(.*?)</title>", answer.text, re.DOTALL)
            path = urlsplit(wanted.path).path
            assert titles.setdefault(html.unescape(title), path) == path, title
    assert len(titles) > 10


@pytest.mark.parametrize("width", [640, 320])  # 1280 pixels at 200% and at 400%.
async def test_the_region_is_narrowed_and_read_on_a_small_screen(
    chromium: Browser, portal: str, width: int
) -> None:
    async with looking(chromium, portal, viewport={"width": width, "height": 480}) as page:
        await page.goto(f"{portal}/")
        await page.get_by_label("Zorgsector").select_option("VVT")
        await page.get_by_role("button", name="Laat zien").click()
        assert "sector=VVT" in page.url and await width_beyond(page) == 0
        cell = page.locator(".board td a").first
        name = await cell.inner_text()
        await cell.click()
        assert "/portal/items/" in page.url and await width_beyond(page) == 0
        assert name  # The organisation and the state, for who sees no columns.


@languages
async def test_the_other_language_is_one_click_away_and_stays(
    chromium: Browser, portal: str, spoken: str
) -> None:
    other, name = ("en", "English") if spoken == "nl" else ("nl", "Nederlands")
    async with looking(chromium, portal, locale=LOCALES[spoken]) as page:
        await page.goto(f"{portal}/?sector=VVT")
        await page.get_by_role("link", name=name).click()
        assert await language(page) == other and "sector=VVT" in page.url
        await page.goto(f"{portal}/about")
        assert await language(page) == other
        await page.goto(f"{portal}/about?lang={spoken}")
        assert await language(page) == spoken


@pytest.mark.parametrize(
    ("spoken", "word"), [("nl", "patiënten zonder BSN"), ("en", "patients without a BSN")]
)
async def test_the_figures_of_a_finding_have_words(
    chromium: Browser, portal: str, spoken: str, word: str
) -> None:
    async with looking(chromium, portal, locale=LOCALES[spoken]) as page:
        await page.goto(f"{portal}/items/GF-5/{MEMBERS[0].ura}")
        figures = await page.locator(".facts div").all_inner_texts()
        assert [one.split() for one in figures if word in one] == [[*word.split(), "3"]]
        assert await page.locator("dt[lang]").count() == 0


async def test_the_menu_says_where_one_is(chromium: Browser, portal: str) -> None:
    async with looking(chromium, portal) as page:
        await page.goto(f"{portal}/")
        assert await page.locator("[aria-current=page]").all_inner_texts() == ["Regio"]
        assert await page.locator(".trail").count() == 0
        await page.goto(f"{portal}/runs")
        assert await page.locator(".main-nav [aria-current=page]").all_inner_texts() == ["Metingen"]


async def test_the_bare_address_of_a_node_leads_to_its_portal(chromium: Browser, portal: str) -> None:
    async with looking(chromium, portal) as page:
        for address in (portal, portal.removesuffix("portal"), portal.removesuffix("/portal")):
            await page.goto(address)
            assert page.url == f"{portal}/"
