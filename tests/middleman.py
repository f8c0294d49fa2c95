"""Middlemen between a node and a facility: they pass on what is said, or do to it what networks and liars do.

    async with middleman() as between:
        between.target = "http://127.0.0.1:8413"
        between.behave = slow(10)
        await between.down()

A middleman speaks HTTP itself, with TLS on both sides when the facility has it, so that it can lie in a whole answer as
well as break one off. What it does is one function, and can be changed between two requests.
"""

from __future__ import annotations

import asyncio
import ssl
from collections.abc import AsyncIterator, Awaitable, Callable, Mapping
from contextlib import asynccontextmanager
from dataclasses import dataclass, field, replace

import aiohttp
from aiohttp import web
from tests.nodes import free_ports

SLOW = 10.0
"""Seconds that a slow facility takes: longer than anybody here waits."""


@dataclass(frozen=True)
class Said:
    """An answer of the facility, with those of its other `headers` that say something of it."""

    status: int
    kind: str
    body: bytes
    headers: Mapping[str, str] = field(default_factory=dict)

    def response(self) -> web.Response:
        """The same, to pass on."""
        headers = {**self.headers, "Content-Type": self.kind}
        return web.Response(status=self.status, body=self.body, headers=headers)


@dataclass(frozen=True)
class Passing:
    """A request on its way: `body` is what it has, `passed` asks the facility, with another body if that is given."""

    between: Middleman
    request: web.Request
    body: bytes

    async def passed(self, body: bytes | None = None) -> Said:
        """What the facility says."""
        sent = self.body if body is None else body
        headers = {n: v for n, v in self.request.headers.items() if n.lower() not in _OWN}
        url = f"{self.between.target}{self.request.raw_path}"
        session = self.between.session
        async with session.request(
            self.request.method, url, data=sent or None, headers=headers, allow_redirects=False
        ) as answer:
            kind = answer.headers.get("Content-Type", "application/octet-stream")
            told = {name: answer.headers[name] for name in _TOLD if name in answer.headers}
            return Said(answer.status, kind, await answer.read(), told)


_TOLD = ("ETag", "Location", "Retry-After", "X-Decision-ID")
_OWN = {"host", "content-length", "transfer-encoding", "connection", "accept-encoding"}
Behaviour = Callable[[Passing], Awaitable[web.StreamResponse]]


async def passes(passing: Passing) -> web.StreamResponse:
    """Nothing is done to it."""
    return (await passing.passed()).response()


def slow(seconds: float = SLOW) -> Behaviour:
    """The true answer, so late."""

    async def behave(passing: Passing) -> web.StreamResponse:
        await asyncio.sleep(seconds)
        return (await passing.passed()).response()

    return behave


def fails(status: int = 500) -> Behaviour:
    """This status, and words that are no answer."""

    async def behave(_passing: Passing) -> web.StreamResponse:
        return web.Response(status=status, text="oops")

    return behave


def says(body: bytes, kind: str = "application/octet-stream") -> Behaviour:
    """This, whatever was asked."""

    async def behave(_passing: Passing) -> web.StreamResponse:
        return Said(200, kind, body).response()

    return behave


async def halves(passing: Passing) -> web.StreamResponse:
    """The first half of the true answer, and then the connection is gone."""
    said = await passing.passed()
    response = web.StreamResponse(status=said.status, headers={"Content-Type": said.kind})
    response.content_length = len(said.body)
    await response.prepare(passing.request)
    await response.write(said.body[: len(said.body) // 2])
    return _gone(passing, response)


async def half_as_whole(passing: Passing) -> web.StreamResponse:
    """The first half of the true answer, as if that were all."""
    said = await passing.passed()
    return replace(said, body=said.body[: len(said.body) // 2]).response()


async def hangs_up(passing: Passing) -> web.StreamResponse:
    """The question is taken, and the connection is gone."""
    return _gone(passing, web.Response())


def rewrites(change: Callable[[bytes], bytes]) -> Behaviour:
    """The true answer, changed."""

    async def behave(passing: Passing) -> web.StreamResponse:
        said = await passing.passed()
        changed = change(said.body)
        assert changed != said.body, "the answer has nothing of what was to be changed"
        return replace(said, body=changed).response()

    return behave


def repeats(old: Said) -> Behaviour:
    """An answer that was true to an earlier question."""

    async def behave(_passing: Passing) -> web.StreamResponse:
        return old.response()

    return behave


def _gone(passing: Passing, response: web.StreamResponse) -> web.StreamResponse:
    transport = passing.request.transport
    if transport is not None:
        transport.abort()
    return response


@dataclass
class Middleman:
    """See the module. `asked` counts the requests that came, `paths` are where to."""

    session: aiohttp.ClientSession
    served: ssl.SSLContext | None = None
    target: str = ""
    port: int = field(default_factory=lambda: free_ports(1)[0])
    behave: Behaviour = passes
    asked: int = 0
    paths: list[str] = field(default_factory=list)
    _runner: web.AppRunner | None = None

    async def up(self) -> None:
        """Listens."""
        app = web.Application(client_max_size=10_000_000)
        app.router.add_route("*", "/{path:.*}", self._handle)
        self._runner = web.AppRunner(app, access_log=None, shutdown_timeout=0.05)
        await self._runner.setup()
        await web.TCPSite(self._runner, "127.0.0.1", self.port, ssl_context=self.served).start()

    async def down(self) -> None:
        """Nobody listens any more, and what was open is closed."""
        if self._runner is not None:
            await self._runner.cleanup()
            self._runner = None

    async def _handle(self, request: web.Request) -> web.StreamResponse:
        self.asked += 1
        self.paths.append(request.path)
        body = await request.read()
        try:
            return await self.behave(Passing(self, request, body))
        except aiohttp.ClientError:  # The facility itself is away.
            return _gone(Passing(self, request, body), web.Response())


@asynccontextmanager
async def middleman(
    served: ssl.SSLContext | None = None, asking: ssl.SSLContext | None = None
) -> AsyncIterator[Middleman]:
    """One that listens on a port of its own, with TLS as `served` says. Its `target`, which is yet to be set, is asked
    with TLS as `asking` says."""
    connector = aiohttp.TCPConnector(ssl=asking if asking is not None else True)
    async with aiohttp.ClientSession(connector=connector) as session:
        made = Middleman(session, served)
        await made.up()
        try:
            yield made
        finally:
            await made.down()
