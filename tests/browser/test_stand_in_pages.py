"""The pages of the stand-ins of Mitz, Dezi and a workplace in a real browser: used by keyboard, in both languages, at
320 pixels."""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

import pytest
from joserfc.jwk import RSAKey
from playwright.async_api import Browser, Page
from tests.browser.test_looks import CONTRAST, RULES, clean
from tests.browser.walking import width_beyond
from tests.nodes import free_ports

from schakel_national import dezi, mitz, workplace
from schakel_national.serving import Facility, serving

BSN = "999911120"
CHALLENGE = "E9Melhoa2OwvFrEMTJguCHaoeK1t8URWbuGJSstw-cM"
MITZ = '[[providers]]\nura = "11111111"\nname = "Ziekenhuis Noord"\ntype = "V6"\n'
DEZI = """
[[clients]]
id = "node"
redirect_uris = ["http://127.0.0.1:1/callback"]
key = KEY
[[professionals]]
number = "900000008"
initials = "J."
prefix = "van"
surname = "Dam"
role = "01.010"
role_name = "Cardioloog"
organisations = [{ ura = "22222222", name = "Oost" }]
"""
WORKPLACE = """
[[clients]]
id = "node"
redirect_uris = ["http://127.0.0.1:1/callback"]
key = KEY
[[people]]
subject = "1"
name = "W. Hoog"
function = "programmamanager"
"""


@asynccontextmanager
async def page_at(browser: Browser, locale: str, errors: list[str]) -> AsyncIterator[Page]:
    context = await browser.new_context(locale=locale, viewport={"width": 320, "height": 700})
    page = await context.new_page()
    page.on("pageerror", lambda error: errors.append(str(error)))
    page.on("console", lambda said: errors.append(said.text) if said.type == "error" else None)
    yield page
    await context.close()


async def looks_good(page: Page) -> None:
    await page.emulate_media(color_scheme="light")
    await clean(page, RULES)
    await page.emulate_media(color_scheme="dark")
    await clean(page, CONTRAST)
    assert await width_beyond(page) == 0


@pytest.mark.parametrize("locale", ["nl-NL", "en-GB"])
async def test_a_patient_sets_a_choice_by_keyboard(chromium: Browser, tmp_path: Path, locale: str) -> None:
    (tmp_path / "mitz.toml").write_text(MITZ)
    [port] = free_ports(1)
    errors: list[str] = []
    facility = Facility("mitz-page", mitz.page_application(tmp_path, ""), port)
    async with serving("127.0.0.1", [facility]), page_at(chromium, locale, errors) as page:
        await page.goto(f"http://127.0.0.1:{port}/")
        await looks_good(page)
        await page.locator("#bsn").focus()
        await page.keyboard.type("123")
        await page.keyboard.press("Enter")
        await page.locator("#wrong").wait_for()
        await looks_good(page)
        errors.clear()  # The browser tells of the 400 itself.
        await page.locator("#bsn").fill(BSN)
        await page.keyboard.press("Enter")
        choice = page.locator("#GGC002-RPZAC001")
        await choice.wait_for()
        await looks_good(page)
        await choice.focus()
        await page.keyboard.press("ArrowDown")
        await page.locator("button.first").focus()
        await page.keyboard.press("Enter")
        await page.locator("[role=status]").wait_for()
        assert await page.locator("#GGC002-RPZAC001").input_value() == "yes"
        await looks_good(page)
    assert errors == []


@pytest.mark.parametrize("locale", ["nl-NL", "en-GB"])
async def test_the_login_page_of_professionals_can_be_used(
    chromium: Browser, tmp_path: Path, locale: str
) -> None:
    members = RSAKey.generate_key(2048).as_dict(private=False)
    key = ", ".join(f'{name} = "{members[name]}"' for name in ("kty", "n", "e"))
    (tmp_path / "dezi.toml").write_text(DEZI.replace("KEY", f"{{ {key} }}"))
    [port] = free_ports(1)
    errors: list[str] = []
    address = f"http://127.0.0.1:{port}"
    asked = (
        "response_type=code&client_id=node&redirect_uri=http://127.0.0.1:1/callback&scope=openid&state=s&nonce=n"
        f"&code_challenge={CHALLENGE}&code_challenge_method=S256"
    )
    facility = Facility("dezi", dezi.application(tmp_path, address), port)
    async with serving("127.0.0.1", [facility]), page_at(chromium, locale, errors) as page:
        await page.goto(f"{address}/authorize?{asked}")
        await looks_good(page)
        assert "Cardioloog" in await page.locator("#who").inner_text()
        assert errors == []
        await page.locator("button.first").focus()
        async with page.expect_request(lambda one: one.url.startswith("http://127.0.0.1:1/callback")) as sent:
            await page.keyboard.press("Enter")
        assert "code=" in (await sent.value).url


@pytest.mark.parametrize("locale", ["nl", "en"])
async def test_an_employee_logs_in_for_work_by_keyboard(
    chromium: Browser, tmp_path: Path, locale: str
) -> None:
    members = RSAKey.generate_key(2048).as_dict(private=False)
    key = "{ " + ", ".join(f'{name} = "{members[name]}"' for name in ("kty", "n", "e")) + " }"
    (tmp_path / "workplace.toml").write_text(WORKPLACE.replace("KEY", key))
    [port] = free_ports(1)
    errors: list[str] = []
    address = f"http://127.0.0.1:{port}"
    asked = (
        "response_type=code&client_id=node&redirect_uri=http://127.0.0.1:1/callback&scope=openid&state=s&nonce=n"
        f"&code_challenge={CHALLENGE}&code_challenge_method=S256&ui_locales={locale}"
    )
    facility = Facility("workplace", workplace.application(tmp_path, address), port)
    async with serving("127.0.0.1", [facility]), page_at(chromium, locale, errors) as page:
        await page.goto(f"{address}/authorize?{asked}")
        assert await page.locator("html").get_attribute("lang") == locale
        await looks_good(page)
        assert "W. Hoog, programmamanager" in await page.locator("#who").inner_text()
        assert errors == []
        await page.locator("button.first").focus()
        async with page.expect_request(lambda one: one.url.startswith("http://127.0.0.1:1/callback")) as sent:
            await page.keyboard.press("Enter")
        assert "code=" in (await sent.value).url
