"""Questions to the database that go in groups: while one group is being answered the next gathers.

The round trip bounds the number of groups, not of questions, so that what each request must ask costs little under
load; a question that comes alone goes at once.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass
from typing import Generic, TypeVar

from schakel.kernel.outcomes import Busy

Question = TypeVar("Question")
Reply = TypeVar("Reply")

_MAX_GROUP = 200
_SLOW_SECONDS = 1.0
"""A group that failed only after this long was waiting for the database; who waited behind it waits no longer."""

_MAX_WAITING = 20_000


@dataclass(frozen=True, slots=True)
class _Waiting(Generic[Question, Reply]):
    question: Question
    reply: asyncio.Future[Reply]


class Groups(Generic[Question, Reply]):
    """Brings questions to `answered`, which gives one reply for each, in their order.

    What it raises is raised to all who asked in that group. Needs no start and no stop: it works while somebody
    waits, and no longer.
    """

    def __init__(self, answered: Callable[[Sequence[Question]], Awaitable[Sequence[Reply]]]) -> None:
        self._answered = answered
        self._waiting: list[_Waiting[Question, Reply]] = []
        self._working: asyncio.Task[None] | None = None

    async def ask(self, question: Question) -> Reply:
        """The reply to `question`. Raises `Busy` when too many wait, or the work was stopped."""
        if len(self._waiting) >= _MAX_WAITING:
            raise Busy("the database cannot keep up; try again later")
        reply: asyncio.Future[Reply] = asyncio.get_running_loop().create_future()
        self._waiting.append(_Waiting(question, reply))
        if self._working is None:
            self._working = asyncio.create_task(self._work())
        return await reply

    async def _work(self) -> None:
        try:
            while self._waiting:
                group, self._waiting = self._waiting[:_MAX_GROUP], self._waiting[_MAX_GROUP:]
                await self._answer(group)
        finally:
            self._working = None
            _refuse(self._waiting, Busy("the node is stopping; try again later"))
            self._waiting = []

    async def _answer(self, group: list[_Waiting[Question, Reply]]) -> None:
        started = time.monotonic()
        try:
            replies = await self._answered([one.question for one in group])
        except Exception as error:
            if time.monotonic() - started > _SLOW_SECONDS:
                group, self._waiting = group + self._waiting, []
            _refuse(group, error)
        except BaseException:
            _refuse(group, Busy("the node is stopping; try again later"))
            raise
        else:
            for one, reply in zip(group, replies, strict=True):
                if not one.reply.done():
                    one.reply.set_result(reply)


def _refuse(group: Sequence[_Waiting[Question, Reply]], error: Exception) -> None:
    for one in group:
        if not one.reply.done():
            one.reply.set_exception(error)
