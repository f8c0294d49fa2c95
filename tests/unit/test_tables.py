"""Files as rows: the workbook of a spreadsheet beside CSV, and what hostile workbooks come to."""

from __future__ import annotations

import contextlib
import zipfile
from collections.abc import Callable, Sequence
from datetime import date, datetime
from io import BytesIO
from typing import Any

import openpyxl
import pytest
import xlsxwriter
from hypothesis import given
from hypothesis import strategies as st

from schakel.kernel.outcomes import Invalid, TooLarge
from schakel.roadmap.tables import Row, columns_of, rows_of


def workbook(rows: Sequence[Sequence[Any]]) -> bytes:
    """A workbook whose first sheet has these rows, and a second sheet that says something else."""
    book = openpyxl.Workbook()
    sheet = book.worksheets[0]
    for row in rows:
        sheet.append(list(row))
    book.create_sheet("notes").append(["not", "read"])
    out = BytesIO()
    book.save(out)
    return out.getvalue()


def changed(body: bytes, name: str, change: Callable[[bytes], bytes]) -> bytes:
    """The workbook with one part changed."""
    out = BytesIO()
    with zipfile.ZipFile(BytesIO(body)) as old, zipfile.ZipFile(out, "w", zipfile.ZIP_DEFLATED) as new:
        for one in old.namelist():
            new.writestr(one, change(old.read(one)) if one == name else old.read(one))
    return out.getvalue()


SHEET = "xl/worksheets/sheet1.xml"
GOOD = workbook([["Organisation", "Step"], ["90000001", "LDN-1.S1"]])


def test_the_first_sheet_is_the_table() -> None:
    body = workbook(
        [
            ["Organisation", "Step", "Date", "Count", "Done", None],
            [90000001, " LDN-1.S1 ", date(2026, 3, 1), 2.0, True, None],
            [None, None, None, None, None, None],
            ["90000002", None, datetime(2026, 3, 1, 9, 30), 2.5, False, None],
        ]
    )
    assert columns_of(body) == {"organisation", "step", "date", "count", "done"}
    first, second = rows_of(body, "declarations")
    assert first == Row(
        "row 2",
        {"organisation": "90000001", "step": "LDN-1.S1", "date": "2026-03-01", "count": "2", "done": "yes"},
    )
    assert second == Row(
        "row 4",
        {"organisation": "90000002", "step": "", "date": "2026-03-01T09:30:00", "count": "2.5", "done": "no"},
    )


@given(
    st.lists(
        st.lists(
            st.text(st.characters(codec="ascii", exclude_categories=["C"]), max_size=5),
            min_size=3,
            max_size=3,
        ),
        max_size=5,
    )
)
def test_a_workbook_says_what_csv_says(rows: list[list[str]]) -> None:
    lines = [row for row in ([cell.strip().replace("=", "") for cell in row] for row in rows) if any(row)]
    text = "\r\n".join(";".join(f'"{cell.replace(chr(34), chr(34) * 2)}"' for cell in row) for row in lines)
    as_csv = rows_of(f"a;b;c\r\n{text}".encode(), "x", none=True)
    as_workbook = rows_of(workbook([["a", "b", "c"], *lines]), "x", none=True)
    assert as_workbook == as_csv


def test_texts_that_cells_share_are_read_too() -> None:
    out = BytesIO()
    with xlsxwriter.Workbook(out) as book:
        sheet = book.add_worksheet()
        for number, row in enumerate((["a", "b"], ["x", "x"], ["y", "x"])):
            sheet.write_row(number, 0, row)
    with zipfile.ZipFile(BytesIO(out.getvalue())) as parts:
        assert "xl/sharedStrings.xml" in parts.namelist()
    assert [list(row.cells.values()) for row in rows_of(out.getvalue(), "x")] == [["x", "x"], ["y", "x"]]


