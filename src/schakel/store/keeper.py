"""The small process between this program and its own PostgreSQL server.

Run as a script with nothing but the standard library: `python -I -S keeper.py UID GID PROGRAM ARGUMENT...`,
where UID and GID are -1 to stay who we are. It starts PROGRAM as that user, writes the process id as one line
to its standard output, and then obeys its standard input, a pipe whose other end only the starting program
holds:

    f            fast shutdown: sessions are cut off, a checkpoint is written
    i            immediate shutdown: what was acknowledged is read back from the log at the next start
    end of file  the starting program is gone, even by kill -9: as `i`

So no server is ever left behind, on every Unix. On Linux the server is also tied to the keeper itself. The
keeper ends with the exit code of PROGRAM.
"""

from __future__ import annotations

import contextlib
import ctypes
import os
import signal
import subprocess
import sys
import threading
from collections.abc import Sequence

ENVIRONMENT = {"PATH": "/usr/local/bin:/usr/bin:/bin", "LC_ALL": "C.UTF-8", "TZ": "UTC"}
"""Of PostgreSQL's programs: no PGDATA, PGOPTIONS or language of the caller."""

_PR_SET_PDEATHSIG = 1
_PATIENCE = 3.0
"""Seconds an immediate shutdown may take before the server is killed."""


def _end_with_the_keeper() -> None:
    """Between fork and exec: have Linux stop the server when the keeper dies."""
    ctypes.CDLL(None).prctl(_PR_SET_PDEATHSIG, signal.SIGQUIT)


def _obey(server: subprocess.Popen[bytes]) -> None:
    """Carry out what the pipe says, until it ends."""
    while os.read(0, 1) == b"f":
        server.send_signal(signal.SIGINT)
    server.send_signal(signal.SIGQUIT)
    try:
        server.wait(_PATIENCE)
    except subprocess.TimeoutExpired:
        server.kill()


def main(arguments: Sequence[str]) -> int:
    """Start, obey, and return the server's exit code; 127 when it could not be started."""
    uid, gid, *command = arguments
    try:
        server = subprocess.Popen(
            command,
            stdin=subprocess.DEVNULL,
            stdout=sys.stderr,
            env=ENVIRONMENT,
            user=None if uid == "-1" else int(uid),
            group=None if gid == "-1" else int(gid),
            extra_groups=None if uid == "-1" else [],
            preexec_fn=_end_with_the_keeper if sys.platform == "linux" else None,
        )
    except OSError as error:
        print(f"{command[0]} could not be started: {error}", file=sys.stderr)
        return 127
    for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):
        signal.signal(number, signal.SIG_IGN)
    threading.Thread(target=_obey, args=(server,), daemon=True).start()
    with contextlib.suppress(BrokenPipeError):
        os.write(1, b"%d\n" % server.pid)
    return server.wait()


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
