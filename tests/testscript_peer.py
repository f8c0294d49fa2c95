"""A FHIR peer for tests of the TestScript runner: a real server that answers what each test wants."""

from __future__ import annotations

import json
from collections.abc import AsyncIterator, Awaitable, Callable, Mapping
from contextlib import asynccontextmanager
from pathlib import Path
from ssl import SSLContext
from typing import Any

from aiohttp import web
from tests import testscript_builder as make

from schakel.conformance import CheckOptions, SuiteResult, check
from schakel.conformance.results import AssertionResult, ScriptResult

JSON, XML = "application/fhir+json", "application/fhir+xml"
Handler = Callable[[web.Request], Awaitable[web.StreamResponse]]

TASK = {
    "resourceType": "Task",
    "id": "t1",
    "text": {"status": "generated", "div": '<div xmlns="http://www.w3.org/1999/xhtml">task</div>'},
    "status": "in-progress",
    "intent": "order",
}
XML_TASK = (
    b'<Task xmlns="http://hl7.org/fhir"><id value="t1"/><status value="in-progress"/>'
    b'<intent value="order"/></Task>'
)
BUNDLE: dict[str, Any] = {
    "resourceType": "Bundle",
    "type": "searchset",
    "total": 1,
    "link": [
        {"relation": "self", "url": "http://peer/fhir/Observation?code=http://loinc.org|8480-6&patient=p1"}
    ],
    "entry": [
        {
            "fullUrl": "http://peer/fhir/Observation/o1",
            "resource": {
                "resourceType": "Observation",
                "id": "o1",
                "status": "final",
                "code": {"coding": [{"system": "http://loinc.org", "code": "8480-6"}]},
                "valueQuantity": {"value": 9.20, "unit": "mmol/L"},
            },
            "search": {"mode": "match"},
        }
    ],
}


SEARCH = make.operation(
    "search", resource="Observation", params="?code=http://loinc.org|8480-6", accept="json"
)


class Peer:
    """A FHIR server of which each test decides the answers; it keeps what it was asked."""

    def __init__(self) -> None:
        self.asked: list[tuple[str, str, Mapping[str, str], bytes]] = []
        self.answers: dict[tuple[str, str], Handler] = {}
        self.base = ""

    def answer(
        self,
        method: str,
        path: str,
        body: object = None,
        *,
        status: int = 200,
        content_type: str = JSON,
        headers: Mapping[str, str] | None = None,
    ) -> None:
        """Answer `method` on `path` (below the base, without query) with this."""
        raw = body if isinstance(body, bytes) else b"" if body is None else json.dumps(body).encode()

        async def handler(request: web.Request) -> web.StreamResponse:
            return web.Response(status=status, body=raw, content_type=content_type, headers=headers)

        self.answers[method, path] = handler

    async def handle(self, request: web.Request) -> web.StreamResponse:
        """Keep the request and give the answer; 404 where no test gave one."""
        path = request.path.removeprefix("/fhir/")
        self.asked.append((request.method, request.raw_path, dict(request.headers), await request.read()))
        handler = self.answers.get((request.method, path))
        return await handler(request) if handler else web.Response(status=404)

    def sent(self, method: str) -> list[str]:
        """The paths with query, as they were on the line, of the requests with `method`."""
        return [path for verb, path, _, _ in self.asked if verb == method]


@asynccontextmanager
async def running_peer(tls: SSLContext | None = None) -> AsyncIterator[Peer]:
    """A running peer on a port of its own."""
    peer = Peer()
    app = web.Application()
    app.router.add_route("*", "/{path:.*}", peer.handle)
    runner = web.AppRunner(app, access_log=None)
    await runner.setup()
    await web.TCPSite(runner, "127.0.0.1", 0, ssl_context=tls).start()
    peer.base = f"{'https' if tls else 'http'}://127.0.0.1:{runner.addresses[0][1]}/fhir"
    try:
        yield peer
    finally:
        await runner.cleanup()


async def run(peer: Peer, root: Path, *parts: str, options: Mapping[str, Any] | None = None) -> ScriptResult:
    """Run one script of these parts and return its result."""
    result = await run_suite(peer, make.suite(root, {"one.xml": make.script(*parts)}), **(options or {}))
    return result.scripts[0]


async def run_suite(peer: Peer, suite: Path, **options: Any) -> SuiteResult:
    """Run a suite against the peer."""
    return await check(CheckOptions(url=peer.base, suite=suite, **options))


async def judged(peer: Peer, root: Path, operation: str, **members: Any) -> AssertionResult:
    """The result of one assertion after one operation."""
    result = await run(peer, root, make.case(operation, make.assertion("asked", **members)))
    (found,) = [a for test in result.tests for a in test.assertions]
    return found
