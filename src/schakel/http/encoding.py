"""Answers packed with zstd, gzip or deflate, for callers that take it.

Source: RFC 9110 sections 8.4.1.2 (deflate: zlib), 12.5.3 (`Accept-Encoding`) and 12.5.5 (`Vary`), RFC 8878 (zstd). Our
ETags are weak, so a packed answer keeps the one of the plain answer. Requests are unpacked in `reading`.
"""

from __future__ import annotations

import asyncio
import gzip
import zlib
from collections.abc import Callable
from functools import lru_cache
from typing import Literal, NamedTuple

import zstandard
from starlette.datastructures import MutableHeaders
from starlette.requests import Request
from starlette.responses import Response
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from schakel.http.closing import closed
from schakel.http.negotiation import weight
from schakel.kernel.outcomes import NotAcceptable

Coding = Literal["zstd", "gzip", "deflate"]

_WORTH_IT = 1000
"""Bytes below which packing saves nothing."""

_ASIDE = 300_000
"""Bytes from which packing is done in a thread, so that others need not wait for it."""

_LEAST = 0.001
"""How much an answer without coding is liked when nobody says (the least that a quality value can say)."""

_CODINGS: tuple[Coding, ...] = ("zstd", "gzip", "deflate")
"""What answers are packed with, the best first."""

_LEVEL: dict[Coding, int] = {"zstd": 3, "gzip": 5, "deflate": 5}


def encoded(app: ASGIApp, refuse: Callable[[Request, Exception], Response]) -> ASGIApp:
    """`app` with its answers packed and closed to browsers (`closing`); `refuse` answers a caller that takes no coding,
    not even none."""

    async def answer(scope: Scope, receive: Receive, send: Send) -> None:
        scheme = scope.get("scheme", "http")
        lines = [value for name, value in scope["headers"] if name == b"accept-encoding"]
        choice = chosen(b",".join(lines).decode("latin-1")) if lines else _PLAIN
        if choice.coding is None and not choice.plain:
            error = NotAcceptable(
                "Accept-Encoding refuses all there is: zstd, gzip, deflate, and no coding at all"
            )
            refused = refuse(Request(scope, receive), error)
            return await refused(scope, receive, _Packer(send, _PLAIN, scheme).send)
        await app(scope, receive, _Packer(send, choice, scheme).send)

    return answer


class Choice(NamedTuple):
    """The coding of an answer, None for no coding, and whether a caller takes an answer without one too."""

    coding: Coding | None
    plain: bool


_PLAIN = Choice(None, True)


@lru_cache(maxsize=64)
def chosen(accept: str) -> Choice:
    """The coding that `Accept-Encoding` likes best. Alike, zstd goes before gzip, gzip before
    deflate and deflate before none."""
    weights: dict[str, float] = {}
    for part in accept.lower().split(","):
        name, _, parameter = part.partition(";")
        given, _, value = parameter.partition("=")
        weights[name.strip().removeprefix("x-")] = weight(value) if given.strip() == "q" else 1.0
    rest = weights.get("*")
    plain = weights.get("identity", _LEAST if rest is None else min(rest, _LEAST))
    liked, coding = max(((weights.get(one, rest or 0.0), one) for one in _CODINGS), key=lambda pair: pair[0])
    return Choice(coding if liked > 0 and liked >= plain else None, plain > 0)


class _Packer:
    """Holds the start of an answer back until its body is there, and packs that."""

    __slots__ = ("_coding", "_least", "_scheme", "_send", "_start")

    def __init__(self, send: Send, choice: Choice, scheme: str) -> None:
        self._send = send
        self._scheme = scheme
        self._coding = choice.coding
        self._least = _WORTH_IT if choice.plain else 1
        self._start: Message | None = None

    async def send(self, message: Message) -> None:
        if message["type"] == "http.response.start":
            self._start = message
            return
        start, self._start = self._start, None
        if start is not None:
            start["headers"] = closed(start["headers"], self._scheme)
            message = await self._packed(start, message)
            await self._send(start)
        await self._send(message)

    async def _packed(self, start: Message, message: Message) -> Message:
        """The message with the whole body, packed when that is worth it; `start` then says so."""
        body = message.get("body", b"")
        if len(body) < self._least or message.get("more_body"):
            return message
        headers = MutableHeaders(raw=start["headers"])
        if not _compressible(headers):
            return message
        headers.add_vary_header("Accept-Encoding")
        if self._coding is None:
            return message
        if len(body) < _ASIDE:
            body = _pack(body, self._coding)
        else:
            body = await asyncio.to_thread(_pack, body, self._coding)
        headers["Content-Encoding"] = self._coding
        headers["Content-Length"] = str(len(body))
        return {**message, "body": body}


def _compressible(headers: MutableHeaders) -> bool:
    media = headers.get("content-type", "")
    return "content-encoding" not in headers and (
        "json" in media or "xml" in media or media.startswith("text/")
    )


def _pack(body: bytes, coding: Coding) -> bytes:
    if coding == "gzip":
        return gzip.compress(body, _LEVEL["gzip"], mtime=0)
    if coding == "deflate":
        return zlib.compress(body, _LEVEL["deflate"])
    return zstandard.compress(body, _LEVEL["zstd"])
