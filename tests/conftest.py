"""One PostgreSQL server for each test process, and new empty databases in it.

The server runs without fsync in a folder of its own and ends with the test process, also after kill -9.
"""

from __future__ import annotations

import itertools
import os
import shutil
import tempfile
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator
from pathlib import Path

import pytest
import pytest_asyncio

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
