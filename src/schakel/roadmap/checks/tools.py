"""With what checks ask: HTTP with the region's trust and certificate, a bound for each host, and a DNS resolver.

An address that the region's file names is asked as it stands. One that a directory or a list gave leads no further
than the public internet, unless the file says so. No redirect is followed and nothing is sent twice.
"""

from __future__ import annotations

import asyncio
import errno
import socket
import ssl
from collections.abc import AsyncIterator, Mapping, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any
from urllib.parse import urlsplit

import aiohttp
import orjson
from dns.asyncresolver import Resolver
from dns.exception import DNSException
from yarl import URL

from schakel.facilities.reach import OutOfReachError, Reach
from schakel.kernel import tls
from schakel.kernel.clock import now
from schakel.kernel.outcomes import Invalid
from schakel.roadmap.checks.model import Silent, Unclear
from schakel.roadmap.checks.names import Names, anchors
from schakel.roadmap.model import Text
from schakel.roadmap.region import Defaults, Organisation

AT_ONCE = 4
"""Requests at one host at the same time."""

_LARGEST = 50_000_000
"""Bytes of an answer."""

_INTERNAL = Text("de interne deur", "the internal door")
"""What stands in a reason in place of its address: everybody may read reasons."""

_OURS = {errno.ENETUNREACH, errno.ENETDOWN, errno.EMFILE, errno.ENFILE, errno.EADDRNOTAVAIL}
"""Errors that are of this machine or its network."""


@dataclass(frozen=True, slots=True)
class Answer:
    """What came back. Header names are in lower case."""

    address: str
    status: int
    headers: Mapping[str, str]
    body: bytes

    def table(self) -> dict[str, Any] | None:
        """The JSON object in the body; None for anything else."""
        try:
            value = orjson.loads(self.body)
        except orjson.JSONDecodeError:
            return None
        return value if isinstance(value, dict) else None


