"""An own entry as it is sent to the central directory, where entries have other ids; and whether what is there is ours.

Pure. Contents are compared without what a server adds by itself: id, meta and narrative.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import orjson

from schakel.fhir.json import Resource, dump

Known = Mapping[str, str]
"""References there (`Type/id`) by references here."""

_SERVERS_OWN = frozenset({"id", "meta", "text"})
_THEIRS = frozenset({"name", "active"})
"""Of an organisation that the central directory had before us: it decides that it exists and how it is called."""


@dataclass(frozen=True, slots=True)
class Rendered:
    """An entry with the references that are known there. `missing` are those that it cannot do without, `later` those
    that were left out of a list for now (`Type/id` here)."""

    resource: Resource
    missing: tuple[str, ...] = ()
    later: tuple[str, ...] = ()


def rendered(entry: Resource, known: Known) -> Rendered:
    """The entry for the central directory, without id and meta."""
    out: Resource = {}
    missing: list[str] = []
    later: list[str] = []
    for name, value in entry.items():
        if name in _SERVERS_OWN:
            continue
        if isinstance(value, dict) and "reference" in value:
            if value["reference"] not in known:
                missing.append(value["reference"])
            else:
                out[name] = {**value, "reference": known[value["reference"]]}
        elif isinstance(value, list) and value and isinstance(value[0], dict) and "reference" in value[0]:
            later += [one["reference"] for one in value if one["reference"] not in known]
            kept = [
                {**one, "reference": known[one["reference"]]} for one in value if one["reference"] in known
            ]
            if kept:
                out[name] = kept
        else:
            out[name] = value
    return Rendered(out, tuple(missing), tuple(later))


def joined(there: Resource, ours: Resource, own: frozenset[str]) -> Resource:
    """`ours` put into an entry that the central directory had before: its name, its identifiers and what we say nothing
    of stay, and so do endpoints that are not among `own` (references there): others may have added them."""
    out = {name: value for name, value in there.items() if name not in _SERVERS_OWN}
    out |= {name: value for name, value in ours.items() if name not in _THEIRS or name not in there}
    numbers = list(there.get("identifier", ()))
    assigned = any("assigner" in one for one in numbers)
    have = {(one.get("system"), one.get("value")) for one in numbers}
    for one in ours.get("identifier", ()):
        if (one.get("system"), one.get("value")) not in have and not ("assigner" in one and assigned):
            numbers.append(one)
    out["identifier"] = numbers
    others = [one for one in there.get("endpoint", ()) if one.get("reference") not in own]
    endpoints = [*others, *ours.get("endpoint", ())]
    if endpoints:
        out["endpoint"] = endpoints
    else:
        out.pop("endpoint", None)
    return out


def written(resource: Resource) -> str:
    """The content of a resource in one way of writing; '' of none."""
    if not resource:
        return ""
    content = {name: value for name, value in resource.items() if name not in _SERVERS_OWN}
    return orjson.dumps(orjson.loads(dump(content)), option=orjson.OPT_SORT_KEYS).decode()


def covers(there: Resource, sent: str) -> bool:
    """Whether an entry is what was sent (as `written`), however much the server put beside it."""
    return bool(sent) and _within(orjson.loads(sent), orjson.loads(written(there) or "{}"))


def _within(less: Any, more: Any) -> bool:
    if isinstance(less, dict):
        return isinstance(more, dict) and all(
            name in more and _within(one, more[name]) for name, one in less.items()
        )
    if isinstance(less, list):
        return isinstance(more, list) and all(any(_within(one, other) for other in more) for one in less)
    return bool(less == more)
