"""Every setting: type, default and meaning. Nothing else reads a configuration file or the environment.

A node is configured by one TOML file (`schakel serve --config FILE`); a variable `SCHAKEL_<NAME>` wins over the
file for the top-level settings.
"""

from __future__ import annotations

import re
import tomllib
from datetime import date
from pathlib import Path
from typing import Annotated, Any, Literal, Self, TypeVar

from pydantic import (
    AfterValidator,
    BaseModel,
    ConfigDict,
    Field,
    IPvAnyNetwork,
    ValidationError,
    model_validator,
)
from pydantic_settings import BaseSettings, PydanticBaseSettingsSource, SettingsConfigDict, SettingsError

from schakel.kernel.outcomes import Invalid
from schakel.kernel.values import Ura

RESERVED_SLUGS = frozenset({"portal", "health", "metrics", "static", "openapi.json", ".well-known"})


def _slug(value: str) -> str:
    if not re.fullmatch(r"[a-z0-9][a-z0-9-]{0,62}", value):
        raise ValueError("a slug has lower-case letters, digits and '-'")
    if value in RESERVED_SLUGS:
        raise ValueError(f"the slug {value!r} is reserved")
    return value


def _ura(value: str) -> str:
    try:
        return str(Ura(value))
    except Invalid as error:
        raise ValueError(error.message) from error


def _url(value: str) -> str:
    if not re.fullmatch(r"https?://[^\s/?#]+(/[^\s?#]*)?", value):
        raise ValueError("an http(s) address without query is needed")
    return value.rstrip("/")


Slug = Annotated[str, AfterValidator(_slug)]
UraNumber = Annotated[str, AfterValidator(_ura)]
Url = Annotated[str, AfterValidator(_url)]


class _Model(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True)


_M = TypeVar("_M", bound=BaseModel)


def _paired(model: _M, certificate: str, key: str) -> _M:
    """`model`, when it has both of these or none."""
    if (getattr(model, certificate) in (None, "")) != (getattr(model, key) in (None, "")):
        raise ValueError(f"{certificate} and {key} are given together or not at all")
    return model


class InternalCertificate(_Model):
    """A certificate that opens the internal door: this very one, or any that an authority gives to a subject."""

    sha256: str = Field("", description="SHA-256 of the certificate, in hexadecimal (colons may be there)")
    subject: str = Field("", description="subject as RFC 4514 writes it, such as CN=ehr,O=Hospital,C=NL")
    ca: Path | None = Field(None, description="the authority that gave it to the subject (PEM file)")

    @model_validator(mode="after")
    def _one_way(self) -> Self:
        if bool(self.sha256) == bool(self.subject) or bool(self.subject) != (self.ca is not None):
            raise ValueError("give either sha256, or subject and ca")
        if self.sha256 and not re.fullmatch(r"[0-9A-Fa-f]{64}", self.sha256.replace(":", "")):
            raise ValueError("sha256 has 64 hexadecimal digits")
        return self


class AcuteOptOut(_Model):
    """The opt-out regime for acute care: what is asked there may be given unless the patient objected. Whether the law
    allows it, and for whom, is for the organisation to know."""

    requester_types: tuple[str, ...] = Field(
        description="types of asking organisations that it is for, such as N6", min_length=1
    )
    purposes: tuple[str, ...] = Field(
        ("ETREAT",), description="purposes of use (v3-ActReason) that it is for", min_length=1
    )


class BreakGlass(_Model):
    """Access in an emergency without consent, under a written policy of the organisation."""

    document: str = Field(description="name of the written policy", min_length=1, max_length=200)
    dated: date = Field(description="date of the written policy")
    review_hours: int = Field(
        description="hours within which the organisation's officer looks at each use", ge=1, le=720
    )
    levels: tuple[str, ...] = Field(
        ("http://eidas.europa.eu/LoA/high",),
        description="levels of assurance (URIs) at which the user must have proved who they are",
        min_length=1,
    )
    overrides_objection: bool = Field(
        False,
        description="the written policy names the case of a patient who objected; risk: a recorded objection no longer "
        "stops anybody who gives a reason",
    )


