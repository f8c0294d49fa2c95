"""Resources of every type, made from the definitions: whatever a search parameter looks at is filled.

The same ids stand at every maker, so that organisations have the same ids and refer to the same ids; `word` is in every
text and code, so that each one's values are its own. What is made follows the shapes of the definitions, not their
bindings and invariants: it goes into a store by its back door.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

from schakel.fhir.definitions import Definitions, Element, Version, definitions

SAME = "999901370"
"""A BSN that everybody has on file."""
BSN = "http://fhir.nl/fhir/NamingSystem/bsn"
UCUM = "http://unitsofmeasure.org"
_LEFT_OUT = frozenset({"id", "contained", "extension", "modifierExtension", "implicitRules"})
_EXTENSION = re.compile(r"([A-Z]\w+)\.extension\('([^']+)'\)")
_LIKE_SHAPES = frozenset({"ElementDefinition", "Narrative", "Extension", "Element", "Resource"})
_RELATED = ("composed-of", "depends-on", "derived-from", "predecessor", "successor")
_MANY = 15
"""A choice of more types than this is one of all types: a few of them do."""
_DEPTH = 5


@dataclass(frozen=True)
class Maker:
    """Makes the resources of one organisation. `year` is in every date, `number` in every number; `ids` are what the
    resources of each type are called, in turn, `patients` what Patients are called, and `targets` (else the same as
    these) what references name."""

    version: Version
    word: str
    year: int
    number: int
    ids: tuple[str, ...] = ("s0", "s1", "s2")
    patients: tuple[str, ...] = ("s0", "s1", "s2")
    targets: tuple[str, ...] = ()
    bsn: str = SAME

    @property
    def table(self) -> Definitions:
        return definitions(self.version)

    def all(self) -> Iterator[dict[str, Any]]:
        """Resources of every type, as many of each as its choices ask."""
        for kind in sorted(self.table.resource_types):
            yield from self.of(kind)

    def of(self, kind: str) -> Iterator[dict[str, Any]]:
        """The resources of one type."""
        ids = self.patients if kind == "Patient" else self.ids
        for turn in range(max(len(ids), self._choices(kind))):
            name = ids[turn] if turn < len(ids) else f"{ids[0]}-{turn}"
            made = {"resourceType": kind, "id": name, **self._members(kind, turn, 0)}
            made.pop("language", None)
            if extensions := list(self._extensions(kind, turn)):
                made["extension"] = extensions
            yield made

    def _extensions(self, kind: str, turn: int) -> Iterator[dict[str, Any]]:
        """The extensions of the resource itself that search parameters look at."""
        for parameter in self.table.search_parameters(kind).values():
            for owner, url in _EXTENSION.findall(parameter.expression):
                if owner == kind:
                    yield {"url": url, **self._extension_value(parameter.type, turn)}

    def _extension_value(self, kind: str, turn: int) -> dict[str, Any]:
        match kind:
            case "token":
                return {"valueIdentifier": self._identifier(turn)}
            case "reference":
                return {"valueReference": self._reference((), turn)}
            case "date":
                return {"valuePeriod": {"start": f"{self.year}-01-01", "end": f"{self.year}-02-01"}}
            case _:
                return {"valueString": f"{self.word} text {turn}"}

    def _choices(self, kind: str) -> int:
        sizes = [len(e.types) for e in self.table.types[kind].elements.values() if e.choice]
        return max((size for size in sizes if size <= _MANY), default=1)

    def _members(self, kind: str, turn: int, depth: int) -> dict[str, Any]:
        out: dict[str, Any] = {}
        for element in self.table.types[kind].elements.values():
            if element.name in _LEFT_OUT:
                continue
            name = element.types[turn % len(element.types)]
            if name in _LIKE_SHAPES or depth + (not name[0].isupper()) > _DEPTH:
                continue
            value = self._value(element, name, turn, depth + 1)
            if value is None:
                continue
            member = element.name + name[0].upper() + name[1:] if element.choice else element.name
            out[member] = value
            if element.repeats:
                out[member] = (
                    [value] if name != "RelatedArtifact" else [{**value, "type": t} for t in _RELATED]
                )
        return out

    def _value(self, element: Element, kind: str, turn: int, depth: int) -> Any:
        definition = self.table.types.get(kind)
        if definition is None or definition.kind == "resource":
            return None
        simple = self._primitive(kind, turn)
        if simple is not None:
            if kind == "code" and element.name == "system":
                return ("phone", "email")[turn % 2]
            return simple
        match kind:
            case "Reference":
                return self._reference(element.targets, turn)
            case "Identifier":
                return self._identifier(turn)
            case "Meta":
                label = {"system": f"urn:{self.word}", "code": self.word}
                meta = {"profile": [f"urn:{self.word}:profile"], "tag": [label], "security": [label]}
                return meta if self.version == "stu3" else {**meta, "source": f"urn:{self.word}:source"}
            case "Coding":
                return self._coding(turn)
            case "CodeableConcept":
                return {"coding": [self._coding(turn)], "text": f"{self.word} concept {turn}"}
            case "Period":
                return {"start": f"{self.year}-01-0{turn % 9 + 1}", "end": f"{self.year}-02-01"}
            case "Range":
                return {"low": self._quantity(turn), "high": self._quantity(turn)}
            case _ if self.table.is_a(kind, "Quantity"):
                return self._quantity(turn)
            case _:
                return self._members(kind, turn, depth) or None

    def _primitive(self, kind: str, turn: int) -> Any:
        match kind:
            case "boolean":
                return turn % 2 == 0
            case "integer" | "positiveInt" | "unsignedInt" | "decimal":
                return self.number + turn
            case "date":
                return f"{self.year}-05-1{turn % 10}"
            case "dateTime" | "instant":
                return f"{self.year}-05-1{turn % 10}T10:00:00Z"
            case "time":
                return "10:00:00"
            case "uri" | "url" | "canonical" | "oid" | "uuid":
                return f"urn:{self.word}:{turn}"
            case "base64Binary":
                return "Z2VoZWlt"
            case "code" | "id":
                return f"{self.word}-{turn}"
            case "string" | "markdown":
                return f"{self.word} text {turn}"
        return None

    def _reference(self, targets: tuple[str, ...], turn: int) -> dict[str, Any]:
        """To a Patient first, if it may be one; else to each of the targets in turn."""
        kinds = [t for t in targets if t in self.table.resource_types] or ["Patient", "Organization", "Basic"]
        kinds.sort(key=lambda kind: kind != "Patient")
        kind = kinds[turn % len(kinds)]
        ids = self.targets or (self.patients if kind == "Patient" else self.ids)
        return {
            "reference": f"{kind}/{ids[turn % len(ids)]}",
            "identifier": {"system": f"urn:{self.word}", "value": f"{self.word}-by-identifier"},
            "display": f"{self.word} display",
        }

    def _identifier(self, turn: int) -> dict[str, Any]:
        if turn % 2 == 0:
            return {"system": BSN, "value": self.bsn, "type": {"coding": [self._coding(turn)]}}
        return {"system": f"urn:{self.word}", "value": f"{self.word}-{turn}"}

    def _coding(self, turn: int) -> dict[str, Any]:
        code = f"{self.word}-{turn}"
        return {"system": f"urn:{self.word}:codes", "code": code, "display": f"{self.word} said {turn}"}

    def _quantity(self, turn: int) -> dict[str, Any]:
        return {"value": self.number + turn, "unit": "mg", "system": UCUM, "code": "mg"}
