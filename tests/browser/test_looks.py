"""Every page can be read and used by everyone: measured by axe, at any width and size of text, in light and dark."""

from __future__ import annotations

from collections.abc import AsyncIterator, Awaitable, Callable, Mapping

import pytest
from axe_playwright_python.async_playwright import Axe  # type: ignore[import-untyped]
from playwright.async_api import Browser, Page
from tests.browser.walking import Person, Region, first, heading, other, press, visiting, width_beyond
from tests.medmij import STRANGER

RULES = {
    "runOnly": {
        "type": "tag",
        "values": ["wcag2a", "wcag2aa", "wcag21a", "wcag21aa", "wcag22aa", "best-practice"],
    },
    "resultTypes": ["violations", "incomplete"],
}

CONTRAST = {
    "runOnly": {"type": "rule", "values": ["color-contrast"]},
    "resultTypes": ["violations", "incomplete"],
}
"""All that may differ in the dark."""


async def every_page(person: Person) -> AsyncIterator[Page]:
    """Each page that a person may see, once."""
    page = await person.begin()
    yield page
    await person.to_login(page)
    yield page
    await page.locator("#bsn").fill("1")
    await press(page, first(page))
    yield page
    await page.locator("#bsn").fill("999901370")
    await press(page, first(page))
    yield page
    page = await person.begin(scope="providera~903")
    yield page
    await person.to_consent(page)
    yield page
    page = await person.begin()
    await person.to_consent(page, STRANGER)
    yield page
    yield await person.begin(client_id="unknown.example")
    front = person.region.network.node["a"].front_root
    for path in ("a/oauth2/start", "nobody/oauth2/start"):
        await page.goto(f"{front}/{path}")
        yield page
    await page.goto(f"{person.region.network.broker}/authorize")
    yield page


async def on_every_page(person: Person, check: Callable[[Page], Awaitable[None]]) -> None:
    number = 0
    async for page in every_page(person):
        await check(page)
        number += 1
    assert number == 11


@pytest.mark.parametrize("locale", ["nl-NL", "en-GB"])
async def test_axe_finds_nothing_wrong_in_light_and_in_dark(
    chromium: Browser, region: Region, locale: str
) -> None:
    async def check(page: Page) -> None:
        await page.emulate_media(color_scheme="light")
        await clean(page, RULES)
        await page.emulate_media(color_scheme="dark")
        await clean(page, CONTRAST)

    async with visiting(chromium, region, locale=locale) as person:
        await on_every_page(person, check)


async def clean(page: Page, rules: Mapping[str, object]) -> None:
    found = (await Axe().run(page, options=dict(rules))).response
    assert found["violations"] == [] and found["incomplete"] == [], (page.url, found)


async def test_dark_is_dark_and_light_is_light(chromium: Browser, region: Region) -> None:
    brightness = {}
    for scheme in ("light", "dark"):
        async with visiting(chromium, region, color_scheme=scheme) as person:
            page = await person.begin()
            colour: str = await page.evaluate(
                "getComputedStyle(document.querySelector('main')).backgroundColor"
            )
            brightness[scheme] = sum(int(one) for one in colour.removeprefix("rgb(").rstrip(")").split(","))
    assert brightness["dark"] < 200 < 600 < brightness["light"]


async def test_a_narrow_window_needs_no_scrolling_sideways(chromium: Browser, region: Region) -> None:
    async def check(page: Page) -> None:
        for height in (640, 180):  # A phone; a window of 1280 by 720 at 400 percent (WCAG 2.2, 1.4.10).
            await page.set_viewport_size({"width": 320, "height": height})
            assert await width_beyond(page) == 0, page.url
            for button in await page.locator("button").all():
                box = await button.bounding_box()
                assert box is not None and box["x"] >= 0 and box["x"] + box["width"] <= 320

    async with visiting(chromium, region) as person:
        await on_every_page(person, check)


async def test_larger_text_and_wider_spaces_cut_nothing_off(chromium: Browser, region: Region) -> None:
    async def check(page: Page) -> None:
        # WCAG 2.2, 1.4.4 and 1.4.12.
        await page.evaluate(
            """() => {
                document.documentElement.style.fontSize = '200%';
                for (const one of document.querySelectorAll('body *')) Object.assign(one.style, {
                    lineHeight: '1.5', letterSpacing: '0.12em', wordSpacing: '0.16em'});
            }"""
        )
        assert await width_beyond(page) == 0, page.url
        cut = await page.evaluate(
            """() => [...document.querySelectorAll('main *, header *')].filter(one =>
                one.clientWidth && (one.scrollWidth > one.clientWidth + 1 || one.scrollHeight > one.clientHeight + 1)
                && getComputedStyle(one).display != 'inline').map(one => one.outerHTML)"""
        )
        assert cut == [], page.url
        assert await page.evaluate("parseFloat(getComputedStyle(document.querySelector('p')).fontSize)") >= 32

    async with visiting(chromium, region, viewport={"width": 800, "height": 600}) as person:
        await on_every_page(person, check)


async def test_the_question_can_be_kept_on_paper(chromium: Browser, region: Region) -> None:
    async with visiting(chromium, region, color_scheme="dark") as person:
        page = await person.begin()
        await person.to_consent(page)
        await page.emulate_media(media="print")
        assert not await first(page).is_visible() and not await other(page).is_visible()
        assert await page.get_by_text("Basisgegevens Zorg").is_visible()
        assert await page.evaluate("getComputedStyle(document.querySelector('main')).color") == "rgb(0, 0, 0)"


async def test_a_page_can_be_read_without_its_stylesheet(chromium: Browser, region: Region) -> None:
    async with visiting(chromium, region, may="ERR_FAILED") as person:
        await person.context.route("**/*.css", lambda route: route.abort())
        page = await person.begin()
        await person.to_consent(page)
        assert await heading(page) == "Geeft u toestemming?" and await first(page).is_visible()
        await press(page, first(page))
        assert "code" in person.came_back(page)


async def test_the_stylesheet_is_fetched_once_and_kept(chromium: Browser, region: Region) -> None:
    async with visiting(chromium, region) as person:
        page = await person.context.new_page()
        async with page.expect_response("**/pages/style-*.css") as fetched:
            await page.goto(region.address())
        style = await fetched.value
        assert style.status == 200 and "immutable" in style.headers["cache-control"]
        front = region.network.node["a"].front_root
        assert (await person.context.request.get(f"{front}/pages/style-0.css")).status == 404
