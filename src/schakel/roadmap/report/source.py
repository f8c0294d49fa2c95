"""What a report is about: where everybody stands, and all that was found."""

from __future__ import annotations

from dataclasses import dataclass

from schakel.roadmap.checks import CHECKS
from schakel.roadmap.evidence import Evidence, Run
from schakel.roadmap.model import Roadmap
from schakel.roadmap.overview import Overview, evidence_of, info, overview_of


@dataclass(frozen=True)
class Source:
    """The `region` by name ('' when it has none), where everybody stands, and the evidence about its organisations.
    `run` is the one run that it is about, None when it is about a board."""

    region: str
    overview: Overview
    evidence: tuple[Evidence, ...]
    run: Run | None = None


def of_run(run: Run, roadmap: Roadmap) -> Source:
    """One run, held against `roadmap`. What people declared is not in it."""
    evidence = evidence_of(run)
    terms = {check.id: check.fresh for check in CHECKS.values()}
    overview = overview_of(roadmap, run.members, evidence, (), terms, run.finished, last_run=info(run))
    return Source(run.region, overview, evidence, run)


def of_board(region: str, overview: Overview) -> Source:
    """A board as it is: the last evidence of each check that a step of the roadmap asks for."""
    found = {
        (one.ura, one.finding.check): one
        for cell in overview.cells.values()
        for step in cell.steps
        for one in step.evidence
    }
    return Source(region, overview, tuple(found.values()))
