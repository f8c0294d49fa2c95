"""The one family of errors.

    Outcome
    ├── Invalid            400  the request cannot be understood or breaks a rule
    │   └── Unprocessable  422  understood, but the content breaks a rule of the resource
    ├── Unauthenticated    401  who is calling is not known
    ├── Forbidden          403  known, and refused
    ├── NotFound           404
    ├── NotAllowed         405  the method does not exist here
    ├── NotAcceptable      406  no representation the caller takes
    ├── Conflict           409
    ├── Gone               410
    ├── PreconditionFailed 412
    ├── TooLarge           413
    ├── UnsupportedMedia   415
    ├── NotSupported       400  a part of FHIR that this server does not have; no 5xx, the caller can mend it
    ├── TooMany            429  more requests in a while than a limit allows
    ├── TooCostly          400  larger or longer than a limit allows
    ├── Busy               503  try again
    ├── Upstream           502  another party failed
    └── Fault              500  our own mistake

`message` is for the caller: what, where, why and what to do, without personal data of others. `cause` is for
the technical log only. `expression` names the element or parameter. `code` is a stable word of our own.
Status and FHIR issue code stand on the class, so the mapping exists once.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from typing import ClassVar


@dataclass(frozen=True, slots=True)
class Issue:
    """One finding: `severity` is error or warning, `issue` a FHIR issue type, `expression` a FHIRPath."""

    severity: str
    issue: str
    message: str
    expression: str = ""


class Outcome(Exception):
    """Why a request has no ordinary answer. `place` is set where it is about one of several changes (see `at`)."""

    status: ClassVar[int] = 500
    issue: ClassVar[str] = "exception"
    code: ClassVar[str] = "fault"

    def __init__(
        self,
        message: str,
        *,
        code: str | None = None,
        issue: str | None = None,
        expression: str = "",
        cause: str = "",
        issues: Sequence[Issue] = (),
        headers: dict[str, str] | None = None,
    ) -> None:
        super().__init__(message)
        self.message = message
        self.kind = code or type(self).code
        self.expression = expression
        self.cause = cause
        self.issues = tuple(issues) or (Issue("error", issue or type(self).issue, message, expression),)
        self.headers = headers or {}
        self.place: int | None = None


class Invalid(Outcome):
    status, issue, code = 400, "invalid", "invalid"


class Unprocessable(Invalid):
    status, issue, code = 422, "structure", "unprocessable"


class Unauthenticated(Outcome):
    status, issue, code = 401, "login", "unauthenticated"


class Forbidden(Outcome):
    status, issue, code = 403, "forbidden", "forbidden"


class NotFound(Outcome):
    status, issue, code = 404, "not-found", "not-found"


class NotAllowed(Outcome):
    status, issue, code = 405, "not-supported", "method-not-allowed"


class NotAcceptable(Outcome):
    status, issue, code = 406, "not-supported", "not-acceptable"


class Conflict(Outcome):
    status, issue, code = 409, "conflict", "conflict"


class Gone(Outcome):
    status, issue, code = 410, "deleted", "gone"


class PreconditionFailed(Outcome):
    status, issue, code = 412, "conflict", "precondition-failed"


class TooLarge(Outcome):
    status, issue, code = 413, "too-long", "too-large"


class UnsupportedMedia(Outcome):
    status, issue, code = 415, "not-supported", "unsupported-media-type"


class NotSupported(Outcome):
    status, issue, code = 400, "not-supported", "not-supported"


class TooCostly(Outcome):
    status, issue, code = 400, "too-costly", "too-costly"


class TooMany(Outcome):
    status, issue, code = 429, "throttled", "rate-limit"


class Busy(Outcome):
    status, issue, code = 503, "transient", "busy"


class Upstream(Outcome):
    status, issue, code = 502, "transient", "upstream"


class Fault(Outcome):
    status, issue, code = 500, "exception", "fault"


@contextmanager
def naming(member: str) -> Iterator[None]:
    """Names `member` in an `Invalid` that says what is wrong but not where."""
    try:
        yield
    except Invalid as error:
        if error.expression:
            raise
        raise Invalid(f"{member}: {error.message}", code=error.kind, expression=member) from None


@contextmanager
def at(place: int) -> Iterator[None]:
    """Sets `place` in an outcome that has none."""
    try:
        yield
    except Outcome as outcome:
        if outcome.place is None:
            outcome.place = place
        raise
