"""A person at a real browser (Chromium), a program (PGO) to come from and go back to, and what may never happen.

    async with visiting(chromium, region) as person:
        page = await person.begin()

What holds for every page is checked when the block ends: no script or style was stopped or failed, nothing was asked of
another host, and nobody was told an address by `Referer`.
"""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from typing import Any
from urllib.parse import urlsplit

from playwright.async_api import Browser, BrowserContext, ConsoleMessage, Locator, Page, Request
from starlette.applications import Starlette
from starlette.requests import Request as Asked
from starlette.responses import HTMLResponse
from starlette.routing import Route
from tests.medmij import KNOWN, Network, came_back

CSP = "content-security-policy"


@dataclass
class Pgo:
    """The program of the person: a page at `address`, and what was sent to it."""

    address: str
    frames: str = ""
    referers: list[str] = field(default_factory=list)

    def application(self) -> Starlette:
        """Its web server; `frames` is an address that its page shows in a frame."""

        async def shown(asked: Asked) -> HTMLResponse:
            self.referers.append(asked.headers.get("referer", ""))
            frame = f'<iframe src="{self.frames}"></iframe>' if "framed" in asked.query_params else ""
            return HTMLResponse(
                f'<!doctype html><html lang="nl"><title>Mijn Dossier</title><h1>Welkom terug</h1>{frame}'
            )

        return Starlette(routes=[Route("/callback", shown)])


@dataclass
class Region:
    """What a person can reach: the node with its stand-ins, and the program."""

    network: Network
    pgo: Pgo

    def address(self, slug: str = "a", scope: str | None = None, **changes: str | None) -> str:
        """Where the program sends a person."""
        return self.network.pgo(redirect=f"{self.pgo.address}/callback").address(slug, scope, **changes)

    @property
    def hosts(self) -> set[str]:
        """Host and port of all that is ours."""
        front = self.network.node["a"].front_root
        return {urlsplit(one).netloc for one in (front, self.network.broker, self.pgo.address)}


class Person:
    """Someone with one browser; each tab is a `Page`."""

    def __init__(self, context: BrowserContext, region: Region) -> None:
        self.context = context
        self.region = region
        self.wrong: list[str] = []
        context.on("console", self._said)
        context.on("weberror", lambda error: self.wrong.append(str(error.error)))
        context.on("request", self._asked)

    async def begin(self, slug: str = "a", scope: str | None = None, **changes: str | None) -> Page:
        """A new tab at the landing page (or wherever such a request leads)."""
        page = await self.context.new_page()
        await page.goto(self.region.address(slug, scope, **changes))
        return page

    async def to_login(self, page: Page) -> None:
        """From the landing page to the login page."""
        await press(page, first(page))

    async def to_consent(self, page: Page, bsn: str = KNOWN) -> None:
        """From the landing page to the consent page."""
        await self.to_login(page)
        await page.locator("#bsn").fill(bsn)
        await press(page, first(page))

    def came_back(self, page: Page) -> dict[str, str]:
        """What the program got with the person."""
        assert page.url.startswith(f"{self.region.pgo.address}/callback?"), page.url
        return came_back(page.url)

    def _said(self, message: ConsoleMessage) -> None:
        # That a document came with an error status is told on the console too; that is what some tests are about.
        if message.type in ("error", "warning") and "Failed to load resource" not in message.text:
            self.wrong.append(message.text)

    def _asked(self, request: Request) -> None:
        if urlsplit(request.url).netloc not in self.region.hosts:
            self.wrong.append(f"asked {request.url}")
        referer = request.headers.get("referer", "")
        if referer and not referer.startswith(self.region.pgo.address):
            self.wrong.append(f"told {referer} to {request.url}")


@asynccontextmanager
async def visiting(
    chromium: Browser, region: Region, *, may: str = "", **options: Any
) -> AsyncIterator[Person]:
    """A person with a fresh browser profile; `may` is what the console may tell in this test alone."""
    context = await chromium.new_context(**{"locale": "nl-NL", **options})
    context.set_default_timeout(10_000)
    try:
        person = Person(context, region)
        yield person
        wrong = [one for one in person.wrong if not may or may not in one]
        assert not wrong, wrong
    finally:
        await context.close()


def first(page: Page) -> Locator:
    """The button that goes on."""
    return page.locator("button.first")


def other(page: Page) -> Locator:
    """The button that goes back."""
    return page.locator("button:not(.first)")


async def press(page: Page, button: Locator) -> None:
    """Presses and waits for the page after it."""
    async with page.expect_navigation():
        await button.click()


async def heading(page: Page) -> str:
    """The one main heading."""
    return await page.locator("h1").inner_text()


async def language(page: Page) -> str:
    """The language that the page says it is in."""
    return await page.locator("html").get_attribute("lang") or ""


async def width_beyond(page: Page) -> int:
    """By how many pixels the page is wider than the window."""
    found: int = await page.evaluate(
        "document.documentElement.scrollWidth - document.documentElement.clientWidth"
    )
    return found
