"""How long until people can begin: the demo as the README has it, from the command until it says that it is ready, and
again in the folder that the first one left. `python -m bench.start` is this alone."""

from __future__ import annotations

import asyncio
import shutil
import sys
import time
from asyncio.subprocess import DEVNULL, PIPE
from pathlib import Path

from bench.pair import free_row, temporary_folder
from bench.report import Figure, hardware, table
from schakel.demo.doors import PORTS

_PATIENCE = 300.0


async def starts() -> list[Figure]:
    """The figures of the demo with its hundred patients. Raises `RuntimeError` when it does not start."""
    folder = temporary_folder()
    try:
        first = await _ready(folder / "region")
        again = await _ready(folder / "region")
    finally:
        shutil.rmtree(folder, ignore_errors=True)
    return [
        Figure("demo", "ready, with 100 patients and its stand-ins", first, "s", "less", goal=30),
        Figure("demo", "ready again, with the data that are there", again, "s", "less"),
    ]


async def _ready(data: Path) -> float:
    """Seconds from the command to the line that says it."""
    program = [sys.executable, "-m", "schakel", "demo", "--no-browser", "--data", str(data)]
    began = time.monotonic()
    process = await asyncio.create_subprocess_exec(
        *program, "--port", str(free_row(PORTS)), stdin=DEVNULL, stdout=PIPE, stderr=asyncio.subprocess.STDOUT
    )
    assert process.stdout is not None
    try:
        async with asyncio.timeout(_PATIENCE):
            while line := await process.stdout.readline():
                if b"Ready after" in line:
                    return time.monotonic() - began
        raise RuntimeError("the demo ended before it was ready")
    finally:
        process.terminate()
        await process.communicate()


if __name__ == "__main__":
    print(f"{hardware()}\n\n{table(asyncio.run(starts()))}")
