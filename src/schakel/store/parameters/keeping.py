"""Keeps what a process knows of organisations' own search parameters up to date."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Collection
from contextlib import asynccontextmanager

import asyncpg
import structlog

from schakel.kernel.background import beside
from schakel.kernel.outcomes import Outcome
from schakel.store.connection import acquire
from schakel.store.parameters.sets import ParameterSets

_SECONDS = 1.0
_log = structlog.get_logger("schakel.store")


@asynccontextmanager
async def kept_fresh(
    pool: asyncpg.Pool, sets: Collection[ParameterSets], seconds: float = _SECONDS
) -> AsyncIterator[None]:
    """Fetches the sets, and until the end of the block fetches each again that another process changed."""
    await _refresh(pool, sets)
    async with beside(_keep(pool, sets, seconds)):
        yield


async def _keep(pool: asyncpg.Pool, sets: Collection[ParameterSets], seconds: float) -> None:
    while True:
        await asyncio.sleep(seconds)
        try:
            await _refresh(pool, sets)
        except Outcome as outcome:  # The database is away: what is known holds until it is back.
            _log.warning("search-parameters", code=outcome.kind, cause=outcome.cause)


async def _refresh(pool: asyncpg.Pool, sets: Collection[ParameterSets]) -> None:
    by_tenant = {one.tenant: one for one in sets}
    async with acquire(pool) as connection:
        rows = await connection.fetch(
            "SELECT tenant, generation FROM search_parameter_set WHERE tenant = ANY($1)", list(by_tenant)
        )
        for row in rows:
            if by_tenant[row["tenant"]].generation != row["generation"]:
                await by_tenant[row["tenant"]].refresh(connection)
