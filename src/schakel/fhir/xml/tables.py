"""The definitions as the XML converter needs them: per type, which tag is which member and in what order."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from functools import cache
from typing import Literal

from schakel.fhir.definitions import Definitions, TypeDefinition, Version, definitions
from schakel.fhir.primitives import form_of
from schakel.fhir.xml.narrative import DIV

FHIR = "http://hl7.org/fhir"
PREFIX = f"{{{FHIR}}}"
_SCHEMA_LOCATION = "{http://www.w3.org/2001/XMLSchema-instance}schemaLocation"

Form = Literal["text", "number", "boolean", "xhtml", "complex", "resource"]


@dataclass(frozen=True, slots=True, eq=False)
class Field:
    """One element as both formats name it: `name`, and `extra` for the `_name` sibling of a primitive."""

    name: str
    extra: str
    form: Form
    type: str
    repeats: bool


@dataclass(frozen=True, slots=True, eq=False)
class Table:
    """The elements and attributes of one type.

    `fields` are in XML order; `by_member` gives the place in it for a member, `_name` siblings included.
    `attributes` are members of the JSON object; `ignored` attributes are dropped, or read by the caller.
    """

    by_tag: Mapping[str, Field]
    by_member: Mapping[str, int]
    fields: tuple[Field, ...]
    attributes: tuple[str, ...]
    ignored: frozenset[str] = frozenset({_SCHEMA_LOCATION})


class Tables(dict[str, Table]):
    """The tables of one FHIR version by type name, each made when it is first needed."""

    def __init__(self, known: Definitions) -> None:
        super().__init__()
        self.version = known.version
        self.resource_types = known.resource_types
        self._types = known.types
        element = self["Element"]
        ignored = element.ignored | {"value"}
        self.primitive = Table(element.by_tag, element.by_member, element.fields, element.attributes, ignored)
        """What a primitive element has besides its value."""

    def __missing__(self, name: str) -> Table:
        table = self[name] = self._table(self._types[name])
        return table

    def _table(self, definition: TypeDefinition) -> Table:
        attributes: tuple[str, ...] = ()
        if definition.kind != "resource":
            attributes = ("id", "url") if definition.name == "Extension" else ("id",)
        fields = tuple(
            Field(name, f"_{name}", self._form(kind), kind, element.repeats)
            for name, (element, kind) in definition.by_json_name.items()
            if name not in attributes
        )
        members = {field.name: place for place, field in enumerate(fields)}
        members |= {f.extra: members[f.name] for f in fields if f.form in ("text", "number", "boolean")}
        tags = {DIV if f.form == "xhtml" else PREFIX + f.name: f for f in fields}
        return Table(tags, members, fields, attributes)

    def _form(self, name: str) -> Form:
        if name == "xhtml":
            return "xhtml"
        kind = self._types[name].kind
        if kind == "primitive-type":
            return form_of(name)
        return "resource" if kind == "resource" else "complex"


@cache
def tables(version: Version) -> Tables:
    """The tables of a FHIR version, made once."""
    return Tables(definitions(version))
