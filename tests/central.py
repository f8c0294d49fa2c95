"""Own entries on their way to the central directory: the stand-in of the LRZa on a port, with faults on the way to it,
and the worker that publishes.

    async with published(fresh_database, tmp_path) as way:
        await way.bring(name="Another name")
        await way.publish()
"""

from __future__ import annotations

from collections.abc import AsyncIterator, Callable, Mapping
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass, field, replace
from datetime import timedelta
from pathlib import Path
from typing import Any

import asyncpg
import httpx
from starlette.types import ASGIApp, Message, Receive, Scope, Send
from tests.lrza import certificate, directory
from tests.nodes import free_ports

from schakel.facilities import Facility, FacilityRules
from schakel.generic.addressing.own import codes
from schakel.generic.addressing.own.central import Central
from schakel.generic.addressing.own.entries import Entries, entries
from schakel.generic.addressing.own.keeping import Brought, Keeper
from schakel.generic.addressing.own.ledger import Row
from schakel.generic.addressing.own.model import Access, Code, OwnOrganisation, Place, Service, Unit
from schakel.generic.addressing.own.publication import PublicationWork, Publisher
from schakel.generic.addressing.own.signature import Signing
from schakel.store.database import connect, disconnect
from schakel.store.resources import Store
from schakel.store.tenants import DIRECTORY, tenant_of
from schakel.store.writing import RidBlocks
from schakel_national.serving import Facility as Served
from schakel_national.serving import serving

URA = "11111111"
OWN = OwnOrganisation(
    ura=URA,
    name="Ziekenhuis Oost",
    types=(Code(codes.ORGANISATION_TYPE, "V6"),),
    units=(Unit("heart", "Heart Centre", (codes.DEPARTMENT,)),),
    places=(
        Place("main", "Main Building", (Code("http://terminology.hl7.org/CodeSystem/v3-RoleCode", "HOSP"),)),
    ),
    services=(
        Service(
            "cardiology", "Cardiology", (Code("http://snomed.info/sct", "394579002"),), "heart", ("main",)
        ),
    ),
    accesses=(
        Access(
            "fhir",
            "FHIR",
            "https://care.example/fhir",
            codes.FHIR_REST,
            (
                Code(
                    "http://minvws.github.io/generiekefuncties-docs/CodeSystem/nl-gf-data-categories-cs",
                    "Condition",
                ),
            ),
            (codes.MEDIA["r4"],),
        ),
    ),
)
"""A hospital that operates its addresses itself: its Organization and its Endpoint refer to each other."""

Fault = Callable[[str, str], int | None]
"""From method and path of a request to the status that takes the place of its answer; None for none."""


@dataclass
class Way:
    """What stands between the entries and the central directory. `before` answers in place of it, `after` loses what it
    answered; `asked` are the requests that came, method and path."""

    pool: asyncpg.Pool
    tenant: int
    store: Store
    central: Central
    publisher: Publisher
    work: PublicationWork
    there: httpx.AsyncClient
    base: str
    before: list[Fault] = field(default_factory=list)
    after: list[Fault] = field(default_factory=list)
    asked: list[tuple[str, str]] = field(default_factory=list)
    headers: Mapping[str, str] = field(default_factory=dict)

    def worker(self, lease: float) -> PublicationWork:
        """One more worker; `lease` in seconds."""
        publishers = {self.tenant: self.publisher}
        return PublicationWork(self.pool, self.central, publishers, lease=timedelta(seconds=lease))

    async def bring(self, own: OwnOrganisation = OWN, **changes: Any) -> Brought:
        """Brings the entries to those of `own` with these changes."""
        return await Keeper(self.pool, self.tenant, self.store).bring(self.wanted(own, **changes))

    @staticmethod
    def wanted(own: OwnOrganisation = OWN, **changes: Any) -> Entries:
        return entries(replace(own, **changes))

    async def publish(self) -> None:
        """Publishes until nothing waits that may come now."""
        await self.work.ledger.look()
        while await self.work.turn():
            pass

    async def at_once(self) -> None:
        """Lets no entry wait any longer, as if its time had passed."""
        await self.pool.execute("UPDATE publication SET run_after = clock_timestamp()")

    async def row(self, kind: str, key: str = "") -> Row:
        """What became of the entry of this type; of the one that has `key` in what was sent."""
        [found] = [one for one in await self.work.ledger.rows() if one.type == kind and key in one.sent]
        return found

    async def remote(self, kind: str) -> list[dict[str, Any]]:
        """What the central directory has of a type."""
        answer = await self.there.get(f"/fhir/{kind}")
        return [entry["resource"] for entry in answer.json().get("entry", [])]

    def writes(self) -> list[tuple[str, str]]:
        """The requests that came since this was asked last, without those that read."""
        found = [(method, path.removeprefix("/fhir")) for method, path in self.asked if method != "GET"]
        self.asked.clear()
        return found


