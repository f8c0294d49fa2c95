"""Settings of what an organisation tells others of itself, of who may read it, and of publishing it."""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import Path
from typing import Literal, Self

from pydantic import Field, IPvAnyNetwork, model_validator

from schakel.config.base import Section, UraNumber, Url, paired
from schakel.config.localisation import MinvwsOAuth

Key = str
_KEY = r"^[a-z0-9][a-z0-9._-]{0,62}$"
_KEPT = "the entry is known by it: it stays when the name changes, and is never used again for something else"


class Code(Section):
    """A code of a code system."""

    system: str = Field(description="code system", min_length=1)
    code: str = Field(description="code", min_length=1)
    display: str = Field("", description="what it means, for people")


class Department(Section):
    """A department: an organisation without a URA, part of the one that has it."""

    key: Key = Field(description=f"word of your own; {_KEPT}", pattern=_KEY)
    name: str = Field(description="name as people know it", min_length=1)
    type: tuple[Code, ...] = Field((), description="what kind of department; dept (HL7) when not given")
    part_of: Key = Field("", description="key of the department above it")


class Location(Section):
    """A place where care is given."""

    key: Key = Field(description=f"word of your own; {_KEPT}", pattern=_KEY)
    name: str = Field(description="name as people know it", min_length=1)
    type: tuple[Code, ...] = Field(
        description="what kind of place, such as HOSP of http://terminology.hl7.org/CodeSystem/v3-RoleCode",
        min_length=1,
    )
    department: Key = Field("", description="key of the department that manages it")
    address: tuple[str, ...] = Field((), description="lines of the address: street and number")
    postal_code: str = Field("", description="postal code")
    city: str = Field("", description="city")
    country: str = Field("NL", description="country")
    establishment: str = Field(
        "", description="its number in the trade register (vestigingsnummer)", pattern=r"^(\d{12})?$"
    )


class Service(Section):
    """A kind of care that is offered."""

    key: Key = Field(description=f"word of your own; {_KEPT}", pattern=_KEY)
    name: str = Field(description="name as people know it", min_length=1)
    type: tuple[Code, ...] = Field(description="what kind of care, such as a SNOMED CT code", min_length=1)
    department: Key = Field("", description="key of the department that gives it")
    locations: tuple[Key, ...] = Field((), description="keys of the locations where it is given")
    endpoints: tuple[Key, ...] = Field((), description="keys of the endpoints that are for this service")


class ExtraEndpoint(Section):
    """A technical address beside those that the node knows by itself."""

    key: Key = Field(description=f"word of your own; {_KEPT}", pattern=_KEY)
    name: str = Field(description="name for people", min_length=1)
    address: Url = Field(description="address")
    connection_type: Code = Field(
        Code(
            system="http://terminology.hl7.org/CodeSystem/endpoint-connection-type",
            code="hl7-fhir-rest",
            display="",
        ),
        description="how it is spoken with; hl7-fhir-rest when not given",
    )
    payload_type: tuple[Code, ...] = Field(description="what for", min_length=1)
    mime_types: tuple[str, ...] = Field(
        (), description="forms, such as application/fhir+json; fhirVersion=4.0"
    )
    department: Key = Field("", description="key of the department that uses it; the whole when not given")
    start: str = Field("", description="first day or moment of use (FHIR dateTime)")
    end: str = Field("", description="last day or moment of use (FHIR dateTime)")


class Vendor(Section):
    """The company that operates the technical addresses."""

    kvk: str = Field(description="number in the trade register (KvK)", pattern=r"^\d{8}$")
    name: str = Field(description="name", min_length=1)


class EntryMandate(Section):
    """Another party may administer the organisation's entries in the central directory."""

    key: Key = Field(description=f"word of your own; {_KEPT}", pattern=_KEY)
    name: str = Field(description="name of that party", min_length=1)
    kvk: str = Field("", description="its number in the trade register (KvK)", pattern=r"^(\d{8})?$")
    ura: UraNumber | None = Field(None, description="its URA, when it is a care provider")
    codes: tuple[Literal["lrza-careprovider-admin", "lrza-endpoint-admin"], ...] = Field(
        description="for which entries: all of them, or endpoints", min_length=1
    )

    @model_validator(mode="after")
    def _known(self) -> Self:
        if bool(self.kvk) == bool(self.ura):
            raise ValueError("give either kvk or ura")
        return self


