"""One connection at a listener: what it may send before a request is there, how fast, and how many there may be.

uvicorn times an unused connection only. A caller that sends a request by drops, or headers without end, would hold
a connection for ever; each bound here names its setting in the answer. Source: RFC 9110 section 15 (408, 503) and
RFC 6585 section 5 (431). These answers are plain text: there is no request yet that says what it is about.
"""

from __future__ import annotations

import asyncio
from dataclasses import dataclass
from typing import Any, Literal

from uvicorn.protocols.http.httptools_impl import STATUS_LINE, HttpToolsProtocol

from schakel.kernel.tls import shown_chain

CHAIN = "schakel.chain"
"""Where the ASGI scope has the certificates of the other side, as TLS verified them (DER, its own first)."""

Phase = Literal["between", "head", "body"]


@dataclass(frozen=True, slots=True)
class Bounds:
    """Bounds of the connections at a listener, as the settings in `[limits]` with these names."""

    header_bytes: int = 65_536
    header_seconds: float = 20
    body_seconds: float = 120
    idle_seconds: float = 75
    connections: int = 1000
    handshake_seconds: float = 10


class _PastBoundError(Exception):
    """The headers are larger than they may be; ends the parsing of a request."""


class Connection(HttpToolsProtocol):
    """The protocol of one connection. `phase` is what it is in the middle of receiving."""

    def __init__(self, bounds: Bounds, **composed: Any) -> None:
        super().__init__(**composed)
        self._bounds = bounds
        self._phase: Phase = "between"
        self._began = False
        self._spoke = False
        self._head_bytes = 0
        self._head_chunks = 0
        self._due: asyncio.TimerHandle | None = None
        self._due_phase: Phase = "between"
        self._chain: tuple[bytes, ...] = ()

    # -- the connection ------------------------------------------------------------------------------------

    def connection_made(self, transport: asyncio.Transport) -> None:  # type: ignore[override]
        super().connection_made(transport)
        self._chain = shown_chain(transport.get_extra_info("ssl_object"))
        most = self._bounds.connections
        if len(self.connections) > most:
            self._refuse(
                503, f"more than {most} connections are open (setting limits.connections); try again"
            )
            return
        self._wait_for("head")

    def connection_lost(self, exc: Exception | None) -> None:
        self._stop_waiting()
        super().connection_lost(exc)

    def data_received(self, data: bytes) -> None:
        if self.transport.is_closing():
            return
        self._spoke = True
        self._began = False
        super().data_received(data)
        if self.transport.is_closing():
            self._stop_waiting()
        elif self._phase == "head":
            if not self._began:
                self._head_chunks += len(data)
                if self._head_chunks > self._bounds.header_bytes:
                    self._refuse(*self._too_large())
                    return
            self._wait_for("head")
        elif self._phase == "body":
            self._wait_for("body")
        elif self.cycle is None or self.cycle.response_complete:
            self._wait_for("head")  # Line ends before a request: they may not hold the connection either.
        else:
            self._stop_waiting()

    # -- the parser ----------------------------------------------------------------------------------------

    def on_message_begin(self) -> None:
        super().on_message_begin()
        if self._chain:
            self.scope[CHAIN] = self._chain  # type: ignore[literal-required]
        self._phase, self._began = "head", True
        self._head_bytes = self._head_chunks = 0
        self._stop_waiting()

    def on_url(self, url: bytes) -> None:
        self._count(len(url))
        super().on_url(url)

    def on_header(self, name: bytes, value: bytes) -> None:
        self._count(len(name) + len(value) + 4)
        # A field behind a body (trailer) is counted and left out: whoever stands before us has judged the headers
        # only, and nothing here takes a trailer for one (RFC 9110, section 6.5.1).
        if self._phase == "head":
            super().on_header(name, value)

    def on_headers_complete(self) -> None:
        super().on_headers_complete()  # Raises for an address that is none: then there is no request yet.
        self._phase = "body"

    def on_message_complete(self) -> None:
        self._phase = "between"
        self._stop_waiting()
        super().on_message_complete()

    def _count(self, size: int) -> None:
        self._head_bytes += size
        if self._head_bytes > self._bounds.header_bytes:
            raise _PastBoundError

    def send_400_response(self, msg: str) -> None:
        """The answer to what is no HTTP, or has headers that are too large."""
        if self._head_bytes > self._bounds.header_bytes:
            self._refuse(*self._too_large())
        else:
            self._refuse(400, msg)

    # -- refusing ------------------------------------------------------------------------------------------

    def _wait_for(self, phase: Literal["head", "body"]) -> None:
        """Sets the time in which what is being received must be whole, unless it runs already."""
        if self._due is not None and self._due_phase == phase:
            return
        self._stop_waiting()
        seconds = self._bounds.header_seconds if phase == "head" else self._bounds.body_seconds
        self._due_phase = phase
        self._due = self.loop.call_later(seconds, self._too_late)

    def _stop_waiting(self) -> None:
        if self._due is not None:
            self._due.cancel()
            self._due = None

    def _too_late(self) -> None:
        self._due = None
        if self._due_phase == "head":
            what, setting, seconds = "the headers", "header_seconds", self._bounds.header_seconds
        else:
            what, setting, seconds = "the body", "body_seconds", self._bounds.body_seconds
        self._refuse(
            408, f"{what} of the request did not come within {seconds:g} s (setting limits.{setting})"
        )

    def _too_large(self) -> tuple[int, str]:
        return (
            431,
            f"the headers have more than {self._bounds.header_bytes} bytes (setting limits.header_bytes)",
        )

    def _refuse(self, status: int, message: str) -> None:
        """Closes the connection, with an answer when none is under way and the caller said anything at all."""
        self._stop_waiting()
        if self.transport.is_closing():
            return
        cycle = self.cycle
        answering = cycle is not None and not cycle.response_complete
        reading = self._phase == "body"
        silent = answering and (cycle.response_started or not reading)
        answered = reading and not answering
        if (self._spoke or status == 503) and not silent and not answered:
            retry = "retry-after: 5\r\n" if status == 503 else ""
            head = (
                f"content-type: text/plain; charset=utf-8\r\ncontent-length: {len(message)}\r\n"
                f"{retry}connection: close\r\n\r\n"
            )
            self.transport.write(STATUS_LINE[status] + (head + message).encode("ascii"))
        if answering and reading:
            cycle.disconnected = True  # The handler that waits for the rest is told that no more comes.
            cycle.message_event.set()
        self.transport.close()
