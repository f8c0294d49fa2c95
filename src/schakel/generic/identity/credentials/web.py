"""Fetches what a DID or a status list names: addresses that come from outside, so where they may lead is bounded.

Only https, no redirects, an answer of bounded size in bounded time, and only addresses of the public internet: a token
must not be able to make this node knock at doors inside (SSRF). The address is judged after it was looked up, and the
connection goes to the address that was judged.
"""

from __future__ import annotations

import asyncio
import ipaddress
import socket
import ssl
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass

import aiohttp
from aiohttp.abc import AbstractResolver, ResolveResult
from yarl import URL

Network = ipaddress.IPv4Network | ipaddress.IPv6Network
_Address = ipaddress.IPv4Address | ipaddress.IPv6Address
_TRANSLATED = tuple(map(ipaddress.IPv6Network, ("64:ff9b::/96", "64:ff9b:1::/48", "2002::/16")))
"""IPv6 networks in which an IPv4 address is hidden (RFC 6052, RFC 8215, RFC 3056)."""


class Unreachable(Exception):
    """Nothing usable came from an address; `why` is one sentence that may be told."""

    def __init__(self, why: str) -> None:
        super().__init__(why)
        self.why = why


@dataclass(frozen=True, slots=True)
class WebRules:
    """`seconds` is the longest a fetch may take, `most` the bytes of an answer; `private` are networks that are not
    of the public internet and may be reached nevertheless. With `http_on_loopback` addresses on this machine are
    reached, over http (tests and demo)."""

    seconds: float = 3.0
    most: int = 64_000
    private: tuple[Network, ...] = ()
    http_on_loopback: bool = False


class Web:
    """A client for addresses that come from outside; made by `open`."""

    def __init__(self, session: aiohttp.ClientSession, rules: WebRules) -> None:
        self._session = session
        self.rules = rules

    @classmethod
    @asynccontextmanager
    async def open(cls, rules: WebRules, tls: ssl.SSLContext | None = None) -> AsyncIterator[Web]:
        """The client until the end of the block. `tls` None trusts what the system trusts."""
        connector = aiohttp.TCPConnector(
            limit=20,
            limit_per_host=4,
            ssl=tls if tls is not None else True,
            resolver=_Resolver(rules),
            use_dns_cache=False,
        )
        session = aiohttp.ClientSession(
            connector=connector,
            timeout=aiohttp.ClientTimeout(total=rules.seconds),
            cookie_jar=aiohttp.DummyCookieJar(),
        )
        async with session:
            yield cls(session, rules)

    def scheme(self, host: str) -> str:
        """How `host` (no port) is reached: https, or http on this machine where that is allowed."""
        return "http" if self.rules.http_on_loopback and is_loopback(host) else "https"

    async def get(self, address: str, most: int = 0) -> bytes:
        """The answer at `address`, at most `most` bytes (`rules.most` when 0). Raises `Unreachable`."""
        most = most or self.rules.most
        try:
            url = URL(address, encoded=True)
            host = url.host
        except ValueError:
            raise Unreachable("the address cannot be read") from None
        if not host or url.user is not None or url.scheme != self.scheme(host):
            raise Unreachable("the address is not an https address")
        if _is_numeric(host) and ((literal := _address(host)) is None or not allowed(literal, self.rules)):
            raise Unreachable("the address is not of the public internet")
        try:
            async with self._session.get(url, allow_redirects=False) as response:
                if response.status != 200:
                    raise Unreachable(f"the answer has status {response.status}")
                body = bytearray()
                async for chunk in response.content.iter_any():
                    body += chunk
                    if len(body) > most:
                        raise Unreachable(f"the answer is larger than {most} bytes")
                return bytes(body)
        except TimeoutError:
            raise Unreachable(f"no answer came within {self.rules.seconds:g} seconds") from None
        except _PrivateError:
            raise Unreachable("the address is not of the public internet") from None
        except (aiohttp.ClientError, OSError, ssl.SSLError, ValueError) as error:
            private = isinstance(error.__cause__, _PrivateError)
            why = "the address is not of the public internet" if private else "no connection could be made"
            raise Unreachable(why) from None


def is_loopback(host: str) -> bool:
    """Whether `host` is written as an address of this machine."""
    literal = _address(host)
    return literal.is_loopback if literal is not None else host == "localhost"


def allowed(address: _Address, rules: WebRules) -> bool:
    """Whether a connection may go to `address`."""
    if isinstance(address, ipaddress.IPv6Address):
        if address.ipv4_mapped is not None:
            return allowed(address.ipv4_mapped, rules)
        if any(address in network for network in _TRANSLATED):
            return False
    if any(address in network for network in rules.private):
        return True
    if rules.http_on_loopback and address.is_loopback:
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


class _PrivateError(OSError):
    """All addresses of a name are inside."""


class _Resolver(AbstractResolver):
    """Looks names up, and leaves out the addresses that may not be reached."""

    def __init__(self, rules: WebRules) -> None:
        self._rules = rules

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
            and allowed(address, self._rules)
        ]
        if not usable:
            raise _PrivateError(f"{host} has no address on the public internet")
        return usable

    async def close(self) -> None:
        """Nothing is held open."""
