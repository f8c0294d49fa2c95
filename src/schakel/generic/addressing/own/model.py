"""What an organisation says of itself, before it becomes FHIR: `OwnOrganisation` and its parts.

`key` is a stable word of the organisation's own for a part of it: the id and the identifier of the entry are made from
it, so that a name or address may change and the entry stays the same. A key is never used again for something else.
`unit` is the key of the department that a part belongs to, '' for the organisation as a whole.
"""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Code:
    """One code of a code system."""

    system: str
    code: str
    display: str = ""


@dataclass(frozen=True, slots=True)
class Unit:
    """A department; `within` is the key of the department above it."""

    key: str
    name: str
    types: tuple[Code, ...]
    within: str = ""


@dataclass(frozen=True, slots=True)
class Place:
    """A location where care is given."""

    key: str
    name: str
    types: tuple[Code, ...]
    unit: str = ""
    lines: tuple[str, ...] = ()
    postal_code: str = ""
    city: str = ""
    country: str = "NL"
    establishment: str = ""


@dataclass(frozen=True, slots=True)
class Service:
    """A kind of care that is offered, at `places` (keys); `accesses` are keys of addresses that are its own."""

    key: str
    name: str
    types: tuple[Code, ...]
    unit: str = ""
    places: tuple[str, ...] = ()
    accesses: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class Access:
    """A technical address: how it is spoken with (`connection`), for what (`payloads`) and in what form (`media`).
    `start` and `end` (FHIR dateTime) bound the time in which it is used; with `used` false nobody names it as the
    address of the whole organisation: a service does."""

    key: str
    name: str
    address: str
    connection: Code
    payloads: tuple[Code, ...]
    media: tuple[str, ...] = ()
    unit: str = ""
    start: str = ""
    end: str = ""
    used: bool = True


@dataclass(frozen=True, slots=True)
class Other:
    """Another party, known by its number: a KvK number for a company, a URA for a care provider."""

    system: str
    value: str
    name: str


@dataclass(frozen=True, slots=True)
class Mandate:
    """The organisation lets another party administer its entries; `codes` say which."""

    key: str
    to: Other
    codes: tuple[Code, ...]


@dataclass(frozen=True, slots=True)
class OwnOrganisation:
    """An organisation with its parts. `vendor` operates its technical addresses; None when it does so itself."""

    ura: str
    name: str
    types: tuple[Code, ...]
    units: tuple[Unit, ...] = ()
    places: tuple[Place, ...] = ()
    services: tuple[Service, ...] = ()
    accesses: tuple[Access, ...] = ()
    mandates: tuple[Mandate, ...] = ()
    vendor: Other | None = None
    agb: str = ""