class Entries(Section):
    """What others are told of the organisation in directories."""

    agb: str = Field("", description="AGB code", pattern=r"^(\d{8})?$")
    vendor: Vendor | None = Field(
        None, description="who operates the technical addresses; the organisation itself when not given"
    )
    departments: tuple[Department, ...] = Field((), description="departments")
    locations: tuple[Location, ...] = Field((), description="places where care is given")
    services: tuple[Service, ...] = Field((), description="kinds of care that are offered")
    endpoints: tuple[ExtraEndpoint, ...] = Field(
        (), description="technical addresses beside those that the node knows by itself"
    )
    mandates: tuple[EntryMandate, ...] = Field((), description="who else may administer the entries")
    publish: bool = Field(
        False, description="whether they are published in the central directory (addressing.publication)"
    )

    @model_validator(mode="after")
    def _keys_are_there(self) -> Self:
        departments = _keys("departments", self.departments)
        locations, endpoints = _keys("locations", self.locations), _keys("endpoints", self.endpoints)
        _keys("services", self.services)
        _keys("mandates", self.mandates)
        parts: tuple[Location | Service | ExtraEndpoint, ...] = (
            *self.locations,
            *self.services,
            *self.endpoints,
        )
        _named("department", (one.department for one in parts), departments)
        _named("part_of", (one.part_of for one in self.departments), departments)
        _named("locations", (key for one in self.services for key in one.locations), locations)
        _named("endpoints", (key for one in self.services for key in one.endpoints), endpoints)
        above = {one.key: one.part_of for one in self.departments}
        for key in departments:
            seen = {key}
            while key := above.get(key, ""):
                if key in seen:
                    raise ValueError(f"the department {key} is a part of itself (part_of)")
                seen.add(key)
        return self


def _keys(
    what: str, parts: Iterable[Department | Location | Service | ExtraEndpoint | EntryMandate]
) -> frozenset[str]:
    found = [part.key for part in parts]
    if len(set(found)) < len(found):
        raise ValueError(f"two {what} have the same key")
    return frozenset(found)


def _named(what: str, keys: Iterable[str], known: frozenset[str]) -> None:
    for key in keys:
        if key and key not in known:
            raise ValueError(f"{what} names {key!r}, and nothing has that key")


class UpdateClient(Section):
    """The doors for the ministry's update client, which shows no client certificate."""

    access: Literal["off", "open", "oauth2"] = Field(
        "off",
        description="who may come: nobody, everybody, or who has a token for client_id and secret; risk of open: "
        "whoever reaches the listener reads the entries, which are public, and with writes writes the query directory",
    )
    on: Literal["front", "internal"] = Field("front", description="the listener that has these doors")
    client_id: str = Field("", description="who may ask for a token (oauth2)")
    secret: Path | None = Field(None, description="file with the secret of the client, 16 characters or more")
    token_seconds: int = Field(600, description="seconds a token is valid", ge=60, le=3600)
    writes: bool = Field(
        False,
        description="whether it may write the query directory; with access open only where host is a loopback address, "
        "or for writers",
    )
    writers: tuple[IPvAnyNetwork, ...] = Field(
        (),
        description="addresses that may write the query directory without a token, such as 10.0.0.7 or 10.0.0.0/28, "
        "for a program that can show none; with access open no other may; risk: whoever can send from such an address, "
        "also through a proxy on it that adds no X-Forwarded-For, decides where our questions go",
    )
    overlap_seconds: int = Field(
        7200,
        description="seconds before the moment it asks changes from that are answered too: its clock may be that of "
        "its wall, told as UTC, and then it asks from two hours too late",
        ge=0,
        le=86_400,
    )

    @model_validator(mode="after")
    def _can_be_known(self) -> Self:
        if self.access == "oauth2" and not (self.client_id and self.secret):
            raise ValueError("access oauth2 needs client_id and secret")
        if self.access == "off" and self.writes:
            raise ValueError("writes needs access open or oauth2")
        if self.writers and not self.writes:
            raise ValueError("writers needs writes: whether the query directory may be written at all")
        if any(one.prefixlen == 0 for one in self.writers):
            raise ValueError("writers names everybody: give the addresses of the programs that write")
        return self


class Publication(Section):
    """Publishing entries in the central directory (LRZa) by ITI-130-NL."""

    base: Url | None = Field(
        None, description="FHIR base of the central directory; nothing is sent without it"
    )
    ca: tuple[Path, ...] = Field(
        (), description="authorities of its server (PEM files); the system's when empty"
    )
    certificate: Path | None = Field(
        None, description="our PKIoverheid certificate with those above it (PEM file)"
    )
    key: Path | None = Field(None, description="its private key (PEM file)")
    oauth: MinvwsOAuth | None = Field(
        None, description="how we have tokens, for the URA of each organisation; none is sent without it"
    )
    scopes: str = Field(
        "system/Organization.crus system/Location.crus system/HealthcareService.crus system/Endpoint.crus",
        description="scopes of a token, blanks between them",
    )
    seconds: float = Field(10, description="seconds a request may take", gt=0)
    every_seconds: float = Field(
        30, description="seconds between two looks at what there is to publish", gt=0, le=3600
    )
    sign: bool = Field(False, description="whether a signed Provenance follows each change")
    signing_certificate: Path | None = Field(
        None,
        description="certificate that signs, with our URA in it, and those above it (PEM file); certificate when not "
        "given",
    )
    signing_key: Path | None = Field(None, description="its private RSA key (PEM file)")

    @model_validator(mode="after")
    def _whole_pairs(self) -> Self:
        if self.sign and self.signing_key is None and self.key is None:
            raise ValueError("sign needs signing_certificate and signing_key, or certificate and key")
        paired(self, "signing_certificate", "signing_key")
        return paired(self, "certificate", "key")
