"""Parts of resources that R4 and zib 2020 write otherwise than STU3 does."""

from __future__ import annotations

from schakel.demo.patients.chart import Chart
from schakel.demo.patients.elements import (
    HL7,
    NICTIZ,
    Code,
    Json,
    Link,
    concept,
    extension,
    quantity,
    reference,
)
from schakel.demo.patients.formulary import UNIT
from schakel.demo.people import Address

TERMINOLOGY = "http://terminology.hl7.org/CodeSystem/"
_ADDRESS_USE = TERMINOLOGY + "v3-AddressUse"
_MOBILE = Code(_ADDRESS_USE, "MC", "Mobiel telefoonnummer")
_LANDLINE = Code("urn:oid:2.16.840.1.113883.2.4.3.11.60.40.4.22.1", "LL", "Vast telefoonnummer")
_NULL_FLAVOR = TERMINOLOGY + "v3-NullFlavor"


def specified(code: Code) -> Json:
    """The sibling of a primitive that carries the zib's own code for it (`ext-CodeSpecification`)."""
    return {"extension": [extension(NICTIZ + "ext-CodeSpecification", valueCodeableConcept=concept(code))]}


def other(text: str) -> Json:
    """A concept for which the list has no code: null flavor OTH with the meaning in `text`."""
    return {"coding": [{"system": _NULL_FLAVOR, "code": "OTH", "display": "overig"}], "text": text}


def typed(link: Link) -> Json:
    """A reference that names the type of its target."""
    return {**reference(link), "type": link.target.partition("/")[0]}


def identified(kind: str, identifier: Json, display: str) -> Json:
    """A reference to a resource of another organisation, by its identifier."""
    return {"type": kind, "identifier": identifier, "display": display}


def identifier(chart: Chart, kind: str, value: str) -> Json:
    """An identifier that the chart's holder gave."""
    return {"system": f"{chart.holder.site}/id/{kind}", "value": value}


def amount(value: str, unit: str) -> Json:
    """A quantity that counts in `unit`; pieces also in the G-Standaard (`pattern-GstdSimpleQuantity`)."""
    if unit == "stuk":
        pieces = quantity(value, unit, "245", UNIT)
        return {
            "extension": [extension(HL7 + "iso21090-PQ-translation", valueQuantity=pieces)],
            **quantity(value, unit, "1"),
        }
    return quantity(value, unit, "[iU]" if unit == "E" else f"{{{unit}}}")


def address(where: Address, *, work: bool = False) -> Json:
    """An address in the shape of nl-core-AddressInformation: a home address, or one of work."""
    kind = Code(_ADDRESS_USE, "WP", "Werkadres") if work else Code(_ADDRESS_USE, "HP", "Officieel adres")
    parts = (
        ("streetName", where.street),
        ("houseNumber", where.house_number),
        ("buildingNumberSuffix", where.suffix),
    )
    return {
        "extension": [
            extension(NICTIZ + "ext-AddressInformation.AddressType", valueCodeableConcept=concept(kind))
        ],
        "use": "work" if work else "home",
        "type": "physical" if work else "both",
        "line": [" ".join(value for _, value in parts if value)],
        "_line": [
            {"extension": [extension(f"{HL7}iso21090-ADXP-{part}", valueString=v) for part, v in parts if v]}
        ],
        "city": where.city,
        "postalCode": where.postal_code,
        "country": "NL",
        "_country": specified(Code("urn:iso:std:iso:3166", "NL", "Nederland")),
    }


def phone(number: str, use: str) -> Json:
    """A telephone number in the shape of nl-core-ContactInformation-TelephoneNumbers; 06 numbers are mobile."""
    kind = _MOBILE if number.startswith("06") else _LANDLINE
    return {"system": "phone", "_system": specified(kind), "value": number, "use": use}
