"""What must hold of a matrix before it is used, and which of two permits is the wider one."""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator, Mapping

from schakel.fhir import definitions
from schakel.fhir.definitions import Definitions, SearchParameter
from schakel.generic.authorisation.conditions import level_of
from schakel.generic.authorisation.deliveries import block, overlapping
from schakel.generic.authorisation.model import ANY, Matrix, Permit, Row
from schakel.kernel.outcomes import Invalid

_ROLE = re.compile(r"[0-9]{2}(\.[0-9]{3})?")
_UNTYPED = frozenset({"notification", "transaction"})
"""Interactions that are on no type."""


def checked(matrix: Matrix, where: str) -> Matrix:
    """The matrix itself. Raises `Invalid` that names the row and the member at fault; `where` is the file."""
    for row_id, member, why in _faults(matrix):
        raise Invalid(
            f"{where}: row {row_id!r}, member {member!r}: {why}", code="matrix-invalid", expression=member
        )
    return matrix


def _faults(matrix: Matrix) -> Iterator[tuple[str, str, str]]:
    for ids in (
        [r.id for r in matrix.rows],
        [p.id for p in matrix.permits],
        [e.id for e in matrix.exchanges],
    ):
        for row_id in ids:
            if not row_id or ids.count(row_id) > 1:
                yield row_id, "id", "ids are not empty, and are used once"
    for exchange in matrix.exchanges:
        if not exchange.scopes or not exchange.purpose:
            yield exchange.id, "scopes", "an exchange has a scope and a purpose"
    for row in matrix.rows:
        for member, why in _row_faults(row):
            yield row.id, member, why
    for permit in matrix.permits:
        for member, why in _permit_faults(permit, matrix):
            yield permit.id, member, why
    for place, one in enumerate(matrix.rows):
        for other in matrix.rows[place + 1 :]:
            if _overlap(one, other):
                yield other.id, "parameters", f"this accepts a request that row {one.id!r} accepts as well"


def _row_faults(row: Row) -> Iterator[tuple[str, str]]:
    known = definitions(row.version)
    if (row.type == "") is not (row.interaction in _UNTYPED):
        yield "type", "every interaction but a notification and a transaction is on a type"
    if row.type == ANY and (row.interaction != "read" or not row.tie):
        yield "type", "only a read that is tied may be of any type"
    if row.type not in ("", ANY, *known.resource_types):
        yield "type", f"{row.type!r} is no resource type of FHIR {row.version.upper()}"
        return
    if row.interaction in ("read", "operation") and not row.tie:
        yield "tie", "a read or operation must be tied to what it may give"
    if row.interaction == "search" and not row.patients and row.tie != "task-input":
        yield "patient", "a search must name the patient"
    if (row.interaction == "operation") is not bool(row.operation):
        yield "operation", "an operation has its name here, and nothing else has"
    if row.tie == "task" and row.interaction == "update" and not (row.changes and row.statuses):
        yield "changes", "an update of a Task says what may change, and which status may follow which"
    if row.interaction not in ("search", "create", "update") and (
        row.parameters or row.optional or row.includes
    ):
        yield "parameters", f"a {row.interaction} has no parameters"
    if row.type not in ("", ANY):
        yield from _unknown(row, known.search_parameters(row.type))
    yield from _delivery_faults(row, known)


def _delivery_faults(row: Row, known: Definitions) -> Iterator[tuple[str, str]]:
    """What is wrong with what a row brings."""
    if (row.interaction == "transaction") is not bool(row.brings):
        yield "brings", "a transaction says what it brings, and nothing else does"
    if row.beside and not row.brings:
        yield "beside", "what comes beside comes with a transaction"
    for text in sorted(row.brings):
        kind = block(text)
        if kind.type not in known.resource_types or not kind.parameters:
            yield "brings", f"{text!r} is no type with parameters"
        elif unknown := sorted(set(kind.parameters) - set(known.search_parameters(kind.type))):
            yield "brings", f"{kind.type} has no search parameter {unknown[0]!r}"
        if kind.type in row.beside:
            yield "beside", f"{kind.type} is among what the row takes by its kind"
    for name in sorted(row.beside - known.resource_types):
        yield "beside", f"{name!r} is no resource type of FHIR {row.version.upper()}"


