"""Who may have one patient's data gets, whatever is asked, what there would be if there were no other patient.

Asked at the guarded door with a token and a ground for one patient, and at the MedMij door with that patient's own
token. The other patient is at the same organisation, has data of every type, and shares some of them with the first.
"""

from __future__ import annotations

import uuid
from collections.abc import AsyncIterator, Iterator
from contextlib import AsyncExitStack
from dataclasses import dataclass, replace
from typing import Any

import pytest
import pytest_asyncio
from tests.neighbours.asking import Asking, get
from tests.neighbours.making import BSN, Maker
from tests.neighbours.worlds import BASE, Door, compare, fill, fingerprint
from tests.nodes import RunningNode, bearing, databases, running_node
from tests.patients import patient_token

from schakel.fhir.definitions import VERSIONS, Version
from schakel.gateway import Call
from schakel.gateway.minimise import item
from schakel.generic.authorisation import ROWS
from schakel.patient_access import SERVICES
from schakel.patient_access.services import Service
from schakel.server import Answer, Request
from schakel.store.embedded import EmbeddedServer

pytestmark = pytest.mark.slow
PARTS = 4
ANNA, BRAM = "999990019", "999990020"
LOG = frozenset({"audit_event", "audit_seal", "audit_unsealed", "decision"})
"""The tables of the log."""

IDS = ("b0", "b1", "b2")


def first(version: Version) -> list[dict[str, Any]]:
    """The record of Anna, and those without a patient that it refers to."""
    return list(Maker(version, "eigen", 1988, 55, ("a0", "a1", "a2"), ("anna",), bsn=ANNA).all())


def second(version: Version) -> list[dict[str, Any]]:
    """What there is of Bram, and of both together."""
    maker = Maker(version, "geheim", 1931, 931, IDS, ("bram",), bsn=BRAM)
    kept = [r for r in maker.all() if r["resourceType"] == "Patient" or named(version, r) == {"bram"}]
    both = [
        {**r, "id": f"both-{r['id']}", "subject": {"reference": "Patient/anna"}}
        for r in kept
        if "subject" in r
    ]
    return [*kept, *(r for r in both if named(version, r) == {"anna", "bram"})]


def named(version: Version, resource: dict[str, Any]) -> frozenset[str]:
    """The patients whose record a resource belongs to."""
    return item(version, resource, True).patients


@dataclass
class Worlds:
    """The organisation with one patient, and with two; and the tokens with which it is asked about the first."""

    alone: RunningNode
    crowded: RunningNode
    asking: dict[Version, Asking]

    def __iter__(self) -> Iterator[RunningNode]:
        return iter((self.alone, self.crowded))


@pytest_asyncio.fixture(scope="module", loop_scope="session")
async def worlds(cluster: EmbeddedServer) -> AsyncIterator[Worlds]:
    async with AsyncExitStack() as stack:
        make = await stack.enter_async_context(databases(cluster, "patients"))
        nodes = [
            await stack.enter_async_context(
                running_node(make, ("a", "b"), write_check="lenient", token_lifetime=3600)
            )
            for _ in range(2)
        ]
        made = Worlds(nodes[0], nodes[1], {})
        for version in VERSIONS:
            others = second(version)
            for node in nodes:
                await fill(node.node.organisations["a"].service, version, first(version))
            holder = made.crowded.node.organisations["a"]
            assert holder.data is not None
            for service in (holder.service, holder.data.inbox):
                await fill(service, version, others)
            ids = (*IDS, "bram", "both-b0", "gone")
            made.asking[version] = Asking(version, others, ids)
        for node in nodes:
            await node["a"].ground(ANNA, node["b"].ura)
            await node.node.pool.execute("ANALYZE")
        yield made


# -- the guarded door ----------------------------------------------------------------------------------------------


async def guarded(node: RunningNode) -> Door:
    gateway, token = node.node.organisations["a"].gateway, await node["b"].token(node["a"])

    async def ask(request: Request) -> Answer:
        return await gateway.answer(Call(request, bearing(token)), f"{BASE}/{request.version}")

    return ask


