"""The listeners: uvicorn servers in one event loop, started together and stopped together."""

from __future__ import annotations

import asyncio
import contextlib
import socket
from collections.abc import AsyncIterator, Iterator, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass

import uvicorn
from starlette.applications import Starlette

from schakel.kernel.outcomes import Busy


@dataclass(frozen=True, slots=True)
class Listener:
    """An application and where it listens."""

    name: str
    app: Starlette
    host: str
    port: int


class _Server(uvicorn.Server):
    """A server that leaves signals to the program."""

    @contextlib.contextmanager
    def capture_signals(self) -> Iterator[None]:
        yield


def bind(host: str, port: int) -> socket.socket:
    """A listening socket. Raises `Busy` with a sentence when the address is taken."""
    family = socket.AF_INET6 if ":" in host else socket.AF_INET
    sock = socket.socket(family, socket.SOCK_STREAM)
    sock.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    try:
        sock.bind((host, port))
    except OSError as error:
        sock.close()
        raise Busy(
            f"port {port} on {host} cannot be used ({error.strerror}): another program may have it; "
            "choose another port",
            code="port-taken",
        ) from error
    return sock


@asynccontextmanager
async def listening(listeners: Sequence[Listener]) -> AsyncIterator[None]:
    """Serves all listeners while the block runs; requests under way are finished at the end (5 s)."""
    sockets = []
    try:
        sockets = [bind(listener.host, listener.port) for listener in listeners]
    except Busy:
        for sock in sockets:
            sock.close()
        raise
    servers = [
        _Server(
            uvicorn.Config(
                listener.app,
                log_config=None,
                access_log=False,
                proxy_headers=False,
                server_header=False,
                timeout_keep_alive=75,
                timeout_graceful_shutdown=5,
                lifespan="off",
            )
        )
        for listener in listeners
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
