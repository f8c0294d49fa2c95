"""Builds every service of a node, in dependency order, from its settings.

The only place where services meet: the gateway is handed the authorisation server, the grounds and the log; the
authorisation server is handed the directory's keys. Start in this order, stop in reverse.
"""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

import asyncpg

from schakel.config import Organisation, Settings
from schakel.exchanges.bgz import BgzExchange
from schakel.fhir.definitions import Version
from schakel.gateway import Gateway, prepare
from schakel.generic.addressing import Address, ConfiguredDirectory
from schakel.generic.authorisation import ROWS
from schakel.generic.consent import Grounds
from schakel.generic.identity import AssertionSigner, AuthorisationServer
from schakel.generic.logging import AuditLog, AuditWriter
from schakel.http.node import Node, OrganisationServices, key_hash
from schakel.kernel.outcomes import Invalid
from schakel.network import Peers
from schakel.server import FhirService
from schakel.server.service import WriteRules
from schakel.store.connection import acquire
from schakel.store.database import connect, disconnect
from schakel.store.resources import Limits, Store
from schakel.store.writing import RidBlocks

VERSIONS: tuple[Version, ...] = ("stu3", "r4")


@asynccontextmanager
async def node(settings: Settings) -> AsyncIterator[Node]:
    """A composed node; its connections are closed at the end.

    Raises `Busy` without a database, and `Invalid` or `Fault` when a setting, a key or the database is not right.
    """
    pool = await connect(
        settings.database, connections=settings.connections, statement_seconds=settings.limits.query_seconds
    )
    peers = Peers(timeout=settings.source_timeout)
    try:
        yield await _compose(settings, pool, peers)
    finally:
        await peers.close()
        await disconnect(pool)


async def _compose(settings: Settings, pool: asyncpg.Pool, peers: Peers) -> Node:
    directory = ConfiguredDirectory(
        Address(p.ura, p.name, p.issuer, p.token_endpoint, {str(v): url for v, url in p.fhir.items()}, p.jwks)
        for p in settings.directory
    )
    for version in VERSIONS:
        prepare(version, {row.type for row in ROWS if row.version == version} | {"Provenance"})
    rids = RidBlocks()
    writer = AuditWriter(pool)
    organisations: dict[str, OrganisationServices] = {}
    for organisation in settings.organisations:
        tenant = await _tenant(pool, organisation)
        log = AuditLog(writer, tenant)
        organisations[organisation.slug] = _organisation(
            settings, organisation, tenant, pool, peers, directory, rids, log
        )
    return Node(
        pool=pool,
        organisations=organisations,
        public_url=settings.public_url,
        internal_url=settings.internal_url,
        guarded_on_front=settings.guarded_on_front,
        max_body=settings.limits.body,
        versions=VERSIONS,
        by_key={o.key_hash: o for o in organisations.values()},
    )


async def _tenant(pool: asyncpg.Pool, organisation: Organisation) -> int:
    """The tenant of an organisation; made at its first start. The URA is what stays, slug and name may change."""
    async with acquire(pool) as connection:
        try:
            number: int = await connection.fetchval(
                "INSERT INTO tenant (slug, ura, name) VALUES ($1, $2, $3) "
                "ON CONFLICT (ura) DO UPDATE SET slug = excluded.slug, name = excluded.name RETURNING id",
                organisation.slug,
                organisation.ura,
                organisation.name,
            )
        except asyncpg.UniqueViolationError as error:
            raise Invalid(
                f"in this database the slug {organisation.slug!r} belongs to an organisation with another ura; "
                "choose another slug, or start the node of that organisation with another one first",
                code="slug-taken",
            ) from error
    return number


def _organisation(
    settings: Settings,
    organisation: Organisation,
    tenant: int,
    pool: asyncpg.Pool,
    peers: Peers,
    directory: ConfiguredDirectory,
    rids: RidBlocks,
    log: AuditLog,
) -> OrganisationServices:
    slug, ura, name = organisation.slug, organisation.ura, organisation.name
    own_bases = tuple(
        f"{url}/{slug}/fhir/{version}"
        for url in (settings.public_url, settings.internal_url)
        for version in VERSIONS
    )
    limits = settings.limits
    store = Store(pool, tenant, rids, own_bases, Limits(limits.page, limits.page_max, limits.remembered))
    rules = WriteRules(organisation.write_check, organisation.erasure, limits.entries, limits.depth)
    service = FhirService(store, rules, VERSIONS)
    server = AuthorisationServer(
        pool, tenant, f"{settings.public_url}/{slug}", directory, settings.token_lifetime
    )
    grounds = Grounds(pool, tenant)
    signer = AssertionSigner(ura, organisation.signing_key)
    gateway = Gateway(
        ura=ura,
        name=name,
        service=service,
        server=server,
        grounds=grounds,
        log=log,
        rows=ROWS,
        own_bases=own_bases,
    )
    bgz = BgzExchange(
        ura=ura,
        name=name,
        directory=directory,
        signer=signer,
        peers=peers,
        log=log,
        timeout=settings.source_timeout,
        address=settings.public_url,
    )
    return OrganisationServices(
        slug=slug,
        ura=ura,
        name=name,
        key_hash=key_hash(organisation.internal_key),
        service=service,
        gateway=gateway,
        server=server,
        signer=signer,
        grounds=grounds,
        log=log,
        bgz=bgz,
    )
