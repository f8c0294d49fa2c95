"""Settings of consent: Mitz, and what a holder may decide for itself."""

from __future__ import annotations

from datetime import date
from pathlib import Path
from typing import Self

from pydantic import (
    Field,
    model_validator,
)

from schakel.config.base import Section, Url, paired


class AcuteOptOut(Section):
    """The opt-out regime for acute care: what is asked there may be given unless the patient objected. Whether the law
    allows it, and for whom, is for the organisation to know."""

    requester_types: tuple[str, ...] = Field(
        description="types of asking organisations that it is for, such as N6", min_length=1
    )
    purposes: tuple[str, ...] = Field(
        ("ETREAT",), description="purposes of use (v3-ActReason) that it is for", min_length=1
    )


class BreakGlass(Section):
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
    rejected_days: int = Field(
        30,
        description="days in which a professional of whom an emergency was not accepted has no other with the same "
        "patient",
        ge=0,
        le=3650,
    )
    overrides_objection: bool = Field(
        False,
        description="the written policy names the case of a patient who objected; risk: a recorded objection no longer "
        "stops anybody who gives a reason",
    )


class MitzCategory(Section):
    """A data category of Mitz that holders of a type keep, added to the public table."""

    type_code: str = Field(description="organisation type that has no row in the public table, such as G5")
    category: str = Field(description="data category, such as GGC002")
    source: str = Field(description="who decided this, and where it is written", min_length=1)


class Mitz(Section):
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
    locate: bool = Field(
        False,
        description="ask Mitz too who may release data of a patient (the open question), beside the national index; it "
        "names only holders that have a subscription on the patient",
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
        paired(self, "certificate", "key")
        paired(self, "signing_certificate", "signing_key")
        if self.base is not None and not self.base.startswith("https://"):
            raise ValueError("base is an https address: Mitz is asked over TLS with a client certificate")
        if self.base is not None and self.certificate is None:
            raise ValueError("base needs certificate and key: Mitz knows who asks by the client certificate")
        return paired(self, "gateway_system", "source_system")
