"""What the settings say of pseudonyms and localisation, as the services that `compose` builds take them."""

from __future__ import annotations

import ssl
from collections.abc import AsyncIterator, Mapping
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass, field
from datetime import timedelta
from pathlib import Path
from typing import Literal
from urllib.parse import urlsplit

import asyncpg

from schakel import config
from schakel.config import MinvwsOAuth, Nvi, Prs, Settings
from schakel.facilities import (
    Assertion,
    ClientCredentials,
    Facility,
    FacilityRules,
    Organisation,
    Secret,
    TokenSource,
)
from schakel.facilities.tokens import Form
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
from schakel.generic.localisation.telling import Witness
from schakel.generic.logging import AuditLog, Event
from schakel.generic.pseudonyms import Pseudonyms, Recipient
from schakel.kernel import tls
from schakel.kernel.outcomes import Invalid


@asynccontextmanager
async def pseudonyms(settings: Settings) -> AsyncIterator[Pseudonyms | None]:
    """The client of the PRS, None when this node has none. Raises `Invalid` for a certificate or key."""
    given = settings.prs
    if given.base is None:
        yield None
        return
    recipient = Recipient(given.recipient, given.scope)
    async with (
        Facility.open("PRS", given.base, _shown(given), FacilityRules(timeout=given.seconds)) as facility,
        token_source(
            given.oauth, "prs.", given.base, given.certificate, given.key, given.ca, given.seconds
        ) as tokens,
    ):
        yield Pseudonyms(facility, tokens, recipient, given.style, given.scopes)


@asynccontextmanager
async def token_source(
    given: MinvwsOAuth | None,
    setting: str,
    base: str,
    certificate: Path | None,
    key: Path | None,
    ca: tuple[Path, ...],
    seconds: float,
    organisation: str = "",
) -> AsyncIterator[TokenSource | None]:
    """Tokens for the facility at `base`, which is shown `certificate` and trusted by `ca`; None when none are asked.

    `setting` stands before `oauth.` in the names of settings (such as `prs.`), `organisation` is for whom is asked when
    the settings do not say. Raises `Invalid` for a certificate or key.
    """
    if given is None:
        yield None
        return
    context = tls.client(given.ca or ca, certificate, key, setting=setting, ca_setting=f"{setting}oauth.ca")
    form = _form(given, setting, certificate, key, given.organisation or organisation)
    parts = urlsplit(base)
    audience = given.audience or ("" if given.form == "secret" else f"{parts.scheme}://{parts.netloc}")
    async with ClientCredentials.open(
        f"the token server of {setting}oauth",
        given.endpoint,
        form,
        audience,
        context,
        FacilityRules(timeout=seconds),
    ) as source:
        yield source


def _form(
    given: MinvwsOAuth, setting: str, certificate: Path | None, key: Path | None, organisation: str
) -> Form:
    if given.secret is not None:
        try:
            return Secret(given.client_id, given.secret.read_text("utf-8").strip())
        except (OSError, UnicodeDecodeError) as error:
            raise Invalid(
                f"the file {given.secret} (setting {setting}oauth.secret) cannot be read"
            ) from error
    if given.form == "organisation":
        return Organisation(organisation, given.source)
    signing, signing_key = given.certificate or certificate, given.key or key
    if signing is None or signing_key is None:
        raise Invalid(f"{setting}oauth with form assertion needs certificate and key, to sign with")
    own = f"{setting}oauth." if given.certificate is not None else setting
    return Assertion.read(
        organisation, signing, signing_key, bound=certificate, chain=given.chain, setting=own
    )


def _shown(given: Prs | Nvi) -> ssl.SSLContext:
    return tls.client(
        given.ca, given.certificate, given.key, setting="nvi." if isinstance(given, Nvi) else "prs."
    )


@dataclass(frozen=True)
class Index:
    """The national index as the organisations of a node use it: a client for each (by slug), none of them when this
    node does not ask it; and the work that registers for those that `office` was called for."""

    pool: asyncpg.Pool
    clients: Mapping[str, NviClient]
    work: RegistrationWork
    registrars: dict[int, Registrar] = field(default_factory=dict)

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
    work = RegistrationWork(pool, registrars, timedelta(seconds=6 * given.seconds + 30), given.parallel)
    async with AsyncExitStack() as stack:
        made = await stack.enter_async_context(pseudonyms(settings))
        if made is not None and given.base is not None:
            rules = FacilityRules(timeout=given.seconds, most=20_000_000)
            opened = Facility.open("NVI", given.base, _shown(given), rules)
            facility = await stack.enter_async_context(opened)
            for one in settings.organisations:
                tokens = await stack.enter_async_context(
                    token_source(
                        given.oauth,
                        "nvi.",
                        given.base,
                        given.certificate,
                        given.key,
                        given.ca,
                        given.seconds,
                        one.ura,
                    )
                )
                clients[one.slug] = NviClient(facility, tokens, made, one.ura, _rules(given))
        yield Index(pool, clients, work, registrars)


@asynccontextmanager
async def registering(index: Index) -> AsyncIterator[None]:
    """Registers for the organisations that have an office, until the end of the block."""
    if not index.registrars:
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
