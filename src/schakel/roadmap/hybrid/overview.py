"""The inventory as it is shown: every pathway with what the definition says of it and who counts, every organisation
and the region with their figures."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property

from schakel.kernel.outcomes import NotFound
from schakel.roadmap.hybrid import figures
from schakel.roadmap.hybrid.counting import Period, Tally, count, with_exclusions
from schakel.roadmap.hybrid.definition import Verdict, verdict
from schakel.roadmap.hybrid.figures import Figure
from schakel.roadmap.hybrid.model import BlockList, Blocks, CountMade, Pathway, Person


@dataclass(frozen=True, slots=True)
class Organisation:
    """An organisation that sent pathways. `population` is how many patients it has, None when it did not tell."""

    ura: str
    name: str
    population: int | None


@dataclass(frozen=True, slots=True)
class PathwayView:
    """A pathway with what follows from it, judged by `blocks`; `counts` are the counts of the record."""

    pathway: Pathway
    verdict: Verdict
    tally: Tally
    blocks: Blocks
    counts: tuple[CountMade, ...] = ()

    @property
    def counted(self) -> bool:
        """Whether its people count for inclusion: it is hybrid and judged suitable."""
        return figures.is_counted((self.pathway, self.verdict))


@dataclass(frozen=True, slots=True)
class Part:
    """The pathways of one organisation, or of all, with their figures. `tally` has the people of the hybrid, suitable
    pathways, each once; `everybody` those of all pathways."""

    pathways: tuple[PathwayView, ...]
    tally: Tally
    everybody: Tally
    figures: tuple[Figure, ...]

    @property
    def sectors(self) -> frozenset[str]:
        """The sectors of the pathways."""
        return frozenset(one.pathway.sector for one in self.pathways)

    def counted_before(self, period: Period) -> tuple[PathwayView, ...]:
        """The pathways whose record was counted for a year with days in `period`, by rules that were changed since."""
        return tuple(
            one
            for one in self.pathways
            if any(
                made.older and period.meets((year := Period.of(made.year)).start, year.end)
                for made in one.counts
            )
        )

    @property
    def undecided(self) -> tuple[PathwayView, ...]:
        """The pathways about which nobody has decided."""
        return tuple(one for one in self.pathways if one.pathway.decision.suitability == "undecided")


@dataclass(frozen=True)
class Overview:
    """The inventory of a region in `period`, at a `revision` of what is kept. `judged_by` is the list of building
    blocks that was in force at the end of the period."""

    revision: int
    period: Period
    judged_by: BlockList
    organisations: tuple[Organisation, ...]
    region: Part
    parts: Mapping[str, Part]
    """By URA."""

    @cached_property
    def by_ura(self) -> Mapping[str, Organisation]:
        """The organisations by URA."""
        return {one.ura: one for one in self.organisations}

    def part(self, ura: str) -> Part:
        """The pathways of an organisation. Raises `NotFound`."""
        if ura not in self.parts:
            raise NotFound("this organisation sent no pathways", code="hybrid-organisation-unknown")
        return self.parts[ura]

    def pathway(self, ura: str, name: str) -> PathwayView:
        """One pathway. Raises `NotFound`."""
        for one in self.part(ura).pathways:
            if one.pathway.id == name:
                return one
        raise NotFound("this organisation has no such pathway", code="pathway-unknown")


def overview(
    revision: int,
    period: Period,
    judged_by: BlockList,
    organisations: Sequence[Organisation],
    pathways: Sequence[Pathway],
    people: Iterable[Person],
    otherwise: Mapping[tuple[str, str], Blocks] | None = None,
    counts: Mapping[tuple[str, str], tuple[CountMade, ...]] | None = None,
) -> Overview:
    """The inventory of these organisations, their pathways and the people in them. `otherwise` has, by the key of a
    pathway, the list of blocks that judges it in the place of `judged_by`; `counts` the counts of the record."""
    by_pathway: dict[tuple[str, str], list[Person]] = defaultdict(list)
    for person in with_exclusions(people):
        by_pathway[person.of].append(person)
    excludes = {one.key: one.excludes for one in pathways}

    def tally(chosen: Iterable[Pathway]) -> Tally:
        rows = (person for pathway in chosen for person in by_pathway.get(pathway.key, ()))
        return count(rows, excludes, period)

    def view(one: Pathway) -> PathwayView:
        blocks = (otherwise or {}).get(one.key, judged_by.blocks)
        made = (counts or {}).get(one.key, ())
        return PathwayView(one, verdict(one, blocks, period.end), tally([one]), blocks, made)

    views = [view(one) for one in pathways]

    def part(chosen: Sequence[PathwayView], population: int | None) -> Part:
        judged = [(one.pathway, one.verdict) for one in chosen]
        included = tally(one.pathway for one in chosen if one.counted)
        monitored = tally(one.pathway for one in chosen if _followed(one))
        return Part(
            tuple(chosen),
            included,
            tally(one.pathway for one in chosen),
            (
                *figures.hybrid_share(judged),
                *figures.inclusion(included),
                *figures.scale(monitored.now, population),
            ),
        )

    return Overview(
        revision,
        period,
        judged_by,
        tuple(organisations),
        part(views, None),
        {
            one.ura: part([v for v in views if v.pathway.ura == one.ura], one.population)
            for one in organisations
        },
    )


def _followed(view: PathwayView) -> bool:
    """Whether people in a pathway are monitored from a distance."""
    known = view.blocks.by_code
    return any(known[code].monitoring for code in (*view.verdict.basic, *view.verdict.care))
