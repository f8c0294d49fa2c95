"""The CapabilityStatement, generated from what the server answers.

Source: CapabilityStatement of STU3 and R4. Search parameters are those that `fhir.search` lets through, an
organisation's own among them; includes are the reference parameters; operations those of `operations.OPERATIONS`.
"""

from __future__ import annotations

from collections.abc import Mapping
from functools import lru_cache
from typing import TYPE_CHECKING, Any

import orjson

from schakel.fhir import definitions
from schakel.fhir.definitions import Definitions, SearchParameter, Version
from schakel.fhir.search import supported
from schakel.server.bodies import PATCH_TYPES
from schakel.server.offer import Exchanged, Offer, Possible, Searches
from schakel.server.operations import OPERATIONS, Operation

if TYPE_CHECKING:
    from schakel.server.service import WriteRules

_INTERACTIONS = (
    "read",
    "vread",
    "update",
    "patch",
    "delete",
    "history-instance",
    "history-type",
    "create",
    "search-type",
)
_SYSTEM = ("transaction", "batch", "search-system", "history-system")
_PUBLISHED = "2026-11-22"


def _parameters(table: Definitions, kind: str) -> list[SearchParameter]:
    known = table.search_parameters(kind).values()
    return sorted((p for p in known if supported(p) and not p.unready), key=lambda p: p.code)


@lru_cache(maxsize=8)
def _references(table: Definitions) -> dict[str, list[SearchParameter]]:
    """The reference parameters of every type."""
    return {
        kind: [p for p in _parameters(table, kind) if p.type == "reference"]
        for kind in sorted(table.resource_types)
    }


def _reverse(table: Definitions, kind: str) -> list[str]:
    """The `_revinclude` values that can lead to a type."""
    return [
        f"{source}:{p.code}"
        for source, parameters in _references(table).items()
        for p in parameters
        if not p.targets or kind in p.targets
    ]


def _listed(version: Version, operations: list[Operation]) -> list[dict[str, Any]]:
    return [
        {"name": o.name, "definition": {"reference": o.definition} if version == "stu3" else o.definition}
        for o in operations
    ]


def _resource(table: Definitions, kind: str, rules: WriteRules) -> dict[str, Any]:
    version = table.version
    references = [f"{kind}:{p.code}" for p in _references(table)[kind]]
    reverse = _reverse(table, kind)
    entry: dict[str, Any] = {
        "type": kind,
        "interaction": [{"code": code} for code in _INTERACTIONS],
        "versioning": "versioned-update",
        "readHistory": True,
        "updateCreate": True,
        "conditionalCreate": True,
        "conditionalRead": "full-support",
        "conditionalUpdate": True,
        "conditionalDelete": rules.conditional_delete,
        "referencePolicy": ["literal", "logical"],
    }
    if references:
        entry["searchInclude"] = ["*", *references]
    if reverse:
        entry["searchRevInclude"] = reverse
    entry["searchParam"] = [
        {"name": p.code, "definition": p.url, "type": p.type} for p in _parameters(table, kind)
    ]
    if version == "r4":
        offered = [
            o
            for o in OPERATIONS
            if o.offered(rules) and any(o.on(level, version, kind) for level in ("type", "instance"))
        ]
        if offered:
            entry["operation"] = _listed(version, offered)
    return entry


def _own(table: Definitions, rules: WriteRules) -> dict[str, Any]:
    """What the internal door offers. STU3 has one list of operations, R4 one for each type and one for the system."""
    version, kinds = table.version, sorted(table.resource_types)
    common = [p for p in _parameters(table, "Patient") if all(_knows(table, kind, p) for kind in kinds)]
    offered = [
        o
        for o in OPERATIONS
        if o.offered(rules) and version in o.versions and (version == "stu3" or o.on("system", version, ""))
    ]
    return {
        "mode": "server",
        "resource": [_resource(table, kind, rules) for kind in kinds],
        **_on_system(*_SYSTEM),
        "searchParam": [{"name": p.code, "definition": p.url, "type": p.type} for p in common],
        "operation": _listed(version, offered),
        "compartment": [
            f"http://hl7.org/fhir/CompartmentDefinition/{kind.lower()}" for kind in sorted(table.compartments)
        ],
    }


def _knows(table: Definitions, kind: str, parameter: SearchParameter) -> bool:
    return table.search_parameters(kind).get(parameter.code) == parameter


def _exchanged(version: Version, offered: Exchanged) -> dict[str, Any]:
    """What a door gives and takes of one patient: what it gives is read and searched, Observation also by `$lastn`."""
    new = {"code": "create", "documentation": "In a Bundle at the base, and not by itself."}
    resources: list[dict[str, Any]] = []
    for kind in sorted(offered.gives | offered.takes | offered.updates):
        codes: list[dict[str, str]] = []
        codes += [{"code": "read"}, {"code": "search-type"}] if kind in offered.gives else []
        codes += [{"code": "update"}] if kind in offered.updates else []
        codes += [new] if kind in offered.takes else []
        resources.append({"type": kind, "interaction": codes})
    searches = [o for o in OPERATIONS if o.run is None and o.types & offered.gives]
    rest = _with_operations(version, resources, {one["type"]: searches for one in resources})
    return rest | _on_system("batch", "transaction") if offered.takes or offered.updates else rest


