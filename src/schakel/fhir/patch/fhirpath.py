"""FHIRPath Patch: operations in a Parameters resource, each with a FHIRPath to the element it changes."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from schakel.fhir.definitions import Definitions, Element
from schakel.fhir.fhirpath import Node, compile_expression
from schakel.fhir.fhirpath.parser import parse
from schakel.fhir.fhirpath.syntax import Member
from schakel.fhir.json import Resource
from schakel.fhir.patch.documents import copy_of, measure
from schakel.fhir.patch.elements import Elements, Place
from schakel.fhir.patch.limits import DEFAULT, PatchLimits
from schakel.fhir.patch.values import Value, value_of
from schakel.kernel.outcomes import Invalid, Outcome, Unprocessable

_PARTS = {
    "add": ("path", "name", "value"),
    "insert": ("path", "index", "value"),
    "delete": ("path",),
    "replace": ("path", "value"),
    "move": ("path", "source", "destination"),
}


def apply_fhirpath_patch(
    resource: Resource, parameters: Resource, definitions: Definitions, limits: PatchLimits = DEFAULT
) -> Resource:
    """`resource` with the operations in `parameters` applied in order; both inputs stay as they are.

    Raises `Invalid` for what is no FHIRPath Patch, `Unprocessable` where it does not fit this resource, and
    `TooCostly`; each names the operation, counted from 0. Elements left without content disappear.
    """
    entries = parameters.get("parameter", [])
    if parameters.get("resourceType") != "Parameters" or not isinstance(entries, list):
        raise Invalid("a FHIRPath Patch is a Parameters resource", code="patch-invalid")
    limits.check_length(len(entries))
    patched: Resource = copy_of(resource)
    for index, entry in enumerate(entries):
        where = f"Parameters.parameter[{index}]"
        try:
            _Operation(entry, definitions, limits).apply(patched)
        except Outcome as outcome:
            kind = type(outcome)
            message = f"operation {index}: {outcome.message}"
            raise kind(
                message, code=outcome.kind, issue=outcome.issues[0].issue, expression=where
            ) from outcome
    if measure(patched)[1] > limits.depth:
        raise _misfit(
            f"the resource becomes nested too deep: at most {limits.depth} levels (setting limits.depth)"
        )
    return patched


class _Operation:
    """One operation of a patch."""

    def __init__(self, entry: object, definitions: Definitions, limits: PatchLimits) -> None:
        if not isinstance(entry, dict) or entry.get("name") != "operation":
            raise _malformed("every parameter is named 'operation'")
        parts = _by_name(entry.get("part"))
        self._known = definitions
        self._steps = limits.steps
        kind = _text(parts, "type")
        if kind not in _PARTS:
            raise _malformed(f"type must be one of {', '.join(_PARTS)}")
        self.kind = kind
        for name in _PARTS[kind]:
            if name not in parts:
                raise _malformed(f"{kind} needs the part {name!r}")
        for name in parts:
            if name != "type" and name not in _PARTS[kind]:
                raise _malformed(f"{kind} has no part {name[:64]!r}")
        self._parts = parts
        self.path = _text(parts, "path")

    def apply(self, resource: Resource) -> None:
        """Changes `resource`."""
        context = resource.get("resourceType")
        if not isinstance(context, str) or context not in self._known.resource_types:
            raise _misfit("what is patched is no resource of this FHIR version")
        elements = Elements(resource, self._known)
        expression = compile_expression(self.path, self._known, context=context)
        found = [elements.place(node) for node in expression.evaluate(resource, steps=self._steps)]
        match self.kind:
            case "add":
                self._add(elements, self._one(found))
            case "insert":
                self._insert(elements, found, resource, context)
            case "delete":
                if found:
                    elements.delete(self._one(found))
            case "replace":
                place = self._one(found)
                name, _ = elements.element_at(place)
                elements.replace(place, self._value(elements.element(place.parent_type, name)))
            case "move":
                self._move(elements, found)
        elements.finish()

    def _value(self, element: Element) -> Value:
        return value_of(self._parts["value"], element, self._known)

    def _one(self, found: list[Place]) -> Place:
        if len(found) != 1:
            raise _misfit(f"the path {self.path[:200]!r} finds {len(found)} elements; {self.kind} needs one")
        return found[0]

    def _add(self, elements: Elements, place: Place) -> None:
        name = _text(self._parts, "name")
        type_name, target = elements.object_at(place)
        element = elements.element(type_name, name)
        if not element.repeats and elements.occupied(target, element):
            raise _misfit(f"{element.name} is there already and may stand once; use replace")
        elements.append(target, element, self._value(element))

    def _insert(self, elements: Elements, found: list[Place], resource: Resource, context: str) -> None:
        index = _number(self._parts, "index")
        if not found and index == 0:
            # A list that is empty cannot be found, only the element that would have it.
            base, name = self._ahead()
            nodes = [Node(resource, context, None, resource)]
            if base:
                nodes = compile_expression(base, self._known, context=context).evaluate(
                    resource, steps=self._steps
                )
            type_name, target = elements.object_at(self._one([elements.place(node) for node in nodes]))
            element = elements.element(type_name, name)
            if not element.repeats:
                raise _misfit(f"{name} is no list; use add")
            elements.append(target, element, self._value(element))
            return
        first, length = self._list(elements, found)
        if index > length:
            raise _misfit(f"the list has {length} items; the index {index} is beyond its end")
        name, element = elements.element_at(first)
        elements.insert(first, index, self._value(element))

    def _move(self, elements: Elements, found: list[Place]) -> None:
        source, destination = _number(self._parts, "source"), _number(self._parts, "destination")
        first, length = self._list(elements, found)
        if source >= length or destination >= length:
            raise _misfit(f"the list has {length} items; source and destination must be below that")
        elements.move(first, source, destination)

    def _list(self, elements: Elements, found: list[Place]) -> tuple[Place, int]:
        """The first place and the length of the one list that is found, whole."""
        if not found:
            raise _misfit(f"the path {self.path[:200]!r} finds nothing")
        first = found[0]
        length = elements.length(first)
        if first.index is None or len(found) != length or any(p.list_key != first.list_key for p in found):
            raise _misfit(f"the path {self.path[:200]!r} must find one list, whole")
        return first, length

    def _ahead(self) -> tuple[str, str]:
        """The path without its last step, and the name in that step."""
        tree = parse(self.path)
        if not isinstance(tree, Member):
            raise _misfit(f"the path {self.path[:200]!r} finds nothing")
        return ("" if tree.base is None else self.path[: self.path.rindex(".")]), tree.name


def _by_name(parts: object) -> dict[str, dict[str, Any]]:
    out: dict[str, dict[str, Any]] = {}
    for part in parts if isinstance(parts, list) else ():
        name = part.get("name") if isinstance(part, dict) else None
        if not isinstance(name, str) or name in out:
            raise _malformed("the parts of an operation have a name each, all different")
        out[name] = part
    return out


def _only(parts: dict[str, dict[str, Any]], name: str) -> object:
    values: Iterator[Any] = (v for key, v in parts.get(name, {}).items() if key.startswith("value"))
    return next(values, None)


def _text(parts: dict[str, dict[str, Any]], name: str) -> str:
    value = _only(parts, name)
    if not isinstance(value, str) or not value:
        raise _malformed(f"the part {name!r} is a text")
    return value


def _number(parts: dict[str, dict[str, Any]], name: str) -> int:
    value = _only(parts, name)
    if type(value) is not int or value < 0:
        raise _malformed(f"the part {name!r} is a whole number from 0")
    return value


def _malformed(message: str) -> Outcome:
    return Invalid(message, code="patch-invalid")


def _misfit(message: str) -> Outcome:
    return Unprocessable(message, code="patch-misfit", issue="processing")
