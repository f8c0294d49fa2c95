"""One organisation: how it stands on every item, what is next and by which law, and what waits for what."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from datetime import date
from typing import Literal

from schakel.portal.region import Tally, tally
from schakel.roadmap.evidence import Member
from schakel.roadmap.model import Category, Dated, Item, Roadmap, Text
from schakel.roadmap.overview import Overview
from schakel.roadmap.standing import Cell
from schakel.roadmap.words import STATES, settled

When = Literal["behind", "ahead", "unknown"]
"""Where a date lies seen from today: it has passed or is in force; it is to come, or may be; nobody can say."""


@dataclass(frozen=True, slots=True)
class Duty:
    """An item that is not settled, with one of its dates; None when the sources give it none."""

    cell: Cell
    dated: Dated | None


@dataclass(frozen=True, slots=True)
class Waiting:
    """An item that is not settled, with the unsettled items that it depends on (`on`) and that depend on it (`by`)."""

    cell: Cell
    on: tuple[Cell, ...]
    by: tuple[Cell, ...]


@dataclass(frozen=True, slots=True)
class Theme:
    """A theme with the cells of the organisation in it."""

    category: Category
    cells: tuple[Cell, ...]


@dataclass(frozen=True, slots=True)
class Organisation:
    """What the page shows. The items stand apart by whom the sources name them for: this sector (`named`), nobody
    (`unnamed`), or other sectors alone (`others`)."""

    member: Member
    sector: Text
    tally: Tally
    duties: tuple[tuple[When, tuple[Duty, ...]], ...]
    waiting: tuple[Waiting, ...]
    themes: tuple[Theme, ...]
    named: tuple[Item, ...]
    unnamed: tuple[Item, ...]
    others: tuple[Item, ...]


def organisation(overview: Overview, member: Member, today: date) -> Organisation:
    """How `member` stands, seen on `today`."""
    roadmap = overview.roadmap
    own = {cell.item.id: cell for cell in overview.of_member(member.ura)}
    return Organisation(
        member=member,
        sector=roadmap.sectors.get(member.sector, Text(member.sector, member.sector)),
        tally=tally(STATES[cell.state] for cell in own.values()),
        duties=duties(own.values(), today),
        waiting=tuple(
            one
            for cell in own.values()
            if not settled(cell) and ((one := _waiting(roadmap, cell, own)).on or one.by)
        ),
        themes=tuple(
            Theme(category, found)
            for category in roadmap.categories
            if (found := tuple(cell for cell in own.values() if cell.item.category == category.id))
        ),
        named=tuple(item for item in roadmap.items if member.sector in item.sectors),
        unnamed=tuple(item for item in roadmap.items if not item.sectors),
        others=tuple(item for item in roadmap.items if not item.is_for(member.sector)),
    )


def duties(cells: Iterable[Cell], today: date) -> tuple[tuple[When, tuple[Duty, ...]], ...]:
    """Every date of every unsettled item that is not over and done with, and those without one: what lies behind us,
    oldest first; what is ahead, nearest first; what has no date that is known. Empty groups are left out."""
    groups: dict[When, list[Duty]] = {"behind": [], "ahead": [], "unknown": []}
    for cell in cells:
        if settled(cell):
            continue
        dates = [dated for dated in cell.item.dates if dated.certainty != "done"]
        for dated in dates:
            groups[lies(dated, today)].append(Duty(cell, dated))
        if not dates:
            groups["unknown"].append(Duty(cell, None))
    for when in ("behind", "ahead"):
        groups[when].sort(key=_day)
    return tuple((when, tuple(found)) for when, found in groups.items() if found)


def lies(dated: Dated, today: date) -> When:
    """Where `dated` lies seen from `today`. A period that has not ended yet is ahead, unless it is in force."""
    if dated.certainty == "in-force":
        return "behind"
    end = dated.last or dated.first
    if end is None:
        return "unknown"
    return "behind" if end < today else "ahead"


def _day(duty: Duty) -> date:
    """The day by which a duty is put in order: the last on which it may fall."""
    known = (duty.dated.last or duty.dated.first) if duty.dated else None
    return known or date.min


def _waiting(roadmap: Roadmap, cell: Cell, own: dict[str, Cell]) -> Waiting:
    def unsettled(ids: Iterable[str]) -> tuple[Cell, ...]:
        return tuple(own[one] for one in ids if not settled(own[one]))

    return Waiting(cell, unsettled(cell.item.depends_on), unsettled(roadmap.waiting[cell.item.id]))
