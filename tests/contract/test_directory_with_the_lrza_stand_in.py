"""The query directory follows the stand-in of the LRZa over HTTP, as the central directory and as a root."""

from __future__ import annotations

from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from datetime import timedelta
from pathlib import Path
from typing import Any

from tests import lrza
from tests.followed import Directory, Follower, follower, open_remote, organisation, serving
from tests.nodes import free_ports

from schakel.generic.addressing.sync import CentralFeeder, RootFeeder
from schakel.http.listeners import Address, Listener, listening
from schakel_national.lrza import application

HOUR = timedelta(hours=1)


@asynccontextmanager
async def served(place: lrza.Directory, folder: Path) -> AsyncIterator[str]:
    """The FHIR base of the stand-in on a port of this machine, which it names in its links from now on."""
    [port] = free_ports(1)
    address = f"http://127.0.0.1:{port}"
    place.app = application(folder, address)
    async with listening([Listener("lrza", place.app, Address("127.0.0.1", port, "port"))]):
        yield f"{address}/fhir"


async def _same(node: Follower, client: Any) -> None:
    """What is here is what the stand-in has."""
    there = {}
    for kind in ("Organization", "Location", "HealthcareService", "Endpoint", "OrganizationAffiliation"):
        for bundle in await lrza.pages(client, f"/fhir/{kind}"):
            for entry in bundle.get("entry", []):
                there[kind, entry["resource"]["id"]] = entry["resource"]
    here = await node.here()
    assert set(here) == set(there)
    for key, resource in there.items():
        for name in ("name", "status", "active", "address", "identifier"):
            assert here[key].get(name) == resource.get(name), (key, name)


async def test_the_central_directory_is_followed_through_creates_updates_and_ends(
    tmp_path: Path, make_database: Callable[[], Awaitable[str]]
) -> None:
    told = "page_size = 2\nopen_reading = true"
    with lrza.directory(tmp_path, told) as place:
        async with (
            place.client(lrza.HOSPITAL) as hospital,
            served(place, tmp_path) as base,
            follower(make_database) as node,
        ):
            node.feeders = [CentralFeeder("lrza", base, open_remote(), HOUR)]
            top = await lrza.created(hospital, lrza.organisation(lrza.HOSPITAL))
            made = [await lrza.created(hospital, lrza.endpoint(lrza.to(top))) for _ in range(5)]
            await lrza.created(hospital, lrza.location(lrza.to(top)))
            await lrza.created(hospital, lrza.service(lrza.to(top)))
            ran = await node.run()
            assert ran.error == "" and ran.applied.created == 8, ran
            await _same(node, hospital)
            await lrza.updated(hospital, {**top, "name": "Nieuwe naam", "endpoint": [lrza.to(made[0])]})
            await lrza.updated(hospital, {**made[1], "status": "off"})
            ran = await node.run()
            assert ran.error == "" and (ran.applied.updated, ran.applied.ended) == (1, 1), ran
            await _same(node, hospital)
            assert await node.findings() == {}
            assert not (await node.run()).applied.changed


async def test_as_a_root_it_names_the_directories_of_providers(
    tmp_path: Path, make_database: Callable[[], Awaitable[str]]
) -> None:
    with lrza.directory(tmp_path, "page_size = 3\nopen_reading = true") as place:
        async with (
            serving(Directory()) as north,
            place.client(lrza.HOSPITAL) as hospital,
            served(place, tmp_path) as base,
            follower(make_database) as node,
        ):
            north.put("top", organisation("Eigen naam", lrza.HOSPITAL))
            node.feeders = [RootFeeder("root", base, open_remote(), HOUR)]
            top = await lrza.created(hospital, lrza.organisation(lrza.HOSPITAL, name="Naam bij LRZa"))
            own = await lrza.created(
                hospital, lrza.endpoint(lrza.to(top), lrza.DIRECTORY, address=north.base)
            )
            await lrza.updated(hospital, {**top, "endpoint": [lrza.to(own)]})
            assert (await node.run()).error == ""
            child = f"root {lrza.HOSPITAL} {north.base}"
            assert (await node.run(child)).error == ""
            assert (await node.here())["Organization", "top"]["name"] == "Naam bij LRZa"
            await lrza.updated(hospital, {**own, "status": "off"})
            assert (await node.run("root")).error == ""
            assert [one.name for one in await node.ledger.sources()] == ["root"]
