"""The report as a web page, opened as the file that it is: anyone can read it, at any width, on paper and without
script."""

from __future__ import annotations

from pathlib import Path

import pytest
from playwright.async_api import Browser
from tests.browser.portal.looking import looking
from tests.browser.portal.measuring import FOCUSED, STOPS, clean
from tests.browser.test_looks import CONTRAST, RULES
from tests.browser.walking import width_beyond
from tests.nodes import RunningNode

from schakel.roadmap.model import Language
from schakel.roadmap.report import of_board, write

LANGUAGES: tuple[Language, ...] = ("nl", "en")


async def written(portal_node: RunningNode, folder: Path, language: Language) -> str:
    """The address of a report about a region with a past."""
    board = portal_node.node.board
    assert board is not None
    path = folder / "region.html"
    write({"html": path}, of_board(board.region, await board.overview()), language)
    return path.as_uri()


@pytest.mark.parametrize("language", LANGUAGES)
async def test_the_file_reads_well_for_everyone_at_any_width(
    chromium: Browser, portal_node: RunningNode, tmp_path: Path, language: Language
) -> None:
    address = await written(portal_node, tmp_path, language)
    async with looking(chromium, address, locale=f"{language}-NL") as page:
        await page.goto(address)
        assert await page.locator("h1").count() == 1
        await page.emulate_media(color_scheme="light")
        await clean(page, RULES)
        await page.emulate_media(color_scheme="dark")
        await clean(page, CONTRAST)
        for width, height in ((1280, 900), (320, 640)):
            await page.set_viewport_size({"width": width, "height": height})
            assert await width_beyond(page) == 0, width
        await page.set_viewport_size({"width": 800, "height": 600})
        await page.evaluate("document.documentElement.style.fontSize = '200%'")  # WCAG 2.2, 1.4.4.
        assert await width_beyond(page) == 0


async def test_the_file_is_used_by_keyboard_and_is_the_same_without_script(
    chromium: Browser, portal_node: RunningNode, tmp_path: Path
) -> None:
    address = await written(portal_node, tmp_path, "nl")
    said = []
    for script in (True, False):
        async with looking(chromium, address, java_script_enabled=script) as page:
            await page.goto(address)
            said.append(await page.locator("body").inner_text())
            if script:
                expected: int = await page.evaluate(STOPS)
                reached = []
                for _ in range(expected):
                    await page.keyboard.press("Tab")
                    at = await page.evaluate(FOCUSED)
                    assert at["line"] == "solid" and at["thick"] >= 2 and at["seen"], at
                    reached.append(int(at["place"]))
                assert reached == list(range(expected)) and expected > 5
    assert said[0] == said[1] and len(said[0]) > 1000


async def test_on_paper_every_column_of_the_board_is_there(
    chromium: Browser, portal_node: RunningNode, tmp_path: Path
) -> None:
    address = await written(portal_node, tmp_path, "nl")
    async with looking(chromium, address) as page:
        await page.goto(address)
        await page.emulate_media(media="print")
        await page.set_viewport_size({"width": 1032, "height": 700})  # A4 on its side between its margins.
        assert await width_beyond(page) == 0
        cut = "() => [...document.querySelectorAll('.scroll')].filter(one => one.scrollWidth > one.clientWidth).length"
        assert await page.evaluate(cut) == 0
        assert not await page.locator("nav").is_visible()
