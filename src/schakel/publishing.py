"""What the settings say of an organisation's own entries in the directory, as the services that `compose` builds take
them."""

from __future__ import annotations

from collections.abc import AsyncIterator, Collection, Iterable, Mapping
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass, replace
from datetime import timedelta
from typing import Literal, TypeVar

import asyncpg

from schakel.config import Organisation, Settings
from schakel.config.entries import Code as CodeSetting
from schakel.config.entries import Entries, ExtraEndpoint
from schakel.facilities import Facility, FacilityRules
from schakel.fhir.search import SearchLimits
from schakel.generic.addressing.client_tokens import ClientTokens
from schakel.generic.addressing.own import codes, serving
from schakel.generic.addressing.own.central import Central
from schakel.generic.addressing.own.entries import entries
from schakel.generic.addressing.own.keeping import Keeper
from schakel.generic.addressing.own.model import (
    Access,
    Code,
    Mandate,
    Other,
    OwnOrganisation,
    Place,
    Service,
    Unit,
)
from schakel.generic.addressing.own.offers import ADMINISTRATION, QUERY_DIRECTORY, ROOT, UPDATE_CLIENT
from schakel.generic.addressing.own.publication import PublicationWork, Publisher
from schakel.generic.addressing.own.signature import Signing
from schakel.generic.addressing.received import Received
from schakel.generic.addressing.receiving import ReceivingStore
from schakel.http.node import UpdateClientDoors
from schakel.kernel import tls
from schakel.kernel.outcomes import Invalid
from schakel.server import FhirService, Offer
from schakel.server.service import WriteRules
from schakel.store.parameters import ParameterRules, ParameterSets
from schakel.store.resources import Limits, Store
from schakel.store.tenants import DIRECTORY, tenant_of
from schakel.store.writing import RidBlocks
from schakel.token_sources import Asker, token_source

ROOT_PART = "/root"
"""What names the tenant that holds the root directory of the node."""

_AnyStore = TypeVar("_AnyStore", bound=Store)
_UPDATE_CLIENT = "administration/update-client/fhir/r4"
_DIRECTORY = "administration/fhir/r4"


@dataclass(frozen=True, slots=True)
class Told:
    """What others may read of the node's organisations: `administration` for whoever shows a certificate, by slug, and
    the doors of the ministry's update client, None when it has none."""

    administration: Mapping[str, FhirService]
    update_client: UpdateClientDoors | None


