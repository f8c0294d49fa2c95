"""Who a client is, and for whom it may write.

An organisation is known by its URA, or, when it has none, by its number at the Chamber of Commerce; a department by
that of the organisation that it is part of. For a resource speaks the organisation that it belongs to: an
Organization itself, `managingOrganization` of a Location, `providedBy` of a HealthcareService, `organization` of an
OrganizationAffiliation; for an Endpoint who manages it or, as custodian, gave it its identifier. Others may write what
a mandate in the directory allows them, but no mandates.

Source: the guide of the generic functions, Care Services: authorisation types (`lrza-careprovider-admin`,
`lrza-endpoint-admin`) and who may give them.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any, NamedTuple

from schakel.fhir.json import Resource
from schakel.fhir.moments import interval
from schakel.kernel.clock import now
from schakel.kernel.outcomes import Forbidden, Invalid
from schakel.kernel.values import URA_SYSTEM, Ura
from schakel_national.lrza.register import Stored, View
from schakel_national.lrza.resources import PARTICIPANT, assigned, values

URA, KVK = "ura", "kvk"
SYSTEMS = {
    URA_SYSTEM: URA,
    "urn:oid:2.16.528.1.1007.3.3": URA,
    "http://fhir.nl/fhir/NamingSystem/kvk": KVK,
    "http://www.kvk.nl/": KVK,
    "http://kvk.nl": KVK,
}
"""Identifier systems of organisations, in all forms that are seen."""

MANDATES = "http://minvws.github.io/generiekefuncties-docs/CodeSystem/nl-gf-authorization-type-cs"
GIVES = {
    "lrza-careprovider-admin": frozenset(("Organization", "Location", "HealthcareService", "Endpoint")),
    "lrza-endpoint-admin": frozenset(("Endpoint",)),
}
"""By code of a mandate: the types that it lets its holder write."""

_LEVELS = 10
_BELONGS = {
    "Location": "managingOrganization",
    "HealthcareService": "providedBy",
    "OrganizationAffiliation": "organization",
    "Endpoint": "managingOrganization",
}


class Party(NamedTuple):
    """An organisation by the number that it is known by: `kind` is ura or kvk."""

    kind: str
    value: str

    def __str__(self) -> str:
        return f"{'URA' if self.kind == URA else 'KvK'} {self.value}"


class Line(NamedTuple):
    """An organisation and those above it: their names (`Organization/id`), and the party that they are."""

    names: frozenset[str]
    party: Party | None


_NOBODY = Line(frozenset(), None)


def party_of(identifier: Any) -> Party | None:
    """The party that an Identifier names."""
    if not isinstance(identifier, dict):
        return None
    kind, value = SYSTEMS.get(str(identifier.get("system", ""))), str(identifier.get("value", ""))
    if kind is None or not value:
        return None
    try:
        return Party(kind, str(Ura(value)) if kind == URA else value)
    except Invalid:
        return None


def parties_of(organisation: Resource) -> list[Party]:
    """The parties that the identifiers of an Organization name, URAs first."""
    found = [party for one in values(organisation, "identifier") if (party := party_of(one))]
    return sorted(set(found), key=lambda party: (party.kind != URA, party.value))


def line_of(view: View, reference: Any) -> Line:
    """The organisation that a Reference leads to, by its literal or else by its identifier."""
    if not isinstance(reference, dict):
        return _NOBODY
    kind, _, logical_id = str(reference.get("reference", "")).partition("/")
    found = view.newest(kind, logical_id) if kind == "Organization" else None
    if found is None:
        return Line(frozenset(), party_of(reference.get("identifier")))
    return _line(view, found.resource(), found.name)


def _line(view: View, organisation: Resource, name: str) -> Line:
    """Upwards to the first with a URA, or to the top; at most ten levels, and never round."""
    names: set[str] = set()
    while name not in names and len(names) < _LEVELS:
        names.add(name)
        parties = parties_of(organisation)
        if parties and (parties[0].kind == URA or "partOf" not in organisation):
            return Line(frozenset(names), parties[0])
        kind, _, logical_id = str(organisation.get("partOf", {}).get("reference", "")).partition("/")
        above = view.newest(kind, logical_id) if kind == "Organization" else None
        if above is None:
            return Line(frozenset(names), party_of(organisation.get("partOf", {}).get("identifier")))
        organisation, name = above.resource(), above.name
    return Line(frozenset(names), None)


def speak_for(view: View, resource: Resource) -> list[Line]:
    """The organisations any of which may write a resource."""
    kind = resource["resourceType"]
    if kind == "Organization":
        return [_line(view, resource, f"Organization/{resource['id']}")]
    lines = [line_of(view, resource.get(_BELONGS[kind]))]
    if kind == "Endpoint":
        lines += [
            Line(frozenset(), party_of(values(one, "assigner.identifier")[0])) for one in assigned(resource)
        ]
    return lines


def check_may_write(view: View, who: frozenset[Party], resource: Resource) -> None:
    """Raises `Forbidden`, naming for whom, when none of `who` may write this state of a resource."""
    kind = resource["resourceType"]
    lines = speak_for(view, resource)
    if any(line.party in who for line in lines):
        return
    owners = " or ".join(str(line.party) for line in lines if line.party) or "an organisation that is known"
    me = " and ".join(sorted(str(party) for party in who)) or "no party that is known"
    if kind == "OrganizationAffiliation":
        raise Forbidden(
            f"only the care provider itself, {owners}, gives a mandate; the client certificate is of {me}",
            code="mandate-missing",
            expression="OrganizationAffiliation.organization",
        )
    if any(_covers(view, one, kind, lines) for one in _held(view, who)):
        return
    raise Forbidden(
        f"{kind} of {owners}: the client certificate is of {me}, and no mandate "
        f"({' or '.join(sorted(code for code, types in GIVES.items() if kind in types))}) that holds now covers it",
        code="mandate-missing",
        expression=kind,
    )


def _held(view: View, who: frozenset[Party]) -> Iterator[Stored]:
    """The affiliations in which one of `who` takes part."""
    parameter = "OrganizationAffiliation.participating-organization"
    for party in who:
        for system, kind in SYSTEMS.items():
            if kind == party.kind:
                yield from view.with_entry(PARTICIPANT, party.value, system)
                for organisation in view.with_entry("Organization.identifier", party.value, system):
                    for one in view.with_entry(parameter, organisation.name):
                        if line_of(view, {"reference": organisation.name}).party == party:
                            yield one


def _covers(view: View, held: Stored, kind: str, lines: list[Line]) -> bool:
    """Whether an affiliation is a mandate for resources of this type, of one of these organisations, now."""
    mandate = held.resource()
    codes = {
        str(coding.get("code"))
        for coding in values(mandate, "code.coding")
        if str(coding.get("system", "")) == MANDATES
    }
    if mandate.get("active") is not True or not any(kind in GIVES.get(code, ()) for code in codes):
        return False
    period, moment = mandate.get("period", {}), now()
    if "start" in period and moment < interval(period["start"])[0]:
        return False
    if "end" in period and moment >= interval(period["end"])[1]:
        return False
    given = mandate.get("organization", {})
    name = str(given.get("reference", ""))
    if name:
        giver = line_of(view, given)
        whole = giver.party if giver.names == {name} else None  # a department gives nothing of the whole
        return any(
            name in line.names or (not line.names and line.party == whole) for line in lines if line.party
        )
    return any(line.party is not None and line.party == party_of(given.get("identifier")) for line in lines)
