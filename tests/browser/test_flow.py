"""A person walks from the program through the pages and back, in a real browser: every way on, back and out."""

from __future__ import annotations

import asyncio
from typing import Any

import pytest
from playwright.async_api import Browser, Page
from tests.browser.walking import CSP, Person, Region, first, heading, language, other, press, visiting
from tests.medmij import KNOWN, STRANGER

HEADINGS = {
    "nl": ("Uw gegevens ophalen", "Inloggen (oefening)", "Geeft u toestemming?"),
    "en": ("Get your data", "Log in (practice)", "Do you give permission?"),
}
ENDED = "access_denied"


async def seen(page: Page) -> tuple[str, str]:
    """Language and main heading."""
    return await language(page), await heading(page)


# -- the whole way ---------------------------------------------------------------------------------------------


@pytest.mark.parametrize("script", [True, False], ids=["with script", "without script"])
@pytest.mark.parametrize(("locale", "spoken"), [("nl-NL", "nl"), ("de-DE", "nl"), ("en-GB", "en")])
async def test_a_person_says_yes_with_the_mouse(
    chromium: Browser, region: Region, locale: str, spoken: str, script: bool
) -> None:
    async with visiting(chromium, region, locale=locale, java_script_enabled=script) as person:
        page = await person.begin()
        shown = [await seen(page)]
        await person.to_login(page)
        shown.append(await seen(page))
        await page.locator("#bsn").fill(KNOWN)
        await press(page, first(page))
        shown.append(await seen(page))
        await press(page, first(page))
        assert shown == [(spoken, text) for text in HEADINGS[spoken]]
        came = person.came_back(page)
        assert set(came) == {"code", "state"} and came["state"] == "abc.DEF-1_2="


async def test_a_person_says_yes_with_the_keyboard_alone(chromium: Browser, region: Region) -> None:
    async with visiting(chromium, region) as person:
        page = await person.begin()
        assert await tabbed(page, 3) == ["English", "Inloggen met DigiD", "Stoppen en teruggaan"]
        await page.keyboard.press("Shift+Tab")
        await entered(page)
        assert await tabbed(page, 1) == ["Burgerservicenummer"]
        await page.keyboard.type(KNOWN)
        assert await tabbed(page, 2) == ["Inloggen", "Annuleren"]
        await page.keyboard.press("Shift+Tab")
        await entered(page)
        assert await tabbed(page, 3) == ["English", "Ja, ik geef toestemming", "Nee, ga terug"]
        await page.keyboard.press("Shift+Tab")
        async with page.expect_navigation():
            await page.keyboard.press("Space")
        assert "code" in person.came_back(page)


async def tabbed(page: Page, times: int) -> list[str]:
    """The names of what has the focus after each Tab; each shows that it has it, within the window."""
    names = []
    for _ in range(times):
        await page.keyboard.press("Tab")
        found: dict[str, Any] = await page.evaluate(
            """() => {
                const at = document.activeElement, style = getComputedStyle(at), box = at.getBoundingClientRect();
                return {name: (at.labels && at.labels[0] || at).innerText, width: parseFloat(style.outlineWidth),
                        line: style.outlineStyle, seen: box.top >= 0 && box.bottom <= innerHeight};
            }"""
        )
        assert found["line"] == "solid" and found["width"] >= 2 and found["seen"], found
        names.append(found["name"])
    return names


async def entered(page: Page) -> None:
    async with page.expect_navigation():
        await page.keyboard.press("Enter")


async def test_the_other_language_is_one_click_away_and_stays(chromium: Browser, region: Region) -> None:
    async with visiting(chromium, region) as person:
        page = await person.begin()
        async with page.expect_navigation():
            await page.get_by_role("link", name="English").click()
        assert await seen(page) == ("en", HEADINGS["en"][0])
        await person.to_consent(page)
        assert await seen(page) == ("en", HEADINGS["en"][2])
        async with page.expect_navigation():
            await page.get_by_role("link", name="Nederlands").click()
        assert await seen(page) == ("nl", HEADINGS["nl"][2])
        await press(page, first(page))
        assert "code" in person.came_back(page)


async def test_the_consent_page_answers_what_a_person_asks(chromium: Browser, region: Region) -> None:
    async with visiting(chromium, region) as person:
        page = await person.begin()
        await person.to_consent(page)
        asked = await page.locator("dt").all_inner_texts()
        told = dict(zip(asked, await page.locator("dd").all_inner_texts(), strict=True))
    assert told["Wie vraagt de gegevens?"] == "Mijn Dossier BV"
    assert told["Wie geeft de gegevens?"] == "Organisation a"
    assert "Basisgegevens Zorg" in told["Welke gegevens?"] and "allergieën" in told["Welke gegevens?"]
    assert told["Hoelang?"].startswith("Een half jaar.")
    assert "Stoppen kan in Mijn Dossier BV." in told["Wilt u later stoppen?"]


