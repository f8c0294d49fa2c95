"""Loads the region through the internal doors: what charts share first, then charts in transactions.

What an organisation holds in STU3 goes through its STU3 base, what it holds in R4 through its R4 base.

The named patients come first, so that they are registered while the others are loaded. Each node is loaded at its own
pace; the resources are made while others are under way.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from datetime import timedelta

from schakel.demo import cast
from schakel.demo.doors import FHIR_JSON, Client
from schakel.demo.patients import NamedPatient, Region, named_patients, versions_at
from schakel.fhir.definitions import Version
from schakel.fhir.json import Resource, dump
from schakel.kernel.clock import instant, now
from schakel.kernel.outcomes import Fault

MOST_RESOURCES = 300
"""A transaction is closed when it has so many; a chart is never divided."""

_AT_ONCE = 2
"""Transactions under way at one node; more would only wait for each other on two cores."""

_TERM = timedelta(days=365)

GROUNDS: tuple[tuple[cast.Organisation, cast.Organisation, tuple[int, ...]], ...] = (
    (cast.HOSPITAL_NORTH, cast.HOSPITAL_SOUTH, (1, 3, 5, 7)),
    (cast.HOSPITAL_SOUTH, cast.HOSPITAL_NORTH, (1, 4, 6)),
    (cast.HOSPITAL_NORTH, cast.GENERAL_PRACTICE, (2,)),
    (cast.AMBULANCE, cast.HOSPITAL_SOUTH, (4,)),
)
"""Holder, requester, and the numbers of the named patients whose BgZ the holder may give to the requester."""

SUBSCRIPTIONS: tuple[tuple[cast.Organisation, tuple[int, ...]], ...] = (
    (cast.HOSPITAL_NORTH, (4, 5)),
    (cast.HOSPITAL_SOUTH, (4, 5)),
    (cast.GENERAL_PRACTICE, (4, 5)),
)
"""Holder, and the numbers of the named patients of whom it has Mitz tell what they choose; only by that does Mitz name
the holder to who asks (the open question)."""

Told = Callable[[int, int, int], None]
"""Is told how many charts are in, of how many, and how many resources that is."""


async def load(
    client: Client, region: Region, addresses: Mapping[str, str], keys: Mapping[str, str], told: Told
) -> int:
    """Load every organisation of `region`; the number of resources.

    `addresses` are of the internal doors and `keys` their keys, by slug. Raises `Fault` when a door refuses.
    """
    loader = _Loader(client, region, addresses, keys, told)
    async with asyncio.TaskGroup() as group:
        for operator in cast.OPERATORS:
            group.create_task(loader.operator(operator))
    return loader.resources


async def write_grounds(
    client: Client, named: tuple[NamedPatient, ...], addresses: Mapping[str, str], keys: Mapping[str, str]
) -> None:
    """Write the grounds of `GROUNDS` for the patients that are there."""
    until = instant(now() + _TERM)
    for holder, requester, numbers in GROUNDS:
        for who in _numbered(named, numbers):
            ground = {
                "requester": requester.ura,
                "patient": who.bsn,
                "exchange": "bgz",
                "until": until,
                "reason": f"Demo: verwijzing naar {requester.name}",
            }
            reply = await client.send(
                "POST",
                f"{addresses[holder.slug]}/grounds",
                headers={"X-API-Key": keys[holder.slug], "Content-Type": "application/json"},
                data=dump(ground),
            )
            if reply.status != 201:
                raise Fault(f"{holder.slug} refused a ground for disclosure: {reply.said()}")


async def subscribe(
    client: Client, named: tuple[NamedPatient, ...], addresses: Mapping[str, str], keys: Mapping[str, str]
) -> None:
    """Ask for the subscriptions of `SUBSCRIPTIONS` on the patients that are there."""
    for holder, numbers in SUBSCRIPTIONS:
        for who in _numbered(named, numbers):
            reply = await client.send(
                "POST",
                f"{addresses[holder.slug]}/consent/subscriptions",
                headers={"X-API-Key": keys[holder.slug], "Content-Type": "application/json"},
                data=dump({"patient": who.bsn, "birth_date": who.birth_date.isoformat()}),
            )
            if reply.status != 202:
                raise Fault(f"{holder.slug} refused a subscription at Mitz: {reply.said()}")


def subscriptions(named: Sequence[NamedPatient]) -> int:
    """How many there are."""
    return sum(len(_numbered(named, numbers)) for _, numbers in SUBSCRIPTIONS)


def _numbered(named: Sequence[NamedPatient], numbers: tuple[int, ...]) -> list[NamedPatient]:
    return [named[number - 1] for number in numbers if number <= len(named)]


class _Loader:
    def __init__(
        self,
        client: Client,
        region: Region,
        addresses: Mapping[str, str],
        keys: Mapping[str, str],
        told: Told,
    ) -> None:
        self._client = client
        self._region = region
        self._addresses = addresses
        self._keys = keys
        self._told = told
        self._named = len(named_patients(region))
        self._charts = 0
        self._expected = sum(
            len(region.known_at(one.slug)) * len(versions_at(one.slug)) for one in cast.ORGANISATIONS
        )
        self.resources = 0

    async def operator(self, operator: cast.Operator) -> None:
        """Load the organisations of one node, with a few transactions under way at a time."""
        places = asyncio.Semaphore(_AT_ONCE)

        async def post(slug: str, version: Version, charts: int, resources: list[Resource]) -> None:
            try:
                await self._post(slug, version, charts, resources)
            finally:
                places.release()

        holdings = list(self._holdings(operator))
        async with asyncio.TaskGroup() as group:
            for slug, version in holdings:
                if shared := list(self._region.shared(slug, version)):
                    await self._post(slug, version, 0, shared)
            for named in (True, False):
                for slug, version in holdings:
                    for charts, resources in self._batches(slug, version, named):
                        await places.acquire()
                        group.create_task(post(slug, version, charts, resources))

    def _holdings(self, operator: cast.Operator) -> Iterator[tuple[str, Version]]:
        """The organisations of one node by slug, each with every version in which it holds something."""
        for organisation in cast.ORGANISATIONS:
            if organisation.operator == operator:
                for version in versions_at(organisation.slug):
                    yield organisation.slug, version

    def _batches(self, slug: str, version: Version, named: bool) -> Iterator[tuple[int, list[Resource]]]:
        """Whole charts together, up to about `MOST_RESOURCES`, with how many charts they are: those of the named
        patients, or of the others."""
        charts, waiting = 0, list[Resource]()
        for person in self._region.known_at(slug):
            if (person.number <= self._named) is not named:
                continue
            chart = self._region.chart(slug, person, version)
            if waiting and len(waiting) + len(chart) > MOST_RESOURCES:
                yield charts, waiting
                charts, waiting = 0, []
            charts, waiting = charts + 1, waiting + chart
        if waiting:
            yield charts, waiting

    async def _post(self, slug: str, version: Version, charts: int, resources: list[Resource]) -> None:
        reply = await self._client.send(
            "POST",
            f"{self._addresses[slug]}/fhir/{version}",
            headers={"X-API-Key": self._keys[slug], "Content-Type": FHIR_JSON},
            data=transaction(resources),
        )
        if reply.status != 200:
            raise Fault(f"{slug} refused what was loaded, with status {reply.status}: {reply.said()}")
        self._charts += charts
        self.resources += len(resources)
        self._told(self._charts, self._expected, self.resources)


def transaction(resources: Iterable[Resource]) -> bytes:
    """A transaction that puts each resource under its own id."""
    entries = [
        {"resource": one, "request": {"method": "PUT", "url": f"{one['resourceType']}/{one['id']}"}}
        for one in resources
    ]
    return dump({"resourceType": "Bundle", "type": "transaction", "entry": entries})
