"""The processes of the region, nodes and stand-ins: started through the keeper, so that none outlives this program.

The keeper (`schakel.store.keeper`) ends its program when the pipe to us closes, which it also does when we are
killed. It gives its program a bare environment: no setting of the caller (`SCHAKEL_...`) reaches one.
"""

from __future__ import annotations

import asyncio
import contextlib
import sys
from asyncio.subprocess import PIPE, Process
from collections.abc import Sequence
from pathlib import Path

from schakel.kernel.outcomes import Fault
from schakel.store import keeper
from schakel.store.cluster_folder import last_lines

_FINISHING_SECONDS = 8.0
"""How long one may take to finish the requests under way (its own limit is 5)."""

_ENDING_SECONDS = 6.0


class RegionProcess:
    """One process that runs: `name` is for machines, `what` for people. Made by `start`."""

    def __init__(self, name: str, what: str, pid: int, keeper_process: Process, log: Path) -> None:
        self.name = name
        self._what = what
        self.pid = pid
        self._keeper = keeper_process
        self._log = log

    @classmethod
    async def start(cls, name: str, what: str, program: Sequence[str], log: Path) -> RegionProcess:
        """Start `program`; what it says goes to `log`, written anew."""
        command = [sys.executable, "-I", "-S", keeper.__file__, "-1", "-1", *program]
        with log.open("wb") as output:
            process = await asyncio.create_subprocess_exec(
                *command, stdin=PIPE, stdout=PIPE, stderr=output, cwd="/", start_new_session=True
            )
        made = cls(name, what, 0, process, log)
        try:
            assert process.stdout is not None
            said = (await process.stdout.readline()).strip()
            if not said.isdigit():
                raise made.died()
            made.pid = int(said)
        except BaseException:
            await made.stop()
            raise
        return made

    @property
    def running(self) -> bool:
        return self._keeper.returncode is None

    async def ended(self) -> None:
        """Returns when it has ended, for whatever reason."""
        await self._keeper.wait()

    def died(self) -> Fault:
        """The error that says it ended by itself, how, and the end of its log."""
        code = self._keeper.returncode or 0
        how = f"by signal {256 - code}" if code > 200 else f"with exit code {code}"
        said = ""
        with contextlib.suppress(OSError):
            said = last_lines(self._log.read_text(errors="replace"))
        end = f"Its log ends with:\n{said}" if said else "Its log is empty."
        return Fault(f"{self._what} ended {how}. {end}")

    async def stop(self) -> None:
        """Let the process finish what is under way; then end it, and its keeper."""
        assert self._keeper.stdin is not None
        with contextlib.suppress(ConnectionError, RuntimeError):
            self._keeper.stdin.write(b"f")
        if not await self._gone(_FINISHING_SECONDS):
            self._keeper.stdin.close()
            if not await self._gone(_ENDING_SECONDS):
                self._keeper.kill()
                await self._keeper.wait()
        self._keeper.stdin.close()

    async def _gone(self, seconds: float) -> bool:
        try:
            await asyncio.wait_for(self._keeper.wait(), seconds)
        except TimeoutError:
            return False
        return True
