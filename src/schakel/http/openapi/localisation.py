"""What goes in and out of the door for localisation, by path and method; from the code of each handler."""

from __future__ import annotations

from schakel.http.openapi.parts import FHIR_JSON, FHIR_XML, FORM, Json, body, fhir, parameter, ref, table

_DOOR = "/{organisation}/localisation/fhir/r4"
KNOOPPUNT = "/nvi"
"""Where the same door stands for an EHR that was made for a Nuts knooppunt."""

_FOUND = {
    "responses": {"200": fhir(ref("Bundle"), "A searchset of Lists, one for each record and category.")}
}
_PATIENT = "The patient, as system|BSN; this or the other one, once."
_SEARCH = {
    "patient:identifier": _PATIENT,
    "subject:identifier": _PATIENT,
    "code": "Categories of data; records whose category nobody tells are given too.",
    "source:identifier": "The software that registered.",
}
_ASKED = [parameter(name, "query", about) for name, about in _SEARCH.items()]
_GONE = {"204": {"description": "The index has it no more."}}
_TENANT = parameter(
    "X-Tenant-ID", "header", "The organisation, as http://fhir.nl/fhir/NamingSystem/ura|URA.", required=True
)


def _operations(door: str) -> dict[tuple[str, str], Json]:
    """Those of the door at this path."""
    base = f"{door}/List"
    return {
        ("POST", door): {
            "requestBody": body(ref("Bundle"), FHIR_JSON, FHIR_XML),
            "responses": {"200": fhir(ref("Bundle"), "What became of each entry.")},
        },
        ("GET", f"{door}/metadata"): {
            "responses": {"200": fhir(ref("CapabilityStatement"), "The CapabilityStatement.")}
        },
        ("GET", base): {"parameters": _ASKED, **_FOUND},
        ("POST", base): {
            "requestBody": body(ref("Resource"), FHIR_JSON, FHIR_XML),
            "responses": {
                "201": fhir(ref("Resource"), "Registered."),
                "200": fhir(ref("Resource"), "It was registered already."),
            },
        },
        ("DELETE", base): {"parameters": _ASKED, "responses": _GONE},
        ("POST", f"{base}/_search"): {
            "requestBody": body(table((), **{name: {"type": "string"} for name in _SEARCH}), FORM),
            **_FOUND,
        },
        ("GET", f"{base}/{{id}}"): {"responses": {"200": fhir(ref("Resource"), "The record.")}},
        ("DELETE", f"{base}/{{id}}"): {"responses": _GONE},
    }


OPERATIONS: dict[tuple[str, str], Json] = {
    **_operations(_DOOR),
    **{
        key: {**operation, "parameters": [_TENANT, *operation.get("parameters", [])]}
        for key, operation in _operations(KNOOPPUNT).items()
    },
}
