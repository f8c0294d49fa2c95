"""What the NVI says no with, in its two forms: OperationOutcome on the FHIR routes, a bare JSON string on the others.

Source: the recordings of the real NVI. On the FHIR routes an OperationOutcome names its type in `resource_type`, but
with a validation error (422), and inside a Bundle, in `resourceType`.
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping
from typing import Any

from pydantic import ValidationError
from starlette.responses import Response

FHIR = "application/fhir+json"
PLAIN = "application/json"


class Broken(Exception):
    """The service cannot do its work: 500, without a reason."""


class Refused(Exception):
    """A request that is refused; `code` is that of the issue."""

    def __init__(self, status: int, code: str, text: str) -> None:
        super().__init__(text)
        self.status = status
        self.code = code
        self.text = text


class Unauthorised(Refused):
    """What the caller may not do."""

    def __init__(self, text: str) -> None:
        super().__init__(403, "security", text)


class Malformed(Exception):
    """A request of the wrong shape: 422. `errors` as pydantic has them, each `loc` from the body, path or query on."""

    def __init__(self, errors: Iterable[Mapping[str, Any]]) -> None:
        super().__init__()
        self.errors = [dict(error) for error in errors]

    @classmethod
    def of(cls, where: str, error: ValidationError) -> Malformed:
        """The errors of a model that was read from the `where` of a request."""
        told = error.errors(include_url=False, include_context=False)
        return cls({**one, "loc": (where, *one["loc"])} for one in told)

    def issues(self) -> list[dict[str, Any]]:
        """The same as issues of an OperationOutcome."""
        return [
            issue(
                "required" if one["type"] == "missing" else "invalid",
                f"{'.'.join(str(part) for part in one['loc'])} {one['msg']}",
            )
            for one in self.errors
        ]


def issue(code: str, text: str) -> dict[str, Any]:
    """An issue; an `informational` one is no error."""
    severity = "information" if code == "informational" else "error"
    return {"severity": severity, "code": code, "details": {"text": text}}


def outcome(*issues: dict[str, Any]) -> dict[str, Any]:
    """An OperationOutcome as FHIR spells it."""
    return {"resourceType": "OperationOutcome", "issue": list(issues)}


def answer(body: object, status: int = 200, kind: str = FHIR) -> Response:
    """The value as JSON."""
    return Response(json.dumps(body), status, media_type=kind)


def said(status: int, code: str, text: str) -> Response:
    """An OperationOutcome of one issue, with the member `resource_type` that the real one has."""
    return answer({"resource_type": "OperationOutcome", "issue": [issue(code, text)]}, status)