def test_a_formula_is_what_it_gave_when_the_file_was_saved() -> None:
    def calculated(part: bytes) -> bytes:
        return part.replace(b"</row></sheetData>", b'<c r="C2"><f>1+1</f><v>7</v></c></row></sheetData>')

    body = changed(workbook([["a", "b", "c"], ["x", "y"]]), SHEET, calculated)
    [row] = rows_of(body, "x")
    assert row.cells == {"a": "x", "b": "y", "c": "7"}


@pytest.mark.parametrize(
    ("rows", "why"),
    [
        ([["a", None, "c"], ["1", "2", "3"]], "column 2 has no name"),
        ([["a", "A"], ["1", "2"]], "twice"),
        ([["a", "Jan Jansen"], ["1", "2"]], "column 2"),
        ([["a"], ["1", "2"]], "row 2 has something in a column without a name"),
        ([["a"]], "no rows"),
        ([["a"], ["x" * 1001]], "row 2, column a"),
        ([["a"], ["two\nlines"]], "row 2, column a"),
    ],
    ids=["no name", "twice", "a person", "beyond", "empty", "long", "lines"],
)
def test_what_is_wrong_with_a_table_is_named_by_its_row_and_column(rows: list[list[Any]], why: str) -> None:
    with pytest.raises(Invalid, match=why):
        rows_of(workbook(rows), "x")


def test_a_sheet_that_claims_to_be_small_or_endless_is_read_as_it_is() -> None:
    for claim in (b"A1:A1", b"A1:XFD1048576"):

        def claiming(part: bytes, claim: bytes = claim) -> bytes:
            return part.replace(b"A1:B2", claim)

        body = changed(GOOD, SHEET, claiming)
        assert [row.cells["step"] for row in rows_of(body, "x")] == ["LDN-1.S1"]


def bomb(_: bytes) -> bytes:
    return b"<worksheet>" + b" " * 60_000_000 + b"</worksheet>"


def entities(part: bytes) -> bytes:
    return b'<!DOCTYPE x [<!ENTITY a "b">]>' + part.partition(b"?>")[2]


def wide(part: bytes) -> bytes:
    return part.replace(b"</row></sheetData>", b'<c r="CW2"><v>7</v></c></row></sheetData>')


@pytest.mark.parametrize("name", [SHEET, "xl/workbook.xml", "[Content_Types].xml"])
@pytest.mark.parametrize(
    ("change", "error"),
    [
        (bomb, TooLarge),
        (entities, Invalid),
        (lambda part: part[: len(part) // 2], Invalid),
        (lambda part: b"", Invalid),
        (lambda part: part.decode().encode("utf-16"), Invalid),
    ],
    ids=["bomb", "entities", "half", "nothing", "utf-16"],
)
def test_a_hostile_workbook_is_refused_in_words(
    name: str, change: Callable[[bytes], bytes], error: type[Exception]
) -> None:
    with pytest.raises(error):
        rows_of(changed(GOOD, name, change), "x")


def test_a_sheet_that_is_too_wide_or_no_workbook_at_all_is_refused() -> None:
    with pytest.raises(TooLarge, match="row 2"):
        rows_of(changed(GOOD, SHEET, wide), "x")
    out = BytesIO()
    with zipfile.ZipFile(out, "w") as parts:
        for number in range(300):
            parts.writestr(f"{number}.xml", "<x/>")
    with pytest.raises(TooLarge):
        rows_of(out.getvalue(), "x")
    for body in (GOOD[:2000], b"PK\x03\x04", b"PK\x03\x04" + b"x" * 1000):
        with pytest.raises(Invalid, match="no workbook"):
            rows_of(body, "x")


@given(st.integers(4, len(GOOD) - 1), st.integers(0, 255))
def test_no_workbook_with_another_byte_gives_anything_but_rows_or_a_refusal(place: int, byte: int) -> None:
    body = bytearray(GOOD)
    body[place] = byte
    with contextlib.suppress(Invalid, TooLarge):
        assert len(rows_of(bytes(body), "x")) == 1
