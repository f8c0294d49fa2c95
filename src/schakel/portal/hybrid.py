"""The pages on hybrid care: the region, an organisation, a pathway."""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass

from schakel.portal.hybrid_figures import Count, Counts, KpiView, Row, first_of, kpi_views
from schakel.roadmap.hybrid import definition, figures
from schakel.roadmap.hybrid.counting import Period
from schakel.roadmap.hybrid.model import (
    ENDINGS,
    EXCLUSIONS,
    LAYER_STATES,
    LAYERS,
    SUITABILITIES,
    Block,
    BlockList,
    Decided,
    Digitised,
    Group,
    LayerState,
    Recorded,
    Suitability,
)
from schakel.roadmap.hybrid.overview import Organisation, Overview, Part, PathwayView
from schakel.roadmap.model import Roadmap, Text

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
    """What the page of the region shows. `lists` are the lists of building blocks, the one in force first; `recount`
    the pathways that were counted by rules that are not those of now."""

    period: Period
    definition: Text
    judged_by: BlockList
    lists: tuple[BlockList, ...]
    recount: tuple[tuple[Organisation, PathwayView], ...]
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
    """What the page of an organisation shows; `recount` as for the region."""

    organisation: Organisation
    period: Period
    definition: Text
    judged_by: BlockList
    recount: tuple[tuple[Organisation, PathwayView], ...]
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
    excluded, enrolled, active and enrolled now; `recorded` is what was written down of blocks and rules, the last
    first, each with the reasons that it took out of the count."""

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
    recorded: tuple[tuple[Recorded, tuple[Text, ...]], ...]
    choices: Mapping[Suitability, Text]


def region_page(
    overview: Overview, lists: tuple[BlockList, ...], roadmap: Roadmap, counts: Counts
) -> RegionPage:
    """The region: its figures against the targets, who has what, and what is undecided with whom."""
    part = overview.region
    return RegionPage(
        overview.period,
        definition.WORDS,
        overview.judged_by,
        lists,
        _recount(overview, part),
        kpi_views(overview, "", roadmap.kpis, counts),
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
        overview.judged_by,
        _recount(overview, part),
        kpi_views(overview, ura, roadmap.kpis, counts),
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
    overview: Overview,
    view: PathwayView,
    history: Sequence[Decided],
    recorded: tuple[Recorded, ...],
    roadmap: Roadmap,
    counts: Counts,
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
                tuple((b, digitised.get(b.code)) for b in view.blocks.blocks if b.group == group),
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
        excludes=_excluded(one.excludes),
        exceptions=_reasons(tally.reasons, EXCLUSIONS, counts),
        ended=_reasons(tally.ended, ENDINGS, counts),
        history=tuple((entry, SUITABILITIES[entry.decision.suitability]) for entry in history),
        recorded=tuple((entry, _excluded(entry.excludes)) for entry in recorded),
        choices=SUITABILITIES,
    )


def _excluded(names: Collection[str]) -> tuple[Text, ...]:
    return tuple(words for name, words in EXCLUSIONS.items() if name in names)


def _recount(overview: Overview, part: Part) -> tuple[tuple[Organisation, PathwayView], ...]:
    return tuple((overview.by_ura[one.pathway.ura], one) for one in part.counted_before(overview.period))


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


def _reasons(numbers: Mapping[str, int], words: Mapping[str, Text], counts: Counts) -> Reasons:
    return tuple((words[name], counts.people(numbers[name])) for name in words if numbers.get(name))


def _sector(roadmap: Roadmap, view: PathwayView) -> Text:
    code = view.pathway.sector
    return roadmap.sectors.get(code, Text(code, code))
