"""A measured region written down, for people and for programs.

    source = of_run(run, roadmap)                   # or of_board(region, overview)
    write({"html": Path("region.html"), "xlsx": Path("region.xlsx")}, source, "nl")

A page and a PDF tell people the same (`contents`); a workbook is for who filters and counts. CSV and JSON are those of
`roadmap.shown`; JSON of one run is the run itself (`roadmap.wire`), which a board takes. A report shows evidence, and
claims no conformity.
"""

from __future__ import annotations

import os
from collections.abc import Mapping
from contextlib import suppress
from pathlib import Path
from tempfile import NamedTemporaryFile
from typing import Final, Literal

import orjson

from schakel.kernel.outcomes import Invalid
from schakel.roadmap import shown, wire
from schakel.roadmap.model import Language
from schakel.roadmap.report.contents import told
from schakel.roadmap.report.html import page
from schakel.roadmap.report.pdf import document
from schakel.roadmap.report.source import Narrowed, Source, of_board, of_run
from schakel.roadmap.report.xlsx import workbook

Kind = Literal["html", "pdf", "xlsx", "csv", "json"]

MEDIA: Final[Mapping[Kind, str]] = {
    "html": "text/html; charset=utf-8",
    "pdf": "application/pdf",
    "xlsx": "application/vnd.openxmlformats-officedocument.spreadsheetml.sheet",
    "csv": "text/csv; charset=utf-8",
    "json": "application/json",
}
"""What each kind is called when it is sent."""

__all__ = ["MEDIA", "Kind", "Narrowed", "Source", "make", "of_board", "of_run", "writable", "write"]


def make(kind: Kind, source: Source, language: Language) -> bytes:
    """The report of this kind. CSV and JSON are in both languages at once."""
    match kind:
        case "html":
            return page(told(source, language))
        case "pdf":
            return document(told(source, language))
        case "xlsx":
            return workbook(source, language)
        case "csv":
            # A Dutch spreadsheet opens this form without asking: it splits at ; and knows UTF-8 by its mark.
            return f"\ufeff{shown.as_csv(source.overview, ';')}".encode()
        case "json":
            if source.run is not None:
                return wire.dump(source.run)
            filters = {one.name: one.value for one in source.narrowed}
            board = {"region": source.region, "narrowed": filters, **shown.as_json(source.overview)}
            return orjson.dumps(board, option=orjson.OPT_INDENT_2)


def writable(paths: Mapping[Kind, Path]) -> None:
    """Whether reports can be written there, as far as that is known before. Raises `Invalid`."""
    taken: dict[Path, Kind] = {}
    for kind, path in paths.items():
        folder = path.parent
        if not folder.is_dir():
            raise _unwritable(path, f"there is no folder {folder}")
        if path.is_dir():
            raise _unwritable(path, "that is a folder")
        if not os.access(folder, os.W_OK):
            raise _unwritable(path, f"nothing may be written in {folder.absolute()}")
        other = taken.setdefault(path.resolve(), kind)
        if other != kind:
            raise _unwritable(path, f"--{other} and --{kind} name the same file; give each a name of its own")


def write(paths: Mapping[Kind, Path], source: Source, language: Language) -> None:
    """Writes a report of each kind to its path. Each file is whole or as it was. Raises `Invalid` for a path that
    cannot be written."""
    writable(paths)
    made = {path: make(kind, source, language) for kind, path in paths.items()}
    for path, body in made.items():
        _replace(path, body)


def _replace(path: Path, body: bytes) -> None:
    """Puts `body` at `path`, by way of a file beside it with a name of its own; what is no file, such as the output of
    this program, is written to as it is."""
    name = ""
    try:
        if path.exists() and not path.is_file():
            path.write_bytes(body)
            return
        path = path.resolve()
        with NamedTemporaryFile(dir=path.parent, prefix=f".{path.name}.", delete=False) as file:
            name = file.name
            file.write(body)
        os.chmod(name, _mode(path))
        os.replace(name, path)
    except OSError as error:
        with suppress(OSError):
            os.unlink(name)
        raise _unwritable(path, error.strerror or str(error)) from error


def _mode(path: Path) -> int:
    """Who may read the file: as it was, or as any new file of this user."""
    with suppress(OSError):
        return path.stat().st_mode & 0o777
    mask = os.umask(0)
    os.umask(mask)
    return 0o666 & ~mask


def _unwritable(path: Path, why: str) -> Invalid:
    return Invalid(f"the report {path} cannot be written: {why}")
