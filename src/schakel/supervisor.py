"""Several processes that serve one node at the same addresses, each on a core of its own.

The first process serves nothing itself: it starts the others, starts another for one that ended or says nothing any
more, and ends them all. What they share is the database, which already decides what may happen once; the system gives
each connection to one of them (SO_REUSEPORT, socket(7)). Nobody serves on when the first process is killed: each holds
the reading end of a pipe of which the first has the other.
"""

from __future__ import annotations

import gc
import os
import select
import signal
import socket
import sys
import time
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass, field
from functools import partial
from typing import NoReturn, Protocol

import orjson
import structlog

from schakel.kernel.outcomes import Fault, Invalid, Outcome

_log = structlog.get_logger("schakel.supervisor")

_LONGEST_PAUSE = 30.0
"""Seconds before another is started for one that keeps ending."""

_SETTLED = 60.0
"""Seconds after which one that answers is not counted with those that ended before it."""

_PATIENCE = 40.0
"""Seconds in which those that are told to end do so; then they are killed."""

_SILENT = 60.0
"""Seconds without a word after which one that answered is taken to hang."""


class Task(Protocol):
    """What each process does."""

    def __call__(
        self, ready: Callable[[], None], lives: Callable[[], None], lifeline: int, *, joins: bool
    ) -> None:
        """Serves until it is told to stop or the file descriptor `lifeline` can be read. Calls `ready` once it answers
        and `lives` every few seconds from then on. `joins` when another may have the addresses already."""


@dataclass(slots=True)
class _Serving:
    """One place among the processes: who has it now, and what it said. How often in a row one ended here makes the
    next pause."""

    pid: int = 0
    says: int = -1
    heard: bytearray = field(default_factory=bytearray)
    ends: int = 0
    started: float = 0.0
    spoke: float = 0.0
    again_at: float = 0.0

    @property
    def ready(self) -> bool:
        """Whether who has or had the place said that it answers."""
        return self.heard.startswith(b"+")

    @property
    def waits(self) -> bool:
        """Whether there is a moment at which something is to be done here: another started, or one found to hang."""
        return self.ready if self.pid else self.again_at > 0


def run(number: int, task: Task, ready: Callable[[], None]) -> None:
    """Has `number` processes do `task` until SIGINT or SIGTERM; calls `ready` when all of them answer.

    Raises the outcome that keeps the first of them from starting, as `Invalid`, and `Invalid` where the system has no
    such processes.
    """
    if sys.platform != "linux":
        raise Invalid(
            "processes is 1 on this system: of those we know, Linux alone spreads connections over several"
        )
    gc.freeze()  # What is loaded by now is shared by all, as long as nobody writes there.
    _Supervisor(number, task, ready).run()


