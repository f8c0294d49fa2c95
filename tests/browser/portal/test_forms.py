"""The forms of the portal in a real browser, for who is logged in: filled in by keyboard, told what is wrong at the
field, and taken; readable by everyone in every state."""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from datetime import timedelta

import pytest
import pytest_asyncio
from playwright.async_api import Browser, FilePayload, Page
from tests.boards import MEMBERS, filled
from tests.browser.portal.looking import looking
from tests.browser.portal.measuring import SMALLER, clean
from tests.browser.test_looks import RULES
from tests.browser.walking import width_beyond
from tests.hybrid_care import inventoried
from tests.nodes import databases
from tests.staff import Member, Region, portal_node

from schakel.kernel.clock import AMSTERDAM, now
from schakel.portal.scans import example
from schakel.roadmap.reading import shipped
from schakel.store.embedded import EmbeddedServer

ROADMAP = {"roadmap": {"region": "Regio Zonnestreek", "keepers": ["a"]}}
CELL = "/items/LDN-1/90000101"
TODAY = now().astimezone(AMSTERDAM).date()


@pytest_asyncio.fixture(scope="module", loop_scope="session")
async def region(cluster: EmbeddedServer) -> AsyncIterator[Region]:
    async with databases(cluster, "portal_forms") as make, portal_node(make, node_settings=ROADMAP) as found:
        assert found.node.node.board is not None
        assert found.node.node.inventory is not None
        await filled(found.node.node.board)
        await inventoried(found.node.node.inventory)
        yield found


@asynccontextmanager
async def at_work(
    chromium: Browser, region: Region, *, script: bool = True, status: int = 200
) -> AsyncIterator[Page]:
    """A browser in which the programme manager is logged in."""
    async with Member(region, "programme") as member:
        await member.log_in("/portal/about")
        kept = [one for one in member.http.cookies.jar if one.name == "schakel-portal"]
        cookies = [{"name": one.name, "value": str(one.value), "url": f"{region.portal}/"} for one in kept]
        async with looking(chromium, region.portal, status=status, java_script_enabled=script) as page:
            await page.context.add_cookies(cookies)  # type: ignore[arg-type]
            yield page


async def readable(page: Page) -> None:
    """For everyone, at any width."""
    assert await page.evaluate(SMALLER) == []
    await clean(page, RULES)
    await page.set_viewport_size({"width": 320, "height": 640})
    assert await width_beyond(page) == 0
    await page.set_viewport_size({"width": 1280, "height": 900})


async def test_an_action_is_written_and_what_is_wrong_is_told(chromium: Browser, region: Region) -> None:
    async with at_work(chromium, region, status=400) as page:
        await page.goto(f"{region.portal}/agenda")
        await page.get_by_role("link", name="Nieuwe actie").click()
        await readable(page)
        await page.get_by_label("Wat er gebeurt").fill("Adresboek vullen")
        await page.keyboard.press("Tab")
        await page.keyboard.type("GF-6.S2")
        await page.get_by_label("Eigenaar").fill("J. de Boer")
        await page.get_by_label("Begint").fill("2026-05-01")
        await page.get_by_label("Eindigt").fill("2026-04-01")
        await page.get_by_role("button", name="Bewaren").press("Enter")
        assert "Het einde ligt voor het begin." in await page.get_by_role("alert").inner_text()
        assert await page.get_by_label("Wat er gebeurt").input_value() == "Adresboek vullen"
        assert await page.get_by_label("Voor welk punt").input_value() == "GF-6.S2"
        await readable(page)
        await page.get_by_role("alert").get_by_role("link").press("Enter")
        assert await page.evaluate("document.activeElement.id") == "due"
        await page.get_by_label("Eindigt").fill("2026-06-01")
        await page.get_by_role("button", name="Bewaren").press("Enter")
        assert await page.locator("h1").inner_text() == "Adresboek vullen"
        assert "Jo programme" in await page.locator("table").inner_text()
        await readable(page)


@pytest.mark.parametrize("script", [True, False])
async def test_a_step_is_declared_and_withdrawn(chromium: Browser, region: Region, script: bool) -> None:
    async with at_work(chromium, region, script=script, status=400) as page:
        await page.goto(f"{region.portal}{CELL}")
        step = page.locator("section[id='LDN-1.S2']")
        await step.locator("summary", has_text="Verklaren").press("Enter")
        await step.get_by_label("Wie hiervoor verantwoordelijk is").fill("Informatiemanager")
        await step.get_by_role("button", name="Verklaren", exact=True).press("Enter")
        alert = page.get_by_role("alert")
        assert "Kies een van de drie." in await alert.inner_text()
        if script:
            await readable(page)
        await step.get_by_role("radio", name="Gedaan", exact=True).check()
        await step.get_by_label("Document waaruit het blijkt").fill("Besluit van mei")
        until = (TODAY + timedelta(days=90)).isoformat()
        await step.get_by_label("Telt tot").fill(until)
        await step.get_by_role("button", name="Verklaren", exact=True).press("Enter")
        assert "#declaration-" in page.url
        said = page.locator(".declaration", has=page.locator("h4:target"))
        assert "Besluit van mei" in await said.inner_text() and "nog niet" in await said.inner_text()
        if script:
            await readable(page)
        await said.get_by_role("button", name="Deze verklaring intrekken").press("Enter")
        assert "ingetrokken" in await page.locator("h4:target").inner_text()


