"""Settings of a node, and how they are read."""

from __future__ import annotations

import tomllib
from pathlib import Path
from typing import Literal, Self

from pydantic import (
    BaseModel,
    Field,
    ValidationError,
    model_validator,
)
from pydantic_settings import BaseSettings, PydanticBaseSettingsSource, SettingsConfigDict, SettingsError

from schakel.config.addressing import Addressing
from schakel.config.base import M, Section, Url
from schakel.config.certificates import Back, Certificates, CredentialTrust, InternalTls
from schakel.config.consent import Mitz
from schakel.config.dezi import Dezi
from schakel.config.limits import Limits
from schakel.config.localisation import Nvi, Prs
from schakel.config.organisations import Organisation, Peer
from schakel.config.patients import MedMij
from schakel.config.portal import Portal, Roadmap
from schakel.config.testing import TestBsn, refuse_outside_tests
from schakel.config.tokens import ServiceProvider, Tokens
from schakel.kernel.outcomes import Invalid


class Log(Section):
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
    page_login_seconds: int = Field(
        900, description="seconds a patient may take to log in for the page of the log", ge=60, le=900
    )
    page_seconds: int = Field(
        900, description="seconds after which a patient must log in again for the page", ge=60, le=900
    )
    page_logins: int = Field(
        10_000,
        description="logins for the page that may be under way at an organisation; the oldest make place",
        ge=1,
    )
    retention_years: int = Field(20, description="years after which events may be removed", ge=5, le=200)
    retention_seconds: float = Field(
        86_400,
        description="seconds between two rounds in which the node removes what is past that term; 0 for none, when "
        "`schakel log retain` does it",
        ge=0,
        le=31_536_000,
    )


