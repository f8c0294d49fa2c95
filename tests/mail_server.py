"""A mail server on a free port that begins TLS as a test wants.

async with mail_server(context) as server:
    server.port
"""

from __future__ import annotations

import asyncio
import ssl
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, suppress
from dataclasses import dataclass, field

_ALERT = bytes([21, 3, 3, 0, 2, 2, 40])
"""What says in TLS that nothing on offer will do (RFC 5246 section 7.2, handshake_failure)."""


@dataclass
class MailServer:
    """What the server says; `asked` are the commands that came."""

    context: ssl.SSLContext | None
    port: int = 0
    greeting: str = "220 mx ESMTP"
    begins: str = "220 go ahead"
    mute: bool = False
    refuses_tls: bool = False
    asked: list[str] = field(default_factory=list)

    async def talk(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        """One conversation."""
        try:
            if self.mute:
                await reader.read()
                return
            with suppress(ConnectionError, ssl.SSLError):
                await self._said(reader, writer)
        finally:
            writer.transport.abort()

    async def _said(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        writer.write(f"{self.greeting}\r\n".encode())
        while line := (await reader.readline()).decode().strip():
            self.asked.append(line)
            if line.startswith("EHLO"):
                offers = ["mx", "SIZE 1000", *(["STARTTLS"] if self.context else []), "HELP"]
                signs = ["-"] * (len(offers) - 1) + [" "]
                said = "".join(f"250{sign}{offer}\r\n" for sign, offer in zip(signs, offers, strict=True))
                writer.write(said.encode())
            elif line == "STARTTLS" and self.context is not None:
                writer.write(f"{self.begins}\r\n".encode())
                await writer.drain()
                if not self.begins.startswith("220"):
                    return
                if self.refuses_tls:
                    await reader.read(5)
                    writer.write(_ALERT)
                    await writer.drain()
                    await reader.read()
                    return
                await writer.start_tls(self.context)
            else:
                writer.write(b"221 bye\r\n")
                await writer.drain()
                return


@asynccontextmanager
async def mail_server(context: ssl.SSLContext | None) -> AsyncIterator[MailServer]:
    """The server, until the end of the block; without `context` it offers no TLS."""
    made = MailServer(context)
    server = await asyncio.start_server(made.talk, "127.0.0.1", 0)
    made.port = server.sockets[0].getsockname()[1]
    try:
        yield made
    finally:
        server.close()
        await server.wait_closed()
