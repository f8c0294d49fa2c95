"""Every invariant of both specifications runs: on elements with all members, and on published resources."""

from __future__ import annotations

from collections.abc import Iterator
from decimal import Decimal
from functools import cache
from typing import Any

import pytest
from tests.shared import shared

from schakel.fhir import xml
from schakel.fhir.definitions import VERSIONS, Invariant, Version, definitions
from schakel.fhir.fhirpath import Expression, Node, compile_expression
from schakel.kernel.outcomes import Invalid

_SAMPLES: dict[str, Any] = {
    "boolean": True,
    "date": "2024-05-01",
    "dateTime": "2024-05-01T10:30:00+02:00",
    "decimal": Decimal("1.50"),
    "instant": "2024-05-01T10:30:00.000+02:00",
    "integer": 3,
    "positiveInt": 3,
    "time": "10:30:00",
    "unsignedInt": 3,
    "uri": "http://example.org/a",
    "xhtml": '<div xmlns="http://www.w3.org/1999/xhtml">text</div>',
}


def _element(version: Version, type: str, items: int, depth: int) -> Any:
    """A value of `type` with every member; those that repeat have `items` items."""
    definition = definitions(version).types[type]
    if definition.kind == "primitive-type":
        return _SAMPLES.get(type, "text")
    if type in ("Resource", "DomainResource"):
        return {"resourceType": "Basic", "id": "one", "code": {"text": "text"}}
    out: dict[str, Any] = {"resourceType": type} if definition.kind == "resource" else {}
    for element in definition.elements.values():
        for kind in element.types[-1:]:
            if depth or definitions(version).types[kind].kind == "primitive-type":
                name = element.name + kind[0].upper() + kind[1:] if element.choice else element.name
                value = _element(version, kind, items, depth - 1)
                out[name] = [value] * items if element.repeats else value
    return out


@cache
def _compiled(version: Version, text: str, context: str | None) -> Expression:
    return compile_expression(text, definitions(version), context=context)


def _rules(version: Version, node: Node) -> Iterator[tuple[Invariant, Node]]:
    """The invariants of a node's type, and of its members with the members they are about."""
    definition = definitions(version).types.get(node.type)
    if definition is None:
        return
    for invariant in definition.invariants:
        yield invariant, node
    for element in definition.elements.values():
        if element.invariants:
            for child in _compiled(version, f"`{element.name}`", node.type).evaluate(node):
                yield from ((invariant, child) for invariant in element.invariants)


def _mistakes(version: Version, nodes: list[Node]) -> tuple[set[str], set[str]]:
    """The keys of the invariants that ran, and what is wrong with those that do not end with a boolean."""
    ran: set[str] = set()
    wrong: set[str] = set()
    for node in nodes:
        for invariant, subject in _rules(version, node):
            ran.add(invariant.key)
            try:
                found = _compiled(version, invariant.expression, subject.type).evaluate(subject)
            except Invalid as error:
                wrong.add(f"{subject.type} {invariant.key}: {error.message}")
            else:
                if len(found) > 1:
                    wrong.add(f"{subject.type} {invariant.key}: {len(found)} results")
    return ran, wrong


def _all_of(version: Version) -> set[str]:
    known = definitions(version).types.values()
    own = {i.key for d in known for i in d.invariants}
    return own | {i.key for d in known for e in d.elements.values() for i in e.invariants}


@pytest.mark.parametrize("version", VERSIONS)
def test_every_invariant_runs_on_elements_that_have_every_member(version: Version) -> None:
    ran: set[str] = set()
    wrong: set[str] = set()
    for name, definition in definitions(version).types.items():
        for items in (1, 2):
            value = {} if definition.abstract else _element(version, name, items, 3)
            node = Node(value, name, None, value if isinstance(value, dict) else None)
            new_ran, new_wrong = _mistakes(version, [node])
            ran |= new_ran
            wrong |= new_wrong

    assert wrong == set()
    assert _all_of(version) - ran == set()


@pytest.mark.slow
@pytest.mark.shared
@pytest.mark.parametrize("version", VERSIONS)
def test_every_invariant_that_meets_a_published_resource_runs(version: Version) -> None:
    ran: set[str] = set()
    wrong: set[str] = set()
    read = 0
    for path in sorted(shared("testscripts", version.upper()).rglob("*.xml")):
        try:
            resource = xml.parse(path.read_bytes(), definitions(version))
        except Invalid:
            continue
        if resource["resourceType"] == "TestScript":
            continue
        read += 1
        [root] = _compiled(version, "$this", None).evaluate(resource)
        new_ran, new_wrong = _mistakes(
            version, [root, *_compiled(version, "descendants()", None).evaluate(root)]
        )
        ran |= new_ran
        wrong |= new_wrong

    assert wrong == set()
    assert read > 500
    assert len(ran) > 40
