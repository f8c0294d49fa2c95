"""What the matrix may ever let through, by resource type: for what a guarded door says of itself.

A row counts when some permit of its exchange gives its category of data. All the forms of a type are told as one: each
parameter and include here stands in some form, and a request must still be one form as a whole.
"""

from __future__ import annotations

from collections.abc import Iterator

from schakel.fhir.definitions import Version, definitions
from schakel.fhir.search import supported
from schakel.generic.authorisation.forms import PROVENANCE
from schakel.generic.authorisation.model import ANY, InteractionKind, Matrix, Row
from schakel.server import Possible
from schakel.server.offer import Searches

_CODES: dict[InteractionKind, str] = {
    "search": "search-type",
    "read": "read",
    "create": "create",
    "update": "update",
}
"""Interactions on a type as a CapabilityStatement has them; an operation has a name, a transaction is on no type, a
notification is no FHIR interaction."""


def possible(matrix: Matrix, version: Version) -> tuple[Possible, ...]:
    """What may at most be done with each type that the matrix names, in the order of the types."""
    rows = [row for row in matrix.rows if row.version == version and _given(row, matrix)]
    types = frozenset[str]().union(*(row.types for row in rows))
    return tuple(_possible(version, kind, rows) for kind in sorted(types))


def _given(row: Row, matrix: Matrix) -> bool:
    """Whether somebody may have what the row gives. A read that is tied as "released" goes out under a search."""
    return row.tie == "released" or any(
        row.category in permit.categories or ANY in permit.categories
        for permit in matrix.permits
        if permit.exchange == row.exchange
    )


def _possible(version: Version, kind: str, rows: list[Row]) -> Possible:
    own = [row for row in rows if row.type == kind]
    searches = [row for row in own if row.interaction == "search"]
    exchanges = {row.exchange for row in searches}
    released = any(row.type == ANY and row.tie == "released" and row.exchange in exchanges for row in rows)
    return Possible(
        frozenset(_CODES[row.interaction] for row in own if row.interaction in _CODES)
        | ({"read"} if released else set()),
        frozenset(name for row in own for name in _operations(row)),
        Searches(
            kind,
            frozenset(_known(version, kind, searches)),
            frozenset(value for row in searches for value in row.every_include),
            frozenset(PROVENANCE for row in searches if row.provenance),
        ),
        any(kind in row.types for row in rows if row.interaction == "transaction"),
    )


def _operations(row: Row) -> Iterator[str]:
    if row.interaction == "operation":
        yield row.operation
    elif "lastn" in row.forms:
        yield "lastn"


def _known(version: Version, kind: str, searches: list[Row]) -> Iterator[str]:
    """The parameters of these rows, a chain by its first; those that the standard lacks are refused before a form is
    looked at."""
    table = definitions(version).search_parameters(kind)
    for row in searches:
        for name in (*row.parameters, *row.optional, *row.patients):
            code = name.partition(".")[0]
            if code in table and supported(table[code]):
                yield code
