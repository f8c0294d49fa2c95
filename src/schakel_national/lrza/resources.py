"""The types that the directory holds, what they can be searched by, and what of a resource goes into the index.

Source: the guide of the generic functions, Care Services (ITI-90-NL, ITI-130-NL), and the search parameters of R4.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any, Literal, NamedTuple

from schakel.fhir.json import Resource
from schakel.fhir.moments import FIRST, LAST, interval
from schakel.fhir.search.values import fold

TYPES = ("Organization", "Location", "HealthcareService", "Endpoint", "OrganizationAffiliation")
"""What is registered, in the order in which it is loaded: what is referred to first."""

PROVENANCE = "Provenance"
HELD = (*TYPES, PROVENANCE)
OTHERS = ("Practitioner", "PractitionerRole")
"""Types of generation A, of which this directory has none."""

Kind = Literal["token", "string", "reference", "date"]


@dataclass(frozen=True, slots=True)
class Parameter:
    """A search parameter: its kind, and the elements below the resource that it looks at (with dots)."""

    kind: Kind
    paths: tuple[str, ...]


class Entry(NamedTuple):
    """A line of the index. By kind of parameter: the code and its system; the folded text and the text itself; the
    reference as `Type/id` and ''; the first moment and the first after it."""

    parameter: str
    value: str
    extra: str


def _of(kind: Kind, *paths: str) -> Parameter:
    return Parameter(kind, paths)


_COMMON = {"active": _of("token", "active"), "identifier": _of("token", "identifier")}
_NAME = _of("string", "name", "alias")

PARAMETERS: Mapping[str, Mapping[str, Parameter]] = {
    "Organization": {
        **_COMMON,
        "name": _NAME,
        "partof": _of("reference", "partOf"),
        "type": _of("token", "type"),
    },
    "Location": {
        "identifier": _COMMON["identifier"],
        "name": _NAME,
        "organization": _of("reference", "managingOrganization"),
        "partof": _of("reference", "partOf"),
        "status": _of("token", "status"),
        "type": _of("token", "type"),
    },
    "HealthcareService": {
        **_COMMON,
        "location": _of("reference", "location"),
        "name": _of("string", "name"),
        "organization": _of("reference", "providedBy"),
        "service-type": _of("token", "type"),
    },
    "Endpoint": {
        "identifier": _COMMON["identifier"],
        "organization": _of("reference", "managingOrganization"),
        "status": _of("token", "status"),
    },
    "OrganizationAffiliation": {
        **_COMMON,
        "date": _of("date", "period"),
        "participating-organization": _of("reference", "participatingOrganization"),
        "primary-organization": _of("reference", "organization"),
        "role": _of("token", "code"),
    },
    "Provenance": {"target": _of("reference", "target")},
    "Practitioner": {
        **_COMMON,
        "name": _of("string", "name.text"),
        "given": _of("string", "name.given"),
        "family": _of("string", "name.family"),
    },
    "PractitionerRole": {
        "active": _COMMON["active"],
        "location": _of("reference", "location"),
        "organization": _of("reference", "organization"),
        "role": _of("token", "code"),
        "service": _of("reference", "healthcareService"),
        "specialty": _of("token", "specialty"),
    },
}

INCLUDES: Mapping[str, Mapping[str, str]] = {
    "Organization": {"Organization:endpoint": "endpoint"},
    "Location": {"Location:organization": "managingOrganization"},
    "OrganizationAffiliation": {"OrganizationAffiliation:endpoint": "endpoint"},
    "PractitionerRole": {"PractitionerRole:practitioner": "practitioner"},
}
"""By the type that is searched: what `_include` may be, and the element that it follows."""

REVINCLUDES: Mapping[str, frozenset[str]] = {
    "Organization": frozenset(
        (
            "Location:organization",
            "OrganizationAffiliation:participating-organization",
            "OrganizationAffiliation:primary-organization",
        )
    )
}
"""By the type that is searched: what `_revinclude` may be."""

PARTICIPANT = "participant"
"""The index parameter of who takes part in an affiliation and is named by an identifier: value and system."""

_CUSTODIAN = ("http://terminology.hl7.org/CodeSystem/provenance-participant-type", "custodian")


def entries(resource: Resource) -> set[Entry]:
    """The lines of the index that are about a resource."""
    kind = resource["resourceType"]
    found: set[Entry] = set()
    for code, parameter in PARAMETERS[kind].items():
        for path in parameter.paths:
            for value in values(resource, path):
                found.update(
                    Entry(f"{kind}.{code}", first, second) for first, second in _said(parameter.kind, value)
                )
    if kind == "OrganizationAffiliation":
        for who in values(resource, "participatingOrganization.identifier"):
            found.add(Entry(PARTICIPANT, str(who.get("value", "")), str(who.get("system", ""))))
    return found


def assigned(resource: Resource) -> list[dict[str, Any]]:
    """The identifiers whose assigner is typed as custodian (section 1.6 of the facts)."""
    return [
        one
        for one in values(resource, "identifier")
        if isinstance(one, dict)
        and any(
            (coding.get("system"), coding.get("code")) == _CUSTODIAN
            for coding in values(one, "assigner.identifier.type.coding")
            if isinstance(coding, dict)
        )
    ]


def values(resource: Mapping[str, Any], path: str) -> list[Any]:
    """What stands at a path with dots, through lists."""
    first, _, rest = path.partition(".")
    if first not in resource:
        return []
    found = _many(resource[first])
    for name in rest.split(".") if rest else ():
        found = [
            one
            for member in found
            if isinstance(member, dict) and name in member
            for one in _many(member[name])
        ]
    return found


def _many(value: Any) -> list[Any]:
    return value if isinstance(value, list) else [value]


def _said(kind: Kind, value: Any) -> Iterator[tuple[str, str]]:
    if kind == "token":
        yield from _tokens(value)
    elif kind == "string":
        if isinstance(value, str):
            yield fold(value), value
    elif kind == "date":
        yield _period(value)
    elif isinstance(value, dict) and isinstance(value.get("reference"), str):
        yield value["reference"], ""


def _tokens(value: Any) -> Iterator[tuple[str, str]]:
    if isinstance(value, bool):
        yield ("true" if value else "false"), ""
    elif isinstance(value, str):
        yield value, ""
    elif isinstance(value, dict) and "coding" in value:
        for coding in value["coding"]:
            yield str(coding.get("code", "")), str(coding.get("system", ""))
    elif isinstance(value, dict) and "value" in value:
        yield str(value["value"]), str(value.get("system", ""))


def _period(value: Any) -> tuple[str, str]:
    """The first moment of a period and the first after it, as texts that sort."""
    low = interval(value["start"])[0] if "start" in value else FIRST
    high = interval(value["end"])[1] if "end" in value else LAST
    return low.isoformat(timespec="microseconds"), high.isoformat(timespec="microseconds")
