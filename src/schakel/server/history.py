"""Histories: what is asked, and the Bundle that answers.

Source: FHIR http.html, history (STU3, R4). Beside `_count`, `_since` and `_at` of these versions, `_sort` takes
`_lastUpdated` (oldest first) and `-_lastUpdated` (newest first, as without it), as in R5.
"""

from __future__ import annotations

from datetime import datetime
from typing import Any

import orjson

from schakel.fhir.definitions import Version
from schakel.fhir.moments import interval
from schakel.fhir.search import Pairs, encode
from schakel.kernel.clock import instant
from schakel.kernel.outcomes import Invalid, NotSupported, naming
from schakel.server.answer import Answer
from schakel.sources import Change, Changes, HistoryQuery

_ORDERS = {"_lastUpdated": True, "-_lastUpdated": False, "none": False}


def history_query(kind: str, logical_id: str, pairs: Pairs) -> HistoryQuery:
    """The history of everything, of a type or of a resource that `pairs` ask.

    Raises `Invalid` and `NotSupported`, naming the parameter.
    """
    given = dict(pairs)
    if len(given) < len(pairs):
        raise Invalid("a parameter of a history may be given once")
    for name in given:
        if name not in ("_count", "_since", "_at", "_sort", "_page"):
            raise NotSupported(
                f"parameter {name[:60]!r} is not supported on a history",
                code="search-parameter-unknown",
                expression=name[:60],
            )
    count, order = given.get("_count"), given.get("_sort", "-_lastUpdated")
    if count is not None and not (count.isascii() and count.isdigit() and len(count) < 10):
        raise Invalid("_count must be a whole number", expression="_count")
    if order not in _ORDERS:
        raise Invalid(f"_sort of a history is one of {', '.join(_ORDERS)}", expression="_sort")
    at = _moments(given, "_at")
    since = _moments(given, "_since")
    return HistoryQuery(
        kind,
        logical_id,
        since=since[0] if since else None,
        at=at,
        count=None if count is None else int(count),
        oldest_first=_ORDERS[order],
        cursor=given.get("_page", ""),
    )


def _moments(given: dict[str, str], name: str) -> tuple[datetime, datetime] | None:
    """First moment of a parameter and the first one after it; None without it. A `+` that was not encoded, and came
    as a space, is taken for what it was."""
    if name not in given:
        return None
    with naming(name):
        return interval(given[name].replace(" ", "+"))


def history_bundle(
    version: Version, base: str, query: HistoryQuery, changes: Changes, pairs: Pairs
) -> Answer:
    """The Bundle of a page; `pairs` are the parameters it was asked with."""
    path = "/".join(part for part in (base, query.type, query.id, "_history") if part)
    asked = tuple(pair for pair in pairs if pair[0] != "_page")
    links = [{"relation": "self", "url": _address(path, pairs)}]
    if changes.next_page:
        links.append({"relation": "next", "url": _address(path, (*asked, ("_page", changes.next_page)))})
    bundle: dict[str, Any] = {
        "resourceType": "Bundle",
        "meta": {"lastUpdated": instant(changes.settled)},
        "type": "history",
    }
    if changes.total is not None:
        bundle["total"] = changes.total
    bundle["link"] = links
    if changes.changes:
        bundle["entry"] = [_entry(version, base, change) for change in changes.changes]
    return Answer(200, orjson.dumps(bundle))


def _address(path: str, pairs: Pairs) -> str:
    return f"{path}?{encode(pairs)}" if pairs else path


def _entry(version: Version, base: str, change: Change) -> dict[str, Any]:
    """One version. STU3 has no response in a history (bdl-4), no PATCH among its verbs, and wants each `fullUrl` once
    for what has no version in it (bdl-7)."""
    stored = change.stored
    method = "PUT" if change.method == "PATCH" and version == "stu3" else change.method
    url = stored.type if method == "POST" else f"{stored.type}/{stored.id}"
    entry: dict[str, Any] = {}
    if version == "r4" or not stored.deleted:
        entry["fullUrl"] = f"{base}/{stored.type}/{stored.id}"
    if not stored.deleted:
        entry["resource"] = orjson.Fragment(stored.body)
    entry["request"] = {"method": method, "url": url}
    if version == "r4":
        entry["response"] = {
            "status": "204" if stored.deleted else "201" if change.created else "200",
            "etag": f'W/"{stored.version}"',
            "lastModified": instant(stored.updated),
        }
    return entry
