"""The first sheet of a workbook (Office Open XML spreadsheet, ECMA-376) as rows of texts.

A workbook is a ZIP of XML that others made: how much it may become is looked at before anything is unpacked, what
defines entities is refused, nothing is calculated and no link is followed. A formula is what it gave when the file was
saved.
"""

from __future__ import annotations

import warnings
import zlib
from collections.abc import Iterator
from datetime import date, datetime, time
from io import BytesIO
from typing import Any
from zipfile import BadZipFile, ZipFile

from schakel.kernel.outcomes import Invalid, TooLarge

_ZIP = b"PK\x03\x04"
_MOST_PARTS = 200
_MOST_UNPACKED = 50_000_000
_MOST_COLUMNS = 100
_MOST_ROWS = 1_048_576
"""A sheet has no more (ECMA-376)."""

_NO_WORKBOOK = "the file is no workbook that can be read: save it as Excel workbook (.xlsx) or as CSV (UTF-8)"


def is_workbook(body: bytes) -> bool:
    """Whether a file looks like a workbook."""
    return body.startswith(_ZIP)


def lines_of(body: bytes) -> Iterator[tuple[int, list[str]]]:
    """The rows of the first sheet that have something in them, by their number in the sheet, all of one length.

    A date is told as YYYY-MM-DD, a whole number without decimals, yes and no as such. Raises `Invalid` for what is no
    workbook, and `TooLarge` for what becomes more than 50 MB or has more than 100 columns.
    """
    _check(body)
    import openpyxl  # Here, as most nodes never read a workbook.

    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # Of what it leaves out: pictures, checks of cells, and the like.
            book = openpyxl.load_workbook(BytesIO(body), read_only=True, data_only=True, keep_links=False)
            sheets = book.worksheets
            if not sheets:
                raise Invalid("the workbook has no sheet", code="table-form")
            sheets[0].reset_dimensions()  # What the sheet says of its own size need not be true.
            rows = sheets[0].iter_rows(max_col=_MOST_COLUMNS + 1, max_row=_MOST_ROWS, values_only=True)
            for number, values in enumerate(rows, 1):
                texts = [_text(value) for value in values]
                if len(texts) > _MOST_COLUMNS and texts[_MOST_COLUMNS]:
                    raise TooLarge(f"row {number}: a sheet has at most {_MOST_COLUMNS} columns")
                if any(texts):
                    yield number, texts[:_MOST_COLUMNS]
    except (Invalid, TooLarge):
        raise
    except Exception as error:  # It raises whatever it happens to stumble over.
        raise Invalid(_NO_WORKBOOK, code="table-form", cause=type(error).__name__) from error


def _check(body: bytes) -> None:
    """Looks at the parts before they are read as XML. Raises `Invalid` and `TooLarge`."""
    try:
        with ZipFile(BytesIO(body)) as parts:
            found = parts.infolist()
            if len(found) > _MOST_PARTS or sum(one.file_size for one in found) > _MOST_UNPACKED:
                raise TooLarge(
                    "the workbook becomes larger than 50 MB: leave only the table in it, or save it as CSV"
                )
            for one in found:
                if one.filename.endswith((".xml", ".rels")) and not _harmless(parts.read(one)):
                    raise Invalid(_NO_WORKBOOK, code="table-form", cause="entities")
    except (BadZipFile, NotImplementedError, RuntimeError, OSError, ValueError, zlib.error) as error:
        raise Invalid(_NO_WORKBOOK, code="table-form", cause=type(error).__name__) from error


def _harmless(part: bytes) -> bool:
    """Whether XML has no definitions of its own; only UTF-8 is looked through, which is what spreadsheets write."""
    return b"<!DOCTYPE" not in part and b"<!ENTITY" not in part and b"\0" not in part


def _text(value: Any) -> str:
    match value:
        case None:
            return ""
        case bool():
            return "yes" if value else "no"
        case datetime() if value.time() == time():
            return value.date().isoformat()
        case datetime() | date() | time():
            return value.isoformat()
        case float() if value.is_integer():
            return str(int(value))
    return str(value).strip()
