"""The rules of the profiles and of the register: 422 with every rule that a resource breaks, each by its element.

Source: the guide of the generic functions, Care Services: the profiles nl-gf-organization, nl-gf-healthcareservice,
nl-gf-location, nl-gf-endpoint, nl-gf-organizationaffiliation and nl-gf-custodianassignedidentifier.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator
from typing import Any

from schakel.fhir import definitions, structure
from schakel.fhir.json import Resource
from schakel.kernel.outcomes import Invalid, Issue, Unprocessable
from schakel.kernel.values import Ura
from schakel_national.lrza.parties import SYSTEMS, URA, parties_of, party_of
from schakel_national.lrza.register import View
from schakel_national.lrza.resources import HELD, PROVENANCE, TYPES, assigned, values

_REQUIRED = {
    "Organization": ("type", "name"),
    "HealthcareService": ("providedBy", "type", "name"),
    "Location": ("name", "type", "status", "managingOrganization"),
    "Endpoint": ("status", "connectionType", "payloadType", "address", "managingOrganization"),
    "OrganizationAffiliation": ("active", "organization", "participatingOrganization", "code"),
    PROVENANCE: (),
}
_FORBIDDEN = {"OrganizationAffiliation": ("implicitRules", "modifierExtension", "network"), PROVENANCE: ()}
_USUALLY_FORBIDDEN = ("implicitRules", "modifierExtension")
_REFERENCE = re.compile(rf"({'|'.join(HELD)})/([A-Za-z0-9\-.]{{1,64}})(/_history/([0-9]{{1,9}}))?")


def check_structure(resource: Resource) -> None:
    """The base structure of R4. Raises `Invalid`; an element that the profile needs is left to `check_rules`."""
    kind = str(resource.get("resourceType"))
    needed = {f"{kind}.{name}" for name in _REQUIRED[kind]}
    issues = [
        one
        for one in structure.check(resource, definitions("r4"))
        if not (one.issue == "required" and one.expression in needed)
    ]
    if issues:
        raise Invalid(issues[0].message, code="structure", expression=issues[0].expression, issues=issues)


def check_complete(view: View, resource: Resource) -> None:
    """What must be there to say whose it is, in a register that has this version already. Raises `Unprocessable`."""
    _raise(_incomplete(view, resource))


def check_rules(view: View, resource: Resource) -> None:
    """The rules about identifiers and organisations. Raises `Unprocessable` with all that are broken."""
    if resource["resourceType"] != PROVENANCE:
        _raise([*_identifiers(view, resource), *_organisation(view, resource)])


def _raise(broken: Iterable[tuple[str, str, str]]) -> None:
    issues = [Issue("error", code, f"{place}: {message}", place) for code, place, message in broken]
    if issues:
        first = issues[0]
        raise Unprocessable(first.message, code="rule-broken", expression=first.expression, issues=issues)


def _incomplete(view: View, resource: Resource) -> Iterator[tuple[str, str, str]]:
    kind = resource["resourceType"]
    profile = f"nl-gf-{kind.lower()}"
    for name in _REQUIRED[kind]:
        if name not in resource:
            yield "required", f"{kind}.{name}", f"{profile} requires it"
    for name in _FORBIDDEN.get(kind, _USUALLY_FORBIDDEN):
        if name in resource:
            yield "structure", f"{kind}.{name}", f"{profile} does not allow it"
    if kind == "Organization" and "partOf" not in resource and not parties_of(resource):
        yield (
            "invariant",
            f"{kind}.identifier",
            "an organisation has a URA, or a KvK number, or is partOf another",
        )
    for reference in _references(resource):
        if trouble := _unresolved(view, reference, kind):
            yield "not-found", kind, trouble


def _identifiers(view: View, resource: Resource) -> Iterator[tuple[str, str, str]]:
    place = f"{resource['resourceType']}.identifier"
    found = assigned(resource)
    if len(found) != 1:
        yield (
            "invariant",
            place,
            "exactly one custodian-assigned identifier (assigner.identifier.type custodian) is needed, "
            f"and there are {len(found)}",
        )
        return
    [one] = found
    if one.get("use") != "official":
        yield "invariant", place, "use of the custodian-assigned identifier must be official"
    if not one.get("system") or not one.get("value"):
        yield "required", place, "the custodian-assigned identifier needs a system and a value"
        return
    assigner = values(one, "assigner.identifier")[0]
    if party_of(assigner) is None:
        yield (
            "invariant",
            place,
            "assigner.identifier of the custodian-assigned identifier must be a URA or a KvK number",
        )
    me = f"{resource['resourceType']}/{resource['id']}"
    for other in (
        same for kind in TYPES for same in view.with_entry(f"{kind}.identifier", one["value"], one["system"])
    ):
        if other.name != me and _has(other.resource(), one):
            yield (
                "duplicate",
                place,
                f"a custodian-assigned identifier is never used again: this one is that of {other.name}",
            )


def _has(other: Resource, one: dict[str, Any]) -> bool:
    return any(
        (own.get("system"), own.get("value")) == (one["system"], one["value"]) for own in assigned(other)
    )


def _organisation(view: View, resource: Resource) -> Iterator[tuple[str, str, str]]:
    if resource["resourceType"] != "Organization":
        return
    place = "Organization.identifier"
    uras = [party for party in parties_of(resource) if party.kind == URA]
    for identifier in values(resource, "identifier"):
        if SYSTEMS.get(str(identifier.get("system"))) == URA and not _is_ura(identifier.get("value")):
            yield "value", place, "a URA is a number of eight digits"
    if len(uras) > 1:
        yield "invariant", place, "an organisation has at most one URA"
    if uras and "partOf" in resource:
        yield (
            "invariant",
            "Organization.partOf",
            "a department has no URA: what has one is a top organisation",
        )
    if _goes_round(view, resource):
        yield "invariant", "Organization.partOf", "an organisation is no part of itself"
    if uras and _active_top(resource):
        me = f"Organization/{resource['id']}"
        for system in (one for one, kind in SYSTEMS.items() if kind == URA):
            for other in view.with_entry("Organization.identifier", uras[0].value, system):
                if other.name != me and _active_top(other.resource()):
                    yield "duplicate", place, f"{uras[0]} has an active organisation already: {other.name}"


def _is_ura(value: Any) -> bool:
    return isinstance(value, str) and re.fullmatch(r"[0-9]{8}", value) is not None and Ura(value) == value


def _active_top(organisation: Resource) -> bool:
    return organisation.get("active") is not False and "partOf" not in organisation


def _goes_round(view: View, organisation: Resource) -> bool:
    seen = {f"Organization/{organisation['id']}"}
    while name := str(organisation.get("partOf", {}).get("reference", "")):
        if name in seen:
            return True
        seen.add(name)
        above = view.newest(*name.partition("/")[::2])
        if above is None:
            return False
        organisation = above.resource()
    return False


def _references(value: Any) -> Iterator[str]:
    """Every literal reference below `value`, but for those to what it contains."""
    if isinstance(value, dict):
        for name, member in value.items():
            if name == "reference" and isinstance(member, str):
                if not member.startswith("#"):
                    yield member
            else:
                yield from _references(member)
    elif isinstance(value, list):
        for member in value:
            yield from _references(member)


def _unresolved(view: View, reference: str, kind: str) -> str:
    """What is wrong with a reference; '' when it leads to a resource here."""
    match = _REFERENCE.fullmatch(reference)
    if match is None:
        return f"the reference {reference[:200]!r} is none to this directory: Type/id of {', '.join(HELD)} is needed"
    target, logical_id, versioned, version = match.groups()
    if versioned and kind != PROVENANCE:
        return f"the reference {reference!r} names a version; only a Provenance does"
    found = view.newest(target, logical_id)
    if found is None or (version and not 1 <= int(version) <= found.version):
        return f"the reference {reference!r} leads to nothing in this directory"
    return ""