def _on_system(*codes: str) -> dict[str, Any]:
    return {"interaction": [{"code": code} for code in codes]}


def _guarded(table: Definitions, possible: tuple[Possible, ...]) -> dict[str, Any]:
    """What a door that judges every request may let through. What a resource refers to stands in its definition, also
    where it cannot be searched."""
    version = table.version
    resources: list[dict[str, Any]] = []
    for one in possible:
        profile = f"http://hl7.org/fhir/StructureDefinition/{one.type}"
        entry = {
            "type": one.type,
            "profile": {"reference": profile} if version == "stu3" else profile,
            "interaction": [{"code": code} for code in sorted(one.interactions)],
            **_searched(table, one.searches),
        }
        resources.append({name: value for name, value in entry.items() if value})
    operations = {one.type: [o for o in OPERATIONS if o.name in one.operations] for one in possible}
    rest = _with_operations(version, resources, operations)
    # Each entry of a batch is a request of its own; a transaction brings new data, where a type can be brought.
    return rest | _on_system("batch", *(["transaction"] if any(one.brought for one in possible) else []))


def _with_operations(
    version: Version, resources: list[dict[str, Any]], operations: Mapping[str, list[Operation]]
) -> dict[str, Any]:
    """The REST part of `resources` with the operations of each type: STU3 has one list, R4 one for each type."""
    rest: dict[str, Any] = {"mode": "server", "resource": resources}
    of_each = [
        (entry, [o for o in operations[entry["type"]] if entry["type"] in o.types]) for entry in resources
    ]
    if version == "stu3":
        if named := [o for o in OPERATIONS if any(o in own for _, own in of_each)]:
            rest["operation"] = _listed(version, named)
        return rest
    for entry, own in of_each:
        if own:
            entry["operation"] = _listed(version, own)
    return rest


def _searched(table: Definitions, limit: Searches) -> dict[str, Any]:
    """The members of a type that say what its searches may ask."""
    return {
        "searchInclude": sorted(limit.includes),
        "searchRevInclude": sorted(limit.revincludes),
        "searchParam": [
            {"name": p.code, "definition": p.url, "type": p.type}
            for p in _parameters(table, limit.type)
            if p.code in limit.codes
        ],
    }


def _offered(table: Definitions, offer: Offer) -> dict[str, Any]:
    """What a door with an offer does."""
    searched = "search-type" in offer.interactions
    resources: list[dict[str, Any]] = []
    for kind in sorted(offer.types):
        entry: dict[str, Any] = {
            "type": kind,
            "interaction": [{"code": code} for code in sorted(offer.interactions)],
            "versioning": "versioned-update" if offer.versioned else "no-version",
        }
        limit = offer.searches_on(kind)
        if limit is not None:
            entry |= _searched(table, limit)
        elif searched:
            entry["searchInclude"] = ["*", *(f"{kind}:{p.code}" for p in _references(table)[kind])]
            entry["searchRevInclude"] = [
                value for value in _reverse(table, kind) if value.partition(":")[0] in offer.types
            ]
            entry["searchParam"] = [
                {"name": p.code, "definition": p.url, "type": p.type} for p in _parameters(table, kind)
            ]
        resources.append({name: value for name, value in entry.items() if value})
    rest: dict[str, Any] = {"mode": "server", "resource": resources}
    if offer.system:
        rest |= _on_system(*sorted(offer.system))
    return rest


@lru_cache(maxsize=200)
def statement(
    version: Version,
    base: str,
    offered: WriteRules | Offer | tuple[Possible, ...] | Exchanged,
    table: Definitions | None = None,
) -> bytes:
    """The CapabilityStatement of the FHIR base `base`, as JSON: of the internal door of an organisation with these
    rules and definitions (those of the standard when none are given), of a door with an offer, of one that judges every
    request, or of one where these types are read and searched."""
    table = table or definitions(version)
    body: dict[str, Any] = {
        "resourceType": "CapabilityStatement",
        "status": "active",
        "date": _PUBLISHED,
        "publisher": "Schakel",
        "kind": "instance",
        "software": {"name": "Schakel"},
        "implementation": {"description": "Schakel FHIR node", "url": base},
        "fhirVersion": definitions(version).release,
        "format": ["application/fhir+json", "application/fhir+xml"],
    }
    if version == "stu3":
        body["acceptUnknown"] = "extensions"
    if isinstance(offered, Exchanged):
        rest = _exchanged(version, offered)
    elif isinstance(offered, tuple):
        rest = _guarded(table, offered)
    elif isinstance(offered, Offer):
        rest = _offered(table, offered)
    else:
        rest = _own(table, offered)
        body["patchFormat"] = list(PATCH_TYPES)
    body["rest"] = [rest]
    return orjson.dumps(body)
