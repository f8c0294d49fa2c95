"""What the insurers ask: objectives and ambitions with the items that serve them, and numbers with their formulas."""

from __future__ import annotations

from collections.abc import Collection
from dataclasses import dataclass

from schakel.portal.filters import sectors
from schakel.portal.region import Tally, tally
from schakel.roadmap.hybrid.figures import INCLUSION, SCALE, SHARE
from schakel.roadmap.model import Ambition, Item, Kpi, Objective, Target, Text, Unit
from schakel.roadmap.overview import Overview
from schakel.roadmap.words import STATES

HYBRID = frozenset({SHARE, INCLUSION, SCALE})
"""The numbers that the inventory of hybrid care computes."""


@dataclass(frozen=True, slots=True)
class AmbitionView:
    """An ambition with the items that serve it, each with how many organisations stand how on it."""

    ambition: Ambition
    items: tuple[tuple[Item, Tally], ...]


@dataclass(frozen=True, slots=True)
class ObjectiveView:
    """An objective with its ambitions, and how all their items together stand."""

    objective: Objective
    ambitions: tuple[AmbitionView, ...]
    tally: Tally


@dataclass(frozen=True, slots=True)
class TargetView:
    """A target in its unit, with the names of the sectors whose organisations it is for; none is everyone."""

    target: Target
    unit: Unit
    sectors: tuple[Text, ...]


@dataclass(frozen=True, slots=True)
class KpiView:
    """A number with its targets and the items it is about; `hybrid` says that the pages on hybrid care compute it,
    `measured` that a check measures a step of one of its items."""

    kpi: Kpi
    targets: tuple[TargetView, ...]
    items: tuple[Item, ...]
    hybrid: bool
    measured: bool


@dataclass(frozen=True, slots=True)
class Objectives:
    """What the page shows."""

    objectives: tuple[ObjectiveView, ...]
    kpis: tuple[KpiView, ...]


def objectives(overview: Overview, hybrid: Collection[str]) -> Objectives:
    """Where the region stands on what the insurers ask; `hybrid` are the ids of the numbers that are computed on the
    pages on hybrid care."""
    by_id = overview.roadmap.by_id

    def stands(ids: Collection[str]) -> Tally:
        return tally(STATES[cell.state] for one in ids for cell in overview.of_item(one))

    return Objectives(
        tuple(
            ObjectiveView(
                objective,
                tuple(
                    AmbitionView(ambition, tuple((by_id[one], stands([one])) for one in ambition.items))
                    for ambition in objective.ambitions
                ),
                stands({one for ambition in objective.ambitions for one in ambition.items}),
            )
            for objective in overview.roadmap.objectives
        ),
        tuple(
            KpiView(
                kpi,
                tuple(
                    TargetView(
                        one,
                        kpi.unit_of(one),
                        tuple(name for _, name in sectors(overview.roadmap, one.sectors)),
                    )
                    for one in kpi.targets
                ),
                tuple(by_id[one] for one in kpi.items),
                kpi.id in hybrid,
                any(step.checks for one in kpi.items for step in by_id[one].steps),
            )
            for kpi in overview.roadmap.kpis
        ),
    )
