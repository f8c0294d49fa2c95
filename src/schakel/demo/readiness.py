"""When the region can be used: the directories of both nodes are in step with the national one, and what is known of
the named patients is registered at the index and at Mitz."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Mapping, Sequence

import asyncpg

from schakel.demo import cast
from schakel.demo.doors import Client, Doors
from schakel.demo.patients import NamedPatient
from schakel.fhir.json import Resource
from schakel.kernel.outcomes import Fault

_SECONDS = 60.0
_TYPES = ("Organization", "Endpoint", "Location", "HealthcareService")


async def until_in_step(client: Client, doors: Sequence[Doors], keys: Mapping[str, str]) -> None:
    """Returns when each node finds whatever the organisations tell of themselves in its directory. Raises `Fault`."""
    own: dict[str, set[str]] = {kind: set() for kind in _TYPES}
    fronts = {one.operator: one.front for one in doors}
    for one in cast.ORGANISATIONS:
        base = f"{fronts[one.operator]}/{one.slug}/administration/update-client/fhir/r4"
        for kind in _TYPES:
            own[kind] |= {_assigned(entry) for entry in await _all(client, f"{base}/{kind}", {})}
    end = time.monotonic() + _SECONDS
    for door in doors:
        reader = next(one for one in cast.ORGANISATIONS if one.operator == door.operator)
        base = f"{door.internal}/{reader.slug}/directory/fhir/r4"
        for kind in _TYPES:
            while missing := own[kind] - {
                _assigned(entry)
                for entry in await _all(client, f"{base}/{kind}", {"X-API-Key": keys[reader.slug]})
            }:
                if time.monotonic() > end:
                    raise Fault(
                        f"{len(missing)} {kind} of the region are not in the directory of the {door.operator} "
                        f"operator after {_SECONDS:.0f} seconds"
                    )
                await asyncio.sleep(0.3)


async def _all(client: Client, address: str, headers: Mapping[str, str]) -> list[Resource]:
    """All resources of a searchset with its pages."""
    found: list[Resource] = []
    address = f"{address}?_count=200"
    while address:
        reply = await client.send("GET", address, headers=headers)
        if reply.status != 200:
            raise Fault(f"{address} was answered with {reply.status}: {reply.said()}")
        page = reply.json()
        found += [entry["resource"] for entry in page.get("entry", ())]
        address = next((link["url"] for link in page.get("link", ()) if link["relation"] == "next"), "")
    return found


def _assigned(entry: Resource) -> str:
    """The identifier that its custodian gave an entry; '' when it has none."""
    return next((one["value"] for one in entry.get("identifier", ()) if "assigner" in one), "")


async def until_registered(
    databases: Mapping[cast.Operator, str], named: Sequence[NamedPatient], subscribed: int
) -> None:
    """Returns when the index knows of every organisation that has data of a named patient, and Mitz of so many
    subscriptions. The databases are looked into: asking the doors would stand in the patients' logs. Raises `Fault`."""
    expected = sum(len(one.known_at) for one in named)
    connections = [await asyncpg.connect(address) for address in databases.values()]
    end = time.monotonic() + _SECONDS
    try:
        while True:
            registered = await _count(
                connections,
                "SELECT count(DISTINCT (tenant, patient)) FROM localisation_record "
                "WHERE state = 'active' AND patient = ANY ($1)",
                [one.bsn for one in named],
            )
            known = await _count(
                connections, "SELECT count(tenant) FROM mitz_subscription WHERE state = 'active'"
            )
            if registered >= expected and known >= subscribed:
                return
            if time.monotonic() > end:
                raise Fault(
                    f"{expected - registered} registrations at the index and {subscribed - known} subscriptions at "
                    f"Mitz of the named patients were not made within {_SECONDS:.0f} seconds"
                )
            await asyncio.sleep(0.3)
    finally:
        for connection in connections:
            await connection.close()


async def _count(connections: Sequence[asyncpg.Connection], query: str, *values: object) -> int:
    return sum([await connection.fetchval(query, *values) for connection in connections])
