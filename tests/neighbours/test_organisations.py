"""Whatever an organisation asks, by whatever way, it gets what it would get if it had no neighbours.

The neighbour has the worst of records: the same ids, the same BSN, references to the same places, in both FHIR
versions, and things that the organisation itself refers to and does not have.
"""

from __future__ import annotations

import re
from collections.abc import AsyncIterator, Callable, Iterable
from contextlib import AsyncExitStack
from dataclasses import dataclass
from typing import Any

import asyncpg
import pytest
import pytest_asyncio
from tests.neighbours.asking import Asking, get
from tests.neighbours.making import Maker
from tests.neighbours.worlds import Door, Tally, answered, compare, fill, fingerprint, internal, next_of
from tests.nodes import RunningNode, databases, running_node

from schakel.fhir.definitions import VERSIONS, Version
from schakel.server import Request
from schakel.server.operations import OPERATIONS
from schakel.sources import Write
from schakel.store.embedded import EmbeddedServer

pytestmark = pytest.mark.slow
PARTS = 4
"""Into how many tests the types are divided."""
OWN, THEIRS = ("s0", "s1", "s2"), ("s0", "s1", "s2", "only-geheim")
LED = ("s0", "only-geheim", "s2")
"""Where our own references go: to what both have, and to what only the neighbour has."""


def own(version: Version) -> Maker:
    return Maker(version, "eigen", 1988, 55, OWN, OWN, LED)


def theirs(version: Version) -> Maker:
    return Maker(version, "geheim", 1931, 931, THEIRS, THEIRS)


@dataclass
class Worlds:
    """The organisation alone, in each FHIR version apart, and with its neighbour; and what to ask."""

    lonely: dict[Version, RunningNode]
    crowded: RunningNode
    asking: dict[Version, Asking]

    def alone(self, version: Version) -> Door:
        return internal(self.lonely[version].node.organisations["a"].service)

    @property
    def mine(self) -> Door:
        return internal(self.crowded.node.organisations["a"].service)

    @property
    def neighbour(self) -> Door:
        return internal(self.crowded.node.organisations["b"].service)

    async def compared(self, version: Version, requests: Iterable[Request]) -> Tally:
        """Sends the requests to both worlds; they must be alike, and the neighbour's data as they were."""
        before = await fingerprint(self.crowded.node.pool, "b", "b/inbox")
        tally = await compare(self.alone(version), self.mine, requests)
        assert tally.different == []
        assert await fingerprint(self.crowded.node.pool, "b", "b/inbox") == before
        assert not [status for status in tally.statuses if status >= 500]
        return tally


@pytest_asyncio.fixture(scope="module", loop_scope="session")
async def worlds(cluster: EmbeddedServer) -> AsyncIterator[Worlds]:
    async with AsyncExitStack() as stack:
        make = await stack.enter_async_context(databases(cluster, "neighbours"))
        nodes = [
            await stack.enter_async_context(
                running_node(
                    make, slugs, write_check="lenient", erasure="test", conditional_delete="multiple"
                )
            )
            for slugs in (("a",), ("a",), ("a", "b"))
        ]
        *lonely, crowded = nodes
        made = Worlds(dict(zip(VERSIONS, lonely, strict=True)), crowded, {})
        for version in VERSIONS:
            held = list(theirs(version).all())
            for node in (made.lonely[version], crowded):
                service = node.node.organisations["a"].service
                for _ in range(1 if version == "stu3" else 2):
                    await fill(service, version, own(version).all())
            neighbour = crowded.node.organisations["b"].service
            await fill(neighbour, version, held)
            await fill(neighbour, version, held)  # A second version of everything, and a third of some.
            await fill(neighbour, version, held[::3])
            gone = [{"resourceType": r["resourceType"], "id": "gone"} for r in held if r["id"] == "s0"]
            await fill(neighbour, version, gone)
            await neighbour.source.write(version, [Write("DELETE", r["resourceType"], r["id"]) for r in gone])
            made.asking[version] = Asking(version, held, (*THEIRS, "gone"))
        for node in nodes:
            await node.node.pool.execute("ANALYZE")
        yield made


def part_of(asking: Asking, part: int) -> list[str]:
    return asking.kinds[part::PARTS]


@pytest.mark.parametrize("version", VERSIONS)
async def test_the_neighbour_has_a_value_for_nearly_every_parameter(worlds: Worlds, version: Version) -> None:
    asking = worlds.asking[version]
    every = sum(len(asking.parameters(kind)) for kind in asking.kinds)
    assert len(asking.unfilled()) < every / 50


