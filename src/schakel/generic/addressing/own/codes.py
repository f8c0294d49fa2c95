"""Systems and codes in an organisation's own entries; those by which an exchange is known are in `exchanges`.

Sources: HL7 terminology (R4), the ministry's guide on generic functions (care services, profiles of mid-2026), the Nuts
guide on generic functions (code system of data exchange capabilities).
"""

from __future__ import annotations

from schakel.generic.addressing import exchanges
from schakel.generic.addressing.own.model import Code
from schakel.kernel.values import URA_SYSTEM

URA = URA_SYSTEM
KVK = "http://fhir.nl/fhir/NamingSystem/kvk"
AGB = "http://fhir.nl/fhir/NamingSystem/agb-z"
ESTABLISHMENT = "http://fhir.nl/fhir/NamingSystem/kvk-vestigingsnummer"
ORGANISATION_TYPE = "http://nictiz.nl/fhir/NamingSystem/organization-type"
PARTICIPANT_TYPE = "http://terminology.hl7.org/CodeSystem/provenance-participant-type"
CONNECTION = exchanges.FHIR_REST[0]
MANDATES = "http://minvws.github.io/generiekefuncties-docs/CodeSystem/nl-gf-authorization-type-cs"

FHIR_REST = Code(*exchanges.FHIR_REST)
OAUTH_NUTS = Code(exchanges.AUTHORISATION_SERVER, "oauth-nuts")
NUTS_OAUTH = Code(exchanges.CAPABILITIES, "Nuts-OAuth")
DEPARTMENT = Code("http://terminology.hl7.org/CodeSystem/organization-type", "dept", "Hospital Department")
BUILDING = Code("http://terminology.hl7.org/CodeSystem/location-physical-type", "bu", "Building")

MEDIA = {
    "stu3": "application/fhir+json; fhirVersion=3.0",
    "r4": "application/fhir+json; fhirVersion=4.0",
}
"""`Endpoint.payloadMimeType` by FHIR version."""


def payloads(exchange: exchanges.Exchange) -> tuple[Code, ...]:
    """The payload types that an endpoint of this exchange has, in the code systems of both generations."""
    kinds = ((exchanges.CATEGORIES, code) for code in exchange.categories)
    return tuple(Code(system, code) for system, code in sorted({*exchange.payloads, *kinds}))