class Organisation(_Model):
    """One care organisation of this node."""

    slug: Slug = Field(description="name in paths")
    ura: UraNumber = Field(description="URA number, eight digits")
    name: str = Field(description="name as people know it", min_length=1)
    type_code: str = Field("", description="organisation type (2.16.840.1.113883.2.4.15.1060), such as V6")
    internal_key: str = Field(description="the EHR's key on the internal door (X-API-Key)", min_length=16)
    internal_certificates: tuple[InternalCertificate, ...] = Field(
        (),
        description="client certificates that are as good as the key on the internal door (needs internal_tls)",
    )
    tls_certificate: Path | None = Field(
        None, description="certificate that we show to other organisations, with those above it (PEM file)"
    )
    tls_key: Path | None = Field(None, description="its private key (PEM file)")
    signing_key: Path = Field(
        description="private EC P-256 key (JWK file) that signs our assertions and presentations"
    )
    did: str = Field(
        "",
        description="name (did:web) under which others find our key; that of our part of the front listener when not "
        "given, at which did.json is always published",
        pattern=r"^(did:web:\S+)?$",
    )
    uzi_certificate: Path | None = Field(
        None,
        description="our UZI server certificate with those above it up to the root (PEM file), of which our "
        "X509Credential is made",
    )
    uzi_key: Path | None = Field(None, description="its private key (PEM file)")
    credentials: tuple[Path, ...] = Field(
        (), description="credentials that others gave us: a JWT in each file"
    )
    presentation_definitions: dict[str, Path] = Field(
        {},
        description="by scope, a file (JSON) with what others must present for a token, in place of our own",
    )
    write_check: Literal["strict", "lenient"] = Field(
        "strict", description="lenient keeps more elements than the maximum, with a warning"
    )
    erasure: Literal["off", "test"] = Field("off", description="test lets $purge run bare (demo only)")
    conditional_delete: Literal["single", "multiple"] = Field(
        "single", description="multiple lets a conditional delete take all that match"
    )
    medmij_name: str = Field(
        "",
        description="MedMij name without @medmij; without one the organisation has no door for patients",
        pattern=r"^([a-z0-9.-]{1,200})?$",
    )
    data_services: tuple[str, ...] = Field(
        (), description="ids of the data services of MedMij that are offered; all that are known when empty"
    )
    scopes: tuple[str, ...] = Field(
        (),
        description="scopes for which tokens are given, such as bgz; those of every exchange in the matrix of "
        "authorisation when empty",
    )
    authorisation: Path | None = Field(
        None, description="TOML file with the organisation's own rows of the matrix of authorisation"
    )
    acute_opt_out: AcuteOptOut | None = Field(
        None, description="the opt-out regime for acute care; without it there is none"
    )
    break_glass: BreakGlass | None = Field(
        None, description="access in an emergency; without it there is none"
    )

    @model_validator(mode="after")
    def _whole_pair(self) -> Self:
        _paired(self, "uzi_certificate", "uzi_key")
        return _paired(self, "tls_certificate", "tls_key")


class Broker(_Model):
    """The OIDC broker in front of DigiD, at which patients log in."""

    issuer: Url = Field(description="its issuer, as in its metadata")
    client_id: str = Field(description="our client id there", min_length=1)
    key: Path = Field(
        description="private RSA key (JWK file): proves us there, and opens what it says of a person"
    )
    levels: tuple[str, ...] = Field(
        (
            "urn:oasis:names:tc:SAML:2.0:ac:classes:MobileTwoFactorContract",
            "urn:oasis:names:tc:SAML:2.0:ac:classes:Smartcard",
            "urn:oasis:names:tc:SAML:2.0:ac:classes:SmartcardPKI",
            "http://eidas.europa.eu/LoA/substantial",
            "http://eidas.europa.eu/LoA/high",
        ),
        description="levels of assurance (loa_authn) of a login that are taken",
        min_length=1,
    )


