"""What the routes are made from: the composed services of a node. Built by `schakel.compose`."""

from __future__ import annotations

import hashlib
import hmac
from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass, field
from datetime import timedelta
from ipaddress import IPv4Network, IPv6Network
from typing import Literal

import asyncpg
from starlette.requests import Request

from schakel.exchanges.bgz import BgzExchange
from schakel.facilities import Facility
from schakel.fhir.definitions import Version
from schakel.gateway import Gateway
from schakel.generic.addressing import Addresses, QueryDirectory
from schakel.generic.addressing.asking import QueryDoor
from schakel.generic.addressing.client_tokens import ClientTokens
from schakel.generic.addressing.received import Received
from schakel.generic.consent import ConsentOffice, Grounds
from schakel.generic.identity import AssertionSigner, AuthorisationServer, Holder, Lists, PatientTokens
from schakel.generic.identity.broker import Broker
from schakel.generic.identity.credentials import Wallet
from schakel.generic.identity.dezi import DeziClient, Logins
from schakel.generic.identity.flows import Flows
from schakel.generic.identity.page_logins import PageLogins
from schakel.generic.identity.workplace import Workplace
from schakel.generic.localisation import Localiser, Registrations
from schakel.generic.logging import AuditLog, ChainLog, Event
from schakel.generic.logging.verify import Verified
from schakel.http.at_keyboard import at_keyboard, remember
from schakel.http.internal_certificates import InternalCertificates
from schakel.http.judging import Verdicts
from schakel.http.peer import tls_chain
from schakel.http.rates import Rates
from schakel.kernel.outcomes import Forbidden, NotFound, Unauthenticated
from schakel.patient_access import MedMijDoor
from schakel.portal.people import Visitor
from schakel.roadmap.board import Board
from schakel.roadmap.hybrid.store import Inventory
from schakel.server import FhirService
from schakel.sources.jobs import ParameterJobs


@dataclass(frozen=True)
class PatientDoor:
    """What an organisation that takes part in MedMij has for its patients.

    `numeric_errors` and `http_on_loopback` are the settings of these names.
    """

    holder: Holder
    lists: Lists
    flows: Flows
    tokens: PatientTokens
    broker: Broker
    chain: ChainLog
    numeric_errors: bool = False
    http_on_loopback: bool = False


@dataclass(frozen=True)
class DataDoor:
    """What an organisation that takes part in MedMij gives and takes: the tokens that open it, the door, the inbox,
    and the ids of the data services it offers."""

    tokens: PatientTokens
    door: MedMijDoor
    inbox: FhirService
    services: frozenset[str]


@dataclass(frozen=True)
class ProfessionalDoor:
    """Where the professionals of an organisation log in, and who is logged in."""

    dezi: DeziClient
    logins: Logins


@dataclass(frozen=True)
class UpdateClientDoors:
    """What the ministry's update client finds on a listener: the entries of each organisation (by slug), the root that
    names them, and the query directory when it may write that. `tokens` are those it needs, None when anybody may come;
    from an address in `writers` the query directory is open without one, and where nobody needs a token, when there are
    any, from no other. `overlap` is added before the moment since which it asks changes."""

    on: Literal["front", "internal"]
    tokens: ClientTokens | None
    directories: Mapping[str, FhirService]
    root: FhirService
    query: Received | None
    overlap: timedelta
    writers: tuple[IPv4Network | IPv6Network, ...] = ()


@dataclass(frozen=True)
class LogPageDoor:
    """Where the patients of an organisation log in to read the page of its log."""

    broker: Broker
    logins: PageLogins


@dataclass(frozen=True)
class PortalDoor:
    """The portal of this node: `public` says that its pages can be read without a login, `people` who may do what (by
    subject), `workplace` where they log in (None: nobody can), `upload` how many bytes a form may have, `scan_rows` how
    many declarations a file with self-scans."""

    public: bool
    people: Mapping[str, Visitor]
    workplace: Workplace | None
    logins: PageLogins
    upload: int
    scan_rows: int


