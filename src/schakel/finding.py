"""What the settings say of addressing, as the services that `compose` builds take them."""

from __future__ import annotations

from collections.abc import AsyncIterator, Iterable, Iterator
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass
from datetime import timedelta

import asyncpg

from schakel.config import DirectorySource, Peer, Settings
from schakel.facilities import Facility, FacilityRules, TokenSource, origin
from schakel.facilities.reach import Reach
from schakel.fhir.search import SearchLimits
from schakel.generic.addressing import (
    Address,
    ConfiguredDirectory,
    Directories,
    DirectoryRules,
    QueryDirectory,
)
from schakel.generic.addressing.asking import QUERY_CLIENT, QueryDoor
from schakel.generic.addressing.ledger import Ledger
from schakel.generic.addressing.replica import Replica
from schakel.generic.addressing.sync import (
    CentralFeeder,
    Feeder,
    FileFeeder,
    Following,
    OpenRemote,
    ReadingRules,
    Remote,
    RootFeeder,
)
from schakel.kernel import tls
from schakel.server import FhirService
from schakel.server.service import WriteRules
from schakel.store.parameters import ParameterRules, ParameterSets
from schakel.store.resources import Limits, Store
from schakel.store.tenants import DIRECTORY, tenant_of
from schakel.store.writing import RidBlocks
from schakel.token_sources import token_source


def configured(peers: tuple[Peer, ...]) -> ConfiguredDirectory:
    """The organisations that the operator entered. Raises `Invalid` for one that stands there twice."""
    return ConfiguredDirectory(
        Address(
            ura=peer.ura,
            name=peer.name,
            issuer=peer.issuer or "",
            token_endpoint=peer.token_endpoint or "",
            fhir={str(version): url for version, url in peer.fhir.items()},
            jwks=peer.jwks,
            metadata=peer.metadata or "",
            type_code=peer.type_code,
        )
        for peer in peers
    )


def reach(settings: Settings) -> Reach:
    """How far an address that a directory or a holder names may lead."""
    return Reach(private=settings.trust.private_networks, http_on_loopback=settings.trust.http_on_loopback)


def entered(peers: Iterable[Peer]) -> Iterator[str]:
    """The addresses of other organisations that the operator entered."""
    for peer in peers:
        yield from (one for one in (peer.issuer, peer.token_endpoint, peer.metadata) if one)
        yield from peer.fhir.values()


@dataclass(frozen=True, slots=True)
class Found:
    """Where the node finds others: `directories` for its own questions, `door` for those of an EHR. `query` is the
    query directory, which all organisations of the node share, and `store` has its resources."""

    directories: Directories
    query: QueryDirectory
    store: Store
    door: QueryDoor


async def found(
    settings: Settings, pool: asyncpg.Pool, rids: RidBlocks, limits: Limits, search: SearchLimits
) -> Found:
    """What the settings say of finding others. Raises `Invalid` for an organisation that stands there twice."""
    tenant = await tenant_of(pool, "", "", "Query directory", DIRECTORY)
    given = settings.addressing
    rules = DirectoryRules(
        given.authority, timedelta(hours=given.stale_hours), received=given.update_client.writes
    )
    query = QueryDirectory(pool, tenant, rules)
    bases = tuple(f"{settings.internal_url}/{one.slug}{DIRECTORY}/fhir/r4" for one in settings.organisations)
    store = Store(pool, tenant, rids, bases, limits, ParameterSets(tenant, ParameterRules(most=0), bases))
    service = FhirService(store, WriteRules(), ("r4",), search, bases, offer=QUERY_CLIENT)
    return Found(Directories(configured(settings.directory), query), query, store, QueryDoor(service))


@asynccontextmanager
async def following(settings: Settings, pool: asyncpg.Pool) -> AsyncIterator[Following]:
    """What keeps the query directory in step, with what it needs to read the directories until the end of the block.
    Raises `Invalid` for a certificate, a key or a secret."""
    tenant = await tenant_of(pool, "", "", "Query directory", DIRECTORY)
    store = Store(pool, tenant, RidBlocks(), parameters=ParameterSets(tenant, ParameterRules(most=0)))
    async with AsyncExitStack() as stack:
        feeders = [await _feeder(settings, one, stack) for one in settings.addressing.sources]
        yield Following(settings.database, Replica(pool, store, Ledger(pool, tenant)), feeders)


@asynccontextmanager
async def kept_in_step(settings: Settings, pool: asyncpg.Pool) -> AsyncIterator[None]:
    """Follows the directories of the settings until the end of the block."""
    async with following(settings, pool) as work:
        if not await work.needed():
            yield
            return
        async with work.working():
            yield


async def _feeder(settings: Settings, given: DirectorySource, stack: AsyncExitStack) -> Feeder:
    interval = timedelta(seconds=given.interval_seconds)
    if given.file is not None:
        return FileFeeder(given.name, given.file, given.base or "", interval, 10 * given.bytes)
    assert given.base is not None  # as the settings were checked
    tokens = await stack.enter_async_context(
        token_source(given.oauth, given, f"addressing.sources ({given.name}) ")
    )
    if given.kind == "central":
        return CentralFeeder(
            given.name, given.base, _open(settings, given, tokens, given.page_size or 0), interval
        )
    size = 100 if given.page_size is None else given.page_size
    ours = (
        settings.public_url,
        settings.internal_url,
        *((settings.back.public_url,) if settings.back else ()),
    )
    return RootFeeder(given.name, given.base, _open(settings, given, tokens, size), interval, ours)


def _open(
    settings: Settings, given: DirectorySource, tokens: TokenSource | None, page_size: int
) -> OpenRemote:
    """What opens the directory, and for a root those that it names; only the directory itself gets a token, and only
    its own host is asked wherever that is."""
    setting = f"addressing.sources ({given.name}) "
    context = tls.client(given.ca, given.certificate, given.key, setting=setting)
    rules = ReadingRules(page_size, given.pages, given.held)
    facility_rules = FacilityRules(timeout=given.seconds, most=given.bytes)
    far = reach(settings)

    @asynccontextmanager
    async def opened(base: str) -> AsyncIterator[Remote]:
        name = f"the directory {given.name}" if base == given.base else f"the directory at {base}"
        within = None if origin(base) == origin(given.base or "") else far
        async with Facility.open(name, base, context, facility_rules, within) as facility:
            yield Remote(facility, rules, tokens if base == given.base else None, given.scopes)

    return opened
