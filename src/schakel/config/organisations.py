"""Settings of the care organisations of a node, and of those that the operator enters beside a directory."""

from __future__ import annotations

from pathlib import Path
from typing import Any, Literal, Self

from pydantic import Field, model_validator

from schakel.config.base import Section, Slug, UraNumber, Url, paired
from schakel.config.certificates import InternalCertificate
from schakel.config.consent import AcuteOptOut, BreakGlass
from schakel.config.entries import Entries
from schakel.config.localisation import Registration


class Organisation(Section):
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
        description="our UZI server certificate with those above it up to the root (PEM file): our X509Credential is "
        "made of it, and it signs the assertions with which the ministry's tokens are asked (form assertion)",
    )
    uzi_key: Path | None = Field(None, description="its private key (PEM file)")
    credentials: tuple[Path, ...] = Field(
        (), description="credentials that others gave us: a JWT in each file"
    )
    delegates: bool = Field(
        False,
        description="lets the service provider of the node (service_provider) ask in our name: whenever it presents "
        "itself it gets a ServiceProviderDelegationCredential of minutes, signed with signing_key",
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
    oin: str = Field(
        "",
        description="its OIN, for which pseudonyms are asked where tokens name the organisation; that of prs.oauth "
        "when not given",
        pattern=r"^([0-9]{8}[A-Za-z0-9]{9}0{3})?$",
    )
    source_id: str = Field(
        "",
        description="the system that keeps its registrations, as the ministry registered it; nvi.oauth.source when not "
        "given",
        max_length=200,
    )
    registrations: tuple[Registration, ...] = Field(
        (),
        description="rules under which the NVI is told of which patients there are data; without one it learns nothing",
    )
    entries: Entries | None = Field(
        None, description="what directories tell others of the organisation; without it nothing"
    )

    @model_validator(mode="after")
    def _entries_have_a_type(self) -> Self:
        if self.entries is not None and not self.type_code:
            raise ValueError("entries needs type_code: every organisation in a directory has a type")
        return self

    @model_validator(mode="after")
    def _whole_pair(self) -> Self:
        paired(self, "uzi_certificate", "uzi_key")
        return paired(self, "tls_certificate", "tls_key")


class Peer(Section):
    """One care organisation that the operator enters: where it is found and what it signs with. What is not given is
    that of the query directory."""

    ura: UraNumber = Field(description="URA number")
    name: str = Field(description="name as people know it")
    issuer: Url | None = Field(None, description="issuer of its authorisation server")
    token_endpoint: Url | None = Field(
        None, description="token endpoint (needs issuer); what its metadata say when not given"
    )
    fhir: dict[Literal["stu3", "r4"], Url] = Field({}, description="FHIR base per version")
    jwks: dict[str, Any] = Field({}, description="public keys (JWK Set) with which it signs assertions")
    type_code: str = Field(
        "",
        description="its organisation type (2.16.840.1.113883.2.4.15.1060), such as Z3, which counts when it asks with "
        "an assertion (that proves no type, and without one Mitz cannot be asked), or with credentials in which it "
        "says its type itself (a delegation)",
    )
    metadata: Url | None = Field(
        None,
        description="where the metadata of its authorisation server are read; where its issuer says (RFC 8414) "
        "when not given (needs issuer)",
    )

    @model_validator(mode="after")
    def _server_is_named(self) -> Self:
        for name in ("token_endpoint", "metadata"):
            if self.issuer is None and getattr(self, name) is not None:
                raise ValueError(f"{name} needs issuer: it belongs to that authorisation server")
        return self
