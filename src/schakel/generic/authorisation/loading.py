"""Reading the matrix: the TOML files of this package, an organisation's own file, and the text of a matrix.

An organisation's file removes rows, changes permits and adds rows. What it makes narrower needs no word; what it makes
wider must name a person who answers for it and a reason.
"""

from __future__ import annotations

import tomllib
from collections.abc import Collection, Iterator, Mapping
from dataclasses import fields, is_dataclass, replace
from functools import cache
from importlib.resources import files
from pathlib import Path
from typing import Any, NoReturn, TypeVar

import orjson
from pydantic import ConfigDict, TypeAdapter, ValidationError, with_config

from schakel.generic.authorisation import model
from schakel.generic.authorisation.checks import checked, wider
from schakel.generic.authorisation.model import Exchange, Matrix, Permit, Row
from schakel.kernel.outcomes import Invalid

FILES = ("bgz.toml", "notified_pull.toml", "eoverdracht.toml", "medication.toml", "pzp.toml")
"""The files of the package, in the order in which their exchanges count."""

_Json = dict[str, Any]
_T = TypeVar("_T", Exchange, Row, Permit)


def _adapter(kind: type[_T]) -> TypeAdapter[_T]:
    return TypeAdapter(with_config(ConfigDict(extra="forbid"))(kind))


_EXCHANGE, _ROW, _PERMIT = _adapter(Exchange), _adapter(Row), _adapter(Permit)
_MATRIX = TypeAdapter(Matrix)


@cache
def bundled() -> Matrix:
    """The matrix of this package, of which a test says that it can be used."""
    folder = files(model.__name__.rpartition(".")[0]) / "matrix"
    codes = tomllib.loads((folder / "codes.toml").read_text("utf-8"))
    exchanges: list[Exchange] = []
    rows: list[Row] = []
    permits: list[Permit] = []
    for name in FILES:
        for section in tomllib.loads((folder / name).read_text("utf-8"))["exchange"]:
            _add(name, section, exchanges, rows, permits)
    return Matrix(
        tuple(exchanges),
        tuple(rows),
        tuple(permits),
        codes["roles"],
        {group: frozenset(members) for group, members in codes["facilities"].items()},
        {level: frozenset(addresses) for level, addresses in codes["assurance"].items()},
    )


def _add(
    file: str, section: _Json, exchanges: list[Exchange], rows: list[Row], permits: list[Permit]
) -> None:
    """The exchange in a section of a file, with its rows and permits."""
    section = dict(section)
    forms, said = section.pop("form", ()), section.pop("permit", ())
    every, of, tie = (
        section.pop(name, d) for name, d in (("every_form", {}), ("forms_of", ""), ("forms_tie", ""))
    )
    exchange = _made(_EXCHANGE, section, file)
    exchanges.append(exchange)
    permits += (_made(_PERMIT, {**one, "exchange": exchange.id}, file) for one in said)
    for form in forms:
        rows += _rows(form, every, exchange, file)
    for row in [row for row in rows if row.exchange == of and row.interaction == "search"]:
        rows.append(replace(row, id=f"{exchange.id}/{row.id}", exchange=exchange.id, tie=tie))


def _rows(form: _Json, every: _Json, exchange: Exchange, file: str) -> Iterator[Row]:
    """The row, or the rows for several types, in a form of a file."""
    members = {"link": exchange.links[0], **every, **form, "exchange": exchange.id}
    if "patient" in members:
        members["patients"] = members.pop("patient")
    types = members.pop("types", None)
    for kind in (None,) if types is None else types:
        own = {} if kind is None else {"type": kind, "id": f"{members.get('id')}-{kind}"}
        yield _made(_ROW, {**members, **own}, file)


def _made(adapter: TypeAdapter[_T], members: _Json, file: str) -> _T:
    """The value with these members. Raises `Invalid` naming the file, the row and the member."""
    try:
        return adapter.validate_python(members)
    except ValidationError as error:
        first = error.errors(include_url=False, include_input=False)[0]
        member = ".".join(str(part) for part in first["loc"])
        _refuse(file, str(members.get("id", "without id")), member, first["msg"])


def _refuse(file: str, row: str, member: str, why: str) -> NoReturn:
    raise Invalid(f"{file}: row {row!r}, member {member!r}: {why}", code="matrix-invalid", expression=member)


# -- an organisation's own rows ------------------------------------------------------------------------------


