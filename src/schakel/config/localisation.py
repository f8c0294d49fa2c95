"""Settings of pseudonyms (PRS) and localisation (NVI), and of the tokens that both ask for."""

from __future__ import annotations

from datetime import date
from pathlib import Path
from typing import Literal, Self

from pydantic import Field, model_validator

from schakel.config.base import Section, Url, paired
from schakel.generic.localisation import CATEGORIES
from schakel.generic.pseudonyms import RECIPIENT, SCOPE, Person


class MinvwsOAuth(Section):
    """How tokens for a national facility are asked for: at the ministry's server, where we are known by the certificate
    that we show the facility too, or at another that gives them to a client with a secret."""

    endpoint: Url = Field(description="the token endpoint of that facility")
    form: Literal["organisation", "assertion", "secret"] = Field(
        "organisation",
        description="organisation names for whom is asked (the ministry, from August 2026); assertion signs that with "
        "a certificate (the ministry, before); secret is a client with a secret",
    )
    organisation: str = Field(
        "",
        description="for whom is asked, when that is one for all organisations of the node: an OIN towards the PRS, a "
        "URA towards the NVI and in an assertion; when not given, the oin or the URA of each organisation",
        max_length=40,
    )
    source: str = Field(
        "",
        description="the system that keeps registrations (source_id), as the ministry registered it for organisations "
        "that have no source_id of their own",
    )
    audience: str = Field(
        "",
        description="for which service (target_audience); scheme and host of the facility when not given",
    )
    certificate: Path | None = Field(
        None,
        description="UZI or PKIoverheid certificate that signs the assertions of all organisations, with those above "
        "it (PEM file); when not given, the uzi_certificate of the organisation that asks, or else that of the "
        "connection",
    )
    key: Path | None = Field(None, description="its private RSA key (PEM file)")
    chain: bool = Field(False, description="put the certificate and those above it in an assertion (x5c)")
    client_id: str = Field("", description="our client id, with form secret")
    secret: Path | None = Field(None, description="file with our secret, with form secret")
    ca: tuple[Path, ...] = Field(
        (), description="authorities of the token server (PEM files); those of the facility when empty"
    )

    @model_validator(mode="after")
    def _whole(self) -> Self:
        paired(self, "certificate", "key")
        paired(self, "client_id", "secret")
        if (self.form == "secret") != bool(self.client_id):
            raise ValueError("form secret, and no other, needs client_id and secret")
        return self


class Prs(Section):
    """How this node has pseudonyms made: not at all without `base`."""

    base: Url | None = Field(
        None, description="address of the PRS (https; http on this machine or behind a gateway of yours)"
    )
    certificate: Path | None = Field(
        None,
        description="the certificate that the ministry knows us by, with those above it (PEM file)",
    )
    key: Path | None = Field(None, description="its private key (PEM file)")
    ca: tuple[Path, ...] = Field(
        (), description="authorities of the certificate of the PRS (PEM files); the system's when empty"
    )
    recipient: str = Field(
        "",
        description="full name of the NVI at the PRS, such as oin:00000099000000001000 or ura:90000901; one for an "
        "environment and never changed: what was registered under another is not found any more",
        pattern=rf"^({RECIPIENT})?$",
    )
    scope: str = Field(
        "",
        description="scope of the NVI's key at the PRS, such as nationale-verwijsindex or nvi; never changed, as "
        "recipient",
        pattern=rf"^({SCOPE})?$",
    )
    person: Person = Field(
        "guide",
        description="how the JSON of a person is written before it is hashed: guide without blanks (RFC 8785), blanks "
        "with a blank behind each colon and comma, snake with land_code; never changed, as recipient: ask which one "
        "your environment uses",
    )
    style: Literal["service", "guide"] = Field(
        "service",
        description="service asks at /oprf/eval, as the PRS that runs has it; guide at /evaluate, as the guide says",
    )
    scopes: str = Field("prs:read", description="scopes of a token for the PRS, blanks between them")
    oauth: MinvwsOAuth | None = Field(
        None, description="where tokens for the PRS come from; without it none is sent"
    )
    seconds: float = Field(5, description="seconds an answer may take", gt=0, le=60)

    @model_validator(mode="after")
    def _whole(self) -> Self:
        paired(self, "certificate", "key")
        if self.base is None:
            return self
        for name, example in (("recipient", "oin:00000099000000001000"), ("scope", "nvi")):
            if not getattr(self, name):
                raise ValueError(
                    f"base needs {name}, such as {example}: pseudonyms made for another {name} find nothing, so it has "
                    "no default"
                )
        if self.base.startswith("https://") and self.certificate is None:
            raise ValueError(
                "base needs certificate and key: the PRS knows who asks by the client certificate"
            )
        return self

    @property
    def asks_by_oin(self) -> bool:
        """Whether each organisation must have an OIN of its own, for which the tokens are asked."""
        given = self.oauth
        return (
            self.base is not None
            and given is not None
            and given.form == "organisation"
            and not given.organisation
        )