class Telling:
    """Brings the entries of the node's organisations to what the settings say, and opens what shows them. `served` are
    the exchanges of each organisation, by slug."""

    def __init__(
        self,
        settings: Settings,
        pool: asyncpg.Pool,
        rids: RidBlocks,
        limits: Limits,
        search: SearchLimits,
        served: Mapping[str, Collection[str]],
    ) -> None:
        self._settings = settings
        self._pool = pool
        self._rids = rids
        self._limits = limits
        self._search = search
        self._served = served
        self._client = settings.addressing.update_client
        self._client_url = settings.public_url if self._client.on == "front" else settings.internal_url

    async def told(self) -> Told:
        """Writes the entries that changed. Raises `Invalid` for settings of which no entry can be made."""
        settings = self._settings
        strict: dict[str, FhirService] = {}
        client: dict[str, FhirService] = {}
        own: list[OwnOrganisation] = []
        for organisation in settings.organisations:
            if organisation.entries is None:
                continue
            made = self._own(organisation, organisation.entries)
            own.append(made)
            tenant, store = await entry_store(settings, self._pool, organisation, self._rids, self._limits)
            await Keeper(self._pool, tenant, store).bring(entries(made))
            strict[organisation.slug] = self._service(store, ADMINISTRATION)
            client[organisation.slug] = self._service(store, UPDATE_CLIENT)
        doors = await self._doors(own, client) if self._client.access != "off" else None
        return Told(strict, doors)

    async def _doors(
        self, own: Iterable[OwnOrganisation], directories: Mapping[str, FhirService]
    ) -> UpdateClientDoors:
        given = self._client
        tokens = None
        if given.access == "oauth2":
            assert given.secret is not None  # as the settings were checked
            setting = "addressing.update_client.secret"
            tokens = ClientTokens.read(given.client_id, given.secret, given.token_seconds, setting)
        addresses = {
            one.ura: f"{self._client_url}/{one.slug}/{_UPDATE_CLIENT}" for one in self._settings.organisations
        }
        tenant = await tenant_of(self._pool, "", "", "Root directory", ROOT_PART)
        root = _store(
            Store,
            self._pool,
            tenant,
            self._rids,
            replace(self._limits, page=self._limits.page_max),  # That client reads one page of it.
            (f"{self._client_url}/directory/root/fhir/r4",),
        )
        told = [serving.root(one, addresses[one.ura]) for one in own]
        wanted = {key: entry for one in told for key, entry in one.items()}
        await Keeper(self._pool, tenant, root).bring(wanted, [serving.moved(one.ura) for one in own])
        query = None
        if given.writes:
            tenant = await tenant_of(self._pool, "", "", "Query directory", DIRECTORY)
            base = f"{self._client_url}/directory/update-client/fhir/r4"
            store = _store(ReceivingStore, self._pool, tenant, self._rids, self._limits, (base,))
            # One resource of some directory that is not whole would end that client's every run (its recording 14).
            query = Received(self._service(store, QUERY_DIRECTORY, "incomplete"), store)
        return UpdateClientDoors(
            given.on,
            tokens,
            directories,
            self._service(root, ROOT),
            query,
            timedelta(seconds=given.overlap_seconds),
            given.writers,
        )

    def _service(
        self, store: Store, offer: Offer, check: Literal["lenient", "incomplete"] = "lenient"
    ) -> FhirService:
        rules = WriteRules(write_check=check, max_entries=self._settings.limits.entries)
        return FhirService(store, rules, ("r4",), self._search, offer=offer)

    def _own(self, organisation: Organisation, given: Entries) -> OwnOrganisation:
        settings, slug = self._settings, organisation.slug
        back = settings.back.public_url if settings.back else ""
        others = back or (settings.public_url if settings.guarded_on_front else "")
        reads = self._client.access != "off"
        at = serving.Addresses(
            issuer=f"{settings.public_url}/{slug}",
            fhir=f"{others}/{slug}/fhir" if others else "",
            directory=f"{back}/{slug}/{_DIRECTORY}" if back else "",
            update_client=f"{self._client_url}/{slug}/{_UPDATE_CLIENT}" if reads else "",
        )
        return own_organisation(organisation, given, serving.accesses(self._served[slug], at))


def own_organisation(
    organisation: Organisation, given: Entries, known: tuple[Access, ...]
) -> OwnOrganisation:
    """What the settings say of an organisation, with the addresses that the node knows by itself. Raises `Invalid` when
    an address of the settings has the key of one of those."""
    extra = tuple(
        _access(one, {key for s in given.services for key in s.endpoints}) for one in given.endpoints
    )
    if taken := {one.key for one in known} & {one.key for one in extra}:
        raise Invalid(
            f"entries of {organisation.slug}: the endpoint key {min(taken)!r} is one that the node uses itself",
            code="entry-key-taken",
        )
    return OwnOrganisation(
        ura=organisation.ura,
        name=organisation.name,
        types=(Code(codes.ORGANISATION_TYPE, organisation.type_code),),
        units=tuple(
            Unit(one.key, one.name, _codes(one.type) or (codes.DEPARTMENT,), one.part_of)
            for one in given.departments
        ),
        places=tuple(
            Place(
                one.key,
                one.name,
                _codes(one.type),
                one.department,
                one.address,
                one.postal_code,
                one.city,
                one.country,
                one.establishment,
            )
            for one in given.locations
        ),
        services=tuple(
            Service(one.key, one.name, _codes(one.type), one.department, one.locations, one.endpoints)
            for one in given.services
        ),
        accesses=(*known, *extra),
        mandates=tuple(
            Mandate(
                one.key,
                Other(codes.KVK if one.kvk else codes.URA, one.kvk or one.ura or "", one.name),
                tuple(Code(codes.MANDATES, code) for code in one.codes),
            )
            for one in given.mandates
        ),
        vendor=Other(codes.KVK, given.vendor.kvk, given.vendor.name) if given.vendor else None,
        agb=given.agb,
    )


