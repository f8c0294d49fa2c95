"""What the settings say of addressing, as the services that `compose` builds take them."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import timedelta

import asyncpg

from schakel.config import Peer, Settings
from schakel.fhir.search import SearchLimits
from schakel.generic.addressing import (
    Address,
    ConfiguredDirectory,
    Directories,
    DirectoryRules,
    QueryDirectory,
)
from schakel.generic.addressing.asking import QUERY_CLIENT, QueryDoor
from schakel.server import FhirService
from schakel.server.service import WriteRules
from schakel.store.parameters import ParameterRules, ParameterSets
from schakel.store.resources import Limits, Store
from schakel.store.tenants import DIRECTORY, tenant_of
from schakel.store.writing import RidBlocks


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
    rules = DirectoryRules(given.authority, timedelta(hours=given.stale_hours))
    query = QueryDirectory(pool, tenant, rules)
    bases = tuple(f"{settings.internal_url}/{one.slug}{DIRECTORY}/fhir/r4" for one in settings.organisations)
    store = Store(pool, tenant, rids, bases, limits, ParameterSets(tenant, ParameterRules(most=0), bases))
    service = FhirService(store, WriteRules(), ("r4",), search, bases, offer=QUERY_CLIENT)
    return Found(Directories(configured(settings.directory), query), query, store, QueryDoor(service))