@dataclass(frozen=True)
class OrganisationServices:
    """Everything one organisation has on this node. `facilities` are those that its localisation and its consent depend
    on, by these words and then by what each is called here."""

    slug: str
    ura: str
    name: str
    key_hash: bytes
    service: FhirService
    gateway: Gateway
    server: AuthorisationServer
    signer: AssertionSigner
    wallet: Wallet
    grounds: Grounds
    consent: ConsentOffice
    log: AuditLog
    bgz: BgzExchange
    jobs: ParameterJobs
    patients: PatientDoor | None = None
    data: DataDoor | None = None
    professionals: ProfessionalDoor | None = None
    log_page: LogPageDoor | None = None
    localiser: Localiser | None = None
    registrations: Registrations | None = None
    verify_log: Callable[[], Awaitable[Verified]] | None = None
    facilities: Mapping[str, Mapping[str, Facility]] = field(default_factory=dict)

    async def log_own_reading(
        self, subtype: Literal["ground", "log", "log-export"], what: str, patient: str = ""
    ) -> None:
        """Writes down that the organisation read its grounds or its log, or exported it; `what` is the address
        asked."""
        await self.log.write(
            Event(
                subtype=subtype,
                action="R",
                outcome="0",
                requester=self.ura,
                requester_name=self.name,
                holder=self.ura,
                holder_name=self.name,
                user=at_keyboard(),
                patient=patient,
                query=f"GET {what}",
            )
        )


@dataclass(frozen=True)
class DirectoryDoor:
    """How the own EHRs find others: `door` is the query directory as FHIR, `query` who is found in it, `addresses` the
    same with what the operator entered before it."""

    door: QueryDoor
    query: QueryDirectory
    addresses: Addresses


@dataclass(frozen=True)
class Node:
    """A running node: its organisations by slug, and where its doors are; `back_url` is '' when it has no back,
    `verdicts` are on the certificates of those who come there. `administration` has the entries of each organisation,
    by slug; `providers` has the wallet of the service provider, by what stands for a slug in its address. `region` is
    the name of the region whose portal is here, '' when it has none, and `board` what is known of it, `inventory` its
    hybrid care; fewer people than `small` are no number on a page that everybody may read. `token_rates` counts who
    asks for tokens."""

    pool: asyncpg.Pool
    organisations: Mapping[str, OrganisationServices]
    public_url: str
    internal_url: str
    guarded_on_front: bool
    max_body: int
    max_guarded_body: int
    max_parameters: int = 200
    versions: tuple[Version, ...] = ("stu3",)
    by_key: Mapping[bytes, OrganisationServices] = field(default_factory=dict)
    back_url: str = ""
    verdicts: Verdicts | None = None
    certificates: InternalCertificates = field(default_factory=InternalCertificates)
    directory: DirectoryDoor | None = None
    administration: Mapping[str, FhirService] = field(default_factory=dict)
    update_client: UpdateClientDoors | None = None
    providers: Mapping[str, Wallet] = field(default_factory=dict)
    portal: PortalDoor | None = None
    region: str = ""
    board: Board | None = None
    inventory: Inventory | None = None
    small: int = 5
    token_rates: Rates = field(default_factory=lambda: Rates(12_000, "limits.tokens_per_minute"))

    def organisation(self, slug: str) -> OrganisationServices:
        """The organisation of a path. Raises `NotFound`."""
        found = self.organisations.get(slug)
        if found is None:
            raise NotFound("there is no such organisation here", code="organisation-unknown")
        return found

    def own(self, request: Request) -> OrganisationServices:
        """The organisation whose internal door is knocked at, with its own key or client certificate.

        A certificate that is nobody's proves nothing and spoils nothing. Raises `Unauthenticated` without a known key
        or certificate, `Forbidden` for any other path and when the two are of different organisations, and
        `Invalid` for a person at the keyboard who is none (see `at_keyboard`).
        """
        slug: str = request.path_params["organisation"]
        key, chain = request.headers.get("x-api-key"), tls_chain(request)
        owner = self.certificates.slug(chain)
        if not key and owner is None:
            if chain:
                raise Unauthenticated(
                    "the client certificate is not one of an organisation here, and there is no key in X-API-Key",
                    code="certificate-unknown",
                )
            raise Unauthenticated(
                "the internal door needs the organisation's key in X-API-Key, or its client certificate",
                code="key-missing",
            )
        if key:
            hashed = key_hash(key)
            found = self.by_key.get(hashed)
            if found is None or not hmac.compare_digest(found.key_hash, hashed):
                raise Unauthenticated("the key in X-API-Key is not known", code="key-unknown")
            if owner is not None and owner != found.slug:
                raise Forbidden(
                    "the key in X-API-Key and the client certificate belong to different organisations",
                    code="key-other-certificate",
                )
            owner = found.slug
            if owner != slug:
                raise Forbidden(
                    "the key in X-API-Key belongs to another organisation", code="key-other-organisation"
                )
        if owner != slug:
            raise Forbidden(
                "the client certificate belongs to another organisation",
                code="certificate-other-organisation",
            )
        remember(request)
        return self.organisations[slug]


def key_hash(key: str) -> bytes:
    """What is kept of a key."""
    return hashlib.sha256(key.encode()).digest()
