"""A report as a workbook, for who wants to filter and count: overview, items, steps, evidence, checks and sources.

Every text is written as text, whatever it begins with, so that nothing that was found becomes a formula or a link.
Moments are real ones, as the clock in the Netherlands has them.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from datetime import date, datetime
from io import BytesIO
from typing import Final

from xlsxwriter import Workbook
from xlsxwriter.format import Format
from xlsxwriter.worksheet import Worksheet

from schakel.kernel.clock import AMSTERDAM
from schakel.roadmap.checks import CHECKS
from schakel.roadmap.evidence import Finding, Member
from schakel.roadmap.facts import called
from schakel.roadmap.model import Language
from schakel.roadmap.report.contents import by_sector, in_order, named_checks, sector_name
from schakel.roadmap.report.source import Source
from schakel.roadmap.report.texts import HEADINGS, TEXTS, VERDICTS, line, moment, said, whose
from schakel.roadmap.standing import Cell
from schakel.roadmap.words import STATES

Value = str | int | datetime | date | None

_LONGEST: Final = 32_767
"""Characters that a cell of a workbook holds."""


@dataclass
class _Sheet:
    """A table to write: its name and headings as keys of `HEADINGS` (or as they are), and its rows."""

    name: str
    headings: Sequence[str]
    rows: list[Sequence[Value]] = field(default_factory=list)
    frozen_columns: int = 0


def workbook(source: Source, language: Language) -> bytes:
    """The workbook."""
    out = BytesIO()
    options = {"in_memory": True, "strings_to_formulas": False, "strings_to_urls": False}
    with Workbook(out, options) as book:
        book.set_properties(
            {
                "title": f"{line(source.region)}: {said(TEXTS['title'], language)}".removeprefix(": "),
                "comments": said(TEXTS["claim"], language),
                "created": source.overview.moment.replace(tzinfo=None),
            }
        )
        formats = _Formats(book)
        members = by_sector(source.overview.roadmap, source.overview.members)
        for sheet in (
            _overview(source, members, language),
            _items(source, members, language),
            _steps(source, members, language),
            _evidence(source, members, language),
            _checks(source, language),
            _sources(source, language),
        ):
            _write(book, sheet, formats, language)
    return out.getvalue()


class _Formats:
    """How cells look."""

    def __init__(self, book: Workbook) -> None:
        top = {"valign": "top"}
        self.heading: Format = book.add_format({"bold": True, "text_wrap": True, "bottom": 1, **top})
        self.text: Format = book.add_format({"text_wrap": True, **top})
        self.number: Format = book.add_format({"num_format": "0", **top})
        self.moment: Format = book.add_format({"num_format": "yyyy-mm-dd hh:mm", **top})
        self.day: Format = book.add_format({"num_format": "yyyy-mm-dd", **top})


def _write(book: Workbook, sheet: _Sheet, formats: _Formats, language: Language) -> None:
    page: Worksheet = book.add_worksheet(HEADINGS[sheet.name].of(language))
    headings = [_heading(name, language) for name in sheet.headings]
    widths = [len(name) for name in headings]
    for column, name in enumerate(headings):
        page.write_string(0, column, name, formats.heading)
    for number, row in enumerate(sheet.rows, 1):
        for column, value in enumerate(row):
            widths[column] = max(widths[column], _put(page, number, column, value, formats))
    for column, width in enumerate(widths):
        page.set_column(column, column, min(max(width, 8), 60) + 2)
    page.freeze_panes(1, sheet.frozen_columns)
    page.autofilter(0, 0, len(sheet.rows), len(headings) - 1)
    page.set_landscape()
    page.set_paper(9)  # A4.
    page.fit_to_pages(1, 0)
    page.repeat_rows(0)


def _heading(name: str, language: Language) -> str:
    return HEADINGS[name].of(language) if name in HEADINGS else _fitting(name)


def _put(page: Worksheet, row: int, column: int, value: Value, formats: _Formats) -> int:
    """Writes a value as what it is; how many characters wide that is."""
    match value:
        case None | "":
            return 0
        case str():
            text = _fitting(value)
            page.write_string(row, column, text, formats.text)
            return len(text)
        case datetime():
            page.write_datetime(row, column, value, formats.moment)
            return 16
        case date():
            page.write_datetime(row, column, value, formats.day)
            return 10
        case int():
            page.write_number(row, column, value, formats.number)
            return len(str(value))


def _fitting(text: str) -> str:
    clean = line(text)
    return clean if len(clean) <= _LONGEST else f"{clean[: _LONGEST - 3]}..."


def _local(of: datetime | None) -> datetime | None:
    """A moment as a workbook has it: without a zone, to the second."""
    return None if of is None else of.astimezone(AMSTERDAM).replace(tzinfo=None, microsecond=0)


def _overview(source: Source, members: Sequence[Member], language: Language) -> _Sheet:
    """Items (rows) at organisations (columns), each state in words."""
    overview = source.overview
    themes = {one.id: one.title for one in overview.roadmap.categories}
    rows: list[Sequence[Value]] = [
        (
            item.id,
            themes[item.category].of(language),
            item.title.of(language),
            *(_state(overview.cell(one.ura, item.id), language) for one in members),
        )
        for item in overview.roadmap.items
    ]
    return _Sheet(
        "overview", ("item", "theme", "title", *(f"{one.name} ({one.ura})" for one in members)), rows, 3
    )


def _items(source: Source, members: Sequence[Member], language: Language) -> _Sheet:
    """A row for every item at every organisation."""
    roadmap = source.overview.roadmap
    themes = {one.id: one.title for one in roadmap.categories}
    return _Sheet(
        "items",
        (
            *("ura", "organisation", "sector", "kind", "item", "theme", "title"),
            *("state", "reason", "last_true"),
        ),
        [
            (
                *(one.ura, one.name, sector_name(roadmap, one.sector).of(language), one.kind),
                *(cell.item.id, themes[cell.item.category].of(language), cell.item.title.of(language)),
                *(_state(cell, language), cell.reason.of(language), _local(cell.last_true)),
            )
            for one in members
            for cell in source.overview.of_member(one.ura)
        ],
        2,
    )


def _steps(source: Source, members: Sequence[Member], language: Language) -> _Sheet:
    """A row for every step at every organisation that it is for."""
    return _Sheet(
        "steps",
        (
            *("ura", "organisation", "item", "step", "text", "state", "reason", "last_true"),
            *("by_checks", "document", "good_to"),
        ),
        [
            (
                *(one.ura, one.name, cell.item.id, step.step.id, step.step.text.of(language)),
                *(STATES[step.state].word.of(language), step.reason.of(language), _local(step.last_true)),
                ", ".join(step.step.checks),
                "" if step.declaration is None else step.declaration.document,
                None if step.declaration is None else step.declaration.until,
            )
            for one in members
            for cell in source.overview.of_member(one.ura)
            for step in cell.steps
        ],
        2,
    )


def _evidence(source: Source, members: Sequence[Member], language: Language) -> _Sheet:
    """A row for everything that was found."""
    return _Sheet(
        "evidence",
        (
            *("ura", "organisation", "check", "title", "verdict", "reason", "at", "last_true", "until"),
            *("by", "run", "facts", "detail"),
        ),
        [
            (
                *(member.ura, member.name, one.finding.check, _title(one.finding.check, language)),
                *(VERDICTS[one.finding.verdict].word.of(language), one.finding.reason.of(language)),
                *(_local(one.at), _local(one.last_true), _local(one.finding.until)),
                *(whose(one, language), one.run),
                "; ".join(_figures(one.finding, language)),
                one.finding.detail,
            )
            for member in members
            for one in in_order(found for found in source.evidence if found.ura == member.ura)
        ],
        2,
    )


def _figures(finding: Finding, language: Language) -> Iterator[str]:
    """The figures of a finding by what they are called, else by their names in the run."""
    for name, value in finding.facts.items():
        word = called(finding.check, name)
        yield f"{word.of(language) if word else name}: {value}"


def _checks(source: Source, language: Language) -> _Sheet:
    """How each check measures."""
    rows: list[Sequence[Value]] = []
    for name in named_checks(source):
        check = CHECKS.get(name)
        if check is None:
            rows.append((name, name, TEXTS["no_check"].of(language), None))
        else:
            rows.append((name, check.title.of(language), check.how.of(language), check.fresh.days))
    return _Sheet("checks", ("check", "title", "how", "days"), rows, 1)


def _sources(source: Source, language: Language) -> _Sheet:
    """What the report rests on: the measurement, the roadmap with its sources, and what those leave open."""
    overview, roadmap = source.overview, source.overview.roadmap
    t = {name: text.of(language) for name, text in TEXTS.items()}
    rows: list[Sequence[Value]] = [(t["about"], t["claim"]), (t["region"], source.region)]
    rows += [(t["narrowed"], said(one.words, language)) for one in source.narrowed]
    if overview.last_run is not None:
        started, finished = (
            moment(one, language) for one in (overview.last_run.started, overview.last_run.finished)
        )
        rows += [(t["measured"], f"{started} {t['until']} {finished}"), (t["by"], overview.last_run.by)]
    rows += [
        (t["stands"], moment(overview.moment, language)),
        (t["roadmap"], f"{roadmap.title.of(language)}, {t['version']} {roadmap.version}"),
        *((t["sources"], one.of(language)) for one in roadmap.sources),
        *((t["open"], one.of(language)) for one in roadmap.open),
        *(
            (f"{t['open']}: {item.id} {item.title.of(language)}", one.of(language))
            for item in roadmap.items
            for one in item.open
        ),
    ]
    return _Sheet("sources", ("about", "what"), rows, 1)


def _state(cell: Cell | None, language: Language) -> str:
    return "" if cell is None else STATES[cell.state].word.of(language)


def _title(check: str, language: Language) -> str:
    return CHECKS[check].title.of(language) if check in CHECKS else check
