"""What holds for every page of the portal, in both languages: anyone can read and use it, at any width, by keyboard
alone, without script, on paper.

`SCHAKEL_SCREENSHOTS=1` writes the pictures of the docs; else they go where pytest puts what is temporary.
"""

from __future__ import annotations

import os
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pytest
from axe_playwright_python.async_playwright import Axe  # type: ignore[import-untyped]
from playwright.async_api import Browser, Page
from tests.browser.portal.looking import looking
from tests.browser.portal.pages import PAGES, PortalPage
from tests.browser.test_looks import CONTRAST, RULES
from tests.browser.walking import heading, language, width_beyond

DOCS = Path(__file__).parents[3] / "docs/images/portal"
LOCALES = {"nl": "nl-NL", "en": "en-GB"}

pages = pytest.mark.parametrize("wanted", PAGES, ids=str)
languages = pytest.mark.parametrize("spoken", LOCALES)

STOPS = """() => [...document.querySelectorAll('a[href], button, input:not([type=hidden]), select, textarea, ' +
    'summary, [tabindex="0"]')].filter(one => one.checkVisibility({visibilityProperty: true})).map((one, place) => {
        one.dataset.place = place; return place; }).length"""
"""How many things on the page can be used; each gets its number."""

FOCUSED = """() => {
    const at = document.activeElement, style = getComputedStyle(at), box = at.getBoundingClientRect();
    return {place: at.dataset.place, html: at.outerHTML.slice(0, 200), line: style.outlineStyle,
            thick: parseFloat(style.outlineWidth), wide: box.width, high: box.height,
            seen: box.bottom > 0 && box.top < innerHeight && box.right > 0 && box.left < innerWidth};
}"""

SMALLER = """() => [...document.querySelectorAll('button, select, textarea, summary, nav a, ' +
    'input:not([type=hidden], [type=checkbox], [type=radio])')].filter(one => one.checkVisibility()).map(one =>
    [one.outerHTML.slice(0, 120), one.getBoundingClientRect().height]).filter(([, height]) => height < 24)"""
"""What is lower than a finger needs (WCAG 2.2, 2.5.8)."""


CONTRASTS = """selectors => selectors.map(selector => {
    const one = document.querySelector(selector);
    const light = colour => { const parts = colour.match(/[\\d.]+/g).slice(0, 3).map(part => part / 255)
        .map(part => part <= 0.04045 ? part / 12.92 : ((part + 0.055) / 1.055) ** 2.4);
        return 0.2126 * parts[0] + 0.7152 * parts[1] + 0.0722 * parts[2]; };
    let behind = one, style = getComputedStyle(one);
    while (/^rgba\\(0, 0, 0, 0\\)$/.test(style.backgroundColor)) {
        behind = behind.parentElement; style = getComputedStyle(behind); }
    const drawn = getComputedStyle(one), ink = one.closest('svg') ? drawn.fill : drawn.color;
    const [low, high] = [light(ink), light(style.backgroundColor)].sort((a, b) => a - b);
    return [selector, (high + 0.05) / (low + 0.05)]; }).filter(([, ratio]) => ratio < 4.5)"""
"""Texts with too little contrast to the first opaque background under them."""


async def clean(page: Page, rules: Mapping[str, object]) -> None:
    """Nothing is wrong by the rules of axe. What it does not measure, as it lies out of sight of a scrolling table or
    is one sign only, is measured here."""
    found = (await Axe().run(page, options=dict(rules))).response
    assert found["violations"] == [], (page.url, found["violations"])
    unsure = {one["id"]: [node["target"][0] for node in one["nodes"]] for one in found["incomplete"]}
    assert await page.evaluate(CONTRASTS, unsure.pop("color-contrast", [])) == []
    for header in unsure.pop("th-has-data-cells", []):  # Axe does not follow headers of groups of rows.
        assert await page.locator(header).get_attribute("scope") == "rowgroup"
    assert unsure == {}, page.url


async def opened(page: Page, portal: str, wanted: PortalPage) -> None:
    answer = await page.goto(f"{portal}{wanted.path}")
    assert answer is not None and answer.status == wanted.status


