"""Runs one node: `schakel serve`."""

from __future__ import annotations

import asyncio
import contextlib
import gc
import signal
from collections.abc import Callable

from schakel import compose
from schakel.config import Settings
from schakel.http.connections import Bounds
from schakel.http.listeners import Listener, listening
from schakel.http.node import Node
from schakel.http.routes import application, front, internal


def listeners(settings: Settings, node: Node) -> list[Listener]:
    """The listeners of a node."""
    limits = settings.limits
    bounds = Bounds(
        limits.header_bytes,
        limits.header_seconds,
        limits.body_seconds,
        limits.idle_seconds,
        limits.connections,
    )
    host = settings.host
    return [
        Listener("front", application(front(node)), host, settings.front_port, bounds),
        Listener("internal", application(internal(node)), host, settings.internal_port, bounds),
    ]


def _allow_files(number: int) -> None:
    """Lets this process have so many open files, where the system lets us: each connection is one."""
    with contextlib.suppress(ImportError, ValueError, OSError):
        import resource

        soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
        if soft < number:
            most = number if hard == resource.RLIM_INFINITY else min(number, hard)
            resource.setrlimit(resource.RLIMIT_NOFILE, (most, hard))


async def serve(settings: Settings, ready: Callable[[], None], stop: asyncio.Event | None = None) -> None:
    """Serves until SIGINT, SIGTERM or `stop`; calls `ready` when the listeners answer."""
    stop = stop or asyncio.Event()
    _allow_files(2 * settings.limits.connections + settings.connections + 200)
    loop = asyncio.get_running_loop()
    for number in (signal.SIGINT, signal.SIGTERM):
        with contextlib.suppress(NotImplementedError):
            loop.add_signal_handler(number, stop.set)
    async with compose.node(settings) as node, listening(listeners(settings, node)):
        # What is loaded by now stays: the collector need not look at the definitions again and again.
        gc.collect()
        gc.freeze()
        gc.set_threshold(20_000, 20, 50)
        ready()
        await stop.wait()