async def test_sharing_names_what_is_sent_and_to_whom(chromium: Browser, region: Region) -> None:
    async with visiting(chromium, region) as person:
        page = await person.begin(scope="providera~903")
        assert await heading(page) == "Uw gegevens versturen"
        await person.to_consent(page)
        text = await page.locator("main").inner_text()
        await press(page, first(page))
        assert "code" in person.came_back(page)
    assert "Zelfmetingen delen" in text and "bloeddruk" in text and "Huisartsgegevens" not in text


# -- the ways out ----------------------------------------------------------------------------------------------


@pytest.mark.parametrize("where", ["landing", "login", "consent", "unknown"])
async def test_a_person_who_stops_is_back_in_the_program(
    chromium: Browser, region: Region, where: str
) -> None:
    async with visiting(chromium, region) as person:
        page = await person.begin()
        if where == "login":
            await person.to_login(page)
        elif where != "landing":
            await person.to_consent(page, STRANGER if where == "unknown" else KNOWN)
        await press(page, other(page))
        came = person.came_back(page)
        assert (came["error"], came["state"]) == (ENDED, "abc.DEF-1_2=") and "code" not in came


@pytest.mark.parametrize("locale", ["nl-NL", "en-GB"])
async def test_a_wrong_number_is_said_beside_the_field_and_asked_again(
    chromium: Browser, region: Region, locale: str
) -> None:
    async with visiting(chromium, region, locale=locale) as person:
        page = await person.begin()
        await person.to_consent(page, "123456789")
        field = page.locator("#bsn")
        assert await field.get_attribute("aria-invalid") == "true"
        told = await page.locator(f"#{await field.get_attribute('aria-describedby')}").inner_text()
        assert told.startswith("This is not a valid" if locale == "en-GB" else "Dit is geen geldig")
        await field.fill(KNOWN)
        await press(page, first(page))
        assert await heading(page) in (HEADINGS["nl"][2], HEADINGS["en"][2])


# -- back, again, too late -------------------------------------------------------------------------------------


async def test_reloading_a_page_shows_it_again(chromium: Browser, region: Region) -> None:
    async with visiting(chromium, region) as person:
        page = await person.begin()
        await page.reload()
        assert await heading(page) == HEADINGS["nl"][0]
        await person.to_login(page)
        await page.reload()
        await page.locator("#bsn").fill(KNOWN)
        await press(page, first(page))
        await page.reload()
        assert await heading(page) == HEADINGS["nl"][2]
        await press(page, first(page))
        assert "code" in person.came_back(page)


async def test_going_back_before_the_login_is_no_harm(chromium: Browser, region: Region) -> None:
    async with visiting(chromium, region) as person:
        page = await person.begin()
        await person.to_login(page)
        await page.go_back()
        assert await heading(page) == HEADINGS["nl"][0]
        await person.to_consent(page)
        await press(page, first(page))
        assert "code" in person.came_back(page)


async def test_going_back_after_the_login_leads_to_the_question(chromium: Browser, region: Region) -> None:
    async with visiting(chromium, region) as person:
        page = await person.begin()
        landing = page.url
        await person.to_consent(page)
        await page.goto(landing)
        assert await heading(page) == HEADINGS["nl"][2]
        await press(page, first(page))
        assert "code" in person.came_back(page)


async def test_the_question_is_not_shown_before_the_login(chromium: Browser, region: Region) -> None:
    async with visiting(chromium, region) as person:
        page = await person.begin()
        await page.goto(page.url.replace("/start?", "/consent?"))
        assert await heading(page) == HEADINGS["nl"][0]


async def test_an_answer_that_is_given_twice_says_what_to_do(chromium: Browser, region: Region) -> None:
    async with visiting(chromium, region) as person:
        page = await person.begin()
        await person.to_consent(page)
        copy = await person.context.new_page()
        await copy.goto(page.url)
        await press(page, first(page))
        assert "code" in person.came_back(page)
        await press(copy, other(copy))  # The same question in another tab, still open.
        await gone(copy)
        await page.go_back()
        await gone(page)


async def gone(page: Page) -> None:
    """The page says that it is no longer valid, and what a person can do; it does not say that nothing was given."""
    assert await heading(page) == "Deze pagina is niet meer geldig"
    text = await page.locator("main").inner_text()
    assert "ga terug naar uw app" in text and "geen gegevens gedeeld" not in text
    assert await page.locator("form").count() == 0


async def test_two_quick_clicks_are_one_answer_or_say_what_to_do(chromium: Browser, region: Region) -> None:
    async with visiting(chromium, region) as person:
        page = await person.begin()
        await first(page).dblclick()
        await page.locator("#bsn").fill(
            KNOWN
        )  # Once it is there: the second click cuts off what the first began.
        assert page.url.startswith(region.network.broker)
        await press(page, first(page))
        await first(page).dblclick()
        await page.wait_for_load_state()
        if not page.url.startswith(region.pgo.address):
            await page.wait_for_timeout(500)
        if page.url.startswith(region.pgo.address):
            assert "code" in person.came_back(page)
        else:
            await gone(page)


