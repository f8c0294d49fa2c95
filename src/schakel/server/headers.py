"""The headers that change what an interaction does.

Source: FHIR http.html, "conditional read", "version aware updates", "Prefer"; RFC 9110 section 13; RFC 7240.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from datetime import UTC, datetime
from email.utils import parsedate_to_datetime
from typing import get_args

from schakel.fhir.search import Handling
from schakel.kernel.outcomes import Invalid, PreconditionFailed
from schakel.server.model import Return

_TAG = r'(?:W/)?"([^"]*)"'
_BARE = r"[0-9A-Za-z.\-]{1,64}"


def if_match(headers: Mapping[str, str]) -> int | None:
    """The version in `If-Match`. Raises `Invalid` for anything but one (weak) ETag, and `PreconditionFailed` for one
    that is not ours: whatever is here, it is not that version."""
    value = headers.get("if-match")
    if value is None:
        return None
    match = re.fullmatch(rf"\s*{_TAG}\s*", value)
    if match is None:
        raise Invalid('If-Match must be one version, as in W/"3"', expression="If-Match")
    if not re.fullmatch(r"[1-9][0-9]{0,8}", match[1]):
        raise PreconditionFailed("If-Match names a version that is not here", expression="If-Match")
    return int(match[1])


def if_absent(headers: Mapping[str, str]) -> bool:
    """Whether a write asks that nothing be there (`If-None-Match: *`). Raises `Invalid` for anything else in it."""
    value = headers.get("if-none-match")
    if value is None:
        return False
    if value.strip() != "*":
        raise Invalid("on a write, If-None-Match is *: nothing may be there yet", expression="If-None-Match")
    return True


def if_none_match(headers: Mapping[str, str]) -> frozenset[str]:
    """The versions that the reader has; `*` for any. Raises `Invalid` for what is no list of ETags.

    One `meta.versionId` without quotes is no ETag, but what some clients send; it can only be meant so.
    """
    value = headers.get("if-none-match")
    if value is None:
        return frozenset()
    if value.strip() == "*" or re.fullmatch(_BARE, value.strip()):
        return frozenset([value.strip()])
    if not re.fullmatch(rf"\s*{_TAG}\s*(?:,\s*{_TAG}\s*)*", value):
        raise Invalid('If-None-Match must be a list of versions, as in W/"3"', expression="If-None-Match")
    return frozenset(re.findall(_TAG, value))


def if_modified_since(headers: Mapping[str, str]) -> datetime | None:
    """The moment in `If-Modified-Since`; None when it is no HTTP date, which is then to be ignored, or when
    `If-None-Match` stands beside it, which then decides (RFC 9110, section 13.1.3)."""
    value = headers.get("if-modified-since")
    if value is None or "if-none-match" in headers:
        return None
    try:
        moment = parsedate_to_datetime(value)
    except ValueError:
        return None
    return moment.replace(tzinfo=UTC) if moment.tzinfo is None else moment


def _preference(headers: Mapping[str, str], name: str) -> str:
    for part in re.split(r"[,;]", headers.get("prefer", "")):
        key, _, value = part.partition("=")
        if key.strip().lower() == name:
            return value.strip().strip('"')
    return ""


def wanted_return(headers: Mapping[str, str]) -> Return:
    """`Prefer: return`; another value is none (RFC 7240, section 2)."""
    value = _preference(headers, "return").lower()
    known: tuple[Return, ...] = get_args(Return)
    return next((word for word in known if word.lower() == value), "")


def handling(headers: Mapping[str, str]) -> Handling:
    """`Prefer: handling`: whether unknown search parameters may be left out. Strict, unless said else."""
    return "lenient" if _preference(headers, "handling").lower() == "lenient" else "strict"
