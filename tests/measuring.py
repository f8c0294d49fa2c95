"""Measuring one organisation by one check, and a small server that says what a test wants.

async with saying() as peer:
    peer.says("/fhir/metadata", {"resourceType": "CapabilityStatement", ...})
    finding = await measured("fhir-metadata", fhir={"r4": f"{peer.url}/fhir"})
"""

from __future__ import annotations

import ssl
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from typing import Any

import orjson
from aiohttp import web
from tests.nodes import RunningOrganisation, free_ports

from schakel.roadmap.evidence import Finding, Run
from schakel.roadmap.facts import called
from schakel.roadmap.model import Roadmap
from schakel.roadmap.reading import shipped
from schakel.roadmap.region import Region
from schakel.roadmap.run import measure

URA = "90000001"


def region(*organisations: Mapping[str, Any], defaults: Mapping[str, Any] | None = None) -> Region:
    """A region with these organisations; their number, name and sector are filled in."""
    filled = [
        {"ura": f"{90000001 + number}", "name": f"Organisation {number + 1}", "sector": "MSZ", **one}
        for number, one in enumerate(organisations)
    ]
    return Region.model_validate(
        {
            "name": "Region",
            "by": "a test",
            "defaults": {"http_on_loopback": True, "seconds": 5, **(defaults or {})},
            "organisations": filled,
        }
    )


def roadmap() -> Roadmap:
    """The roadmap that comes with the program."""
    return shipped()


async def run_of(check: str, *organisations: Mapping[str, Any], **defaults: Any) -> Run:
    """A run of one check."""
    return told(await measure(region(*organisations, defaults=defaults), roadmap(), only=(check,)))


def told(run: Run) -> Run:
    """The run, in which every figure has a word for people."""
    findings = [one.finding for one in run.measured]
    bare = [(one.check, name) for one in findings for name in one.facts if called(one.check, name) is None]
    assert bare == [], f"{bare} have no word in roadmap/facts.py"
    return run


async def measured(check: str, defaults: Mapping[str, Any] | None = None, **organisation: Any) -> Finding:
    """What the check finds at an organisation of which this is known.

    Beside it there is one that answers, so that silence is that of the organisation alone."""
    ura = organisation.get("ura", URA)
    async with saying() as other:
        other.says("/fhir/metadata", capabilities("r4"))
        beside = {"ura": "90000999", "fhir": {"r4": f"{other.url}/fhir"}, "issuer": other.url}
        both = region(organisation, beside, defaults=defaults)
        run = told(await measure(both, roadmap(), only=(check, "fhir-metadata")))
    [found] = [one.finding for one in run.measured if one.ura == ura and one.finding.check == check]
    return found


def internal(organisation: RunningOrganisation, **more: Any) -> dict[str, Any]:
    """What a region's file says of an organisation of a running node, and of its internal door."""
    return {
        "ura": organisation.ura,
        "internal": f"{organisation.internal_root}/{organisation.slug}",
        "internal_key": organisation.key,
        **more,
    }


def silent() -> str:
    """An address at which nothing listens."""
    return f"http://127.0.0.1:{free_ports(1)[0]}"


def capabilities(version: str, **changed: Any) -> dict[str, Any]:
    """A CapabilityStatement as short as it can be."""
    number = {"stu3": "3.0.2", "r4": "4.0.1"}[version]
    made = {"resourceType": "CapabilityStatement", "fhirVersion": number, "format": ["json", "xml"]}
    return {**made, **changed}


@dataclass
class Peer:
    """A server whose answers are set by path; what is not set is 404. `asked` are the requests that came."""

    url: str
    answers: dict[str, tuple[int, bytes, str]] = field(default_factory=dict)
    asked: list[str] = field(default_factory=list)

    def says(self, path: str, body: object, status: int = 200, media: str = "application/json") -> None:
        """From now on."""
        raw = body if isinstance(body, bytes) else orjson.dumps(body)
        self.answers[path] = status, raw, media


@asynccontextmanager
async def saying(tls: ssl.SSLContext | None = None, host: str = "127.0.0.1") -> AsyncIterator[Peer]:
    """A small server."""
    [port] = free_ports(1)
    peer = Peer(f"{'https' if tls else 'http'}://{host}:{port}")

    async def answer(request: web.Request) -> web.Response:
        peer.asked.append(f"{request.method} {request.path}")
        status, body, media = peer.answers.get(request.path, (404, b"{}", "application/json"))
        return web.Response(status=status, body=body, headers={"Content-Type": media})

    app = web.Application()
    app.router.add_route("*", "/{path:.*}", answer)
    runner = web.AppRunner(app, shutdown_timeout=0.1)
    await runner.setup()
    try:
        await web.TCPSite(runner, "127.0.0.1", port, ssl_context=tls).start()
        yield peer
    finally:
        await runner.cleanup()
