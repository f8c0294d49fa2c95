"""The page of the log in a real browser: the way to it, and that everyone can read and use it."""

from __future__ import annotations

from collections.abc import AsyncIterator
from typing import Any

import pytest
import pytest_asyncio
from playwright.async_api import Browser, Page
from tests.browser.test_flow import entered, tabbed
from tests.browser.test_looks import CONTRAST, RULES, clean
from tests.browser.walking import (
    Person,
    Region,
    first,
    heading,
    language,
    other,
    press,
    visiting,
    width_beyond,
)

from schakel.generic.logging import Event
from schakel.generic.logging.events import LoggedPerson
from schakel.kernel.clock import new_id

READERS = ["999990202", "999990214", "999990226", "999990238"]
"""Each has the same in the log; a test that needs all of it on the first page has one of its own."""
READER, LOOKS, PAPER, FLOW = READERS
QUIET = "999990251"
HEADING = {"nl": "Wie heeft uw gegevens gebruikt?", "en": "Who used your data?"}


@pytest_asyncio.fixture(scope="module", loop_scope="session", autouse=True)
async def told(region: Region) -> None:
    """Events of every kind that the page tells differently, and more questions than a page has."""
    for reader in READERS:
        await told_of(region, reader)


async def told_of(region: Region, reader: str) -> None:
    holder = region.network.node.node.organisations["a"]

    async def write(**changes: Any) -> None:
        members: dict[str, Any] = {
            "subtype": "search-type",
            "action": "E",
            "outcome": "0",
            "requester": "90000002",
            "requester_name": "Huisartsenpraktijk aan de Lange Nieuwe Binnenstraatweg",
            "holder": holder.ura,
            "holder_name": holder.name,
            "patient": reader,
            "purpose": "TREAT",
            "user": LoggedPerson("900000008", "J. van der Wetering-Schimmelpenninck", "01.015"),
            "correlation": new_id(),
            **changes,
        }
        await holder.log.write(Event(**members))

    for number in range(30):
        await write(requester_name=f"Kliniek {number}")
    case, question = new_id(), new_id()
    await write(ground_kind="mitz", ground=new_id(), resources=("Flag/1/_history/1", "Flag/2/_history/1"))
    await write(outcome="4", reason="objection")
    await write(outcome="8", reason="facility-away")
    for _ in range(3):
        await write(subtype="read", action="R", correlation=question)
    await write(
        ground_kind="break-glass", ground=new_id(), purpose="ETREAT", explanation="Bewusteloos op straat"
    )
    await write(ground_kind="break-glass", ground=case, purpose="ETREAT")
    review = {"subtype": "break-glass-review", "action": "U", "reason": "not-accepted", "purpose": ""}
    await write(ground_kind="break-glass", ground=case, **review)
    await write(outcome="4", reason="break-glass-assurance", explanation="Haast")


async def opened(person: Person) -> Page:
    """A new tab at the page before the login."""
    page = await person.context.new_page()
    await page.goto(f"{person.region.network.node['a'].front_root}/a/log")
    return page


async def logged_in(person: Person, bsn: str = READER) -> Page:
    """A new tab at the page of the log."""
    page = await opened(person)
    await press(page, first(page))
    await page.locator("#bsn").fill(bsn)
    await press(page, first(page))
    return page


async def every_page(person: Person) -> AsyncIterator[Page]:
    """Each page that a reader of the log may see, once."""
    front = person.region.network.node["a"].front_root
    page = await opened(person)
    yield page
    await press(page, first(page))
    await press(page, other(page))  # Cancelled at the broker.
    yield page
    page = await logged_in(person)
    yield page
    async with page.expect_navigation():
        await page.get_by_role("link", name=("Ouder" if await language(page) == "nl" else "Older")).click()
    yield page
    await page.goto(f"{front}/a/log?_page=x")
    yield page
    await page.goto(f"{front}/a/log/callback?state=x")
    yield page
    await page.goto(f"{front}/a/log")
    await press(page, other(page))
    yield page
    await page.goto(f"{front}/nobody/log")
    yield page
    yield await logged_in(person, QUIET)
    await person.context.clear_cookies()
    cookie = {"name": "schakel-log", "value": "x", "url": f"{front}/a/log"}
    await person.context.add_cookies([cookie])  # type: ignore[list-item]
    await page.goto(f"{front}/a/log")
    yield page