def with_own(base: Matrix, file: Path) -> Matrix:
    """The matrix with the rows of an organisation's file. Raises `Invalid` naming file, row and member."""
    name = file.name
    try:
        own = tomllib.loads(file.read_text("utf-8"))
    except (OSError, UnicodeDecodeError, tomllib.TOMLDecodeError) as error:
        raise Invalid(f"{name} cannot be read: {error}", code="matrix-invalid") from error
    if unknown := sorted(set(own) - {"remove", "permit", "form"}):
        _refuse(name, "the file itself", unknown[0], "only remove, permit and form are known")
    matrix = _without(base, own.get("remove", []), name)
    for members in own.get("permit", ()):
        matrix = _with_permit(matrix, dict(members), name)
    for members in own.get("form", ()):
        matrix = _with_form(matrix, dict(members), name)
    return checked(matrix, name)


def _without(matrix: Matrix, removed: Collection[str], file: str) -> Matrix:
    known = {row.id for row in matrix.rows} | {permit.id for permit in matrix.permits}
    for one in removed:
        if one not in known:
            _refuse(file, str(one), "remove", "there is no row with this id")
    return replace(
        matrix,
        rows=tuple(row for row in matrix.rows if row.id not in removed),
        permits=tuple(permit for permit in matrix.permits if permit.id not in removed),
    )


def _with_permit(matrix: Matrix, members: _Json, file: str) -> Matrix:
    """The matrix with a permit changed (the members that are given) or added."""
    row_id = str(members.get("id", "without id"))
    before = next((permit for permit in matrix.permits if permit.id == row_id), None)
    if before is None:
        permit = _made(_PERMIT, {"source": "the organisation", **members}, file)
        _answered_for(members, file, row_id, "a new permit")
        _known_exchange(matrix, permit.exchange, file, row_id)
        return replace(matrix, permits=(*matrix.permits, permit))
    if members.get("exchange", before.exchange) != before.exchange:
        _refuse(file, row_id, "exchange", "a permit stays with its exchange; write a new one")
    permit = _made(_PERMIT, {**_plain(before), **members}, file)
    if widened := wider(before, permit, matrix):
        _answered_for(members, file, row_id, f"member {widened[0]!r} is wider than before, which")
    permits = tuple(permit if one is before else one for one in matrix.permits)
    return replace(matrix, permits=permits)


def _with_form(matrix: Matrix, members: _Json, file: str) -> Matrix:
    row_id, exchange_id = str(members.get("id", "without id")), str(members.get("exchange", ""))
    if any(row.id == row_id for row in matrix.rows):
        _refuse(file, row_id, "id", "a form may be removed or added, not changed")
    exchange = _known_exchange(matrix, exchange_id, file, row_id)
    _answered_for(members, file, row_id, "a new form")
    added = tuple(_rows({"source": "the organisation", **members}, {}, exchange, file))
    return replace(matrix, rows=(*matrix.rows, *added))


def _known_exchange(matrix: Matrix, exchange_id: str, file: str, row_id: str) -> Exchange:
    for exchange in matrix.exchanges:
        if exchange.id == exchange_id:
            return exchange
    known = ", ".join(exchange.id for exchange in matrix.exchanges)
    _refuse(file, row_id, "exchange", f"there is no exchange {exchange_id!r}; there are {known}")


def _answered_for(members: Mapping[str, Any], file: str, row_id: str, what: str) -> None:
    for member in ("responsible", "reason"):
        said = members.get(member)
        if not isinstance(said, str) or not said.strip():
            _refuse(file, row_id, member, f"{what} needs the name of who answers for it, and a reason")


# -- the text of a matrix ------------------------------------------------------------------------------------


def written(matrix: Matrix) -> str:
    """The matrix as text, always the same for the same matrix. Tables keep their order: levels of assurance are told
    apart by it, and of several conditions the first that is not met is the reason."""
    return orjson.dumps(_plain(matrix)).decode()


def read(text: str) -> Matrix:
    """The inverse of `written`. Raises `Invalid`."""
    try:
        return checked(_MATRIX.validate_json(text), "the text of a matrix")
    except ValidationError as error:
        raise Invalid("this is not the text of a matrix", code="matrix-invalid", cause=str(error)) from error


def _plain(value: Any) -> Any:
    """A value as JSON has it; sets in order."""
    if is_dataclass(value):
        return {field.name: _plain(getattr(value, field.name)) for field in fields(value)}
    if isinstance(value, Mapping):
        return {name: _plain(one) for name, one in value.items()}
    if isinstance(value, frozenset):
        return sorted(value)
    return [_plain(one) for one in value] if isinstance(value, tuple) else value