class MedMij(_Model):
    """How this node takes part in MedMij: not at all without the lists and a broker.

    What it takes from clients that do otherwise than the framework says is off until a client needs it.
    """

    lists: Url | None = Field(None, description="address under which the lists of MedMij are published")
    lists_seconds: float = Field(900, description="seconds between two fetches of the lists", ge=1)
    broker: Broker | None = Field(None, description="where patients log in")
    flow_seconds: int = Field(
        900, description="seconds a person may take from landing page to consent", ge=60
    )
    flows: int = Field(
        10_000,
        description="authorisations that may wait at the landing page of an organisation; the oldest make place",
        ge=1,
    )
    code_seconds: int = Field(60, description="seconds an authorisation code is valid", ge=5, le=600)
    access_seconds: int = Field(
        900, description="seconds an access token of a patient is valid", ge=30, le=3600
    )
    refresh_days: int = Field(183, description="days a refresh token is valid", ge=1, le=184)
    chain_log_months: int = Field(36, description="months the chain log is kept", ge=24, le=36)
    http_on_loopback: bool = Field(
        False,
        description="redirect_uri may also be http on 127.0.0.1 or localhost, for tests; risk: any program on the "
        "person's machine can take the code",
    )
    accept_refresh_code: bool = Field(
        False,
        description="grant_type=refresh_code means refresh_token; risk: none of its own, but the client does not "
        "follow the framework",
    )
    repeat_code_seconds: int = Field(
        0,
        description="a code or refresh token that comes again with the same MedMij-Request-ID within so many seconds "
        "gets the same answer, for clients that send it again when the answer was lost; risk: whoever has seen the "
        "whole request gets the tokens too, for that long",
        ge=0,
        le=60,
    )
    numeric_errors: bool = Field(
        False,
        description="errors go to the client as numbers (error=401), for clients that refuse words; risk: other "
        "clients no longer understand why an authorisation ended",
    )
    correlation_id_optional: bool = Field(
        False,
        description="data requests may lack X-Correlation-ID; risk: the log events of a session cannot be joined",
    )
    documents: Literal["deliver", "withhold"] = Field(
        "deliver",
        description="what becomes of a document whose text holds a BSN or cannot be read; both are reported",
    )


class Peer(_Model):
    """One care organisation in the configured directory: where it is found and what it signs with."""

    ura: UraNumber = Field(description="URA number")
    name: str = Field(description="name as people know it")
    issuer: Url = Field(description="issuer of its authorisation server")
    token_endpoint: Url = Field(description="token endpoint")
    fhir: dict[Literal["stu3", "r4"], Url] = Field(description="FHIR base per version")
    jwks: dict[str, Any] = Field(description="public keys (JWK Set) with which it signs assertions")


class Certificates(_Model):
    """How client certificates on back, and those under credentials, are judged beyond their chain."""

    uzi: Literal["production", "test"] = Field(
        "production", description="test takes UZI numbers of the test authorities (2.16.528.1.1007.99) only"
    )
    uzi_oids: tuple[str, ...] = Field(
        (),
        description="OIDs of the UZI authorities whose numbers are taken, in place of those that uzi stands for; .* at "
        "the end takes all below",
    )
    revocation: Literal["crl", "ocsp", "either", "off"] = Field(
        "crl",
        description="how it is found out whether one was withdrawn: lists, the responder of its authority, that one "
        "when no list can be had, or not at all; risk of off: withdrawn certificates are taken until they expire",
    )
    sources: tuple[Url, ...] = Field(
        (), description="addresses under which a list or responder that a certificate names may lie"
    )
    lists: tuple[Url, ...] = Field((), description="lists that are looked in whatever a certificate names")
    responders: tuple[Url, ...] = Field(
        (), description="responders that are asked whatever a certificate names"
    )
    keep_seconds: float = Field(
        900, description="seconds in which a list or an answer is not fetched again", ge=0
    )
    pause_seconds: float = Field(5, description="seconds between two tries after a failure", ge=0)
    timeout: float = Field(5, description="seconds a list or a responder may take", gt=0)
    list_bytes: int = Field(20_000_000, description="bytes of a list", ge=1000)
    nonce: bool = Field(True, description="answers of responders must be fresh (RFC 9654)")

    @property
    def can_find_out(self) -> bool:
        """Whether somebody is named who can say that a certificate was withdrawn, or nobody need be."""
        return self.revocation == "off" or bool(self.sources or self.lists or self.responders)


