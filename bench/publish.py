"""Writes the figures of a whole run into the pages that show them (`uv run bench --docs`).

`docs/explanation/performance.md` gets the machine and the whole table; the rows of README that show some of the
figures, found by their names, are written anew. What is said about them in words is
for a person to look at again.
"""

from __future__ import annotations

import re
from pathlib import Path

from bench.report import Figure, table

_ROOT = Path(__file__).resolve().parents[1]
_RUN = re.compile(r"(?<=\n)`uv run bench`, .*?\n\n\| figure .*?\n(?=\n)", re.DOTALL)
_ROW = re.compile(r"^\| ([^|]+?) \|[^|]*\|[^|]*\|$", re.MULTILINE)


def publish(hardware: str, setting: str, figures: list[Figure], root: Path = _ROOT) -> None:
    """Raises `ValueError` when a page has no such table, or a row of README no figure."""
    page = root / "docs" / "explanation" / "performance.md"
    told = f"`uv run bench`, {hardware}. {setting}.\n\n{table(figures)}\n"
    text, written = _RUN.subn(lambda _: told, page.read_text("utf-8"))
    if written != 1:
        raise ValueError(f"{page} has {written} tables of a run")
    readme = root / "README.md"
    start, head, rest = readme.read_text("utf-8").partition("| figure | measured | goal |\n|---|---|---|\n")
    rows, gap, end = rest.partition("\n\n")
    shown = {_same(one.cells()[0]): one for one in figures}
    rows = _ROW.sub(lambda row: _row(shown, row[1]), rows)
    page.write_text(text, "utf-8")
    readme.write_text(f"{start}{head}{rows}{gap}{end}", "utf-8")


def _same(name: str) -> str:
    """A name without how much was measured, which differs from run to run; not of searches, of which the numbers
    are those of clients."""
    return name if name.startswith("search") else re.sub(r"(?<![a-z0-9,])[0-9][0-9,]*", "#", name)


def _row(shown: dict[str, Figure], name: str) -> str:
    figure = shown.get(_same(name))
    if figure is None:
        raise ValueError(f"README shows {name!r}, which is no figure of this run")
    cells = figure.cells()
    return f"| {cells[0]} | {cells[1]} | {', '.join(cells[-2:])} |"
