"""What a resource puts into the search index: rows per kind of search parameter, and the patient it belongs to.

Compiled once per type from the search parameters of the definitions (FHIR search, STU3 3.1.1.4). Kinds token,
reference, string, date and uri (kept with the tokens); the others are refused by name at search time.
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
from schakel.fhir.fhirpath import Expression, Node, compile_expression
from schakel.fhir.json import Resource
from schakel.fhir.moments import FIRST, LAST, interval
from schakel.fhir.search import fold
from schakel.kernel.outcomes import Invalid

FHIR_NUMBER: Mapping[Version, int] = {"stu3": 3, "r4": 4}
INDEXED = frozenset({"token", "reference", "string", "date", "uri"})
"""Kinds of search parameter that have an index."""

COLUMNED = frozenset({"_id", "_lastUpdated"})
"""Parameters answered from the resource table itself."""

_LITERAL = re.compile(r"(?:(.+)/)?([A-Z][A-Za-z]+)/([A-Za-z0-9\-.]{1,64})(?:/_history/[A-Za-z0-9\-.]{1,64})?")
_MAX_KEY = 400


def key(text: str) -> str:
    """`text` as it stands in the index: longer ones are cut, for a B-tree entry has a limit. What is searched
    is cut as well, so that the match is on the cut values."""
    return text[:_MAX_KEY]


@dataclass(slots=True)
class IndexRows:
    """Rows of one resource without the leading key columns: each tuple starts with the parameter."""

    patient: str = ""
    token: set[tuple[str, str, str]] = field(default_factory=set)
    reference: set[tuple[str, str, str]] = field(default_factory=set)
    string: set[tuple[str, str, str]] = field(default_factory=set)
    date: set[tuple[str, datetime, datetime]] = field(default_factory=set)


def parse_literal(reference: str, own_bases: tuple[str, ...] = ()) -> tuple[str, str]:
    """Type and id of a reference to a resource of this server; ('', the text) for any other."""
    match = _LITERAL.fullmatch(reference)
    if match is None:
        return "", reference
    base, kind, logical_id = match.groups()
    if base is None or base in own_bases:
        return kind, logical_id
    return "", reference


def _text(value: Mapping[str, Any], name: str) -> str:
    """A member that is text. A lenient write can leave an array there, which is kept and not indexed."""
    member = value.get(name)
    return member if isinstance(member, str) else ""


def _tokens(node: Node) -> Iterator[tuple[str, str]]:
    """(system, code) pairs of a value. Source: STU3 3.1.1.4.11, table of token types."""
    value: Any = node.value
    match node.type, value:
        case "CodeableConcept", dict():
            yield from ((_text(c, "system"), _text(c, "code")) for c in value.get("coding", ()))
        case "Coding", dict():
            yield _text(value, "system"), _text(value, "code")
        case "Identifier", dict():
            yield _text(value, "system"), _text(value, "value")
        case "ContactPoint", dict():
            yield "", _text(value, "value")
        case _, bool():
            yield "", "true" if value else "false"
        case _, str() | int():
            yield "", str(value)


def _strings(node: Node) -> Iterator[str]:
    value: Any = node.value
    if isinstance(value, str):
        yield value
    elif isinstance(value, dict) and node.type in ("HumanName", "Address"):
        for name, part in value.items():
            if name.startswith("_") or name in ("use", "type", "period", "extension", "id"):
                continue
            if isinstance(part, str):
                yield part
            elif isinstance(part, list):
                yield from (p for p in part if isinstance(p, str))
    elif isinstance(value, dict) and node.type == "CodeableConcept" and isinstance(value.get("text"), str):
        yield value["text"]


def _dates(node: Node) -> Iterator[tuple[datetime, datetime]]:
    value: Any = node.value
    match node.type, value:
        case _, str():
            yield interval(value)
        case "Period", dict():
            yield from _period(value)
        case "Timing", dict():
            yield from (interval(event) for event in value.get("event", ()) if isinstance(event, str))
            match value.get("repeat"):
                case {"boundsPeriod": dict(bounds)}:
                    yield from _period(bounds)


def _period(value: Mapping[str, Any]) -> Iterator[tuple[datetime, datetime]]:
    """The interval of a Period, open where it has no start or no end; none when it has neither."""
    start, end = _text(value, "start"), _text(value, "end")
    if start or end:
        low = interval(start)[0] if start else FIRST
        yield low, max(low, interval(end)[1] if end else LAST)


_Add = Callable[[IndexRows, Node, tuple[str, ...]], None]


def _adder(parameter: SearchParameter) -> _Add:
    code = parameter.code

    def token(rows: IndexRows, node: Node, _bases: tuple[str, ...]) -> None:
        rows.token.update((code, key(value), key(system)) for system, value in _tokens(node) if value)

    def string(rows: IndexRows, node: Node, _bases: tuple[str, ...]) -> None:
        rows.string.update((code, key(fold(text)), key(text)) for text in _strings(node))

    def date(rows: IndexRows, node: Node, _bases: tuple[str, ...]) -> None:
        try:
            rows.date.update((code, low, high) for low, high in _dates(node))
        except Invalid:
            return  # Only lenient writes let such a value in; it is kept, and not found by this date.

    def reference(rows: IndexRows, node: Node, bases: tuple[str, ...]) -> None:
        value: Any = node.value
        if isinstance(value, dict):
            literal = value.get("reference")
            identifier = value.get("identifier")
            if isinstance(identifier, dict) and (number := _text(identifier, "value")):
                rows.token.add((f"{code}:identifier", key(number), key(_text(identifier, "system"))))
        else:
            literal = value
        if isinstance(literal, str) and not literal.startswith("#"):
            kind, target = parse_literal(literal, bases)
            if parameter.targets and kind and kind not in parameter.targets:
                return
            rows.reference.add((code, kind, key(target)))

    kinds: dict[str, _Add] = {"token": token, "uri": token, "string": string, "date": date}
    return kinds.get(parameter.type, reference)


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


class TypeIndexer:
    """Extracts the index rows of one resource type, for the parameters of these kinds or with these codes."""

    def __init__(
        self,
        resource_type: str,
        table: Definitions,
        kinds: frozenset[str] = INDEXED,
        codes: frozenset[str] = frozenset(),
    ) -> None:
        self._patient_codes = patient_codes(table.version, resource_type)
        parts: dict[str, tuple[Expression, list[_Add]]] = {}
        for parameter in table.search_parameters(resource_type).values():
            if parameter.type not in INDEXED or not parameter.expression or parameter.code in COLUMNED:
                continue
            if parameter.type not in kinds and parameter.code not in codes:
                continue
            if parameter.expression not in parts:
                compiled = compile_expression(parameter.expression, table, context=resource_type)
                parts[parameter.expression] = (compiled, [])
            parts[parameter.expression][1].append(_adder(parameter))
        self._parts = tuple(
            (needed_members(expression.text, table, resource_type), expression, tuple(adders))
            for expression, adders in parts.values()
        )

    def rows(self, resource: Resource, own_bases: tuple[str, ...] = ()) -> IndexRows:
        """The index rows of `resource`; references below `own_bases` count as this server's own."""
        rows = IndexRows()
        for members, expression, adders in self._parts:
            if members is not None and members.isdisjoint(resource):
                continue
            try:
                nodes = expression.evaluate(resource)
            except Invalid:
                continue  # Only a lenient write lets two values in where the expression takes one.
            for node in nodes:
                for add in adders:
                    add(rows, node, own_bases)
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
