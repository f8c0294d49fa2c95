"""The roadmap as data: themes, items, steps, agreements, objectives and numbers, in Dutch and English.

A roadmap is a file that is imported as it is, version after version; no code knows an item by name. What the sources
leave open or contradict is in `open`, and is shown as such.

Source: the regional roadmap of the Integraal Zorgakkoord and the purchasing ambitions of the insurers (ZN).
"""

from __future__ import annotations

from collections.abc import Collection, Mapping
from dataclasses import dataclass
from datetime import date
from functools import cached_property
from typing import Literal

from schakel.kernel.texts import Language as Language
from schakel.kernel.texts import Text as Text

Legal = Literal["law", "expected-law", "agreement", "insurer-policy", "advice"]
"""On what ground something must be done; it says nothing about when. What is no duty at all is `advice`."""

Certainty = Literal["in-force", "done", "expected", "planned", "open"]
"""How sure a date is: already so, behind us, foreseen, intended, or not known."""

Unit = Literal["share", "count", "hours", "days"]
"""In what a number is told; a share is from 0 to 1."""


@dataclass(frozen=True, slots=True)
class Link:
    """A page elsewhere."""

    title: str
    url: str


@dataclass(frozen=True, slots=True)
class Dated:
    """Something with a date. `when` is the date as it is told ("Q4 2025"), `first` and `last` the days between which
    that lies, both None when it cannot be said."""

    when: Text
    first: date | None
    last: date | None
    what: Text
    legal: Legal
    certainty: Certainty


@dataclass(frozen=True, slots=True)
class Step:
    """One step of an item. `id` is that of the item with `.S` and a number.

    `checks` are the ids of the checks that together measure it (`roadmap.checks.CHECKS`); without any it is known by a
    declaration alone. `unseen` says what of the step those checks do not see, None when they see all of it: for that
    part a declaration is needed.
    """

    id: str
    text: Text
    checks: tuple[str, ...] = ()
    unseen: Text | None = None


@dataclass(frozen=True, slots=True)
class Category:
    """A group of items within a theme."""

    id: str
    title: Text


@dataclass(frozen=True, slots=True)
class Agreement:
    """Something that the parties of the IZA agreed on. `deadline` as it is told."""

    id: str
    text: Text
    deadline: Text


@dataclass(frozen=True)
class Item:
    """One item of the roadmap.

    `plain` is what it is in our own plain words. `sectors` are the codes of the sectors that the source names for it,
    none when it names none; `agreements` are ids, and `inferred` says that the source does not print them here.
    """

    id: str
    layer: Literal["national", "regional"]
    category: str
    title: Text
    plain: Text
    sectors: tuple[str, ...]
    agreements: tuple[str, ...]
    inferred: bool
    applications: tuple[str, ...]
    standards: tuple[str, ...]
    dates: tuple[Dated, ...]
    steps: tuple[Step, ...]
    links: tuple[Link, ...]
    depends_on: tuple[str, ...]
    open: tuple[Text, ...]

    def is_for(self, sector: str) -> bool:
        """Whether the item may be for organisations of `sector`: it names that sector, or none at all."""
        return not self.sectors or sector in self.sectors


@dataclass(frozen=True, slots=True)
class Ambition:
    """What insurers ask within an objective; `items` are those of the roadmap that serve it."""

    id: str
    text: Text
    items: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class Objective:
    """An objective of the insurers."""

    id: str
    title: Text
    ambitions: tuple[Ambition, ...]


@dataclass(frozen=True, slots=True)
class Target:
    """What a number should become: at least (or at most) `value`, `by` a moment as told; `certainty` is how sure that
    moment is, `open` when nothing says so.

    `unit` is that of `value`, None for the one of the number. With `sectors` (codes) it is for each organisation of
    such a sector by itself; without any it is for everyone, and for all of them together.
    """

    value: float
    at_most: bool
    by: Text
    legal: Legal
    whose: Text
    certainty: Certainty = "open"
    unit: Unit | None = None
    sectors: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class Kpi:
    """A number that software can compute; `formula` is shown beside it."""

    id: str
    title: Text
    formula: Text
    unit: Unit
    targets: tuple[Target, ...]
    items: tuple[str, ...]

    def unit_of(self, target: Target) -> Unit:
        """The unit of one of the targets."""
        return target.unit or self.unit

    def targets_of(self, sectors: Collection[str] | None) -> tuple[Target, ...]:
        """The targets for an organisation that is in `sectors`; with None those for a whole region."""
        return tuple(
            one
            for one in self.targets
            if not one.sectors or (sectors is not None and not set(one.sectors).isdisjoint(sectors))
        )


@dataclass(frozen=True)
class Roadmap:
    """A version of the roadmap. `sectors` has the name of each sector by its code."""

    version: str
    title: Text
    sources: tuple[Text, ...]
    sectors: Mapping[str, Text]
    categories: tuple[Category, ...]
    agreements: tuple[Agreement, ...]
    items: tuple[Item, ...]
    objectives: tuple[Objective, ...]
    kpis: tuple[Kpi, ...]
    open: tuple[Text, ...]

    @cached_property
    def by_id(self) -> Mapping[str, Item]:
        """The items by id."""
        return {item.id: item for item in self.items}

    @cached_property
    def waiting(self) -> Mapping[str, tuple[str, ...]]:
        """By item, the ids of the items that depend on it."""
        found: dict[str, list[str]] = {item.id: [] for item in self.items}
        for item in self.items:
            for other in item.depends_on:
                found[other].append(item.id)
        return {name: tuple(ids) for name, ids in found.items()}
