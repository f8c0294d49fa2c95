"""What tests of the FHIR API say and look at: small resources, transactions, refusals."""

from __future__ import annotations

from typing import Any

import httpx

JSON = "application/fhir+json"
XML = "application/fhir+xml"


def patient(logical_id: str, **members: Any) -> dict[str, Any]:
    return {"resourceType": "Patient", "id": logical_id, **members}


def refusal(answer: httpx.Response, status: int) -> str:
    """The text of the outcome, which has an error and stands in the FHIR format."""
    assert answer.status_code == status, answer.text
    assert answer.headers["content-type"].startswith(JSON)
    outcome = answer.json()
    assert outcome["resourceType"] == "OperationOutcome"
    assert {issue["severity"] for issue in outcome["issue"]} & {"error", "fatal"}
    return " ".join(str(issue) for issue in outcome["issue"])


def entry(method: str, url: str, resource: dict[str, Any] | None = None, **members: Any) -> dict[str, Any]:
    body = {} if resource is None else {"resource": resource}
    request = {"method": method, "url": url, **members.pop("request", {})}
    return {**members, **body, "request": request}


def transaction(*entries: dict[str, Any]) -> dict[str, Any]:
    return {"resourceType": "Bundle", "type": "transaction", "entry": list(entries)}
