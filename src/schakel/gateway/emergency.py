"""Access in an emergency (break-glass), as it is asked at the guarded door.

The one who asks gives the reason in the header `X-Emergency-Reason`: plain text, or percent-encoded UTF-8. The header
asks; whether it may be is decided by the matrix (role, level of assurance, a bound token) and by the consent desk
(the holder's written policy, an objection). Without the header nobody gets access that way.
"""

from __future__ import annotations

from urllib.parse import unquote

from schakel.kernel.outcomes import Invalid
from schakel.server import Request

HEADER = "X-Emergency-Reason"
LONGEST = 500


def reason_of(request: Request) -> str:
    """The reason that was given; '' without one. Raises `Invalid` for one that says nothing."""
    given = request.headers.get(HEADER.lower())
    if given is None:
        return ""
    try:
        reason = unquote(given, errors="strict").strip()
    except UnicodeDecodeError:
        raise _wrong() from None
    if not reason or len(reason) > LONGEST or not reason.isprintable():
        raise _wrong()
    return reason


def _wrong() -> Invalid:
    return Invalid(
        f"{HEADER} is the reason for access in an emergency: 1 to {LONGEST} printable characters, others than ASCII "
        "percent-encoded",
        code="emergency-reason",
        expression=HEADER,
    )
