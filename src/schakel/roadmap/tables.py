"""Files as rows of named cells: CSV as a spreadsheet writes it, the workbook of a spreadsheet itself, or JSON.

CSV and the first sheet of a workbook (`sheets`) have a header. In CSV the separator is `;` or `,`, the text UTF-8 (with
or without its mark) or Windows-1252. JSON is a list of objects, or an object with that list in one member, named after
what the rows are about; their members are the columns of the CSV, and their values are texts, true, false or null.
"""

from __future__ import annotations

import csv
import re
from collections.abc import Collection, Sequence
from dataclasses import dataclass
from io import StringIO

import orjson

from schakel.kernel.outcomes import Invalid, TooLarge
from schakel.roadmap.sheets import is_workbook, lines_of

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
            f"{self.place}, column {column}: {why}", code="table-form", expression=f"{self.place}.{column}"
        )


def is_json(body: bytes) -> bool:
    """Whether a file is JSON rather than a table."""
    return body.removeprefix(b"\xef\xbb\xbf").lstrip()[:1] in (b"{", b"[")


def rows_of(body: bytes, kind: str, *, none: bool = False) -> list[Row]:
    """The rows of a file about `kind`; a file of `none` is one too when that is so. Raises `Invalid` that names the row
    and the column, and `TooLarge`."""
    if is_json(body):
        rows = _json_rows(body, kind)
    else:
        rows = _sheet_rows(body) if is_workbook(body) else _csv_rows(body)
    if not rows and not none:
        raise Invalid("the file has no rows", code="table-form")
    return rows


def member_of(body: bytes, members: Collection[str]) -> str:
    """Which of `members` of a JSON object has the rows; '' for a file that is the rows. Raises `Invalid`."""
    value = _parsed(body) if is_json(body) else None
    if not isinstance(value, dict):
        return ""
    found = [name for name in members if name in value]
    if len(found) != 1:
        raise Invalid(f"the JSON object needs one of the members {' and '.join(members)}", code="table-form")
    return found[0]


def columns_of(body: bytes) -> frozenset[str]:
    """The names of the columns of a file that is the rows: of its first row when it is JSON. Raises `Invalid`."""
    if is_workbook(body):
        return frozenset(next((_names(texts) for _, texts in lines_of(body)), ()))
    if not is_json(body):
        return frozenset(_csv_header(_decoded(body))[0])
    value = _parsed(body)
    first = value[0] if isinstance(value, list) and value else None
    return frozenset(first) if isinstance(first, dict) else frozenset()


def _csv_header(text: str) -> tuple[list[str], str]:
    """The names of the columns, in lower case, and the separator."""
    line = text.lstrip("\r\n").split("\n", 1)[0].rstrip("\r")
    separator = ";" if line.count(";") >= line.count(",") else ","
    try:
        names = next(csv.reader([line], delimiter=separator), [])
    except csv.Error as error:
        raise Invalid(f"the first row is not CSV ({error})", code="table-form") from None
    return [name.strip().lower() for name in names], separator


def _csv_rows(body: bytes) -> list[Row]:
    text = _decoded(body).lstrip("\r\n")
    names, separator = _csv_header(text)
    _check_names(names)
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
                    f"{place} has {len(values)} columns, the first row has {len(names)}", code="table-form"
                )
            rows.append(_row(place, dict(zip(names, values, strict=True)), len(rows)))
    except csv.Error as error:
        raise Invalid(f"row {reader.line_num}: this is not CSV ({error})", code="table-form") from None
    return rows


def _sheet_rows(body: bytes) -> list[Row]:
    lines = lines_of(body)
    names = next((_names(texts) for _, texts in lines), [])
    _check_names(names)
    rows: list[Row] = []
    for number, texts in lines:
        place = f"row {number}"
        if any(texts[len(names) :]):
            raise Invalid(f"{place} has something in a column without a name", code="table-form")
        values = [*texts, *[""] * len(names)]  # A row may end where it has nothing any more.
        rows.append(_row(place, dict(zip(names, values, strict=False)), len(rows)))
    return rows


def _names(texts: Sequence[str]) -> list[str]:
    """The names of the columns of a sheet, in lower case, up to the last that has one."""
    names = [text.lower() for text in texts]
    while names and not names[-1]:
        names.pop()
    return names


def _check_names(names: Sequence[str]) -> None:
    for number, name in enumerate(names, 1):
        if not name:
            raise Invalid(f"column {number} has no name in the first row", code="table-form")
        if not _NAME.fullmatch(name):
            raise Invalid(f"column {number}: {_NO_NAME}", code="table-form")
        if names.index(name) != number - 1:
            raise Invalid(f"the column {name[:40]!r} is there twice in the first row", code="table-form")


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
            raise Invalid(f"the JSON object needs the member {kind} and no other", code="table-form")
        value = value[kind]
    if not isinstance(value, list):
        raise Invalid(f"{kind} is not a list", code="table-form", expression=kind)
    rows: list[Row] = []
    for number, one in enumerate(value):
        place = f"{kind}[{number}]"
        if not isinstance(one, dict):
            raise Invalid(f"{place} is not a JSON object", code="table-form", expression=place)
        cells = {}
        for column, (name, cell) in enumerate(one.items(), 1):
            if not _NAME.fullmatch(name.lower()):
                raise Invalid(
                    f"{place}, member {column}: what stands in the place of its name is none",
                    code="table-form",
                    expression=place,
                )
            if cell is None or isinstance(cell, str | bool):
                cells[name.lower()] = cell if isinstance(cell, str) else _WORDS[cell]
            else:
                raise Row(place, {}).wrong(name[:40], "it is neither a text nor true, false or null")
        if len(cells) < len(one):
            raise Invalid(
                f"{place} has a member twice, but for capitals", code="table-form", expression=place
            )
        rows.append(_row(place, cells, len(rows)))
    return rows


def _parsed(body: bytes) -> object:
    try:
        return orjson.loads(body.removeprefix(b"\xef\xbb\xbf"))
    except orjson.JSONDecodeError as error:
        raise Invalid(f"the file is not JSON ({error})", code="table-form") from None


def _decoded(body: bytes) -> str:
    if b"\0" in body:
        raise Invalid("the file is no text: save it as CSV (UTF-8)", code="table-form")
    try:
        return body.decode("utf-8-sig")
    except UnicodeDecodeError:
        return body.decode("cp1252", errors="replace")
