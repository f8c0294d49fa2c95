"""What goes in and out of the door for localisation, by path and method; from the code of each handler."""

from __future__ import annotations

from schakel.http.openapi.parts import FHIR_JSON, FHIR_XML, FORM, Json, body, fhir, parameter, ref, table

_DOOR = "/{organisation}/localisation/fhir/r4"
_BASE = f"{_DOOR}/List"
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

OPERATIONS: dict[tuple[str, str], Json] = {
    ("GET", f"{_DOOR}/metadata"): {
        "responses": {"200": fhir(ref("CapabilityStatement"), "The CapabilityStatement.")}
    },
    ("GET", _BASE): {
        "parameters": [parameter(name, "query", about) for name, about in _SEARCH.items()],
        **_FOUND,
    },
    ("POST", _BASE): {
        "requestBody": body(ref("Resource"), FHIR_JSON, FHIR_XML),
        "responses": {
            "201": fhir(ref("Resource"), "Registered."),
            "200": fhir(ref("Resource"), "It was registered already."),
        },
    },
    ("POST", f"{_BASE}/_search"): {
        "requestBody": body(table((), **{name: {"type": "string"} for name in _SEARCH}), FORM),
        **_FOUND,
    },
    ("GET", f"{_BASE}/{{id}}"): {"responses": {"200": fhir(ref("Resource"), "The record.")}},
    ("DELETE", f"{_BASE}/{{id}}"): {"responses": {"204": {"description": "The index has it no more."}}},
}
