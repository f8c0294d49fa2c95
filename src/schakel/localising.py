"""What the settings say of pseudonyms and localisation, as the services that `compose` builds take them."""

from __future__ import annotations

import ssl
from collections.abc import AsyncIterator, Collection, Mapping
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass, field
from datetime import timedelta
from typing import Literal, Self

import asyncpg
import structlog

from schakel import config
from schakel.config import Nvi, Prs, Settings
from schakel.facilities import Facility, FacilityRules
from schakel.generic.consent import Objections
from schakel.generic.localisation import (
    Localiser,
    NviClient,
    NviRules,
    Registrar,
    Registration,
    Registrations,
    RegistrationWork,
    Rule,
)
from schakel.generic.localisation.registration import leave
from schakel.generic.localisation.registrations import told_of
from schakel.generic.localisation.telling import Witness
from schakel.generic.logging import AuditLog, Event
from schakel.generic.pseudonyms import Pseudonyms, Recipient
from schakel.kernel import tls
from schakel.token_sources import NODE, Asker, token_source

_log = structlog.get_logger("schakel.localisation")


class _Prs:
    """The PRS, asked over one connection. Its clients differ in for whom they ask tokens; organisations that ask for
    the same share one."""

    def __init__(self, stack: AsyncExitStack, given: Prs, facility: Facility) -> None:
        self._stack = stack
        self._given = given
        self._facility = facility
        self._made: dict[Asker, tuple[Pseudonyms, Mapping[str, Facility]]] = {}

    @classmethod
    async def open(cls, stack: AsyncExitStack, given: Prs) -> Self | None:
        """None when this node has none. Raises `Invalid` for a certificate or key."""
        if given.base is None:
            return None
        rules = FacilityRules(timeout=given.seconds)
        facility = Facility.open("PRS", given.base, _shown(given), rules)
        return cls(stack, given, await stack.enter_async_context(facility))

    def asker(self, organisation: config.Organisation) -> Asker:
        """For whom an organisation asks: an assertion tells its URA, and the other form its OIN."""
        oauth = self._given.oauth
        if oauth is not None and oauth.form == "assertion":
            return Asker.by_ura(oauth, organisation)
        return Asker(organisation.oin)

    async def client(self, asker: Asker) -> tuple[Pseudonyms, Mapping[str, Facility]]:
        """A client, and the facilities that it asks, by what they are called here. Raises `Invalid` as above."""
        if asker not in self._made:
            given = self._given
            tokens = await self._stack.enter_async_context(token_source(given.oauth, given, "prs.", asker))
            recipient = Recipient(given.recipient, given.scope, given.person)
            made = Pseudonyms(self._facility, tokens, recipient, given.style, given.scopes)
            own = {"prs-tokens": tokens.facility} if tokens else {}
            self._made[asker] = made, {"prs": self._facility, **own}
        return self._made[asker]


@asynccontextmanager
async def pseudonyms(settings: Settings) -> AsyncIterator[Pseudonyms | None]:
    """The client of the PRS that asks for whom `prs.oauth` says, None when this node has none. Raises `Invalid` for a
    certificate or key."""
    async with AsyncExitStack() as stack:
        prs = await _Prs.open(stack, settings.prs)
        yield (await prs.client(NODE))[0] if prs else None


def _shown(given: Prs | Nvi) -> ssl.SSLContext:
    return tls.client(
        given.ca, given.certificate, given.key, setting="nvi." if isinstance(given, Nvi) else "prs."
    )


