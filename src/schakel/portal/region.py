"""The region at a glance: every item against every organisation, counted, and narrowed by filters."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass

from schakel.portal.filters import Choices, Filters, sectors
from schakel.roadmap.evidence import Member
from schakel.roadmap.model import Category, Item, Roadmap, Text
from schakel.roadmap.overview import Overview
from schakel.roadmap.words import STATES, Look

Tally = tuple[tuple[Look, int], ...]
"""How many there are in each state, in the order of the states; states without any are left out."""


@dataclass(frozen=True, slots=True)
class Sector:
    """A sector with its organisations, by name."""

    code: str
    name: Text
    members: tuple[Member, ...]


@dataclass(frozen=True, slots=True)
class Row:
    """An item, and how it stands at each organisation in the order of the columns; None where the filters leave a cell
    out."""

    item: Item
    cells: tuple[tuple[Member, Look | None], ...]


@dataclass(frozen=True, slots=True)
class Theme:
    """A theme with its items."""

    category: Category
    rows: tuple[Row, ...]


@dataclass(frozen=True, slots=True)
class SectorTally:
    """How many cells of a sector are in each state of `Region.tally`, in that order, and in all."""

    sector: Sector
    numbers: tuple[int, ...]
    total: int


@dataclass(frozen=True, slots=True)
class Region:
    """What the page shows. `shown` of `total` cells are in the table. `tally` and `by_sector` count what all filters
    but that of the state let through, so that they say what another choice of state would show."""

    filters: Filters
    choices: Choices
    sectors: tuple[Sector, ...]
    themes: tuple[Theme, ...]
    shown: int
    total: int
    tally: Tally
    by_sector: tuple[SectorTally, ...]


def region(overview: Overview, filters: Filters, allowed: Choices) -> Region:
    """The region as `filters` narrow it. A row or a column in which nothing is left is not there."""
    roadmap, cells = overview.roadmap, overview.cells
    items = [item for item in roadmap.items if filters.shows_item(item)]
    chosen = [member for member in overview.members if filters.shows_member(member)]
    kept = {
        (member.ura, item.id): STATES[cells[member.ura, item.id].state] for member in chosen for item in items
    }
    visible = {place: look for place, look in kept.items() if filters.shows_state(look.state)}
    with_columns = {ura for ura, _ in visible}
    with_rows = {item for _, item in visible}
    columns = by_sector(roadmap, [member for member in chosen if member.ura in with_columns])
    order = [member for sector in columns for member in sector.members]
    rows = {
        item.id: Row(item, tuple((member, visible.get((member.ura, item.id))) for member in order))
        for item in items
        if item.id in with_rows
    }
    summed = tally(kept.values())
    return Region(
        filters=filters,
        choices=allowed,
        sectors=columns,
        themes=tuple(
            Theme(category, found)
            for category in roadmap.categories
            if (found := tuple(row for row in rows.values() if row.item.category == category.id))
        ),
        shown=len(visible),
        total=len(cells),
        tally=summed,
        by_sector=tuple(_sector_tally(sector, items, kept, summed) for sector in by_sector(roadmap, chosen)),
    )


def by_sector(roadmap: Roadmap, members: Iterable[Member]) -> tuple[Sector, ...]:
    """The organisations by sector, in the order of the roadmap and by name within it."""
    found: dict[str, list[Member]] = {}
    for member in members:
        found.setdefault(member.sector, []).append(member)
    return tuple(
        Sector(code, name, tuple(sorted(found[code], key=lambda one: (one.name.casefold(), one.ura))))
        for code, name in sectors(roadmap, found)
    )


def tally(looks: Iterable[Look]) -> Tally:
    """How many there are in each state."""
    numbers = Counter(look.state for look in looks)
    return tuple((look, numbers[state]) for state, look in STATES.items() if numbers[state])


def _sector_tally(
    sector: Sector, items: Sequence[Item], kept: Mapping[tuple[str, str], Look], summed: Tally
) -> SectorTally:
    numbers = Counter(kept[member.ura, item.id].state for member in sector.members for item in items)
    return SectorTally(sector, tuple(numbers[look.state] for look, _ in summed), numbers.total())
