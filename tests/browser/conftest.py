"""One Chromium for the tests of pages; the region that they walk through."""

from __future__ import annotations

import shutil
from collections.abc import AsyncIterator

import pytest
import pytest_asyncio
from playwright.async_api import Browser, async_playwright
from tests.browser.walking import Pgo, Region
from tests.conftest import CI
from tests.medmij import medmij_node
from tests.nodes import databases, free_ports

from schakel.store.embedded import EmbeddedServer
from schakel_national.serving import Facility, serving


@pytest_asyncio.fixture(scope="session", loop_scope="session")
async def chromium() -> AsyncIterator[Browser]:
    """The browser of this machine. Without one, the test is left out by name; in CI it fails."""
    program = shutil.which("chromium")
    if program is None:
        (pytest.fail if CI else pytest.skip)("chromium is absent (Debian: apt-get install chromium)")
    async with async_playwright() as playwright:
        # It sees our own pages only, and as root it has no sandbox.
        browser = await playwright.chromium.launch(executable_path=program, chromium_sandbox=False)
        yield browser
        await browser.close()


@pytest_asyncio.fixture(scope="session", loop_scope="session")
async def region(cluster: EmbeddedServer) -> AsyncIterator[Region]:
    """A node, its stand-ins and a program to come from."""
    [port] = free_ports(1)
    pgo = Pgo(f"http://127.0.0.1:{port}")
    async with (
        databases(cluster, "browser") as make,
        medmij_node(make, http_on_loopback=True) as network,
        serving("127.0.0.1", [Facility("pgo", pgo.application(), port)]),
    ):
        yield Region(network, pgo)
