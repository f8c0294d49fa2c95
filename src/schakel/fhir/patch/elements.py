"""Where the elements of a resource are, so that what an expression finds can be changed.

A node of FHIRPath knows its value, not its place. An object is known again by its identity; so that the same
goes for a primitive, each gets a `_name` part of its own while an operation is carried out, and the ones that
stayed empty are taken away after it.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any

from schakel.fhir.definitions import Definitions, Element
from schakel.fhir.fhirpath import Node
from schakel.fhir.json import Resource
from schakel.fhir.patch.values import Value
from schakel.kernel.outcomes import Unprocessable


@dataclass(frozen=True, slots=True)
class Place:
    """A member `key` of the object `parent`, one item of it when `index` is given; without `parent` the root."""

    parent: dict[str, Any] | None
    parent_type: str
    key: str
    index: int | None
    type: str

    @property
    def list_key(self) -> tuple[int, str]:
        """The same for places in one list."""
        return id(self.parent), self.key


class Elements:
    """The places in one resource, for one operation: they are wrong after a change. Ends with `finish`."""

    def __init__(self, resource: Resource, known: Definitions) -> None:
        self._known = known
        self._root = resource
        self._places: dict[int, Place] = {id(resource): Place(None, "", "", None, resource["resourceType"])}
        self._enter(resource, resource["resourceType"])

    def _enter(self, value: dict[str, Any], type_name: str) -> None:
        definition = self._known.types.get(type_name)
        if definition is None:
            return
        for key, (_, kind) in definition.by_json_name.items():
            extra = "_" + key
            if key not in value and extra not in value:
                continue
            if self._known.types[kind].kind == "primitive-type":
                self._mark(value, type_name, key, kind)
                continue
            held = value.get(key)
            items: Iterable[tuple[int | None, Any]] = (
                enumerate(held) if isinstance(held, list) else [(None, held)]
            )
            for index, item in items:
                if isinstance(item, dict):
                    inner = self._type_of(item, kind)
                    self._places[id(item)] = Place(value, type_name, key, index, inner)
                    self._enter(item, inner)

    def _type_of(self, item: dict[str, Any], kind: str) -> str:
        named = item.get("resourceType")
        return named if isinstance(named, str) and self._known.types[kind].kind == "resource" else kind

    def _mark(self, value: dict[str, Any], type_name: str, key: str, kind: str) -> None:
        held, extra = value.get(key), value.get("_" + key)
        marks: list[tuple[int | None, dict[str, Any]]] = []
        if isinstance(held, list) or isinstance(extra, list):
            values = held if isinstance(held, list) else []
            extras = extra if isinstance(extra, list) else []
            length = max(len(values), len(extras))
            values += [None] * (length - len(values))
            extras += [None] * (length - len(extras))
            extras[:] = [item if isinstance(item, dict) else {} for item in extras]
            value[key], value["_" + key] = values, extras
            marks.extend(enumerate(extras))
        else:
            mark = extra if isinstance(extra, dict) else {}
            value["_" + key] = mark
            marks.append((None, mark))
        for index, item in marks:
            self._places[id(item)] = Place(value, type_name, key, index, kind)
            self._enter(item, "Element")

    def place(self, node: Node) -> Place:
        """Where a result of an expression is. Raises `Unprocessable` for one that is no element."""
        found = self._places.get(id(node.value if isinstance(node.value, dict) else node.extra))
        if found is None:
            raise _misfit("the path must lead to elements of the resource, not to what is worked out from it")
        return found

    def element(self, type_name: str, name: str) -> Element:
        """The element `name` of a type, also by the JSON name of one choice. Raises `Unprocessable`."""
        definition = self._known.types.get(type_name)
        if definition is not None:
            found = definition.elements.get(name)
            if found is not None:
                return found
            if name in definition.by_json_name:
                return definition.by_json_name[name][0]
        raise _misfit(f"{type_name} has no element {name[:64]!r}")

    def element_at(self, place: Place) -> tuple[str, Element]:
        """Name and definition of the element at a place. Raises `Unprocessable` for the resource itself."""
        if place.parent is None:
            raise _misfit("the path leads to the whole resource; it must lead to an element in it")
        element, _ = self._known.types[place.parent_type].by_json_name[place.key]
        return element.name, element

    def object_at(self, place: Place) -> tuple[str, dict[str, Any]]:
        """Type and members of what elements can be added to; for a primitive that is its `_name` part."""
        if place.parent is None:
            return place.type, self._root
        primitive = self._known.types[place.type].kind == "primitive-type"
        held = place.parent["_" + place.key if primitive else place.key]
        return "Element" if primitive else place.type, held if place.index is None else held[place.index]

    def occupied(self, target: dict[str, Any], element: Element) -> bool:
        """Whether `target` has the element, in whichever type."""
        return any(name in target or "_" + name in target for name in _json_names(element))

    def length(self, place: Place) -> int:
        """The length of the list in which a place is."""
        held = place.parent.get(place.key) if place.parent is not None else None
        return len(held) if isinstance(held, list) else 0

    def append(self, target: dict[str, Any], element: Element, value: Value) -> None:
        """Adds an occurrence of the element at the end."""
        if not element.repeats:
            _set(target, value)
            return
        length = max(len(target.get(value.key, ())), len(target.get("_" + value.key, ())))
        _insert(target, value, length, length)

    def insert(self, place: Place, index: int, value: Value) -> None:
        """Adds an item to the list in which `place` is, before the item that now has this index."""
        assert place.parent is not None
        _insert(place.parent, value, index, self.length(place))

    def delete(self, place: Place) -> None:
        """Takes an element away, a primitive with its `_name` part. Raises `Unprocessable` for the resource."""
        self.element_at(place)
        assert place.parent is not None
        for key in (place.key, "_" + place.key):
            if key in place.parent:
                if place.index is None:
                    del place.parent[key]
                else:
                    del place.parent[key][place.index]

    def replace(self, place: Place, value: Value) -> None:
        """Puts another element in its place; in a choice, under the name that belongs to its type."""
        assert place.parent is not None
        if place.index is None:
            self.delete(place)
            _set(place.parent, value)
            return
        length = self.length(place)
        self.delete(place)
        _insert(place.parent, value, place.index, length - 1)

    def move(self, place: Place, source: int, destination: int) -> None:
        """Moves an item of the list in which `place` is; it has the index `destination` afterwards."""
        assert place.parent is not None
        for key in (place.key, "_" + place.key):
            held = place.parent.get(key)
            if isinstance(held, list):
                held.insert(destination, held.pop(source))

    def finish(self) -> None:
        """Takes away the empty `_name` parts, and objects and lists that were left without content."""
        _prune(self._root)


def _set(target: dict[str, Any], value: Value) -> None:
    if value.value is not None:
        target[value.key] = value.value
    if value.extra:
        target["_" + value.key] = value.extra


def _insert(target: dict[str, Any], value: Value, index: int, length: int) -> None:
    """Inserts into a list, and into its `_name` list when there is one or the value has such a part."""
    extra = "_" + value.key
    target.setdefault(value.key, [None] * length).insert(index, value.value)
    if extra in target or value.extra:
        target.setdefault(extra, [None] * length).insert(index, value.extra or None)


def _json_names(element: Element) -> list[str]:
    if not element.choice:
        return [element.name]
    return [element.name + kind[0].upper() + kind[1:] for kind in element.types]


def _prune(value: dict[str, Any]) -> None:
    for name in list(value):
        member = value[name]
        if isinstance(member, dict):
            _prune(member)
            if not member:
                del value[name]
        elif isinstance(member, list):
            for item in member:
                if isinstance(item, dict):
                    _prune(item)
            if name[:1] == "_":
                kept = [None if item == {} else item for item in member]
            else:
                kept = [item for item in member if item != {}]
            if all(item is None for item in kept):
                del value[name]
            else:
                value[name] = kept


def _misfit(message: str) -> Unprocessable:
    return Unprocessable(message, code="patch-misfit", issue="processing")
