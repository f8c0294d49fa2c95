"""A client of one facility. Made by `Facility.open`; one per facility and process.

While its breaker is open nothing is sent and the answer is `FacilityAway` at once. An answer with a status of 5xx
counts as a failure, any other answer as life: what a facility refuses says nothing of its health.
"""

from __future__ import annotations

import ssl
from collections.abc import AsyncIterator, Awaitable, Callable, Mapping
from contextlib import asynccontextmanager
from dataclasses import dataclass
from datetime import datetime
from typing import TypeVar
from urllib.parse import urlsplit

import aiohttp
from yarl import URL

from schakel.facilities.breaker import Breaker
from schakel.facilities.reach import OutOfReachError, Reach
from schakel.kernel.clock import now
from schakel.kernel.outcomes import Upstream

T = TypeVar("T")


class FacilityAway(Upstream):
    """No usable answer came: the facility is down, slow, broken off or resting after failures. It says nothing of what
    the answer would have been. `facility` is its name, `why` one word or two for logs."""

    def __init__(self, facility: str, why: str) -> None:
        super().__init__(
            f"{facility} gave no usable answer ({why}); try again later", code="facility-away", cause=why
        )
        self.facility = facility
        self.why = why


class ConnectionLost(FacilityAway):
    """The connection ended before any of the answer came, as one does that the other side had kept for long enough. The
    request may have been done or not."""


async def once_more(ask: Callable[[], Awaitable[T]]) -> T:
    """What `ask` gives, asked again when the connection was lost: for a question, which changes nothing. A connection
    that is kept for the next question may be closed at the moment in which that is sent."""
    try:
        return await ask()
    except ConnectionLost:
        return await ask()


@dataclass(frozen=True, slots=True)
class FacilityRules:
    """`timeout` and `pause` are in seconds, `most` is in bytes of an answer; `setting` is what says so, '' when nothing
    can be set."""

    timeout: float = 5.0
    failures: int = 5
    pause: float = 10.0
    most: int = 1_000_000
    connections: int = 20
    setting: str = ""


@dataclass(frozen=True, slots=True)
class Answer:
    """What came back. Header names are in lower case."""

    status: int
    headers: Mapping[str, str]
    body: bytes


class Facility:
    """The facility `name` at `base` (no slash at the end). `answered` is when an answer below 500 came last, None when
    none ever did."""

    def __init__(self, name: str, base: str, session: aiohttp.ClientSession, rules: FacilityRules) -> None:
        self.name = name
        self.base = base.rstrip("/")
        self._session = session
        self._rules = rules
        self._breaker = Breaker(name, rules.failures, rules.pause)
        self.answered: datetime | None = None

    @classmethod
    @asynccontextmanager
    async def open(
        cls,
        name: str,
        base: str,
        tls: ssl.SSLContext | None = None,
        rules: FacilityRules | None = None,
        reach: Reach | None = None,
    ) -> AsyncIterator[Facility]:
        """The client, with its connections until the end of the block; `tls` has the certificates we trust and our
        own, None for the system's trust and no certificate of ours. A base that the operator did not choose leads no
        further than `reach`; raises `FacilityAway` for one that goes beyond."""
        rules = rules or FacilityRules()
        if reach is not None:
            try:
                reach.check(URL(base))
            except (OutOfReachError, ValueError) as error:
                why = error.why if isinstance(error, OutOfReachError) else "its address cannot be read"
                raise FacilityAway(name, why) from None
        session = aiohttp.ClientSession(
            connector=aiohttp.TCPConnector(
                limit=rules.connections,
                ssl=tls if tls is not None else True,
                keepalive_timeout=30,
                resolver=reach.resolver() if reach is not None else None,
                use_dns_cache=reach is None,
            ),
            timeout=aiohttp.ClientTimeout(total=rules.timeout, connect=rules.timeout),
            cookie_jar=aiohttp.DummyCookieJar(),
        )
        async with session:
            yield cls(name, base, session, rules)

    @property
    def resting(self) -> bool:
        """Whether the breaker is open: nothing is sent now."""
        return self._breaker.resting

    async def send(
        self, method: str, path: str = "", *, body: bytes = b"", headers: Mapping[str, str] | None = None
    ) -> Answer:
        """The answer to one request; `path` is added to the base, or is an absolute address at the same facility.

        Nothing is sent again and no redirect is followed: whether that is safe is known by who asks. Raises
        `ConnectionLost` when that was all, `FacilityAway` when no answer came, when it was larger than `most`, when the
        breaker is open, and for an address that is not of this facility: it would get our certificate and what we ask.
        """
        address = path if "://" in path.partition("?")[0] else f"{self.base}{path}"
        if origin(address) != origin(self.base):
            raise FacilityAway(self.name, "an address that is not its own")
        if self.resting:
            raise FacilityAway(self.name, "resting after failures")
        with self._breaker.attempt():
            try:
                answer = await self._sent(method, address, body, headers or {})
            except (aiohttp.ClientError, TimeoutError, OSError, ssl.SSLError) as error:
                self._breaker.failed(_word(error))
                raise self._silence(error) from error
            except FacilityAway as error:
                self._breaker.failed(error.why)
                raise
            if answer.status >= 500:
                self._breaker.failed(f"status {answer.status}")
            else:
                self._breaker.answered()
            return answer

    async def knock(self) -> Answer:
        """The answer to a request for the base alone, by which nothing is asked: for who wants to know whether anybody
        is there. It goes also while the breaker is open, and the breaker does not count it. Raises as `send`."""
        try:
            return await self._sent("GET", self.base, b"", {})
        except (aiohttp.ClientError, TimeoutError, OSError, ssl.SSLError) as error:
            raise self._silence(error) from error

    def _silence(self, error: Exception) -> FacilityAway:
        lost = isinstance(error, _LOST) and not isinstance(error, aiohttp.ClientConnectorError)
        return (ConnectionLost if lost else FacilityAway)(self.name, _word(error))

    async def _sent(self, method: str, address: str, body: bytes, headers: Mapping[str, str]) -> Answer:
        async with self._session.request(
            method, address, data=body or None, headers=dict(headers), allow_redirects=False
        ) as response:
            read = bytearray()
            async for chunk in response.content.iter_any():
                read += chunk
                if len(read) > self._rules.most:
                    setting = f": setting {self._rules.setting}" if self._rules.setting else ""
                    raise FacilityAway(self.name, f"an answer that is too large{setting}")
            if response.status < 500:
                self.answered = now()
            found = {name.lower(): value for name, value in response.headers.items()}
            return Answer(response.status, found, bytes(read))


_LOST = (aiohttp.ServerDisconnectedError, aiohttp.ClientOSError)


def origin(address: str) -> tuple[str, str, int | None]:
    """Scheme, host and port of an address; a port that cannot be read makes it nobody's."""
    try:
        parts = urlsplit(address)
        port = parts.port or {"http": 80, "https": 443}.get(parts.scheme)
        return parts.scheme, parts.hostname or "", port
    except ValueError:
        return "", "", None


def _word(error: BaseException) -> str:
    if isinstance(error, TimeoutError):
        return "too slow"
    if isinstance(
        error, aiohttp.ClientConnectorCertificateError | aiohttp.ClientConnectorSSLError | ssl.SSLError
    ):
        return "no trusted TLS"
    if isinstance(error.__cause__, OutOfReachError):
        return error.__cause__.why
    if isinstance(error, aiohttp.ClientConnectorError):
        return "not reachable"
    return type(error).__name__
