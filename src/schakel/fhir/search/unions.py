"""Search parameters that are others taken together, such as `combo-code` (of an Observation and its components).

They need no place of their own in an index: what they find is what the others find.
"""

from __future__ import annotations

from functools import cache

from schakel.fhir.definitions import Definitions, SearchParameter

_DIVIDED = frozenset({"token", "string", "date", "uri", "number", "quantity", "composite"})


def parts_of(table: Definitions, resource_type: str) -> dict[str, tuple[SearchParameter, ...]]:
    """Of each parameter of a type that is a union of others: those others, none of them a union itself.

    A union has the kind of its parts, its expression has all their branches and no other; the parts of composites
    also read the same values. An organisation's own parameters are no unions, and no part of one.
    """
    return _parts_of(table.standard, resource_type)


@cache
def _parts_of(table: Definitions, resource_type: str) -> dict[str, tuple[SearchParameter, ...]]:
    known = [
        p for p in table.search_parameters(resource_type).values() if p.type in _DIVIDED and not p.special
    ]
    branches = {p.code: _branches(resource_type, p.expression) for p in known}
    found: dict[str, tuple[SearchParameter, ...]] = {}
    for parameter in known:
        wanted = branches[parameter.code]
        parts = [
            other
            for other in known
            if other.type == parameter.type
            and branches[other.code] < wanted
            and [text for _, text in other.components] == [text for _, text in parameter.components]
        ]
        if parts and frozenset().union(*(branches[p.code] for p in parts)) == wanted:
            found[parameter.code] = tuple(p for p in parts if branches[p.code])
    return {code: tuple(p for p in parts if p.code not in found) for code, parts in found.items()}


def _branches(resource_type: str, expression: str) -> frozenset[str]:
    """The parts of a union of paths that are about this type; none when the expression is more than that."""
    found = [part.strip() for part in expression.split(" | ")]
    if any(part.count("(") != part.count(")") for part in found):
        return frozenset()
    return frozenset(
        part for part in found if part == resource_type or part.lstrip("(").startswith(f"{resource_type}.")
    )
