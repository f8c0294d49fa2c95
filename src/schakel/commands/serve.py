"""`schakel serve`: one node, until it is told to stop."""

from __future__ import annotations

import asyncio
import sys
from collections.abc import Callable, Coroutine
from pathlib import Path

from schakel import config, supervisor, technical_log
from schakel.compose import VERSIONS
from schakel.config import Settings
from schakel.fhir.definitions import definitions
from schakel.kernel.outcomes import Invalid, Outcome
from schakel.serve import Among
from schakel.serve import serve as run_node


def serve(config_file: Path, log_level: str) -> int:
    """Serves the node of `config_file` until SIGINT or SIGTERM, from as many processes as it says; then requests under
    way are finished.

    Raises `Invalid` when the node cannot start.
    """
    settings = config.load(config_file)
    technical_log.configure(log_level)
    ready = _announcing(settings)
    try:
        if settings.processes > 1:
            _several(settings, ready)
        else:
            _run(run_node(settings, ready))
    except Outcome as error:
        # What keeps a node from starting stands in its configuration, or in what that points to.
        raise Invalid(error.message, code=error.kind, cause=error.cause) from error
    return 0


def _several(settings: Settings, ready: Callable[[], None]) -> None:
    for version in VERSIONS:
        definitions(version)  # Loaded once, for all of them.

    def task(ready: Callable[[], None], lives: Callable[[], None], lifeline: int, *, joins: bool) -> None:
        _run(run_node(settings, ready, Among(lives, lifeline, joins)))

    supervisor.run(settings.processes, task, ready)


def _announcing(settings: Settings) -> Callable[[], None]:
    host = f"[{settings.host}]" if ":" in settings.host else settings.host
    names = ", ".join(o.slug for o in settings.organisations)
    internal = "http" if settings.internal_tls is None else "https"
    doors = [
        f"front http://{host}:{settings.front_port}",
        f"internal {internal}://{host}:{settings.internal_port}",
    ]
    if (back := settings.back) is not None:
        doors.append(f"back {'http' if back.certificate is None else 'https'}://{host}:{back.port}")
    line = f"ready: {', '.join(doors)} ({names}); Ctrl-C stops"
    return lambda: print(line, flush=True)


def _run(work: Coroutine[object, object, None]) -> None:
    """Runs `work` on uvloop where there is one."""
    if sys.platform == "win32":
        asyncio.run(work)
        return
    import uvloop

    with asyncio.Runner(loop_factory=uvloop.new_event_loop) as runner:
        runner.run(work)
