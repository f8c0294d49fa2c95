"""One item: what it is, on what ground and by when, how it is measured, and who is where."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from schakel.portal.region import Tally, by_sector, tally
from schakel.roadmap.checks import Check
from schakel.roadmap.evidence import Member
from schakel.roadmap.model import Agreement, Ambition, Category, Item, Kpi, Objective, Step, Text
from schakel.roadmap.overview import Overview
from schakel.roadmap.standing import Cell
from schakel.roadmap.words import STATES


@dataclass(frozen=True, slots=True)
class Measure:
    """How a step is measured. `check` is None where this program does not know the check that the roadmap names."""

    id: str
    check: Check | None


@dataclass(frozen=True, slots=True)
class MeasuredStep:
    """A step, with the checks that measure it together; without any, a declaration alone can tell."""

    step: Step
    measures: tuple[Measure, ...]


@dataclass(frozen=True, slots=True)
class Standing:
    """The organisations of a sector, with how each stands on the item. `asked` says that the sources name the sector
    for it, or none at all."""

    code: str
    name: Text
    asked: bool
    cells: tuple[tuple[Member, Cell], ...]


@dataclass(frozen=True, slots=True)
class ItemPage:
    """What the page shows. `depends_on` are the items that this one needs, `needed_by` those that need it."""

    item: Item
    category: Category
    sectors: tuple[Text, ...]
    agreements: tuple[Agreement, ...]
    ambitions: tuple[tuple[Objective, Ambition], ...]
    kpis: tuple[Kpi, ...]
    depends_on: tuple[Item, ...]
    needed_by: tuple[Item, ...]
    steps: tuple[MeasuredStep, ...]
    tally: Tally
    standings: tuple[Standing, ...]


def item_page(overview: Overview, item: Item, checks: Mapping[str, Check]) -> ItemPage:
    """What is known of `item`, and where the region stands on it."""
    roadmap, cells = overview.roadmap, overview.cells
    return ItemPage(
        item=item,
        category=next(one for one in roadmap.categories if one.id == item.category),
        sectors=tuple(roadmap.sectors.get(code, Text(code, code)) for code in item.sectors),
        agreements=tuple(one for one in roadmap.agreements if one.id in item.agreements),
        ambitions=tuple(
            (objective, ambition)
            for objective in roadmap.objectives
            for ambition in objective.ambitions
            if item.id in ambition.items
        ),
        kpis=tuple(one for one in roadmap.kpis if item.id in one.items),
        depends_on=tuple(roadmap.by_id[one] for one in item.depends_on),
        needed_by=tuple(roadmap.by_id[one] for one in roadmap.waiting[item.id]),
        steps=tuple(
            MeasuredStep(step, tuple(Measure(name, checks.get(name)) for name in step.checks))
            for step in item.steps
        ),
        tally=tally(STATES[cell.state] for cell in overview.of_item(item.id)),
        standings=tuple(
            Standing(
                sector.code,
                sector.name,
                item.is_for(sector.code),
                tuple((member, cells[member.ura, item.id]) for member in sector.members),
            )
            for sector in by_sector(roadmap, overview.members)
        ),
    )
