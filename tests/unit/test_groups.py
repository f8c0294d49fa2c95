"""Questions that wait are asked together, each gets its own reply, and nobody waits for ever."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Sequence

import pytest

from schakel.kernel.outcomes import Busy
from schakel.store.groups import Groups


class Doubled:
    """Answers numbers with their double, a group at a time, when `open` is set; `asked` are the groups."""

    def __init__(self) -> None:
        self.open = asyncio.Event()
        self.asked: list[list[int]] = []
        self.fails = False

    async def __call__(self, numbers: Sequence[int]) -> list[int]:
        self.asked.append(list(numbers))
        await self.open.wait()
        if self.fails:
            raise Busy("away")
        return [2 * number for number in numbers]


async def test_one_that_comes_alone_goes_at_once_and_the_rest_together() -> None:
    doubled = Doubled()
    groups: Groups[int, int] = Groups(doubled)
    first = asyncio.create_task(groups.ask(1))
    await asyncio.sleep(0.01)
    others = [asyncio.create_task(groups.ask(number)) for number in range(2, 300)]
    await asyncio.sleep(0.01)
    doubled.open.set()
    assert await asyncio.gather(first, *others) == [2 * number for number in range(1, 300)]
    assert doubled.asked[0] == [1]
    assert len(doubled.asked) == 3  # The others are more than one group may hold.


async def test_what_goes_wrong_is_told_to_all_of_that_group_and_no_other() -> None:
    doubled = Doubled()
    doubled.fails = True
    groups: Groups[int, int] = Groups(doubled)
    tasks = [asyncio.create_task(groups.ask(number)) for number in range(3)]
    await asyncio.sleep(0.01)
    doubled.open.set()
    assert all(isinstance(one, Busy) for one in await asyncio.gather(*tasks, return_exceptions=True))
    doubled.fails = False
    assert await groups.ask(5) == 10


async def test_who_waited_behind_a_group_that_was_held_up_waits_no_longer(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    doubled = Doubled()
    doubled.fails = True
    groups: Groups[int, int] = Groups(doubled)
    first = asyncio.create_task(groups.ask(1))
    await asyncio.sleep(0.01)
    behind = asyncio.create_task(groups.ask(2))
    await asyncio.sleep(0)
    later = time.monotonic() + 2
    monkeypatch.setattr("schakel.store.groups.time.monotonic", lambda: later)
    doubled.open.set()
    assert all(isinstance(one, Busy) for one in await asyncio.gather(first, behind, return_exceptions=True))
    assert doubled.asked == [[1]]


async def test_one_that_leaves_takes_nothing_from_the_others() -> None:
    doubled = Doubled()
    groups: Groups[int, int] = Groups(doubled)
    leaving, staying = asyncio.create_task(groups.ask(1)), asyncio.create_task(groups.ask(2))
    await asyncio.sleep(0.01)
    leaving.cancel()
    doubled.open.set()
    assert await staying == 4
    assert (await asyncio.gather(leaving, return_exceptions=True))[0].__class__ is asyncio.CancelledError
