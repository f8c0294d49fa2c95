"""What the settings say of consent, as the services that `compose` builds take them: how Mitz is asked, and what each
organisation decided about acute care and emergencies."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Mapping, Sequence
from contextlib import asynccontextmanager
from datetime import timedelta
from functools import partial

import asyncpg
import structlog

from schakel.config import Organisation, Settings
from schakel.facilities import Facility, FacilityRules
from schakel.generic.consent import (
    AcutePolicy,
    Categories,
    CategoryRow,
    Choices,
    ConsentDesk,
    ConsentOffice,
    ConsentQuestion,
    Emergencies,
    EmergencyAccess,
    EmergencyPolicy,
    Grounds,
    NotifyClients,
    Objections,
    Standings,
    Subscriber,
    Subscriptions,
    SubscriptionWork,
)
from schakel.generic.consent.desk import Witness
from schakel.generic.consent.mitz import ClosedAnswer, ClosedQuestion, Mitz, Signing
from schakel.generic.consent.once import Once
from schakel.generic.logging import AuditLog, Event
from schakel.generic.logging.events import LoggedPerson
from schakel.kernel import tls
from schakel.kernel.background import beside, repeated
from schakel.kernel.outcomes import Invalid
from schakel.store.connection import Connection

_log = structlog.get_logger("schakel.consent")

_LOOK_SECONDS = 30.0
"""Between two looks for emergencies that are past their term."""


@asynccontextmanager
async def mitz(settings: Settings) -> AsyncIterator[Mitz | None]:
    """The client of Mitz, None when this node does not ask it. Raises `Invalid` for a certificate or key."""
    given = settings.mitz
    if given.base is None:
        yield None
        return
    context = tls.client(given.ca, given.certificate, given.key, setting="mitz.")
    signing = None
    if given.sign:
        key, certificate = given.signing_key or given.key, given.signing_certificate or given.certificate
        assert key is not None and certificate is not None  # as the settings were checked
        signing = Signing.read(key, certificate)
    rules = FacilityRules(timeout=given.seconds)
    async with Facility.open("Mitz", given.base, context, rules) as facility:
        yield Mitz(facility, signing, given.content_type)


def office(
    settings: Settings,
    organisation: Organisation,
    tenant: int,
    pool: asyncpg.Pool,
    client: Mitz | None,
    log: AuditLog,
) -> ConsentOffice:
    """All that an organisation has for consent. Raises `Invalid` for a row of `mitz.categories`."""
    given = settings.mitz
    choices, emergencies = Choices(pool, tenant), Emergencies(pool, tenant)
    desk = ConsentDesk(
        ura=organisation.ura,
        type_code=organisation.type_code,
        standings=Standings(pool, tenant),
        grounds=Grounds(pool, tenant),
        choices=choices,
        emergencies=emergencies,
        categories=_categories(settings),
        mitz=client,
        answers=Once(given.remember_seconds),
        acute=_acute(organisation),
        emergency=_emergency(organisation),
        witness=_witness(organisation, log),
    )
    return ConsentOffice(
        desk=desk,
        objections=Objections(pool, tenant),
        choices=choices,
        emergencies=emergencies,
        subscriptions=Subscriptions(pool, tenant) if _subscriber(settings, organisation) else None,
        notify=NotifyClients(
            frozenset(host.lower() for host in given.notify_hosts), frozenset(given.notify_thumbprints)
        ),
    )


@asynccontextmanager
async def subscribing(
    settings: Settings, offices: Mapping[str, ConsentOffice], pool: asyncpg.Pool, client: Mitz | None
) -> AsyncIterator[None]:
    """Asks Mitz for the subscriptions of the organisations (by slug) until the end of the block."""
    subscribers: dict[int, Subscriber] = {}
    for one in settings.organisations:
        subscriptions, subscriber = offices[one.slug].subscriptions, _subscriber(settings, one)
        if subscriptions is not None and subscriber is not None:
            subscribers[subscriptions.tenant] = subscriber
    if client is None or not subscribers:
        yield
        return
    lease = timedelta(seconds=2 * settings.mitz.seconds + 5)
    async with SubscriptionWork(pool, client, subscribers, lease).working():
        yield


def _subscriber(settings: Settings, organisation: Organisation) -> Subscriber | None:
    """What subscriptions of an organisation say; None when this node cannot ask for them."""
    given = settings.mitz
    if given.base is None or not given.gateway_system or settings.back is None or not organisation.type_code:
        return None
    return Subscriber(
        organisation.ura,
        organisation.type_code,
        f"{settings.back.public_url}/{organisation.slug}/mitz/notify",
        given.gateway_system,
        given.source_system,
    )


def _acute(organisation: Organisation) -> AcutePolicy | None:
    given = organisation.acute_opt_out
    if given is None:
        return None
    return AcutePolicy(frozenset(given.purposes), frozenset(given.requester_types))


def _emergency(organisation: Organisation) -> EmergencyPolicy | None:
    given = organisation.break_glass
    if given is None:
        return None
    return EmergencyPolicy(
        given.document,
        given.dated,
        given.review_hours,
        frozenset(given.levels),
        given.overrides_objection,
        given.rejected_days,
    )


@asynccontextmanager
async def reviewed(
    organisations: Sequence[Organisation], offices: Mapping[str, ConsentOffice], logs: Mapping[str, AuditLog]
) -> AsyncIterator[None]:
    """Writes down which emergencies have gone past their term without a second look, until the end of the block."""

    async def turn(one: Organisation) -> bool:
        telling = partial(_tell_overdue, one, logs[one.slug])
        if cases := await offices[one.slug].emergencies.find_overdue(telling):
            _log.warning("break-glass-overdue", organisation=one.slug, cases=cases)
        return cases > 0

    async def work() -> None:
        turns = (partial(turn, one) for one in organisations)
        await asyncio.gather(
            *(repeated(step, _LOOK_SECONDS, _log, "break-glass-not-reviewed") for step in turns)
        )

    async with beside(work()):
        yield


async def _tell_overdue(
    organisation: Organisation, log: AuditLog, connection: Connection, case: EmergencyAccess
) -> None:
    event = Event(
        subtype="break-glass-review",
        action="R",
        outcome="0",
        requester=case.requester,
        holder=organisation.ura,
        holder_name=organisation.name,
        patient=case.patient,
        ground=case.id,
        ground_kind="break-glass",
        token=case.token,
        reason="overdue",
        explanation=f"nobody looked at it by {case.due:%Y-%m-%d %H:%M} UTC",
    )
    await log.write_within(connection, event)


def _witness(organisation: Organisation, log: AuditLog) -> Witness:
    """Writes each question to Mitz down, with its answer."""

    async def write(question: ConsentQuestion, closed: ClosedQuestion, answer: ClosedAnswer | None) -> None:
        said = "no answer" if answer is None else answer.decision
        user = LoggedPerson(question.user_id, question.user_name, question.user_role, question.responsible)
        event = Event(
            subtype="consent-asked",
            action="E",
            outcome="8" if answer is None else "0",
            reason="facility-away" if answer is None else "",
            requester=question.requester,
            holder=organisation.ura,
            holder_name=organisation.name,
            user=user if question.user_id else None,
            assurance=question.assurance,
            purpose=question.purpose,
            patient=question.patient,
            token=question.token,
            ground="" if answer is None else answer.message,
            ground_kind="mitz" if said == "Permit" else "",
            query=f"closed question, {' '.join(closed.categories)} for type {closed.requester_type}: {said}",
        )
        await log.write(event)

    return write


def _categories(settings: Settings) -> Categories:
    try:
        return Categories(
            CategoryRow(row.type_code, row.category, row.source) for row in settings.mitz.categories
        )
    except Invalid as error:
        raise Invalid(f"the configuration is not right: {error.message}", code="mitz-categories") from error
