"""Ids that are too long for FHIR, as the ministry's update client makes them: it writes an entry of a directory as
`{id of the directory}-{id of the entry}`, and two UUIDs make 73 characters of that, where FHIR has 64.

Such an id is kept as a shorter one that is made from it alone, so that every request which names it means the same
resource, whatever came before. Who wrote it gets back what it wrote: that client looks up an answer by the id in it,
and compares the rest, references included, with what it would write. Pure.

Source: FHIR datatypes.html (id); the recorded requests of the client of June 2026, 23 among them, which send the long
ids as they are. A published version of it makes hashes of them itself.
"""

from __future__ import annotations

import hashlib
import re
from collections.abc import Mapping
from functools import cache
from typing import Any

from schakel.fhir.definitions import definitions
from schakel.fhir.json import Resource
from schakel.fhir.search import encode, pairs_of, split
from schakel.generic.addressing.copying import TYPES
from schakel.generic.addressing.references import renamed
from schakel.kernel.outcomes import Invalid

WRITTEN_ID = "urn:schakel:written-id"
"""The system of the tag that says under which id a resource was written, when that was too long."""

_LONG = re.compile(r"[A-Za-z0-9\-.]{65,256}")
_NAMED = re.compile(rf"(/?[A-Z][A-Za-z]{{1,63}}/)({_LONG.pattern})(?=\Z|[/?])")
"""An address or reference, relative or what follows our own base, that names a resource by such an id. The address of
another server is left alone."""

_SHORT = re.compile(r"sha256\.[0-9a-f]{56}")
_NAMES = ("reference", "fullUrl", "url")


def short_id(long: str) -> str:
    """The id under which a resource is kept that was written as `long`: 63 characters, the same each time."""
    return f"sha256.{hashlib.sha256(long.encode()).hexdigest()[:56]}"


def short_ids(body: bytes) -> set[str]:
    """What looks like an id made by `short_id` in an answer."""
    return {found.group() for found in _SHORT.finditer(body.decode("utf-8", "replace"))} if body else set()


def in_address(address: str, base: str = "") -> str:
    """A relative address or reference, or one below `base`, with the short id in place of a long one."""
    if base and address.startswith(f"{base}/"):
        return f"{base}{in_address(address.removeprefix(base))}"
    found = _NAMED.match(address)
    return address if found is None else f"{found[1]}{short_id(found[2])}{address[found.end() :]}"


def in_query(query: str, base: str = "") -> str:
    """A query string or the form of a search with short ids in place of long ones, in the values of `_id` and of
    references: alone, in a list, at the end of a chain, with or without the type, or below `base`. All else stays as it
    is written."""
    return "&".join(_pair(one, base) for one in query.split("&"))


def in_url(url: str, base: str = "") -> str:
    """The address of a request, relative or below `base`, with short ids in its path and in its query."""
    path, mark, query = url.partition("?")
    return f"{in_address(path, base)}{mark}{in_query(query, base)}"


def long_in(address: str) -> str:
    """The long id that a relative address names; '' when it names none."""
    found = _NAMED.match(address)
    return "" if found is None else found[2]


def shortened(resource: Resource, base: str = "") -> Resource:
    """`resource` with short ids in place of long ones: its own, which its `meta.tag` tells from then on, those in its
    references, and of a Bundle that is sent to `base` also those of its entries and what they ask. The same object when
    it has none; nothing is changed in place, and what is not understood is left for who reads it to refuse."""
    entries = resource.get("entry")
    if resource.get("resourceType") == "Bundle" and isinstance(entries, list):
        turned = [_entry(one, base) for one in entries]
        same = all(new is old for new, old in zip(turned, entries, strict=True))
        return resource if same else {**resource, "entry": turned}
    linked: Resource = renamed(resource, in_address)
    long = linked.get("id")
    return _tagged(linked, long) if isinstance(long, str) and _LONG.fullmatch(long) else linked


def written_id(resource: Resource | None) -> str:
    """The long id under which a resource was written; '' when it was written under its own."""
    for tag in _tags(resource or {}):
        long = tag.get("code") if isinstance(tag, dict) and tag.get("system") == WRITTEN_ID else None
        if isinstance(long, str) and resource is not None and short_id(long) == resource.get("id"):
            return long
    return ""


def lengthened(value: Any, names: Mapping[str, str]) -> Any:
    """An answer with the long ids (`names`, by the short ones) where it names resources; `response` of an entry, which
    says where it is kept, is left, and so is the query of a link, which says how it was searched here."""
    if isinstance(value, list):
        return [lengthened(one, names) for one in value]
    if not isinstance(value, dict):
        return value
    return {name: _lengthened(name, member, names) for name, member in value.items()}


def _lengthened(name: str, member: Any, names: Mapping[str, str]) -> Any:
    if name == "response":
        return member
    if not isinstance(member, str):
        return lengthened(member, names)
    if name == "id":
        return names.get(member, member)
    if name in _NAMES:
        path, mark, query = member.partition("?")
        path = _SHORT.sub(lambda found: names.get(found.group(), found.group()), path)
        return f"{path}{mark}{query}"
    return member


def _pair(text: str, base: str) -> str:
    """One `name=value` of a query; what cannot be read is left for who reads the query to refuse."""
    try:
        pairs = pairs_of(text)
    except Invalid:
        return text
    short = tuple((name, _value(name, value, base)) for name, value in pairs)
    return text if short == pairs else encode(short)


def _value(name: str, value: str, base: str) -> str:
    """The value of a search parameter: an OR list, of ids or references when the parameter takes those."""
    asked = name.rpartition(".")[2].split(":")
    while asked[0] == "_has":  # _has:Type:reference:parameter
        asked = asked[3:] or [""]
    code, modifier = asked[0], ":".join(asked[1:])
    if code != "_id" and (code not in _references() or modifier == "identifier"):
        return value
    return ",".join(_one(part, base) for part in split(value, ","))


def _one(value: str, base: str) -> str:
    bare = value.strip()
    short = short_id(bare) if _LONG.fullmatch(bare) else in_address(bare, base)
    return value if short == bare else short


@cache
def _references() -> frozenset[str]:
    """The search parameters of what is in a directory that are references."""
    known = definitions("r4")
    return frozenset(
        code
        for kind in TYPES
        for code, one in known.search_parameters(kind).items()
        if one.type == "reference"
    )


def _entry(entry: Any, base: str) -> Any:
    if not isinstance(entry, dict):
        return entry
    changed = dict(entry)
    if isinstance(resource := entry.get("resource"), dict):
        changed["resource"] = shortened(resource)
    request = entry.get("request")
    url = request.get("url") if isinstance(request, dict) else None
    if isinstance(request, dict) and isinstance(url, str) and (short := in_url(url, base)) != url:
        changed["request"] = {**request, "url": short}
    same = all(changed[name] is value for name, value in entry.items())
    return entry if same else changed


def _tagged(resource: Resource, long: str) -> Resource:
    """The resource under its short id, with the tag that says the long one; a tag that was there, which another
    directory of this kind gave it, told of another id."""
    meta = resource.get("meta", {})
    if isinstance(meta, dict) and isinstance(tags := meta.get("tag", []), list):
        others = [one for one in tags if not (isinstance(one, dict) and one.get("system") == WRITTEN_ID)]
        meta = {**meta, "tag": [*others, {"system": WRITTEN_ID, "code": long}]}
    return {**resource, "id": short_id(long), "meta": meta}


def _tags(resource: Resource) -> list[Any]:
    meta = resource.get("meta")
    tags = meta.get("tag") if isinstance(meta, dict) else None
    return tags if isinstance(tags, list) else []
