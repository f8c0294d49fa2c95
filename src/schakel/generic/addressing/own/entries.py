"""An organisation's own entries as FHIR R4 resources: `entries`.

Source: the ministry's guide on generic functions, profiles of the care services: every resource has the identifier that
its custodian assigned (use official, assigner with the custodian's URA); a department has no URA and hangs under what
has one; an Endpoint names who operates it, an Organization or HealthcareService the endpoints it uses.

Ids are UUIDs, made from the URA, the type and the key of a part: the same whenever they are made, and no two types
share one, which clients that keep resources by id alone rest on. In a root the organisation itself has a shorter one
(`serving.root`).
"""

from __future__ import annotations

import uuid
from collections.abc import Iterable, Mapping
from typing import Any

from schakel.fhir.json import Resource
from schakel.generic.addressing.own import codes
from schakel.generic.addressing.own.model import (
    Access,
    Code,
    Mandate,
    Other,
    OwnOrganisation,
    Place,
    Service,
    Unit,
)

Entries = Mapping[tuple[str, str], Resource]
"""Resources by type and id."""

TYPES = ("Organization", "Endpoint", "Location", "HealthcareService", "OrganizationAffiliation")
"""The types of own entries; what refers comes after what it refers to, as far as that goes."""

WHOLE = ""
"""The key of the organisation itself."""

_SPACE = uuid.uuid5(uuid.NAMESPACE_OID, "2.16.528.1.1007.3.3")
_ENDED: Mapping[str, tuple[str, object]] = {
    "Organization": ("active", False),
    "HealthcareService": ("active", False),
    "OrganizationAffiliation": ("active", False),
    "Location": ("status", "inactive"),
    "Endpoint": ("status", "off"),
}


def entry_id(ura: str, kind: str, key: str) -> str:
    """The id of the entry of this type for the part with this key."""
    return str(uuid.uuid5(_SPACE, f"{ura}/{kind}/{key}"))


def ended(resource: Resource) -> Resource:
    """The entry of something that is no more: entries are never deleted (ITI-130-NL)."""
    name, value = _ENDED[resource["resourceType"]]
    return {**resource, name: value}


def entries(own: OwnOrganisation, whole_id: str = "") -> Entries:
    """All entries of an organisation; `whole_id` is the id of the organisation itself, when it has one of its own. The
    settings have seen to it that each key which is named is there."""
    made = _Making(own, whole_id)
    found = [
        made.whole(),
        *(made.unit(unit) for unit in own.units),
        *(made.access(access) for access in own.accesses),
        *(made.place(place) for place in own.places),
        *(made.service(service) for service in own.services),
        *(made.mandate(mandate) for mandate in own.mandates),
    ]
    return {(one["resourceType"], one["id"]): one for one in found}


class _Making:
    """The entries of one organisation."""

    def __init__(self, own: OwnOrganisation, whole_id: str) -> None:
        self._own = own
        self._whole_id = whole_id

    def whole(self) -> Resource:
        own = self._own
        numbers = [{"system": codes.URA, "value": own.ura}]
        if own.agb:
            numbers.append({"system": codes.AGB, "value": own.agb})
        return _filled(
            self._start("Organization", WHOLE, numbers),
            active=True,
            type=[_concept(one) for one in own.types],
            name=own.name,
            endpoint=self._used_by(WHOLE),
        )

    def unit(self, unit: Unit) -> Resource:
        return _filled(
            self._start("Organization", f"unit/{unit.key}"),
            active=True,
            type=[_concept(one) for one in unit.types],
            name=unit.name,
            partOf=self._unit(unit.within),
            endpoint=self._used_by(unit.key),
        )

    def access(self, access: Access) -> Resource:
        return _filled(
            self._start("Endpoint", access.key),
            status="active",
            connectionType=_coding(access.connection),
            name=access.name,
            managingOrganization=self._operator(access.unit),
            period=_filled({}, start=access.start, end=access.end),
            payloadType=[_concept(one) for one in access.payloads],
            payloadMimeType=list(access.media),
            address=access.address,
        )

    def place(self, place: Place) -> Resource:
        number = (
            [{"system": codes.ESTABLISHMENT, "value": place.establishment}] if place.establishment else []
        )
        return _filled(
            self._start("Location", place.key, number),
            status="active",
            name=place.name,
            mode="instance",
            type=[_concept(one) for one in place.types],
            address=_filled(
                {},
                line=list(place.lines),
                city=place.city,
                postalCode=place.postal_code,
                country=place.country if place.lines or place.city or place.postal_code else "",
            ),
            physicalType=_concept(codes.BUILDING),
            managingOrganization=self._unit(place.unit),
        )

    def service(self, service: Service) -> Resource:
        return _filled(
            self._start("HealthcareService", service.key),
            active=True,
            providedBy=self._unit(service.unit),
            type=[_concept(one) for one in service.types],
            location=[self._reference("Location", key) for key in service.places],
            name=service.name,
            endpoint=[self._reference("Endpoint", key) for key in service.accesses],
        )

    def mandate(self, mandate: Mandate) -> Resource:
        return _filled(
            self._start("OrganizationAffiliation", mandate.key),
            active=True,
            organization=self._unit(WHOLE),
            participatingOrganization=_logical(mandate.to),
            code=[_concept(one) for one in mandate.codes],
        )

    # -- parts -------------------------------------------------------------------------------------------------

    def _start(self, kind: str, key: str, numbers: Iterable[Mapping[str, str]] = ()) -> Resource:
        """Type, id and identifiers. The custodian's is the UUID, which means the same."""
        made = entry_id(self._own.ura, kind, key)
        custodian = {
            "type": {"coding": [{"system": codes.PARTICIPANT_TYPE, "code": "custodian"}]},
            "system": codes.URA,
            "value": self._own.ura,
        }
        assigned = {
            "use": "official",
            "system": "urn:ietf:rfc:3986",
            "value": f"urn:uuid:{made}",
            "assigner": {"identifier": custodian},
        }
        return {"resourceType": kind, "id": self._id(kind, key), "identifier": [assigned, *numbers]}

    def _id(self, kind: str, key: str) -> str:
        if self._whole_id and (kind, key) == ("Organization", WHOLE):
            return self._whole_id
        return entry_id(self._own.ura, kind, key)

    def _reference(self, kind: str, key: str) -> dict[str, str]:
        return {"reference": f"{kind}/{self._id(kind, key)}"}

    def _unit(self, key: str) -> dict[str, str]:
        """A reference to a department, or to the whole."""
        return self._reference("Organization", f"unit/{key}" if key else WHOLE)

    def _operator(self, unit: str) -> dict[str, Any]:
        """Who operates an address: the vendor, by its number (its own entry it keeps itself), or the organisation."""
        return _logical(self._own.vendor) if self._own.vendor else self._unit(unit)

    def _used_by(self, unit: str) -> list[dict[str, str]]:
        return [
            self._reference("Endpoint", one.key)
            for one in self._own.accesses
            if one.used and one.unit == unit
        ]


def _filled(first: Resource, /, **members: Any) -> Resource:
    """`first` with those members that say something."""
    return {**first, **{name: value for name, value in members.items() if value not in ("", [], {})}}


def _coding(code: Code) -> dict[str, str]:
    return _filled({}, system=code.system, code=code.code, display=code.display)


def _concept(code: Code) -> dict[str, Any]:
    return {"coding": [_coding(code)]}


def _logical(other: Other) -> dict[str, Any]:
    return {"identifier": {"system": other.system, "value": other.value}, "display": other.name}
