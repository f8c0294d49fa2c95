"""What a mail server shows: whether it takes TLS (STARTTLS), with which version, and which certificate it has.

Its addresses come out of the DNS of a domain: they lead no further than the public internet, unless the region's file
says so. Nothing is mailed: the conversation ends after the handshake. A server that does not answer, or does not want
to talk with us, says nothing about its TLS.

Source: RFC 5321 sections 4.1.1.1 and 4.2, RFC 3207 section 4; versions and suites: NCSC, ICT security guidelines for
Transport Layer Security 2.1.
"""

from __future__ import annotations

import asyncio
import ipaddress
import ssl
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass
from typing import Any

from cryptography import x509

from schakel.facilities.reach import allowed
from schakel.roadmap.checks import transport
from schakel.roadmap.checks.handshake import Chosen, offered
from schakel.roadmap.checks.model import Unclear, shortened
from schakel.roadmap.checks.tools import Tools
from schakel.roadmap.model import Text

_MOST_ADDRESSES, _MOST_LINES = 4, 100


@dataclass(frozen=True, slots=True)
class Shown:
    """The address of a server, the version of TLS and the suite that it chose, and its certificate with those that it
    sent along."""

    address: str
    version: str
    suite: str
    chain: tuple[x509.Certificate, ...]


@dataclass(frozen=True, slots=True)
class Plain:
    """A server talks with us, and TLS that is good enough did not come about: `why` says what was seen."""

    why: Text


class _NotOffered(Exception):
    """The server does not know STARTTLS."""


async def looked_at(host: str, addresses: Sequence[str], tools: Tools) -> Shown | Plain:
    """What the server `host` shows at the first of its addresses that answers. Raises `Unclear` when none does."""
    open_to_us = [one for one in addresses if allowed(ipaddress.ip_address(one), tools.reach)]
    if not open_to_us:
        raise Unclear(
            Text(
                f"De mailserver {host} heeft geen adres dat wij mogen vragen (defaults.private).",
                f"The mail server {host} has no address that we may ask (defaults.private).",
            ),
            f"{host}: {', '.join(addresses)}",
        )
    unanswered: Unclear | None = None
    for address in open_to_us[:_MOST_ADDRESSES]:
        try:
            return await _talked(host, address, tools)
        except Unclear as unclear:
            unanswered = unanswered or unclear
    assert unanswered is not None
    raise unanswered


async def weaknesses(host: str, address: str, tools: Tools) -> list[Text]:
    """What the server takes that it must refuse (see the check `tls`). Raises `Unclear`."""

    async def choosing(offer: ssl.SSLContext) -> Chosen | None:
        try:
            async with _begun(host, address, tools) as (reader, writer):
                return await offered(reader, writer, host, offer, tools)
        except _NotOffered:
            return None

    return await transport.weaknesses(host, choosing)


async def _talked(host: str, address: str, tools: Tools) -> Shown | Plain:
    try:
        async with _begun(host, address, tools) as (_, writer):
            try:
                await writer.start_tls(_taking_any_certificate(), server_hostname=host)
            except ssl.SSLEOFError as error:
                raise ConnectionResetError("the server hung up during the handshake") from error
            except ssl.SSLError as error:
                why = error.reason or type(error).__name__
                return Plain(
                    Text(
                        f"Met de mailserver {host} kwam geen TLS 1.2 of 1.3 met voldoende versleuteling tot stand "
                        f"({why}).",
                        "No TLS 1.2 or 1.3 with sufficient encryption came about with the mail server "
                        f"{host} ({why}).",
                    )
                )
            shown = _shown(address, writer.get_extra_info("ssl_object"))
            writer.write(b"QUIT\r\n")
            await writer.drain()
            return shown
    except _NotOffered:
        return Plain(
            Text(
                f"De mailserver {host} biedt geen STARTTLS aan.",
                f"The mail server {host} does not offer STARTTLS.",
            )
        )


@asynccontextmanager
async def _begun(
    host: str, address: str, tools: Tools
) -> AsyncIterator[tuple[asyncio.StreamReader, asyncio.StreamWriter]]:
    """A connection on which the server waits for TLS to begin. Raises `Unclear`, and `_NotOffered`."""
    async with _connected(host, address, tools) as (reader, writer):
        await _told(reader, host, "220")
        tools.heard = True
        # Who has no name of its own says its address (RFC 5321 section 4.1.4).
        own = ipaddress.ip_address(writer.get_extra_info("sockname")[0])
        literal = f"[IPv6:{own}]" if own.version == 6 else f"[{own}]"
        offers = await _asked(reader, writer, host, f"EHLO {literal}", "250")
        if "STARTTLS" not in (one[4:].strip().upper() for one in offers):
            raise _NotOffered
        await _asked(reader, writer, host, "STARTTLS", "220")
        yield reader, writer


def _taking_any_certificate() -> ssl.SSLContext:
    """TLS 1.2 or 1.3 with the suites of Python, which the NCSC calls sufficient; whom to trust says DANE."""
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    context.check_hostname = False
    context.verify_mode = ssl.CERT_NONE
    context.minimum_version = ssl.TLSVersion.TLSv1_2
    return context


def _shown(address: str, connection: ssl.SSLObject) -> Shown:
    inner: Any = getattr(connection, "_sslobj", None)  # Public from Python 3.13 on.
    chain = getattr(connection, "get_unverified_chain", None) or inner.get_unverified_chain
    ders = [
        one if isinstance(one, bytes) else ssl.PEM_cert_to_DER_cert(one.public_bytes())
        for one in chain() or ()
    ]
    cipher = connection.cipher()
    return Shown(
        address,
        str(connection.version()),
        cipher[0] if cipher else "",
        tuple(x509.load_der_x509_certificate(one) for one in ders),
    )


@asynccontextmanager
async def _connected(
    host: str, address: str, tools: Tools
) -> AsyncIterator[tuple[asyncio.StreamReader, asyncio.StreamWriter]]:
    """A connection with the server that ends with the block. Raises `Unclear`."""
    port = tools.defaults.smtp_port
    place = f"smtp://{host}:{port}"
    try:
        async with tools.place(place), asyncio.timeout(tools.defaults.seconds):
            reader, writer = await asyncio.open_connection(address, port)
            try:
                yield reader, writer
            finally:
                writer.transport.abort()
    except (OSError, EOFError, ValueError, TimeoutError, asyncio.LimitOverrunError) as error:
        raise tools.silence(place, error) from error


async def _asked(
    reader: asyncio.StreamReader, writer: asyncio.StreamWriter, host: str, command: str, wanted: str
) -> list[str]:
    writer.write(f"{command}\r\n".encode("ascii"))
    await writer.drain()
    return await _told(reader, host, wanted)


async def _told(reader: asyncio.StreamReader, host: str, wanted: str) -> list[str]:
    """The lines of a reply with the code `wanted`. Raises `Unclear` for another."""
    lines: list[str] = []
    while not lines or lines[-1][3:4] == "-":
        lines.append((await reader.readuntil(b"\n")).decode("ascii", "replace").rstrip())
        if len(lines) > _MOST_LINES:
            break
    if not all(one.startswith(wanted) for one in lines):
        raise Unclear(
            Text(
                f"De mailserver {host} wil niet met ons praten.",
                f"The mail server {host} does not want to talk with us.",
            ),
            f"{host}: {shortened(lines[-1], 200)}",
        )
    return lines
