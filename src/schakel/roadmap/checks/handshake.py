"""TLS as a server shows it: what it chooses from what it is offered, and its certificate.

What a server chose stands in its ServerHello, the first message of the handshake, in the clear. So it can be read
without a certificate of ours and without trusting theirs; the handshake is not ended.

Source: RFC 5246 section 7.4.1.3, RFC 8446 sections 4.1.3 and 4.2.1.
"""

from __future__ import annotations

import asyncio
import ssl
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, suppress
from dataclasses import dataclass
from urllib.parse import urlsplit

from schakel.roadmap.checks.model import Unclear
from schakel.roadmap.checks.tools import Tools
from schakel.roadmap.model import Text

_MAJOR, _HANDSHAKE, _SERVER_HELLO, _SUPPORTED_VERSIONS = 3, 22, 2, 43
_VERSIONS = {0x0300: "SSL 3.0", 0x0301: "TLS 1.0", 0x0302: "TLS 1.1", 0x0303: "TLS 1.2", 0x0304: "TLS 1.3"}


@dataclass(frozen=True, slots=True)
class Chosen:
    """What a server chose: the name of the version, and the number of the cipher suite."""

    version: str
    suite: int


async def chosen(address: str, offer: ssl.SSLContext, tools: Tools) -> Chosen | None:
    """What the server at `address` chooses of what `offer` offers; None when it takes nothing of it.

    Raises `Silent` when it does not answer at all.
    """
    async with _connected(address, tools) as (reader, writer):
        return await offered(reader, writer, _name(address), offer, tools)


async def offered(
    reader: asyncio.StreamReader,
    writer: asyncio.StreamWriter,
    host: str,
    offer: ssl.SSLContext,
    tools: Tools,
) -> Chosen | None:
    """What the server `host` on the other side of a connection, where TLS may begin, chooses of what `offer` offers;
    None when it takes nothing of it."""
    incoming, outgoing = ssl.MemoryBIO(), ssl.MemoryBIO()
    hello = offer.wrap_bio(incoming, outgoing, server_hostname=host)
    with suppress(ssl.SSLWantReadError):
        hello.do_handshake()
    writer.write(outgoing.read())
    try:
        await writer.drain()
        kind, payload = await _record(reader)
        while kind == _HANDSHAKE and len(payload) < 4 + int.from_bytes(payload[1:4]):
            another, rest = await _record(reader)
            if another != _HANDSHAKE:
                break
            payload += rest
    except (asyncio.IncompleteReadError, ConnectionError):
        return None  # Some servers hang up instead of saying no.
    tools.heard = True
    # An alert says no, and so does what is not TLS at all.
    return _read(payload) if kind == _HANDSHAKE and payload[:1] == bytes([_SERVER_HELLO]) else None


async def shown_certificate(address: str, tools: Tools) -> bytes:
    """The certificate (DER) that the server at `address` shows, trusted or not. Raises `Silent` and `Unclear`."""
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    context.check_hostname = False
    context.verify_mode = ssl.CERT_NONE
    if tools.defaults.certificate is not None:
        context.load_cert_chain(tools.defaults.certificate, tools.defaults.key)
    async with _connected(address, tools, context) as (_, writer):
        tools.heard = True
        der: bytes | None = writer.get_extra_info("ssl_object").getpeercert(True)
    if der is None:
        raise Unclear(Text(f"{address} toont geen certificaat.", f"{address} shows no certificate."), address)
    return der


async def trusted(address: str, tools: Tools) -> str:
    """'' when TLS with our trust comes about with the server at `address`, else why its certificate is not trusted.

    Raises `Silent` and `Unclear`.
    """
    try:
        async with asyncio.timeout(tools.defaults.seconds):
            _, writer = await asyncio.open_connection(
                *_host_port(address), ssl=tools.trust, server_hostname=_name(address)
            )
    except ssl.SSLCertVerificationError as error:
        tools.heard = True
        return error.verify_message
    except ssl.SSLError as error:
        if tools.defaults.certificate is None and "ALERT" in (error.reason or ""):
            return ""  # It refuses us for want of a certificate, after we had verified its own.
        raise tools.silence(address, error) from error
    except (OSError, TimeoutError) as error:
        raise tools.silence(address, error) from error
    writer.transport.abort()
    tools.heard = True
    return ""


@asynccontextmanager
async def _connected(
    address: str, tools: Tools, context: ssl.SSLContext | None = None
) -> AsyncIterator[tuple[asyncio.StreamReader, asyncio.StreamWriter]]:
    """A connection with the server of `address` that ends with the block, which has as long as one request."""
    try:
        async with tools.place(address), asyncio.timeout(tools.defaults.seconds):
            reader, writer = await asyncio.open_connection(
                *_host_port(address), ssl=context, server_hostname=_name(address) if context else None
            )
            try:
                yield reader, writer
            finally:
                writer.transport.abort()
    except (OSError, TimeoutError) as error:
        raise tools.silence(address, error) from error


async def _record(reader: asyncio.StreamReader) -> tuple[int, bytes]:
    """The type and the content of the next TLS record; without content when it is none."""
    head = await reader.readexactly(5)
    if head[1] != _MAJOR:
        return head[0], b""
    return head[0], await reader.readexactly(int.from_bytes(head[3:5]))


def _read(hello: bytes) -> Chosen:
    """Version and suite of a ServerHello. Raises `Unclear` for one that ends too soon."""
    try:
        version = int.from_bytes(hello[4:6])
        at = 38 + 1 + hello[38]  # After the random and the id of the session.
        suite = int.from_bytes(hello[at : at + 2])
        at += 3
        end = min(len(hello), at + 2 + int.from_bytes(hello[at : at + 2]))
        at += 2
        while at + 4 <= end:
            kind, length = int.from_bytes(hello[at : at + 2]), int.from_bytes(hello[at + 2 : at + 4])
            if kind == _SUPPORTED_VERSIONS and length == 2:
                version = int.from_bytes(hello[at + 4 : at + 6])
            at += 4 + length
    except IndexError:
        raise Unclear(
            Text(
                "De server antwoordt met een ServerHello die te kort is.",
                "The server's ServerHello is too short.",
            )
        ) from None
    return Chosen(_VERSIONS.get(version, f"0x{version:04x}"), suite)


def _name(address: str) -> str:
    return urlsplit(address).hostname or ""


def _host_port(address: str) -> tuple[str, int]:
    parts = urlsplit(address)
    return parts.hostname or "", parts.port or 443
