"""Who starts and ends the processes of a node: what it does about one that ends, hangs or cannot be started."""

from __future__ import annotations

import asyncio
import os
import signal
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from schakel.store.cluster_folder import wait_until

TASK = """
import os, select, signal, sys
from pathlib import Path
from schakel import supervisor, technical_log

supervisor._SILENT = 2.0
folder, broken = Path(sys.argv[1]), sys.argv[2]
technical_log.configure("info")

def task(ready, lives, lifeline, *, joins):
    name = folder / f"{os.getpid()}-{'joins' if joins else 'opens'}"
    if joins and (folder / "refuse").exists():
        raise ValueError("the reason")
    name.touch()
    ready()
    while not select.select([lifeline], [], [], 0.1)[0]:
        lives()
    name.unlink()

if broken == "forks":
    real, left = os.fork, [2]
    def fork():
        if len(list(folder.iterdir())) > 2 and left[0]:
            left[0] -= 1
            raise BlockingIOError(11, "Resource temporarily unavailable")
        return real()
    os.fork = fork
if broken == "children":
    signal.signal(signal.SIGCHLD, signal.SIG_IGN)
supervisor.run(3, task, lambda: print("ready", flush=True))
"""

Start = Callable[..., "Supervised"]


class Supervised:
    """Three processes under one, each a file in `folder` while it answers."""

    def __init__(self, folder: Path, broken: str) -> None:
        self.folder = folder
        self.log = folder.with_suffix(".log")
        with self.log.open("w") as errors:
            self.process = subprocess.Popen(
                [sys.executable, "-c", TASK, str(folder), broken],
                stdout=subprocess.PIPE,
                stderr=errors,
                text=True,
            )

    def answering(self) -> set[int]:
        """The processes that answer and are there."""
        found = {int(one.name.partition("-")[0]) for one in self.folder.glob("*-*")}
        return {pid for pid in found if Path(f"/proc/{pid}").exists()}

    async def whole(self, without: int = 0) -> None:
        """Returns when three answer, `without` not among them."""
        right = lambda: len(self.answering()) == 3 and without not in self.answering()  # noqa: E731
        assert await asyncio.to_thread(wait_until, right, 30), self.log.read_text()

    async def end(self) -> int:
        self.process.send_signal(signal.SIGTERM)
        code = await asyncio.to_thread(self.process.wait, 30)
        assert not self.answering()
        return code


@pytest.fixture
def start(tmp_path: Path) -> Iterator[Start]:
    made: list[Supervised] = []

    def started(broken: str = "") -> Supervised:
        folder = tmp_path / "answering"
        folder.mkdir()
        made.append(Supervised(folder, broken))
        assert made[0].process.stdout is not None
        assert made[0].process.stdout.readline() == "ready\n", made[0].log.read_text()
        return made[0]

    yield started
    for one in made:
        one.process.kill()
        one.process.communicate()


async def test_the_first_opens_and_the_others_join(start: Start) -> None:
    them = start()
    await them.whole()
    assert sorted(one.name.partition("-")[2] for one in them.folder.iterdir()) == ["joins", "joins", "opens"]
    assert await them.end() == 0
    assert them.log.read_text() == ""


@pytest.mark.parametrize("broken", ["", "forks", "children"])
async def test_for_one_that_ends_comes_another_whatever_stands_in_the_way(start: Start, broken: str) -> None:
    them = start(broken)
    await them.whole()
    for killed in sorted(them.answering())[:2]:
        os.kill(killed, signal.SIGKILL)
        await them.whole(without=killed)
    told = them.log.read_text()
    assert told.count('"process-ended"') == 2 and ("process-not-started" in told) == (broken == "forks")
    assert await them.end() == 0


async def test_one_that_hangs_is_ended_and_replaced(start: Start) -> None:
    them = start()
    await them.whole()
    stopped = min(them.answering())
    os.kill(stopped, signal.SIGSTOP)
    await them.whole(without=stopped)
    assert '"process-hangs"' in them.log.read_text()
    assert await them.end() == 0


async def test_one_that_cannot_start_again_is_tried_until_it_can(start: Start) -> None:
    them = start()
    await them.whole()
    (them.folder / "refuse").touch()
    killed = max(them.answering())
    os.kill(killed, signal.SIGKILL)
    failed = lambda: them.log.read_text().count('"process-ended"') >= 3  # noqa: E731
    assert await asyncio.to_thread(wait_until, failed, 30)
    assert len(them.answering()) == 2 and "the reason" not in them.log.read_text()
    (them.folder / "refuse").unlink()
    await them.whole(without=killed)
    assert await them.end() == 0


async def test_none_is_left_when_the_first_process_is_killed(start: Start) -> None:
    them = start()
    await them.whole()
    before = them.answering()
    them.process.kill()
    assert await asyncio.to_thread(
        wait_until, lambda: not any(Path(f"/proc/{pid}").exists() for pid in before), 20
    )
