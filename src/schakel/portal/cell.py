"""One cell: all that is known of one item at one organisation, and how it came to be known."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime

from schakel.portal.item import Measure
from schakel.roadmap.checks import Check
from schakel.roadmap.evidence import Declaration, Evidence, Member
from schakel.roadmap.standing import Cell, StepStanding
from schakel.roadmap.weighing import counts_until


@dataclass(frozen=True, slots=True)
class Probe:
    """A check of a step at the organisation: the last that it found, None when it was never done; `ages` is the moment
    at which that no longer counts. `history` are all findings, the newest first."""

    measure: Measure
    evidence: Evidence | None
    ages: datetime | None
    history: tuple[Evidence, ...]


@dataclass(frozen=True, slots=True)
class StepPage:
    """A step with its checks, and with all that was declared about it, the newest first."""

    standing: StepStanding
    probes: tuple[Probe, ...]
    declarations: tuple[Declaration, ...]


@dataclass(frozen=True, slots=True)
class CellPage:
    """What the page shows."""

    member: Member
    cell: Cell
    steps: tuple[StepPage, ...]


def cell_page(
    member: Member,
    cell: Cell,
    history: Mapping[str, Sequence[Evidence]],
    declarations: Iterable[Declaration],
    checks: Mapping[str, Check],
) -> CellPage:
    """The cell of `member`, with the findings of its checks by id of the check, and what was declared there."""
    declared = sorted(declarations, key=lambda one: one.declared_at, reverse=True)
    return CellPage(
        member,
        cell,
        tuple(
            StepPage(
                standing,
                tuple(_probe(name, standing, history.get(name, ()), checks) for name in standing.step.checks),
                tuple(one for one in declared if one.step == standing.step.id),
            )
            for standing in cell.steps
        ),
    )


def _probe(
    name: str, standing: StepStanding, history: Sequence[Evidence], checks: Mapping[str, Check]
) -> Probe:
    check = checks.get(name)
    found = next((one for one in standing.evidence if one.finding.check == name), None)
    return Probe(
        Measure(name, check),
        found,
        ages(found, check) if found else None,
        tuple(sorted(history, key=lambda one: one.at, reverse=True)),
    )


def ages(found: Evidence, check: Check | None) -> datetime:
    """When what was found no longer counts: after the term of its check, or when it is known to end, whichever comes
    first."""
    return counts_until(found, {check.id: check.fresh} if check else {})