class CredentialTrust(_Model):
    """Whose credentials are believed, when an organisation asks for a token by presenting them."""

    uzi: tuple[Path, ...] = Field(
        (),
        description="authorities of the UZI certificates under credentials (PEM files); without one, no credential "
        "that rests on a certificate is taken",
    )
    issuers: dict[str, tuple[str, ...]] = Field(
        {},
        description="by type of credential, the DIDs of the issuers that are believed; or holder (whoever presents "
        "it), card (a professional's UZI card), client (the organisation on whose behalf is asked)",
    )
    did_ca: tuple[Path, ...] = Field(
        (), description="authorities of the servers that publish DIDs and status lists (PEM files); the system's when empty"
    )
    did_seconds: float = Field(
        60,
        description="seconds in which the document of a DID is not fetched again; so long may a key that was taken out "
        "of it still be believed",
        ge=0,
        le=3600,
    )
    did_timeout: float = Field(3, description="seconds that a DID document or status list may take", gt=0)
    did_bytes: int = Field(64_000, description="bytes of a DID document", ge=1000)
    private_networks: tuple[IPvAnyNetwork, ...] = Field(
        (),
        description="networks that are not of the public internet, such as 10.20.0.0/16, on which DID documents and "
        "status lists may lie; without it a DID in a token cannot make this node ask an address inside",
    )
    http_on_loopback: bool = Field(
        False,
        description="DIDs on 127.0.0.1 or localhost are resolved, over http, for demo and tests; risk: whoever presents "
        "something can make this node ask any port of its own machine",
    )

    @property
    def presentations(self) -> bool:
        """Whether somebody is believed, so that presentations can be taken."""
        return bool(self.uzi or self.issuers)


class Back(_Model):
    """The listener for other organisations and for clients of MedMij, who prove themselves by a certificate.

    It ends TLS itself, or stands behind a proxy that does and tells of the certificate in a header.
    """

    port: int = Field(8404, description="port", ge=1, le=65535)
    public_url: Url = Field(description="its address as others see it (https)")
    certificate: Path | None = Field(
        None, description="its certificate, with those above it (PEM file); needed unless proxies are named"
    )
    key: Path | None = Field(None, description="its private key (PEM file)")
    client_ca: tuple[Path, ...] = Field(
        description="authorities whose clients are taken: UZI register, PKIoverheid (PEM files)", min_length=1
    )
    tls_minimum: Literal["1.2", "1.3"] = Field("1.2", description="oldest version of TLS that is taken")
    proxies: tuple[IPvAnyNetwork, ...] = Field(
        (),
        description="addresses of proxies that end TLS before this listener, such as 10.0.0.7 or 10.0.0.0/28",
    )
    proxy_header: str = Field(
        "",
        description="header in which such a proxy gives the certificate of its client, and which it takes away from "
        "what clients send: percent-encoded PEM, or RFC 9440",
        pattern=r"^[A-Za-z0-9-]*$",
    )
    verdict_seconds: float = Field(
        60, description="seconds in which a certificate is not judged again", ge=0, le=3600
    )

    @model_validator(mode="after")
    def _whole(self) -> Self:
        if not self.public_url.startswith("https://"):
            raise ValueError("public_url must be https: others come here with a certificate")
        if self.proxies and not self.proxy_header:
            raise ValueError(
                "proxies needs proxy_header, the header in which they give the client's certificate"
            )
        if self.proxy_header and not self.proxies:
            raise ValueError("proxy_header needs proxies, the addresses from which it is believed")
        if not self.proxies and self.certificate is None:
            raise ValueError("certificate and key are needed, or proxies that end TLS")
        return _paired(self, "certificate", "key")


