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
_LINK = re.compile(r"""(\s(?:href|src)\s*=\s*)(?:"([^"]*)"|'([^']*)')""")
_ADDRESSES = frozenset(
    f"{start}{kind}" for start in ("value", "defaultValue", "fixed") for kind in ("Uri", "Url", "Oid", "Uuid")
)

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


def linked(value: Any, ids: Mapping[str, str], base: str = "") -> Any:
    """`value` with every reference that is a key of `ids`, as it stands or below `base`, replaced. What holds none
    is the same object; nothing is changed in place."""
    if type(value) is list:
        items = [linked(item, ids, base) if type(item) in _CONTAINERS else item for item in value]
        return items if any(new is not old for new, old in zip(items, value, strict=True)) else value
    changed = None
    for name, member in value.items():
        kind = type(member)
        if kind is str:
            new = _text(name, member, ids, base)
            if name == "url" and member in ids and value.keys() <= _ATTACHMENT:
                new = ids[member]
        elif kind in _CONTAINERS:
            new = linked(member, ids, base)
        else:
            continue
        if new is not member:
            changed = dict(value) if changed is None else changed
            changed[name] = new
    return value if changed is None else changed


_CONTAINERS = (dict, list)


def _text(name: str, text: str, ids: Mapping[str, str], base: str) -> str:
    if name == "reference":
        return ids.get(text) or (base and ids.get(base + text)) or text
    if name in _ADDRESSES:
        return ids.get(text, text)
    if name == "div" and ("href" in text or "src" in text):
        return _LINK.sub(lambda match: _attribute(match, ids), text)
    return text


def _attribute(match: re.Match[str], ids: Mapping[str, str]) -> str:
    target = ids.get(unescape(match[2] if match[2] is not None else match[3]))
    return f'{match[1]}"{escape(target)}"' if target else match[0]