def accepted(asking: Asking) -> Iterator[Request]:
    """Each accepted form for the one patient and for the other."""
    for row in ROWS:
        name = "identifier" if row.type == "Patient" else f"{row.patient}.identifier"
        pairs = [f"{name}={BSN}|{bsn}" for bsn in (ANNA, BRAM, f"{ANNA},{BSN}|{BRAM}")]
        rest = [f"{code}={','.join(sorted(values))}" for code, values in row.parameters.items()]
        rest += [f"_include={include}" for include in sorted(row.includes)]
        for pair in pairs:
            yield get(asking.version, row.type, "&".join([pair, *rest]))
            yield get(asking.version, row.type, "&".join([pair, *rest, "_revinclude=Provenance:target"]))


async def events(node: RunningNode) -> int:
    """How many events the log of the organisation holds."""
    number: int = await node.node.pool.fetchval(
        "SELECT count(*) FROM audit_event WHERE tenant = (SELECT id FROM tenant WHERE slug = 'a')"
    )
    return number


def requests_of(asking: Asking, part: int) -> Iterator[Request]:
    """A part of everything: each is a line in the log, and takes its time."""
    for kind in asking.kinds[part::PARTS]:
        yield from list(asking.searching(kind))[part::9]
        yield from list(asking.reading(kind))[part::9]
        yield from list(asking.conditional(kind))[part::13]
    yield from list(asking.whole())[part::PARTS]
    yield from list(asking.compartments())[part::61]
    yield from list(asking.operations())[part::41]
    if part == 0:
        yield from accepted(asking)


@pytest.mark.parametrize("part", range(PARTS))
@pytest.mark.parametrize("version", VERSIONS)
async def test_the_guarded_door_tells_nothing_of_another_patient(
    worlds: Worlds, version: Version, part: int
) -> None:
    before = await fingerprint(worlds.crowded.node.pool, "a")
    doors = await guarded(worlds.alone), await guarded(worlds.crowded)
    logged = [await events(node) for node in worlds]
    tally = await compare(*doors, requests_of(worlds.asking[version], part))
    assert tally.different[:9] == []
    assert not [status for status in tally.statuses if status >= 500]
    assert (200 in tally.statuses) == (version == "stu3" and part == 0)
    assert [await events(node) for node in worlds] == [number + tally.sent for number in logged]
    after = await fingerprint(worlds.crowded.node.pool, "a")
    changed = {table for table in after if after[table] != before[table]}
    assert changed <= LOG | {"access_token", "token_patient", "used_id", "search_page"}


# -- the MedMij door -----------------------------------------------------------------------------------------------


def of_patient(token: str, node: RunningNode, service: Service) -> Door:
    data = node.node.organisations["a"].data
    assert data is not None

    async def ask(request: Request) -> Answer:
        ids = {"medmij-request-id": str(uuid.uuid4()), "x-correlation-id": str(uuid.uuid4())}
        asked = replace(request, headers={**request.headers, **ids})
        return await data.door.answer(Call(asked, bearing(token)), service, f"{BASE}/medmij/{service.id}")

    return ask


def for_service(asking: Asking, service: Service, usual: frozenset[str]) -> Iterator[Request]:
    """Searches of the types that no other service has, a part of the rest, and what is no search."""
    for number, kind in enumerate(sorted(service.gives)):
        yield from list(asking.searching(kind))[number % 9 :: 60 if kind in usual else 9]
        yield from list(asking.reading(kind))[number % 7 :: 7]
    others = sorted(service.takes | service.updates | {"Basic", "Organization", "Binary", "Provenance"})
    for kind in others:
        yield from list(asking.conditional(kind))[::5]
        yield from list(asking.reading(kind))[::5]
    start = int(service.id) % 29
    yield from list(asking.compartments())[start::149]
    yield from list(asking.operations())[start::97]


@pytest.mark.parametrize("service", SERVICES.values(), ids=lambda service: service.id)
async def test_a_patients_token_tells_nothing_of_another_patient(worlds: Worlds, service: Service) -> None:
    earlier = [s for s in SERVICES.values() if s.version == service.version and s.id < service.id]
    usual = frozenset().union(*(s.gives for s in earlier))
    alone, crowded = [of_patient(await patient_token(n, "a", ANNA), n, service) for n in worlds]
    before = await fingerprint(worlds.crowded.node.pool, "a")
    requests = for_service(worlds.asking[service.version], service, usual)
    tally = await compare(alone, crowded, requests, ANNA, BRAM)
    assert tally.different[:9] == []
    assert not [status for status in tally.statuses if status >= 500]
    after = await fingerprint(worlds.crowded.node.pool, "a")
    assert {table for table in after if after[table] != before[table]} <= LOG | {"chain_event", "search_page"}
