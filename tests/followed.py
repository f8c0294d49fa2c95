"""A directory of somebody else, for tests: search and history of a type as the guide and the recordings have them; and
a query directory that follows it.

    async with serving(Directory()) as directory:
        directory.put("o1", organisation("Noord", "00000001"))
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from copy import deepcopy
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from typing import Any

import orjson
from aiohttp import web

from schakel.facilities import Facility, FacilityRules
from schakel.generic.addressing.ledger import Ledger, Source
from schakel.generic.addressing.replica import Replica
from schakel.generic.addressing.sync import Feeder, Following, Ran, ReadingRules, Remote
from schakel.kernel.clock import now
from schakel.kernel.values import URA_SYSTEM
from schakel.store.database import connect, disconnect
from schakel.store.resources import Store
from schakel.store.tenants import tenant_of
from schakel.store.writing import RidBlocks

FHIR = "application/fhir+json"
PAYLOAD = "http://nictiz.nl/fhir/CapabilityStatement/bgz2017-servercapabilities"

Json = dict[str, Any]
Behaviour = Callable[[web.Request], Awaitable[web.StreamResponse | None]]
"""Answers in place of the directory, or lets it answer (None)."""


def organisation(name: str = "Noord", ura: str = "", **members: Any) -> Json:
    """An Organization, with a URA when one is given."""
    identifiers: list[Json] = [{"system": "https://lrza.example/ids", "value": name}]
    if ura:
        identifiers.append({"system": URA_SYSTEM, "value": ura})
    return {
        "resourceType": "Organization",
        "active": True,
        "name": name,
        "identifier": identifiers,
        **members,
    }


def endpoint(address: str = "https://fhir.noord.example/r4", code: str = PAYLOAD, **members: Any) -> Json:
    """An Endpoint that is in use."""
    system = "http://terminology.hl7.org/CodeSystem/endpoint-connection-type"
    return {
        "resourceType": "Endpoint",
        "status": "active",
        "connectionType": {"system": system, "code": "hl7-fhir-rest"},
        "payloadType": [{"coding": [{"system": "https://example.org/payload", "code": code}]}],
        "address": address,
        **members,
    }


def link(kind: str, logical_id: str) -> Json:
    return {"reference": f"{kind}/{logical_id}"}


@dataclass
class Version:
    """One version of a resource in the directory; `resource` is None when it was deleted."""

    type: str
    id: str
    number: int
    moment: datetime
    resource: Json | None


@dataclass
class Directory:
    """What a directory has. `log` is every version in the order in which they came; `asked` what was requested.
    `behave` may answer in its place. `told` changes a Bundle before it is sent."""

    page: int = 3
    log: list[Version] = field(default_factory=list)
    asked: list[str] = field(default_factory=list)
    headers: list[dict[str, str]] = field(default_factory=list)
    behave: Behaviour | None = None
    told: Callable[[Json], Json] | None = None
    base: str = ""
    moment: datetime = field(default_factory=lambda: now() - timedelta(days=1))

    def put(self, logical_id: str, resource: Json) -> None:
        """Creates or updates."""
        self._write(resource["resourceType"], logical_id, deepcopy(resource))

    def delete(self, kind: str, logical_id: str) -> None:
        self._write(kind, logical_id, None)

    def _write(self, kind: str, logical_id: str, resource: Json | None) -> None:
        self.moment += timedelta(seconds=1)
        number = sum(one.type == kind and one.id == logical_id for one in self.log) + 1
        if resource is not None:
            resource["id"] = logical_id
            resource["meta"] = {"versionId": str(number), "lastUpdated": self.moment.isoformat()}
        self.log.append(Version(kind, logical_id, number, self.moment, resource))

    def now(self) -> dict[tuple[str, str], Json]:
        """What it has at this moment, by type and id."""
        last = {(one.type, one.id): one.resource for one in self.log}
        return {key: resource for key, resource in last.items() if resource is not None}

    async def answer(self, request: web.Request) -> web.StreamResponse:
        self.asked.append(request.path_qs)
        self.headers.append({name.lower(): value for name, value in request.headers.items()})
        if self.behave is not None and (answer := await self.behave(request)) is not None:
            return answer
        kind, *rest = request.match_info["path"].split("/")
        if rest == ["_history"]:
            bundle = self._history(kind, request)
        elif not rest:
            entries = [
                {"fullUrl": f"{self.base}/{kind}/{key[1]}", "resource": one, "search": {"mode": "match"}}
                for key, one in sorted(self.now().items())
                if key[0] == kind
            ]
            bundle = self._bundle("searchset", entries, request)
        else:
            return refusal(404, "not here")
        return reply(self.told(bundle) if self.told else bundle)

    def _history(self, kind: str, request: web.Request) -> Json:
        since = request.query.get("_since")
        after = datetime.fromisoformat(since) if since else None
        versions = [one for one in self.log if one.type == kind and (after is None or one.moment >= after)]
        return self._bundle("history", [self._entry(one) for one in reversed(versions)], request)

    def _entry(self, one: Version) -> Json:
        path = f"{one.type}/{one.id}"
        entry: Json = {
            "fullUrl": f"{self.base}/{path}",
            "request": {"method": "PUT" if one.resource is not None else "DELETE", "url": path},
            "response": {
                "status": "200",
                "etag": f'W/"{one.number}"',
                "lastModified": one.moment.isoformat(),
            },
        }
        return entry if one.resource is None else {**entry, "resource": one.resource}

    def _bundle(self, kind: str, entries: list[Json], request: web.Request) -> Json:
        size = int(request.query.get("_count", self.page))
        start = int(request.query.get("start", 0))
        bundle: Json = {
            "resourceType": "Bundle",
            "type": kind,
            "meta": {"lastUpdated": self.moment.isoformat()},
            "link": [{"relation": "self", "url": str(request.url)}],
        }
        if entries[start : start + size]:
            bundle["entry"] = entries[start : start + size]
        if entries[start + size :]:
            query = {**request.query, "start": str(start + size)}
            bundle["link"].append({"relation": "next", "url": str(request.url.with_query(query))})
        return bundle


def reply(bundle: Json, **headers: str) -> web.Response:
    return web.Response(body=orjson.dumps(bundle), content_type=FHIR, headers=headers)


def refusal(status: int, text: str = "", **headers: str) -> web.Response:
    """An OperationOutcome with this status; an underscore in the name of a header is a hyphen."""
    outcome = {
        "resourceType": "OperationOutcome",
        "issue": [{"severity": "error", "code": "processing", "diagnostics": text}],
    }
    named = {name.replace("_", "-"): value for name, value in headers.items()}
    return web.Response(status=status, body=orjson.dumps(outcome), content_type=FHIR, headers=named)


@asynccontextmanager
async def serving(directory: Directory) -> AsyncIterator[Directory]:
    """The directory on a free port of this machine, at `/fhir`."""
    app = web.Application()
    app.router.add_route("*", "/fhir/{path:.*}", directory.answer)
    runner = web.AppRunner(app, shutdown_timeout=0.1)
    await runner.setup()
    await web.TCPSite(runner, "127.0.0.1", 0).start()
    [(_, port)] = runner.addresses
    directory.base = f"http://127.0.0.1:{port}/fhir"
    try:
        yield directory
    finally:
        await runner.cleanup()


def open_remote(
    rules: ReadingRules | None = None, seconds: float = 5.0, most: int = 1_000_000, **tokens: Any
) -> Callable[[str], Any]:
    """What feeders are given to open a directory with."""

    @asynccontextmanager
    async def opened(base: str) -> AsyncIterator[Remote]:
        facility_rules = FacilityRules(timeout=seconds, most=most)
        async with Facility.open("the directory", base, None, facility_rules) as facility:
            yield Remote(facility, rules, **tokens)

    return opened


@dataclass
class Follower:
    """A query directory of its own in a database."""

    dsn: str
    replica: Replica
    store: Store
    feeders: list[Feeder] = field(default_factory=list)

    @property
    def ledger(self) -> Ledger:
        return self.replica.ledger

    def following(self) -> Following:
        return Following(self.dsn, self.replica, self.feeders)

    async def run(self, name: str = "") -> Ran:
        """One run of the source with this name, or of the first."""
        following = self.following()
        await following.align()
        return await following.run(name or self.feeders[0].name)

    async def source(self, name: str = "") -> Source:
        return await self.ledger.source(name or self.feeders[0].name)

    async def here(self) -> dict[tuple[str, str], Json]:
        """What the query directory has, by type and the id that it has at its source."""
        found: dict[tuple[str, str], Json] = {}
        for source in await self.ledger.sources():
            entries = [one for one in await self.replica.entries(source.name) if one.here]
            stored = await self.store.read_many("r4", [(one.type, one.id) for one in entries])
            assert len(stored) == len(entries), "a row without its resource"
            for one in entries:
                found[one.type, one.remote] = orjson.loads(stored[one.type, one.id].body)
        return found

    async def findings(self) -> dict[tuple[str, str], str]:
        """The codes of what is not right, by type and id at the source."""
        return {
            (one.finding.type, one.finding.remote): one.finding.code for one in await self.ledger.findings()
        }


@asynccontextmanager
async def follower(make_database: Callable[[], Awaitable[str]]) -> AsyncIterator[Follower]:
    """A query directory in a new database."""
    dsn = await make_database()
    pool = await connect(dsn, connections=4)
    try:
        tenant = await tenant_of(pool, "", "", "Query directory", "/directory")
        store = Store(pool, tenant, RidBlocks())
        yield Follower(dsn, Replica(pool, store, Ledger(pool, tenant)), store)
    finally:
        await disconnect(pool)


async def until(true: Callable[[], Awaitable[bool]], seconds: float = 15.0) -> None:
    """Returns when it is so."""
    for _ in range(int(seconds / 0.05)):
        if await true():
            return
        await asyncio.sleep(0.05)
    raise AssertionError(f"not so after {seconds} seconds")
