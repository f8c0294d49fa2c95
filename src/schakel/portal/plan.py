"""The plan of a year: what is due in each quarter and on what ground, and what the work agenda has for it.

What is due follows from the dates of the roadmap, what is done about it from the work agenda. That something is due and
has no action is told as it is; whether that is wrong, nobody here says.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from datetime import date
from typing import Final

from schakel.portal.agenda import Row, plan_years, row
from schakel.roadmap.board import Action
from schakel.roadmap.model import Dated, Item
from schakel.roadmap.overview import Overview
from schakel.roadmap.words import settled

FIRST, LAST = 2000, 2099
"""The years that can be asked for."""


@dataclass(frozen=True, slots=True)
class Due:
    """A date of an item. `settled` of the `asked` organisations (those for which it is) are where it wants them;
    `actions` are those about the item that are not dropped."""

    item: Item
    dated: Dated
    settled: int
    asked: int
    actions: tuple[Action, ...]

    @property
    def unplanned(self) -> bool:
        """Whether it is not settled everywhere, and no action is about it."""
        return not self.actions and self.settled < self.asked


@dataclass(frozen=True, slots=True)
class Quarter:
    """A quarter with what is due in it, and with the actions that start and that end in it."""

    number: int
    due: tuple[Due, ...]
    starts: tuple[Row, ...]
    ends: tuple[Row, ...]


@dataclass(frozen=True, slots=True)
class Plan:
    """What the page shows. `before` are dates that were over before the year began and are not settled everywhere;
    `unplanned` are those of the year, and before it, without any action."""

    year: int
    years: tuple[int, ...]
    quarters: tuple[Quarter, ...]
    before: tuple[Due, ...]
    unplanned: tuple[Due, ...]
    undated: tuple[Row, ...]


def plan(overview: Overview, actions: Sequence[Action], year: int, today: date) -> Plan:
    """The plan of `year`, seen on `today`."""
    live = [one for one in actions if one.progress != "dropped"]
    dues = sorted(_dues(overview, live), key=lambda one: _day(one.dated) or date.max)
    within: list[list[Due]] = [[], [], [], []]
    before: list[Due] = []
    for one in dues:
        day = _day(one.dated)
        if day is None or day.year < year:
            if one.settled < one.asked and (day is not None or one.dated.certainty == "in-force"):
                before.append(one)
        elif day.year == year:
            within[_quarter(day)].append(one)
    rows = [row(overview, one, today) for one in live]
    quarters = tuple(
        Quarter(
            number + 1,
            tuple(within[number]),
            tuple(one for one in rows if _falls(one.action.starts, year, number)),
            tuple(one for one in rows if _falls(one.action.due, year, number)),
        )
        for number in range(4)
    )
    told = [*before, *(one for quarter in within for one in quarter)]
    return Plan(
        year,
        plan_years(overview.roadmap, actions, today),
        quarters,
        tuple(before),
        tuple(one for one in told if one.unplanned),
        tuple(one for one in rows if one.action.starts is None and one.action.due is None),
    )


_BINDING: Final = frozenset({"law", "expected-law", "agreement", "insurer-policy"})
_NOT_ASKED: Final = frozenset({"not-applicable", "not-named"})


def _dues(overview: Overview, actions: Iterable[Action]) -> Iterable[Due]:
    """Every date of every item that is to be met: what is over and done with and what is only advice is no date to
    meet."""
    by_item: dict[str, list[Action]] = {}
    for one in actions:
        by_item.setdefault(one.item, []).append(one)
    for item in overview.roadmap.items:
        asked = [cell for cell in overview.of_item(item.id) if cell.state not in _NOT_ASKED]
        there = sum(settled(cell) for cell in asked)
        for dated in item.dates:
            if dated.legal in _BINDING and dated.certainty != "done":
                yield Due(item, dated, there, len(asked), tuple(by_item.get(item.id, ())))


def _day(dated: Dated) -> date | None:
    """The day by which a date is put in its quarter: the last on which it may fall, else the first."""
    return dated.last or dated.first


def _quarter(day: date) -> int:
    return (day.month - 1) // 3


def _falls(day: date | None, year: int, quarter: int) -> bool:
    return day is not None and (day.year, _quarter(day)) == (year, quarter)
