"""References that are rewritten when a transaction is written.

Source: FHIR bundle.html, resolving references, and http.html, transaction (STU3, R4): what equals the `fullUrl` of an
entry, in a Reference, in a value of type uri, url, oid or uuid, in the address of an Attachment or in a link or image
of the narrative, becomes a reference to what was made of that entry. Canonical addresses are names, and stay.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from html import escape, unescape
from typing import Any

_CONDITIONAL = re.compile(r"[A-Z][A-Za-z]+\?.+")
_RESTFUL = re.compile(r"(https?://.+/)[A-Z][A-Za-z]+/[A-Za-z0-9\-.]{1,64}")
_VERSIONED = re.compile(r"(.+)/_history/[A-Za-z0-9\-.]{1,64}")
_LINK = re.compile(r"""(\s(?:href|src)\s*=\s*)(?:"([^"]*)"|'([^']*)')""")
_ADDRESSES = frozenset(
    f"{start}{kind}" for start in ("value", "defaultValue", "fixed") for kind in ("Uri", "Url", "Oid", "Uuid")
)

_NONE: Mapping[str, str] = {}
_ATTACHMENT = frozenset(
    {"id", "extension", "contentType", "language", "data", "url", "size", "hash", "title", "creation"}
)


def base_of(full_url: object) -> str:
    """The FHIR base, with its slash, below which the `fullUrl` of an entry lies; '' when it is no such address."""
    match = _RESTFUL.fullmatch(full_url) if isinstance(full_url, str) else None
    return match[1] if match else ""


def conditional_references(value: Any) -> set[str]:
    """The conditional references (`Patient?identifier=...`) in a resource."""
    found: set[str] = set()
    members = value
    if type(value) is dict:
        text = value.get("reference")
        if type(text) is str and "?" in text and _CONDITIONAL.fullmatch(text):
            found.add(text)
        members = value.values()
    for member in members:
        if type(member) is dict or type(member) is list:
            found |= conditional_references(member)
    return found


def linked(value: Any, ids: Mapping[str, str], base: str = "", versions: Mapping[str, str] = _NONE) -> Any:
    """`value` with every reference that is a key of `ids`, as it stands or below `base`, replaced; one to a version
    of it becomes one to the version in `versions`. What holds none is the same object; nothing is changed in place."""
    if type(value) is list:
        items = [linked(item, ids, base, versions) if type(item) in _CONTAINERS else item for item in value]
        return items if any(new is not old for new, old in zip(items, value, strict=True)) else value
    changed = None
    for name, member in value.items():
        kind = type(member)
        if kind is str:
            new = _text(name, member, ids, base, versions)
            if name == "url" and member in ids and value.keys() <= _ATTACHMENT:
                new = ids[member]
        elif kind in _CONTAINERS:
            new = linked(member, ids, base, versions)
        else:
            continue
        if new is not member:
            changed = dict(value) if changed is None else changed
            changed[name] = new
    return value if changed is None else changed


_CONTAINERS = (dict, list)


def _text(name: str, text: str, ids: Mapping[str, str], base: str, versions: Mapping[str, str]) -> str:
    if name == "reference":
        return _reference(text, ids, base, versions) or text
    if name in _ADDRESSES:
        return ids.get(text, text)
    if name == "div" and ("href" in text or "src" in text):
        return _LINK.sub(lambda match: _attribute(match, ids), text)
    return text


def _reference(text: str, ids: Mapping[str, str], base: str, versions: Mapping[str, str]) -> str:
    """What a reference becomes; empty when it stays. One that names a version goes on naming one (R4 http.html,
    transaction processing rules), even where the client chose that version freely."""
    if found := ids.get(text) or (base and ids.get(base + text)):
        return found
    version = _VERSIONED.fullmatch(text) if "/_history/" in text else None
    target = _reference(version[1], ids, base, versions) if version else ""
    return f"{target}/_history/{versions[target]}" if target in versions else ""


def _attribute(match: re.Match[str], ids: Mapping[str, str]) -> str:
    target = ids.get(unescape(match[2] if match[2] is not None else match[3]))
    return f'{match[1]}"{escape(target)}"' if target else match[0]