class _Supervisor:
    def __init__(self, number: int, task: Task, ready: Callable[[], None]) -> None:
        self._task = task
        self._announce = ready
        self._announced = False
        self._ending = False
        self._places = [_Serving() for _ in range(number)]
        self._lifeline, self._held = os.pipe()
        self._woken, self._waker = socket.socketpair()

    def run(self) -> None:
        self._woken.setblocking(False)
        self._waker.setblocking(False)
        signal.set_wakeup_fd(self._waker.fileno(), warn_on_full_buffer=False)
        for number in (signal.SIGINT, signal.SIGTERM):
            signal.signal(number, self._told_to_end)
        signal.signal(
            signal.SIGCHLD, signal.SIG_DFL
        )  # Who started us may have ignored it: then none is left to wait for.
        try:
            self._start(self._places[0], joins=False)  # Alone: what keeps it from starting is said once.
            while any(one.pid for one in self._places) or not self._ending:
                self._turn()
        finally:
            self._end()

    def _told_to_end(self, number: int, frame: object) -> None:
        self._ending = True

    def _turn(self) -> None:
        """Waits for what happens next: a signal, what one of them says or its end, the time for another."""
        if self._ending:
            self._end()
            return
        due = [one.again_at if not one.pid else one.spoke + _SILENT for one in self._places if one.waits]
        heard = {one.says: one for one in self._places if one.pid}
        wait = max(min(due) - time.monotonic(), 0.0) if due else None
        for source in select.select([self._woken.fileno(), *heard], [], [], wait)[0]:
            if source in heard:
                self._hear(heard[source])
            else:
                with suppress(BlockingIOError):
                    self._woken.recv(4096)
        for one in self._places:
            if self._ending or not one.waits:
                continue
            if not one.pid and one.again_at <= time.monotonic():
                self._start_again(one)
            elif one.pid and one.spoke + _SILENT <= time.monotonic():
                _log.error("process-hangs", process=self._places.index(one) + 1, seconds=_SILENT)
                os.kill(one.pid, signal.SIGKILL)
                one.spoke = time.monotonic()

    def _hear(self, one: _Serving) -> None:
        if said := os.read(one.says, 65536):
            one.spoke = time.monotonic()
            if not one.ready:
                one.heard += said
                if one.ready:
                    self._one_more_answers()
            return
        status = self._ended(one)
        if self._ending:
            return
        why = None if one.ready else _outcome(bytes(one.heard), status)
        if not self._announced and one is self._places[0] and why is not None:
            raise why
        self._again_later(one, settled=one.ready and time.monotonic() - one.started > _SETTLED)
        number, kind = self._places.index(one) + 1, why.kind if why else ""
        _log.error("process-ended", process=number, status=status, code=kind, why=why.message if why else "")

    def _again_later(self, one: _Serving, *, settled: bool = False) -> None:
        one.ends = 0 if settled else one.ends + 1
        one.again_at = time.monotonic() + min(2.0 ** min(one.ends, 10) - 1, _LONGEST_PAUSE)

    def _one_more_answers(self) -> None:
        if self._announced:
            return
        for one in self._places:
            if not one.pid and not one.again_at:
                self._start_again(one)
        if all(one.pid and one.ready for one in self._places):
            self._announced = True
            self._announce()

    def _start_again(self, one: _Serving) -> None:
        try:
            self._start(one, joins=True)
        except OSError as error:  # No process or pipe to be had now; the others serve on.
            self._again_later(one)
            _log.error("process-not-started", process=self._places.index(one) + 1, cause=error.strerror or "")

    def _start(self, one: _Serving, *, joins: bool) -> None:
        says, say = os.pipe()
        sys.stdout.flush()
        sys.stderr.flush()
        try:
            pid = os.fork()
        except OSError:
            os.close(says)
            os.close(say)
            raise
        if pid == 0:
            os.close(says)
            self._serve(say, joins=joins)
        os.close(say)
        one.pid, one.says, one.heard = pid, says, bytearray()
        one.started, one.again_at = time.monotonic(), 0.0

    def _serve(self, say: int, *, joins: bool) -> NoReturn:
        """In the new process: the work, and how it went; nothing of the caller's is returned to."""
        code = 1
        try:
            signal.set_wakeup_fd(-1)
            for number in (signal.SIGINT, signal.SIGTERM):
                signal.signal(number, signal.SIG_DFL)
            self._woken.close()
            self._waker.close()
            os.close(self._held)
            for other in self._places:
                if other.pid:
                    os.close(other.says)
            self._task(partial(_write, say, b"+"), partial(_write, say, b"."), self._lifeline, joins=joins)
            code = 0
        except Outcome as error:
            _write(say, orjson.dumps({"kind": error.kind, "message": error.message, "cause": error.cause}))
        except BaseException:
            _log.error("fault", exc_info=True)
        finally:
            with suppress(Exception):
                sys.stdout.flush()
                sys.stderr.flush()
            os._exit(code)

    def _ended(self, one: _Serving) -> int:
        """The exit code of one that is gone, or the signal that ended it, below zero."""
        _, status = os.waitpid(one.pid, 0)
        os.close(one.says)
        one.pid, one.says = 0, -1
        return os.waitstatus_to_exitcode(status)

    def _end(self) -> None:
        """Ends them all: in order first, by force when that takes too long."""
        self._ending = True
        if self._held >= 0:
            os.close(self._held)
            self._held = -1
        until = time.monotonic() + _PATIENCE
        while alive := {one.says: one for one in self._places if one.pid}:
            wait = until - time.monotonic()
            if wait <= 0:
                for one in alive.values():
                    os.kill(one.pid, signal.SIGKILL)
                wait = _PATIENCE
            for source in select.select([*alive], [], [], wait)[0]:
                if not os.read(source, 65536):
                    self._ended(alive[source])


def _write(to: int, said: bytes) -> None:
    os.write(to, said)


def _outcome(said: bytes, status: int) -> Outcome:
    """Why one did not start."""
    if said and not said.startswith(b"+"):
        told = orjson.loads(said)
        return Invalid(told["message"], code=told["kind"], cause=told["cause"])
    return Fault(f"a process of the node ended before it answered (status {status}); its log says why")