@asynccontextmanager
async def published(
    database: str,
    folder: Path,
    *,
    told: str = "",
    seed: Any = (),
    signing: Signing | None = None,
    shown: str = URA,
) -> AsyncIterator[Way]:
    """The way to a central directory that is told `told` and starts with `seed`; who comes there shows the
    certificate of the organisation `shown`."""
    async with AsyncExitStack() as stack:
        pool = await connect(database, connections=4)
        stack.push_async_callback(disconnect, pool)
        lrza = stack.enter_context(directory(folder, told, seed))
        [port] = free_ports(1)
        made: list[Way] = []
        served = Served("lrza", _with_faults(lrza.app, made, shown), port)
        await stack.enter_async_context(serving("127.0.0.1", [served]))
        base = f"http://127.0.0.1:{port}/fhir"
        rules = FacilityRules(timeout=10, failures=1000)
        facility = await stack.enter_async_context(Facility.open("the central directory", base, rules=rules))
        tenant = await tenant_of(pool, "east", URA, "Ziekenhuis Oost", DIRECTORY)
        store = Store(pool, tenant, RidBlocks())
        central, publisher = Central(facility), Publisher(URA, store, signing)
        work = PublicationWork(pool, central, {tenant: publisher}, lease=timedelta(0))
        client = await stack.enter_async_context(lrza.client(shown))
        made.append(Way(pool, tenant, store, central, publisher, work, client, base))
        yield made[0]


def _with_faults(app: ASGIApp, made: list[Way], shown: str) -> ASGIApp:
    """The central directory as somebody with the certificate of `shown` meets it, with the faults on the way."""

    async def faulty(scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http":
            await app(scope, receive, send)
            return
        way = made[0]
        method, path = scope["method"], scope["path"]
        way.asked.append((method, path))
        if (status := _first(way.before, method, path)) is not None:
            await _answer(send, status, way.headers)
            return
        scope = {**scope, "extensions": {"tls": {"client_cert_chain": [certificate(shown).pem]}}}
        if (status := _first(way.after, method, path)) is None:
            await app(scope, receive, send)
            return

        async def lost(_message: Message) -> None:
            pass

        await app(scope, receive, lost)
        await _answer(send, status, way.headers)

    return faulty


def _first(faults: list[Fault], method: str, path: str) -> int | None:
    return next((status for fault in faults if (status := fault(method, path)) is not None), None)


async def _answer(send: Send, status: int, headers: Mapping[str, str]) -> None:
    told = [(name.encode(), value.encode()) for name, value in headers.items()]
    body = b'{"resourceType":"OperationOutcome","issue":[{"severity":"error","code":"x","diagnostics":"no luck"}]}'
    await send({"type": "http.response.start", "status": status, "headers": told})
    await send({"type": "http.response.body", "body": body})


def once(wanted: str, status: int, path: str = "") -> Fault:
    """A fault at the first request with this method and path."""
    left = [True]

    def fault(method: str, asked: str) -> int | None:
        if method == wanted and asked.startswith(path) and left:
            left.clear()
            return status
        return None

    return fault
