"""Builds every service of a node, in dependency order, from its settings.

The only place where services meet: the gateway is handed the authorisation server, the grounds and the log; the
authorisation server is handed the directory's keys. Start in this order, stop in reverse.
"""

from __future__ import annotations

from collections.abc import AsyncIterator, Mapping
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import replace
from functools import partial

import asyncpg
import structlog

from schakel import (
    certifying,
    config,
    consenting,
    finding,
    keeping,
    localising,
    patients,
    portalling,
    presenting,
    professionals,
    publishing,
)
from schakel.config import Organisation, Settings
from schakel.exchanges.bgz import BgzExchange
from schakel.fhir.definitions import Version
from schakel.fhir.patch import PatchLimits
from schakel.fhir.search import SearchLimits
from schakel.gateway import Gateway, prepare
from schakel.generic.addressing import Directories
from schakel.generic.addressing.medmij_lists import MedmijLists
from schakel.generic.authorisation import Policy, policy_with
from schakel.generic.consent import Candidates, ConsentOffice, Grounds
from schakel.generic.consent.mitz import Mitz
from schakel.generic.identity import (
    AssertionSigner,
    AuthorisationServer,
    DpopKey,
    ServerRules,
    TokenForms,
)
from schakel.generic.identity.broker import Broker
from schakel.generic.identity.credentials import Wallet
from schakel.generic.identity.keys import public_jwk, read_key
from schakel.generic.identity.nonces import Nonces
from schakel.generic.logging import AuditLog, AuditWriter
from schakel.generic.logging.verify import signers, verify
from schakel.http.node import (
    DirectoryDoor,
    Node,
    OrganisationServices,
    key_hash,
)
from schakel.http.rates import Rated, Rates
from schakel.kernel.outcomes import Invalid
from schakel.kernel.values import taking_test_numbers
from schakel.network import (
    Finder,
    HolderRules,
    Holders,
    IndexFinder,
    Locator,
    Peers,
    PermissionFinder,
    Proofs,
    TokenAsker,
)
from schakel.patient_access import Whose
from schakel.server import FhirService
from schakel.server.reach import ReachLimits
from schakel.server.service import WriteRules
from schakel.store.database import connect, disconnect
from schakel.store.expiring import expiring
from schakel.store.jobs import Worker
from schakel.store.parameters import ParameterRules, ParameterSets, Reindexing, StoredJobs, kept_fresh
from schakel.store.resources import Limits, Store
from schakel.store.tenants import tenant_of
from schakel.store.writing import RidBlocks

_log = structlog.get_logger("schakel.node")

VERSIONS: tuple[Version, ...] = ("stu3", "r4")


