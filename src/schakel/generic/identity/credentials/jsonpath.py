"""The part of JSONPath (RFC 9535) that presentation definitions and submissions use: names, places and `[*]`.

    $.credentialSubject[0].san.otherName     $['type']     $.verifiableCredential[0]

Anything else (filters, slices, `..`) is refused when the path is read. A path has no variables and no functions, so
that looking up costs what there is to find.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from functools import lru_cache
from typing import Any

from schakel.kernel.outcomes import Invalid

MAX_CHARACTERS = 500
MAX_FOUND = 1_000
_STEP = re.compile(
    r"""\.(?P<name>[A-Za-z_@][A-Za-z0-9_@-]*)|\[(?P<place>0|[1-9][0-9]{0,5})\]|\[(?P<all>\*)\]"""
    r"""|\['(?P<single>[^'\\]+)'\]|\["(?P<double>[^"\\]+)"\]"""
)

Step = str | int | None
"""A name, a place, or None for all elements."""


@lru_cache(maxsize=1024)
def steps(path: str) -> tuple[Step, ...]:
    """The steps of `path` behind `$`. Raises `Invalid`."""
    if not path.startswith("$") or len(path) > MAX_CHARACTERS:
        raise _unsupported(path)
    found: list[Step] = []
    place = 1
    while place < len(path):
        match = _STEP.match(path, place)
        if match is None:
            raise _unsupported(path)
        if match["place"] is not None:
            found.append(int(match["place"]))
        elif match["all"]:
            found.append(None)
        else:
            found.append(match["name"] or match["single"] or match["double"])
        place = match.end()
    return tuple(found)


def values(document: object, path: str) -> list[Any]:
    """What stands at `path` in `document`, at most `MAX_FOUND` values. Raises `Invalid` for a path it cannot read."""
    found: list[Any] = [document]
    for step in steps(path):
        found = [value for one in found for value in _below(one, step)][:MAX_FOUND]
    return found


def _below(value: object, step: Step) -> Iterator[Any]:
    if isinstance(step, str):
        if isinstance(value, Mapping) and step in value:
            yield value[step]
    elif isinstance(value, list):
        if step is None:
            yield from value
        elif step < len(value):
            yield value[step]


def _unsupported(path: str) -> Invalid:
    return Invalid(
        f"the path {path[:80]!r} cannot be read: names, places and [*] behind $ are supported",
        code="path-unsupported",
    )
