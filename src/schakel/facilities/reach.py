"""How far an address that comes from outside may lead: to https on the public internet, and to networks that are named.

A DID in a token, an Endpoint in a directory, the metadata of a holder: whoever writes those must not be able to make
this node knock at doors inside (SSRF). An address is judged after it was looked up, and the connection goes to the
address that was judged.
"""

from __future__ import annotations

import asyncio
import ipaddress
import socket
from dataclasses import dataclass

from aiohttp.abc import AbstractResolver, ResolveResult
from yarl import URL

Network = ipaddress.IPv4Network | ipaddress.IPv6Network
_Address = ipaddress.IPv4Address | ipaddress.IPv6Address
_TRANSLATED = tuple(map(ipaddress.IPv6Network, ("64:ff9b::/96", "64:ff9b:1::/48", "2002::/16")))
"""IPv6 networks in which an IPv4 address is hidden (RFC 6052, RFC 8215, RFC 3056)."""


class OutOfReachError(OSError):
    """The address may not be asked; `why` is one sentence that may be told."""

    def __init__(self, why: str) -> None:
        super().__init__(why)
        self.why = why


@dataclass(frozen=True, slots=True, kw_only=True)
class Reach:
    """`private` are networks that are not of the public internet and may be reached nevertheless. With
    `http_on_loopback` addresses on this machine are reached, also over http (tests and demo)."""

    private: tuple[Network, ...] = ()
    http_on_loopback: bool = False

    def check(self, address: URL) -> None:
        """Raises `OutOfReachError` for an address that may not be asked whatever its name leads to."""
        host = address.host
        if not host or address.user is not None or address.password is not None:
            raise OutOfReachError("the address is not an https address")
        if address.scheme != "https" and not (address.scheme == "http" and self.plain(host)):
            raise OutOfReachError("the address is not an https address")
        if _is_numeric(host) and ((literal := _address(host)) is None or not allowed(literal, self)):
            raise OutOfReachError("the address is not of the public internet")

    def plain(self, host: str) -> bool:
        """Whether `host` is reached over http: on this machine, where that is allowed."""
        return self.http_on_loopback and is_loopback(host)

    def resolver(self) -> AbstractResolver:
        """Looks names up, and leaves out the addresses that may not be reached; for a connector without a cache of its
        own. What it raises is `OutOfReachError` when none is left."""
        return _Resolver(self)


def is_loopback(host: str) -> bool:
    """Whether `host` is written as an address of this machine."""
    literal = _address(host)
    return literal.is_loopback if literal is not None else host == "localhost"


def allowed(address: _Address, reach: Reach) -> bool:
    """Whether a connection may go to `address`."""
    if isinstance(address, ipaddress.IPv6Address):
        if address.ipv4_mapped is not None:
            return allowed(address.ipv4_mapped, reach)
        if any(address in network for network in _TRANSLATED):
            return False
    if any(address in network for network in reach.private):
        return True
    if reach.http_on_loopback and address.is_loopback:
        return True
    return address.is_global and not address.is_multicast


def _is_numeric(host: str) -> bool:
    """Whether `host` is connected to without looking it up; also in spellings such as 127.1 and 2130706433."""
    return ":" in host or host.replace(".", "").isdigit()


def _address(host: str) -> _Address | None:
    try:
        return ipaddress.ip_address(host.strip("[]"))
    except ValueError:
        return None


class _Resolver(AbstractResolver):
    def __init__(self, reach: Reach) -> None:
        self._reach = reach

    async def resolve(
        self, host: str, port: int = 0, family: socket.AddressFamily = socket.AF_UNSPEC
    ) -> list[ResolveResult]:
        loop = asyncio.get_running_loop()
        found = await loop.getaddrinfo(host, port, type=socket.SOCK_STREAM, family=family)
        usable = [
            ResolveResult(
                hostname=host,
                host=str(where[0]),
                port=port,
                family=kind,
                proto=protocol,
                flags=socket.AI_NUMERICHOST,
            )
            for kind, _, protocol, _, where in found
            if (address := _address(str(where[0]).partition("%")[0])) is not None
            and allowed(address, self._reach)
        ]
        if not usable:
            raise OutOfReachError("the address is not of the public internet")
        return usable

    async def close(self) -> None:
        """Nothing is held open."""
