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
from schakel.roadmap.hybrid.model import Blocks, Pathway, Person


@dataclass(frozen=True, slots=True)
class Organisation:
    """An organisation that sent pathways. `population` is how many patients it has, None when it did not tell."""

    ura: str
    name: str
    population: int | None


@dataclass(frozen=True, slots=True)
class PathwayView:
    """A pathway with what follows from it."""

    pathway: Pathway
    verdict: Verdict
    tally: Tally

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
    def undecided(self) -> tuple[PathwayView, ...]:
        """The pathways about which nobody has decided."""
        return tuple(one for one in self.pathways if one.pathway.decision.suitability == "undecided")


@dataclass(frozen=True)
class Overview:
    """The inventory of a region in `period`, at a `revision` of what is kept."""

    revision: int
    period: Period
    blocks: Blocks
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
    blocks: Blocks,
    organisations: Sequence[Organisation],
    pathways: Sequence[Pathway],
    people: Iterable[Person],
) -> Overview:
    """The inventory of these organisations, their pathways and the people in them."""
    by_pathway: dict[tuple[str, str], list[Person]] = defaultdict(list)
    for person in with_exclusions(people):
        by_pathway[person.of].append(person)
    excludes = {one.key: one.excludes for one in pathways}

    def tally(chosen: Iterable[Pathway]) -> Tally:
        rows = (person for pathway in chosen for person in by_pathway.get(pathway.key, ()))
        return count(rows, excludes, period)

    views = [PathwayView(one, verdict(one, blocks, period.end), tally([one])) for one in pathways]

    def part(chosen: Sequence[PathwayView], population: int | None) -> Part:
        judged = [(one.pathway, one.verdict) for one in chosen]
        included = tally(one.pathway for one in chosen if one.counted)
        monitored = tally(one.pathway for one in chosen if _followed(one, blocks))
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
        blocks,
        tuple(organisations),
        part(views, None),
        {
            one.ura: part([v for v in views if v.pathway.ura == one.ura], one.population)
            for one in organisations
        },
    )


def _followed(view: PathwayView, blocks: Blocks) -> bool:
    """Whether people in a pathway are monitored from a distance."""
    known = blocks.by_code
    return any(known[code].monitoring for code in (*view.verdict.basic, *view.verdict.care))
