"""What a report tells people, in one language: the same for a web page and for paper, which only lay it out."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Final

from schakel.kernel.clock import AMSTERDAM
from schakel.roadmap.checks import CHECKS
from schakel.roadmap.evidence import Evidence, Member
from schakel.roadmap.model import Item, Language, Roadmap, Text
from schakel.roadmap.reasons import day_of
from schakel.roadmap.report.source import Source
from schakel.roadmap.report.texts import TEXTS, VERDICTS, line, moment, said, spoken, whose
from schakel.roadmap.standing import Cell, State
from schakel.roadmap.words import STATES

_COLUMNS: Final = 8
"""Organisations beside each other: as many as a sheet of paper holds with each state in words."""

_TOLD: Final[tuple[State, ...]] = (
    "fails",
    "unknown",
    "stale",
    "unconfirmed",
    "self-measured",
    "partly",
    "not-checked",
    "not-declared",
    "proved",
    "declared",
    "not-named",
    "not-applicable",
)
"""The order in which the items of an organisation are told: what needs attention first."""

_NAMED_ONLY: Final = frozenset[State]({"not-checked", "not-declared"})
"""States in which there is nothing to tell of an item but its name."""


@dataclass(frozen=True, slots=True)
class Moment:
    """A moment or day: `at` for machines (ISO 8601), and as people read it."""

    at: str
    said: str


@dataclass(frozen=True, slots=True)
class Mark:
    """A state or verdict as it is shown: `name` decides its colour, the sign and the word say it."""

    name: str
    sign: str
    word: str
    meaning: str = ""


@dataclass(frozen=True, slots=True)
class About:
    """Something about the measurement: its name, what it is, and the moments at which it was."""

    name: str
    value: str
    moments: tuple[Moment, ...] = ()


@dataclass(frozen=True, slots=True)
class Count:
    """How many items an organisation has in each of `Contents.present`, in that order."""

    name: str
    ura: str
    numbers: tuple[int, ...]
    total: int


@dataclass(frozen=True, slots=True)
class Row:
    """An item, and how it stands at each organisation of a block; None where a filter leaves that out."""

    id: str
    title: str
    marks: tuple[Mark | None, ...]


@dataclass(frozen=True, slots=True)
class Theme:
    """The items of a theme."""

    title: str
    rows: tuple[Row, ...]


@dataclass(frozen=True, slots=True)
class Column:
    """An organisation at the head of a block."""

    name: str
    sector: str


@dataclass(frozen=True, slots=True)
class Block:
    """A part of the board that fits on a page: some organisations, and all items."""

    members: tuple[Column, ...]
    themes: tuple[Theme, ...]


@dataclass(frozen=True, slots=True)
class Told:
    """An item at an organisation: why it stands so ('' when its state says all), and when it was last so."""

    id: str
    title: str
    reason: str
    last_true: Moment | None


@dataclass(frozen=True, slots=True)
class Group:
    """The items of an organisation that stand alike."""

    mark: Mark
    items: tuple[Told, ...]
    named_only: bool


@dataclass(frozen=True, slots=True)
class Found:
    """What a check found."""

    check: str
    mark: Mark
    reason: str
    at: Moment
    by: str
    until: Moment | None
    last_true: Moment | None


@dataclass(frozen=True, slots=True)
class Organisation:
    """Where one organisation stands."""

    ura: str
    name: str
    sector: str
    kind: str
    groups: tuple[Group, ...]
    found: tuple[Found, ...]


@dataclass(frozen=True, slots=True)
class HowMeasured:
    """A check: its id, its name and how it measures. `days` is how long what it finds counts, None when not known."""

    id: str
    title: str
    how: str
    days: int | None


@dataclass(frozen=True, slots=True)
class Open:
    """What the sources leave open about something."""

    about: str
    texts: tuple[str, ...]


@dataclass(frozen=True)
class Contents:
    """All that a report tells. `t` are its fixed texts by name; `present` are the states that occur."""

    language: Language
    t: Mapping[str, str]
    title: str
    about: tuple[About, ...]
    marks: tuple[Mark, ...]
    present: tuple[Mark, ...]
    counts: tuple[Count, ...]
    totals: Count
    blocks: tuple[Block, ...]
    organisations: tuple[Organisation, ...]
    checks: tuple[HowMeasured, ...]
    open: tuple[Open, ...]
    sources: tuple[str, ...]
    moment: Moment


def told(source: Source, language: Language) -> Contents:
    """What a report about `source` tells in `language`."""
    overview, roadmap = source.overview, source.overview.roadmap
    marks = {
        state: Mark(state, look.sign, look.word.of(language), look.meaning.of(language))
        for state, look in STATES.items()
    }
    members = by_sector(roadmap, overview.members)
    numbers = {one.ura: Counter(cell.state for cell in overview.of_member(one.ura)) for one in members}
    everywhere = Counter(cell.state for cell in overview.cells.values())
    present = [state for state in STATES if everywhere[state]]
    evidence: dict[str, list[Evidence]] = {}
    for one in source.evidence:
        evidence.setdefault(one.ura, []).append(one)

    def counted(name: str, ura: str, of: Counter[State]) -> Count:
        return Count(name, ura, tuple(of[state] for state in present), of.total())

    title = said(TEXTS["title"], language)
    return Contents(
        language=language,
        t=spoken(language),
        title=f"{line(source.region)}: {title[0].lower()}{title[1:]}" if source.region else title,
        about=tuple(_about(source, language)),
        marks=tuple(marks.values()),
        present=tuple(marks[state] for state in present),
        counts=tuple(counted(_name(one), one.ura, numbers[one.ura]) for one in members),
        totals=counted(TEXTS["together"].of(language), "", everywhere),
        blocks=tuple(_blocks(source, members, marks, language)),
        organisations=tuple(
            _organisation(source, one, evidence.get(one.ura, ()), marks, language) for one in members
        ),
        checks=tuple(_checks(source, language)),
        open=tuple(_open(roadmap, language)),
        sources=tuple(said(one, language) for one in roadmap.sources),
        moment=_moment(overview.moment, language),
    )


def by_sector(roadmap: Roadmap, members: Iterable[Member]) -> list[Member]:
    """The organisations in the order of the sectors of the roadmap, and by name within each; those of a sector that it
    does not have, last."""
    order = {code: place for place, code in enumerate(roadmap.sectors)}
    return sorted(
        members,
        key=lambda one: (order.get(one.sector, len(order)), one.sector, one.name.casefold(), one.ura),
    )


def sector_name(roadmap: Roadmap, code: str) -> Text:
    """What a sector is called; its code where the roadmap has no name for it."""
    return roadmap.sectors.get(code, Text(code, code))


def in_order(evidence: Iterable[Evidence]) -> list[Evidence]:
    """What was found at an organisation, what needs attention first, and then in the order of the checks."""
    verdicts = {verdict: place for place, verdict in enumerate(VERDICTS)}
    checks = {check: place for place, check in enumerate(CHECKS)}
    return sorted(
        evidence,
        key=lambda one: (
            verdicts[one.finding.verdict],
            checks.get(one.finding.check, len(checks)),
            one.finding.check,
        ),
    )


def named_checks(source: Source) -> list[str]:
    """The checks that the roadmap asks for or that found anything, in the order of `CHECKS`; unknown ones last."""
    asked = {check for item in source.overview.roadmap.items for step in item.steps for check in step.checks}
    named = asked | {one.finding.check for one in source.evidence}
    return [*(check for check in CHECKS if check in named), *sorted(named - set(CHECKS))]


def _about(source: Source, language: Language) -> Iterator[About]:
    t, overview, run = spoken(language), source.overview, source.overview.last_run
    if source.region:
        yield About(t["region"], line(source.region))
    if source.narrowed:
        yield About(t["narrowed"], "; ".join(said(one.words, language) for one in source.narrowed))
    if run is None:
        yield About(t["measured"], t["never"])
    else:
        yield About(t["measured"], "", (_moment(run.started, language), _moment(run.finished, language)))
        yield About(t["by"], line(run.by))
    if source.run is None:
        yield About(t["stands"], "", (_moment(overview.moment, language),))
    roadmap = overview.roadmap
    yield About(t["roadmap"], f"{said(roadmap.title, language)}, {t['version']} {line(roadmap.version)}")
    yield About(
        t["size"],
        f"{len(overview.members)} {t['organisations']}, {len(roadmap.items)} {t['items']}, "
        f"{len(source.evidence)} {t['findings']}",
    )


def _blocks(
    source: Source, members: Sequence[Member], marks: Mapping[State, Mark], language: Language
) -> Iterator[Block]:
    roadmap = source.overview.roadmap
    for start in range(0, len(members), _COLUMNS):
        part = members[start : start + _COLUMNS]

        def row(item: Item, part: Sequence[Member] = part) -> Row:
            cells = (source.overview.cell(one.ura, item.id) for one in part)
            return Row(
                item.id,
                said(item.title, language),
                tuple(None if cell is None else marks[cell.state] for cell in cells),
            )

        yield Block(
            tuple(Column(_name(one), said(sector_name(roadmap, one.sector), language)) for one in part),
            tuple(
                Theme(said(category.title, language), rows)
                for category in roadmap.categories
                if (rows := tuple(row(one) for one in roadmap.items if one.category == category.id))
            ),
        )


def _organisation(
    source: Source,
    member: Member,
    evidence: Iterable[Evidence],
    marks: Mapping[State, Mark],
    language: Language,
) -> Organisation:
    roadmap, cells = source.overview.roadmap, source.overview.of_member(member.ura)
    return Organisation(
        member.ura,
        _name(member),
        said(sector_name(roadmap, member.sector), language),
        line(member.kind),
        tuple(
            Group(
                marks[state],
                tuple(_told(cell, language) for cell in alike),
                state in _NAMED_ONLY,
            )
            for state in _TOLD
            if (alike := [cell for cell in cells if cell.state == state])
        ),
        tuple(_found(one, language) for one in in_order(evidence)),
    )


def _name(member: Member) -> str:
    """What an organisation is called; its number when nothing of its name can be seen, as it heads a part."""
    return line(member.name).strip() or member.ura


def _told(cell: Cell, language: Language) -> Told:
    reason = "" if cell.state in _NAMED_ONLY else said(cell.reason, language)
    last = None if cell.last_true is None else _day(cell.last_true, language)
    return Told(cell.item.id, said(cell.item.title, language), reason, last)


def _found(one: Evidence, language: Language) -> Found:
    finding, look = one.finding, VERDICTS[one.finding.verdict]
    check = CHECKS.get(finding.check)
    return Found(
        line(finding.check) if check is None else check.title.of(language),
        Mark(look.like, look.sign, look.word.of(language)),
        said(finding.reason, language),
        _day(one.at, language),
        whose(one, language),
        None if finding.until is None else _day(finding.until, language),
        None if one.last_true is None else _day(one.last_true, language),
    )


def _checks(source: Source, language: Language) -> Iterator[HowMeasured]:
    for name in named_checks(source):
        check = CHECKS.get(name)
        if check is None:
            yield HowMeasured(line(name), line(name), TEXTS["no_check"].of(language), None)
        else:
            yield HowMeasured(name, check.title.of(language), check.how.of(language), check.fresh.days)


def _open(roadmap: Roadmap, language: Language) -> Iterator[Open]:
    if roadmap.open:
        yield Open(TEXTS["whole"].of(language), tuple(said(one, language) for one in roadmap.open))
    for item in roadmap.items:
        if item.open:
            about = f"{item.id} {said(item.title, language)}"
            yield Open(about, tuple(said(one, language) for one in item.open))


def _day(of: datetime, language: Language) -> Moment:
    return Moment(of.astimezone(AMSTERDAM).date().isoformat(), day_of(of).of(language))


def _moment(of: datetime, language: Language) -> Moment:
    return Moment(of.astimezone(AMSTERDAM).isoformat(timespec="seconds"), moment(of, language))