@pytest.mark.parametrize("locale", ["nl-NL", "en-GB"])
async def test_axe_finds_nothing_wrong_in_light_and_in_dark(
    chromium: Browser, region: Region, locale: str
) -> None:
    number = 0
    async with visiting(chromium, region, locale=locale) as person:
        async for page in every_page(person):
            assert await language(page) == locale[:2]
            await page.emulate_media(color_scheme="light")
            await clean(page, RULES)
            await page.emulate_media(color_scheme="dark")
            await clean(page, CONTRAST)
            number += 1
    assert number == 10


async def test_a_narrow_window_and_larger_text_need_no_scrolling_sideways(
    chromium: Browser, region: Region
) -> None:
    async with visiting(chromium, region) as person:
        async for page in every_page(person):
            for height in (640, 180):
                await page.set_viewport_size({"width": 320, "height": height})
                assert await width_beyond(page) == 0, page.url
            await page.set_viewport_size({"width": 800, "height": 600})
            await page.evaluate("document.documentElement.style.fontSize = '200%'")
            assert await width_beyond(page) == 0, page.url


@pytest.mark.parametrize("script", [True, False], ids=["with script", "without script"])
@pytest.mark.parametrize(("locale", "spoken"), [("nl-NL", "nl"), ("en-GB", "en")])
async def test_a_patient_logs_in_looks_and_logs_out(
    chromium: Browser, region: Region, locale: str, spoken: str, script: bool
) -> None:
    async with visiting(chromium, region, locale=locale, java_script_enabled=script) as person:
        page = await opened(person)
        assert await heading(page) == HEADING[spoken]
        page = await logged_in(person, FLOW)
        assert (await language(page), await heading(page)) == (spoken, HEADING[spoken])
        text = await page.locator("main").inner_text()
        assert "J. van der Wetering-Schimmelpenninck" in text and "Bewusteloos op straat" in text
        async with page.expect_navigation():
            await page.get_by_role("link", name="English" if spoken == "nl" else "Nederlands").click()
        assert await heading(page) == HEADING["en" if spoken == "nl" else "nl"]
        await press(page, other(page))
        await page.go_back()
        assert "Wetering" not in await page.locator("main").inner_text()


async def test_the_keyboard_alone_is_enough(chromium: Browser, region: Region) -> None:
    async with visiting(chromium, region) as person:
        page = await opened(person)
        assert await tabbed(page, 2) == ["English", "Inloggen met DigiD"]
        await entered(page)
        await page.locator("#bsn").focus()
        await page.keyboard.type(READER)
        assert await tabbed(page, 1) == ["Inloggen"]
        await entered(page)
        assert await tabbed(page, 3) == ["English", "Uitloggen", "Ouder"]
        await entered(page)
        assert await tabbed(page, 3) == ["English", "Uitloggen", "Naar het nieuwste"]
        await page.keyboard.press("Shift+Tab")
        async with page.expect_navigation():
            await page.keyboard.press("Space")
        assert await heading(page) == "U bent uitgelogd"


async def test_emergencies_stand_out_in_words_and_in_looks(chromium: Browser, region: Region) -> None:
    async with visiting(chromium, region) as person:
        page = await logged_in(person, LOOKS)
        alerts = await page.locator(".alert").all_inner_texts()
        borders = await page.locator(".alert").evaluate_all(
            "all => all.map(one => parseFloat(getComputedStyle(one).borderTopWidth))"
        )
    assert len(alerts) == 3 and min(borders) >= 2
    [refused] = [one for one in alerts if "Haast" in one]  # Of one millisecond, they come in any order.
    [judged] = [one for one in alerts if "Het was niet terecht." in one]
    [waiting] = [one for one in alerts if "gaat nog controleren" in one]
    assert refused.startswith("Noodgeval, geweigerd.")
    assert judged.startswith("Noodgeval.")
    assert "Bewusteloos op straat" in waiting


async def test_the_list_can_be_kept_on_paper(chromium: Browser, region: Region) -> None:
    async with visiting(chromium, region, color_scheme="dark") as person:
        page = await logged_in(person, PAPER)
        await page.emulate_media(media="print")
        assert not await other(page).is_visible()
        assert not await page.get_by_role("link", name="Ouder").is_visible()
        assert await page.get_by_text("Bewusteloos op straat").is_visible()
        assert (
            await page.evaluate("getComputedStyle(document.querySelector('.alert')).color") == "rgb(0, 0, 0)"
        )
