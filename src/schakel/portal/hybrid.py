"""The pages on hybrid care: the region, an organisation, a pathway.

Numbers of pathways are shown as they are. Numbers of people are not, to somebody who is not logged in: few people are
"fewer than" and more are rounded, so that nothing about one person follows from two numbers beside each other.
"""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Literal

from schakel.portal.charts import Against, against
from schakel.portal.charts import Target as Line
from schakel.roadmap.hybrid import definition, figures
from schakel.roadmap.hybrid.counting import Period
from schakel.roadmap.hybrid.figures import Figure
from schakel.roadmap.hybrid.model import (
    ENDINGS,
    EXCLUSIONS,
    LAYER_STATES,
    LAYERS,
    SUITABILITIES,
    Block,
    Blocks,
    Decided,
    Digitised,
    Group,
    LayerState,
    Suitability,
)
from schakel.roadmap.hybrid.overview import Organisation, Overview, Part, PathwayView
from schakel.roadmap.model import Kpi, Roadmap, Target, Text


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
        if self.small < 2 or figure.share is None or figure.under is None:
            return figure.share
        steps = 100 if figure.under >= 100 * self.small else 20
        return round(figure.share * steps) / steps

    def few(self, number: int) -> bool:
        """Whether a number of people is too small to be shown."""
        return 0 < number < self.small


@dataclass(frozen=True, slots=True)
class Row:
    """A figure with what it is made of. `share` is None when there is nothing to count over, or when it is `hidden`,
    because it is about too few people; `reached` has for each target whether it is, None for no figure."""

    figure: Figure
    top: Count
    under: Count | None
    share: float | None
    hidden: bool
    reached: tuple[bool | None, ...]


@dataclass(frozen=True, slots=True)
class KpiView:
    """A KPI: its formula, its figures and its targets. `chart` has its first figure; None for a count."""

    id: str
    title: Text
    formula: Text
    targets: tuple[Target, ...]
    rows: tuple[Row, ...]
    chart: Against | None


Reasons = tuple[tuple[Text, Count], ...]
"""People by reason, in words."""


@dataclass(frozen=True, slots=True)
class OrganisationRow:
    """An organisation in the list of the region: how many pathways, how many of them how, and its first figures."""

    organisation: Organisation
    pathways: int
    suitable: int
    hybrid: int
    undecided: int
    share: Row
    inclusion: Row


@dataclass(frozen=True, slots=True)
class RegionPage:
    """What the page of the region shows."""

    period: Period
    definition: Text
    blocks: Blocks
    kpis: tuple[KpiView, ...]
    organisations: tuple[OrganisationRow, ...]
    undecided: tuple[tuple[Organisation, PathwayView], ...]
    exceptions: Reasons
    ended: Reasons


@dataclass(frozen=True, slots=True)
class PathwayRow:
    """A pathway in the list of an organisation."""

    view: PathwayView
    sector: Text
    suitability: Text
    eligible: Count
    active: Count


@dataclass(frozen=True, slots=True)
class OrganisationPage:
    """What the page of an organisation shows."""

    organisation: Organisation
    period: Period
    definition: Text
    kpis: tuple[KpiView, ...]
    pathways: tuple[PathwayRow, ...]
    exceptions: Reasons
    ended: Reasons


@dataclass(frozen=True, slots=True)
class Layer:
    """One of the seven layers, and how far the pathway is on it."""

    title: Text
    state: LayerState
    word: Text


@dataclass(frozen=True, slots=True)
class PathwayPage:
    """What the page of a pathway shows. `groups` have every block of the list, digitised or not; `people` are eligible,
    excluded, enrolled, active and enrolled now, `counted` says that they count for inclusion."""

    organisation: Organisation
    view: PathwayView
    sector: Text
    suitability: Text
    period: Period
    definition: Text
    groups: tuple[tuple[Group, tuple[tuple[Block, Digitised | None], ...]], ...]
    layers: tuple[Layer, ...]
    people: Mapping[str, Count]
    excludes: tuple[Text, ...]
    exceptions: Reasons
    ended: Reasons
    history: tuple[tuple[Decided, Text], ...]
    choices: Mapping[Suitability, Text]


def region_page(overview: Overview, roadmap: Roadmap, counts: Counts) -> RegionPage:
    """The region: its figures against the targets, who has what, and what is undecided with whom."""
    part = overview.region
    return RegionPage(
        overview.period,
        definition.WORDS,
        overview.blocks,
        _kpis(part, roadmap.kpis, counts),
        tuple(_organisation(one, overview.parts[one.ura], counts) for one in overview.organisations),
        tuple((overview.by_ura[one.pathway.ura], one) for one in part.undecided),
        _reasons(part.everybody.reasons, EXCLUSIONS, counts),
        _reasons(part.everybody.ended, ENDINGS, counts),
    )


def organisation_page(overview: Overview, ura: str, roadmap: Roadmap, counts: Counts) -> OrganisationPage:
    """An organisation with its pathways. Raises `NotFound`."""
    part = overview.part(ura)
    return OrganisationPage(
        overview.by_ura[ura],
        overview.period,
        definition.WORDS,
        _kpis(part, roadmap.kpis, counts),
        tuple(
            PathwayRow(
                view,
                _sector(roadmap, view),
                SUITABILITIES[view.pathway.decision.suitability],
                counts.people(view.tally.eligible),
                counts.people(view.tally.active),
            )
            for view in part.pathways
        ),
        _reasons(part.everybody.reasons, EXCLUSIONS, counts),
        _reasons(part.everybody.ended, ENDINGS, counts),
    )


