"""How hybrid care went: each KPI against its targets quarter by quarter, and the periods that a visitor may choose."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import date

from schakel.portal.charts import Course, Point, Series, Stacked, over_time, stacked
from schakel.portal.charts import Period as Bar
from schakel.portal.hybrid_figures import Counts, Row, Wanted, computed, lines_of, row_of, wanted_of
from schakel.roadmap.hybrid.counting import Period, quarter_of
from schakel.roadmap.hybrid.model import BlockList
from schakel.roadmap.hybrid.overview import Overview, Part
from schakel.roadmap.model import Kpi, Language, Text, Unit

_QUARTERS, _YEARS = 8, 3
"""How many periods are offered."""

_PATHWAYS = (
    (Text("hybride", "hybrid"), "state-proved", "✓"),
    (Text("geschikt, niet hybride", "suitable, not hybrid"), "state-partly", "◐"),
    (Text("nog niet besloten", "not decided yet"), "state-not-declared", "□"),
)
_PEOPLE = (
    (Text("actief", "active"), "state-proved", "✓"),
    (Text("ingeschreven, niet actief", "enrolled, not active"), "state-partly", "◐"),
    (Text("doet niet mee", "takes no part"), "state-not-checked", "○"),
    (Text("uitgezonderd", "excluded"), "state-not-applicable", "–"),
)


@dataclass(frozen=True, slots=True)
class Trend:
    """A KPI by quarter, the newest last, in the unit of the targets it is held against: the figure `name`, of `top`
    over `under`. `rows` are None in a quarter that has no figure in that unit."""

    id: str
    title: Text
    name: Text
    top: Text
    under: Text
    unit: Unit
    wanted: tuple[Wanted, ...]
    rows: tuple[tuple[Text, Row | None], ...]
    chart: Course


@dataclass(frozen=True, slots=True)
class Went:
    """How it went. `older` are quarters that are judged by a list of building blocks that was replaced since, each with
    that list. `pathways` is None when no quarter has a pathway to show; `people` too when they may not be shown in
    exact numbers."""

    trends: tuple[Trend, ...]
    older: tuple[tuple[Text, BlockList], ...]
    pathways: Stacked | None
    people: Stacked | None


def course(
    quarters: Sequence[Overview], ura: str, kpis: Sequence[Kpi], language: Language, counts: Counts
) -> Went:
    """How it went at an organisation, or in the region when `ura` is '', the newest quarter last."""
    parts = [(one.period, one.parts.get(ura) if ura else one.region) for one in quarters]
    there = [(named(quarter_of(period.start)), part) for period, part in parts if part is not None]
    return Went(
        tuple(_trend(there, kpi, bool(ura), language, counts) for kpi in computed(there[-1][1], kpis))
        if there
        else (),
        tuple(
            (named(quarter_of(one.period.start)), one.judged_by)
            for one in quarters
            if one.judged_by.until is not None
        ),
        _chart(_PATHWAYS, [(name, _pathways(part)) for name, part in there], language),
        _chart(_PEOPLE, [(name, _people(part)) for name, part in there], language)
        if counts.small < 2
        else None,
    )


def _trend(
    quarters: Sequence[tuple[Text, Part]], kpi: Kpi, own: bool, language: Language, counts: Counts
) -> Trend:
    """The course of a KPI; `own` says that it is of one organisation."""
    newest = quarters[-1][1]
    all_wanted = wanted_of(kpi, newest.sectors if own else None)
    figures = {one.unit: one for one in reversed(newest.figures) if one.kpi == kpi.id}
    units = [one for one in (*(wanted.unit for wanted in all_wanted), kpi.unit, *figures) if one in figures]
    figure = figures[units[0]]
    wanted = tuple(one for one in all_wanted if one.unit == figure.unit)
    rows = []
    for name, part in quarters:
        of = (one for one in part.figures if one.kpi == kpi.id and one.unit == figure.unit)
        found = next(of, None)
        rows.append((name, None if found is None else row_of(found, wanted, counts)))
    share = figure.unit == "share"
    points = [
        Point(name.of(language), None if row is None or row.value is None else _fit(row.value, share=share))
        for name, row in rows
    ]
    chart = over_time(points, lines_of(wanted, figure.unit), share=share)
    return Trend(
        kpi.id,
        kpi.title,
        figure.name,
        figure.top_words,
        figure.under_words,
        figure.unit,
        wanted,
        tuple(rows),
        chart,
    )


def _fit(value: float, *, share: bool) -> float:
    """A share of more than everybody, by a number of patients that is too low, stands at the top."""
    return min(value, 1.0) if share else value


def offered(today: date) -> tuple[tuple[str, Text], ...]:
    """The periods to choose from, the newest first: years, then quarters."""
    years = [str(today.year - ago) for ago in range(_YEARS)]
    quarters = [one.name for one in reversed(Period.quarters(today, _QUARTERS))]
    return (*((one, Text(one, one)) for one in years), *((one, named(one)) for one in quarters))


def named(quarter: str) -> Text:
    """A quarter ("2026-Q3") in words."""
    year, _, number = quarter.partition("-Q")
    return Text(f"{number}e kwartaal {year}", f"Q{number} {year}")


def _pathways(part: Part) -> tuple[int, ...]:
    suitable = [one for one in part.pathways if one.pathway.decision.suitability == "yes"]
    hybrid = sum(one.verdict.hybrid for one in suitable)
    return hybrid, len(suitable) - hybrid, len(part.undecided)


def _people(part: Part) -> tuple[int, ...]:
    tally = part.tally
    return tally.active, tally.enrolled - tally.active, tally.counted - tally.enrolled, tally.excluded


def _chart(
    series: Sequence[tuple[Text, str, str]],
    bars: Sequence[tuple[Text, tuple[int, ...]]],
    language: Language,
) -> Stacked | None:
    if not any(any(numbers) for _, numbers in bars):
        return None
    return stacked(
        [Series(name.of(language), css, sign) for name, css, sign in series],
        [Bar(name.of(language), numbers) for name, numbers in bars],
    )
