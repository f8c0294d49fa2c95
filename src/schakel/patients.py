"""What the patients of an organisation find at a node: logins, consent, their data over MedMij, the page of the log."""

from __future__ import annotations

from dataclasses import dataclass
from urllib.parse import urlsplit

import asyncpg

from schakel.config import Organisation, Settings
from schakel.generic.addressing.medmij_lists import MedmijLists
from schakel.generic.identity import Holder, PatientTokens, TokenRules
from schakel.generic.identity.broker import Broker
from schakel.generic.identity.flows import Flows
from schakel.generic.identity.page_logins import PageLogins
from schakel.generic.logging import ChainLog
from schakel.http.node import DataDoor, LogPageDoor, OrganisationServices, PatientDoor
from schakel.http.rates import Rated, Rates
from schakel.kernel.outcomes import Invalid
from schakel.patient_access import COLLECTS, SERVICES, SHARES, Inbox, MedMijDoor, Rules, Whose
from schakel.server import FhirService


@dataclass(frozen=True, slots=True)
class Doors:
    """The doors for the patients of one organisation; those it does not have are None."""

    data: DataDoor
    patients: PatientDoor | None
    log_page: LogPageDoor | None


def doors(
    settings: Settings,
    organisation: Organisation,
    services: OrganisationServices,
    inbox: FhirService,
    whose: Whose,
    pool: asyncpg.Pool,
    lists: MedmijLists,
    broker: Broker | None,
    rates: Rates,
) -> Doors:
    """The doors of `organisation`, which has `services`; `rates` counts who comes to that of data.

    Raises `Invalid` for a data service that is not known.
    """
    tenant = services.log.tenant
    offered = _data_services(organisation)
    tokens = PatientTokens(pool, tenant, lists, offered, _token_rules(settings))
    chain = _chain(settings, organisation, tenant, pool)
    return Doors(
        _data_door(settings, services, offered, tokens, whose, inbox, chain, rates),
        _patient_door(settings, organisation, tenant, pool, lists, broker, tokens, whose, chain),
        _log_page(settings, pool, tenant, broker),
    )


def _data_services(organisation: Organisation) -> frozenset[str]:
    """The ids of the data services that an organisation offers."""
    offered = frozenset(organisation.data_services or SERVICES)
    if unknown := offered - SERVICES.keys():
        raise Invalid(
            f"{organisation.slug} offers the data service {min(unknown)[:30]!r}, which is not known "
            "(setting data_services)",
            code="service-unknown",
        )
    return offered


def _token_rules(settings: Settings) -> TokenRules:
    medmij = settings.medmij
    return TokenRules(
        medmij.code_seconds,
        medmij.access_seconds,
        medmij.refresh_days,
        medmij.accept_refresh_code,
        medmij.repeat_code_seconds,
    )


def _data_door(
    settings: Settings,
    organisation: OrganisationServices,
    offered: frozenset[str],
    tokens: PatientTokens,
    whose: Whose,
    inbox: FhirService,
    chain: ChainLog,
    rates: Rates,
) -> DataDoor:
    """The MedMij resource interface of an organisation, with its inbox."""
    own_base = f"{settings.internal_url}/{organisation.slug}/fhir"
    medmij = settings.medmij
    door = MedMijDoor(
        ura=organisation.ura,
        name=organisation.name,
        service=organisation.service,
        tokens=Rated(tokens, rates, lambda grant: grant.client),
        log=organisation.log,
        chain=chain,
        inbox=Inbox(organisation.service, own_base, inbox),
        whose=whose,
        rules=Rules(medmij.correlation_id_optional, medmij.documents),
    )
    return DataDoor(tokens, door, inbox, offered)


def _chain(settings: Settings, organisation: Organisation, tenant: int, pool: asyncpg.Pool) -> ChainLog:
    """The chain log of an organisation; one that has no MedMij name is told apart by its host alone."""
    name = f"{organisation.medmij_name}@medmij" if organisation.medmij_name else ""
    host = urlsplit(settings.public_url).hostname or ""
    return ChainLog(pool, tenant, host, name, settings.medmij.chain_log_months)


def _patient_door(
    settings: Settings,
    organisation: Organisation,
    tenant: int,
    pool: asyncpg.Pool,
    lists: MedmijLists,
    broker: Broker | None,
    tokens: PatientTokens,
    whose: Whose,
    chain: ChainLog,
) -> PatientDoor | None:
    """Where patients of an organisation log in and give consent; None when it does not take part in MedMij."""
    medmij = settings.medmij
    if not (organisation.medmij_name and medmij.lists and broker):
        return None
    offered = _data_services(organisation)
    collect, share = offered & COLLECTS, offered & SHARES

    async def available(patient: str, service: str) -> frozenset[str]:
        return await whose.knows(patient, share & {service} if service else collect)

    return PatientDoor(
        holder=Holder(organisation.medmij_name, collect, share, available),
        lists=lists,
        flows=Flows(pool, tenant, medmij.flow_seconds, medmij.flows),
        tokens=tokens,
        broker=broker,
        chain=chain,
        numeric_errors=medmij.numeric_errors,
        http_on_loopback=medmij.http_on_loopback,
    )


def _log_page(
    settings: Settings, pool: asyncpg.Pool, tenant: int, broker: Broker | None
) -> LogPageDoor | None:
    """Where patients of an organisation log in to read its log; None without a broker."""
    if broker is None:
        return None
    log = settings.log
    logins = PageLogins(
        pool, tenant, login_seconds=log.page_login_seconds, seconds=log.page_seconds, most=log.page_logins
    )
    return LogPageDoor(broker, logins)
