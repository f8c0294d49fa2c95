"""The paths of a FHIR door, written out from what its CapabilityStatement says.

Source: FHIR http.html, STU3 and R4. The type is a parameter with the types of the version; the parameters of a
search differ by type and stand in the CapabilityStatement, so here they are one open parameter.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import orjson

from schakel.fhir.definitions import Version, definitions
from schakel.http.openapi.parts import (
    FHIR_JSON,
    FHIR_XML,
    FORM,
    ID,
    OUTCOME_ANSWER,
    Json,
    body,
    fhir,
    parameter,
    ref,
    table,
)
from schakel.server import Exchanged, Offer, Possible, capabilities
from schakel.server.operations import OPERATIONS, Operation
from schakel.server.service import WriteRules

_NOTHING: Json = {"description": "It is so; there is nothing to say."}
_STARS: Json = {"type": "object", "additionalProperties": {"type": "string"}}

_FORMAT = [
    parameter("_format", "query", "json or xml, or their media types; wins over Accept."),
    parameter("_pretty", "query", "true: for people.", {"enum": ["true", "false"]}),
]
_SEARCH = [
    parameter("_count", "query", "Matches on a page.", {"type": "integer", "minimum": 0}),
    parameter("_sort", "query", "Parameters to sort by; - before one turns its order."),
    parameter("_include", "query", "Type:parameter of resources to add that a match refers to."),
    parameter("_revinclude", "query", "Type:parameter of resources to add that refer to a match."),
    parameter(
        "_summary",
        "query",
        "How much of each resource.",
        {"enum": ["true", "text", "data", "count", "false"]},
    ),
    parameter("_elements", "query", "The elements that are wanted."),
    parameter("_lastUpdated", "query", "When it was changed, with a prefix such as ge."),
    parameter("_id", "query", "Ids."),
    {
        **parameter("parameters", "query", "The search parameters of the type; see the CapabilityStatement."),
        "schema": _STARS,
        "style": "form",
        "explode": True,
    },
]
_HISTORY = [
    parameter("_count", "query", "Versions on a page.", {"type": "integer", "minimum": 0}),
    parameter(
        "_since", "query", "Changed at or after this moment.", {"type": "string", "format": "date-time"}
    ),
]
_RESOURCE = body(ref("Resource"), FHIR_JSON, FHIR_XML)
_PATCH = {
    "required": True,
    "content": {
        "application/json-patch+json": {
            "schema": {
                "type": "array",
                "items": table(
                    ("op", "path"),
                    op={"enum": ["add", "remove", "replace", "move", "copy", "test"]},
                    path={"type": "string", "pattern": "^(/[A-Za-z0-9]{1,20})*$"},
                    value={},
                    **{"from": {"type": "string"}},
                ),
            }
        },
        "application/merge-patch+json": {"schema": {"type": "object"}},
        FHIR_JSON: {"schema": {**ref("Resource"), "description": "Parameters, of FHIRPath Patch."}},
    },
}
_FOUND = {"200": fhir(ref("Bundle"), "The matches.")}
_ONE = {"200": fhir(ref("Resource"), "The resource.")}
_WRITTEN = {**_ONE, "201": fhir(ref("Resource"), "Created.")}
_VERSION_ID = parameter("vid", "path", "A version of the resource.")

_BY_TYPE: dict[str, list[tuple[str, str, Json]]] = {
    "search-type": [
        ("GET", "/{type}", {"summary": "Search", "parameters": _SEARCH, "responses": _FOUND}),
        (
            "POST",
            "/{type}/_search",
            {
                "summary": "Search with the parameters in a form",
                "requestBody": body(_STARS, FORM),
                "responses": _FOUND,
            },
        ),
    ],
    "create": [("POST", "/{type}", {"summary": "Create", "requestBody": _RESOURCE, "responses": _WRITTEN})],
    "read": [("GET", "/{type}/{id}", {"summary": "Read", "responses": _ONE})],
    "update": [
        ("PUT", "/{type}/{id}", {"summary": "Update", "requestBody": _RESOURCE, "responses": _WRITTEN})
    ],
    "patch": [("PATCH", "/{type}/{id}", {"summary": "Patch", "requestBody": _PATCH, "responses": _ONE})],
    "delete": [("DELETE", "/{type}/{id}", {"summary": "Delete", "responses": {}})],
    "vread": [("GET", "/{type}/{id}/_history/{vid}", {"summary": "Read a version", "responses": _ONE})],
    "history-instance": [
        ("GET", "/{type}/{id}/_history", {"summary": "History", "parameters": _HISTORY, "responses": _FOUND})
    ],
    "history-type": [
        (
            "GET",
            "/{type}/_history",
            {"summary": "History of a type", "parameters": _HISTORY, "responses": _FOUND},
        )
    ],
}

_IF_ALLOWED: dict[str, tuple[str, str, Json]] = {
    "conditionalUpdate": (
        "PUT",
        "Update what the search finds",
        {"requestBody": _RESOURCE, "responses": _WRITTEN},
    ),
    "conditionalDelete": (
        "DELETE",
        "Delete what the search finds",
        {"responses": {}},
    ),
}

_TRANSACTION: Json = {
    "summary": "Batch or transaction",
    "requestBody": body(ref("Bundle"), FHIR_JSON, FHIR_XML),
    "responses": {"200": fhir(ref("Bundle"), "What became of each entry.")},
}
_ON_SYSTEM: dict[str, list[tuple[str, str, Json]]] = {
    "batch": [("POST", "", {**_TRANSACTION, "summary": "Batch"})],
    "transaction": [("POST", "", _TRANSACTION)],
    "search-system": [
        ("GET", "", {"summary": "Search over types", "parameters": _SEARCH, "responses": _FOUND}),
        (
            "POST",
            "/_search",
            {"summary": "Search over types, by form", "requestBody": body(_STARS, FORM), "responses": _FOUND},
        ),
    ],
    "history-system": [
        (
            "GET",
            "/_history",
            {"summary": "History of everything", "parameters": _HISTORY, "responses": _FOUND},
        )
    ],
}


def paths(
    prefix: str,
    version: Version,
    guarded: tuple[Possible, ...] | Exchanged | Offer | None = None,
) -> Iterator[tuple[str, str, Json]]:
    """Method, path and operation of all that a FHIR door at `prefix` answers; `guarded` is what may be done there with
    each type, or what it gives and takes of a patient, or its offer, None for a door where everything is done."""
    offered = WriteRules() if guarded is None else guarded
    statement = orjson.loads(capabilities.statement(version, f"https://here{prefix}", offered))
    rest: dict[str, Any] = statement["rest"][0]
    resources: list[dict[str, Any]] = rest["resource"]
    known = sorted(one["type"] for one in resources)
    name = parameter("type", "path", f"A resource type of FHIR {version.upper()}.", {"enum": known})
    yield from _everywhere(prefix)
    on_system = {one["code"] for one in rest.get("interaction", [])}
    for code in sorted(on_system - {"batch"} if "transaction" in on_system else on_system):
        for method, path, operation in _ON_SYSTEM.get(code, ()):
            yield method, prefix + path, _completed(operation, [])
    codes: dict[str, list[str]] = {}
    for one in resources:
        for interaction in one.get("interaction", []):
            if "documentation" in interaction:
                continue  # It is done in a Bundle, and not by itself.
            codes.setdefault(interaction["code"], []).append(one["type"])
    for code, kinds in sorted(codes.items()):
        of = {**name, "schema": {"enum": kinds}}
        for method, path, operation in _BY_TYPE.get(code, ()):
            yield method, prefix + path, _completed(operation, _named(path, of))
    for flag, (method, summary, operation) in _IF_ALLOWED.items():
        if any(one.get(flag) not in (None, False, "not-supported") for one in resources):
            told = {"summary": summary, "parameters": _SEARCH[-1:], **operation}
            yield method, f"{prefix}/{{type}}", _completed(told, [name])
    if rest.get("compartment"):
        compartments = sorted(definitions(version).compartments)
        of = parameter("compartment", "path", "Whose resources.", {"enum": compartments})
        told = {"summary": "Search in a compartment", "parameters": _SEARCH, "responses": _FOUND}
        yield "GET", f"{prefix}/{{compartment}}/{{id}}/{{type}}", _completed(told, [of, ID, name])
    for called in OPERATIONS:
        if guarded is None or _opened(called, guarded):
            yield from _operation(prefix, version, called, name, judged=isinstance(guarded, tuple))


def _opened(operation: Operation, guarded: tuple[Possible, ...] | Exchanged | Offer) -> bool:
    """Whether a door that does not do everything has an operation."""
    if isinstance(guarded, Exchanged):
        return operation.run is None and bool(operation.types & guarded.gives)
    if isinstance(guarded, Offer):
        return False
    return any(operation.name in one.operations and one.type in operation.types for one in guarded)


def _everywhere(prefix: str) -> Iterator[tuple[str, str, Json]]:
    capability = {"200": fhir(ref("CapabilityStatement"), "What this door answers.")}
    told = {"summary": "CapabilityStatement", "responses": capability}
    yield "GET", f"{prefix}/metadata", _completed(told, [])


def _named(path: str, name: Json) -> list[Json]:
    """The parameters in a path below the base."""
    words = {"{type}": name, "{id}": ID, "{vid}": _VERSION_ID}
    return [words[part] for part in path.split("/") if part in words]


def _operation(
    prefix: str, version: Version, operation: Operation, name: Json, *, judged: bool
) -> Iterator[tuple[str, str, Json]]:
    """An operation wherever it stands: once for all types, or at the types that have it. A door that judges every
    request takes one that is no search on a resource alone, and without a body."""
    if version not in operation.versions:
        return
    told: Json = {
        "summary": f"${operation.name}",
        "parameters": _SEARCH[-1:],
        "responses": {"200": fhir(ref("Resource"), f"What ${operation.name} gives.")},
        "externalDocs": {"url": operation.definition},
    }
    levels = operation.levels & {"instance"} if judged and operation.run else operation.levels
    for level in sorted(levels):
        for kind in sorted(operation.types) or ["{type}"]:
            path = {"system": "", "type": f"/{kind}", "instance": f"/{kind}/{{id}}"}[level]
            for method in sorted(operation.methods):
                posted = (
                    {"requestBody": body(ref("Resource"), FHIR_JSON, FHIR_XML)}
                    if method == "POST" and not judged
                    else {}
                )
                at = f"{prefix}{path}/${operation.name}"
                yield method, at, _completed({**told, **posted}, _named(path, name))


def _completed(operation: Json, in_path: list[Json]) -> Json:
    """The operation with the parameters that all have, and what it answers when it refuses."""
    return {
        **operation,
        "parameters": [*in_path, *operation.get("parameters", []), *_FORMAT],
        "responses": {**operation["responses"], "204": _NOTHING, "304": _NOTHING, "default": OUTCOME_ANSWER},
    }
