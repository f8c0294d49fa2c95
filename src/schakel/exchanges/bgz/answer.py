"""What the EHR gets: per holder what came and why not more, and the resources with where they are from."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from schakel.fhir.json import Resource
from schakel.kernel.clock import instant, new_id, now
from schakel.kernel.values import URA_SYSTEM
from schakel.network import HolderResult, Reason

_OPERATION = "http://hl7.org/fhir/v3/DataOperation"
_ROLES = "http://hl7.org/fhir/provenance-participant-role"


def holder_report(result: HolderResult, found: Sequence[Reason]) -> dict[str, Any]:
    """What became of one holder, and why it was asked (`found`). `missing` are the data categories of the exchange for
    which the directory has no endpoint of it, so that they were not asked."""
    address = result.address
    return {
        "ura": result.ura,
        "name": address.name if address else "",
        "status": result.status,
        "reason": result.reason,
        "found": [reason.report() for reason in found],
        "directory": {
            "source": address.source,
            "as_of": instant(address.as_of) if address.as_of else None,
            "stale": address.stale,
        }
        if address
        else None,
        "missing": list(address.missing) if address else [],
        "requests": [request.report() for request in result.requests],
    }


def bundle(exchange: str, results: Sequence[HolderResult]) -> dict[str, Any]:
    """A collection of all that came, as it came: nothing is folded here, since references lead to each copy."""
    made: dict[str, Any] = {
        "resourceType": "Bundle",
        "id": exchange,
        "meta": {"lastUpdated": instant(now())},
        "type": "collection",
    }
    if found := [entry for result in results for entry in entries(result)]:
        made["entry"] = found
    return made


def entries(result: HolderResult) -> Iterator[dict[str, Any]]:
    """The entries of one holder: its resources, then the Provenance that says where and when they came from."""
    for url, resource in result.resources.items():
        yield {"fullUrl": url, "resource": resource}
    if result.resources:
        made = _provenance(result)
        yield {"fullUrl": f"urn:uuid:{made['id']}", "resource": made}


def _provenance(result: HolderResult) -> Mapping[str, Any]:
    """Where everything of one holder came from (Provenance STU3)."""
    holder: Resource = {"identifier": {"system": URA_SYSTEM, "value": result.ura}}
    if result.address is not None:
        holder["display"] = result.address.name
    custodian = {"system": _ROLES, "code": "custodian", "display": "Custodian"}
    return {
        "resourceType": "Provenance",
        "id": new_id(),
        "target": [{"reference": url} for url in result.resources],
        "recorded": instant(now()),
        "activity": {"system": _OPERATION, "code": "CREATE", "display": "create"},
        "agent": [{"role": [{"coding": [custodian]}], "whoReference": holder}],
    }
