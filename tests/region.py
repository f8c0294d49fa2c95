"""A whole demo region for a test: `schakel demo` as a process of its own, on ports that are free.

`started(...)` is one region for one test. `region` is a fixture with one for the whole session; a test module
takes it by importing it. Its tests leave it as they found it, but for what they add.
"""

from __future__ import annotations

import json
import os
import random
import signal
import socket
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator, Mapping
from contextlib import ExitStack, contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

PORTS = 30
READY_SECONDS = 150.0
"""Generous: the machine may be busy with other tests."""


@dataclass
class Demo:
    """A `schakel demo` that runs. `published` is its demo.json, once it is ready."""

    process: subprocess.Popen[bytes]
    folder: Path
    output: Path
    port: int
    published: dict[str, Any]

    @property
    def said(self) -> str:
        """What it wrote to stdout and stderr."""
        return self.output.read_text(errors="replace")

    @property
    def pids(self) -> list[int]:
        """All processes that demo.json names."""
        return [one["pid"] for one in self.published["processes"]]

    def organisation(self, slug: str) -> dict[str, Any]:
        """One of the eight organisations."""
        found: dict[str, Any] = next(o for o in self.published["organisations"] if o["slug"] == slug)
        return found

    def stop(self, number: signal.Signals = signal.SIGINT, seconds: float = 30) -> int:
        """End it by a signal; the exit code."""
        self.process.send_signal(number)
        return self.process.wait(seconds)


def free_ports(count: int = PORTS) -> int:
    """The first of so many consecutive ports that are free now, below those the system gives out itself."""
    chance = random.Random()
    for _ in range(200):
        first = chance.randrange(20_000, 32_000 - count)
        with ExitStack() as held:
            try:
                for port in range(first, first + count):
                    one = held.enter_context(socket.socket())
                    one.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
                    one.bind(("127.0.0.1", port))
            except OSError:
                continue
        return first
    raise AssertionError("no consecutive ports are free")


def command(*options: str) -> list[str]:
    """The command line of `schakel demo`."""
    return [sys.executable, "-m", "schakel", "demo", "--no-browser", *options]


def run(*options: str, seconds: float = 120) -> subprocess.CompletedProcess[str]:
    """`schakel demo` to its end."""
    return subprocess.run(command(*options), capture_output=True, text=True, timeout=seconds, check=False)


def launch(
    output: Path, *options: str, environment: Mapping[str, str] | None = None
) -> subprocess.Popen[bytes]:
    """`schakel demo`, begun; what it says goes to `output`."""
    with output.open("wb") as file:
        return subprocess.Popen(
            command(*options),
            stdin=subprocess.DEVNULL,
            stdout=file,
            stderr=subprocess.STDOUT,
            env={**os.environ, **(environment or {})},
        )


@contextmanager
def started(folder: Path, *, patients: int | None = None, port: int = 0) -> Iterator[Demo]:
    """A region with its data in `folder`, ready; ended afterwards, also when the test fails."""
    port = port or free_ports()
    options = ["--data", str(folder), "--port", str(port)]
    options += [] if patients is None else ["--patients", str(patients)]
    descriptor, name = tempfile.mkstemp(prefix="schakel-test-demo-")
    os.close(descriptor)
    output = Path(name)
    process = launch(output, *options)
    demo = Demo(process, folder, output, port, {})
    try:
        wait_until_said(demo, "Ready after")
        demo.published = json.loads((folder / "demo.json").read_bytes())
        yield demo
    finally:
        with suppress(ProcessLookupError, subprocess.TimeoutExpired):
            demo.stop()
        process.kill()
        process.wait(10)
        output.unlink()


def wait_until_said(demo: Demo, text: str, seconds: float = READY_SECONDS) -> None:
    """Returns when the demo has written `text`; fails with all it wrote when it ends or takes too long."""
    end = time.monotonic() + seconds
    while text not in demo.said:
        assert demo.process.poll() is None, f"the demo ended with {demo.process.returncode}:\n{demo.said}"
        assert time.monotonic() < end, f"the demo did not say {text!r} in time:\n{demo.said}"
        time.sleep(0.05)


def alive(pid: int) -> bool:
    """Whether a process runs (and is no zombie)."""
    try:
        os.kill(pid, 0)
        state = Path(f"/proc/{pid}/stat")
        return not state.exists() or state.read_text().rpartition(")")[2].split()[0] != "Z"
    except (ProcessLookupError, FileNotFoundError):
        return False


def working_on(folder: Path) -> list[int]:
    """Process ids of everything whose command line names a folder, but for ourselves."""
    found = []
    for entry in Path("/proc").glob("[0-9]*"):
        with suppress(OSError):
            if (
                os.fsencode(folder) in entry.joinpath("cmdline").read_bytes()
                and int(entry.name) != os.getpid()
            ):
                found.append(int(entry.name))
    return [pid for pid in found if alive(pid)]


def gone_within(folder: Path, seconds: float) -> bool:
    """Whether nothing works on `folder` any more before so many seconds have passed."""
    end = time.monotonic() + seconds
    while working_on(folder):
        if time.monotonic() > end:
            return False
        time.sleep(0.1)
    return True


@pytest.fixture(scope="session")
def region(open_folder: Path) -> Iterator[Demo]:
    """One region with ten patients for all tests of the session that take it."""
    with started(open_folder / "region", patients=10) as demo:
        yield demo
