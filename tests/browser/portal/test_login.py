"""Somebody logs in to the portal and out of it in a real browser, by keyboard, and forms of other sites do nothing."""

from __future__ import annotations

from playwright.async_api import Browser
from tests.nodes import databases
from tests.staff import portal_node

from schakel.store.embedded import EmbeddedServer


async def test_somebody_logs_in_sees_it_and_logs_out(chromium: Browser, cluster: EmbeddedServer) -> None:
    async with databases(cluster, "portal_browser") as make, portal_node(make) as region:
        context = await chromium.new_context(locale="en-GB", java_script_enabled=False)
        page = await context.new_page()
        errors: list[str] = []
        # A browser asks for an icon by itself; what the page itself asks must be there.
        page.on(
            "console",
            lambda said: errors.append(said.text) if said.type == "error" else None,
        )
        await page.goto(f"{region.portal}/about")
        await page.goto(f"{region.portal}/?sector=HA")
        assert "/portal/login?to=" in page.url
        await page.get_by_role("button", name="Log in with your work account").focus()
        await page.keyboard.press("Enter")
        await page.wait_for_url(f"{region.issuer}/**")
        await page.locator("#who").select_option("programme")
        await page.get_by_role("button", name="Log in").focus()
        await page.keyboard.press("Enter")
        await page.wait_for_url(f"{region.portal}/?sector=HA")
        assert "Jo programme" in await page.locator("header").inner_text()
        [cookie] = [one for one in await context.cookies(region.portal) if one["name"] == "schakel-portal"]
        assert cookie["httpOnly"] and cookie["sameSite"] == "Lax" and cookie["path"] == "/portal"
        await page.get_by_role("button", name="Log out").focus()
        await page.keyboard.press("Enter")
        await page.wait_for_url(f"{region.portal}/logout")
        assert "You are logged out" in await page.locator("main").inner_text()
        await page.goto(f"{region.portal}/")
        assert "/portal/login?to=" in page.url and errors == []
        await context.close()
