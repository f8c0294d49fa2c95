"""What the directory says that it can: its CapabilityStatement.

Source: the CapabilityStatements of the guide for ITI-90-NL, ITI-91-NL and ITI-130-NL, and those of generation A.
"""

from __future__ import annotations

from typing import Any

from schakel.fhir import json
from schakel.kernel.clock import instant, now
from schakel_national.lrza.resources import HELD, INCLUDES, OTHERS, PARAMETERS, PROVENANCE, REVINCLUDES

_READS = ("read", "vread", "search-type", "history-type", "history-instance")


def statement(base: str, *, seven_types: bool, tokens: bool) -> bytes:
    """The CapabilityStatement of the directory at `base`."""
    types = (*HELD, *OTHERS) if seven_types else HELD
    interactions = ["transaction", "batch"] if seven_types else ["transaction"]
    rest: dict[str, Any] = {
        "mode": "server",
        "resource": [_resource(kind) for kind in types],
        "interaction": [{"code": code} for code in interactions],
    }
    if tokens:
        service = "http://terminology.hl7.org/CodeSystem/restful-security-service"
        rest["security"] = {"service": [{"coding": [{"system": service, "code": "OAuth"}]}]}
    return json.dump(
        {
            "resourceType": "CapabilityStatement",
            "status": "active",
            "date": instant(now()),
            "kind": "instance",
            "software": {"name": "schakel_national lrza"},
            "implementation": {"description": "Stand-in of the LRZa directory", "url": base},
            "fhirVersion": "4.0.1",
            "format": ["application/fhir+json"],
            "rest": [rest],
        }
    )


def _resource(kind: str) -> dict[str, Any]:
    writes = ("create",) if kind == PROVENANCE else () if kind in OTHERS else ("create", "update")
    said: dict[str, Any] = {
        "type": kind,
        "interaction": [{"code": code} for code in (*_READS, *writes)],
        "versioning": "versioned-update" if "update" in writes else "versioned",
        "readHistory": True,
        "updateCreate": False,
        "conditionalCreate": False,
        "conditionalUpdate": False,
        "searchParam": [
            {"name": "_id", "type": "token"},
            {"name": "_lastUpdated", "type": "date"},
            *({"name": code, "type": one.kind} for code, one in sorted(PARAMETERS[kind].items())),
        ],
    }
    for name, values in (
        ("searchInclude", sorted(INCLUDES.get(kind, ()))),
        ("searchRevInclude", sorted(REVINCLUDES.get(kind, ()))),
    ):
        if values:
            said[name] = values
    return said
