"""The FHIR definitions of a version as typed, read-only tables.

The `.json.zst` files beside this module are made by `scripts/build_definitions.py` from the CC0 specification
(STU3 3.0.1, R4 4.0.1). `definitions("stu3")` loads one, once per process.
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field, replace
from functools import cache, cached_property
from importlib.resources import files
from typing import Any, Literal

import zstandard

Version = Literal["stu3", "r4"]
VERSIONS: tuple[Version, ...] = ("stu3", "r4")


@dataclass(frozen=True, slots=True)
class Invariant:
    """A rule of the specification: `expression` is FHIRPath, `severity` error or warning."""

    key: str
    severity: str
    expression: str


@dataclass(frozen=True, slots=True)
class Element:
    """One element of a type.

    `name` has no `[x]`; `choice` says that the JSON name is the name plus the capitalised type. `types` are
    FHIR type names; a backbone element's type is its path, such as `Observation.component` (a content reference
    is resolved to the path it names). `max` 0 means no limit. `targets` are the resource types a Reference may
    point at, empty for any. `binding` is the value set of a required binding. `summary` says that the element
    belongs to a summary, `modifier` that it changes the meaning of what holds it.
    """

    name: str
    min: int
    max: int
    types: tuple[str, ...]
    choice: bool = False
    targets: tuple[str, ...] = ()
    binding: str = ""
    invariants: tuple[Invariant, ...] = ()
    summary: bool = False
    modifier: bool = False

    @property
    def repeats(self) -> bool:
        """Whether JSON has an array here."""
        return self.max != 1


@dataclass(frozen=True)
class TypeDefinition:
    """A primitive, complex type, backbone element or resource type, with its elements in XML order.

    `kind` is `primitive-type`, `complex-type`, `backbone` or `resource`. `elements` includes the inherited ones.
    """

    name: str
    kind: str
    base: str
    abstract: bool
    elements: Mapping[str, Element]
    regex: str = ""
    invariants: tuple[Invariant, ...] = ()

    @cached_property
    def by_json_name(self) -> Mapping[str, tuple[Element, str]]:
        """JSON member name to the element and the type it then has; `valueQuantity` stands here, `value` not."""
        out: dict[str, tuple[Element, str]] = {}
        for element in self.elements.values():
            if element.choice:
                for name in element.types:
                    out[element.name + name[0].upper() + name[1:]] = (element, name)
            else:
                out[element.name] = (element, element.types[0])
        return out


@dataclass(frozen=True, slots=True)
class SearchParameter:
    """A search parameter for the types in `base`. `expression` is FHIRPath as corrected (see `corrections`).

    `special` names how its values are read when that is not by their type alone (see `store.index_values`).
    `indexed_as` is the name of its values in an index, for a parameter of one organisation's own, or one that is
    another by a second name; `unready` says why such a one cannot be searched with for now.
    """

    code: str
    base: tuple[str, ...]
    type: str
    expression: str
    url: str
    targets: tuple[str, ...] = ()
    components: tuple[tuple[str, str], ...] = ()
    special: str = ""
    indexed_as: str = ""
    unready: str = ""

    @property
    def index_name(self) -> str:
        """The name under which its values stand in an index."""
        return self.indexed_as or self.code


@dataclass(frozen=True, slots=True)
class ExtensionDefinition:
    """An extension that the specification defines, or one nested in it.

    `contexts` are the elements where it may stand, as paths (`Patient`, `Patient.birthDate`, `Element`), or with
    another kind of context before a colon. `types` are the value types, None for any. `nested` are the extensions
    it consists of by url; `min` and `max` (0 = no limit) count for these.
    """

    contexts: tuple[str, ...]
    modifier: bool
    types: frozenset[str] | None
    min: int
    max: int
    nested: Mapping[str, ExtensionDefinition]


@dataclass(frozen=True, eq=False)
class Definitions:
    """All definitions of one FHIR version; one organisation may have more search parameters (`extended`)."""

    version: Version
    release: str
    types: Mapping[str, TypeDefinition]
    value_sets: Mapping[str, Mapping[str, frozenset[str]]]
    compartments: Mapping[str, Mapping[str, tuple[str, ...]]]
    _search: Mapping[str, Mapping[str, SearchParameter]] = field(repr=False)
    extensions: Mapping[str, ExtensionDefinition] = field(default_factory=dict)
    code_systems: Mapping[str, frozenset[str]] = field(default_factory=dict)
    _standard: Definitions | None = field(default=None, repr=False)

    @property
    def standard(self) -> Definitions:
        """These definitions without the search parameters that were added to them."""
        return self._standard or self

    @cached_property
    def resource_types(self) -> frozenset[str]:
        """Names of the concrete resource types."""
        return frozenset(n for n, t in self.types.items() if t.kind == "resource" and not t.abstract)

    def search_parameters(self, resource_type: str) -> Mapping[str, SearchParameter]:
        """Search parameters of a resource type by code, those of Resource and DomainResource included."""
        return self._search.get(resource_type, {})

    def extended(self, parameters: Iterable[SearchParameter]) -> Definitions:
        """These definitions with more search parameters. What is known already stays what it is: one with the same
        code is left out for that type."""
        search: dict[str, dict[str, SearchParameter]] = {kind: {} for kind in self._search}
        _add(search, parameters)
        search = {kind: {**added, **self._search[kind]} for kind, added in search.items()}
        return replace(self, _search=search, _standard=self.standard)

    @cached_property
    def _by_url(self) -> Mapping[str, SearchParameter]:
        return {parameter.url: parameter for held in self._search.values() for parameter in held.values()}

    def search_parameter(self, url: str) -> SearchParameter | None:
        """The search parameter with this canonical URL."""
        return self._by_url.get(url)

    def is_a(self, name: str, ancestor: str) -> bool:
        """Whether type `name` is `ancestor` or derives from it."""
        while name:
            if name == ancestor:
                return True
            definition = self.types.get(name)
            name = definition.base if definition else ""
        return False


def _invariants(version: Version, raw: list[list[str]] | None) -> tuple[Invariant, ...]:
    from schakel.fhir.definitions.corrections import corrected_invariant

    found = [Invariant(k, severity, corrected_invariant(version, k, text)) for k, severity, text in raw or ()]
    return tuple(invariant for invariant in found if invariant.expression)


def _element(version: Version, raw: dict[str, Any]) -> Element:
    name = str(raw["n"])
    types = (raw["c"],) if "c" in raw else tuple(raw.get("t", ()))
    return Element(
        name=name.removesuffix("[x]"),
        min=raw["a"],
        max=raw["m"],
        types=types,
        choice=name.endswith("[x]"),
        targets=tuple(raw.get("r", ())),
        binding=raw.get("b", ""),
        invariants=_invariants(version, raw.get("i")),
        summary="s" in raw,
        modifier="y" in raw,
    )


def extension_of(raw: dict[str, Any]) -> ExtensionDefinition:
    """An extension from its table (see `extensions.extension_table`)."""
    return ExtensionDefinition(
        contexts=tuple(raw.get("c", ())),
        modifier="y" in raw,
        types=frozenset(raw["v"]) if "v" in raw else None,
        min=raw.get("a", 0),
        max=raw.get("m", 0),
        nested={url: extension_of(inner) for url, inner in raw.get("n", {}).items()},
    )


def _add(search: Mapping[str, dict[str, SearchParameter]], parameters: Iterable[SearchParameter]) -> None:
    """Puts parameters into the table of each type they are for."""
    for parameter in parameters:
        for base in parameter.base:
            for kind in search if base in ("Resource", "DomainResource") else (base,):
                if kind in search:
                    search[kind][parameter.code] = parameter


@cache
def definitions(version: Version) -> Definitions:
    """The definitions of `version`; loaded once (about 0.1 s). Raises `KeyError` for another word."""
    from schakel.fhir.definitions.added import ADDED
    from schakel.fhir.definitions.corrections import corrected

    if version not in VERSIONS:
        raise KeyError(version)
    packed = files(__package__).joinpath(f"{version}.json.zst").read_bytes()
    table = json.loads(zstandard.ZstdDecompressor().decompress(packed))
    types = {
        name: TypeDefinition(
            name=name,
            kind=raw["k"],
            base=raw["base"],
            abstract=raw.get("abstract", False),
            elements={e.name: e for e in (_element(version, entry) for entry in raw["e"])},
            regex=raw.get("regex", ""),
            invariants=_invariants(version, raw.get("i")),
        )
        for name, raw in table["types"].items()
    }
    concrete = [n for n, t in types.items() if t.kind == "resource" and not t.abstract]
    search: dict[str, dict[str, SearchParameter]] = {name: {} for name in concrete}
    parameters = [
        SearchParameter(
            code=raw["code"],
            base=tuple(raw["base"]),
            type=raw["type"],
            expression=corrected(version, raw["url"], raw["expression"]),
            url=raw["url"],
            targets=tuple(raw.get("target", ())),
            components=tuple((c[0], corrected(version, raw["url"], c[1])) for c in raw.get("component", ())),
        )
        for raw in table["search"]
    ]
    _add(search, [*parameters, *ADDED[version]])
    return Definitions(
        version=version,
        release=table["release"],
        types=types,
        value_sets={
            url: {system: frozenset(codes) for system, codes in expansion.items()}
            for url, expansion in table["valueSets"].items()
        },
        compartments={
            name: {kind: tuple(codes) for kind, codes in members.items()}
            for name, members in table["compartments"].items()
        },
        extensions={url: extension_of(raw) for url, raw in table["extensions"].items()},
        code_systems={url: frozenset(codes) for url, codes in table["codeSystems"].items()},
        _search=search,
    )