class Settings(BaseSettings):
    """Settings of one node."""

    model_config = SettingsConfigDict(env_prefix="SCHAKEL_", extra="forbid", frozen=True)

    database: str = Field(description="PostgreSQL URL, version 15 or newer")
    connections: int = Field(10, description="database connections of one process", ge=2)
    processes: int = Field(
        1,
        description="processes that serve the node at the same addresses, each on a core of its own; `connections`, "
        "the numbers and rates in `limits` and what goes on at once with others are of each of them (Linux)",
        ge=1,
        le=64,
    )
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
    peer_uzi: Literal["off", "checked", "required"] = Field(
        "checked",
        description="the UZI number in the certificate of another organisation's server: checked refuses a server of "
        "another URA than the directory says, and takes a certificate without a number; required refuses that too; "
        "risk of off, and of checked where there is no number: whoever writes a directory can lead questions to a "
        "server of their own",
    )
    peer_dpop: bool = Field(
        True,
        description="tokens of other organisations are asked bound to a key of this process (DPoP) where their server "
        "offers that; risk of false: a token that is not bound to our certificate either serves who has seen it",
    )
    organisations: tuple[Organisation, ...] = Field(
        description="the organisations of this node", min_length=1
    )
    directory: tuple[Peer, ...] = Field(
        (), description="organisations that the operator enters, before what the query directory says"
    )
    addressing: Addressing = Field(Addressing(), description="finding others through directories")
    source_timeout: float = Field(10, description="seconds one holder may take in an exchange", gt=0)
    source_failures: int = Field(
        3, description="exchanges in a row without any sign of life after which a holder is left alone", ge=1
    )
    source_pause: float = Field(30, description="seconds that it is then left alone", gt=0)
    source_parallel: int = Field(
        4,
        description="exchanges that an organisation has under way with one holder at once; more take turns",
        ge=1,
    )
    source_wait: float = Field(
        30, description="seconds that an exchange waits for its turn with a holder", gt=0
    )
    token_lifetime: int = Field(300, description="seconds an access token is valid", ge=30, le=3600)
    tokens: Tokens = Field(Tokens(), description="tokens for other organisations")
    service_provider: ServiceProvider | None = Field(
        None, description="the service provider that runs the node; without it none presents itself"
    )
    medmij: MedMij = Field(MedMij(), description="taking part in MedMij")
    dezi: Dezi | None = Field(None, description="knowing professionals by Dezi; not at all without it")
    mitz: Mitz = Field(Mitz(), description="asking Mitz what patients chose")
    prs: Prs = Field(Prs(), description="having pseudonyms made by the PRS")
    nvi: Nvi = Field(Nvi(), description="asking the NVI who has data, and telling it that we have")
    portal: Portal | None = Field(None, description="the portal of a region; there is none without it")
    roadmap: Roadmap = Field(Roadmap(), description="the board of the roadmap of a region")
    test_bsns: tuple[TestBsn, ...] = Field(
        (),
        description="test numbers that are taken for BSNs although they do not pass the 11-proef, as published "
        "examples have; never where a facility may be one of production; risk: such a number is no longer refused "
        "when it is a mistake in typing",
    )
    log: Log = Field(Log(), description="the NEN 7513 log")
    limits: Limits = Field(Limits(), description="bounds")

    @model_validator(mode="after")
    def _test_numbers_stay_in_tests(self) -> Self:
        if self.test_bsns:
            medmij, dezi = self.medmij, self.dezi
            refuse_outside_tests(
                {
                    "prs.base": self.prs.base,
                    "nvi.base": self.nvi.base,
                    "mitz.base": self.mitz.base,
                    "dezi.issuer": dezi.issuer if dezi else None,
                    "medmij.lists": medmij.lists,
                    "medmij.broker.issuer": medmij.broker.issuer if medmij.broker else None,
                    "addressing.publication.base": self.addressing.publication.base,
                    "prs.oauth.endpoint": self.prs.oauth.endpoint if self.prs.oauth else None,
                    "nvi.oauth.endpoint": self.nvi.oauth.endpoint if self.nvi.oauth else None,
                    **{f"addressing.sources ({one.name})": one.base for one in self.addressing.sources},
                }
            )
        return self

    @model_validator(mode="after")
    def _delegated_to_somebody(self) -> Self:
        for organisation in self.organisations:
            if organisation.delegates and self.service_provider is None:
                raise ValueError(f"delegates of {organisation.slug} needs service_provider: to whom")
        return self

    @model_validator(mode="after")
    def _nonces_need_proofs(self) -> Self:
        if self.tokens.dpop_nonce and self.tokens.dpop == "off":
            raise ValueError("tokens.dpop_nonce needs tokens.dpop: a nonce stands in a proof of possession")
        return self

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
    def _keepers_are_here(self) -> Self:
        if strange := sorted({*self.roadmap.keepers} - {one.slug for one in self.organisations}):
            raise ValueError(f"roadmap.keepers names {strange[0]!r}, which is no organisation of this node")
        return self

    @model_validator(mode="after")
    def _directories_are_guarded(self) -> Self:
        client, publication = self.addressing.update_client, self.addressing.publication
        guarded = (
            client.access == "oauth2" or client.writers or self.host in ("127.0.0.1", "::1", "localhost")
        )
        if client.writes and not guarded:
            raise ValueError(
                "addressing.update_client.writes with access open lets anybody who reaches the listener write the "
                "query directory: give writers (the addresses that may), access oauth2, or a loopback address as host"
            )
        for organisation in self.organisations:
            if organisation.entries is not None and organisation.entries.publish and publication.base is None:
                raise ValueError(
                    f"entries.publish of {organisation.slug} needs addressing.publication.base: where to"
                )
        return self

    @model_validator(mode="after")
    def _patients_can_be_localised(self) -> Self:
        if self.nvi.base is not None and self.prs.base is None:
            raise ValueError(
                "nvi.base needs prs.base, prs.recipient and prs.scope: the NVI knows patients by pseudonyms of the PRS "
                "alone"
            )
        for organisation in self.organisations:
            if self.prs.asks_by_oin and not organisation.oin:
                raise ValueError(
                    "prs.oauth needs organisation, the OIN for which pseudonyms are asked, or each organisation its "
                    f"own oin, and {organisation.slug} has none"
                )
            if organisation.registrations and self.nvi.base is None:
                raise ValueError(f"registrations of {organisation.slug} needs nvi.base: where to register")
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


def _rooted(model: M, folder: Path) -> M:
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