@dataclass
class Tools:
    """See the module. `began` is when the run began; `heard` is whether any address answered in it."""

    defaults: Defaults
    trust: ssl.SSLContext
    names: Names
    reach: Reach
    began: datetime
    heard: bool = False
    _named: aiohttp.ClientSession | None = None
    _found: aiohttp.ClientSession | None = None
    _hosts: dict[str, asyncio.Semaphore] = field(default_factory=dict)

    @classmethod
    @asynccontextmanager
    async def open(cls, defaults: Defaults) -> AsyncIterator[Tools]:
        """The tools, with their connections until the end of the block. Raises `Invalid` naming a file or setting."""
        trust = tls.client(defaults.ca, defaults.certificate, defaults.key, setting="defaults.")
        trust.load_default_certs()  # Given authorities are beside those of the system, as in `schakel check`.
        reach = Reach(private=defaults.private, http_on_loopback=defaults.http_on_loopback)
        names = Names(_resolver(defaults), anchors(defaults.dns_anchors))
        made = cls(defaults, trust, names, reach, now())
        async with made._session(None) as named, made._session(reach) as led:
            made._named, made._found = named, led
            yield made

    def _session(self, reach: Reach | None) -> aiohttp.ClientSession:
        return aiohttp.ClientSession(
            connector=aiohttp.TCPConnector(
                limit=0,
                ssl=self.trust,
                resolver=reach.resolver() if reach is not None else None,
                use_dns_cache=reach is None,
            ),
            timeout=aiohttp.ClientTimeout(total=self.defaults.seconds),
            cookie_jar=aiohttp.DummyCookieJar(),
            headers={"User-Agent": "schakel-roadmap"},
        )

    @asynccontextmanager
    async def place(self, address: str) -> AsyncIterator[None]:
        """One of the places at the host of `address`, until the end of the block."""
        host = urlsplit(address).netloc
        async with self._hosts.setdefault(host, asyncio.Semaphore(AT_ONCE)):
            yield

    async def send(
        self,
        method: str,
        address: str,
        *,
        params: Sequence[tuple[str, str]] = (),
        headers: Mapping[str, str] | None = None,
        body: bytes | None = None,
        led: bool = False,
        seconds: float | None = None,
        called: Text | None = None,
    ) -> Answer:
        """The answer to a request, whatever its status. An address that was `led` to came from a directory or a list;
        of one that is `called` something it is that which a reason names, and only the detail has the address.

        Raises `Silent` when none came, and `Unclear` when that is by this machine or its settings.
        """
        session = self._found if led else self._named
        assert session is not None, "tools are used inside `open`"
        timeout = aiohttp.ClientTimeout(total=seconds or self.defaults.seconds)
        try:
            if led:
                self.reach.check(URL(address))
            async with (
                self.place(address),
                session.request(
                    method,
                    address,
                    params=list(params) or None,
                    headers=dict(headers or {}),
                    data=body,
                    allow_redirects=False,
                    timeout=timeout,
                ) as response,
            ):
                self.heard = True
                read = bytearray()
                async for chunk in response.content.iter_any():
                    read += chunk
                    if len(read) > _LARGEST:
                        raise Unclear(
                            Text(
                                f"Het antwoord van {called.nl if called else address} is groter dan {_LARGEST} bytes.",
                                f"The answer of {called.en if called else address} is larger than {_LARGEST} bytes.",
                            ),
                            address,
                        )
                found = {name.lower(): value for name, value in response.headers.items()}
                return Answer(address, response.status, found, bytes(read))
        except (aiohttp.ClientError, TimeoutError, OSError, ValueError) as error:
            raise self.silence(address, error, called) from error

    async def get(
        self,
        address: str,
        *,
        accept: str = "application/json",
        led: bool = False,
        called: Text | None = None,
    ) -> Answer:
        """`send` for what is read without a key."""
        return await self.send("GET", address, headers={"Accept": accept}, led=led, called=called)

    async def internal(
        self,
        organisation: Organisation,
        path: str,
        *,
        method: str = "GET",
        params: Sequence[tuple[str, str]] = (),
        json: object = None,
        seconds: float | None = None,
    ) -> Answer:
        """The answer of the organisation's internal door, with its key. Raises as `send`, and `Unclear` when the key is
        not taken."""
        headers = {"X-API-Key": organisation.internal_key.get_secret_value(), "Accept": "application/json"}
        body = None
        if json is not None:
            body, headers["Content-Type"] = orjson.dumps(json), "application/json"
        address = path if path.startswith(f"{organisation.internal}/") else f"{organisation.internal}/{path}"
        answer = await self.send(
            method, address, params=params, headers=headers, body=body, seconds=seconds, called=_INTERNAL
        )
        if answer.status in (401, 403):
            raise Unclear(
                Text(
                    "De interne deur neemt de sleutel van dit bestand niet aan.",
                    "The internal door does not take the key of this file.",
                ),
                f"{address}: status {answer.status}",
            )
        return answer

    def silence(self, address: str, error: Exception, called: Text | None = None) -> Unclear:
        """What an error while asking `address` says: that it is silent, or that we could not ask. What was asked there
        is not repeated; `called` as in `send`."""
        address, host = address.partition("?")[0], called or _same(urlsplit(address).netloc)
        whole = _capital(called) if called else _same(address)
        detail = f"{address}: {type(error).__name__}"
        cause: BaseException | None = error
        seen: list[BaseException] = []
        while cause is not None and cause not in seen:
            seen.append(cause)
            cause = getattr(cause, "os_error", None) or cause.__cause__ or cause.__context__
        for one in seen:
            if isinstance(one, OutOfReachError):
                return Unclear(
                    Text(
                        f"{whole.nl} is geen adres dat wij mogen vragen (defaults.private).",
                        f"{whole.en} is no address that we may ask (defaults.private).",
                    ),
                    f"{detail}: {one.why}",
                )
            if isinstance(one, aiohttp.ClientConnectorCertificateError):
                continue  # It has the type of an error of TLS, but what such an error says is in its cause.
            if isinstance(one, ssl.SSLCertVerificationError):
                return Silent(
                    Text(
                        f"Het certificaat van {host.nl} wordt niet vertrouwd.",
                        f"The certificate of {host.en} is not trusted.",
                    ),
                    f"{detail}: {one.verify_message}",
                )
            if isinstance(one, ssl.SSLError) and self.defaults.certificate is None:
                return Unclear(
                    Text(
                        f"Met {host.nl} kwam geen TLS tot stand, en er is geen certificaat van ons om te tonen "
                        "(defaults.certificate).",
                        f"There was no TLS with {host.en}, and there is no certificate of ours to show "
                        "(defaults.certificate).",
                    ),
                    f"{detail}: {one.reason}",
                )
            if isinstance(one, socket.gaierror) and one.errno == socket.EAI_AGAIN:
                return Unclear(
                    Text(
                        f"De naam {host.nl} kon niet worden opgezocht: de DNS van deze machine antwoordt niet.",
                        f"The name {host.en} could not be looked up: the DNS of this machine does not answer.",
                    ),
                    detail,
                )
            if isinstance(one, OSError) and one.errno in _OURS:
                return Unclear(
                    Text(
                        f"Deze machine heeft geen verbinding met {host.nl}.",
                        f"This machine has no connection with {host.en}.",
                    ),
                    f"{detail}: {one.strerror}",
                )
        why = _why(seen)
        return Silent(
            Text(f"{whole.nl} gaf geen antwoord: {why.nl}.", f"{whole.en} gave no answer: {why.en}."), detail
        )


def _same(name: str) -> Text:
    return Text(name, name)


def _capital(words: Text) -> Text:
    return Text(words.nl[:1].upper() + words.nl[1:], words.en[:1].upper() + words.en[1:])


def _why(seen: Sequence[BaseException]) -> Text:
    if any(isinstance(one, TimeoutError) for one in seen):
        return Text("te traag", "too slow")
    if any(isinstance(one, socket.gaierror) for one in seen):
        return Text("de naam bestaat niet", "the name does not exist")
    if any(isinstance(one, ConnectionRefusedError) for one in seen):
        return Text("daar luistert niets", "nothing listens there")
    if any(isinstance(one, ssl.SSLError) for one in seen):
        return Text("geen TLS", "no TLS")
    return Text("de verbinding brak af", "the connection broke")


def _resolver(defaults: Defaults) -> Resolver:
    """The DNS resolver. Raises `Invalid` naming the setting."""
    try:
        if not defaults.resolver:
            made = Resolver()
        else:
            host, _, port = (
                defaults.resolver.partition(":")
                if defaults.resolver.count(":") == 1
                else (
                    defaults.resolver.strip("[]"),
                    "",
                    "",
                )
            )
            made = Resolver(configure=False)
            made.nameservers = [host]
            made.port = int(port or 53)
    except (DNSException, ValueError) as error:
        raise Invalid(
            "defaults.resolver is no address of a DNS server, such as 192.0.2.53 or 192.0.2.53:5353"
            if defaults.resolver
            else "this machine names no DNS server: set defaults.resolver"
        ) from error
    made.use_edns(0, 0x8000, 1232)  # With signatures (DO).
    made.flags = (
        0x0110  # Recursion desired, and told too what does not hold (CD): that is for `names` to see.
    )
    made.lifetime = defaults.seconds
    made.timeout = min(defaults.seconds, 5.0)
    return made
