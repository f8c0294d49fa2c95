"""One PostgreSQL server for each test process, and new empty databases in it.

The server runs without fsync in a folder of its own and ends with the test process, also after kill -9.
"""

from __future__ import annotations

import itertools
import os
import shutil
import tempfile
from collections.abc import AsyncIterator, Awaitable, Callable, Generator, Iterator
from pathlib import Path

import pytest
import pytest_asyncio
from tests.shared import shared_root

from schakel.store.embedded import EmbeddedServer

_numbers = itertools.count(1)


@pytest.fixture(scope="session")
def open_folder() -> Iterator[Path]:
    """A temporary folder with a short name that every user may enter; pytest's own are closed to others."""
    folder = Path(tempfile.mkdtemp(prefix="schakel-tests-"))
    folder.chmod(0o711)
    yield folder
    shutil.rmtree(folder)


@pytest_asyncio.fixture(scope="session", loop_scope="session")
async def cluster(open_folder: Path) -> AsyncIterator[EmbeddedServer]:
    """The server of this test process."""
    async with await EmbeddedServer.start(open_folder / "postgres", fsync=False) as server:
        yield server


@pytest_asyncio.fixture(loop_scope="session")
async def make_database(cluster: EmbeddedServer) -> AsyncIterator[Callable[[], Awaitable[str]]]:
    """Call it for the address of one more empty database with its own role; dropped after the test."""
    made = []

    async def make() -> str:
        name = f"test_{os.getpid()}_{next(_numbers)}"
        made.append(name)
        return await cluster.ensure_database(name, name, "secret")

    yield make
    for name in made:
        await cluster.drop_database(name, name)


@pytest_asyncio.fixture(loop_scope="session")
async def fresh_database(make_database: Callable[[], Awaitable[str]]) -> str:
    """The address of a new empty database with a role of its own."""
    return await make_database()


# -- what runs, and what may not be left out -----------------------------------------------------------------

CI = os.environ.get("CI", "") not in ("", "0", "false")


def pytest_collection_modifyitems(config: pytest.Config, items: list[pytest.Item]) -> None:
    """Leaves out what is marked `slow`, unless CI is set or `-m` says what to run."""
    if CI or config.getoption("markexpr"):
        return
    left_out = [item for item in items if item.get_closest_marker("slow")]
    if left_out:
        config.hook.pytest_deselected(items=left_out)
        items[:] = [item for item in items if not item.get_closest_marker("slow")]


@pytest.hookimpl(wrapper=True)
def pytest_runtest_makereport(item: pytest.Item) -> Generator[None, pytest.TestReport, pytest.TestReport]:
    """In CI, beside shared data, a test of those data that did not run has failed."""
    report = yield
    if report.skipped and not hasattr(report, "wasxfail") and _must_run(item, str(report.longrepr)):
        report.outcome = "failed"
        report.longrepr = f"CI runs every test of the shared data; this one was skipped: {report.longrepr}"
    return report


def _must_run(item: pytest.Item, reason: str) -> bool:
    about_shared = item.get_closest_marker("shared") is not None or "shared data are absent" in reason
    here = "SCHAKEL_SHARED" in os.environ or shared_root().is_dir()
    return CI and here and about_shared