def _access(one: ExtraEndpoint, of_services: Collection[str]) -> Access:
    """An address of the settings; one that a service names is that of the service alone."""
    [connection] = _codes([one.connection_type])
    return Access(
        one.key,
        one.name,
        one.address,
        connection,
        _codes(one.payload_type),
        one.mime_types,
        one.department,
        one.start,
        one.end,
        used=one.key not in of_services,
    )


def _codes(given: Iterable[CodeSetting]) -> tuple[Code, ...]:
    return tuple(Code(one.system, one.code, one.display) for one in given)


# -- where they are kept ---------------------------------------------------------------------------------------


async def entry_store(
    settings: Settings, pool: asyncpg.Pool, organisation: Organisation, rids: RidBlocks, limits: Limits
) -> tuple[int, Store]:
    """The tenant that has the entries of an organisation, and its store."""
    tenant = await tenant_of(pool, organisation.slug, organisation.ura, organisation.name, DIRECTORY)
    urls = [
        settings.public_url,
        settings.internal_url,
        *([settings.back.public_url] if settings.back else []),
    ]
    bases = tuple(
        f"{url}/{organisation.slug}/{door}" for url in urls for door in (_DIRECTORY, _UPDATE_CLIENT)
    )
    return tenant, _store(Store, pool, tenant, rids, limits, bases)


def _store(
    kind: type[_AnyStore],
    pool: asyncpg.Pool,
    tenant: int,
    rids: RidBlocks,
    limits: Limits,
    bases: tuple[str, ...],
) -> _AnyStore:
    none = ParameterSets(tenant, ParameterRules(most=0), bases)
    return kind(pool, tenant, rids, bases, limits, none)


# -- publishing ------------------------------------------------------------------------------------------------


@asynccontextmanager
async def publishing(settings: Settings, pool: asyncpg.Pool) -> AsyncIterator[None]:
    """Publishes the entries of the organisations that want it until the end of the block. Raises `Invalid` for a
    certificate or key."""
    wanted = [one for one in settings.organisations if one.entries is not None and one.entries.publish]
    given = settings.addressing.publication
    if given.base is None or not wanted:
        yield
        return
    async with AsyncExitStack() as stack:
        works = []
        for organisation in wanted:
            central = await stack.enter_async_context(_central(settings, organisation))
            rids, limits = RidBlocks(), Limits()
            tenant, store = await entry_store(settings, pool, organisation, rids, limits)
            publisher = Publisher(organisation.ura, store, _signing(settings))
            lease = timedelta(seconds=6 * given.seconds + 5)
            works.append(PublicationWork(pool, central, {tenant: publisher}, given.every_seconds, lease))
        for work in works:
            await stack.enter_async_context(work.working())
        yield


@asynccontextmanager
async def _central(settings: Settings, organisation: Organisation) -> AsyncIterator[Central]:
    """The central directory, asked for one organisation."""
    given = settings.addressing.publication
    assert given.base is not None
    setting = "addressing.publication."
    context = tls.client(given.ca, given.certificate, given.key, setting=setting)
    asker = Asker.by_ura(given.oauth, organisation)
    async with (
        token_source(given.oauth, given, setting, asker) as tokens,
        Facility.open(
            "the central directory", given.base, context, FacilityRules(timeout=given.seconds)
        ) as facility,
    ):
        yield Central(facility, tokens, given.scopes)


def _signing(settings: Settings) -> Signing | None:
    given = settings.addressing.publication
    if not given.sign:
        return None
    certificate, key = given.signing_certificate or given.certificate, given.signing_key or given.key
    assert certificate is not None and key is not None  # as the settings were checked
    return Signing.read(certificate, key)
