"""Writes the figures of a whole run into the pages that show them (`uv run bench --docs`).

`docs/explanation/performance.md` gets the machine and the whole table, README the figures of `SHOWN`. What is said
about them in words is for a person to look at again.
"""

from __future__ import annotations

import re
from pathlib import Path

from bench.report import Figure, table

_ROOT = Path(__file__).resolve().parents[1]
_RUN = re.compile(r"(?<=\n)`uv run bench`, .*?\n\n\| figure .*?\n(?=\n)", re.DOTALL)
SHOWN = (
    "ingest: resources in transactions of #",
    "read: by id",
    "guarded read: # resources",
    "guarded over mTLS, DPoP: reads of # resources",
    "guarded over mTLS, DPoP: p99",
    "decision: whole: p50",
    "bgz: p50 of #, # kB",
    "bgz: p95",
    "search: patient + code, 4 clients: p50",
    "search: patient + code, 4 clients: growth of p50",
    "search: patient + code, 16 clients",
    "directory: first load of # organisations with an endpoint",
    "directory: a run after # changes",
    "directory: p50 of finding an endpoint, of #",
    "question: p50 of # over three holders, # kB",
    "memory: idle worker",
)
"""What README shows: names without how much was measured."""


def publish(hardware: str, setting: str, figures: list[Figure], root: Path = _ROOT) -> None:
    """Raises `ValueError` when a page has no such table, and `KeyError` when a figure of `SHOWN` is missing."""
    page = root / "docs" / "explanation" / "performance.md"
    told = f"`uv run bench`, {hardware}. {setting}.\n\n{table(figures)}\n"
    text, written = _RUN.subn(lambda _: told, page.read_text("utf-8"))
    if written != 1:
        raise ValueError(f"{page} has {written} tables of a run")
    readme = root / "README.md"
    start, head, rest = readme.read_text("utf-8").partition("| figure | measured | goal |\n|---|---|---|\n")
    _, gap, end = rest.partition("\n\n")
    shown = {_same(one.cells()[0]): one for one in figures}
    if not head:
        raise ValueError(f"{readme} has no table of figures")
    rows = "\n".join(_row(shown[name]) for name in SHOWN)
    page.write_text(text, "utf-8")
    readme.write_text(f"{start}{head}{rows}{gap}{end}", "utf-8")


def _same(name: str) -> str:
    """A name without how much was measured, which differs from run to run; not of searches, of which the numbers
    are those of clients."""
    return name if name.startswith("search") else re.sub(r"(?<![a-z0-9])[0-9]+(?:,[0-9]{3})*", "#", name)


def _row(figure: Figure) -> str:
    cells = figure.cells()
    return f"| {cells[0]} | {cells[1]} | {', '.join(cells[-2:])} |"
