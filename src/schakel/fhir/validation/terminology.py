"""Membership of value sets, as far as codes are enumerated."""

from __future__ import annotations

from collections.abc import Mapping, Set
from typing import Any

from schakel.fhir.json import Resource
from schakel.fhir.places import At
from schakel.fhir.validation.run import Run, dicts, text

Codes = Mapping[str, frozenset[str]]
"""Codes by system."""

MAX_CODES = 10_000


def codes_of(run: Run, url: str, scope: Resource | None = None) -> Codes | None:
    """The codes of a value set by its URL (or `#id` in `scope`); None when they cannot be enumerated."""
    bare = url.partition("|")[0]
    codes = run.known.value_sets.get(bare)
    if codes is not None:
        return codes
    value_set = _resource(run, bare, scope)
    return None if value_set is None else expanded(run, value_set)


def _resource(run: Run, url: str, scope: Resource | None) -> Resource | None:
    if url.startswith("#"):
        held = dicts(scope.get("contained")) if scope else []
        return next((r for r in held if r.get("id") == url[1:]), None)
    return run.find(url) if run.find else None


def expanded(run: Run, value_set: Resource, depth: int = 0) -> Codes | None:
    """The codes of a ValueSet resource, from its expansion or its enumerated content; None when neither tells."""
    if value_set.get("resourceType") != "ValueSet" or depth > 8:
        return None
    out: dict[str, set[str]] = {}
    expansion = value_set.get("expansion")
    if isinstance(expansion, dict) and dicts(expansion.get("contains")):
        _contains(dicts(expansion.get("contains")), out)
        return _frozen(out)
    compose = value_set.get("compose")
    if not isinstance(compose, dict) or compose.get("exclude"):
        return None
    for include in dicts(compose.get("include")):
        if include.get("filter"):
            return None
        system, concepts = text(include.get("system")), dicts(include.get("concept"))
        imported = include.get("valueSet")
        if imported:
            if system or not isinstance(imported, list) or len(imported) != 1:
                return None
            inner = codes_of(run, text(imported[0]))
            if inner is None:
                return None
            for name, codes in inner.items():
                out.setdefault(name, set()).update(codes)
        elif concepts:
            out.setdefault(system, set()).update(text(c.get("code")) for c in concepts)
        else:
            held = _code_system(run, system)
            if held is None:
                return None
            out.setdefault(system, set()).update(held)
        if sum(map(len, out.values())) > MAX_CODES:
            return None
    return _frozen(out) if out else None


def _frozen(codes: dict[str, set[str]]) -> Codes:
    return {system: frozenset(found) for system, found in codes.items()}


def _contains(items: list[dict[str, Any]], out: dict[str, set[str]]) -> None:
    waiting = list(items)
    while waiting:
        item = waiting.pop()
        if item.get("abstract") is not True and item.get("code"):
            out.setdefault(text(item.get("system")), set()).add(text(item.get("code")))
        waiting.extend(dicts(item.get("contains")))


def _code_system(run: Run, url: str) -> Set[str] | None:
    held = run.known.code_systems.get(url)
    if held is not None:
        return held
    found = run.find(url) if run.find and url else None
    if found is None or found.get("resourceType") != "CodeSystem" or found.get("content") != "complete":
        return None
    out: set[str] = set()
    waiting = dicts(found.get("concept"))
    while waiting:
        concept = waiting.pop()
        out.add(text(concept.get("code")))
        waiting.extend(dicts(concept.get("concept")))
    return out


def has(codes: Codes, coding: dict[str, Any]) -> bool:
    """Whether a Coding (or the unit of a Quantity) is in the value set; without a system it is not."""
    return text(coding.get("code")) in codes.get(text(coding.get("system")), frozenset())


def bound(run: Run, value: dict[str, Any], kind: str, binding: str, at: At) -> None:
    """Check a Coding, CodeableConcept or Quantity against the value set of a required binding."""
    codes = run.known.value_sets.get(binding)
    if codes is None:
        run.could_not_check(f"codes against the value set {binding}", at)
        return
    if kind == "CodeableConcept":
        codings = dicts(value.get("coding"))
        if not any(has(codes, coding) for coding in codings) and not _only_says_why(value):
            run.error("code-invalid", f"no code is in the required value set {binding}", at)
    elif value.get("code") is not None and not has(codes, value):
        run.error("code-invalid", f"the code is not in the required value set {binding}", at)


def _only_says_why(value: dict[str, Any]) -> bool:
    """Whether an extension stands in the place of the content, such as the reason why it is absent."""
    return "extension" in value and "coding" not in value and "text" not in value