def pathway_page(
    overview: Overview, view: PathwayView, history: Sequence[Decided], roadmap: Roadmap, counts: Counts
) -> PathwayPage:
    """A pathway: its blocks and layers, the definition as computed, who takes part and who does not and why."""
    one, tally = view.pathway, view.tally
    digitised = {d.code: d for d in one.digitised if d.code in (*view.verdict.basic, *view.verdict.care)}
    groups: tuple[Group, ...] = ("basic", "care")
    return PathwayPage(
        organisation=overview.by_ura[one.ura],
        view=view,
        sector=_sector(roadmap, view),
        suitability=SUITABILITIES[one.decision.suitability],
        period=overview.period,
        definition=definition.WORDS,
        groups=tuple(
            (
                group,
                tuple((b, digitised.get(b.code)) for b in overview.blocks.blocks if b.group == group),
            )
            for group in groups
        ),
        layers=tuple(
            Layer(words, state, LAYER_STATES[state])
            for name, words in LAYERS.items()
            for state in (one.layers.get(name, "not-told"),)
        ),
        people={
            name: counts.people(number)
            for name, number in (
                ("eligible", tally.eligible),
                ("excluded", tally.excluded),
                ("enrolled", tally.enrolled),
                ("active", tally.active),
                ("now", tally.now),
            )
        },
        excludes=tuple(words for name, words in EXCLUSIONS.items() if name in one.excludes),
        exceptions=_reasons(tally.reasons, EXCLUSIONS, counts),
        ended=_reasons(tally.ended, ENDINGS, counts),
        history=tuple((entry, SUITABILITIES[entry.decision.suitability]) for entry in history),
        choices=SUITABILITIES,
    )


def _kpis(part: Part, kpis: Sequence[Kpi], counts: Counts) -> tuple[KpiView, ...]:
    """The KPIs that the roadmap knows and the inventory can compute."""
    found = []
    for kpi in kpis:
        rows = tuple(_row(one, kpi, counts) for one in part.figures if one.kpi == kpi.id)
        if not rows:
            continue
        chart = against(rows[0].share, _lines(kpi)) if kpi.unit == "share" else None
        found.append(KpiView(kpi.id, kpi.title, kpi.formula, kpi.targets, rows, chart))
    return tuple(found)


def _row(figure: Figure, kpi: Kpi, counts: Counts) -> Row:
    if not figure.people:
        exact = Count("exact", figure.top)
        under = None if figure.under is None else Count("exact", figure.under)
        return Row(figure, exact, under, figure.share, False, _reached(figure, kpi))
    groups = (figure.top,) if figure.under is None else (figure.top, figure.under, figure.under - figure.top)
    hidden = any(map(counts.few, groups))
    return Row(
        figure,
        counts.people(figure.top),
        None if figure.under is None else counts.people(figure.under),
        None if hidden else counts.share(figure),
        hidden,
        (None,) * len(kpi.targets) if hidden else _reached(figure, kpi),
    )


def _reached(figure: Figure, kpi: Kpi) -> tuple[bool | None, ...]:
    """A share of another thing than the KPI is about (the patients of an organisation) is held against no target."""
    fits = (figure.under is None) == (kpi.unit != "share")
    return tuple(figure.meets(target, kpi.unit) if fits else None for target in kpi.targets)


def _lines(kpi: Kpi) -> list[Line]:
    """The targets on a bar: one line for each share, named by the years in which it is wanted."""
    years: dict[float, list[str]] = {}
    for target in kpi.targets:
        named = re.search(r"\d{4}", target.by.nl)
        years.setdefault(target.value, []).append(named[0] if named else target.by.nl)
    return [Line(", ".join(dict.fromkeys(names)), share) for share, names in years.items()]


def first_of(part: Part, kpi: str, counts: Counts) -> Row:
    """The first figure of a KPI, held against no target."""
    figure = next(one for one in part.figures if one.kpi == kpi)
    return _row(figure, Kpi(kpi, _NOTHING, _NOTHING, "share", (), ()), counts)


def _organisation(organisation: Organisation, part: Part, counts: Counts) -> OrganisationRow:
    suitable = [one for one in part.pathways if one.pathway.decision.suitability == "yes"]
    return OrganisationRow(
        organisation,
        len(part.pathways),
        len(suitable),
        sum(one.verdict.hybrid for one in suitable),
        len(part.undecided),
        first_of(part, figures.SHARE, counts),
        first_of(part, figures.INCLUSION, counts),
    )


_NOTHING = Text("", "")


def _reasons(numbers: Mapping[str, int], words: Mapping[str, Text], counts: Counts) -> Reasons:
    return tuple((words[name], counts.people(numbers[name])) for name in words if numbers.get(name))


def _sector(roadmap: Roadmap, view: PathwayView) -> Text:
    code = view.pathway.sector
    return roadmap.sectors.get(code, Text(code, code))
