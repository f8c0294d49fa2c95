"""Bundles: full URLs, how references in entries find their target, and what a document must hold together.

Source: STU3 and R4, bundle.html ("Resource URL & Uniqueness rules", "Resolving references in Bundles") and
documents.html ("Document Content").
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from typing import Any

from schakel.fhir.places import At
from schakel.fhir.validation.run import Run, dicts, text
from schakel.fhir.validation.uris import SCHEME

_REST = re.compile(r"(https?://.+/)([A-Z][A-Za-z]+)/([A-Za-z0-9\-.]{1,64})").fullmatch
_RELATIVE = re.compile(
    r"([A-Z][A-Za-z]+)/([A-Za-z0-9\-.]{1,64})(?:/_history/([A-Za-z0-9\-.]{1,64}))?"
).fullmatch


class Entries:
    """The entries of the Bundle at the root, by full URL."""

    def __init__(self, run: Run) -> None:
        self._by_url: dict[str, list[dict[str, Any]]] = {}
        entries = run.root.get("entry")
        self.entries: list[Any] = entries if isinstance(entries, list) else []
        for entry in dicts(self.entries):
            if isinstance(entry.get("resource"), dict):
                self._by_url.setdefault(text(entry.get("fullUrl")), []).append(entry["resource"])

    @classmethod
    def of(cls, run: Run) -> Entries | None:
        """The entries of the Bundle that is validated; None when it is no Bundle."""
        if run.root.get("resourceType") != "Bundle":
            return None
        if "entries" not in run.cache:
            run.cache["entries"] = cls(run)
        found: Entries = run.cache["entries"]
        return found

    def targets(self, reference: str, entry: int) -> list[dict[str, Any]]:
        """The resources that a reference in the resource of this entry means."""
        address, _, version = reference.partition("/_history/")
        relative = _RELATIVE(address)
        if relative:
            source = self.entries[entry] if entry < len(self.entries) else None
            base = _REST(text(source.get("fullUrl")) if isinstance(source, dict) else "")
            if base is None:
                return []
            address = base[1] + address
        elif not SCHEME(address):
            return []
        found = self._by_url.get(address, [])
        return [r for r in found if not version or _version(r) == version]

    def target(self, reference: str, entry: int) -> dict[str, Any] | None:
        """The one resource that a reference means; None without one."""
        found = self.targets(reference, entry)
        return found[0] if len(found) == 1 else None


def _version(resource: dict[str, Any]) -> str:
    meta = resource.get("meta")
    return text(meta.get("versionId")) if isinstance(meta, dict) else ""


def check(run: Run, at: At) -> None:
    """The rules for a Bundle at the root, beyond its invariants."""
    bundle = run.root
    kind = bundle.get("type")
    entries = bundle.get("entry")
    for index, entry in enumerate(entries if isinstance(entries, list) else ()):
        if isinstance(entry, dict):
            _full_url(run, entry, (at, "entry", index), kind)
    if kind == "document":
        _document(run, at)


def _full_url(run: Run, entry: dict[str, Any], at: At, kind: object) -> None:
    url = text(entry.get("fullUrl"))
    resource = entry.get("resource")
    if not url or not isinstance(resource, dict):
        return
    if not SCHEME(url):
        run.error("value", "fullUrl must be an absolute URL", (at, "fullUrl", None))
        return
    rest = _REST(url)
    name = resource.get("id")
    if rest is None or rest[2] not in run.known.resource_types or kind in ("transaction", "batch"):
        return
    if not isinstance(name, str):
        run.error("value", "fullUrl is an address on a server, but the resource has no id", at)
    elif (rest[2], rest[3]) != (resource.get("resourceType"), name):
        run.error("value", "fullUrl must end with the type and id of the resource", at)


_FROM_COMPOSITION = (
    ("subject",),
    ("encounter",),
    ("author",),
    ("attester", "party"),
    ("custodian",),
    ("event", "detail"),
)


def _document(run: Run, at: At) -> None:
    """What the Composition refers to is in the document, and each entry hangs together with it."""
    entries = Entries.of(run)
    first = entries.entries[0] if entries and entries.entries else None
    composition = first.get("resource") if isinstance(first, dict) else None
    if (
        entries is None
        or not isinstance(composition, dict)
        or composition.get("resourceType") != "Composition"
    ):
        return
    where: At = ((at, "entry", 0), "resource", None)
    for reference, place in _composition_references(composition, where):
        if reference.startswith("#"):
            continue
        found = len(entries.targets(reference, 0))
        if found != 1:
            problem = "is not in the document" if not found else f"is in the document {found} times"
            run.error("not-found", f"what this refers to {problem}", place)
    _reachable(run, entries, at)


def _composition_references(composition: dict[str, Any], at: At) -> Iterator[tuple[str, At]]:
    for path in _FROM_COMPOSITION:
        yield from _references(composition, path, at)
    sections: list[tuple[dict[str, Any], At]] = [
        (section, (at, "section", i)) for i, section in enumerate(dicts(composition.get("section")))
    ]
    while sections:
        section, place = sections.pop(0)
        for path in (("author",), ("focus",), ("entry",)):
            yield from _references(section, path, place)
        inner = dicts(section.get("section"))
        sections[:0] = [(item, (place, "section", i)) for i, item in enumerate(inner)]


def _references(value: dict[str, Any], path: tuple[str, ...], at: At) -> Iterator[tuple[str, At]]:
    held = value.get(path[0])
    items = list(enumerate(held)) if isinstance(held, list) else [(None, held)]
    for index, item in items:
        if not isinstance(item, dict):
            continue
        if len(path) > 1:
            yield from _references(item, path[1:], (at, path[0], index))
        elif isinstance(item.get("reference"), str):
            yield item["reference"], (at, path[0], index)


def all_references(value: object) -> Iterator[str]:
    """Every `reference` and narrative link below `value`."""
    waiting = [value]
    while waiting:
        item = waiting.pop()
        if isinstance(item, dict):
            found = item.get("reference")
            if isinstance(found, str):
                yield found
            waiting.extend(item.values())
        elif isinstance(item, list):
            waiting.extend(item)


def _reachable(run: Run, entries: Entries, at: At) -> None:
    """Each entry is reached from the Composition over references, in either direction."""
    resources = [e.get("resource") if isinstance(e, dict) else None for e in entries.entries]
    places = {id(resource): index for index, resource in enumerate(resources) if isinstance(resource, dict)}
    linked: dict[int, set[int]] = {index: set() for index in range(len(resources))}
    for index, resource in enumerate(resources):
        for reference in all_references(resource):
            for target in entries.targets(reference, index):
                other = places[id(target)]
                linked[index].add(other)
                linked[other].add(index)
    seen, waiting = {0}, [0]
    while waiting:
        for other in linked[waiting.pop()] - seen:
            seen.add(other)
            waiting.append(other)
    for index, resource in enumerate(resources):
        if index not in seen and isinstance(resource, dict):
            run.error("business-rule", _APART, (at, "entry", index))


_APART = "nothing links this entry with the Composition, in either direction"
