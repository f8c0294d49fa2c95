"""Someone who looks at the portal with a real browser, and what may never happen meanwhile.

    async with looking(chromium, portal, locale="nl-NL") as page:
        await page.goto(f"{portal}/")

When the block ends, nothing was told on the console as wrong, no request failed, and nothing was asked elsewhere.
"""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any
from urllib.parse import urlsplit

from playwright.async_api import Browser, ConsoleMessage, Page, Request, Response


@asynccontextmanager
async def looking(
    chromium: Browser, portal: str, *, status: int = 200, **options: Any
) -> AsyncIterator[Page]:
    """A page in a fresh browser profile; `status` is what documents may answer with."""
    context = await chromium.new_context(
        **{"locale": "nl-NL", "viewport": {"width": 1280, "height": 900}, **options}
    )
    context.set_default_timeout(15_000)
    wrong: list[str] = []

    def said(message: ConsoleMessage) -> None:
        # That a document came with an error status is told on the console too; `answered` looks at that.
        if message.type in ("error", "warning") and "Failed to load resource" not in message.text:
            wrong.append(message.text)

    def asked(request: Request) -> None:
        if urlsplit(request.url).netloc != urlsplit(portal).netloc:
            wrong.append(f"asked {request.url}")

    def answered(response: Response) -> None:
        document = response.request.resource_type == "document"
        if response.status >= 400 and not (document and response.status == status):
            wrong.append(f"{response.status} at {response.url}")

    def failed(request: Request) -> None:
        if request.failure != "net::ERR_ABORTED":  # Stopped by who went on to the next page.
            wrong.append(f"failed {request.url}: {request.failure}")

    context.on("console", said)
    context.on("weberror", lambda error: wrong.append(str(error.error)))
    context.on("request", asked)
    context.on("requestfailed", failed)
    context.on("response", answered)
    try:
        yield await context.new_page()
        assert not wrong, wrong
    finally:
        await context.close()
