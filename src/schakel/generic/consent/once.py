"""Answers that are asked for once, however many wait for them, and remembered for a few seconds."""

from __future__ import annotations

import asyncio
import time
from collections import OrderedDict
from collections.abc import Awaitable, Callable, Hashable
from typing import Generic, TypeVar

Key = TypeVar("Key", bound=Hashable)
Value = TypeVar("Value")

LONGEST = 10.0
"""Seconds that an answer may live."""


class Once(Generic[Key, Value]):
    """Answers by key. An answer lives `seconds` from the moment it was asked for, at most `LONGEST`; a failure reaches
    all who waited for it and is not remembered. Who stops waiting does not stop the others."""

    def __init__(self, seconds: float = LONGEST, most: int = 10_000) -> None:
        if not 0 <= seconds <= LONGEST:
            raise ValueError(f"an answer lives 0 to {LONGEST} seconds")
        self._seconds = seconds
        self._most = most
        self._waited: dict[Key, asyncio.Task[Value]] = {}
        self._kept: OrderedDict[Key, tuple[float, Value]] = OrderedDict()

    def kept(self, key: Key) -> Value | None:
        """The answer that is remembered, or None."""
        found = self._kept.get(key)
        if found is None:
            return None
        if found[0] <= time.monotonic():
            del self._kept[key]
            return None
        return found[1]

    async def get(self, key: Key, ask: Callable[[], Awaitable[Value]]) -> Value:
        """The answer that is remembered or waited for already, else that of `ask`, whose error it raises."""
        if (kept := self.kept(key)) is not None:
            return kept
        task = self._waited.get(key)
        if task is None:
            task = asyncio.create_task(self._asked(key, ask))
            task.add_done_callback(_seen)
            self._waited[key] = task
        return await asyncio.shield(task)

    async def _asked(self, key: Key, ask: Callable[[], Awaitable[Value]]) -> Value:
        until = time.monotonic() + self._seconds
        try:
            value = await ask()
        finally:
            del self._waited[key]
        self._kept[key] = (until, value)
        self._kept.move_to_end(key)
        while len(self._kept) > self._most or (self._kept and self._oldest() <= time.monotonic()):
            self._kept.popitem(last=False)
        return value

    def _oldest(self) -> float:
        return next(iter(self._kept.values()))[0]

    async def close(self) -> None:
        """Ends what is still asked."""
        tasks = list(self._waited.values())
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)


def _seen(task: asyncio.Task[Value]) -> None:
    """Takes note of an error that nobody waits for any more."""
    if not task.cancelled():
        task.exception()
