"""The load generator: a closed loop over kept-alive connections, in a process of its own.

A raw protocol on uvloop, because every microsecond that the generator spends is one that the node does not get
on a small machine; `bench` prints what it costs against an endpoint that does nothing. A plan goes in on standard
input (pickle, from our own process), what was measured comes out as JSON.
"""

from __future__ import annotations

import asyncio
import json
import os
import pickle
import re
import resource
import subprocess
import sys
import time
from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass, field
from functools import partial
from pathlib import Path
from typing import cast

import aiohttp
import uvloop
from yarl import URL

from bench.credentials import Credentials

_LENGTH = re.compile(rb"\r\ncontent-length: *(\d+)", re.IGNORECASE)
_MOST_SECONDS = 120
_ROOT = Path(__file__).resolve().parents[1]


@dataclass(frozen=True, slots=True)
class Plan:
    """What to send to 127.0.0.1:`port`. With `seconds` the requests are repeated in turn for so long; without, each
    is sent once. The first `warm_up` seconds do not count. An answer counts as right with status 200 and `expect` in
    it. `pid` is the serving process; `shown` is what to show and trust where TLS is spoken."""

    port: int
    requests: Sequence[bytes]
    connections: int = 16
    seconds: float = 0
    warm_up: float = 0
    expect: bytes = b""
    pid: int = 0
    shown: Credentials | None = None


@dataclass(frozen=True, slots=True)
class Rounds:
    """`number` rounds of concurrent GETs, one of each of `urls`, with the HTTP client that nodes use; `warm_up`
    rounds before them do not count."""

    urls: tuple[str, ...]
    number: int
    headers: dict[str, str] = field(default_factory=dict)
    warm_up: int = 5
    shown: Credentials | None = None


@dataclass(frozen=True, slots=True)
class Measured:
    """Right answers and how long they took (milliseconds). `own_cost` is what the generator itself spent on
    each, `cost` what the serving process did (microseconds of processor time); `wrong` shows the first answer
    that was not right."""

    answers: int
    seconds: float
    rate: float
    p50: float
    p95: float
    p99: float
    received: int
    own_cost: float
    cost: float = 0
    failures: int = 0
    wrong: str = ""


def request(method: str, path: str, headers: dict[str, str] | None = None, body: bytes = b"") -> bytes:
    """One HTTP/1.1 request as bytes."""
    lines = [f"{method} {path} HTTP/1.1", "Host: 127.0.0.1"]
    lines += [f"{name}: {value}" for name, value in (headers or {}).items()]
    if body:
        lines.append(f"Content-Length: {len(body)}")
    return "\r\n".join([*lines, "", ""]).encode() + body


def measure(plan: Plan | Rounds, *, strict: bool = True) -> Measured:
    """Runs a plan in a generator process. Raises `RuntimeError` when an answer was not right and that may not be
    (`strict`)."""
    done = subprocess.run(
        [sys.executable, "-m", "bench.generator"],
        input=pickle.dumps(plan),
        capture_output=True,
        check=True,
        cwd=_ROOT,
        timeout=_MOST_SECONDS,
    )
    found = Measured(**json.loads(done.stdout))
    if strict and found.failures:
        raise RuntimeError(f"{found.failures} of {found.failures + found.answers} failed: {found.wrong}")
    return found


@dataclass
class _Run:
    plan: Plan
    begin: float = 0
    end: float = 0
    place: int = 0
    cost_before: float = 0
    served_before: float = 0
    latencies: list[float] = field(default_factory=list)
    received: int = 0
    failures: int = 0
    wrong: str = ""

    def take(self) -> bytes | None:
        """The next request, or None when it is enough."""
        plan, place = self.plan, self.place
        if plan.seconds:
            if time.perf_counter() >= self.end:
                return None
        elif place >= len(plan.requests):
            return None
        self.place = place + 1
        return plan.requests[place % len(plan.requests)]

    def answered(self, began: float, answer: bytes, right: bool) -> None:
        if not right:
            self.failures += 1
            self.wrong = self.wrong or answer[:3000].decode(errors="replace")
        elif began >= self.begin:
            if not self.latencies:
                self.cost_before = _processor_seconds()
                self.served_before = served_seconds(self.plan.pid)
            self.latencies.append((time.perf_counter() - began) * 1000)
            self.received += len(answer)


