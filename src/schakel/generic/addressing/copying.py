"""A resource of another directory as it is kept here: under an id of our own, with its references to others of that
directory turned into ours, and `meta.source` the address it has there. Pure.

Sources: Care Services (mCSD) of the Dutch generic functions, chapters on the update client and on profiles:
`implicitRules` and `modifierExtension` do not occur, references need not resolve, what was switched off stays.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Literal
from uuid import NAMESPACE_URL, uuid5

from schakel.fhir.definitions import definitions
from schakel.fhir.json import Resource
from schakel.fhir.structure import check
from schakel.kernel.outcomes import Invalid
from schakel.kernel.values import URA_SYSTEM, Ura

CENTRAL_TYPES = ("Organization", "Location", "HealthcareService", "Endpoint", "OrganizationAffiliation")
"""What a central directory has, in the order in which it is read: what is referred to first."""
TYPES = (*CENTRAL_TYPES, "PractitionerRole", "Practitioner")
"""All that is taken from a directory; nothing else ever is."""

OWNERS: Mapping[str, str] = {
    "Organization": "partOf",
    "Location": "managingOrganization",
    "HealthcareService": "providedBy",
    "OrganizationAffiliation": "organization",
    "PractitionerRole": "organization",
}
"""The element that says to which organisation a resource belongs. That of an Endpoint says who runs it."""

_LINKS: Mapping[str, tuple[str, str]] = {
    "Organization": ("endpoint", "Endpoint"),
    "HealthcareService": ("endpoint", "Endpoint"),
    "PractitionerRole": ("practitioner", "Practitioner"),
}
_URA = URA_SYSTEM.lower()
_OFF = frozenset({"off", "inactive", "suspended", "entered-in-error"})
_ID = r"[A-Za-z0-9\-._~:]{1,256}"
_LITERAL = re.compile(rf"([A-Z][A-Za-z]+)/({_ID})(?:/_history/{_ID})?")
_REMOTE_ID = re.compile(_ID)

State = Literal["live", "off"]


@dataclass(frozen=True, slots=True)
class Problem:
    """Why something is not taken: a stable word and a sentence."""

    code: str
    sentence: str


@dataclass(frozen=True, slots=True)
class Copied:
    """A resource as it is kept here. `owner` is the id here of the organisation it belongs to, `links` are those of the
    endpoints (of an organisation or service) or the practitioner (of a role) that it brings with it; `ura` is that of
    an organisation. With a `problem` it is not fit to be kept."""

    resource: Resource
    state: State
    ura: str = ""
    owner: str = ""
    links: tuple[str, ...] = ()
    problem: Problem | None = None


def local_id(key: str, kind: str, remote: str) -> str:
    """The id here of a resource with id `remote` in the directory `key`: the same each time, and no other resource's,
    whatever its type or directory."""
    return str(uuid5(NAMESPACE_URL, f"{key}|{kind}/{remote}"))


def is_id(value: object) -> bool:
    """Whether `value` can be the id of a resource at another server, which need not keep to the form of FHIR."""
    return isinstance(value, str) and _REMOTE_ID.fullmatch(value) is not None


def shown(text: object, most: int = 200) -> str:
    """What another party wrote, fit to be kept and shown on a line."""
    return "".join(one if one.isprintable() else "?" for one in str(text)[:most])


def switched_off(resource: Resource) -> bool:
    """Whether its directory says that it is no longer used."""
    status = resource.get("status")
    return resource.get("active") is False or (isinstance(status, str) and status in _OFF)


def uras(resource: Resource) -> frozenset[str]:
    """The URA numbers of an organisation. Raises `Invalid` for one that is none."""
    identifiers = resource.get("identifier")
    found = set()
    for one in identifiers if isinstance(identifiers, list) else ():
        if isinstance(one, dict) and str(one.get("system", "")).lower() == _URA and "value" in one:
            found.add(str(Ura(str(one["value"]))))
    return frozenset(found)


def copy(base: str, key: str, kind: str, remote: str, resource: Resource) -> Copied:
    """The resource as it is kept here; `resource` is used up. `base` is the FHIR base of its directory and `key` what
    the ids here are made of."""
    modified = _rewrite(resource, base, key)
    meta = resource.get("meta")
    kept = dict(meta) if isinstance(meta, dict) else {}
    for name in ("versionId", "lastUpdated"):
        kept.pop(name, None)
    resource["id"] = local_id(key, kind, remote)
    resource["meta"] = {**kept, "source": f"{base}/{kind}/{remote}"}
    state: State = "off" if switched_off(resource) else "live"
    if modified:
        return Copied(resource, state, problem=modified)
    if found := next(
        (one for one in check(resource, definitions("r4"), lenient=True) if one.severity == "error"), None
    ):
        return Copied(resource, state, problem=Problem("resource-broken", found.message[:500]))
    ura, problem = "", None
    if kind == "Organization":
        try:
            numbers = uras(resource)
        except Invalid as error:
            return Copied(resource, state, problem=Problem("ura-wrong", error.message[:500]))
        if len(numbers) > 1:
            problem = Problem("ura-many", "an organisation has one URA, and this one has several")
        else:
            ura = next(iter(numbers), "")
    element, target = _LINKS.get(kind, ("", ""))
    return Copied(
        resource,
        state,
        ura,
        _target(resource.get(OWNERS.get(kind, "")), "Organization"),
        tuple(filter(None, (_target(one, target) for one in _many(resource.get(element))))),
        problem,
    )


def _many(value: Any) -> list[Any]:
    return value if isinstance(value, list) else [] if value is None else [value]


def _target(reference: Any, kind: str) -> str:
    """The id in a reference to a resource of this type here; '' when it is none."""
    literal = reference.get("reference") if isinstance(reference, dict) else None
    if not isinstance(literal, str):
        return ""
    found, _, logical_id = literal.partition("/")
    return logical_id if found == kind else ""


def _rewrite(resource: Resource, base: str, key: str) -> Problem | None:
    """Turns the literal references to the directory itself into ours, in place. What changes the meaning of the rest is
    a problem: nobody here understands it."""
    below = f"{base}/"
    waiting: list[Any] = [resource]
    problem = None
    while waiting:
        value = waiting.pop()
        if type(value) is list:
            waiting.extend(one for one in value if type(one) in (dict, list))
            continue
        for name, member in value.items():
            kind = type(member)
            if kind is dict or kind is list:
                if name == "modifierExtension":
                    problem = problem or _modifies(name)
                waiting.append(member)
            elif name == "reference" and kind is str:
                value[name] = _ours(member, below, key)
            elif name == "implicitRules":
                problem = problem or _modifies(name)
    return problem


def _modifies(name: str) -> Problem:
    return Problem(
        "resource-modified", f"it has {name}, which changes what the rest of it means, and may not be there"
    )


def _ours(literal: str, below: str, key: str) -> str:
    match = _LITERAL.fullmatch(literal.removeprefix(below))
    return literal if match is None else f"{match[1]}/{local_id(key, match[1], match[2])}"
