"""A page with a resource that cannot be read, as far as it can: `salvage`.

What `schakel.fhir.json` refuses (a number that cannot be kept, half a character, a name that stands there twice,
endless depth) becomes a value that no FHIR element has, so that the resource in which it stands is refused when it is
checked, and no other. A page of which anything else cannot be read is none: it may be what follows that is lost.
"""

from __future__ import annotations

import json
from typing import Any

from schakel.fhir.json import MAX_DEPTH, Resource, number

_NOTHING = [None]
"""What no element may be: a list without values."""


def salvage(body: bytes) -> Resource | None:
    """The Bundle in `body`, with what cannot be read of its resources replaced; None when more than that is wrong."""
    try:
        read = json.loads(
            body.decode(),
            object_pairs_hook=_members,
            parse_float=_number,
            parse_int=_number,
            parse_constant=lambda _: _NOTHING,
        )
    except (ValueError, RecursionError):
        return None
    page = _kept(read, MAX_DEPTH)
    return page if isinstance(page, dict) and not _damaged(page) else None


def _damaged(value: Any) -> bool:
    """Whether something cannot be read outside of the resources in a page."""
    if isinstance(value, dict):
        return any(_damaged(one) for name, one in value.items() if name != "resource")
    return isinstance(value, list) and (value == _NOTHING or any(_damaged(one) for one in value))


def _members(pairs: list[tuple[str, Any]]) -> Any:
    members = dict(pairs)
    return members if len(members) == len(pairs) else _NOTHING


def _number(text: str) -> Any:
    try:
        return number(text)
    except ValueError:
        return _NOTHING


def _kept(value: Any, levels: int) -> Any:
    if isinstance(value, str):
        return value if value.isascii() or _whole(value) else _NOTHING
    if not isinstance(value, dict | list):
        return value
    if not levels:
        return _NOTHING
    if isinstance(value, list):
        return [_kept(one, levels - 1) for one in value]
    if not all(map(_whole, value)):
        return _NOTHING
    return {name: _kept(one, levels - 1) for name, one in value.items()}


def _whole(text: str) -> bool:
    """Whether it has no half characters (lone surrogates)."""
    try:
        text.encode()
    except UnicodeEncodeError:
        return False
    return True