class Tokens(_Model):
    """How tokens for other organisations are given and shown; their life is `token_lifetime`, and 900 seconds at most
    for one that a presentation was given for."""

    dpop: Literal["off", "accepted", "required"] = Field(
        "accepted",
        description="binding tokens to a key of who asks (DPoP, RFC 9449); risk of off, and of accepted for those who "
        "do not use it: whoever has seen a token can use it",
    )
    bind_certificate: bool = Field(
        True,
        description="a token that was asked with a client certificate is shown with that certificate (RFC 8705); "
        "risk of false: as above",
    )
    client_assertion: Literal["optional", "required"] = Field(
        "optional",
        description="whether a service provider must present itself beside a care organisation (grant jwt-bearer); "
        "when it does, it is verified in any case",
    )


class InternalTls(_Model):
    """TLS on the internal listener."""

    certificate: Path = Field(description="its certificate, with those above it (PEM file)")
    key: Path = Field(description="its private key (PEM file)")
    client_ca: tuple[Path, ...] = Field(
        (),
        description="authorities of the client certificates of EHRs (PEM files); none are asked when empty",
    )


class Log(_Model):
    """The NEN 7513 log: how it is sealed and how long it is kept."""

    seal_folder: Path | None = Field(
        None,
        description="folder outside the database for the seals of the log, a file for each organisation; `seals` "
        "beside the configuration when it is not given",
    )
    seal_address: Url | None = Field(
        None, description="address that gets the seals too, by POST as lines of text; each may come twice"
    )
    seal_keys: Path | None = Field(
        None,
        description="public keys (JWK Set file) that signed seals before the present signing keys, for checking them",
    )
    retention_years: int = Field(20, description="years after which events may be removed", ge=5, le=200)


class MitzCategory(_Model):
    """A data category of Mitz that holders of a type keep, added to the public table."""

    type_code: str = Field(description="organisation type that has no row in the public table, such as G5")
    category: str = Field(description="data category, such as GGC002")
    source: str = Field(description="who decided this, and where it is written", min_length=1)


class Mitz(_Model):
    """How this node asks Mitz what patients chose: not at all without `base`."""

    base: Url | None = Field(None, description="address of Mitz (https)")
    certificate: Path | None = Field(
        None, description="the certificate that Mitz has on its list, with those above it (PEM file)"
    )
    key: Path | None = Field(None, description="its private key (PEM file)")
    ca: tuple[Path, ...] = Field(
        (), description="authorities of the certificate of Mitz (PEM files); the system's when empty"
    )
    sign: bool = Field(False, description="sign each closed question (XML Signature, rsa-sha256)")
    signing_certificate: Path | None = Field(
        None, description="certificate of the signature (PEM file); `certificate` when not given"
    )
    signing_key: Path | None = Field(None, description="its private RSA key (PEM file)")
    content_type: str = Field(
        "application/soap+xml; charset=UTF-8",
        description="Content-Type of a closed question, as in the handbook; some installations take text/xml only",
        pattern=r"^[a-z]+/[a-z+]+(; *charset=[A-Za-z0-9-]+)?$",
    )
    seconds: float = Field(5, description="seconds an answer may take", gt=0, le=60)
    remember_seconds: float = Field(
        10,
        description="seconds an answer is used again for the same token and question, at most 10",
        ge=0,
        le=10,
    )
    categories: tuple[MitzCategory, ...] = Field(
        (), description="data categories for types of holder that the public table does not have"
    )
    gateway_system: str = Field(
        "", description="OID of our gateway, in subscriptions", pattern=r"^([0-2](\.[0-9]+)+)?$"
    )
    source_system: str = Field(
        "", description="OID of our source system, in subscriptions", pattern=r"^([0-2](\.[0-9]+)+)?$"
    )
    notify_hosts: tuple[str, ...] = Field(
        (), description="DNS names in the client certificates of those whose notifications are taken on back"
    )
    notify_thumbprints: tuple[str, ...] = Field(
        (),
        description="client certificates whose notifications are taken: SHA-256 of each in base64url (x5t#S256)",
    )

    @model_validator(mode="after")
    def _whole_pairs(self) -> Self:
        _paired(self, "certificate", "key")
        _paired(self, "signing_certificate", "signing_key")
        if self.base is not None and not self.base.startswith("https://"):
            raise ValueError("base is an https address: Mitz is asked over TLS with a client certificate")
        if self.base is not None and self.certificate is None:
            raise ValueError("base needs certificate and key: Mitz knows who asks by the client certificate")
        return _paired(self, "gateway_system", "source_system")