@pages
@languages
async def test_a_page_reads_well_for_everyone(
    chromium: Browser, portal: str, wanted: PortalPage, spoken: str
) -> None:
    async with looking(chromium, portal, status=wanted.status, locale=LOCALES[spoken]) as page:
        await opened(page, portal, wanted)
        assert await language(page) == spoken
        assert await page.locator("h1").count() == 1
        title, head = await page.title(), await heading(page)
        assert head and title.startswith(" ".join(head.split())) and "Regio Zonnestreek" in title
        assert await page.evaluate(SMALLER) == []
        await page.emulate_media(color_scheme="light")
        await clean(page, RULES)
        await page.emulate_media(color_scheme="dark")
        await clean(page, CONTRAST)


@pages
@languages
async def test_a_page_is_never_wider_than_its_window(
    chromium: Browser, portal: str, wanted: PortalPage, spoken: str, tmp_path: Path
) -> None:
    async with looking(chromium, portal, status=wanted.status, locale=LOCALES[spoken]) as page:
        await opened(page, portal, wanted)
        for width, height in ((1280, 900), (320, 640), (320, 180)):
            await page.set_viewport_size({"width": width, "height": height})
            assert await width_beyond(page) == 0, width
        await page.set_viewport_size({"width": 800, "height": 600})
        await page.evaluate("document.documentElement.style.fontSize = '200%'")  # WCAG 2.2, 1.4.4.
        assert await width_beyond(page) == 0
        await page.evaluate("document.documentElement.style.fontSize = ''")
        if wanted.name:
            await pictured(page, wanted.name, spoken, tmp_path)


async def pictured(page: Page, name: str, spoken: str, folder: Path) -> None:
    """Takes the pictures of a page: in a wide window in Dutch and English, on a telephone and in the dark in Dutch."""
    where = DOCS if os.environ.get("SCHAKEL_SCREENSHOTS") == "1" else folder
    where.mkdir(parents=True, exist_ok=True)
    await page.set_viewport_size({"width": 1280, "height": 900})
    await page.screenshot(path=where / f"{name}-{spoken}.png")
    if spoken == "nl":
        await page.emulate_media(color_scheme="dark")
        await page.screenshot(path=where / f"{name}-dark.png")
        await page.emulate_media(color_scheme="light")
        await page.set_viewport_size({"width": 375, "height": 812})
        await page.screenshot(path=where / f"{name}-phone.png")
    assert (where / f"{name}-{spoken}.png").stat().st_size > 5_000


@pages
async def test_the_keyboard_alone_reaches_everything(
    chromium: Browser, portal: str, wanted: PortalPage
) -> None:
    async with looking(chromium, portal, status=wanted.status) as page:
        await opened(page, portal, wanted)
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


@pages
async def test_the_skip_link_leads_past_the_menu(chromium: Browser, portal: str, wanted: PortalPage) -> None:
    async with looking(chromium, portal, status=wanted.status) as page:
        await opened(page, portal, wanted)
        await page.keyboard.press("Tab")
        link = page.locator(":focus")
        assert await link.inner_text() == "Direct naar de inhoud"
        box = await link.bounding_box()
        assert box is not None and box["y"] >= 0 and box["height"] >= 24
        await page.keyboard.press("Enter")
        assert await page.evaluate("document.activeElement.id") == "main"
        await page.keyboard.press("Tab")
        assert await page.evaluate("!document.activeElement.closest('header')")


@pages
async def test_a_page_is_the_same_without_script(chromium: Browser, portal: str, wanted: PortalPage) -> None:
    said = []
    for script in (True, False):
        async with looking(chromium, portal, status=wanted.status, java_script_enabled=script) as page:
            await opened(page, portal, wanted)
            said.append(await page.locator("body").inner_text())
    assert said[0] == said[1] and len(said[0]) > 100


@pages
async def test_a_page_can_be_printed(chromium: Browser, portal: str, wanted: PortalPage) -> None:
    async with looking(chromium, portal, status=wanted.status, color_scheme="dark") as page:
        await opened(page, portal, wanted)
        await page.emulate_media(media="print")
        assert await page.locator("h1").is_visible()
        assert not await page.locator(".main-nav, .tools").first.is_visible()
        assert await page.evaluate("getComputedStyle(document.querySelector('main')).color") == "rgb(0, 0, 0)"
        await page.set_viewport_size({"width": 700, "height": 1000})  # A4 within its margins.
        assert await width_beyond(page) == 0
        assert len(await page.pdf()) > 5_000


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
