"""Settings of taking part in MedMij."""

from __future__ import annotations

from pathlib import Path
from typing import Literal

from pydantic import (
    Field,
)

from schakel.config.base import Section, Url


class Broker(Section):
    """The OIDC broker in front of DigiD, at which patients log in."""

    issuer: Url = Field(description="its issuer, as in its metadata")
    client_id: str = Field(description="our client id there", min_length=1)
    key: Path = Field(
        description="private RSA key (JWK or PEM file): proves us there, and opens what it says of a person"
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


class MedMij(Section):
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
