"""The one mapping of outcomes to responses: OperationOutcome on FHIR paths, problem+json elsewhere.

The token endpoint maps its own errors (RFC 6749, section 5.2). What is not an `Outcome` is a fault of ours: the
caller gets a sentence and an id, the technical log the kind of error and where it was raised, nothing more.
"""

from __future__ import annotations

import traceback
from contextlib import suppress

import orjson
import structlog
from starlette.requests import Request
from starlette.responses import Response

from schakel.fhir.definitions import Version
from schakel.http.negotiation import Format, accepted, render, version_in, wanted
from schakel.kernel.clock import new_id
from schakel.kernel.outcomes import Fault, Outcome
from schakel.server.answer import refusal

_log = structlog.get_logger("schakel.http")


def as_outcome(error: Exception) -> Outcome:
    """The outcome of any error; an unexpected one is logged without its text."""
    if isinstance(error, Outcome):
        if error.status >= 500:
            _log.warning("outcome", code=error.kind, cause=error.cause)
        return error
    fault = new_id()
    frame = traceback.extract_tb(error.__traceback__)[-1]
    _log.error("fault", id=fault, kind=type(error).__name__, file=frame.filename, line=frame.lineno)
    return Fault(f"something went wrong here; it is in the log as {fault}")


def fhir_error(request: Request, error: Exception, version: Version | None = None) -> Response:
    """An OperationOutcome in the format the caller takes, of the FHIR version of the path if none is given."""
    version = version or version_in(request.scope["path"])
    form = Format()
    with suppress(Outcome):
        form = wanted(accepted(request), request.url.query, version)
    return render(refusal(as_outcome(error), version), form, version)


def refused(request: Request, error: Exception) -> Response:
    """What fits the path: an OperationOutcome below a FHIR base, a problem document elsewhere."""
    on_fhir = "fhir" in request.scope["path"].split("/")[2:5]
    return fhir_error(request, error) if on_fhir else problem(error)


def problem(error: Exception) -> Response:
    """A problem document (RFC 9457)."""
    outcome = as_outcome(error)
    body: dict[str, object] = {
        "type": "about:blank",
        "title": outcome.kind,
        "status": outcome.status,
        "detail": outcome.message,
        "code": outcome.kind,
    }
    if outcome.expression:
        body["expression"] = outcome.expression
    return Response(
        orjson.dumps(body),
        status_code=outcome.status,
        media_type="application/problem+json",
        headers=outcome.headers,
    )
