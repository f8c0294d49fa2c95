"""Serves facilities: one uvicorn server each, started and stopped together.

A facility with TLS finds the certificate of its client in the scope, as the TLS extension of ASGI says:
`scope["extensions"]["tls"]["client_cert_chain"]` is a list of PEM texts, empty when none was shown.
"""

from __future__ import annotations

import asyncio
import contextlib
import signal
import socket
import ssl
from collections.abc import AsyncIterator, Callable, Iterator, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import uvicorn
from starlette.types import ASGIApp, Receive, Scope, Send
from uvicorn.protocols.http.h11_impl import H11Protocol

from schakel.kernel.outcomes import Busy

DOWN = ".down"
"""End of the name of a file that takes a facility away."""

_LOOK_SECONDS = 0.1


@dataclass(frozen=True, slots=True)
class Tls:
    """PEM files: our certificate with the chain above it, its key, and the authorities one of which must have signed
    the client's certificate; None when clients show none. With `optional` a client may do without."""

    certificate: Path
    key: Path
    clients: Path | None = None
    optional: bool = False


@dataclass(frozen=True, slots=True)
class Facility:
    """A facility and the port it listens on."""

    name: str
    app: ASGIApp
    port: int
    tls: Tls | None = None


class _Protocol(H11Protocol):
    """A connection that tells the facility which certificate its client showed."""

    def connection_made(self, transport: asyncio.Transport) -> None:  # type: ignore[override]
        super().connection_made(transport)
        secure: ssl.SSLObject = transport.get_extra_info("ssl_object")
        der = secure.getpeercert(binary_form=True)
        chain = [ssl.DER_cert_to_PEM_cert(der)] if der else []
        inner = self.app

        async def app(scope: Scope, receive: Receive, send: Send) -> None:
            extensions = {**scope.get("extensions", {}), "tls": {"client_cert_chain": chain}}
            await inner({**scope, "extensions": extensions}, receive, send)

        self.app = app


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
                    **_secured(one.tls),
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
                for one, task in zip(facilities, tasks, strict=True):
                    if task.done():
                        task.result()
                        raise Busy(f"the facility {one.name} did not start", code="not-started")
                await asyncio.sleep(0.01)
            yield
        finally:
            for server in servers:
                server.should_exit = True
            await asyncio.gather(*tasks, return_exceptions=True)


async def serve(
    host: str, facilities: Sequence[Facility], again: Callable[[str], Facility], folder: Path
) -> None:
    """Serves until SIGINT or SIGTERM. As long as there is a file `{name}.down` in `folder` the facility of that name is
    not there; after that it comes back as `again` makes it. Raises `Busy` when a port cannot be had."""
    stop = asyncio.Event()
    loop = asyncio.get_running_loop()
    for number in (signal.SIGINT, signal.SIGTERM):
        loop.add_signal_handler(number, stop.set)
    up: dict[str, contextlib.AsyncExitStack] = {}
    try:
        for one in facilities:
            up[one.name] = await _up(host, one)
        while not stop.is_set():
            for name in [one.name for one in facilities]:
                down = (folder / f"{name}{DOWN}").exists()
                if down and name in up:
                    await up.pop(name).aclose()
                elif not down and name not in up:
                    up[name] = await _up(host, again(name))
            with contextlib.suppress(TimeoutError):
                await asyncio.wait_for(stop.wait(), _LOOK_SECONDS)
    finally:
        await asyncio.gather(*(one.aclose() for one in up.values()))


async def _up(host: str, facility: Facility) -> contextlib.AsyncExitStack:
    """What ends the facility, which is served now."""
    stack = contextlib.AsyncExitStack()
    await stack.enter_async_context(serving(host, [facility]))
    return stack


def _secured(tls: Tls | None) -> dict[str, Any]:
    """Options of uvicorn."""
    if tls is None:
        return {}
    asked = ssl.CERT_OPTIONAL if tls.optional else ssl.CERT_REQUIRED
    return {
        "http": _Protocol,
        "ssl_certfile": tls.certificate,
        "ssl_keyfile": tls.key,
        "ssl_ca_certs": str(tls.clients) if tls.clients else None,
        "ssl_cert_reqs": asked if tls.clients else ssl.CERT_NONE,
    }


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
