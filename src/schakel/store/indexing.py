"""What a resource puts into the search index: rows per kind of search parameter, and the patient it belongs to.

Compiled once per type from the search parameters of the definitions (FHIR search, STU3 and R4 3.1.1.4); the values
of a node come from `index_values`. Beside the parameters themselves stand, with the tokens: `code:identifier` (of a
reference), `code:of-type` (of an identifier) and `code:present` (the element is there, and none of its values has a
row). Parameters that are others taken together (`fhir.search.unions`) have no rows.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from datetime import datetime
from functools import cache
from typing import Any

from schakel.fhir import Definitions
from schakel.fhir.definitions import SearchParameter, Version, definitions
from schakel.fhir.definitions.added import TIME_INTERVAL
from schakel.fhir.fhirpath import Expression, Node, compile_expression
from schakel.fhir.json import Resource
from schakel.fhir.search import KINDS, component_parameters, fold, parts_of, supported
from schakel.kernel.outcomes import Invalid
from schakel.store import attachments, index_values
from schakel.store.index_values import key, parse_literal, text_of

FHIR_NUMBER: Mapping[Version, int] = {"stu3": 3, "r4": 4}
INDEXED = KINDS
"""Kinds of search parameter that have an index."""

OWN = "+"
"""The rows of an organisation's own parameters stand under names that begin so; what a door gives rests on none of
them."""

COLUMNED = frozenset({"_id", "_lastUpdated"})
"""Parameters answered from the resource table itself."""

CompositeRow = tuple[
    str, int, int,
    str | None, str | None, str | None, str | None, str | None, str | None, datetime | None, datetime | None,
    float | None, float | None, str | None, str | None, float | None, float | None,
]  # fmt: skip
"""param, node, part; code, system, target_type, target_id, folded, value, low, high, least, most, unit, base,
base_least, base_most."""


@dataclass(slots=True)
class IndexRows:
    """Rows of one resource without the leading key columns: each tuple starts with the parameter."""

    patient: str = ""
    token: set[tuple[str, str, str]] = field(default_factory=set)
    reference: set[tuple[str, str, str]] = field(default_factory=set)
    string: set[tuple[str, str, str]] = field(default_factory=set)
    date: set[tuple[str, datetime, datetime]] = field(default_factory=set)
    quantity: set[tuple[str, float, float, str, str, str, str, float, float]] = field(default_factory=set)
    composite: set[CompositeRow] = field(default_factory=set)
    words: set[str] = field(default_factory=set)

    def tables(self) -> Iterator[tuple[str, set[Any]]]:
        """The rows by the table they go to."""
        yield "index_token", self.token
        yield "index_reference", self.reference
        yield "index_string", self.string
        yield "index_date", self.date
        yield "index_quantity", self.quantity
        yield "index_composite", self.composite
        if self.words:
            yield "index_text", {("".join(sorted(self.words)),)}


def line_of_words(code: str, folded: str) -> str:
    """A line of `index_text`, or the start of one: what is said beside a code of a parameter."""
    return f"\n{code}\x1f{key(folded)}"


Add = Callable[[IndexRows, Node, Resource, tuple[str, ...]], bool]
"""Adds the rows of a node of a resource; False when it has none, though it is there."""


def adder(parameter: SearchParameter, version: Version) -> Add:
    """What puts the values of a parameter into the index."""
    code = parameter.index_name
    of_type, by_identifier = f"{code}:of-type", f"{code}:identifier"

    def token(rows: IndexRows, node: Node, _resource: Resource, _bases: tuple[str, ...]) -> bool:
        found = [(code, key(value), key(system)) for system, value in index_values.tokens(node) if value]
        rows.token.update(found)
        if isinstance(node.value, dict):
            for words in index_values.token_texts(node):
                if words:
                    rows.words.add(line_of_words(code, fold(words)))
            if node.type == "Identifier" and version != "stu3":
                typed = index_values.typed_identifiers(node)
                rows.token.update((of_type, key(value), key(system)) for system, value in typed)
        return bool(found)

    def uri(rows: IndexRows, node: Node, _resource: Resource, _bases: tuple[str, ...]) -> bool:
        if not isinstance(node.value, str):
            return False
        rows.token.update((code, key(value), "") for value in _with_bare(node.type, node.value))
        return True

    def string(rows: IndexRows, node: Node, _resource: Resource, _bases: tuple[str, ...]) -> bool:
        found = [(code, key(fold(words)), key(words)) for words in index_values.strings(node)]
        rows.string.update(found)
        return bool(found)

    def date(rows: IndexRows, node: Node, resource: Resource, _bases: tuple[str, ...]) -> bool:
        interval = parameter.special == TIME_INTERVAL
        try:
            found = list(index_values.time_interval(node, resource) if interval else index_values.dates(node))
        except Invalid:
            return False  # Only lenient writes let such a value in; it is kept, and not found by this date.
        rows.date.update((code, low, high) for low, high in found)
        return bool(found)

    def quantity(rows: IndexRows, node: Node, _resource: Resource, _bases: tuple[str, ...]) -> bool:
        found = list(index_values.quantities(node))
        rows.quantity.update((code, *row) for row in found)
        return bool(found)

    def reference(rows: IndexRows, node: Node, _resource: Resource, bases: tuple[str, ...]) -> bool:
        value: Any = node.value
        added = False
        if isinstance(value, dict):
            literal = value.get("reference")
            identifier = value.get("identifier")
            if isinstance(identifier, dict) and (number := text_of(identifier, "value")):
                rows.token.add((by_identifier, key(number), key(text_of(identifier, "system"))))
                added = True
        else:
            literal = value
        if isinstance(literal, str) and not literal.startswith("#"):
            added = True
            for target in _with_bare(node.type, literal):
                kind, name = parse_literal(target, bases)
                if not (parameter.targets and kind and kind not in parameter.targets):
                    rows.reference.add((code, kind, key(name)))
        return added

    kinds: dict[str, Add] = {
        "token": token,
        "uri": uri,
        "string": string,
        "date": date,
        "special": date,
        "number": quantity,
        "quantity": quantity,
    }
    return kinds.get(parameter.type, reference)


def _with_bare(kind: str, value: str) -> tuple[str, ...]:
    """A canonical with a version is found without it as well."""
    return (value, value.partition("|")[0]) if kind == "canonical" and "|" in value else (value,)


_STEP = r"\.(?:[a-z]\w*(?!\w|\()|(?:as|ofType)\(\w+\)|where\(resolve\(\) is \w+\))"
_PATH = re.compile(rf"\(?([A-Z]\w+)\.([a-z]\w*)(?!\w|\()(?:{_STEP})*(?: as \w+)?\)?(?:{_STEP})*")


def needed_members(expression: str, table: Definitions, resource_type: str) -> frozenset[str] | None:
    """The JSON members of a resource of this type of which one must be there for the expression to give
    something; None when that cannot be told. Told is it of paths and unions of paths, which most are, and most
    of which lead nowhere in most resources."""
    names: set[str] = set()
    for part in expression.split(" | "):
        path = _PATH.fullmatch(part.strip())
        if path is None:
            return None
        if path[1] == resource_type:
            names.add(path[2])
        elif path[1] in ("Resource", "DomainResource"):
            return None
    known = {
        name
        for name, (element, _) in table.types[resource_type].by_json_name.items()
        if element.name in names
    }
    return frozenset(known | {f"_{name}" for name in known})


class _Composite:
    """The rows of one composite parameter: of each element those whose parts are all there."""

    def __init__(
        self, parameter: SearchParameter, parts: tuple[SearchParameter, ...], table: Definitions
    ) -> None:
        self.code = parameter.code
        self._table = table
        self._parts = tuple(
            (number, part.code, expression, adder(part, table.version))
            for number, (part, (_, expression)) in enumerate(
                zip(parts, parameter.components, strict=True), start=1
            )
        )
        self._compiled: dict[tuple[int, str], Expression] = {}

    def add(self, rows: IndexRows, nodes: list[Node], resource: Resource, bases: tuple[str, ...]) -> None:
        """Adds the rows of the elements `nodes`."""
        for place, node in enumerate(nodes[:32_000]):
            found: list[CompositeRow] = []
            for number, code, text, add in reversed(self._parts):  # The last one is the most often absent.
                inner = IndexRows()
                for value in self._expression(number, text, node.type).evaluate(
                    node, variables={"resource": resource} if "%" in text else None
                ):
                    add(inner, value, resource, bases)
                own = list(_as_composite(inner, code, (self.code, place, number)))
                if not own:
                    break
                found += own
            else:
                rows.composite.update(found)

    def _expression(self, number: int, text: str, kind: str) -> Expression:
        compiled = self._compiled.get((number, kind))
        if compiled is None:
            compiled = compile_expression(text, self._table, context=kind)
            self._compiled[number, kind] = compiled
        return compiled


def _as_composite(rows: IndexRows, code: str, head: tuple[str, int, int]) -> Iterator[CompositeRow]:
    """The rows of the parameter `code` as rows of a composite."""
    none2, none4, none6 = (None,) * 2, (None,) * 4, (None,) * 6
    for name, value, system in rows.token:
        if name == code:
            yield (*head, value, system, *none6, *none6)
    for _, kind, target in rows.reference:
        yield (*head, None, None, kind, target, *none4, *none6)
    for name, folded, text in rows.string:
        if name == code:
            yield (*head, *none4, folded, text, None, None, *none6)
    for _, low, high in rows.date:
        yield (*head, *none6, low, high, *none6)
    for _, least, most, system, value, unit, base, base_least, base_most in rows.quantity:
        yield (*head, value, system, *none2, *none2, *none2, least, most, unit, base, base_least, base_most)


class TypeIndexer:
    """Extracts the index rows of one resource type, for the parameters of these kinds or with these codes."""

    def __init__(
        self,
        resource_type: str,
        table: Definitions,
        kinds: frozenset[str] = INDEXED,
        codes: frozenset[str] = frozenset(),
    ) -> None:
        self._version = table.version
        self._attachments = "reference" in kinds
        self._patient_codes = patient_codes(table.version, resource_type)
        parts: dict[str, tuple[Expression, list[tuple[str, Add]], list[_Composite]]] = {}
        unions = parts_of(table, resource_type)
        for parameter in table.search_parameters(resource_type).values():
            if not supported(parameter) or parameter.code in COLUMNED:
                continue
            if parameter.code in unions and parameter.code not in codes:
                continue
            if parameter.type not in kinds and parameter.code not in codes:
                continue
            components = component_parameters(table, resource_type, parameter)
            if parameter.type == "composite" and (
                components is None or parameter.expression == resource_type
            ):
                continue  # Of the resource itself the parts are found by their own rows.
            if parameter.expression not in parts:
                compiled = compile_expression(parameter.expression, table, context=resource_type)
                parts[parameter.expression] = (compiled, [], [])
            if parameter.type == "composite" and components is not None:
                parts[parameter.expression][2].append(_Composite(parameter, components, table))
            else:
                add = adder(parameter, table.version)
                parts[parameter.expression][1].append((f"{parameter.code}:present", add))
        self._parts = tuple(
            (needed_members(expression.text, table, resource_type), expression, tuple(adders), composites)
            for expression, adders, composites in parts.values()
        )

    def rows(self, resource: Resource, own_bases: tuple[str, ...] = ()) -> IndexRows:
        """The index rows of `resource`; references below `own_bases` count as this server's own."""
        rows = IndexRows()
        for members, expression, adders, composites in self._parts:
            if members is not None and members.isdisjoint(resource):
                continue
            try:
                nodes = expression.evaluate(resource)
            except Invalid:
                continue  # Only a lenient write lets two values in where the expression takes one.
            if not nodes:
                continue
            for present, add in adders:
                added = False
                for node in nodes:
                    added = add(rows, node, resource, own_bases) or added
                if not added and any(node.value is not None for node in nodes):
                    rows.token.add((present, "", ""))
            for composite in composites:
                composite.add(rows, nodes, resource, own_bases)
        if self._attachments:
            found = attachments.binaries(self._version, resource, own_bases)
            rows.reference.update((attachments.CODE, "Binary", logical_id) for logical_id in found)
        patients = {
            target
            for code, kind, target in rows.reference
            if kind == "Patient" and code in self._patient_codes
        }
        if len(patients) == 1:
            rows.patient = patients.pop()
        return rows


@cache
def indexer(
    version: Version,
    resource_type: str,
    kinds: frozenset[str] = INDEXED,
    codes: frozenset[str] = frozenset(),
) -> TypeIndexer:
    """The indexer of a type, compiled on first use. Who needs the rows of some parameters alone names their
    `kinds` or `codes`, and is served faster."""
    return TypeIndexer(resource_type, definitions(version), kinds, codes)


@cache
def patient_codes(version: Version, resource_type: str) -> frozenset[str]:
    """Reference parameters by which a resource of this type belongs to a patient; empty for Patient itself.

    Those of the Patient compartment, and `patient` where the type has it (STU3 leaves out some types).
    """
    if resource_type == "Patient":
        return frozenset()
    table = definitions(version)
    known = table.search_parameters(resource_type)
    codes = {*table.compartments["Patient"].get(resource_type, ()), "patient"}
    return frozenset(c for c in codes if c in known and known[c].type == "reference")