class Limits(_Model):
    """Bounds; each names itself in the error of a caller who passes it."""

    body: int = Field(20_000_000, description="bytes of a request body, unpacked", ge=1000)
    depth: int = Field(64, description="levels of nesting in a body", ge=8, le=200)
    entries: int = Field(5000, description="entries in a batch or transaction", ge=1)
    parameters: int = Field(200, description="parameters in a query, at most 200", ge=1, le=200)
    values: int = Field(200, description="values of one search parameter, divided by commas", ge=1)
    chain_depth: int = Field(3, description="references that one chain or _has goes through", ge=0)
    includes: int = Field(1000, description="resources that includes may add to a page", ge=0)
    document: int = Field(2000, description="resources in a document ($document)", ge=1)
    include_depth: int = Field(4, description="rounds of :iterate in includes", ge=0)
    page: int = Field(200, description="matches on a page when _count is not given", ge=1)
    page_max: int = Field(1000, description="most matches on a page", ge=1)
    remembered: int = Field(20_000, description="most matches in all pages of a search", ge=1)
    query_seconds: float = Field(20, description="seconds one database statement may take", gt=0)
    expression_steps: int = Field(100_000, description="steps of an expression that a caller sends", ge=1000)
    search_parameters: int = Field(50, description="search parameters an organisation may add", ge=0, le=1000)
    search_parameter_steps: int = Field(
        5000, description="steps of the expression of an added search parameter on one resource", ge=100
    )
    patch_operations: int = Field(1000, description="operations in a patch", ge=1)
    header_bytes: int = Field(65_536, description="bytes of a request line and its headers", ge=1000)
    header_seconds: float = Field(
        20, description="seconds in which a request line and its headers must be whole", gt=0
    )
    handshake_seconds: float = Field(10, description="seconds in which TLS must be agreed on", gt=0)
    body_seconds: float = Field(120, description="seconds in which a request body must be whole", gt=0)
    idle_seconds: float = Field(75, description="seconds an unused connection stays open", gt=0)
    connections: int = Field(1000, description="connections that callers hold open at one listener", ge=1)


