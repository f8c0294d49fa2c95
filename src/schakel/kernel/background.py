"""Work that goes on beside a block, and how long it waits after it failed."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable, Coroutine
from contextlib import asynccontextmanager, suppress
from datetime import timedelta
from typing import Any

import structlog

from schakel.kernel.outcomes import Outcome

LONGEST_PAUSE = timedelta(hours=1)


def pause(attempts: int) -> timedelta:
    """How long to wait after so many attempts: each time twice as long, at most an hour."""
    return min(timedelta(seconds=2 ** min(attempts, 12)), LONGEST_PAUSE)


@asynccontextmanager
async def beside(work: Coroutine[Any, Any, None]) -> AsyncIterator[None]:
    """Does `work` while the block runs, and cuts it off at the end. An error that ended it earlier is raised then."""
    task = asyncio.create_task(work)
    try:
        yield
    finally:
        task.cancel()
        with suppress(asyncio.CancelledError):
            await task


async def repeated(
    step: Callable[[], Awaitable[bool]], seconds: float, log: structlog.stdlib.BoundLogger, event: str
) -> None:
    """Does `step` again and again, never to return: at once while it says that it found something to do, otherwise
    after `seconds`. What goes wrong is a line `event` in the log, without its message, and another time comes."""
    while True:
        found = False
        try:
            found = await step()
        except Outcome as outcome:  # The database is away, most often.
            log.warning(event, code=outcome.kind, cause=outcome.cause)
        except Exception as error:
            log.error(event, kind=type(error).__name__)
        await asyncio.sleep(0 if found else seconds)
