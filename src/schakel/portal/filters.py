"""What a page of the region is narrowed to: sector, theme, year, legal status and state, as they stand in its address.

    filters = read(pairs, choices(roadmap, members))

A cell is shown when its organisation, its item and its state all match. What is asked and is no choice is left out of
the filter and kept in `ignored`, so that the page can say so.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, fields, replace
from typing import Final
from urllib.parse import urlencode

from schakel.roadmap.evidence import Member
from schakel.roadmap.model import Category, Dated, Item, Language, Legal, Roadmap, Text
from schakel.roadmap.overview import Overview
from schakel.roadmap.report import Narrowed
from schakel.roadmap.standing import State
from schakel.roadmap.words import LEGALS, STATES

NO_YEAR: Final = "none"
"""The choice of year for items without any date of which the year is known."""

_LONGEST: Final = 60
_NO_YEAR: Final = Text("geen jaar bekend", "no year known")
_NAMED: Final = {
    "sector": Text("sector", "sector"),
    "theme": Text("thema", "theme"),
    "year": Text("jaar", "year"),
    "legal": Text("op welke grond", "on what ground"),
    "state": Text("stand", "state"),
}


@dataclass(frozen=True, slots=True)
class Choices:
    """What each filter may be: codes of sectors with their names, themes, years, legal statuses and states."""

    sector: tuple[tuple[str, Text], ...]
    theme: tuple[Category, ...]
    year: tuple[str, ...]
    legal: tuple[Legal, ...] = tuple(LEGALS)
    state: tuple[State, ...] = tuple(STATES)

    def known(self, name: str) -> frozenset[str]:
        """The values of the filter `name`."""
        if name == "sector":
            return frozenset(code for code, _ in self.sector)
        if name == "theme":
            return frozenset(one.id for one in self.theme)
        values: Sequence[str] = getattr(self, name)
        return frozenset((*values, NO_YEAR)) if name == "year" else frozenset(values)


@dataclass(frozen=True, slots=True)
class Filters:
    """What is shown; '' is everything. `ignored` are the names and values that are no choice."""

    sector: str = ""
    theme: str = ""
    year: str = ""
    legal: str = ""
    state: str = ""
    ignored: tuple[tuple[str, str], ...] = ()

    @property
    def narrow(self) -> bool:
        """Whether anything is left out."""
        return any(getattr(self, name) for name in NAMES)

    def shows_member(self, member: Member) -> bool:
        """Whether organisations like `member` are shown: those of the sector."""
        return self.sector in ("", member.sector)

    def shows_item(self, item: Item) -> bool:
        """Whether `item` is shown: it is in the theme, and one and the same date of it has the year and the legal
        status."""
        if self.theme not in ("", item.category):
            return False
        if self.year == NO_YEAR:
            return not any(map(years, item.dates)) and (
                not self.legal or any(self.legal == dated.legal for dated in item.dates)
            )
        if not self.year and not self.legal:
            return True
        return any(
            self.legal in ("", dated.legal) and (not self.year or int(self.year) in years(dated))
            for dated in item.dates
        )

    def shows_state(self, state: State) -> bool:
        """Whether cells in `state` are shown."""
        return self.state in ("", state)

    def but(self, **changes: str) -> str:
        """The query of an address with these filters and `changes`, '?' included; '' without any."""
        changed = replace(self, **changes)  # type: ignore[arg-type]
        query = urlencode([(name, value) for name in NAMES if (value := getattr(changed, name))])
        return f"?{query}" if query else ""


NAMES: Final = tuple(one.name for one in fields(Filters) if one.name != "ignored")


def years(dated: Dated) -> range:
    """The years in which a date may lie; none when that is not known."""
    known = [day.year for day in (dated.first, dated.last) if day is not None]
    return range(min(known), max(known) + 1) if known else range(0)


def choices(roadmap: Roadmap, members: Iterable[Member]) -> Choices:
    """The choices for this roadmap and region: sectors that have organisations, years that a date lies in."""
    present = {member.sector for member in members}
    return Choices(
        sector=tuple((code, name) for code, name in sectors(roadmap, present)),
        theme=roadmap.categories,
        year=tuple(
            str(year)
            for year in sorted({y for item in roadmap.items for dated in item.dates for y in years(dated)})
        ),
    )


def labelled(offered: Choices, language: Language) -> dict[str, list[tuple[str, str]]]:
    """The values of each filter with what a page calls them, in the order of `NAMES`."""
    return {
        "sector": [(code, name.of(language)) for code, name in offered.sector],
        "theme": [(one.id, one.title.of(language)) for one in offered.theme],
        "year": [(year, year) for year in offered.year],
        "legal": [(legal, LEGALS[legal].of(language)) for legal in offered.legal],
        "state": [(state, STATES[state].word.of(language)) for state in offered.state],
    }


def narrowed(overview: Overview, filters: Filters) -> Overview:
    """The overview of what `filters` show. An item or an organisation of which nothing is left is not there."""
    if not filters.narrow:
        return overview
    items = {item.id: item for item in overview.roadmap.items if filters.shows_item(item)}
    members = {one.ura: one for one in overview.members if filters.shows_member(one)}
    cells = {
        (ura, item): cell
        for (ura, item), cell in overview.cells.items()
        if ura in members and item in items and filters.shows_state(cell.state)
    }
    with_cells, with_items = {ura for ura, _ in cells}, {item for _, item in cells}
    return replace(
        overview,
        roadmap=replace(
            overview.roadmap, items=tuple(item for name, item in items.items() if name in with_items)
        ),
        members=tuple(one for ura, one in members.items() if ura in with_cells),
        cells=cells,
    )


def told(filters: Filters, offered: Choices) -> tuple[Narrowed, ...]:
    """What the filters show alone, for a report."""
    words = {language: labelled(offered, language) for language in ("nl", "en")}

    def word(name: str, value: str, language: Language) -> str:
        if value == NO_YEAR:
            return _NO_YEAR.of(language)
        return dict(words[language][name]).get(value, value)

    return tuple(
        Narrowed(
            name,
            value,
            Text(*(f"{_NAMED[name].of(one)}: {word(name, value, one)}" for one in ("nl", "en"))),
        )
        for name in NAMES
        if (value := getattr(filters, name))
    )


def sectors(roadmap: Roadmap, codes: Iterable[str]) -> list[tuple[str, Text]]:
    """The sectors `codes` with their names, in the order of the roadmap; one that it does not have goes last, under
    its code."""
    wanted = set(codes)
    known = [(code, name) for code, name in roadmap.sectors.items() if code in wanted]
    return [*known, *((code, Text(code, code)) for code in sorted(wanted - set(roadmap.sectors)))]


def read(pairs: Iterable[tuple[str, str]], allowed: Choices) -> Filters:
    """The filters that the query of an address asks for. Of a filter that is given more than once, the last counts."""
    found: dict[str, str] = {}
    ignored: list[tuple[str, str]] = []
    for name, value in pairs:
        if name not in NAMES or not value:
            continue
        if value in allowed.known(name):
            found[name] = value
        else:
            ignored.append((name, value[:_LONGEST]))
    return Filters(**found, ignored=tuple(ignored))
