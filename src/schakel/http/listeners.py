"""The listeners: uvicorn servers in one event loop, started together and stopped together."""

from __future__ import annotations

import asyncio
import contextlib
import errno
import socket
import ssl
from collections.abc import AsyncIterator, Callable, Iterator, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from functools import partial
from typing import Any, Literal

import uvicorn
from starlette.types import ASGIApp

from schakel.http.connections import Bounds, Connection
from schakel.kernel.outcomes import Busy

_BACKLOG = 2048

Shared = Literal["no", "opens", "joins"]


@dataclass(frozen=True, slots=True)
class Address:
    """A port of the settings `host` and `setting`. When it is `shared`, other processes listen there too, and the
    system gives each connection to one of them: who `opens` it has it for itself until then, who `joins` does not
    mind."""

    host: str
    port: int
    setting: str
    shared: Shared = "no"


@dataclass(frozen=True, slots=True)
class Listener:
    """An application and where it listens. With `tls` it speaks nothing else."""

    name: str
    app: ASGIApp
    address: Address
    bounds: Bounds = field(default_factory=Bounds)
    tls: ssl.SSLContext | None = None


class _Server(uvicorn.Server):
    """A server that leaves signals to the program, and gives up a TLS handshake that takes too long."""

    def __init__(self, config: uvicorn.Config, listener: Listener) -> None:
        super().__init__(config)
        self._listener = listener

    @contextlib.contextmanager
    def capture_signals(self) -> Iterator[None]:
        yield

    async def startup(self, sockets: list[socket.socket] | None = None) -> None:
        listener = self._listener
        if listener.tls is None:
            await super().startup(sockets)
            return
        protocol: Any = self.config.http_protocol_class
        made: Callable[[], asyncio.Protocol] = partial(
            protocol,
            config=self.config,
            server_state=self.server_state,
            app_state=self.lifespan.state,
        )
        self.servers = [
            await asyncio.get_running_loop().create_server(
                made,
                sock=sock,
                ssl=listener.tls,
                backlog=_BACKLOG,
                ssl_handshake_timeout=listener.bounds.handshake_seconds,
                ssl_shutdown_timeout=listener.bounds.handshake_seconds,
            )
            for sock in sockets or ()
        ]
        self.started = True


def bind(address: Address) -> socket.socket:
    """A listening socket. Raises `Busy` with a sentence when the address cannot be had."""
    family = socket.AF_INET6 if ":" in address.host else socket.AF_INET
    # With the protocol named, asyncio sends without waiting for more (TCP_NODELAY); else each answer takes 40 ms.
    sock = socket.socket(family, socket.SOCK_STREAM, socket.IPPROTO_TCP)
    sock.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    try:
        if address.shared == "joins":
            sock.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEPORT, 1)
        sock.bind((address.host, address.port))
        sock.listen(_BACKLOG)  # Already here: two sockets that do not listen may have the same port.
        if address.shared == "opens":
            sock.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEPORT, 1)
    except OSError as error:
        sock.close()
        taken = error.errno == errno.EADDRINUSE
        raise Busy(
            f"port {address.port} on {address.host} cannot be used ({error.strerror}); change the setting "
            + (f"{address.setting}, or stop the program that has the port" if taken else "host"),
            code="port-taken" if taken else "address-unusable",
        ) from error
    return sock


def _configuration(listener: Listener) -> uvicorn.Config:
    protocol: Any = partial(Connection, listener.bounds)  # uvicorn calls it, as it would call a class.
    return uvicorn.Config(
        listener.app,
        http=protocol,
        ws="none",
        log_config=None,
        access_log=False,
        proxy_headers=False,
        server_header=False,
        backlog=_BACKLOG,
        timeout_keep_alive=listener.bounds.idle_seconds,  # type: ignore[arg-type] # a part of a second will do
        timeout_graceful_shutdown=5,
        lifespan="off",
    )


@asynccontextmanager
async def listening(listeners: Sequence[Listener]) -> AsyncIterator[None]:
    """Serves all listeners while the block runs; requests under way are finished at the end (5 s)."""
    sockets: list[socket.socket] = []
    try:
        for listener in listeners:
            sockets.append(bind(listener.address))
    except Busy:
        for sock in sockets:
            sock.close()
        raise
    servers = [_Server(_configuration(listener), listener) for listener in listeners]
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