@asynccontextmanager
async def node(settings: Settings) -> AsyncIterator[Node]:
    """A composed node; its connections are closed at the end.

    Raises `Busy` without a database, and `Invalid` or `Fault` when a setting, a key or the database is not right.
    """
    pool = await connect(
        settings.database, connections=settings.connections, statement_seconds=settings.limits.query_seconds
    )
    async with AsyncExitStack() as stack:
        stack.push_async_callback(disconnect, pool)
        stack.enter_context(taking_test_numbers(settings.test_bsns))
        if settings.test_bsns:
            _log.warning("test-numbers-are-taken", number=len(settings.test_bsns), setting="test_bsns")
        verdicts = await stack.enter_async_context(certifying.verdicts(settings))
        dezi = await stack.enter_async_context(professionals.dezi(settings))
        trust = dezi.trust if dezi else None
        desk = await stack.enter_async_context(presenting.desk(settings, trust))
        peers: dict[str, Peers] = {}
        for one in settings.organisations:
            tls = certifying.peer_tls(settings, one)
            peers[one.slug] = Peers(
                timeout=settings.source_timeout,
                tls=tls,
                shows_certificate=one.tls_certificate is not None,
                reach=finding.reach(settings),
                entered=finding.entered(settings.directory),
                proofs=Proofs(DpopKey.new()) if settings.peer_dpop else None,
                uras=certifying.peer_uras(settings),
            )
            stack.push_async_callback(peers[one.slug].close)
        medmij = settings.medmij
        lists = MedmijLists(pool, medmij.lists or "", medmij.lists_seconds)
        if medmij.lists:
            await stack.enter_async_context(lists.kept_fresh())
        broker = None
        if (at := medmij.broker) is not None:
            opened = Broker.open(at.issuer, at.client_id, at.key, at.levels)
            broker = await stack.enter_async_context(opened)
        mitz = await stack.enter_async_context(consenting.mitz(settings))
        parameters: dict[int, ParameterSets] = {}
        index = await stack.enter_async_context(localising.index(settings, pool))
        composed = await _compose(settings, pool, peers, lists, broker, parameters, mitz, desk, dezi, index)
        offices = {slug: one.consent for slug, one in composed.organisations.items()}
        await stack.enter_async_context(consenting.subscribing(settings, offices, pool, mitz))
        tenants = [one.log.tenant for one in composed.organisations.values()]
        await stack.enter_async_context(localising.registering(index, tenants))
        await stack.enter_async_context(kept_fresh(pool, parameters.values()))
        worker = Worker(pool, parameters, Reindexing(parameters).kinds())
        await stack.enter_async_context(worker.working())
        logs = {slug: one.log for slug, one in composed.organisations.items()}
        await stack.enter_async_context(consenting.reviewed(settings.organisations, offices, logs))
        await stack.enter_async_context(keeping.kept(settings, pool, logs))
        await stack.enter_async_context(publishing.publishing(settings, pool))
        await stack.enter_async_context(finding.kept_in_step(settings, pool))
        board = await portalling.board(settings, pool)
        inventory = await portalling.inventory(settings, pool)
        portal = await stack.enter_async_context(portalling.portal(settings, pool))
        at_portal = [] if portal is None else [await portalling.tenant(pool)]
        await stack.enter_async_context(expiring(pool, [*tenants, *at_portal]))
        yield replace(
            composed,
            verdicts=verdicts,
            portal=portal,
            board=board,
            inventory=inventory,
            small=settings.roadmap.small,
            region=settings.roadmap.region,
        )


async def _compose(
    settings: Settings,
    pool: asyncpg.Pool,
    peers: Mapping[str, Peers],
    lists: MedmijLists,
    broker: Broker | None,
    parameters: dict[int, ParameterSets],
    mitz: Mitz | None,
    desk: presenting.Desk,
    dezi: professionals.Dezi | None,
    index: localising.Index,
) -> Node:
    """The node; `parameters` gets the search parameters of each organisation's own, by tenant."""
    for version in VERSIONS:
        prepare(version, policy_with(None).types(version) | {"Provenance", "Task"})
    rids = RidBlocks()
    limits = settings.limits
    found = await finding.found(settings, pool, rids, _store_limits(limits), _search_limits(limits))
    writer = AuditWriter(pool)
    provider = presenting.provider(settings)
    rates = Rates(limits.requests_per_minute, "limits.requests_per_minute")
    organisations: dict[str, OrganisationServices] = {}
    served: dict[str, list[str]] = {}
    for organisation in settings.organisations:
        tenant = await _tenant(pool, organisation)
        log = AuditLog(writer, tenant)
        policy = policy_with(organisation.authorisation)
        await log.keep_policy(policy.digest, policy.text)
        served[organisation.slug] = [one.id for one in policy.opened(_scopes(organisation, policy))]
        added = parameters[tenant] = _parameters(settings, organisation.slug, tenant)
        own_peers = peers[organisation.slug]
        consent = consenting.office(settings, organisation, tenant, pool, mitz, log)
        services = _organisation(
            settings,
            organisation,
            added,
            pool,
            own_peers,
            found.directories,
            rids,
            log,
            consent,
            policy,
            desk,
            _locator(settings, organisation, index, mitz),
            provider if organisation.delegates else None,
            rates,
        )
        inbox = _inbox(settings, services, await _tenant(pool, organisation, "/inbox"), pool, rids)
        whose = Whose(services.service, _own_bases(settings, organisation.slug))
        own_doors = patients.doors(settings, organisation, services, inbox, whose, pool, lists, broker, rates)
        logins = dezi.door(pool, tenant) if dezi else None
        organisations[organisation.slug] = replace(
            services,
            data=own_doors.data,
            patients=own_doors.patients,
            professionals=logins,
            log_page=own_doors.log_page,
            localiser=index.localiser(organisation.slug),
            registrations=index.office(organisation, tenant, consent.objections, log),
            facilities={
                "localisation": index.facilities.get(organisation.slug, {}),
                "consent": {"mitz": mitz.facility} if mitz else {},
            },
        )
    telling = publishing.Telling(settings, pool, rids, _store_limits(limits), _search_limits(limits), served)
    told = await telling.told()
    return Node(
        pool=pool,
        organisations=organisations,
        public_url=settings.public_url,
        internal_url=settings.internal_url,
        guarded_on_front=settings.guarded_on_front,
        max_body=settings.limits.body,
        max_guarded_body=settings.limits.guarded_body,
        max_parameters=settings.limits.parameters,
        versions=VERSIONS,
        by_key={o.key_hash: o for o in organisations.values()},
        back_url=settings.back.public_url if settings.back else "",
        certificates=certifying.internal_certificates(settings),
        directory=DirectoryDoor(found.door, found.query, found.directories),
        administration=told.administration,
        update_client=told.update_client,
        token_rates=Rates(limits.tokens_per_minute, "limits.tokens_per_minute"),
        providers={presenting.SERVICE_PROVIDER: provider} if provider else {},
    )


