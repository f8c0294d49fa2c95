"""Files as rows of named cells: CSV as a spreadsheet writes it, or JSON.

CSV has a header; the separator is `;` or `,`, the text UTF-8 (with or without its mark) or Windows-1252. JSON is a
list of objects, or an object with that list in a member of the name of their kind (`pathways`, `people`); their
members are the columns of the CSV, and their values are texts, true, false or null.
"""

from __future__ import annotations

import csv
import re
from dataclasses import dataclass
from io import StringIO
from typing import Literal

import orjson

from schakel.kernel.outcomes import Invalid, TooLarge

Kind = Literal["pathways", "people"]
KINDS: tuple[Kind, ...] = ("pathways", "people")

MOST_ROWS = 500_000
_WORDS: dict[bool | None, str] = {None: "", True: "yes", False: "no"}
_LONGEST = 1000
"""Characters in a cell."""
_NAME = re.compile(r"[a-z][a-z0-9_.-]{0,39}")
"""What a name of a column looks like, in lower case."""
_NO_NAME = "what stands in the place of its name is none, and may be of a person: the first row has the names"


@dataclass(frozen=True, slots=True)
class Row:
    """One row: `place` is how its sender finds it ("row 5"), `cells` are its texts by column, '' for nothing there."""

    place: str
    cells: dict[str, str]

    def wrong(self, column: str, why: str) -> Invalid:
        """The error that names the row and the column."""
        return Invalid(
            f"{self.place}, column {column}: {why}", code="hybrid-file", expression=f"{self.place}.{column}"
        )


def is_json(body: bytes) -> bool:
    """Whether a file is JSON rather than CSV."""
    return body.removeprefix(b"\xef\xbb\xbf").lstrip()[:1] in (b"{", b"[")


def rows_of(body: bytes, kind: str, *, none: bool = False) -> list[Row]:
    """The rows of a file about `kind`; a file of `none` is one too when that is so. Raises `Invalid` that names the row
    and the column, and `TooLarge`."""
    rows = _json_rows(body, kind) if is_json(body) else _csv_rows(body)
    if not rows and not none:
        raise Invalid("the file has no rows", code="hybrid-file")
    return rows


def kind_of(body: bytes) -> Kind:
    """What a file is about: people when its rows have a pseudonym or a BSN. Raises `Invalid`."""
    if is_json(body):
        value = _parsed(body)
        if isinstance(value, dict):
            found = [kind for kind in KINDS if kind in value]
            if len(found) != 1:
                raise Invalid(
                    "the JSON object needs one of the members pathways and people", code="hybrid-file"
                )
            return found[0]
        first = value[0] if isinstance(value, list) and value else {}
        names = set(first) if isinstance(first, dict) else set()
    else:
        names = set(_csv_header(_decoded(body))[0])
    return "people" if names & {"pseudonym", "bsn"} else "pathways"


def _csv_header(text: str) -> tuple[list[str], str]:
    """The names of the columns, in lower case, and the separator."""
    line = text.lstrip("\r\n").split("\n", 1)[0].rstrip("\r")
    separator = ";" if line.count(";") >= line.count(",") else ","
    try:
        names = next(csv.reader([line], delimiter=separator), [])
    except csv.Error as error:
        raise Invalid(f"the first row is not CSV ({error})", code="hybrid-file") from None
    return [name.strip().lower() for name in names], separator


def _csv_rows(body: bytes) -> list[Row]:
    text = _decoded(body).lstrip("\r\n")
    names, separator = _csv_header(text)
    for number, name in enumerate(names, 1):
        if not name:
            raise Invalid(f"column {number} has no name in the first row", code="hybrid-file")
        if not _NAME.fullmatch(name):
            raise Invalid(f"column {number}: {_NO_NAME}", code="hybrid-file")
        if names.index(name) != number - 1:
            raise Invalid(f"the column {name[:40]!r} is there twice in the first row", code="hybrid-file")
    rows: list[Row] = []
    reader = csv.reader(StringIO(text), delimiter=separator, strict=True)
    try:
        next(reader, None)
        for number, values in enumerate(reader, 2):
            place = f"row {number}"
            if not any(value.strip() for value in values):
                continue
            if len(values) != len(names):
                raise Invalid(
                    f"{place} has {len(values)} columns, the first row has {len(names)}", code="hybrid-file"
                )
            rows.append(_row(place, dict(zip(names, values, strict=True)), len(rows)))
    except csv.Error as error:
        raise Invalid(f"row {reader.line_num}: this is not CSV ({error})", code="hybrid-file") from None
    return rows


def _row(place: str, cells: dict[str, str], number: int) -> Row:
    """A row with its cells looked at. Raises `Invalid`, and `TooLarge` when there were `MOST_ROWS` before it."""
    if number >= MOST_ROWS:
        raise TooLarge(f"a file has at most {MOST_ROWS:,} rows: send it in parts")
    row = Row(place, {name: value.strip() for name, value in cells.items()})
    for name, value in row.cells.items():
        if len(value) > _LONGEST or not value.isprintable():
            raise row.wrong(name[:40], f"a cell has at most {_LONGEST} printable characters, on one line")
    return row


def _json_rows(body: bytes, kind: str) -> list[Row]:
    value = _parsed(body)
    if isinstance(value, dict):
        if set(value) != {kind}:
            raise Invalid(f"the JSON object needs the member {kind} and no other", code="hybrid-file")
        value = value[kind]
    if not isinstance(value, list):
        raise Invalid(f"{kind} is not a list", code="hybrid-file", expression=kind)
    rows: list[Row] = []
    for number, one in enumerate(value):
        place = f"{kind}[{number}]"
        if not isinstance(one, dict):
            raise Invalid(f"{place} is not a JSON object", code="hybrid-file", expression=place)
        cells = {}
        for column, (name, cell) in enumerate(one.items(), 1):
            if not _NAME.fullmatch(name.lower()):
                raise Invalid(
                    f"{place}, member {column}: what stands in the place of its name is none",
                    code="hybrid-file",
                    expression=place,
                )
            if cell is None or isinstance(cell, str | bool):
                cells[name.lower()] = cell if isinstance(cell, str) else _WORDS[cell]
            else:
                raise Row(place, {}).wrong(name[:40], "it is neither a text nor true, false or null")
        if len(cells) < len(one):
            raise Invalid(
                f"{place} has a member twice, but for capitals", code="hybrid-file", expression=place
            )
        rows.append(_row(place, cells, len(rows)))
    return rows


def _parsed(body: bytes) -> object:
    try:
        return orjson.loads(body.removeprefix(b"\xef\xbb\xbf"))
    except orjson.JSONDecodeError as error:
        raise Invalid(f"the file is not JSON ({error})", code="hybrid-file") from None


def _decoded(body: bytes) -> str:
    if b"\0" in body:
        raise Invalid("the file is no text: save it as CSV (UTF-8)", code="hybrid-file")
    try:
        return body.decode("utf-8-sig")
    except UnicodeDecodeError:
        return body.decode("cp1252", errors="replace")
