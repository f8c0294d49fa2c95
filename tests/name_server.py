"""A DNS server of one zone on a free UDP port, which says what a test wants.

async with name_server() as names:
    names.add("example.test.", "TXT", '"v=spf1 -all"')
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass, field

import dns.flags
import dns.message
import dns.name
import dns.rcode
import dns.rdataclass
import dns.rdatatype
import dns.rrset


@dataclass
class Names:
    """What the server says. `proved` is whether it proves signatures, and `signed` the names whose are right; `codes`
    are the names that get another code, and `mute` is whether it says nothing at all."""

    port: int = 0
    records: dict[tuple[str, str], list[str]] = field(default_factory=dict)
    proved: bool = True
    signed: set[str] = field(default_factory=lambda: {"."})
    codes: dict[str, dns.rcode.Rcode] = field(default_factory=dict)
    mute: bool = False

    @property
    def address(self) -> str:
        """As `defaults.resolver` has it."""
        return f"127.0.0.1:{self.port}"

    def add(self, name: str, kind: str, *values: str) -> None:
        """Records of a name, in place of those that were there."""
        self.records[(name, kind)] = list(values)

    def answer(self, wire: bytes) -> bytes:
        """The answer to a question."""
        asked = dns.message.from_wire(wire)
        [question] = asked.question
        name, kind = question.name.to_text().lower(), dns.rdatatype.to_text(question.rdtype)
        made = dns.message.make_response(asked, recursion_available=True)
        if (code := self.codes.get(name)) is not None:
            made.set_rcode(code)
        elif values := self.records.get((name, kind)):
            made.answer.append(dns.rrset.from_text_list(question.name, 300, "IN", kind, values))
            if self.proved and name in self.signed:
                made.flags |= dns.flags.AD
        elif name not in {known for known, _ in self.records}:
            made.set_rcode(dns.rcode.NXDOMAIN)
        return made.to_wire()


class _Server(asyncio.DatagramProtocol):
    def __init__(self, names: Names) -> None:
        self._names = names
        self._transport: asyncio.DatagramTransport | None = None

    def connection_made(self, transport: asyncio.DatagramTransport) -> None:  # type: ignore[override]
        self._transport = transport

    def datagram_received(self, data: bytes, addr: tuple[str | object, int]) -> None:
        if not self._names.mute and self._transport is not None:
            self._transport.sendto(self._names.answer(data), addr)


@asynccontextmanager
async def name_server() -> AsyncIterator[Names]:
    """The server, until the end of the block."""
    names = Names()
    names.add(".", "SOA", "a.test. b.test. 1 2 3 4 5")
    loop = asyncio.get_running_loop()
    transport, _ = await loop.create_datagram_endpoint(lambda: _Server(names), ("127.0.0.1", 0))
    names.port = transport.get_extra_info("sockname")[1]
    try:
        yield names
    finally:
        transport.close()
