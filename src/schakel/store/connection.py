"""A connection from the pool, with the database's own trouble turned into outcomes."""

from __future__ import annotations

import asyncio
from contextlib import AbstractAsyncContextManager, suppress
from types import TracebackType
from typing import TypeAlias

import asyncpg
from asyncpg.pool import PoolConnectionProxy

from schakel.kernel.outcomes import Busy, TooCostly

Connection: TypeAlias = "PoolConnectionProxy[asyncpg.Record]"

_WAIT_SECONDS = 10.0
_KEEP_SECONDS = 1.0

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


class _Kept:
    """Connections of `pool` that are idle and still ours, for a moment: giving one back to asyncpg and taking it again
    costs as much as a small statement. After `_KEEP_SECONDS` all of them go back, so that asyncpg still replaces those
    that served long and ends those that nobody needs.

    `taken` is how many of us have a connection or are about to, `waiting` how many wait for one that is not here.
    """

    __slots__ = ("_ended", "_returning", "_timer", "idle", "pool", "taken", "waiting")

    def __init__(self, pool: asyncpg.Pool) -> None:
        self.pool = pool
        self.idle: list[PoolConnectionProxy] = []
        self.taken = 0
        self.waiting = 0
        self._timer: asyncio.TimerHandle | None = None
        self._returning: asyncio.Task[None] | None = None
        self._ended = False

    @property
    def open(self) -> bool:
        """Whether a connection may be kept: nobody waits for it and the pool is not about to close."""
        return not self.waiting and not self._ended

    def keep(self, connection: PoolConnectionProxy) -> None:
        """Holds on to an idle connection."""
        self.idle.append(connection)
        if self._timer is None:
            self._timer = asyncio.get_running_loop().call_later(_KEEP_SECONDS, self._give_back)

    def left(self) -> None:
        """One of us is done, or did not get a connection."""
        self.taken -= 1
        self._forget()

    async def end(self) -> None:
        """Gives back what is idle, and keeps nothing any more."""
        self._ended = True
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None
        self._forget()
        await self._returned()

    def _give_back(self) -> None:
        self._timer = None
        self._forget()
        self._returning = asyncio.get_running_loop().create_task(self._returned())

    async def _returned(self) -> None:
        idle, self.idle = self.idle, []
        for connection in idle:
            with suppress(Exception):  # One that cannot go back is broken, and asyncpg has ended it.
                await self.pool.release(connection)

    def _forget(self) -> None:
        if (not self.taken and self._timer is None) or self._ended:
            _KEPT.pop(id(self.pool), None)


_KEPT: dict[int, _Kept] = {}
"""By the identity of the pool; a pool that is not used stands here no longer than `_KEEP_SECONDS`."""


async def let_go(pool: asyncpg.Pool) -> None:
    """Gives the idle connections of `pool` back, which is about to close; those in use follow by themselves."""
    if (kept := _KEPT.get(id(pool))) is not None:
        await kept.end()


class _Acquired:
    """See `acquire`. A class, because it stands around every statement: a generator costs twice as much."""

    __slots__ = ("_connection", "_kept", "_pool")

    def __init__(self, pool: asyncpg.Pool) -> None:
        self._pool = pool

    async def __aenter__(self) -> PoolConnectionProxy:
        kept = _KEPT.get(id(self._pool))
        if kept is None:
            kept = _KEPT[id(self._pool)] = _Kept(self._pool)
        self._kept = kept
        kept.taken += 1
        try:
            self._connection = await self._next(kept)
        except BaseException as error:
            kept.left()
            if isinstance(error, Exception):
                raise _outcome(error) from error
            raise
        return self._connection

    async def _next(self, kept: _Kept) -> PoolConnectionProxy:
        while kept.idle:
            connection = kept.idle.pop()
            if _clean(connection):
                return connection
            await self._pool.release(connection)  # The database went away while nobody used it.
        # Who finds a place in the pool does not wait, and needs no timer for it: connecting has its own.
        timeout = None if kept.taken <= self._pool.get_max_size() else _WAIT_SECONDS
        kept.waiting += 1
        try:
            return await self._pool.acquire(timeout=timeout)
        finally:
            kept.waiting -= 1

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        kept, connection = self._kept, self._connection
        if error is None and kept.open and _clean(connection):
            kept.taken -= 1
            kept.keep(connection)
            return
        try:
            await self._pool.release(connection)
        except Exception as trouble:
            raise _outcome(trouble) from trouble
        finally:
            kept.left()
        if isinstance(error, Exception) and (outcome := _outcome(error)) is not error:
            raise outcome from error


def _clean(connection: PoolConnectionProxy) -> bool:
    """Whether a connection can be used as it is: it lives, and no transaction was left open on it."""
    try:
        return not connection.is_closed() and not connection.is_in_transaction()
    except asyncpg.InterfaceError:  # It was lost, and asyncpg has taken it back.
        return False


def acquire(pool: asyncpg.Pool) -> AbstractAsyncContextManager[PoolConnectionProxy]:
    """A connection of `pool`, given back at the end, or a moment later when nothing was wrong with it; a broken one is
    replaced at its next use. It goes to its next user as it is: set nothing on the session.

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
