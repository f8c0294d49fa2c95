"""Where the nodes of the region listen, and a small client of those doors."""

from __future__ import annotations

import json
import socket
import ssl
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Self

import aiohttp

from schakel.demo.cast import OPERATORS, Operator
from schakel.kernel.outcomes import Busy, Fault, Invalid, Upstream

HOST = "127.0.0.1"
PORTS = 30
"""How many ports, from the first, belong to the region (the later ones to doors that are still to come)."""

STAND_INS = (
    "broker",
    "medmij-lists",
    "uzi-ca",
    "credential-issuer",
    "dezi",
    "mitz",
    "mitz-page",
    "minvws-oauth",
    "prs",
    "nvi",
    "lrza",
    "workplace",
)
"""The stand-ins in the order of their ports."""

SECURED = frozenset({"mitz", "minvws-oauth", "prs", "nvi", "lrza"})
"""Those that speak TLS."""

_FIRST_BACK = 4
_FIRST_STAND_IN = 10

FHIR_JSON = "application/fhir+json"


@dataclass(frozen=True, slots=True)
class Doors:
    """The listeners of one operator's node."""

    operator: Operator
    front_port: int
    internal_port: int
    back_port: int

    @property
    def back(self) -> str:
        """Address of the listener for other organisations, without a slash at the end."""
        return f"https://{HOST}:{self.back_port}"

    @property
    def front(self) -> str:
        """Address of the front listener, without a slash at the end."""
        return f"http://{HOST}:{self.front_port}"

    @property
    def internal(self) -> str:
        """Address of the internal listener, without a slash at the end."""
        return f"http://{HOST}:{self.internal_port}"


def doors(first: int) -> tuple[Doors, ...]:
    """The doors of each operator when the region begins at port `first`. Raises `Invalid`."""
    if not 1 <= first <= 65_536 - PORTS:
        raise Invalid(f"--port is a number from 1 to {65_536 - PORTS}, not {first}", expression="port")
    return tuple(
        Doors(name, first + 2 * n, first + 2 * n + 1, first + _FIRST_BACK + n)
        for n, name in enumerate(OPERATORS)
    )


def stand_in_port(all_doors: Sequence[Doors], name: str) -> int:
    """The port of the stand-in `name`."""
    return all_doors[0].front_port + _FIRST_STAND_IN + STAND_INS.index(name)


def stand_in_address(all_doors: Sequence[Doors], name: str) -> str:
    """Where the stand-in `name` answers, without a slash at the end."""
    scheme = "https" if name in SECURED else "http"
    return f"{scheme}://{HOST}:{stand_in_port(all_doors, name)}"


def ensure_free(all_doors: tuple[Doors, ...]) -> None:
    """Raises `Busy` naming the first port that another program has."""
    ports = [port for one in all_doors for port in (one.front_port, one.internal_port, one.back_port)]
    for port in (*ports, *(stand_in_port(all_doors, name) for name in STAND_INS)):
        with socket.socket(socket.AF_INET, socket.SOCK_STREAM) as probe:
            probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            try:
                probe.bind((HOST, port))
            except OSError as error:
                raise Busy(
                    f"port {port} on {HOST} cannot be used ({error.strerror}). Stop the program that has "
                    "it, perhaps another demo, or choose other ports with --port N.",
                    code="port-taken",
                ) from error


@dataclass(frozen=True, slots=True)
class Reply:
    """An answer of a door, read whole."""

    status: int
    headers: Mapping[str, str]
    body: bytes

    def json(self) -> dict[str, Any]:
        """The JSON object in the body. Raises `Upstream` when there is none."""
        try:
            value = json.loads(self.body)
        except (ValueError, RecursionError):
            value = None
        if not isinstance(value, dict):
            raise Upstream(f"an answer with status {self.status} has no JSON object")
        return value

    def said(self) -> str:
        """What an error answer says, for a person."""
        try:
            value = self.json()
        except Upstream:
            return self.body[:200].decode(errors="replace")
        issues = value.get("issue") or [{}]
        said = issues[0].get("diagnostics") or value.get("detail") or value.get("error_description")
        return str(said or value)[:300]


class Client:
    """HTTP to the doors; `tls` has the certificates to trust and to show. Use `async with`."""

    def __init__(self, seconds: float = 60, tls: ssl.SSLContext | None = None) -> None:
        self._seconds = seconds
        self._tls = tls
        self._session: aiohttp.ClientSession | None = None

    async def __aenter__(self) -> Self:
        self._session = aiohttp.ClientSession(
            connector=aiohttp.TCPConnector(limit=0, ssl=self._tls if self._tls is not None else True),
            timeout=aiohttp.ClientTimeout(total=self._seconds, connect=5),
            cookie_jar=aiohttp.DummyCookieJar(),
        )
        return self

    async def __aexit__(self, *_: object) -> None:
        if self._session is not None:
            await self._session.close()

    async def send(
        self,
        method: str,
        url: str,
        *,
        headers: Mapping[str, str] | None = None,
        data: bytes | Mapping[str, str] | None = None,
    ) -> Reply:
        """The answer, whatever its status. Raises `Upstream` when there is none."""
        if self._session is None:
            raise Fault("the client is used outside its block")
        try:
            async with self._session.request(
                method, url, headers=headers, data=data, allow_redirects=False
            ) as response:
                return Reply(response.status, response.headers, await response.read())
        except (aiohttp.ClientError, TimeoutError, OSError) as error:
            raise Upstream(f"{method} {url} had no answer ({type(error).__name__})") from error
