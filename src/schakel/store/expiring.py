"""Rows that may not stay longer than they say: they are removed while the node runs."""

from __future__ import annotations

from collections.abc import AsyncIterator, Collection
from contextlib import asynccontextmanager

import asyncpg
import structlog

from schakel.kernel.background import beside, repeated
from schakel.store.connection import acquire

_SECONDS = 30.0
_TABLES = ("dezi_login", "page_login", "page_session", "token_patient")
_log = structlog.get_logger("schakel.store")


@asynccontextmanager
async def expiring(pool: asyncpg.Pool, tenants: Collection[int]) -> AsyncIterator[None]:
    """Removes what has expired of these tenants, with what it says of a person, until the end of the block: logins,
    sessions, and of whom data was given under a token."""

    async def clean() -> bool:
        async with acquire(pool) as connection:
            for table in _TABLES:
                await connection.execute(
                    f"DELETE FROM {table} WHERE tenant = ANY($1) AND expires < now()", list(tenants)
                )
        return False

    async with beside(repeated(clean, _SECONDS, _log, "expired-rows-not-removed")):
        yield