def _unknown(row: Row, known: Mapping[str, SearchParameter]) -> Iterator[tuple[str, str]]:
    """The parameters and includes of a row that its type does not have."""
    for member, names in (
        ("parameters", row.parameters),
        ("optional", row.optional),
        ("patient", row.patients),
    ):
        for name in names:
            if name.partition(".")[0] not in known:
                yield member, f"{row.type} has no search parameter {name!r}"
    for include in sorted(row.every_include):
        source, _, rest = include.partition(":")
        if source != row.type or rest.partition(":")[0] not in known:
            yield "includes", f"{include!r} is no include of {row.type}"


def _takes_nothing(row: Row) -> bool:
    """Whether what a row accepts brings something and takes no patient's data: a notification that comes in."""
    return row.interaction in ("create", "notification", "transaction") or (
        row.interaction == "update" and not row.tie
    )


def _permit_faults(permit: Permit, matrix: Matrix) -> Iterator[tuple[str, str]]:
    if permit.exchange not in {exchange.id for exchange in matrix.exchanges}:
        yield "exchange", f"there is no exchange {permit.exchange!r}"
    for member in ("purposes", "categories", "grounds", "source"):
        if not getattr(permit, member):
            yield member, "it is empty"
    if not permit.roles and permit.user != "none":
        yield "roles", "a permit for users names their roles"
    if "none" in permit.grounds:
        for row in (row for row in matrix.rows if row.exchange == permit.exchange):
            if not {row.category, ANY}.isdisjoint(permit.categories) and not _takes_nothing(row):
                yield "grounds", f"'none' is not for patients' data, which row {row.id!r} gives"
    for role in permit.roles:
        if role != ANY and not _ROLE.fullmatch(role):
            yield "roles", f"{role!r} is no role: 01 for a group, 01.015 for one, or *"
    held = {row.category for row in matrix.rows if row.exchange == permit.exchange}
    for category in permit.categories:
        if category != ANY and category not in held:
            yield "categories", f"no form of {permit.exchange} gives {category!r}"
    types = {ANY, *matrix.facility_groups, *(c for codes in matrix.facility_groups.values() for c in codes)}
    for one in permit.facility_types:
        if one not in types:
            yield "facility_types", f"{one!r} is no type of organisation, and no group of these"
    if permit.assurance and not level_of(permit.assurance, matrix):
        yield "assurance", f"{permit.assurance!r} is none of {', '.join(matrix.assurances)}"


# -- rows that accept the same request -----------------------------------------------------------------------


def _overlap(one: Row, other: Row) -> bool:
    """Whether two rows of one exchange could accept the same request. (A row for one type goes before one for any.)"""
    if (one.exchange, one.version, one.interaction, one.type) != (
        other.exchange,
        other.version,
        other.interaction,
        other.type,
    ):
        return False
    if one.interaction == "transaction":
        return overlapping(one, other)
    if one.operation != other.operation or one.forms.isdisjoint(other.forms):
        return False
    if (one.tie == "released") is not (other.tie == "released"):
        return False
    if not (_could_hold(one, other) and _could_hold(other, one)):
        return False
    return one.includes <= other.every_include and other.includes <= one.every_include


def _could_hold(one: Row, other: Row) -> bool:
    """Whether a request with the parameters of `one` could be one of `other`."""
    return all(
        other.parameters[name] == values if name in other.parameters else name in other.optional
        for name, values in one.parameters.items()
    )


# -- narrower and wider --------------------------------------------------------------------------------------


def wider(before: Permit, after: Permit, matrix: Matrix) -> list[str]:
    """The members by which `after` permits what `before` does not."""
    found = {
        "roles": not _within(after.roles, before.roles, matrix),
        "purposes": not _within(after.purposes, before.purposes, matrix),
        "categories": not _within(after.categories, before.categories, matrix),
        "grounds": not after.grounds <= before.grounds,
        "user": before.user not in ("any", after.user),
        "assurance": level_of(after.assurance, matrix) < level_of(before.assurance, matrix),
        "facility_types": bool(before.facility_types)
        and (not after.facility_types or not _within(after.facility_types, before.facility_types, matrix)),
        "bound": before.bound and not after.bound,
        "claims": not before.claims.items() <= after.claims.items(),
    }
    return [member for member, is_wider in found.items() if is_wider]


def _within(after: Iterable[str], before: Iterable[str], matrix: Matrix) -> bool:
    """Whether each pattern is covered by one of the patterns before."""
    return all(any(_covers(b, a, matrix) for b in before) for a in after)


def _covers(before: str, after: str, matrix: Matrix) -> bool:
    if before in (ANY, after):
        return True
    return after in matrix.facility_groups.get(before, ()) or (
        len(before) == 2 and after.startswith(f"{before}.")
    )
