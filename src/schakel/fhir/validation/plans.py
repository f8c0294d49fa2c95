"""What is checked in each type beyond its structure, worked out once per FHIR version."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from functools import cache
from typing import Any, Literal

from schakel.fhir.definitions import Definitions, Element, Version, definitions
from schakel.fhir.places import At
from schakel.fhir.validation.datatypes import BY_TYPE
from schakel.fhir.validation.invariants import Check, compiled
from schakel.fhir.validation.run import Run

_CODED = frozenset({"Coding", "CodeableConcept", "Quantity"})
_URIS = frozenset({"uri", "url"})


@dataclass(frozen=True, slots=True, eq=False)
class Member:
    """One JSON member: the element's name and path (`HumanName.family`), its type, and what is checked on it."""

    name: str
    path: str
    form: Literal["primitive", "complex", "resource", "extension", "reference"]
    type: str
    checks: tuple[Check, ...]
    targets: tuple[str, ...] = ()
    binding: str = ""
    is_uri: bool = False

    @property
    def idle(self) -> bool:
        """Whether a plain value needs no look at all."""
        return self.form == "primitive" and not self.checks and not self.is_uri


@dataclass(frozen=True, slots=True, eq=False)
class Plan:
    """What is checked in a type: its members, its invariants, and its own rule in words."""

    type: str
    resource: bool
    members: Mapping[str, Member]
    checks: tuple[Check, ...]
    rule: Callable[[Run, dict[str, Any], At], None] | None


class Plans(dict[str, Plan]):
    """The plans of one FHIR version by type name, each made when it is first needed."""

    def __init__(self, known: Definitions) -> None:
        super().__init__()
        self.known = known

    def __missing__(self, name: str) -> Plan:
        definition = self.known.types[name]
        members: dict[str, Member] = {}
        for key, (element, kind) in definition.by_json_name.items():
            members[key] = self._member(name, element, kind)
        invariants = definition.invariants
        if definition.kind == "backbone":
            owner, _, last = name.rpartition(".")
            invariants += self.known.types[owner].elements[last].invariants
        plan = self[name] = Plan(
            type=name,
            resource=definition.kind == "resource",
            members=members,
            checks=compiled(invariants, name, self.known),
            rule=BY_TYPE.get(name),
        )
        return plan

    def _member(self, owner: str, element: Element, kind: str) -> Member:
        held = self.known.types[kind]
        form: Literal["primitive", "complex", "resource", "extension", "reference"] = "complex"
        if held.kind == "primitive-type":
            form = "primitive"
        elif held.kind == "resource":
            form = "resource"
        elif kind == "Extension":
            form = "extension"
        elif kind == "Reference":
            form = "reference"
        # A backbone element carries its invariants itself, so that they hold for references to its content too.
        own = () if held.kind in ("backbone", "resource") else element.invariants
        return Member(
            name=element.name,
            path=f"{owner}.{element.name}",
            form=form,
            type=kind,
            checks=compiled(own, kind, self.known),
            targets=element.targets if form == "reference" else (),
            binding=element.binding if kind in _CODED else "",
            is_uri=kind in _URIS,
        )


@cache
def plans(version: Version) -> Plans:
    """The plans of a FHIR version."""
    return Plans(definitions(version))