class NviScopes(Section):
    """The scope of the token for each kind of request to the NVI."""

    create: str = Field("nvi:create", description="of a token to register with")
    read: str = Field("nvi:read", description="of a token to read one own record with")
    delete: str = Field("nvi:delete", description="of a token to withdraw with")
    localise: str = Field("nvi:localize", description="of a token to search with")


class Nvi(Section):
    """How this node asks the NVI who has data of a patient, and tells it that we have: not at all without `base`."""

    base: Url | None = Field(None, description="FHIR base of the NVI, up to and including /fhir")
    certificate: Path | None = Field(
        None,
        description="the certificate that the ministry knows us by, with those above it (PEM file)",
    )
    key: Path | None = Field(None, description="its private key (PEM file)")
    ca: tuple[Path, ...] = Field(
        (), description="authorities of the certificate of the NVI (PEM files); the system's when empty"
    )
    source: str = Field(
        "",
        description="what names our software in each registration, such as a urn:uuid; never changed: only what names "
        "it is taken to be ours",
        pattern=r"^[^\s|]{0,200}$",
    )
    source_system: str = Field(
        "urn:ietf:rfc:3986",
        description="system of that name; the NVI takes no other, the guide says oauth-client-id",
        pattern=r"^[^\s|]{1,200}$",
    )
    oauth: MinvwsOAuth | None = Field(
        None, description="where tokens for the NVI come from; without it none is sent"
    )
    scopes: NviScopes = Field(NviScopes(), description="scopes of the tokens")
    seconds: float = Field(5, description="seconds an answer may take", gt=0, le=60)
    parallel: int = Field(4, description="patients who are registered at once", ge=1, le=100)
    all_seconds: float = Field(
        120,
        description="seconds the answer with all our own records may take, when they are compared (reconcile)",
        gt=0,
        le=3600,
    )
    all_megabytes: int = Field(
        200,
        description="megabytes of that answer, at most: the NVI gives it whole, about 0.6 MB for each 1,000 records; "
        "some ten times as much memory is used meanwhile",
        ge=1,
        le=10_000,
    )

    @model_validator(mode="after")
    def _whole(self) -> Self:
        paired(self, "certificate", "key")
        if self.base is None:
            return self
        if not self.source:
            raise ValueError("base needs source: by it our registrations are told from those of others")
        if self.base.startswith("https://") and self.certificate is None:
            raise ValueError(
                "base needs certificate and key: the NVI knows who asks by the client certificate"
            )
        return self


class Registration(Section):
    """A rule under which an organisation tells the NVI of which patients it has data. Without one it tells nothing."""

    ground: str = Field(
        description="the legal ground, as the organisation wrote it down", min_length=1, max_length=500
    )
    categories: tuple[str, ...] = Field(
        description="categories of data that are registered, such as Condition", min_length=1
    )
    start: date = Field(description="the first day")
    end: date | None = Field(None, description="the last day; without end when not given")

    @model_validator(mode="after")
    def _known(self) -> Self:
        for category in self.categories:
            if category not in CATEGORIES:
                raise ValueError(
                    f"{category[:40]!r} is no category of data: there are {', '.join(CATEGORIES)}"
                )
        if self.end is not None and self.end < self.start:
            raise ValueError("end is before start")
        return self
