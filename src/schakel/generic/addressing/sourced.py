"""Resources that are named by where they are from: a transaction whose entries and references say `Type?_source=URL`,
read as one that names them by an id made of that address.

A Nuts knooppunt writes so into its query directory: it leaves the ids to the server, and puts the address at which it
read a resource into `meta.source`. One address is one resource, so that the same change written again changes nothing,
and a reference may be there before what it refers to. Source: FHIR http.html (conditional update and delete),
bundle.html (conditional references); the update components of nuts-knooppunt of June 2026.
"""

from __future__ import annotations

import re
from typing import Any
from urllib.parse import unquote_plus
from uuid import NAMESPACE_URL, uuid5

from schakel.fhir.json import Resource
from schakel.generic.addressing.references import renamed

_SOURCED = re.compile(r"/?([A-Z][A-Za-z]{1,63})\?_source=([^&]+)")
_METHODS = ("PUT", "DELETE")


def source_id(kind: str, source: str) -> str:
    """The id here of the resource of this type that was read at `source`."""
    return str(uuid5(NAMESPACE_URL, f"_source|{kind}|{source}"))


def by_id(bundle: Resource) -> Resource:
    """`bundle` with ids in place of sources; the same object when it names none. Nothing is changed in place.

    What is not understood is left as it stands, for who reads the Bundle to refuse.
    """
    entries = bundle.get("entry")
    if not isinstance(entries, list):
        return bundle
    turned = [_entry(one) for one in entries]
    same = all(new is old for new, old in zip(turned, entries, strict=True))
    return bundle if same else {**bundle, "entry": turned}


def _entry(entry: Any) -> Any:
    if not isinstance(entry, dict):
        return entry
    resource, request = entry.get("resource"), entry.get("request")
    changed = dict(entry)
    if isinstance(resource, dict):
        changed["resource"] = resource = _linked(resource)
    if isinstance(request, dict) and request.get("method") in _METHODS:
        url = request.get("url")
        if isinstance(url, str) and (named := _named(url)):
            changed["request"] = {**request, "url": named}
            if isinstance(resource, dict) and "id" not in resource:
                changed["resource"] = {**resource, "id": named.partition("/")[2]}
    same = changed.keys() == entry.keys() and all(value is entry[name] for name, value in changed.items())
    return entry if same else changed


def _linked(value: Any) -> Any:
    """`value` with references by source turned into references by id."""
    return renamed(value, lambda reference: _named(reference) or reference)


def _named(url: str) -> str:
    """`Type/id` for `Type?_source=...`; '' for anything else."""
    if (found := _SOURCED.fullmatch(url)) is None:
        return ""
    return f"{found[1]}/{source_id(found[1], unquote_plus(found[2]))}"
