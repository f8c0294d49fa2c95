"""Base structure of a resource against the definitions: `check`.

Source: STU3 and R4, json.html and datatypes.html, the cardinalities, types and required bindings of the
definitions, invariants ext-1 and dom-2. Checked: elements that do not exist, are missing or stand twice, the
JSON type and format of every value, codes with a required binding, narratives. Not here: profiles, codes in
Coding and CodeableConcept, invariants, whether references resolve.

A lenient check turns into warnings what can be stored and understood without loss: an array where one value
may stand, a `_name` array of another length, a time without a zone, base64 without its padding, a code
outside its value set.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from contextlib import suppress
from dataclasses import dataclass
from functools import cache
from typing import Any, Literal

from schakel.fhir.definitions import Definitions, TypeDefinition, Version, definitions
from schakel.fhir.json import Resource
from schakel.fhir.places import At, path_of
from schakel.fhir.primitives import Primitive, primitives
from schakel.fhir.xml.narrative import div_of, text_of
from schakel.kernel.outcomes import Issue

MAX_ISSUES = 50

_Valid = Callable[[object], bool]


@dataclass(frozen=True, slots=True, eq=False)
class _Rule:
    """What may stand under one JSON member.

    `element` is the FHIRPath name (`value` for `valueQuantity`), `valid` the whole test of one primitive
    value, codes included. `choice` is the element's name when it has variants. `attribute` is set for what is
    an attribute in XML, which cannot be there twice.
    """

    name: str
    element: str
    form: Literal["primitive", "extra", "complex", "resource", "type"]
    type: str
    repeats: bool
    choice: str = ""
    valid: _Valid = bool
    primitive: Primitive | None = None
    codes: frozenset[str] | None = None
    attribute: bool = False


@dataclass(frozen=True, slots=True, eq=False)
class _Rules:
    """The members of one type; `required` has, per element, the members of which one must be there."""

    members: Mapping[str, _Rule]
    required: tuple[tuple[str, frozenset[str]], ...]
    extension: bool


def check(
    resource: Resource, known: Definitions, *, lenient: bool = False, max_issues: int = MAX_ISSUES
) -> list[Issue]:
    """The findings on `resource`, at most `max_issues`: errors, and in a lenient check warnings; empty when sound."""
    run = _Run(_tables(known.version), lenient, max_issues)
    with suppress(_EnoughError):
        run.root(resource)
    return run.issues


class _EnoughError(Exception):
    """As many issues were found as are reported."""


class _Tables(dict[str, _Rules]):
    """The rules of one FHIR version by type name, each made when it is first needed."""

    def __init__(self, known: Definitions) -> None:
        super().__init__()
        self.version = known.version
        self.resource_types = known.resource_types
        self._known = known
        self._primitives = {**primitives(known.version), "xhtml": _NARRATIVE}

    def __missing__(self, name: str) -> _Rules:
        rules = self[name] = self._rules(self._known.types[name])
        return rules

    def _rules(self, definition: TypeDefinition) -> _Rules:
        resource = definition.kind == "resource"
        attributes = () if resource else ("id", "url") if definition.name == "Extension" else ("id",)
        members: dict[str, _Rule] = {}
        satisfying: dict[str, set[str]] = {}
        for name, (element, kind) in definition.by_json_name.items():
            if resource and name == "id":
                kind = "id"  # R4 defines it as a string and says in words that it is an id
            choice = element.name if element.choice else ""
            names = {name}
            if kind in self._primitives:
                primitive, codes = self._primitives[kind], self._codes(element.binding, kind)
                valid = primitive.valid if codes is None else _among(codes)
                members[name] = _Rule(
                    name,
                    element.name,
                    "primitive",
                    kind,
                    element.repeats,
                    choice,
                    valid,
                    primitive,
                    codes,
                    name in attributes,
                )
                if name not in attributes and kind != "xhtml":
                    extra = f"_{name}"
                    names.add(extra)
                    members[extra] = _Rule(name, element.name, "extra", "Element", element.repeats, choice)
            else:
                nested = self._known.types[kind].kind == "resource"
                form: Literal["resource", "complex"] = "resource" if nested else "complex"
                members[name] = _Rule(name, element.name, form, kind, element.repeats, choice)
            if element.min:
                satisfying.setdefault(element.name, set()).update(names)
        if resource:
            members["resourceType"] = _Rule("resourceType", "resourceType", "type", "", False)
        required = tuple((element, frozenset(names)) for element, names in satisfying.items())
        return _Rules(members, required, definition.name == "Extension")

    def _codes(self, binding: str, kind: str) -> frozenset[str] | None:
        """The codes of a required binding, when the definitions hold them."""
        systems = self._known.value_sets.get(binding) if binding and kind == "code" else None
        return frozenset().union(*systems.values()) if systems else None


@cache
def _tables(version: Version) -> _Tables:
    return _Tables(definitions(version))


def _among(codes: frozenset[str]) -> _Valid:
    def valid(value: object) -> bool:
        return isinstance(value, str) and value in codes

    return valid


def _is_narrative(value: object) -> bool:
    if not isinstance(value, str):
        return False
    try:
        text_of(div_of(value))
    except ValueError:
        return False
    return True


_NARRATIVE = Primitive("text", "one well-formed <div> with XHTML only", _is_narrative)


class _Run:
    """One check. Paths are kept as places and written out only for an issue."""

    def __init__(self, tables: _Tables, lenient: bool, max_issues: int) -> None:
        self.issues: list[Issue] = []
        self._tables = tables
        self._lenient = lenient
        self._max_issues = max_issues

    def root(self, value: object) -> None:
        kind = value.get("resourceType") if isinstance(value, dict) else None
        self._resource(value, (None, kind if isinstance(kind, str) else "resource", None))

    def _resource(self, value: object, at: At) -> None:
        kind = value.get("resourceType") if isinstance(value, dict) else None
        if isinstance(kind, str) and kind in self._tables.resource_types:
            self._object(value, self._tables[kind], at)
        else:
            version = self._tables.version
            self._error("structure", f"no resource: `resourceType` must name a type of {version}", at)

    def _object(self, value: Any, rules: _Rules, at: At) -> None:
        if type(value) is not dict or not value:
            self._error("structure", "an object with at least one member is needed", at)
            return
        members = rules.members
        chosen: dict[str, str] = {}
        for name, member in value.items():
            rule = members.get(name)
            if rule is None:
                self._error("structure", "this element does not exist here", (at, _shown(name), None))
                continue
            form = rule.form
            if form == "primitive":
                if rule.repeats:
                    self._values(value, member, rule, at)
                elif not rule.valid(member):
                    self._one_value(value, member, rule, at)
            elif form == "type":
                continue
            elif rule.repeats:
                if type(member) is not list or not member:
                    self._error("structure", "a non-empty array is needed here", (at, rule.element, None))
                elif form == "extra":
                    self._extras(value, member, rule, at)
                else:
                    for index, item in enumerate(member):
                        self._item(item, rule, (at, rule.element, index))
            elif type(member) is list:
                self._too_many(member, rule, at)
                if form == "extra":
                    self._extras(value, member, rule, at)
                else:
                    for index, item in enumerate(member):
                        self._item(item, rule, (at, rule.element, index))
            else:
                if form == "extra" and type(value.get(rule.name)) is list:
                    message = f"{rule.name} is an array, _{rule.name} is not"
                    self._error("structure", message, (at, rule.element, None))
                self._item(member, rule, (at, rule.element, None))
            if rule.choice and chosen.setdefault(rule.choice, rule.name) != rule.name:
                message = f"only one of {chosen[rule.choice]} and {rule.name} may stand here"
                self._error("structure", message, (at, rule.element, None))
        for element, names in rules.required:
            if names.isdisjoint(value):
                self._error("required", "this element is required", (at, element, None))
        if rules.extension and ("extension" in value) == ("value" in chosen):
            self._error("invariant", "an extension has either a value or extensions (ext-1)", at)

    def _item(self, value: Any, rule: _Rule, at: At) -> None:
        if rule.form == "resource":
            self._resource(value, at)
            if rule.name == "contained" and isinstance(value, dict) and "contained" in value:
                self._error("invariant", "a contained resource contains no other (dom-2)", at)
        else:
            self._object(value, self._tables[rule.type], at)

    def _values(self, parent: dict[str, Any], values: Any, rule: _Rule, at: At) -> None:
        """An array of primitive values; null where `_name` has the content."""
        if type(values) is not list or not values:
            self._error("structure", "a non-empty array is needed here", (at, rule.element, None))
            return
        valid = rule.valid
        for index, value in enumerate(values):
            if not valid(value) and not (value is None and self._has_extra(parent, rule, index)):
                self._value(value, rule, (at, rule.element, index))

    def _one_value(self, parent: dict[str, Any], value: Any, rule: _Rule, at: At) -> None:
        """A value that is not right where one value may stand."""
        if type(value) is list:
            self._too_many(value, rule, at)
            self._values(parent, value, rule, at)
        else:
            self._value(value, rule, (at, rule.element, None))

    def _too_many(self, value: list[Any], rule: _Rule, at: At) -> None:
        severity = "warning" if self._lenient and value and not rule.attribute else "error"
        message = f"{len(value)} values in an array where one value may stand"
        self._add(severity, "structure", message, (at, rule.element, None))

    def _extras(self, parent: dict[str, Any], extras: list[Any], rule: _Rule, at: At) -> None:
        """The `_name` array of a primitive: as long as the values, and something in one of the two."""
        values = parent.get(rule.name)
        if type(values) is list and len(values) != len(extras):
            severity = "warning" if self._lenient else "error"
            message = f"{rule.name} and _{rule.name} must be equally long: fill up with null"
            self._add(severity, "structure", message, (at, rule.element, None))
        elif values is not None and type(values) is not list:
            self._error(
                "structure", f"_{rule.name} is an array, {rule.name} is not", (at, rule.element, None)
            )
        element = self._tables["Element"]
        length = len(values) if type(values) is list else 0
        for index, extra in enumerate(extras):
            if extra is not None:
                self._object(extra, element, (at, rule.element, index))
            elif index >= length:
                self._error("structure", "neither a value nor an extension", (at, rule.element, index))

    @staticmethod
    def _has_extra(parent: dict[str, Any], rule: _Rule, index: int) -> bool:
        extras = parent.get(f"_{rule.name}")
        return type(extras) is list and index < len(extras) and extras[index] is not None

    def _value(self, value: Any, rule: _Rule, at: At) -> None:
        """Say why a primitive value is not right."""
        primitive = rule.primitive
        if primitive is None or value is None:
            self._error("structure", "null may stand only in an array, beside an extension in `_name`", at)
        elif rule.codes is not None and primitive.valid(value):
            severity = "warning" if self._lenient else "error"
            self._add(severity, "code-invalid", "the code is not in the required value set", at)
        elif primitive.tolerable is not None and primitive.tolerable(value):
            severity = "warning" if self._lenient else "error"
            self._add(severity, "value", f"not a {rule.type} in full: {primitive.rule} is needed", at)
        else:
            self._error("value", f"not a {rule.type}: {primitive.rule} is needed", at)

    def _error(self, issue: str, message: str, at: At) -> None:
        self._add("error", issue, message, at)

    def _add(self, severity: str, issue: str, message: str, at: At) -> None:
        path = path_of(at)
        self.issues.append(Issue(severity, issue, f"{path}: {message}", path))
        if len(self.issues) == self._max_issues:
            raise _EnoughError


def _shown(name: str) -> str:
    """A member name of the caller's, fit for a path."""
    return "".join(c if c.isprintable() else "?" for c in name[:64])
