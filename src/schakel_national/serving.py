"""Serves facilities: one uvicorn server each, started and stopped together."""

from __future__ import annotations

import asyncio
import contextlib
import signal
import socket
from collections.abc import AsyncIterator, Iterator, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass

import uvicorn
from starlette.types import ASGIApp

from schakel.kernel.outcomes import Busy


@dataclass(frozen=True, slots=True)
class Facility:
    """A facility and the port it listens on."""

    name: str
    app: ASGIApp
    port: int


class _Server(uvicorn.Server):
    """A server that leaves signals to the program."""

    @contextlib.contextmanager
    def capture_signals(self) -> Iterator[None]:
        yield


@asynccontextmanager
async def serving(host: str, facilities: Sequence[Facility]) -> AsyncIterator[None]:
    """Serves all of them while the block runs. Raises `Busy` when a port cannot be had."""
    with contextlib.ExitStack() as stack:
        sockets = [stack.enter_context(contextlib.closing(_bound(host, one))) for one in facilities]
        servers = [
            _Server(
                uvicorn.Config(
                    one.app,
                    log_config=None,
                    access_log=False,
                    lifespan="auto",
                    interface="asgi3",
                    timeout_graceful_shutdown=3,
                )
            )
            for one in facilities
        ]
        tasks = [
            asyncio.create_task(server.serve(sockets=[sock]))
            for server, sock in zip(servers, sockets, strict=True)
        ]
        try:
            while not all(server.started for server in servers):
                for task in tasks:
                    if task.done():
                        task.result()
                await asyncio.sleep(0.01)
            yield
        finally:
            for server in servers:
                server.should_exit = True
            await asyncio.gather(*tasks, return_exceptions=True)


async def serve(host: str, facilities: Sequence[Facility]) -> None:
    """Serves until SIGINT or SIGTERM."""
    stop = asyncio.Event()
    loop = asyncio.get_running_loop()
    for number in (signal.SIGINT, signal.SIGTERM):
        loop.add_signal_handler(number, stop.set)
    async with serving(host, facilities):
        await stop.wait()


def _bound(host: str, facility: Facility) -> socket.socket:
    sock = socket.socket(socket.AF_INET, socket.SOCK_STREAM, socket.IPPROTO_TCP)
    sock.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    try:
        sock.bind((host, facility.port))
        sock.listen(128)
    except OSError as error:
        sock.close()
        raise Busy(
            f"port {facility.port} on {host}, of the facility {facility.name}, cannot be used ({error.strerror})",
            code="port-taken",
        ) from error
    return sock
