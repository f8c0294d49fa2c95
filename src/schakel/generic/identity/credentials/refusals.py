"""Why a presentation is not taken: `Refused` when something in it is wrong, `NotChecked` when we could not look.

At the token endpoint the first is `invalid_grant` (RFC 6749, section 5.2), the second 503: to try again may help.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

from schakel.generic.identity.errors import InvalidGrantError, NotCheckedError


class Refused(InvalidGrantError):
    """Something that was presented is missing, wrong or not trusted; `message` says what and where."""


class NotChecked(NotCheckedError):
    """Something that must be looked up elsewhere could not be; it says nothing of what was presented."""


@contextmanager
def inside(what: str, where: str) -> Iterator[None]:
    """Says of a refusal in the block that it is about `what` (for people), which stands at `where` (a path)."""
    try:
        yield
    except (Refused, NotChecked) as error:
        expression = ".".join(filter(None, (where, error.expression)))
        raise type(error)(f"{what}: {error.message}", code=error.kind, expression=expression) from error


def shown(value: object, most: int = 120) -> str:
    """`value` as it may stand in a sentence: short, and never more than one line."""
    text = value if isinstance(value, str) else type(value).__name__
    return repr(text if len(text) <= most else text[:most] + "...")
