"""Organisations with an endpoint for the BgZ each, as the central directory has them."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import orjson

from schakel.generic.addressing.exchanges import CAPABILITIES
from schakel.kernel.values import URA_SYSTEM

PAYLOAD = "http://nictiz.nl/fhir/CapabilityStatement/bgz2017-servercapabilities"
_CUSTODIAN = "http://terminology.hl7.org/CodeSystem/provenance-participant-type"
_ASSIGNER = {
    "identifier": {
        "system": "http://fhir.nl/fhir/NamingSystem/kvk",
        "value": "50000535",
        "type": {"coding": [{"system": _CUSTODIAN, "code": "custodian"}]},
    }
}


def ura(number: int) -> str:
    """The URA of an organisation."""
    return f"{number:08}"


def _identifier(kind: str, number: int) -> dict[str, Any]:
    system = f"https://lrza.example/ids/{kind}"
    return {"use": "official", "system": system, "value": f"{kind}-{number}", "assigner": _ASSIGNER}


def organisation(number: int, version: int = 1) -> dict[str, Any]:
    """An organisation with all that the profile asks for."""
    code = {
        "system": "http://nictiz.nl/fhir/NamingSystem/organization-type",
        "code": "V6",
        "display": "Ziekenhuis",
    }
    return {
        "resourceType": "Organization",
        "id": f"o{number}",
        "identifier": [_identifier("organization", number), {"system": URA_SYSTEM, "value": ura(number)}],
        "active": True,
        "type": [{"coding": [code]}],
        "name": f"Zorginstelling {number}, versie {version}",
        "endpoint": [{"reference": f"Endpoint/e{number}"}],
    }


def endpoint(number: int, version: int = 1) -> dict[str, Any]:
    """The endpoint of an organisation for the BgZ."""
    system = "http://terminology.hl7.org/CodeSystem/endpoint-connection-type"
    return {
        "resourceType": "Endpoint",
        "id": f"e{number}",
        "identifier": [_identifier("endpoint", number)],
        "status": "active",
        "connectionType": {"system": system, "code": "hl7-fhir-rest"},
        "managingOrganization": {"reference": f"Organization/o{number}"},
        "payloadType": [{"coding": [{"system": CAPABILITIES, "code": PAYLOAD}]}],
        "payloadMimeType": ["application/fhir+json; fhirVersion=3.0"],
        "address": f"https://fhir.example/{number}/v{version}",
    }


def write(path: Path, organisations: int) -> None:
    """Writes so many with their endpoints, one resource a line."""
    with path.open("wb") as file:
        for number in range(1, organisations + 1):
            file.write(orjson.dumps(organisation(number)) + b"\n" + orjson.dumps(endpoint(number)) + b"\n")
