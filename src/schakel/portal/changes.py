"""What a run changed, as people read it: at which organisation, which check, and which items rest on it."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from datetime import datetime
from typing import Final

from schakel.portal.item import Measure
from schakel.roadmap.board.turns import Turn
from schakel.roadmap.checks import Check
from schakel.roadmap.evidence import Evidence, Member, Verdict
from schakel.roadmap.model import Item
from schakel.roadmap.overview import Overview

_ORDER: Final[Mapping[Verdict, int]] = {"fails": 0, "unknown": 1, "holds": 2, "not-applicable": 3}


@dataclass(frozen=True, slots=True)
class Change:
    """A check that found `now` what is other than `before`. `member` is None for who has left the region; `items` are
    those of the roadmap of now with a step that it measures."""

    ura: str
    member: Member | None
    measure: Measure
    items: tuple[Item, ...]
    before: Verdict
    before_at: datetime
    now: Evidence


def changes(overview: Overview, turns: Iterable[Turn], checks: Mapping[str, Check]) -> tuple[Change, ...]:
    """The changes: first what fails now, then what could not be checked, then what holds; by name of the
    organisation."""
    members = {member.ura: member for member in overview.members}
    measured: dict[str, list[Item]] = {}
    for item in overview.roadmap.items:
        for check in dict.fromkeys(name for step in item.steps for name in step.checks):
            measured.setdefault(check, []).append(item)
    found = []
    for turn in turns:
        ura, check = turn.now.ura, turn.now.finding.check
        member = members.get(ura)
        items = tuple(measured.get(check, ())) if member is not None else ()
        found.append(
            Change(
                ura, member, Measure(check, checks.get(check)), items, turn.before, turn.before_at, turn.now
            )
        )
    found.sort(
        key=lambda one: (
            _ORDER[one.now.finding.verdict],
            one.member.name.casefold() if one.member else "",
            one.ura,
        )
    )
    return tuple(found)