class _Client(asyncio.Protocol):
    """One connection: asks, reads the whole answer, asks again."""

    def __init__(self, run: _Run, done: asyncio.Future[None]) -> None:
        self._run = run
        self._done = done
        self._buffer = bytearray()
        self._needed = 0
        self._began = 0.0

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._write: Callable[[bytes], None] = cast(asyncio.Transport, transport).write
        self._ask()

    def _ask(self) -> None:
        request = self._run.take()
        if request is None:
            if not self._done.done():
                self._done.set_result(None)
            return
        self._began = time.perf_counter()
        self._write(request)

    def data_received(self, data: bytes) -> None:
        buffer = self._buffer
        buffer += data
        if not self._needed:
            head = buffer.find(b"\r\n\r\n")
            if head < 0:
                return
            length = _LENGTH.search(buffer, 0, head)
            self._needed = head + 4 + (int(length[1]) if length else 0)
        if len(buffer) >= self._needed:
            answer = bytes(buffer)
            buffer.clear()
            self._needed = 0
            self._run.answered(
                self._began, answer, answer[9:12] == b"200" and self._run.plan.expect in answer
            )
            self._ask()

    def connection_lost(self, error: Exception | None) -> None:
        if not self._done.done():
            self._run.failures += 1
            self._run.wrong = self._run.wrong or f"the connection was closed: {error}"
            self._done.set_result(None)


async def _loop(plan: Plan) -> Measured:
    loop = asyncio.get_running_loop()
    run = _Run(plan)
    context = plan.shown.client() if plan.shown else None
    run.begin = time.perf_counter() + plan.warm_up
    run.end = run.begin + plan.seconds
    done = [loop.create_future() for _ in range(plan.connections)]
    for future in done:
        await loop.create_connection(partial(_Client, run, future), "127.0.0.1", plan.port, ssl=context)
    await asyncio.gather(*done)
    seconds = time.perf_counter() - run.begin
    own = _processor_seconds() - run.cost_before
    served = served_seconds(plan.pid) - run.served_before
    return _measured(run.latencies, seconds, run.received, own, served, run.failures, run.wrong)


async def _rounds(plan: Rounds) -> Measured:
    """Latencies are of whole rounds."""
    latencies: list[float] = []
    received = 0
    tls = plan.shown.client() if plan.shown else True
    connector = aiohttp.TCPConnector(limit=0, limit_per_host=len(plan.urls), ssl=tls)
    async with aiohttp.ClientSession(connector=connector, headers=plan.headers) as session:

        async def get(url: str) -> int:
            async with session.get(URL(url, encoded=True)) as response:
                response.raise_for_status()
                return len(await response.read())

        for number in range(plan.warm_up + plan.number):
            began = time.perf_counter()
            size = sum(await asyncio.gather(*map(get, plan.urls)))
            if number >= plan.warm_up:
                latencies.append((time.perf_counter() - began) * 1000)
                received += size
    return _measured(latencies, sum(latencies) / 1000, received, 0, 0, 0, "")


def _measured(
    latencies: list[float],
    seconds: float,
    received: int,
    own: float,
    served: float,
    failures: int,
    wrong: str,
) -> Measured:
    ordered = sorted(latencies) or [0.0]
    number = len(latencies)

    def part(share: float) -> float:
        return ordered[min(len(ordered) - 1, int(share * len(ordered)))]

    return Measured(
        answers=number,
        seconds=seconds,
        rate=number / seconds if seconds else 0,
        p50=part(0.50),
        p95=part(0.95),
        p99=part(0.99),
        received=received,
        own_cost=own / number * 1e6 if number else 0,
        cost=served / number * 1e6 if number else 0,
        failures=failures,
        wrong=wrong,
    )


def _processor_seconds() -> float:
    used = resource.getrusage(resource.RUSAGE_SELF)
    return used.ru_utime + used.ru_stime


def served_seconds(pid: int) -> float:
    """Processor time that a process and those it started have used, in seconds; 0 where the kernel does not say (no
    /proc)."""
    try:
        fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
        children = Path(f"/proc/{pid}/task/{pid}/children").read_text().split()
    except OSError:
        return 0.0
    own = (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")
    return own + sum(served_seconds(int(child)) for child in children)


def _main() -> None:
    plan = pickle.load(sys.stdin.buffer)
    measured = uvloop.run(_loop(plan) if isinstance(plan, Plan) else _rounds(plan))
    print(json.dumps(asdict(measured)))


if __name__ == "__main__":
    # Under its own name, so that the pickled plan is of the class that is looked for here.
    from bench.generator import _main as main

    main()
