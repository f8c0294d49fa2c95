"""The region at a glance: the roadmap, who is in the region, and where each of them stands on each item."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from datetime import datetime, timedelta

from schakel.roadmap.evidence import Declaration, Evidence, Member, Run
from schakel.roadmap.model import Roadmap
from schakel.roadmap.standing import Cell, cells


@dataclass(frozen=True, slots=True)
class RunInfo:
    """A run without what was found. `sender` is the organisation that brought it, '' when it was made here; `whole`
    says whether it was about the region as a whole; `findings` counts what was found."""

    id: str
    region: str
    roadmap: str
    by: str
    sender: str
    whole: bool
    started: datetime
    finished: datetime
    members: int
    findings: int


@dataclass(frozen=True)
class Overview:
    """Where everybody stands at `moment`. `cells` has every item of `roadmap` for each of `members` (in the order of
    their names), by URA and id of the item; `last_run` is the last run about the whole region, None before the first.
    `revision` grows with every change of what it is made from."""

    roadmap: Roadmap
    members: tuple[Member, ...]
    cells: Mapping[tuple[str, str], Cell]
    last_run: RunInfo | None
    moment: datetime
    revision: int = 0

    def cell(self, ura: str, item: str) -> Cell | None:
        """How an organisation stands on an item; None when one of the two is not here."""
        return self.cells.get((ura, item))

    def of_member(self, ura: str) -> tuple[Cell, ...]:
        """All items at one organisation, in the order of the roadmap; empty when it is not a member."""
        found = (self.cells.get((ura, item.id)) for item in self.roadmap.items)
        return tuple(one for one in found if one is not None)

    def of_item(self, item: str) -> tuple[Cell, ...]:
        """One item at all organisations, in the order of `members`; empty when there is no such item."""
        found = (self.cells.get((member.ura, item)) for member in self.members)
        return tuple(one for one in found if one is not None)

    def member(self, ura: str) -> Member | None:
        """The organisation with this URA; None when it is not in the region."""
        return next((one for one in self.members if one.ura == ura), None)


def overview_of(
    roadmap: Roadmap,
    members: Iterable[Member],
    evidence: Iterable[Evidence],
    declarations: Iterable[Declaration],
    terms: Mapping[str, timedelta],
    moment: datetime,
    *,
    last_run: RunInfo | None = None,
    revision: int = 0,
    standing: Mapping[tuple[str, str], Cell] | None = None,
) -> Overview:
    """The overview that follows from these; as for `standing.cells`. `standing` are all cells of organisations about
    which nothing has changed: they are taken as they are, and nothing about these need be in the rest."""
    ordered = tuple(sorted(members, key=lambda one: (one.name.casefold(), one.ura)))
    stand = dict(standing or {})
    known = {ura for ura, _ in stand}
    anew = [one for one in ordered if one.ura not in known]
    stand |= cells(roadmap, anew, evidence, declarations, terms, moment)
    return Overview(roadmap, ordered, stand, last_run, moment, revision)


def evidence_of(run: Run) -> tuple[Evidence, ...]:
    """What a run found, as evidence that knows of no run before it."""
    return tuple(
        Evidence(
            f"{run.id}:{number}",
            one.ura,
            one.finding,
            one.at,
            run.id,
            run.by,
            one.at if one.finding.verdict == "holds" else None,
        )
        for number, one in enumerate(run.measured)
    )


def info(run: Run, *, sender: str = "", whole: bool = True) -> RunInfo:
    """A run without what was found."""
    return RunInfo(
        run.id,
        run.region,
        run.roadmap,
        run.by,
        sender,
        whole,
        run.started,
        run.finished,
        len(run.members),
        len(run.measured),
    )
