"""The figures of hybrid care as pages show them: what each is made of, and whether a target is reached.

Numbers of pathways are shown as they are. Numbers of people are not, to somebody who is not logged in: few people are
"fewer than" and more are rounded, so that nothing about one person follows from two numbers beside each other. Whether
a target is reached is then said from what is shown, and from nothing else.
"""

from __future__ import annotations

import re
from collections.abc import Collection, Iterable, Sequence
from dataclasses import dataclass
from typing import Literal

from schakel.portal.charts import Against, against
from schakel.portal.charts import Target as Line
from schakel.roadmap.hybrid.figures import Figure, meets
from schakel.roadmap.hybrid.overview import Organisation, Overview, Part
from schakel.roadmap.model import Kpi, Target, Text, Unit

Reached = Literal["yes", "no", "near", "none", "other"]
"""Whether a figure is where a target wants it; `near`: the rounded numbers leave it open; `none`: there is no figure;
`other`: the target is in another unit than the figure."""


@dataclass(frozen=True, slots=True)
class Count:
    """A number as it is shown: `exact`, `about` a number, or `few`: fewer than that number, and not none."""

    how: Literal["exact", "about", "few"]
    number: int


@dataclass(frozen=True, slots=True)
class Counts:
    """How numbers of people are shown: fewer than `small` are no number; 0 shows every number."""

    small: int

    def people(self, number: int) -> Count:
        """A number of people. None at all is shown as that."""
        if self.small < 2 or number == 0:
            return Count("exact", number)
        if number < self.small:
            return Count("few", self.small)
        return Count("about", round(number / self.small) * self.small)

    def share(self, figure: Figure) -> float | None:
        """The share of a figure about people: in steps that are more than one person, or the exact share beside rounded
        numbers would give those away."""
        steps = self._steps(figure)
        return figure.share if not steps or figure.share is None else round(figure.share * steps) / steps

    def few(self, number: int) -> bool:
        """Whether a number of people is too small to be shown."""
        return 0 < number < self.small

    def between(self, figure: Figure) -> tuple[float, float] | None:
        """The least and the most that a figure may be, going by what is shown of it; None when nothing is."""
        if not figure.people or self.small < 2:
            return None if figure.value is None else (figure.value, figure.value)
        if figure.under is not None:
            shown, steps = self.share(figure), self._steps(figure)
            return None if shown is None else (shown - 0.5 / steps, shown + 0.5 / steps)
        count = self.people(figure.top)
        if count.how == "few":
            return 1.0, count.number - 1.0
        around = 0 if count.how == "exact" else self.small / 2
        return count.number - around, count.number + around

    def _steps(self, figure: Figure) -> int:
        """In how many steps the share of a figure is told; 0 for as it is."""
        if self.small < 2 or not figure.people or figure.under is None:
            return 0
        return 100 if figure.under >= 100 * self.small else 20


@dataclass(frozen=True, slots=True)
class Wanted:
    """A target in its unit."""

    target: Target
    unit: Unit


@dataclass(frozen=True, slots=True)
class Row:
    """A figure with what it is made of. `share` is None when there is nothing to count over, or when it is `hidden`,
    because it is about too few people; `reached` says it of each target."""

    figure: Figure
    top: Count
    under: Count | None
    share: float | None
    hidden: bool
    reached: tuple[Reached, ...]

    @property
    def value(self) -> float | None:
        """What a chart has of it, in its unit; None for what is not known or not shown."""
        if self.figure.unit == "share":
            return self.share
        return None if self.top.how == "few" else float(self.top.number)


@dataclass(frozen=True, slots=True)
class Held:
    """An organisation held against a target that is for each by itself. `row` is None when it has no such figure, as
    when it did not tell how many patients it has."""

    organisation: Organisation
    wanted: Wanted
    row: Row | None
    reached: Reached


@dataclass(frozen=True, slots=True)
class KpiView:
    """A KPI: its formula, its figures and the targets for whom the page is about. `chart` has its first share against
    them; None when it has none. `untold` are targets for which there is no figure in their unit. `held` has, on the
    page of the region, each organisation against the targets that are for it by itself."""

    id: str
    title: Text
    formula: Text
    wanted: tuple[Wanted, ...]
    rows: tuple[Row, ...]
    chart: Against | None
    untold: tuple[Wanted, ...]
    held: tuple[Held, ...]

    @property
    def shares(self) -> bool:
        """Whether any figure is a share."""
        return any(row.figure.unit == "share" for row in self.rows)