async def _tenant(pool: asyncpg.Pool, organisation: Organisation, part: str = "") -> int:
    """The tenant of an organisation, or of a part of it that is kept apart."""
    return await tenant_of(pool, organisation.slug, organisation.ura, organisation.name, part)


def _store_limits(limits: config.Limits) -> Limits:
    return Limits(
        page=limits.page,
        page_max=limits.page_max,
        remembered=limits.remembered,
        includes=limits.includes,
        include_depth=limits.include_depth,
    )


def _search_limits(limits: config.Limits) -> SearchLimits:
    return SearchLimits(page_max=limits.page_max, values=limits.values, chain_depth=limits.chain_depth)


def _parameters(settings: Settings, slug: str, tenant: int) -> ParameterSets:
    """The search parameters of an organisation's own."""
    limits, jobs = settings.limits, f"{settings.internal_url}/{slug}/jobs"
    rules = ParameterRules(limits.search_parameters, limits.search_parameter_steps, jobs)
    return ParameterSets(tenant, rules, _own_bases(settings, slug))


def _organisation(
    settings: Settings,
    organisation: Organisation,
    parameters: ParameterSets,
    pool: asyncpg.Pool,
    peers: Peers,
    directory: Directories,
    rids: RidBlocks,
    log: AuditLog,
    consent: ConsentOffice,
    policy: Policy,
    desk: presenting.Desk,
    locator: Locator,
    provider: Wallet | None,
    rates: Rates,
) -> OrganisationServices:
    slug, ura, name, tenant = organisation.slug, organisation.ura, organisation.name, parameters.tenant
    own_bases = _own_bases(settings, slug)
    limits = settings.limits
    store = Store(pool, tenant, rids, own_bases, _store_limits(limits), parameters)
    rules = WriteRules(
        organisation.write_check,
        organisation.erasure,
        limits.entries,
        limits.depth,
        organisation.conditional_delete,
        PatchLimits(limits.patch_operations, limits.expression_steps, limits.depth),
    )
    reach = ReachLimits(limits.document, limits.includes)
    service = FhirService(store, rules, VERSIONS, _search_limits(limits), own_bases, reach)
    tokens = settings.tokens
    issuer = f"{settings.public_url}/{slug}"
    nonces = (
        Nonces.read(organisation.signing_key, issuer, tokens.dpop_nonce_seconds)
        if tokens.dpop_nonce
        else None
    )
    server = AuthorisationServer(
        pool,
        tenant,
        issuer,
        directory,
        settings.token_lifetime,
        _scopes(organisation, policy),
        presentations=desk.presentations(organisation),
        rules=ServerRules(tokens.dpop, tokens.bind_certificate, tokens.client_assertion, nonces),
        resources=_guarded_bases(settings, slug),
    )
    grounds = Grounds(pool, tenant)
    signer = AssertionSigner(ura, organisation.signing_key)
    wallet = presenting.wallet(settings, organisation)
    gateway = Gateway(
        ura=ura,
        name=name,
        service=service,
        server=Rated(server, rates, lambda grant: grant.requester),
        policy=policy,
        consent=consent.desk,
        candidates=Candidates(pool, tenant),
        log=log,
        addresses=directory,
        most_entries=settings.limits.guarded_entries,
    )
    bgz = BgzExchange(
        ura=ura,
        name=name,
        locator=locator,
        holders=Holders(
            directory,
            TokenAsker(peers, TokenForms(signer, server.issuer, wallet, provider)),
            peers,
            HolderRules(
                settings.source_timeout,
                settings.source_failures,
                settings.source_pause,
                settings.source_parallel,
                settings.source_wait,
            ),
        ),
        addresses=directory,
        log=log,
        address=settings.public_url,
    )
    kept = settings.log
    sealed_by = signers(public_jwk(read_key(organisation.signing_key)), kept.seal_keys)
    return OrganisationServices(
        slug=slug,
        ura=ura,
        name=name,
        key_hash=key_hash(organisation.internal_key),
        service=service,
        gateway=gateway,
        server=server,
        signer=signer,
        wallet=wallet,
        grounds=grounds,
        consent=consent,
        log=log,
        bgz=bgz,
        jobs=StoredJobs(pool, parameters),
        verify_log=partial(verify, pool, tenant, ura, sealed_by, kept.seal_folder, kept.retention_years),
    )


