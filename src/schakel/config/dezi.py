"""Settings of Dezi, where professionals log in."""

from __future__ import annotations

from pathlib import Path
from typing import Literal, Self

from pydantic import Field, model_validator

from schakel.config.base import Section, Url


class Dezi(Section):
    """How this node knows professionals by Dezi. With `issuer` alone it takes their statements from others; with
    `client_id` and `key` they can log in here too."""

    issuer: Url = Field(description="issuer of Dezi, such as https://auth.dezi.nl")
    client_id: str = Field("", description="our client id there")
    key: Path | None = Field(
        None,
        description="private RSA key of the certificate that is registered there (JWK or PEM file): opens what Dezi "
        "says of a professional",
    )
    ca: tuple[Path, ...] = Field(
        (), description="authorities of the certificate of Dezi (PEM files); the system's when empty"
    )
    jku: tuple[Url, ...] = Field(
        (),
        description="addresses of the keys of statements (jku), the only ones that are asked; jwks.json at the issuer "
        "when empty",
    )
    issuers: tuple[str, ...] = Field(
        ("abonnee.dezi.nl",), description="issuers (iss) of statements that are taken", min_length=1
    )
    levels: tuple[str, ...] = Field(
        ("http://eidas.europa.eu/LoA/substantial", "http://eidas.europa.eu/LoA/high"),
        description="levels of assurance (URIs) that are taken",
        min_length=1,
    )
    forms: tuple[Literal["jwe", "jws"], ...] = Field(
        ("jwe", "jws"),
        description="forms in which Dezi may say who logged in: sealed for us alone (jwe), or only signed (jws), as it "
        "does for acceptance",
        min_length=1,
    )
    status: Literal["off", "required"] = Field(
        "off",
        description="ask Dezi whether a statement still holds, each time one is used; required refuses whoever it "
        "cannot be asked of; risk of off: a statement that was withdrawn is taken until it expires. The form of the "
        "answer is not public",
    )
    seconds: float = Field(5, description="seconds that Dezi may take for one step", gt=0, le=60)
    login_seconds: int = Field(600, description="seconds a professional may take to log in", ge=60, le=3600)
    lasting_hours: float = Field(8, description="hours that a login holds at most", gt=0, le=24)

    @model_validator(mode="after")
    def _whole(self) -> Self:
        if bool(self.client_id) != (self.key is not None):
            raise ValueError("client_id and key are given together or not at all")
        return self

    @property
    def addresses(self) -> frozenset[str]:
        """Where the keys of statements may be."""
        return frozenset(self.jku or (f"{self.issuer}/jwks.json",))