@dataclass(frozen=True)
class Index:
    """The national index as the organisations of a node use it: a client for each (by slug), none of them when this
    node does not ask it; the work that registers for those that `office` was called for; and the facilities that each
    depends on for it (by slug, then by what they are called here)."""

    pool: asyncpg.Pool
    clients: Mapping[str, NviClient]
    work: RegistrationWork
    registrars: dict[int, Registrar] = field(default_factory=dict)
    facilities: Mapping[str, Mapping[str, Facility]] = field(default_factory=dict)

    def localiser(self, slug: str) -> Localiser | None:
        """Who asks for an organisation; None when this node does not ask the index."""
        client = self.clients.get(slug)
        return Localiser(client) if client else None

    def office(
        self, organisation: config.Organisation, tenant: int, objections: Objections, log: AuditLog
    ) -> Registrations | None:
        """What an organisation registers; from now on the work does so for it too."""
        client = self.clients.get(organisation.slug)
        if client is None:
            return None
        rules = tuple(
            Rule(one.ground, frozenset(one.categories), one.start, one.end)
            for one in organisation.registrations
        )
        self.registrars[tenant] = Registrar(client, rules, objections, _witness(organisation, log))
        source = (client.rules.source_system, client.rules.source)
        return Registrations(self.pool, tenant, rules, objections, self.work, source)


@asynccontextmanager
async def index(settings: Settings, pool: asyncpg.Pool) -> AsyncIterator[Index]:
    """The clients of the index for the organisations of a node. Raises `Invalid` for a certificate or key."""
    given, clients = settings.nvi, dict[str, NviClient]()
    registrars: dict[int, Registrar] = {}
    facilities: dict[str, Mapping[str, Facility]] = {}
    work = RegistrationWork(pool, registrars, timedelta(seconds=8 * given.seconds + 5), given.parallel)
    async with AsyncExitStack() as stack:
        prs = await _Prs.open(stack, settings.prs)
        if prs is not None and given.base is not None:
            rules = FacilityRules(timeout=given.seconds, most=20_000_000)
            opened = Facility.open("NVI", given.base, _shown(given), rules)
            facility = await stack.enter_async_context(opened)
            patient = FacilityRules(
                timeout=given.all_seconds,
                most=given.all_megabytes * 1_000_000,
                connections=1,
                setting="nvi.all_megabytes",
            )
            opened = Facility.open("NVI", given.base, _shown(given), patient)
            whole = await stack.enter_async_context(opened)
            for one in settings.organisations:
                made, reached = await prs.client(prs.asker(one))
                asker = Asker.by_ura(given.oauth, one, one.source_id)
                tokens = await stack.enter_async_context(token_source(given.oauth, given, "nvi.", asker))
                clients[one.slug] = NviClient(facility, tokens, made, one.ura, _rules(given), whole)
                own = {"nvi-tokens": tokens.facility} if tokens else {}
                facilities[one.slug] = {"nvi": facility, **own, **reached}
        yield Index(pool, clients, work, registrars, facilities)


@asynccontextmanager
async def registering(index: Index, tenants: Collection[int]) -> AsyncIterator[None]:
    """Registers for the organisations that have an office, until the end of the block. A node that does not ask the
    index any more no longer follows what these `tenants` write, and says in the technical log when it told the index of
    patients of theirs before."""
    if not index.registrars:
        await leave(index.pool, tenants)
        if left := await told_of(index.pool, tenants):
            _log.warning("registrations-left-at-the-index", number=left, setting="nvi.base")
        yield
        return
    async with index.work.working():
        yield


def _rules(given: Nvi) -> NviRules:
    scopes = given.scopes
    return NviRules(
        given.source, given.source_system, scopes.create, scopes.read, scopes.delete, scopes.localise
    )


def _witness(organisation: config.Organisation, log: AuditLog) -> Witness:
    """Writes down what the index was told of a patient."""

    async def write(action: Literal["C", "D"], told: Registration) -> None:
        await log.write(
            Event(
                subtype="registered",
                action=action,
                outcome="0",
                requester=organisation.ura,
                requester_name=organisation.name,
                holder=organisation.ura,
                holder_name=organisation.name,
                patient=told.patient,
                ground_kind="registration-rule",
                explanation=told.ground,
                query=f"data of the category {told.category}",
            )
        )

    return write