def csv(body: bytes) -> FilePayload:
    """A file as a person chooses it."""
    return {"name": "zelfscan.csv", "mimeType": "text/csv", "buffer": body}


@pytest.mark.parametrize("script", [True, False])
async def test_a_self_scan_is_looked_at_first_told_what_is_wrong_and_then_imported(
    chromium: Browser, region: Region, script: bool
) -> None:
    whole = example(shipped(), MEMBERS[3].ura, TODAY)
    spoilt = whole.replace(MEMBERS[3].ura.encode(), b"90000999", 1)

    async def look_at(page: Page, body: bytes) -> None:
        await page.get_by_label("Kies een bestand").set_input_files(csv(body))
        await page.get_by_role("button", name="Bekijk wat erin staat").press("Enter")

    async with at_work(chromium, region, script=script, status=400) as page:
        await page.goto(f"{region.portal}/scans")
        await look_at(page, b"\x00\x01")
        alert = page.get_by_role("alert")
        assert "Er is niets ingevoerd." in await alert.inner_text()
        await look_at(page, spoilt)
        assert "Er is niets ingevoerd: 1 ding klopt niet." in await alert.inner_text()
        table = page.get_by_role("table", name="Wat niet klopt")
        assert "organisation" in await table.inner_text()
        if script:
            await readable(page)
        await look_at(page, whole)
        assert "Er is nog niets ingevoerd." in await page.locator("main").inner_text()
        assert await page.get_by_role("rowheader", name=MEMBERS[3].name).count() > 1
        if script:
            await readable(page)
        await page.get_by_role("button", name="Dit alles verklaren").press("Enter")
        assert "verklaringen zijn ingevoerd" in await page.get_by_role("status").inner_text()
        if script:
            await readable(page)


@pytest.mark.parametrize("script", [True, False])
async def test_whether_a_pathway_suits_is_decided_and_what_is_wrong_is_told(
    chromium: Browser, region: Region, script: bool
) -> None:
    async with at_work(chromium, region, script=script, status=400) as page:
        await page.goto(f"{region.portal}/hybrid/{MEMBERS[0].ura}/copd")
        form = page.get_by_role("form", name="Leg een besluit vast")
        await form.get_by_label("Wie besloot dit, of bij wie ligt het?").fill("Vakgroep longziekten")
        await form.get_by_label("Waarom?").fill("Te weinig mensen doen mee.")
        await form.get_by_label("Op welke dag, of sinds wanneer?").fill(TODAY.isoformat())
        await form.get_by_role("button", name="Vastleggen").press("Enter")
        alert = page.get_by_role("alert")
        assert await alert.get_by_role("link").count() == 1
        assert await form.get_by_label("Waarom?").input_value() == "Te weinig mensen doen mee."
        if script:
            await readable(page)
        await form.get_by_role("radio", name="Niet geschikt").check()
        await form.get_by_role("button", name="Vastleggen").press("Enter")
        assert await page.get_by_role("alert").count() == 0
        newest = page.get_by_role("row").filter(has_text="Vakgroep longziekten").first
        assert "Niet geschikt" in await newest.inner_text() and "Jo programme" in await newest.inner_text()
        if script:
            await readable(page)


async def test_an_action_is_there_for_who_is_not_logged_in(chromium: Browser, portal: str) -> None:
    async with looking(chromium, portal) as page:
        await page.goto(f"{portal}/agenda")
        link = page.locator("main a[href*='/agenda/actions/']").first
        name = await link.inner_text()
        await link.press("Enter")
        assert await page.locator("h1").inner_text() == name
        assert await page.locator("main form").count() == 0
        await readable(page)


@pytest.mark.parametrize("script", [True, False])
async def test_the_programme_reads_who_did_what(chromium: Browser, region: Region, script: bool) -> None:
    async with at_work(chromium, region, script=script) as page:
        await page.goto(f"{region.portal}/")
        await page.get_by_role("link", name="Wie deed wat").press("Enter")
        assert await page.locator("h1").inner_text() == "Wie deed wat"
        assert await page.locator(".main-nav [aria-current=page]").all_inner_texts() == ["Wie deed wat"]
        table = await page.locator("table").inner_text()
        for said in ("Ingelogd", "Jo programme", "Verklaard", "Sanne de Wit", "Meting gebracht"):
            assert said in table
        if script:
            await readable(page)
        await page.get_by_role("link", name="English").click()
        assert await page.locator("h1").inner_text() == "Who did what"
        assert "Brought a measurement" in await page.locator("table").inner_text()
