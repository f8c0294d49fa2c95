"""Who is at the keyboard of our own EHR, as it tells with a request at the internal door.

`X-User-ID` is the identifier of that person in the organisation, `X-User-Name` their name; plain text, or
percent-encoded UTF-8. The organisation answers for both: the door proves the organisation alone. What it does for
itself, such as reading the log, is written down with the person who is told (NEN 7513: user).
"""

from __future__ import annotations

from contextvars import ContextVar

from starlette.requests import Request

from schakel.generic.logging.events import LoggedPerson
from schakel.kernel.given import one_line, percent_decoded
from schakel.kernel.outcomes import Invalid

ID, NAME = "X-User-ID", "X-User-Name"
LONGEST = 200

_TOLD: ContextVar[LoggedPerson | None] = ContextVar("at_keyboard", default=None)


def at_keyboard() -> LoggedPerson | None:
    """The person who was told with the request that is being answered; None when none was."""
    return _TOLD.get()


def remember(request: Request) -> None:
    """Keeps who is told with `request`, which came from one of our own. Raises `Invalid` naming the header."""
    number, name = _text(request, ID), _text(request, NAME)
    if name and not number:
        raise Invalid(f"{NAME} is of the person in {ID}, which is missing", code="user-header", expression=ID)
    _TOLD.set(LoggedPerson(number, name) if number else None)


def _text(request: Request, header: str) -> str:
    given = request.headers.get(header)
    if given is None:
        return ""
    text = one_line(percent_decoded(given), LONGEST)
    if not text:
        raise Invalid(
            f"{header} is 1 to {LONGEST} printable characters, others than ASCII percent-encoded",
            code="user-header",
            expression=header,
        )
    return text