def kpi_views(overview: Overview, ura: str, kpis: Iterable[Kpi], counts: Counts) -> tuple[KpiView, ...]:
    """The KPIs that the roadmap knows and the inventory can compute, of an organisation; or, when `ura` is '', of the
    region, with of each organisation what is for it by itself. Raises `NotFound`."""
    part = overview.part(ura) if ura else overview.region
    return tuple(
        _view(
            part,
            kpi,
            counts,
            wanted_of(kpi, part.sectors if ura else None),
            () if ura else _held(overview, kpi, counts),
        )
        for kpi in computed(part, kpis)
    )


def wanted_of(kpi: Kpi, sectors: Collection[str] | None) -> tuple[Wanted, ...]:
    """The targets of a KPI for an organisation in `sectors`, or for the region."""
    return tuple(Wanted(one, kpi.unit_of(one)) for one in kpi.targets_of(sectors))


def row_of(figure: Figure, wanted: Sequence[Wanted], counts: Counts) -> Row:
    """A figure as it is shown."""
    if not figure.people:
        exact = Count("exact", figure.top)
        under = None if figure.under is None else Count("exact", figure.under)
        return Row(figure, exact, under, figure.share, False, _reached(figure, wanted, counts, False))
    groups = (figure.top,) if figure.under is None else (figure.top, figure.under, figure.under - figure.top)
    hidden = any(map(counts.few, groups))
    return Row(
        figure,
        counts.people(figure.top),
        None if figure.under is None else counts.people(figure.under),
        None if hidden else counts.share(figure),
        hidden,
        _reached(figure, wanted, counts, hidden),
    )


def first_of(part: Part, kpi: str, counts: Counts) -> Row:
    """The first figure of a KPI, held against no target."""
    return row_of(next(one for one in part.figures if one.kpi == kpi), (), counts)


def lines_of(wanted: Iterable[Wanted], unit: Unit) -> list[Line]:
    """The targets in a unit as lines in a chart: one for each value, named by the years in which it is wanted, '' when
    no year is told."""
    years: dict[float, list[str]] = {}
    for one in wanted:
        if one.unit == unit:
            years.setdefault(one.target.value, []).extend(re.findall(r"\d{4}", one.target.by.nl)[:1])
    return [Line(", ".join(dict.fromkeys(names)), value) for value, names in years.items()]


def computed(part: Part, kpis: Iterable[Kpi]) -> list[Kpi]:
    """The KPIs of which there are figures."""
    known = {one.kpi for one in part.figures}
    return [kpi for kpi in kpis if kpi.id in known]


def _view(
    part: Part, kpi: Kpi, counts: Counts, wanted: tuple[Wanted, ...], held: tuple[Held, ...]
) -> KpiView:
    rows = tuple(row_of(one, wanted, counts) for one in part.figures if one.kpi == kpi.id)
    share = next((row for row in rows if row.figure.unit == "share"), None)
    lines = lines_of(wanted, "share")
    units = {row.figure.unit for row in rows}
    return KpiView(
        kpi.id,
        kpi.title,
        kpi.formula,
        wanted,
        rows,
        against(min(share.share, 1) if share.share is not None else None, lines)
        if share is not None and (lines or kpi.unit == "share")
        else None,
        tuple(one for one in wanted if one.unit not in units),
        held,
    )


def _held(overview: Overview, kpi: Kpi, counts: Counts) -> tuple[Held, ...]:
    found = []
    for organisation in overview.organisations:
        part = overview.parts[organisation.ura]
        for wanted in wanted_of(kpi, part.sectors):
            if not wanted.target.sectors:
                continue
            figures = (one for one in part.figures if one.kpi == kpi.id and one.unit == wanted.unit)
            figure = next(figures, None)
            row = None if figure is None else row_of(figure, (wanted,), counts)
            found.append(Held(organisation, wanted, row, "none" if row is None else row.reached[0]))
    return tuple(found)


def _reached(figure: Figure, wanted: Iterable[Wanted], counts: Counts, hidden: bool) -> tuple[Reached, ...]:
    between = None if hidden and figure.unit == "share" else counts.between(figure)

    def of(one: Wanted) -> Reached:
        if one.unit != figure.unit:
            return "other"
        if between is None:
            return "none"
        least, most = (meets(value, one.target) for value in between)
        return "near" if least != most else "yes" if least else "no"

    return tuple(map(of, wanted))
