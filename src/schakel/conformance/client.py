"""HTTP to the system under test, over one pooled client.

A redirect is not followed: what the peer answers is what is judged. A connection that fails, a time-out or an
endless body raises `Upstream`, which the runner reports as an error of the script and never as a failed
assertion.
"""

from __future__ import annotations

import ssl
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path
from types import TracebackType
from urllib.parse import urlsplit

import aiohttp
from aiohttp.abc import AbstractResolver
from yarl import URL

from schakel.kernel.outcomes import Invalid, Upstream

Headers = tuple[tuple[str, str], ...]
LARGEST_BODY = 128 * 1024 * 1024


@dataclass(frozen=True, slots=True)
class Door:
    """A FHIR base and the headers the tester wants on every request to it; those win over a script's own."""

    base: str
    headers: Headers = ()

    def __post_init__(self) -> None:
        parts = urlsplit(self.base)
        if parts.scheme not in ("http", "https") or not parts.hostname:
            raise Invalid(f"'{self.base}' is not an http(s) address of a FHIR base", expression="url")

    @property
    def root(self) -> str:
        """The base without a slash at its end."""
        return self.base.rstrip("/")

    def overrides(self, name: str, url: str) -> bool:
        """Whether the tester's own header goes in the place of a script's header `name` at `url`."""
        return self.owns(url) and any(name.lower() == given.lower() for given, _ in self.headers)

    def owns(self, url: str) -> bool:
        """Whether `url` has this base's scheme, host and port: only there do the tester's headers go."""
        return _origin(url) == _origin(self.base)


@dataclass(frozen=True, slots=True)
class Request:
    """A request as sent. `secret` holds the lower-case names of headers that a report must not show."""

    method: str
    url: str
    headers: Headers
    body: bytes | None = None
    secret: frozenset[str] = frozenset()

    def header(self, name: str) -> str | None:
        """The value of a header, whatever its case."""
        return find_header(self.headers, name)


@dataclass(frozen=True, slots=True)
class Response:
    """An answer as received, its content encoding undone unless the client was told not to."""

    status: int
    headers: Headers
    body: bytes

    def header(self, name: str) -> str | None:
        """The value of a header, whatever its case."""
        return find_header(self.headers, name)


class Client:
    """A pool of connections with the tester's TLS settings; an async context manager. Bodies come packed as they were
    sent when `unpack` is False. Names are looked up by `resolver`, when there is one, and each time anew."""

    def __init__(
        self,
        *,
        seconds: float,
        cacerts: Sequence[Path] = (),
        cert: Path | None = None,
        key: Path | None = None,
        unpack: bool = True,
        resolver: AbstractResolver | None = None,
    ) -> None:
        self._seconds = seconds
        self._unpack = unpack
        self._resolver = resolver
        self._tls = tls_context(cacerts, cert, key)
        self._session: aiohttp.ClientSession | None = None

    async def __aenter__(self) -> Client:
        self._session = aiohttp.ClientSession(
            connector=aiohttp.TCPConnector(
                ssl=self._tls, limit=16, resolver=self._resolver, use_dns_cache=self._resolver is None
            ),
            timeout=aiohttp.ClientTimeout(total=self._seconds),
            cookie_jar=aiohttp.DummyCookieJar(),
            auto_decompress=self._unpack,
        )
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if self._session:
            await self._session.close()

    async def send(self, request: Request) -> Response:
        """Send and read whole. Raises `Upstream` with the reason when no complete answer came."""
        if self._session is None:
            raise RuntimeError("the client is used outside its context")
        skip = {"Content-Type", "User-Agent"} | ({"Accept"} if request.header("Accept") is None else set())
        headers = [*request.headers, ("User-Agent", "schakel-check")]
        try:
            async with self._session.request(
                request.method,
                URL(request.url, encoded=True),
                headers=headers,
                data=request.body,
                allow_redirects=False,
                skip_auto_headers=skip,
            ) as answer:
                body = bytearray()
                async for chunk in answer.content.iter_chunked(1 << 16):
                    body += chunk
                    if len(body) > LARGEST_BODY:
                        raise Upstream(f"the answer is larger than {LARGEST_BODY >> 20} MiB")
                return Response(answer.status, tuple(answer.headers.items()), bytes(body))
        except TimeoutError as error:
            raise Upstream(f"no complete answer within {self._seconds:g} s") from error
        except (aiohttp.ClientError, OSError, ValueError) as error:
            raise Upstream(f"the request failed: {_told(error)}") from error


def with_headers(own: Iterable[tuple[str, str]], door: Door, url: str) -> tuple[Headers, frozenset[str]]:
    """A script's `own` headers with the tester's over them, and the names of the tester's."""
    if not door.owns(url):
        return tuple(own), frozenset()
    given = frozenset(name.lower() for name, _ in door.headers)
    return (*(h for h in own if not door.overrides(h[0], url)), *door.headers), given


def find_header(headers: Headers, name: str) -> str | None:
    """The values of header `name` joined with a comma, as HTTP reads a repeated one; None when absent."""
    values = [value for key, value in headers if key.lower() == name.lower()]
    return ", ".join(values) if values else None


def tls_context(cacerts: Sequence[Path], cert: Path | None, key: Path | None) -> ssl.SSLContext:
    """Trust in the authorities of the system and of every file of `cacerts`, with the client certificate in `cert` and
    `key`.

    Raises `Invalid` for a file that cannot be used.
    """
    if key and not cert:
        raise Invalid("a private key was given without its certificate", expression="key")
    context = ssl.create_default_context()
    try:
        for path in cacerts:
            context.load_verify_locations(path)
        if cert:
            context.load_cert_chain(cert, key)
    except (OSError, ssl.SSLError) as error:
        raise Invalid(f"a certificate or key file cannot be used: {_told(error)}") from error
    return context


def _origin(url: str) -> tuple[str, str | None, int | None]:
    try:
        parts = urlsplit(url)
        port = parts.port
    except ValueError:
        return "", None, None
    return parts.scheme, parts.hostname, port or {"http": 80, "https": 443}.get(parts.scheme)


def _told(error: Exception) -> str:
    return str(error) or type(error).__name__
