"""A DNS server on a free UDP port: zones that are signed as they are asked, and what a test wants broken.

async with name_server() as names:
    names.zone("test."); names.zone("zorg.test.")
    names.add("zorg.test.", "TXT", '"v=spf1 -all"')

The root is a zone of its own; `anchor` is what a region trusts (`defaults.dns_anchors`).
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from datetime import timedelta
from pathlib import Path
from typing import Literal

import dns.dnssec
import dns.message
import dns.name
import dns.rcode
import dns.rdatatype
import dns.rrset
from cryptography.hazmat.primitives.asymmetric import ed25519
from dns.rdtypes.ANY.DNSKEY import DNSKEY

from schakel.kernel.clock import now

_SOA = "ns.test. admin.test. 1 2 3 4 5"


@dataclass(frozen=True)
class Key:
    """The one key of a zone."""

    private: ed25519.Ed25519PrivateKey
    public: DNSKEY

    @classmethod
    def new(cls) -> Key:
        private = ed25519.Ed25519PrivateKey.generate()
        public = dns.dnssec.make_dnskey(private.public_key(), "ED25519", flags=257)
        return cls(private, public)


@dataclass
class Names:
    """What the server says.

    `keys` are those of the zones, None for one that is not signed. Broken are: `codes` (names that get another code),
    `mute` (it says nothing at all), `strips` (it keeps all signatures back), `unsigned`, `expired` and `forged` (names
    whose records have no signature, an old one, and one over other records), and `replaced` (zones that sign with
    another key than the zone above knows). With what comes from a wildcard `denial` shows that nothing nearer is there;
    `elsewhere` shows it of other names. `asked` are the questions that came.
    """

    port: int = 0
    records: dict[tuple[str, str], list[str]] = field(default_factory=dict)
    keys: dict[str, Key | None] = field(default_factory=dict)
    codes: dict[str, dns.rcode.Rcode] = field(default_factory=dict)
    mute: bool = False
    strips: bool = False
    unsigned: set[str] = field(default_factory=set)
    expired: set[str] = field(default_factory=set)
    forged: set[str] = field(default_factory=set)
    replaced: dict[str, Key] = field(default_factory=dict)
    denial: Literal["NSEC", "NSEC3", "elsewhere", ""] = "NSEC"
    asked: list[tuple[str, str]] = field(default_factory=list)

    @property
    def address(self) -> str:
        """As `defaults.resolver` has it."""
        return f"127.0.0.1:{self.port}"

    def anchor(self, folder: Path, zone: str = ".") -> str:
        """A file with the key of a zone."""
        key = self.keys[zone]
        assert key is not None
        (folder / "anchor.txt").write_text(f"{zone} 3600 IN DNSKEY {key.public.to_text()}\n")
        return str(folder / "anchor.txt")

    def zone(self, name: str, *, signed: bool = True) -> None:
        """A zone begins here; the one above it says so when both are signed."""
        self.keys[name] = Key.new() if signed else None
        self.add(name, "SOA", _SOA)

    def add(self, name: str, kind: str, *values: str) -> None:
        """Records of a name, in place of those that were there."""
        self.records[(name, kind)] = list(values)

    def remove(self, name: str, kind: str) -> None:
        """The name has no such records any more."""
        del self.records[(name, kind)]

    def answer(self, wire: bytes) -> bytes:
        """The answer to a question."""
        asked = dns.message.from_wire(wire)
        [question] = asked.question
        name, kind = question.name.to_text().lower(), dns.rdatatype.to_text(question.rdtype)
        self.asked.append((name, kind))
        made = dns.message.make_response(asked, recursion_available=True)
        if (code := self.codes.get(name)) is not None:
            made.set_rcode(code)
            return made.to_wire()
        for _ in range(8):
            if self._said(made, name, kind):
                return made.to_wire()
            if not (target := self.records.get((name, "CNAME"))):
                break
            self._put(made.answer, name, "CNAME", target)
            name = target[0]
        if name not in {known for known, _ in self.records}:
            made.set_rcode(dns.rcode.NXDOMAIN)
        self._put(made.authority, self._within(name), "SOA", [_SOA])
        return made.to_wire()

    def _said(self, made: dns.message.Message, name: str, kind: str) -> bool:
        """Whether there are such records, also by a wildcard; then they stand in the answer."""
        if values := self._values(name, kind):
            self._put(made.answer, name, kind, values)
            return True
        wild = f"*.{name.partition('.')[2]}"
        if name in {known for known, _ in self.records} or not (values := self._values(wild, kind)):
            return False
        self._put(made.answer, wild, kind, values, name)
        zone = self._within(name)
        match self.denial:
            case "NSEC":
                self._put(made.authority, zone, "NSEC", [f"{zone} SOA"])
            case "NSEC3":
                hashed = dns.dnssec.nsec3_hash(zone, None, 0, 1)
                self._put(made.authority, f"{hashed.lower()}.{zone}", "NSEC3", [f"1 0 0 - {hashed} SOA"])
            case "elsewhere":
                self._put(made.authority, f"a.{zone}", "NSEC", [f"b.{zone} A"])
        return True

    def _values(self, name: str, kind: str) -> list[str]:
        if kind == "DNSKEY" and (key := self._key(name)) is not None:
            return [key.public.to_text()]
        if kind == "DS" and name != "." and (known := self.keys.get(name)) is not None:
            return [dns.dnssec.make_ds(name, known.public, "SHA256").to_text()]
        return self.records.get((name, kind), [])

    def _key(self, zone: str) -> Key | None:
        return self.replaced.get(zone) or self.keys.get(zone)

    def _within(self, name: str, *, above: bool = False) -> str:
        """The zone in which a name is; that `above` it when the name begins one."""
        asked = dns.name.from_text(name)
        zones = [dns.name.from_text(one) for one in self.keys]
        around = [one for one in zones if asked.is_subdomain(one) and not (above and one == asked)]
        return max(around, key=len).to_text()

    def _put(
        self, section: list[dns.rrset.RRset], name: str, kind: str, values: list[str], shown_as: str = ""
    ) -> None:
        """Puts records in an answer, signed by their zone."""
        shown = dns.name.from_text(shown_as or name)
        section.append(dns.rrset.from_text_list(shown, 300, "IN", kind, values))
        zone = self._within(name, above=kind == "DS")
        key = self._key(zone)
        if key is None or self.strips or name in self.unsigned:
            return
        begin, end = (-30, -1) if name in self.expired else (-1, 30)
        made = dns.dnssec.sign(
            dns.rrset.from_text_list(dns.name.from_text(name), 300, "IN", kind, values),
            key.private,
            dns.name.from_text(zone),
            key.public,
            inception=now() + timedelta(days=begin),
            expiration=now() + timedelta(days=end),
        )
        forged = made.replace(signature=bytes(reversed(made.signature)))
        section.append(dns.rrset.from_rdata(shown, 300, forged if name in self.forged else made))


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
    names.zone(".")
    loop = asyncio.get_running_loop()
    transport, _ = await loop.create_datagram_endpoint(lambda: _Server(names), ("127.0.0.1", 0))
    names.port = transport.get_extra_info("sockname")[1]
    try:
        yield names
    finally:
        transport.close()
