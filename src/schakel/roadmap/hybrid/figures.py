"""The KPIs of hybrid care: each with what is counted, over what, in words. Where there is nothing to count over, there
is no share ("none"), which is another thing than zero.

Source: the roadmap's KPI-1, KPI-2 and KPI-4. What counts as suitable is not fixed nationally, and who is eligible is
counted with and without those excluded: so both figures stand beside each other, and none replaces another.
"""

from __future__ import annotations

from collections.abc import Collection, Sequence
from dataclasses import dataclass

from schakel.roadmap.hybrid.counting import Tally
from schakel.roadmap.hybrid.definition import Verdict
from schakel.roadmap.hybrid.model import Pathway
from schakel.roadmap.model import Kpi, Target, Text, Unit

SHARE, INCLUSION, SCALE = "KPI-1", "KPI-2", "KPI-4"
"""The ids of these KPIs in the roadmap."""

Judged = tuple[Pathway, Verdict]


@dataclass(frozen=True, slots=True)
class Figure:
    """One figure of the KPI `kpi`: `top` of `top_words`, over `under` of `under_words`; `under` is None for a count,
    that is over nothing. Of the figures of a KPI in one unit the first is the one that the targets in it are for;
    `people` says that it counts people rather than pathways."""

    kpi: str
    name: Text
    top: int
    top_words: Text
    under: int | None
    under_words: Text
    people: bool = False

    @property
    def unit(self) -> Unit:
        """What the figure is told in."""
        return "count" if self.under is None else "share"

    @property
    def share(self) -> float | None:
        """`top` over `under`, None when there is nothing to count over."""
        return self.top / self.under if self.under else None

    @property
    def value(self) -> float | None:
        """The figure in its unit, None when there is nothing to count over."""
        return float(self.top) if self.under is None else self.share


def meets(value: float, target: Target) -> bool:
    """Whether a value, in the unit of the target, is where it wants it."""
    return value <= target.value if target.at_most else value >= target.value


def hybrid_share(judged: Sequence[Judged]) -> tuple[Figure, ...]:
    """KPI-1: of the suitable pathways; with the undecided ones; of those within walls."""

    def figure(name: Text, under_words: Text, chosen: Sequence[Judged]) -> Figure:
        words = Text("hybride zorgpaden daarvan", "hybrid pathways of these")
        return Figure(SHARE, name, sum(v.hybrid for _, v in chosen), words, len(chosen), under_words)

    suitable = [one for one in judged if one[0].decision.suitability == "yes"]
    undecided = [one for one in judged if one[0].decision.suitability == "undecided"]
    inside = [one for one in suitable if one[0].intramural]
    return (
        figure(
            Text("Van de geschikte zorgpaden", "Of the suitable pathways"),
            Text("geschikte zorgpaden", "suitable pathways"),
            suitable,
        ),
        figure(
            Text("Met de onbesliste erbij", "With the undecided added"),
            Text("geschikte en onbesliste zorgpaden", "suitable and undecided pathways"),
            suitable + undecided,
        ),
        figure(
            Text("Alleen binnen de muren", "Within the walls only"),
            Text("geschikte zorgpaden binnen de muren", "suitable pathways within the walls"),
            inside,
        ),
    )


def is_counted(one: Judged) -> bool:
    """Whether the people of a pathway count for inclusion: it is hybrid and judged suitable."""
    return one[1].hybrid and one[0].decision.suitability == "yes"


def inclusion(tally: Tally) -> tuple[Figure, ...]:
    """KPI-2 over people of hybrid, suitable pathways, each once: active and enrolled; of all who are eligible, and
    without those excluded."""
    everybody = Text(
        "mensen die in aanmerking komen, uitgezonderden meegeteld",
        "eligible people, those excluded counted in",
    )
    others = Text(
        "mensen die in aanmerking komen, zonder uitgezonderden", "eligible people without those excluded"
    )
    active = Text(
        "mensen die meedoen en in deze tijd iets digitaals deden",
        "people who take part and did something digital in this time",
    )
    enrolled = Text("mensen die meedoen", "people who take part")
    return (
        Figure(
            INCLUSION,
            Text("Actief, van iedereen die in aanmerking komt", "Active, of everybody who is eligible"),
            tally.active,
            active,
            tally.eligible,
            everybody,
            people=True,
        ),
        Figure(
            INCLUSION,
            Text("Actief, zonder uitgezonderden", "Active, without those excluded"),
            tally.active,
            active,
            tally.counted,
            others,
            people=True,
        ),
        Figure(
            INCLUSION,
            Text(
                "Ingeschreven, van iedereen die in aanmerking komt", "Enrolled, of everybody who is eligible"
            ),
            tally.enrolled,
            enrolled,
            tally.eligible,
            everybody,
            people=True,
        ),
        Figure(
            INCLUSION,
            Text("Ingeschreven, zonder uitgezonderden", "Enrolled, without those excluded"),
            tally.enrolled,
            enrolled,
            tally.counted,
            others,
            people=True,
        ),
    )


def scale(monitored: int, population: int | None) -> tuple[Figure, ...]:
    """KPI-4: how many people are followed at home on the last day of the period; and of how many patients of the
    organisation, when it told that."""
    words = Text(
        "mensen die op de laatste dag thuis gevolgd werden",
        "people who were monitored at home on the last day",
    )
    number = Figure(
        SCALE,
        Text("Thuis gevolgd, aantal", "Monitored at home, number"),
        monitored,
        words,
        None,
        Text("", ""),
        people=True,
    )
    if population is None:
        return (number,)
    share = Figure(
        SCALE,
        Text("Thuis gevolgd, deel van de patiënten", "Monitored at home, share of the patients"),
        monitored,
        words,
        population,
        Text("patiënten van de organisatie", "patients of the organisation"),
        people=True,
    )
    return number, share


def targets(kpis: Sequence[Kpi], figure: Figure, sectors: Collection[str] | None) -> tuple[Target, ...]:
    """What the roadmap wants of a figure of an organisation in `sectors`, of the region when that is None; nothing when
    it does not know the KPI, and nothing in another unit than that of the figure."""
    return tuple(
        target
        for kpi in kpis
        if kpi.id == figure.kpi
        for target in kpi.targets_of(sectors)
        if kpi.unit_of(target) == figure.unit
    )
