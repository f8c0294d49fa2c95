"""A connection from the pool, with the database's own trouble turned into outcomes."""

from __future__ import annotations

from contextlib import AbstractAsyncContextManager
from types import TracebackType
from typing import TypeAlias

import asyncpg
from asyncpg.pool import PoolConnectionProxy

from schakel.kernel.outcomes import Busy, TooCostly

Connection: TypeAlias = "PoolConnectionProxy[asyncpg.Record]"

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


_TAKEN: dict[int, int] = {}
"""How many connections of a pool are taken or waited for, by the pool's identity; asyncpg would count all of its
connections to say so."""


def _left(pool: asyncpg.Pool) -> None:
    left = _TAKEN[id(pool)] - 1
    if left:
        _TAKEN[id(pool)] = left
    else:
        del _TAKEN[id(pool)]


class _Acquired:
    """See `acquire`. A class, because it stands around every statement: a generator costs twice as much."""

    __slots__ = ("_connection", "_pool")

    def __init__(self, pool: asyncpg.Pool) -> None:
        self._pool = pool

    async def __aenter__(self) -> PoolConnectionProxy:
        pool = self._pool
        taken = _TAKEN.get(id(pool), 0)
        _TAKEN[id(pool)] = taken + 1
        try:
            # Who finds a place in the pool does not wait, and needs no timer for it: connecting has its own.
            timeout = None if taken < pool.get_max_size() else _WAIT_SECONDS
            self._connection = await pool.acquire(timeout=timeout)
        except BaseException as error:
            _left(pool)
            if isinstance(error, Exception):
                raise _outcome(error) from error
            raise
        return self._connection

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        try:
            await self._pool.release(self._connection)
        except Exception as trouble:
            raise _outcome(trouble) from trouble
        finally:
            _left(self._pool)
        if isinstance(error, Exception) and (outcome := _outcome(error)) is not error:
            raise outcome from error


def acquire(pool: asyncpg.Pool) -> AbstractAsyncContextManager[PoolConnectionProxy]:
    """A connection of `pool`, given back at the end; a broken one is replaced at its next use.

    Raises `Busy` when the database or a free connection cannot be had, or the work on it was cut off, and
    `TooCostly` when a statement passed its time limit; never with the text of the statement.
    """
    return _Acquired(pool)


def _outcome(error: Exception) -> Exception:
    """What a caller is told of an error of the database; any other error as it is."""
    if isinstance(error, asyncpg.QueryCanceledError):
        return TooCostly(
            "this took longer than one database statement may (setting limits.query_seconds): make it narrower"
        )
    if isinstance(error, asyncpg.DiskFullError):
        return Busy(
            "the disk of the database is full, so nothing was written; it must be given space first",
            code="database-full",
            cause=type(error).__name__,
        )
    if isinstance(error, AWAY):
        return Busy("the database is not available; try again later", cause=type(error).__name__)
    return error