@pytest.mark.parametrize("part", range(PARTS))
@pytest.mark.parametrize("version", VERSIONS)
async def test_no_search_tells_that_there_is_a_neighbour(worlds: Worlds, version: Version, part: int) -> None:
    asking = worlds.asking[version]
    tally = await worlds.compared(
        version, (r for kind in part_of(asking, part) for r in asking.searching(kind))
    )
    assert tally.statuses[200] > 2000


@pytest.mark.parametrize("version", VERSIONS)
async def test_the_neighbours_own_searches_find_what_is_asked(worlds: Worlds, version: Version) -> None:
    asking, found, number = worlds.asking[version], 0, 0
    for kind in asking.kinds[::12]:
        for parameter in asking.parameters(kind):
            text = next(asking.by_parameter(kind, parameter))
            given = await answered(worlds.neighbour, get(version, kind, text))
            number += 1
            found += b'"mode":"match"' in given.body
    assert found > number * 0.8


@pytest.mark.parametrize("version", VERSIONS)
async def test_no_read_or_history_tells_of_a_neighbour(worlds: Worlds, version: Version) -> None:
    asking = worlds.asking[version]
    tally = await worlds.compared(
        version, [*(r for kind in asking.kinds for r in asking.reading(kind)), *asking.whole()]
    )
    assert {200, 304, 404} <= tally.statuses.keys() and 410 not in tally.statuses


@pytest.mark.parametrize("version", VERSIONS)
async def test_no_compartment_holds_anything_of_a_neighbour(worlds: Worlds, version: Version) -> None:
    tally = await worlds.compared(version, worlds.asking[version].compartments())
    assert tally.statuses.keys() == {200} and tally.sent > 500


@pytest.mark.parametrize("version", VERSIONS)
async def test_a_neighbours_pages_are_gone(worlds: Worlds, version: Version) -> None:
    asking = worlds.asking[version]
    links: list[Request] = []
    for request in (*(get(version, kind, "_count=1") for kind in asking.kinds), get(version, "", "_count=2")):
        links += filter(None, [next_of(request, await answered(worlds.neighbour, request))])
    assert len(links) > 100
    for link in links:
        assert (await answered(worlds.neighbour, link)).status == 200
    tally = await worlds.compared(version, links)
    assert tally.statuses.keys() == {410}


@pytest.mark.parametrize("version", VERSIONS)
async def test_a_feed_of_a_neighbour_goes_on_with_nothing_of_it(worlds: Worlds, version: Version) -> None:
    request = get(version, "_history", "_count=3&_sort=_lastUpdated")
    link = next_of(request, await answered(worlds.neighbour, request))
    assert link is not None
    for _ in range(3):
        given = await answered(worlds.mine, link)
        assert b"geheim" not in given.body.replace(b"only-geheim", b"") and given.status == 200


@pytest.mark.parametrize("version", VERSIONS)
async def test_no_condition_reaches_a_neighbour(worlds: Worlds, version: Version) -> None:
    asking = worlds.asking[version]
    tally = await worlds.compared(version, (r for kind in asking.kinds for r in asking.conditional(kind)))
    assert {200, 201, 204, 404, 412} <= tally.statuses.keys() and tally.sent > 3000


@pytest.mark.parametrize("version", VERSIONS)
async def test_no_operation_reaches_a_neighbour(worlds: Worlds, version: Version) -> None:
    operations = list(worlds.asking[version].operations())
    named = {r.path.rpartition("$")[2]: r for r in operations}  # Each of them, and a part of each type's own.
    tally = await worlds.compared(version, [*named.values(), *operations[:: 4 if version == "r4" else 3]])
    assert {200, 404} <= tally.statuses.keys()
    assert named.keys() == {o.name for o in OPERATIONS if version in o.versions}


@pytest.mark.parametrize("column", ["tenant", "fhir"])
@pytest.mark.parametrize("table", ["resource", "history"])
async def test_one_condition_less_is_noticed(
    worlds: Worlds, table: str, column: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    condition = re.compile(
        rf"(\b{table}\b(?: \w+)? (?:WHERE|ON) (?:(?:\w+\.)?tenant = \$1 AND )?)(?:\w+\.)?{column} = (\$\d)"
    )

    def mutant(method: Callable[..., Any]) -> Callable[..., Any]:
        def call(connection: asyncpg.Connection, text: str, *arguments: object, **options: Any) -> Any:
            return method(connection, condition.sub(r"\1\2::integer > 0", text), *arguments, **options)

        return call

    for name in ("fetch", "fetchrow", "fetchval"):
        monkeypatch.setattr(asyncpg.Connection, name, mutant(getattr(asyncpg.Connection, name)))
    asking = worlds.asking["stu3"]
    requests = [
        r for kind in ("Patient", "Observation") for r in (*asking.searching(kind), *asking.reading(kind))
    ]
    tally = await compare(worlds.alone("stu3"), worlds.mine, requests)
    assert tally.different