class Settings(BaseSettings):
    """Settings of one node."""

    model_config = SettingsConfigDict(env_prefix="SCHAKEL_", extra="forbid", frozen=True)

    database: str = Field(description="PostgreSQL URL, version 15 or newer")
    connections: int = Field(10, description="database connections of one process", ge=2)
    public_url: Url = Field(description="address of the front listener as others see it")
    internal_url: Url = Field(description="address of the internal listener as the EHR sees it")
    host: str = Field("127.0.0.1", description="address the listeners bind to")
    front_port: int = Field(8400, description="port of the front listener", ge=1, le=65535)
    internal_port: int = Field(8401, description="port of the internal listener", ge=1, le=65535)
    guarded_on_front: bool = Field(
        False, description="demo only: the guarded FHIR door on the front listener, for bearer tokens"
    )
    back: Back | None = Field(
        None, description="the listener for others, who show a certificate; without it there is none"
    )
    internal_tls: InternalTls | None = Field(
        None, description="TLS on the internal listener; without it internal speaks plain HTTP"
    )
    certificates: Certificates = Field(Certificates(), description="judging certificates")
    trust: CredentialTrust = Field(CredentialTrust(), description="whose credentials are believed")
    peer_ca: tuple[Path, ...] = Field(
        (), description="authorities of other organisations' servers (PEM files); the system's when empty"
    )
    organisations: tuple[Organisation, ...] = Field(
        description="the organisations of this node", min_length=1
    )
    directory: tuple[Peer, ...] = Field((), description="where other organisations are found")
    source_timeout: float = Field(10, description="seconds one holder may take in an exchange", gt=0)
    token_lifetime: int = Field(300, description="seconds an access token is valid", ge=30, le=3600)
    tokens: Tokens = Field(Tokens(), description="tokens for other organisations")
    medmij: MedMij = Field(MedMij(), description="taking part in MedMij")
    mitz: Mitz = Field(Mitz(), description="asking Mitz what patients chose")
    log: Log = Field(Log(), description="the NEN 7513 log")
    limits: Limits = Field(Limits(), description="bounds")

    @model_validator(mode="after")
    def _internal_certificates_are_asked(self) -> Self:
        asked = self.internal_tls is not None and self.internal_tls.client_ca
        for organisation in self.organisations:
            if organisation.internal_certificates and not asked:
                raise ValueError(
                    f"internal_certificates of {organisation.slug} needs internal_tls with client_ca: without it no "
                    "certificate is asked for"
                )
        return self

    @model_validator(mode="after")
    def _objections_can_be_known(self) -> Self:
        for organisation in self.organisations:
            if organisation.acute_opt_out is not None and self.mitz.base is None:
                raise ValueError(
                    f"acute_opt_out of {organisation.slug} needs mitz.base: without Mitz nobody knows who objected"
                )
            if self.mitz.base is not None and self.mitz.gateway_system and self.back is None:
                raise ValueError("mitz.gateway_system needs back: there Mitz tells what changed")
        return self

    @model_validator(mode="after")
    def _certificates_can_be_judged(self) -> Self:
        if self.back is not None and not self.certificates.can_find_out:
            raise ValueError(
                "back needs certificates.sources, certificates.lists or certificates.responders: the addresses at "
                "which authorities say what they withdrew (or certificates.revocation = off)"
            )
        if self.trust.uzi and not self.certificates.can_find_out:
            raise ValueError(
                "trust.uzi needs certificates.sources, certificates.lists or certificates.responders: the addresses "
                "at which authorities say what they withdrew (or certificates.revocation = off)"
            )
        return self

    @classmethod
    def settings_customise_sources(
        cls,
        settings_cls: type[BaseSettings],
        init_settings: PydanticBaseSettingsSource,
        env_settings: PydanticBaseSettingsSource,
        dotenv_settings: PydanticBaseSettingsSource,
        file_secret_settings: PydanticBaseSettingsSource,
    ) -> tuple[PydanticBaseSettingsSource, ...]:
        return (env_settings, init_settings)


def load(path: Path) -> Settings:
    """The settings in the TOML file at `path`; paths in it are relative to it.

    Raises `Invalid` naming the file, the setting and what is wrong.
    """
    try:
        table = tomllib.loads(path.read_text("utf-8"))
    except OSError as error:
        raise Invalid(f"the configuration {path} cannot be read: {error.strerror}") from error
    except (tomllib.TOMLDecodeError, UnicodeDecodeError) as error:
        raise Invalid(f"the configuration {path} is not TOML: {error}") from error
    if isinstance(log := table.setdefault("log", {}), dict):
        log.setdefault("seal_folder", "seals")
    try:
        settings = Settings(**table)
    except ValidationError as error:
        lines = [f"{'.'.join(map(str, e['loc']))}: {e['msg']}" for e in error.errors()]
        raise Invalid(f"the configuration {path} is not right:\n  " + "\n  ".join(lines)) from error
    except SettingsError as error:
        raise Invalid(f"a variable SCHAKEL_... is not right: {error}") from error
    _check_unique(path, settings)
    return _rooted(settings, path.parent)


def _rooted(model: _M, folder: Path) -> _M:
    """`model` with all relative paths in it, at any depth, taken from `folder`."""

    def rooted(value: object) -> object:
        if isinstance(value, Path):
            return folder / value
        if isinstance(value, BaseModel):
            return _rooted(value, folder)
        if isinstance(value, dict):
            return {name: rooted(one) for name, one in value.items()}
        return tuple(rooted(one) for one in value) if isinstance(value, tuple) else value

    values = {name: getattr(model, name) for name in type(model).model_fields}
    changed = {name: new for name, old in values.items() if (new := rooted(old)) is not old and new != old}
    return model.model_copy(update=changed)


def _check_unique(path: Path, settings: Settings) -> None:
    for what in ("slug", "ura", "internal_key", "medmij_name"):
        values = [value for o in settings.organisations if (value := getattr(o, what))]
        if len(set(values)) < len(values):
            raise Invalid(f"the configuration {path} is not right:\n  two organisations share a {what}")
