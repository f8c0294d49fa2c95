"""References: their form, the type they lead to, and what stands in a contained resource."""

from __future__ import annotations

import re
from typing import Any

from schakel.fhir.places import At
from schakel.fhir.validation.bundles import Entries, all_references
from schakel.fhir.validation.run import Run, Scope, dicts

_RESTFUL = re.compile(
    r"(?:https?://[^/\s]+/(?:[^\s?#]+/)?)?([A-Z][A-Za-z]+)/([A-Za-z0-9\-.]{1,64})(?:/_history/[A-Za-z0-9\-.]{1,64})?"
).fullmatch


def check(run: Run, value: dict[str, Any], targets: tuple[str, ...], scope: Scope, at: At) -> None:
    """Check one Reference that may lead to `targets` (any, when empty)."""
    reference, stated = value.get("reference"), value.get("type")
    if isinstance(stated, str) and "/" not in stated:
        if stated not in run.known.resource_types:
            run.error("value", f"{stated[:64]!r} is no resource type", (at, "type", None))
        else:
            _allowed(run, stated, targets, at)
    if not isinstance(reference, str):
        return
    kind = target_type(run, reference, scope, at)
    if kind is None:
        return
    _allowed(run, kind, targets, at)
    if isinstance(stated, str) and stated in run.known.resource_types and stated != kind:
        run.error("value", f"the type says {stated}, the reference leads to a {kind}", at)


def target_type(run: Run, reference: str, scope: Scope, at: At) -> str | None:
    """The type a reference leads to, None when it does not tell; reports a form that cannot be right."""
    where: At = (at, "reference", None)
    if reference.startswith("#"):
        if reference == "#":
            return scope.container.get("resourceType")
        found = contained(scope.container, reference[1:])
        if found is None:
            run.error("not-found", "no contained resource has this id", where)
            return None
        kind = found.get("resourceType")
        return kind if isinstance(kind, str) else None
    entries = Entries.of(run)
    target = entries.target(reference, scope.entry) if entries and scope.entry is not None else None
    if target is not None:
        kind = target.get("resourceType")
        return kind if isinstance(kind, str) else None
    named = _RESTFUL(reference)
    if named is None:
        return None
    if named[1] in run.known.resource_types:
        return named[1]
    if not reference.startswith("http"):
        run.error("value", f"{named[1][:64]!r} is no resource type", where)
    return None


def contained(container: dict[str, Any], name: str) -> dict[str, Any] | None:
    """The contained resource with this id."""
    return next((r for r in dicts(container.get("contained")) if r.get("id") == name), None)


def _allowed(run: Run, kind: str, targets: tuple[str, ...], at: At) -> None:
    # A profile as target (in a definition) is of a later check: only types are judged.
    judged = targets and all(target in run.known.types for target in targets)
    if judged and not any(run.known.is_a(kind, target) for target in targets):
        run.error("structure", f"a {kind} may not stand here, only {', '.join(targets)}", at)


def check_contained(run: Run, resource: dict[str, Any], at: At) -> None:
    """The rules for the resources contained in `resource`, beyond the invariants dom-2, dom-4 and dom-5."""
    seen: set[str] = set()
    for index, inner in enumerate(dicts(resource.get("contained"))):
        where: At = (at, "contained", index)
        name = inner.get("id")
        if not isinstance(name, str):
            run.error("required", "a contained resource needs an id", where)
        elif name in seen:
            run.error("duplicate", "two contained resources have the same id", where)
        else:
            seen.add(name)
            if not _is_used(resource, inner, name):
                run.error("invariant", "nothing in the resource refers to this contained one (dom-3)", where)


def _is_used(container: dict[str, Any], inner: dict[str, Any], name: str) -> bool:
    """Whether `container` refers to the contained resource, also from narrative, or that one to `container`."""
    link, quoted = f"#{name}", (f'"#{name}"', f"'#{name}'")
    waiting: list[object] = [container]
    while waiting:
        value = waiting.pop()
        if isinstance(value, dict):
            waiting.extend(member for member in value.values() if member is not inner)
        elif isinstance(value, list):
            waiting.extend(item for item in value if item is not inner)
        elif isinstance(value, str) and (value == link or any(form in value for form in quoted)):
            return True
    return any(reference == "#" for reference in all_references(inner))
