"""What another organisation may bring: is a Bundle one that a row takes?

A row names what it takes as a search without a base, `MedicationRequest?category=system|code&intent=order`: a resource
of this type of which every token under a parameter is one of these. A tag (`_tag`) that the row does not name is none
of these either. Beside what a row takes a Bundle holds the types that the row has for it, and nothing else.
"""

from __future__ import annotations

from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass
from functools import cache
from typing import Protocol

from schakel.fhir.search import pairs_of
from schakel.generic.authorisation.model import Row
from schakel.kernel.outcomes import Forbidden

_TAG = "_tag"
_NONE: frozenset[str] = frozenset()


@dataclass(frozen=True, slots=True)
class Brought:
    """A resource of a Bundle: its type, and its tokens as (parameter, code, system)."""

    type: str
    tokens: frozenset[tuple[str, str, str]]


class Delivery(Protocol):
    """A Bundle that brings something about one patient."""

    def brought(self, parameters: Collection[str]) -> Sequence[Brought]:
        """Its resources in order, but for the Patient, with their tokens under these parameters. Raises `Unprocessable`
        for what is no such Bundle."""
        ...

    @property
    def bsn(self) -> str:
        """Its patient."""
        ...


@dataclass(frozen=True, slots=True)
class Block:
    """One kind of resource that a row takes: the type, and the values that tokens may have, by parameter."""

    type: str
    parameters: Mapping[str, frozenset[str]]

    def takes(self, one: Brought) -> bool:
        """Whether a resource is of this kind."""
        if one.type != self.type:
            return False
        held: dict[str, list[tuple[str, str]]] = {}
        for parameter, code, system in one.tokens:
            held.setdefault(parameter, []).append((code, f"{system}|{code}"))
        return all(
            bool(held.get(name)) is bool(wanted) and all(wanted & {*token} for token in held.get(name, ()))
            for name, wanted in {_TAG: _NONE, **self.parameters}.items()
        )

    def overlaps(self, other: Block) -> bool:
        """Whether one resource could be of both kinds."""
        if self.type != other.type:
            return False
        one, two = {_TAG: _NONE, **self.parameters}, {_TAG: _NONE, **other.parameters}
        return all(one[n] & two[n] or one[n] == two[n] for n in one.keys() & two.keys())


@cache
def block(text: str) -> Block:
    """The kind of resource that a member of `Row.brings` names."""
    kind, _, query = text.partition("?")
    return Block(kind, {name: frozenset(value.split(",")) for name, value in pairs_of(query)})


def parameters(rows: Iterable[Row]) -> frozenset[str]:
    """The parameters by which these rows know what they take."""
    return frozenset({_TAG}).union(*(block(text).parameters for row in rows for text in row.brings))


def accepting(rows: Sequence[Row], brought: Sequence[Brought]) -> Row:
    """The row that takes all of this. Raises `Forbidden` that names what no row takes: of the rows that come furthest
    the first resource that is at fault."""
    furthest = -1
    for row in rows:
        blocks = [block(text) for text in sorted(row.brings)]
        fault = _fault(blocks, row, brought)
        if fault is None:
            return row
        furthest = max(furthest, fault)
    what = brought[furthest].type if furthest < len(brought) else "a Bundle without a building block"
    raise Forbidden(
        f"this Bundle is none of those that the exchange takes; {what} does not fit: its type, category, intent and "
        "tags must be those of one kind of Bundle",
        code="form-not-allowed",
        expression=what if furthest < len(brought) else "Bundle.entry",
    )


def overlapping(one: Row, other: Row) -> bool:
    """Whether a Bundle could be one of both rows."""
    return any(block(a).overlaps(block(b)) for a in one.brings for b in other.brings)


def _fault(blocks: Sequence[Block], row: Row, brought: Sequence[Brought]) -> int | None:
    """The place of the first resource that a row does not take; that after the last when nothing is of its kinds."""
    found = False
    for place, one in enumerate(brought):
        if any(kind.takes(one) for kind in blocks):
            found = True
        elif one.type not in row.beside:
            return place
    return None if found else len(brought)
