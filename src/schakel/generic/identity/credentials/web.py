"""Fetches what a DID or a status list names: addresses that come from outside, so where they may lead is bounded.

Only https, no redirects, an answer of bounded size in bounded time, and no further than `Reach` says.
"""

from __future__ import annotations

import ssl
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass

import aiohttp
from yarl import URL

from schakel.facilities.reach import OutOfReachError, Reach


class Unreachable(Exception):
    """Nothing usable came from an address; `why` is one sentence that may be told."""

    def __init__(self, why: str) -> None:
        super().__init__(why)
        self.why = why


@dataclass(frozen=True, slots=True, kw_only=True)
class WebRules(Reach):
    """How far is reached; `seconds` is the longest a fetch may take, `most` the bytes of an answer."""

    seconds: float = 3.0
    most: int = 64_000


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
            resolver=rules.resolver(),
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
        return "http" if self.rules.plain(host) else "https"

    async def get(self, address: str, most: int = 0) -> bytes:
        """The answer at `address`, at most `most` bytes (`rules.most` when 0). Raises `Unreachable`."""
        most = most or self.rules.most
        try:
            url = URL(address, encoded=True)
            self.rules.check(url)
        except ValueError:
            raise Unreachable("the address cannot be read") from None
        except OutOfReachError as error:
            raise Unreachable(error.why) from None
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
        except OutOfReachError as error:
            raise Unreachable(error.why) from None
        except (aiohttp.ClientError, OSError, ssl.SSLError, ValueError) as error:
            cause = error.__cause__
            why = cause.why if isinstance(cause, OutOfReachError) else "no connection could be made"
            raise Unreachable(why) from None
