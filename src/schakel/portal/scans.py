"""Self-scans: declarations that somebody brings in a file, read whole before anything is written.

row by row: organisation (URA), step, claim, owner, date, until; document, link and reason may be absent
"""

from __future__ import annotations

import csv
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from datetime import date, timedelta
from io import StringIO
from typing import Final

import orjson

from schakel.kernel.outcomes import Invalid, TooLarge
from schakel.portal.declaring import CLAIMS, statement
from schakel.portal.filled import said
from schakel.roadmap.board import Statement
from schakel.roadmap.evidence import Member
from schakel.roadmap.model import Roadmap, Step, Text
from schakel.roadmap.tables import Row, rows_of

NEEDED: Final = ("organisation", "step", "claim", "owner", "date", "until")
COLUMNS: Final = (*NEEDED, "document", "link", "reason")
KIND: Final = "declarations"
"""The member of a JSON object that has the list."""

_MOST_STRANGE: Final = 100
"""Columns that do not belong there of which a page tells; in JSON each row may have others."""
_CLAIMS: Final = {
    spoken.casefold(): claim for claim, text in CLAIMS.items() for spoken in (claim, text.nl, text.en)
}
_ABSENT: Final = Text("Deze kolom ontbreekt.", "This column is absent.")
_STRANGE: Final = Text("Deze kolom hoort hier niet.", "This column does not belong here.")
_FORBIDDEN: Final = Text(
    "Voor deze organisatie mag u niet verklaren.", "You may not declare for this organisation."
)
_TWICE: Final = Text(
    "Deze stap van deze organisatie staat er al eerder in.",
    "This step of this organisation is there already, higher up.",
)


@dataclass(frozen=True, slots=True)
class Wrong:
    """Something that is not right: `place` is the row as its sender finds it, '' for the file as a whole."""

    place: str
    column: str
    said: Text


@dataclass(frozen=True, slots=True)
class Line:
    """A row that was read, with what it would declare about which step of whom."""

    statement: Statement
    step: Step
    member: Member


@dataclass(frozen=True, slots=True)
class Scan:
    """What a file has: `rows` in all, the `lines` that are right, and all that is `wrong`. It is imported when nothing
    is."""

    rows: int
    lines: tuple[Line, ...]
    wrong: tuple[Wrong, ...]

    @property
    def statements(self) -> tuple[Statement, ...]:
        """What would be declared."""
        return tuple(one.statement for one in self.lines)

    def dump(self) -> str:
        """The file once more, as JSON, for the form that imports it."""
        return orjson.dumps({KIND: [_cells(one) for one in self.statements]}).decode()


def scan(
    body: bytes, roadmap: Roadmap, members: Iterable[Member], may: Callable[[str], bool], most: int
) -> Scan:
    """What is in a file; `may` says of a URA whether who brings it may declare for that. Raises `Invalid` for what is
    no table, and `TooLarge` above `most` rows."""
    rows = rows_of(body, KIND)
    if len(rows) > most:
        raise TooLarge(f"a file has at most {most} rows (setting portal.scan_rows): send it in parts")
    columns = dict.fromkeys(name for row in rows for name in row.cells)
    wrong = [Wrong("", name, _ABSENT) for name in NEEDED if name not in columns]
    strange = [name for name in columns if name not in COLUMNS]
    wrong += [Wrong("", name, _STRANGE) for name in strange[:_MOST_STRANGE]]
    if wrong:
        return Scan(len(rows), (), tuple(wrong))
    by_ura = {one.ura: one for one in members}
    steps = {step.id: step for item in roadmap.items for step in item.steps}
    lines: list[Line] = []
    seen: set[tuple[str, str]] = set()
    for row in rows:
        made, faults = _line(row, roadmap, by_ura, may)
        if made is not None and (made.ura, made.step) in seen:
            faults = [Wrong(row.place, "step", _TWICE)]
        elif made is not None:
            seen.add((made.ura, made.step))
            lines.append(Line(made, steps[made.step], by_ura[made.ura]))
        wrong += faults
    return Scan(len(rows), tuple(lines), tuple(wrong))


def _line(
    row: Row, roadmap: Roadmap, members: dict[str, Member], may: Callable[[str], bool]
) -> tuple[Statement | None, list[Wrong]]:
    cells = row.cells
    claim = cells.get("claim", "")
    typed = {**cells, "on": cells.get("date", ""), "claim": _CLAIMS.get(claim.casefold(), claim)}
    ura = cells.get("organisation", "")
    made, faults = statement(ura, cells.get("step", ""), typed, roadmap)
    wrong = [
        Wrong(row.place, "date" if one.expression == "on" else one.expression, said(one)) for one in faults
    ]
    if ura not in members:
        unknown = Invalid("not on the board", code="member-unknown")
        wrong.insert(0, Wrong(row.place, "organisation", said(unknown)))
    elif not may(ura):
        wrong.insert(0, Wrong(row.place, "organisation", _FORBIDDEN))
    return (None if wrong else made), wrong


def _cells(one: Statement) -> dict[str, str]:
    return {
        "organisation": one.ura,
        "step": one.step,
        "claim": one.claim,
        "owner": one.owner,
        "date": one.on.isoformat(),
        "until": one.until.isoformat(),
        "document": one.document,
        "link": one.link,
        "reason": one.reason,
    }


def example(roadmap: Roadmap, ura: str, today: date) -> bytes:
    """A file to begin with: a row for each claim, about the first steps that no check measures."""
    steps = [step for item in roadmap.items for step in item.steps if not step.checks]
    out = StringIO()
    writer = csv.DictWriter(out, COLUMNS, delimiter=";")
    writer.writeheader()
    for step, claim in zip(steps, CLAIMS, strict=False):
        made = Statement(
            ura=ura,
            step=step.id,
            claim=claim,
            owner="Informatiemanager",
            on=today,
            until=today + timedelta(days=365),
            document="Besluit van 1 mei" if claim == "done" else "",
            reason="" if claim == "done" else "Waarom het zo is",
        )
        writer.writerow(_cells(made))
    return b"\xef\xbb\xbf" + out.getvalue().encode()  # With its mark a spreadsheet knows that it is UTF-8.