def _locator(
    settings: Settings, organisation: Organisation, index: localising.Index, mitz: Mitz | None
) -> Locator:
    """What tells an organisation who has data of a patient."""
    finders: list[Finder] = []
    if (localiser := index.localiser(organisation.slug)) is not None:
        finders.append(IndexFinder(localiser))
    if mitz is not None and settings.mitz.locate:
        finders.append(PermissionFinder(mitz, organisation.ura, organisation.type_code))
    return Locator(organisation.ura, finders, settings.source_timeout)


def _scopes(organisation: Organisation, policy: Policy) -> frozenset[str]:
    """The scopes for which an organisation gives tokens. Raises `Invalid` for one that opens no exchange."""
    offered = frozenset(organisation.scopes) or policy.scopes
    if unknown := offered - policy.scopes:
        raise Invalid(
            f"{organisation.slug} gives tokens for the scope {min(unknown)[:40]!r}, which opens no exchange (setting "
            f"scopes): there are {', '.join(sorted(policy.scopes))}",
            code="scope-unknown",
        )
    return offered


def _guarded_bases(settings: Settings, slug: str) -> list[str]:
    """The FHIR bases of the guarded door, as others see them."""
    at = [settings.back.public_url] if settings.back else []
    at += [settings.public_url] if settings.guarded_on_front else []
    return [f"{root}/{slug}/fhir/{version}" for root in at for version in VERSIONS]


def _own_bases(settings: Settings, slug: str, part: str = "fhir") -> tuple[str, ...]:
    """The FHIR bases under which the data of an organisation are reached."""
    back = (settings.back.public_url,) if settings.back else ()
    urls = (settings.public_url, settings.internal_url, *back)
    return tuple(f"{url}/{slug}/{part}/{version}" for url in urls for version in VERSIONS)


def _inbox(
    settings: Settings, organisation: OrganisationServices, tenant: int, pool: asyncpg.Pool, rids: RidBlocks
) -> FhirService:
    """What patients shared with an organisation, until it takes that over."""
    limits, own = settings.limits, organisation.service
    bases = _own_bases(settings, organisation.slug, "inbox/fhir")
    none = ParameterSets(tenant, ParameterRules(most=0), bases)
    store = Store(pool, tenant, rids, bases, _store_limits(limits), none)
    return FhirService(store, own.rules, VERSIONS, _search_limits(limits), bases, own.reach)
