"""The CapabilityStatement, generated from what the server answers.

Source: CapabilityStatement of STU3 and R4. Search parameters are those that `fhir.search` lets through; includes
are the reference parameters.
"""

from __future__ import annotations

from functools import cache
from typing import Any

import orjson

from schakel.fhir import definitions
from schakel.fhir.definitions import Version
from schakel.fhir.search import KINDS

_INTERACTIONS = ("read", "vread", "update", "delete", "create", "search-type")
_PUBLISHED = "2026-11-21"


def _resource(version: Version, kind: str, guarded: bool) -> dict[str, Any]:
    parameters = [
        p for p in definitions(version).search_parameters(kind).values() if p.type in KINDS and p.expression
    ]
    if guarded:
        return {"type": kind, "interaction": [{"code": "read"}, {"code": "search-type"}]}
    references = sorted(p.code for p in parameters if p.type == "reference")
    return {
        "type": kind,
        "interaction": [{"code": code} for code in _INTERACTIONS],
        "versioning": "versioned-update",
        "readHistory": True,
        "updateCreate": True,
        "conditionalCreate": False,
        "conditionalUpdate": False,
        "conditionalDelete": "not-supported",
        "referencePolicy": ["literal", "logical"],
        **({"searchInclude": [f"{kind}:{code}" for code in references]} if references else {}),
        "searchParam": [
            {"name": p.code, "definition": p.url, "type": p.type}
            for p in sorted(parameters, key=lambda p: p.code)
        ],
    }


@cache
def statement(version: Version, base: str, guarded: frozenset[str] | None = None) -> bytes:
    """The CapabilityStatement of the FHIR base `base`, as JSON; for the guarded door with its types alone, which
    are read and searched there."""
    table = definitions(version)
    last_n: dict[str, Any] = {"name": "lastn"}
    definition = "http://hl7.org/fhir/OperationDefinition/Observation-lastn"
    last_n["definition"] = {"reference": definition} if version == "stu3" else definition
    rest: dict[str, Any] = {
        "mode": "server",
        "resource": [
            _resource(version, kind, guarded is not None)
            for kind in sorted(table.resource_types if guarded is None else guarded)
        ],
    }
    if guarded is None:
        rest["interaction"] = [{"code": "transaction"}]
    body: dict[str, Any] = {
        "resourceType": "CapabilityStatement",
        "status": "active",
        "date": _PUBLISHED,
        "publisher": "Schakel",
        "kind": "instance",
        "software": {"name": "Schakel"},
        "implementation": {"description": "Schakel FHIR node", "url": base},
        "fhirVersion": table.release,
        "format": ["application/fhir+json", "application/fhir+xml"],
    }
    if version == "stu3":
        body["acceptUnknown"] = "no"
        rest["operation"] = [last_n]
    else:
        for entry in rest["resource"]:
            if entry["type"] == "Observation":
                entry["operation"] = [last_n]
    body["rest"] = [rest]
    return orjson.dumps(body)
