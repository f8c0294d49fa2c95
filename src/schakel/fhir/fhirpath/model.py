"""Which children a type has in JSON: the FHIR definitions in the form that path steps need."""

from __future__ import annotations

from collections.abc import Mapping
from typing import NamedTuple

from schakel.fhir.definitions import Definitions, TypeDefinition
from schakel.fhir.fhirpath.nodes import EMPTY, Evaluation, Node, Nodes, Resource
from schakel.fhir.fhirpath.units import Quantity
from schakel.fhir.fhirpath.values import PRIMITIVES, SYSTEM, SYSTEM_TYPES, guessed_type
from schakel.kernel.outcomes import Invalid

_ABSTRACT = frozenset({"Resource", "DomainResource", "Element", "BackboneElement"})
_OF_QUANTITY = {"value": "System.Decimal", "unit": "System.String"}
_MANY = 6  # from so many JSON names on it is quicker to go through the members that are there


class Slot(NamedTuple):
    """One JSON member of a type.

    `shadow` is the member with a primitive's id and extensions, empty for others; `resource` says that the
    type stands in the value itself.
    """

    key: str
    type: str
    shadow: str
    resource: bool


class Model:
    """The types of one FHIR version, or of none. One per version: see `model_of`.

    `typed` says that there are definitions, `draft` that its FHIRPath is that of before N1 (STU3).
    """

    def __init__(self, definitions: Definitions | None) -> None:
        self._definitions = definitions
        self.typed = definitions is not None
        self.types: Mapping[str, TypeDefinition] = definitions.types if definitions is not None else {}
        self.resource_types = definitions.resource_types if definitions is not None else frozenset[str]()
        self.draft = definitions is not None and definitions.version == "stu3"
        self._slots: dict[str, dict[str, Slot]] = {}
        self._named: dict[tuple[str, str], tuple[Slot, ...]] = {}

    def has(self, type: str) -> bool:
        return type in self.types

    def is_a(self, type: str, ancestor: str) -> bool:
        return type == ancestor or (self._definitions is not None and self._definitions.is_a(type, ancestor))

    def slots(self, type: str) -> dict[str, Slot]:
        """All JSON members of `type` by name; a choice has one for each of its types."""
        found = self._slots.get(type)
        if found is None:
            definition = self.types.get(type)
            names = definition.by_json_name if definition is not None else {}
            found = self._slots[type] = {key: _slot(key, kind) for key, (_, kind) in names.items()}
        return found

    def named(self, type: str, name: str) -> tuple[Slot, ...]:
        """The JSON members that element `name` of `type` can have; none when there is no such element."""
        found = self._named.get((type, name))
        if found is None:
            definition = self.types.get(type)
            element = definition.elements.get(name) if definition is not None else None
            slots = self.slots(type)
            if element is None:
                found = ()
            elif element.choice:
                found = tuple(slots[name + kind[0].upper() + kind[1:]] for kind in element.types)
            else:
                found = (slots[name],)
            self._named[type, name] = found
        return found

    def child_types(self, types: frozenset[str], name: str) -> frozenset[str] | None:
        """Types that `name` has below any of `types`; None when none of them has it."""
        found: set[str] = set()
        known = False
        for type in types:
            if type in PRIMITIVES and not type.startswith("System.") and name == "value":
                known = True
                found.add(SYSTEM[type])
            elif type == "System.Quantity" and name in _OF_QUANTITY:
                known = True
                found.add(_OF_QUANTITY[name])
            for slot in self.named(type, name):
                known = True
                found.add(slot.type)
        return frozenset(found) if known else None

    def is_open(self, type: str) -> bool:
        """Whether values of static type `type` have a type of their own that can be another."""
        return type in _ABSTRACT

    def resource_type(self, value: Resource) -> str:
        """The type that a resource says it is, whether FHIR has it or not."""
        name = value.get("resourceType")
        return name if isinstance(name, str) and name else "Resource"

    def root(self, subject: Resource, context: str | None) -> Node:
        """The node of a whole resource, or of an element of type `context`."""
        if "resourceType" in subject:
            return Node(subject, self.resource_type(subject), None, subject)
        return Node(subject, context or "", None, subject)

    def named_type(self, name: str) -> tuple[str, ...]:
        """The types a specifier means: FHIR's and the system's of that name. Raises `Invalid` for neither."""
        if name.startswith("System."):
            found = [name] if name in SYSTEM_TYPES or name == "System.Any" else []
        elif name.startswith("FHIR."):
            found = [name[5:]] if self.has(name[5:]) else []
        else:
            system = "System." + name
            found = ([name] if self.has(name) else []) + ([system] if system in SYSTEM_TYPES else [])
        if not found and self._definitions is None:
            found = [name.removeprefix("FHIR.")]
        elif not found and self._definitions is not None:
            raise Invalid(
                f"FHIRPath: FHIR {self._definitions.release} and System have no type {name!r}; mind the case",
                code="fhirpath-unknown-type",
            )
        return tuple(found)

    def matches(self, type: str, wanted: tuple[str, ...]) -> bool:
        """Whether `type` is one of the `wanted` or derives from one."""
        return any(type == name or name == "System.Any" or self.is_a(type, name) for name in wanted)

    def children(self, node: Node) -> Nodes:
        """All children of `node`, in the order of its JSON, with their types."""
        value = node.value
        out: Nodes = []
        if not isinstance(value, dict):
            if node.extra:
                self._collect(node, node.extra, self.slots("Element"), out)
            return out
        self._collect(node, value, self.slots(node.type), out)
        return out

    def _collect(self, node: Node, members: Resource, slots: dict[str, Slot], out: Nodes) -> None:
        if not slots:
            for name in dict.fromkeys(key.removeprefix("_") for key in members if key != "resourceType"):
                out += self.untyped(node, members, name)
            return
        for key in members:
            slot = slots.get(key)
            if slot is None and key[:1] == "_" and key[1:] not in members:
                slot = slots.get(key[1:])
            if slot is not None:
                self.take(node, members, slot, out)

    def take(self, node: Node, members: Resource, slot: Slot, out: Nodes) -> None:
        """Append what `members` (of `node`) hold in `slot`."""
        key, type, shadow, resource = slot
        value = members.get(key)
        if shadow:
            extra = members.get(shadow)
            if extra is not None or isinstance(value, list):
                _take_extended(node, type, value, extra, out)
            elif value is not None:
                out.append(Node(value, type, None, node.owner))
        elif value is not None:
            for item in value if isinstance(value, list) else (value,):
                if not isinstance(item, dict):
                    continue
                if resource:
                    owner = node.owner if key == "contained" else item
                    out.append(Node(item, self.resource_type(item), None, owner))
                else:
                    out.append(Node(item, type, None, node.owner))

    def untyped(self, node: Node, members: Resource, name: str) -> Nodes:
        """Children of a node whose type is not defined: by their JSON name, primitives as system types."""
        value = members.get(name)
        extra = members.get("_" + name)
        out: Nodes = []
        _take_extended(node, "", value, extra, out)
        for child in out:
            if isinstance(child.value, dict) and "resourceType" in child.value:
                child.type, child.owner = self.resource_type(child.value), child.value
            else:
                child.type = guessed_type(child.value)
        return out

    def of_primitive(self, node: Node, name: str) -> Nodes:
        """A child of a primitive (its bare `value`, its `id`, its `extension`s) or of a System.Quantity."""
        if isinstance(node.value, Quantity):
            kind = _OF_QUANTITY.get(name)
            return EMPTY if kind is None else [Node(getattr(node.value, name), kind)]
        if name == "value" and self.typed:
            kind = SYSTEM.get(node.type)
            if kind is None or node.value is None or node.type.startswith("System."):
                return EMPTY
            return [Node(node.value, kind)]
        out: Nodes = []
        if node.extra:
            for slot in self.named("Element", name):
                self.take(node, node.extra, slot, out)
            if not self.typed:
                out += self.untyped(node, node.extra, name)
        return out


