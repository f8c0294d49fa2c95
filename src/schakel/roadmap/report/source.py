"""What a report is about: where everybody stands, and all that was found."""

from __future__ import annotations

from collections.abc import Collection
from dataclasses import dataclass, replace

from schakel.roadmap.checks import CHECKS
from schakel.roadmap.evidence import Evidence, Run
from schakel.roadmap.model import Roadmap, Text
from schakel.roadmap.overview import Overview, evidence_of, info, overview_of


@dataclass(frozen=True, slots=True)
class Narrowed:
    """A filter by its name, the value that alone is shown, and both in words."""

    name: str
    value: str
    words: Text


@dataclass(frozen=True)
class Source:
    """The `region` by name ('' when it has none), where everybody stands, and the evidence about its organisations.
    `run` is the one run that it is about, None when it is about a board; `narrowed` is what it is narrowed to."""

    region: str
    overview: Overview
    evidence: tuple[Evidence, ...]
    run: Run | None = None
    narrowed: tuple[Narrowed, ...] = ()


def of_run(run: Run, roadmap: Roadmap) -> Source:
    """One run, held against `roadmap`. What people declared is not in it."""
    evidence = evidence_of(run)
    terms = {check.id: check.fresh for check in CHECKS.values()}
    overview = overview_of(roadmap, run.members, evidence, (), terms, run.finished, last_run=info(run))
    return Source(run.region, overview, evidence, run)


def of_board(
    region: str,
    overview: Overview,
    *,
    narrowed: tuple[Narrowed, ...] = (),
    details: Collection[str] = (),
) -> Source:
    """A board as it is: the last evidence of each check that a step of the roadmap asks for, and what was found
    otherwise. What was seen on the wire is told of the organisations (by URA) in `details` alone."""
    found = {
        (one.ura, one.finding.check, one.own): one
        for cell in overview.cells.values()
        for step in cell.steps
        for counts in step.evidence
        for one in (counts, counts.beside)
        if one is not None
    }
    evidence = (
        one if one.ura in details else replace(one, finding=replace(one.finding, detail=""))
        for one in found.values()
    )
    return Source(region, overview, tuple(evidence), narrowed=narrowed)
