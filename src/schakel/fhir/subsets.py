"""Parts of a resource: `_summary` and `_elements`.

Source: FHIR search.html, summary and elements (STU3, R4). What is left out is never mandatory and never changes the
meaning of what stays: mandatory elements and modifiers are kept, and contained resources that are still referred to.
Inside an element that stays, extensions stay. The result says of itself that it is a part, by the tag SUBSETTED.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from functools import cache
from typing import Any

from schakel.fhir.definitions import Definitions, Element, TypeDefinition, Version, definitions
from schakel.fhir.json import Resource
from schakel.kernel.outcomes import Invalid

SUMMARIES = ("true", "text", "data", "count", "false")
SUBSETTED: Mapping[Version, str] = {
    "stu3": "http://hl7.org/fhir/v3/ObservationValue",
    "r4": "http://terminology.hl7.org/CodeSystem/v3-ObservationValue",
}
"""The system of the tag SUBSETTED."""

_ALWAYS = frozenset({"resourceType", "id", "meta"})
_OF_AN_ELEMENT = frozenset({"id", "extension"})
_MODIFYING = frozenset({"implicitRules", "modifierExtension"})


@dataclass(frozen=True, slots=True)
class Subset:
    """How much of a resource is asked: a `summary` other than `count`, or the `elements` at its top, those for one type
    alone as `Type.name`. Without either it is the whole."""

    summary: str = ""
    elements: tuple[str, ...] = ()

    def __bool__(self) -> bool:
        return bool(self.summary or self.elements)


WHOLE = Subset()


def read_summary(value: str) -> str:
    """The value of `_summary`; '' for the whole. Raises `Invalid`."""
    if value not in SUMMARIES:
        raise Invalid(f"_summary is {', '.join(SUMMARIES)}", expression="_summary")
    return "" if value == "false" else value


def read_elements(value: str, kinds: Iterable[str], table: Definitions) -> tuple[str, ...]:
    """The elements that `_elements` names for these types. Raises `Invalid` for one that none of them has."""
    names = tuple(dict.fromkeys(part.strip() for part in value.split(",")))
    known = {kind: table.types[kind].elements for kind in kinds}
    for name in names:
        kind, dot, element = name.rpartition(".")
        if name == "resourceType" or (dot and kind in known and element in known[kind]):
            continue  # the first is no element, but stands in JSON at the top, where some clients ask for it
        if dot or not any(name in elements for elements in known.values()):
            raise Invalid(
                f"_elements: {name[:60]!r} is no element at the top of {', '.join(list(known)[:3])}",
                expression="_elements",
            )
    return names


def is_subset(resource: Resource) -> bool:
    """Whether a resource says that it is a part of one."""
    meta = resource.get("meta")
    tags = meta.get("tag") if isinstance(meta, dict) else None
    return isinstance(tags, list) and any(
        isinstance(tag, dict) and tag.get("code") == "SUBSETTED" and tag.get("system") in SUBSETTED.values()
        for tag in tags
    )


def subset(resource: Resource, version: Version, asked: Subset) -> Resource:
    """The part of a resource that is asked, tagged; the resource itself is not changed."""
    table = definitions(version)
    kind = table.types.get(str(resource.get("resourceType")))
    if kind is None or not asked:
        return resource
    match asked.summary:
        case "true":
            part = _summarised(resource, kind.name, version)
        case "text":
            part = _only(resource, kind, lambda element: element.name == "text" or element.min > 0)
        case "data":
            part = {name: member for name, member in resource.items() if name not in ("text", "_text")}
        case _:
            named = {name.removeprefix(f"{kind.name}.") for name in asked.elements}
            part = _only(
                resource, kind, lambda element: element.name in named or element.min > 0 or element.modifier
            )
    if contained := _still_contained(resource, part):
        part["contained"] = contained
    return _tagged({name: part[name] for name in resource if name in part}, version)


def _only(resource: Resource, kind: TypeDefinition, keeps: Callable[[Element], bool]) -> Resource:
    """The members of a resource whose element is kept."""
    part: Resource = {}
    for name, member in resource.items():
        known = kind.by_json_name.get(name.removeprefix("_"))
        if name in _ALWAYS or (known and (known[0].name in _MODIFYING or keeps(known[0]))):
            part[name] = member
    return part


def _still_contained(resource: Resource, part: Resource) -> list[Any]:
    """The contained resources that the part refers to, by way of one another too."""
    held = resource.get("contained")
    if "contained" in part or not isinstance(held, list):
        return []
    by_id = {f"#{one.get('id')}": one for one in held if isinstance(one, dict)}
    needed: set[str] = set()
    frontier: list[Any] = [part]
    while frontier:
        found = {text for one in frontier for text in _local(one)} & by_id.keys() - needed
        needed |= found
        frontier = [by_id[text] for text in found]
    return [one for one in held if isinstance(one, dict) and f"#{one.get('id')}" in needed]


def _local(value: Any) -> Iterable[str]:
    """The references to contained resources in a value."""
    for member in value.values() if isinstance(value, dict) else value:
        if isinstance(member, str):
            if member.startswith("#"):
                yield member
        elif isinstance(member, dict | list):
            yield from _local(member)


def _tagged(part: Resource, version: Version) -> Resource:
    if is_subset(part):
        return part
    meta = part.get("meta")
    meta = dict(meta) if isinstance(meta, dict) else {}
    tags = meta.get("tag")
    label = {"system": SUBSETTED[version], "code": "SUBSETTED"}
    meta["tag"] = [*(tags if isinstance(tags, list) else ()), label]
    out: Resource = {}
    for name, member in part.items():
        if name not in ("id", "resourceType"):
            out.setdefault("meta", meta)
        if name != "meta":
            out[name] = member
    out.setdefault("meta", meta)
    return out


# -- summaries ------------------------------------------------------------------------------------------------


_Plan = Mapping[str, str]
"""What is kept of a type: the JSON name of each member, and the type by whose plan its value is cut ('' for none)."""


@cache
def _plan(name: str, version: Version) -> _Plan:
    """What a summary keeps of a type: what the definitions mark for it, what is mandatory and what modifies."""
    table = definitions(version)
    definition = table.types[name]
    resource = definition.kind == "resource"
    plan: dict[str, str] = {}
    for member, (element, kind) in definition.by_json_name.items():
        inside = not resource and element.name in _OF_AN_ELEMENT
        if not (element.summary or element.modifier or element.min > 0 or inside):
            continue
        held = table.types.get(kind)
        complex_ = held is not None and held.kind in ("complex-type", "backbone") and kind != "Extension"
        plan[member] = kind if complex_ else ""
    return plan


def _summarised(value: Resource, name: str, version: Version) -> Resource:
    plan = _plan(name, version)
    part: Resource = {}
    for member, content in value.items():
        kind = plan.get(member.removeprefix("_"))
        if kind is None:
            if member == "resourceType":
                part[member] = content
            continue
        if not kind or member.startswith("_"):
            part[member] = content
        elif isinstance(content, list):
            part[member] = [
                _summarised(item, kind, version) if isinstance(item, dict) else item for item in content
            ]
        else:
            part[member] = _summarised(content, kind, version) if isinstance(content, dict) else content
    return part
