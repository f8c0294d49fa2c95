"""Access in an emergency (break-glass), as it is asked at the guarded door.

The one who asks gives the reason in the header `X-Emergency-Reason`: plain text, or percent-encoded UTF-8. The header
asks; whether it may be is decided by the matrix (role, level of assurance, a bound token) and by the consent desk
(the holder's written policy, an objection). Without the header nobody gets access that way.
"""

from __future__ import annotations

from urllib.parse import quote

from schakel.kernel.given import one_line, percent_decoded
from schakel.kernel.outcomes import Invalid
from schakel.server import Request

HEADER = "X-Emergency-Reason"
LONGEST = 500


def reason_of(request: Request) -> str:
    """The reason that was given; '' without one. Raises `Invalid` for one that says nothing."""
    given = request.headers.get(HEADER.lower())
    if given is None:
        return ""
    return checked(percent_decoded(given), HEADER)


def checked(reason: str, name: str) -> str:
    """The reason as it is kept; `name` is where it stood. Raises `Invalid` for one that says nothing, is too long, or
    has what is no character."""
    if not (kept := one_line(reason, LONGEST)):
        raise _wrong(name)
    return kept


def asked(reason: str) -> dict[str, str]:
    """The headers by which access in an emergency is asked of a holder, for a reason that is `checked`; none for ''."""
    return {HEADER: quote(reason, safe=" ")} if reason else {}


def _wrong(name: str) -> Invalid:
    encoded = ", others than ASCII percent-encoded" if name == HEADER else ""
    return Invalid(
        f"{name} is the reason for access in an emergency: 1 to {LONGEST} printable characters{encoded}",
        code="emergency-reason",
        expression=name,
    )
