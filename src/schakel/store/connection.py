"""A connection from the pool, with the database's own trouble turned into outcomes."""

from __future__ import annotations

import asyncio
from collections import deque
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

    There are as many places as the pool may have connections. Who has a place has a connection, or asks asyncpg for
    one; who finds none free stands in line, and gets the place of who leaves, as a rule with the connection.
    """

    __slots__ = ("_asking", "_ended", "_idle", "_line", "_places", "_pool", "_returning", "_timer")

    def __init__(self, pool: asyncpg.Pool) -> None:
        self._pool = pool
        self._places = pool.get_max_size()
        self._idle: list[PoolConnectionProxy] = []
        self._asking = 0
        self._line: deque[asyncio.Future[PoolConnectionProxy | None]] = deque()
        self._timer: asyncio.TimerHandle | None = None
        self._returning: asyncio.Task[None] | None = None
        self._ended = False

    async def take(self) -> PoolConnectionProxy:
        """A good connection. Raises `TimeoutError`, and what asyncpg does."""
        if self._places:
            self._places -= 1
            connection = self._idle.pop() if self._idle else None
        else:
            connection = await self._turn()
        try:
            while connection is not None:
                if _lives(connection):
                    return connection
                await self._pool.release(connection)  # The database went away while nobody used it.
                connection = self._idle.pop() if self._idle else None
            self._asking += 1
            try:  # There is one free or to be made, for which asyncpg has a time of its own.
                return await self._pool.acquire()
            finally:
                self._asking -= 1
        except BaseException:
            self._leave()
            raise

    def keep(self, connection: PoolConnectionProxy) -> bool:
        """Takes a connection back from who is done with it. False when it must go to asyncpg instead: it is not good
        any more, somebody waits for one there, or the pool is about to close."""
        if self._ended or self._asking or _in_transaction(connection):
            return False
        if not self._next_gets(connection):
            self._places += 1
            self._idle.append(connection)
            if self._timer is None:
                self._timer = asyncio.get_running_loop().call_later(_KEEP_SECONDS, self._give_back)
        return True

    async def give_back(self, connection: PoolConnectionProxy) -> None:
        """Gives a connection to asyncpg, which looks after it. Raises what that does."""
        try:
            await self._pool.release(connection)
        finally:
            self._leave()

    async def end(self) -> None:
        """Gives back what is idle, and keeps nothing any more."""
        self._ended = True
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None
        self._forget()
        await self._returned()

    async def _turn(self) -> PoolConnectionProxy | None:
        """Waits for a place, and tells the connection that comes with it."""
        place: asyncio.Future[PoolConnectionProxy | None] = asyncio.get_running_loop().create_future()
        self._line.append(place)
        try:
            async with asyncio.timeout(_WAIT_SECONDS):
                return await place
        except BaseException:
            # Who was cut off at the moment it was given a place leaves that to the next.
            if place.done() and not place.cancelled():
                connection = place.result()
                if connection is None:
                    self._leave()
                elif not self.keep(connection):
                    await self.give_back(connection)
            raise

    def _leave(self) -> None:
        """A place becomes free without its connection."""
        if not self._next_gets(None):
            self._places += 1
            self._forget()

    def _next_gets(self, connection: PoolConnectionProxy | None) -> bool:
        """Gives a place to the first in line; False when there is nobody."""
        while self._line:
            place = self._line.popleft()
            if not place.done():
                place.set_result(connection)
                return True
        return False

    def _give_back(self) -> None:
        self._timer = None
        self._forget()
        self._returning = asyncio.get_running_loop().create_task(self._returned())

    async def _returned(self) -> None:
        idle, self._idle = self._idle, []
        for connection in idle:
            with suppress(Exception):  # One that cannot go back is broken, and asyncpg has ended it.
                await self._pool.release(connection)

    def _forget(self) -> None:
        """A pool at rest, or at its end, need not be remembered."""
        at_rest = self._timer is None and self._places == self._pool.get_max_size()
        if (at_rest or self._ended) and _KEPT.get(id(self._pool)) is self:
            del _KEPT[id(self._pool)]


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
        try:
            self._connection = await kept.take()
        except Exception as error:
            raise _outcome(error) from error
        return self._connection

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if error is None and self._kept.keep(self._connection):
            return
        try:
            await self._kept.give_back(self._connection)
        except Exception as trouble:
            raise _outcome(trouble) from trouble
        if isinstance(error, Exception) and (outcome := _outcome(error)) is not error:
            raise outcome from error


def _lives(connection: PoolConnectionProxy) -> bool:
    try:
        return not connection.is_closed()
    except asyncpg.InterfaceError:  # It was lost, and asyncpg has taken it back.
        return False


def _in_transaction(connection: PoolConnectionProxy) -> bool:
    """Whether a transaction was left open; also of one that was lost, of which nothing is known any more."""
    try:
        return connection.is_in_transaction()
    except asyncpg.InterfaceError:
        return True


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