async def test_a_flow_that_took_too_long_says_what_to_do(chromium: Browser, region: Region) -> None:
    async with visiting(chromium, region) as person:
        page = await person.begin()
        await person.to_consent(page)
        flow = await page.locator("[name=flow]").get_attribute("value")
        async with region.network.node.node.pool.acquire() as connection:
            await connection.execute(
                "UPDATE medmij_flow SET expires = now() - interval '1 second' WHERE id = $1", flow
            )
        await press(page, first(page))
        await gone(page)
        await page.goto(f"{region.network.base('a')}/login")
        await gone(page)


# -- two at once -----------------------------------------------------------------------------------------------


async def test_two_tabs_with_different_questions_do_not_mix_up(chromium: Browser, region: Region) -> None:
    async with visiting(chromium, region) as person:
        one = await person.begin("a")
        two = await person.begin("a", "providera~903", state="second", client_id="other.example")
        await asyncio.gather(person.to_consent(one), person.to_consent(two))
        assert "Mijn Dossier BV" in await one.locator("main").inner_text()
        assert "Ander Dossier BV" in await two.locator("main").inner_text()
        assert "Zelfmetingen" not in await one.locator("main").inner_text()
        await asyncio.gather(press(one, first(one)), press(two, other(two)))
        assert "code" in person.came_back(one) and person.came_back(one)["state"] == "abc.DEF-1_2="
        assert person.came_back(two)["error"] == ENDED and person.came_back(two)["state"] == "second"


# -- what is wrong with the request, and what nobody may learn -------------------------------------------------


@pytest.mark.parametrize(
    ("changes", "status", "text"),
    [
        ({"client_id": "unknown.example"}, 400, "die we niet vertrouwen"),
        ({"redirect_uri": "https://evil.example/"}, 400, "die we niet vertrouwen"),
    ],
)
async def test_a_program_that_is_not_trusted_leads_to_a_page_in_plain_words(
    chromium: Browser, region: Region, changes: dict[str, str], status: int, text: str
) -> None:
    async with visiting(chromium, region) as person:
        await refused(person, region.address(**changes), status, text)


@pytest.mark.parametrize("path", ["nobody/oauth2/start", "nobody/oauth2/consent"])
async def test_a_provider_that_is_not_here_leads_to_a_page_in_plain_words(
    chromium: Browser, region: Region, path: str
) -> None:
    async with visiting(chromium, region) as person:
        await refused(person, f"{region.network.node['a'].front_root}/{path}", 404, "Het adres klopt niet")


async def refused(person: Person, address: str, status: int, text: str) -> None:
    page = await person.context.new_page()
    answer = await page.goto(address)
    assert answer is not None and answer.status == status
    assert text in await page.locator("main").inner_text()
    assert "Wat kunt u doen?" in await page.locator("h2").all_inner_texts()
    assert "evil" not in await page.content() and await page.locator("form").count() == 0


async def test_no_page_tells_who_the_person_is_and_none_is_kept(chromium: Browser, region: Region) -> None:
    before = len(region.pgo.referers)
    async with visiting(chromium, region) as person:
        page = await person.begin()
        pages = [page.url, await page.title()]
        for step in ("login", "consent"):
            if step == "consent":
                await page.locator("#bsn").fill(KNOWN)
            async with page.expect_navigation() as went:
                await first(page).click()
            headers = (await went.value).headers
            assert headers["cache-control"] == "no-store" and headers["referrer-policy"] == "no-referrer"
            assert "script-src" not in headers[CSP] and "unsafe" not in headers[CSP]
            pages += [page.url, await page.title(), await page.content()]
        await press(page, first(page))
    assert KNOWN not in "".join(pages) and "Aarts" not in "".join(pages)
    assert region.pgo.referers[before:] == [""]


async def test_no_script_and_no_style_can_be_put_in_a_page(chromium: Browser, region: Region) -> None:
    async with visiting(chromium, region, may="Content Security Policy") as person:
        page = await person.begin()
        for step in range(3):
            await page.evaluate(
                """() => {
                    const made = document.createElement('script'), dress = document.createElement('style');
                    made.textContent = 'window.ran = true';
                    dress.textContent = 'h1 { color: rgb(1, 2, 3) !important }';
                    document.body.append(made, dress);
                }"""
            )
            assert await page.evaluate("window.ran") is None
            assert (
                await page.evaluate("getComputedStyle(document.querySelector('h1')).color") != "rgb(1, 2, 3)"
            )
            if step < 2:
                await page.evaluate(
                    "document.querySelectorAll('body > script, body > style').forEach(e => e.remove())"
                )
                if step == 1:
                    await page.locator("#bsn").fill(KNOWN)
                await press(page, first(page))
    assert any("style" in one for one in person.wrong) and any("script" in one for one in person.wrong)


async def test_no_page_can_be_shown_in_a_frame_of_another(chromium: Browser, region: Region) -> None:
    async with visiting(chromium, region, may="frame") as person:
        page = await person.begin()
        addresses = [page.url]
        await person.to_login(page)
        addresses.append(page.url)
        for region.pgo.frames in addresses:
            await page.goto(f"{region.pgo.address}/callback?framed")
            await page.wait_for_timeout(300)
            assert [one.url for one in page.frames[1:]] == ["chrome-error://chromewebdata/"]
