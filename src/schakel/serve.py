"""Runs one node: `schakel serve`."""

from __future__ import annotations

import asyncio
import contextlib
import gc
import signal
import ssl
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from starlette.routing import BaseRoute
from starlette.types import ASGIApp

from schakel import compose
from schakel.config import Back, Settings
from schakel.http.connections import Bounds
from schakel.http.listeners import Address, Listener, Shared, listening
from schakel.http.node import Node
from schakel.http.peer import Proxies, peers_known
from schakel.http.routes import application, back, front, internal
from schakel.kernel import tls

_LIVES_SECONDS = 5.0
"""Between two moments at which one of several processes says that it lives."""


@dataclass(frozen=True, slots=True)
class Among:
    """Being one of several processes: `lives` is called every few seconds, the file descriptor `lifeline` can be read
    when it is time to stop; `joins` when another may have the addresses already."""

    lives: Callable[[], None]
    lifeline: int
    joins: bool


def addresses(settings: Settings, among: Among | None = None) -> dict[str, Address]:
    """Where a node listens, by listener."""
    ports = {
        "front": (settings.front_port, "front_port"),
        "internal": (settings.internal_port, "internal_port"),
    }
    if settings.back is not None:
        ports["back"] = (settings.back.port, "back.port")
    shared: Shared = "no" if among is None else "joins" if among.joins else "opens"
    return {name: Address(settings.host, port, setting, shared) for name, (port, setting) in ports.items()}


def listeners(
    settings: Settings,
    node: Node,
    served: Callable[[list[BaseRoute]], ASGIApp] = application,
    among: Among | None = None,
) -> list[Listener]:
    """The listeners of a node. Raises `Invalid` when a certificate or key cannot be used."""
    limits = settings.limits
    bounds = Bounds(
        limits.header_bytes,
        limits.header_seconds,
        limits.body_seconds,
        limits.idle_seconds,
        limits.connections,
        limits.handshake_seconds,
    )
    at = settings.back
    header = at.proxy_header.lower() if at else ""
    proxies = Proxies(at.proxies, header, at.address_header.lower()) if at and at.proxies else None

    where = addresses(settings, among)

    def listener(
        name: str, routes: list[BaseRoute], context: ssl.SSLContext | None = None, **rules: Any
    ) -> Listener:
        app = peers_known(served(routes), header=header, before=proxies, **rules)
        return Listener(name, app, where[name], bounds, context)

    made = [listener("front", front(node)), listener("internal", internal(node), _internal_tls(settings))]
    if at is not None:
        rules = {"proxies": proxies, "verdicts": node.verdicts}
        made.append(listener("back", back(node), _back_tls(at), **rules))
    return made


def _internal_tls(settings: Settings) -> ssl.SSLContext | None:
    """TLS on internal: a certificate is one way to prove oneself, the key in a header is the other."""
    given = settings.internal_tls
    if given is None:
        return None
    clients: tls.ClientCertificates = "asked" if given.client_ca else "none"
    return tls.server(given.certificate, given.key, given.client_ca, clients=clients, setting="internal_tls.")


def _back_tls(at: Back) -> ssl.SSLContext | None:
    """TLS on back. Behind a proxy the connection need not have a certificate, as the header tells of one; who comes
    past the proxy must show one all the same."""
    if at.certificate is None or at.key is None:
        return None
    return tls.server(
        at.certificate,
        at.key,
        at.client_ca,
        clients="asked" if at.proxies else "required",
        minimum=at.tls_minimum,
        setting="back.",
    )


def _allow_files(number: int) -> None:
    """Lets this process have so many open files, where the system lets us: each connection is one."""
    with contextlib.suppress(ImportError, ValueError, OSError):
        import resource

        soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
        if soft < number:
            most = number if hard == resource.RLIM_INFINITY else min(number, hard)
            resource.setrlimit(resource.RLIMIT_NOFILE, (most, hard))


async def serve(settings: Settings, ready: Callable[[], None], among: Among | None = None) -> None:
    """Serves until SIGINT or SIGTERM; calls `ready` when the listeners answer."""
    stop = asyncio.Event()
    # Each of the three listeners may have so many, and as many come to back that do not get through TLS.
    _allow_files(4 * settings.limits.connections + settings.connections + 200)
    loop = asyncio.get_running_loop()
    for number in (signal.SIGINT, signal.SIGTERM):
        with contextlib.suppress(NotImplementedError):
            loop.add_signal_handler(number, stop.set)
    async with compose.node(settings) as node, listening(listeners(settings, node, among=among)):
        # What is loaded by now stays: the collector need not look at the definitions again and again.
        gc.collect()
        gc.freeze()
        gc.set_threshold(20_000, 20, 50)
        gc.enable()
        ready()
        if among is not None:
            await _among(among, stop)
        await stop.wait()


async def _among(among: Among, stop: asyncio.Event) -> None:
    """Says that we live until it is time to stop."""
    loop = asyncio.get_running_loop()

    def ended() -> None:
        loop.remove_reader(among.lifeline)  # It can be read from now on, again and again.
        stop.set()

    loop.add_reader(among.lifeline, ended)
    while not stop.is_set():
        among.lives()
        with contextlib.suppress(TimeoutError):
            await asyncio.wait_for(stop.wait(), _LIVES_SECONDS)
