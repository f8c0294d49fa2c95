"""The work of keeping in step: every source at its interval, one run at a time for each, by one process of a node.

Who works holds an advisory lock on a connection of its own, which the database gives to another process as soon as
this one is gone. A source that failed is tried again after what it asked for (Retry-After), or after a pause that
doubles each time up to its interval.
"""

from __future__ import annotations

import asyncio
import random
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager, suppress
from dataclasses import asdict, dataclass
from datetime import timedelta
from typing import Any

import asyncpg
import orjson
import structlog

from schakel.generic.addressing.ledger import Ledger, Source
from schakel.generic.addressing.replica import Applied, Replica
from schakel.generic.addressing.sync.central import CentralFeeder
from schakel.generic.addressing.sync.distributed import ADMINISTRATION, RootFeeder
from schakel.generic.addressing.sync.feeder import Feeder
from schakel.generic.addressing.sync.files import FileFeeder
from schakel.generic.addressing.sync.pages import SourceTrouble
from schakel.kernel.background import beside
from schakel.kernel.outcomes import Busy, Conflict, Outcome, Upstream
from schakel.store.connection import AWAY

_LOCK = 0x5C4A_4B13
_AT_ONCE = 4
"""Sources that are read at the same time, each strictly sequentially."""
_POLL_SECONDS = 1.0
_FIRST_PAUSE = timedelta(seconds=2)

_log = structlog.get_logger("schakel.addressing")


@dataclass(frozen=True, slots=True)
class Ran:
    """A run of a source: what it did, and why it failed, '' when it did not."""

    source: str
    applied: Applied
    error: str = ""


class Following:
    """Follows the directories of `feeders`; `dsn` is the address of the database. `kinds` are those of the sources that
    are followed so; others are written by somebody else."""

    kinds = frozenset({CentralFeeder.kind, RootFeeder.kind, FileFeeder.kind, ADMINISTRATION})

    def __init__(self, dsn: str, replica: Replica, feeders: Sequence[Feeder]) -> None:
        self._dsn = dsn
        self._replica = replica
        self._ledger: Ledger = replica.ledger
        self._feeders = {one.name: one for one in feeders}
        self._roots = {one.name: one for one in feeders if isinstance(one, RootFeeder)}
        self._busy: set[str] = set()

    # -- one process -----------------------------------------------------------------------------------------

    @asynccontextmanager
    async def alone(self) -> AsyncIterator[asyncpg.Connection[Any] | None]:
        """Until the end of the block no other process follows; None when another one does so already."""
        connection = await asyncpg.connect(self._dsn, timeout=10)
        try:
            got = await connection.fetchval("SELECT pg_try_advisory_lock($1, $2)", _LOCK, self._ledger.tenant)
            yield connection if got else None
        finally:
            with suppress(*AWAY, asyncpg.PostgresError):
                await connection.close(timeout=2)
            connection.terminate()

    @asynccontextmanager
    async def working(self) -> AsyncIterator[None]:
        """Follows until the end of the block, as soon as no other process does."""
        async with beside(self._work()):
            yield

    async def _work(self) -> None:
        while True:
            try:
                async with self.alone() as lock:
                    if lock is not None:
                        await self._lead(lock)
            except Outcome as outcome:
                _log.warning("directories-not-followed", code=outcome.kind, cause=outcome.cause)
            except (*AWAY, asyncpg.PostgresError) as error:
                _log.warning("directories-not-followed", kind=type(error).__name__)
            except Exception as error:
                _log.error("directories-not-followed", kind=type(error).__name__)
            await asyncio.sleep(5 * _POLL_SECONDS)

    async def _lead(self, lock: asyncpg.Connection[Any]) -> None:
        """Follows as long as the lock is held."""
        await self.align()
        running: set[asyncio.Task[Ran]] = set()
        try:
            while not lock.is_closed():
                name = await self._next() if len(running) < _AT_ONCE else ""
                if name:
                    self._busy.add(name)
                    running.add(asyncio.create_task(self.run(name)))
                    continue
                if running:
                    done, running = await asyncio.wait(
                        running, timeout=_POLL_SECONDS, return_when=asyncio.FIRST_COMPLETED
                    )
                    for task in done:
                        task.result()
                else:
                    await asyncio.sleep(_POLL_SECONDS)
        finally:
            for task in running:
                task.cancel()
            await asyncio.gather(*running, return_exceptions=True)

    async def _next(self) -> str:
        return await self._ledger.due(list(self._feeders), list(self._roots), self._busy)

    # -- what is followed ------------------------------------------------------------------------------------

    async def needed(self) -> bool:
        """Whether there is anything to follow, or to take out."""
        return bool(self._feeders) or any(one.kind in self.kinds for one in await self._ledger.sources())

    async def align(self) -> None:
        """Follows what the settings name, and takes out what they do not name any more: an address that nobody keeps up
        must not be found."""
        known = {one.name: one for one in await self._ledger.sources()}
        for source in known.values():
            if source.kind not in self.kinds:
                continue  # Somebody else writes it.
            feeder = self._feeders.get(source.parent or source.name)
            same = feeder is not None and (
                source.parent or (source.kind, source.base) == (feeder.kind, feeder.base)
            )
            if not same:
                await self._replica.leave(source.name)
                _log.info("directory-left", source=source.name)
        for feeder in self._feeders.values():
            await self._ledger.follow(Source(feeder.name, feeder.kind, feeder.base))

    # -- one run ---------------------------------------------------------------------------------------------

    async def run(self, name: str) -> Ran:
        """One run of a source. What a source does wrong is written down; raises only what our own database does."""
        try:
            return await self._run(name)
        finally:
            self._busy.discard(name)

    async def _run(self, name: str) -> Ran:
        source = await self._ledger.begin(name)
        feeder = self._feeder(source)
        try:
            applied = await feeder.run(self._replica, source)
        except Upstream as trouble:
            asked = trouble.wait if isinstance(trouble, SourceTrouble) else 0
            wait = max(timedelta(seconds=asked), _pause(source.failures, feeder.interval))
            await self._ledger.failed(source, trouble.message, wait)
            _log.warning(
                "directory-not-in-step", source=name, code=trouble.kind, failures=source.failures + 1
            )
            return Ran(name, Applied(), trouble.message)
        except (Busy, Conflict):
            raise  # Our own database is away, or another process has taken over.
        except Exception as error:
            why = f"this node failed on what the directory said ({type(error).__name__})"
            await self._ledger.failed(source, why, _pause(source.failures, feeder.interval))
            _log.error("directory-not-in-step", source=name, kind=type(error).__name__)
            return Ran(name, Applied(), why)
        if applied.changed:
            await self._replica.judge()
        first = source.in_step is None
        wait = feeder.interval * random.random() if first else feeder.interval  # noqa: S311 (no secret)
        await self._ledger.done(source, orjson.dumps(asdict(applied)).decode(), wait)
        _log.info("directory-in-step", source=name, **asdict(applied))
        return Ran(name, applied)

    def _feeder(self, source: Source) -> Feeder:
        if source.parent:
            return self._roots[source.parent].child(source)
        return self._feeders[source.name]


def _pause(failures: int, interval: timedelta) -> timedelta:
    """How long to wait after one failure more than `failures`: twice as long each time, at most an interval."""
    doubled: timedelta = _FIRST_PAUSE * 2 ** min(failures, 16)
    return min(doubled, max(interval, _FIRST_PAUSE))
