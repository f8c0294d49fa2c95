"""A connection from the pool, with the database's own trouble turned into outcomes."""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

import asyncpg
from asyncpg.pool import PoolConnectionProxy

from schakel.kernel.outcomes import Busy, TooCostly

_WAIT_SECONDS = 10.0

AWAY = (
    OSError,
    TimeoutError,
    asyncpg.InterfaceError,
    asyncpg.InternalClientError,
    asyncpg.PostgresConnectionError,
    asyncpg.PostgresSystemError,
    asyncpg.OperatorInterventionError,
    asyncpg.InsufficientResourcesError,
    asyncpg.InvalidAuthorizationSpecificationError,
    asyncpg.InvalidCatalogNameError,
    asyncpg.ReadOnlySQLTransactionError,
    asyncpg.DeadlockDetectedError,
    asyncpg.SerializationError,
)
"""What says nothing about the request: the database is away, refuses us for now, or cut the work off."""


@asynccontextmanager
async def acquire(pool: asyncpg.Pool) -> AsyncIterator[PoolConnectionProxy]:
    """A connection of `pool`, given back at the end; a broken one is replaced at its next use.

    Raises `Busy` when the database or a free connection cannot be had, or the work on it was cut off, and
    `TooCostly` when a statement passed its time limit; never with the text of the statement.
    """
    try:
        async with pool.acquire(timeout=_WAIT_SECONDS) as connection:
            yield connection
    except asyncpg.QueryCanceledError as error:
        raise TooCostly("the query took longer than the limit; make it narrower") from error
    except asyncpg.DiskFullError as error:
        raise Busy(
            "the disk of the database is full, so nothing was written; it must be given space first",
            code="database-full",
            cause=type(error).__name__,
        ) from error
    except AWAY as error:
        raise Busy("the database is not available; try again later", cause=type(error).__name__) from error