def _slot(key: str, type: str) -> Slot:
    return Slot(key, type, "_" + key if type in PRIMITIVES else "", type in ("Resource", "DomainResource"))


def _take_extended(node: Node, type: str, value: object, extra: object, out: Nodes) -> None:
    """Primitives of which some may have an id or extensions: `value` and `extra` in parallel."""
    if not isinstance(value, list) and not isinstance(extra, list):
        if value is not None or extra is not None:
            out.append(Node(value, type, extra if isinstance(extra, dict) else None, node.owner))
        return
    values = value if isinstance(value, list) else []
    extras = extra if isinstance(extra, list) else []
    for i in range(max(len(values), len(extras))):
        item = values[i] if i < len(values) else None
        more = extras[i] if i < len(extras) else None
        if item is not None or more is not None:
            out.append(Node(item, type, more if isinstance(more, dict) else None, node.owner))


class Step:
    """The children `name` of each node of a collection; with `only`, just those of these types."""

    __slots__ = ("_model", "_name", "_only", "_plans")

    def __init__(self, model: Model, name: str, only: tuple[str, ...] = ()) -> None:
        self._model = model
        self._name = name
        self._only = only
        self._plans: dict[str, tuple[Slot, ...]] = {}

    def _plan(self, type: str) -> tuple[Slot, ...]:
        slots = self._model.named(type, self._name)
        if self._only:
            slots = tuple(s for s in slots if self._model.matches(s.type, self._only))
        self._plans[type] = slots
        return slots

    def __call__(self, evaluation: Evaluation, nodes: Nodes) -> Nodes:
        out: Nodes = []
        for node in nodes:
            slots = self._plans.get(node.type)
            if slots is None:
                slots = self._plan(node.type)
            value = node.value
            if type(value) is not dict:
                out += self._model.of_primitive(node, self._name)
            elif len(slots) == 1:
                slot = slots[0]
                found = value.get(slot.key)
                if type(found) is dict and not slot.resource:
                    out.append(Node(found, slot.type, None, node.owner))
                elif found is not None or slot.shadow:
                    self._model.take(node, value, slot, out)
            elif slots:
                self._choose(node, value, slots, out)
            elif node.type not in self._model.types and not self._only:
                out += self._model.untyped(node, value, self._name)
        return out

    def _choose(self, node: Node, value: Resource, slots: tuple[Slot, ...], out: Nodes) -> None:
        if len(slots) > _MANY:
            name = self._name
            present = self._model.slots(node.type)
            for key in value:
                bare = key[1:] if key[:1] == "_" else key
                if bare.startswith(name) and (bare is key or bare not in value):
                    slot = present.get(bare)
                    if slot is not None and slot in slots:
                        self._model.take(node, value, slot, out)
        else:
            for slot in slots:
                if slot.key in value or (slot.shadow and slot.shadow in value):
                    self._model.take(node, value, slot, out)


_MODELS: dict[int, Model] = {}


def model_of(definitions: Definitions | None) -> Model:
    """The model of these definitions, made once; without any, all that is known is what stands in the data."""
    model = _MODELS.get(id(definitions))
    if model is None:
        model = _MODELS[id(definitions)] = Model(definitions)
    return model
