"""A board of a region on a real database, for each test one of its own."""

from __future__ import annotations

import itertools
from collections.abc import AsyncIterator

import asyncpg
import pytest_asyncio
from tests.standings import SMALL, TERMS

from schakel.roadmap import reading
from schakel.roadmap.board import Board
from schakel.store.database import connect, disconnect
from schakel.store.embedded import EmbeddedServer

_tenants = itertools.count(1)


@pytest_asyncio.fixture(scope="session", loop_scope="session")
async def board_pool(cluster: EmbeddedServer) -> AsyncIterator[asyncpg.Pool]:
    """Connections to a database with boards."""
    opened = await connect(await cluster.ensure_database("boards", "boards", "secret"))
    yield opened
    await disconnect(opened)
    await cluster.drop_database("boards", "boards")


@pytest_asyncio.fixture(loop_scope="session")
async def board(board_pool: asyncpg.Pool) -> Board:
    """An empty board, with the small roadmap of `tests.standings` in force."""
    made = Board(board_pool, next(_tenants), region="Noord", keepers=("a",), terms=TERMS)
    await made.import_roadmap(reading.dump(SMALL), "programme")
    return made
