"""The work agenda as people read it: who does what for which item by when, narrowed by filters, and what is late."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, fields
from datetime import date
from typing import Final, Literal, cast

from schakel.kernel.outcomes import Invalid
from schakel.portal.filled import day_or_none
from schakel.roadmap.board import Action, Progress
from schakel.roadmap.board.actions import faults as of_action
from schakel.roadmap.evidence import Member
from schakel.roadmap.model import Item, Roadmap, Step, Text
from schakel.roadmap.overview import Overview

REGION: Final = "region"
"""The choice of organisation for what is for the region as a whole."""
NOBODY: Final = "-"
"""The choice of owner for what nobody has taken up."""
_LONGEST: Final = 60

Late = Literal["", "due", "start"]
"""Whether an action is late by its dates: not done by its end, or not begun though it should have."""


@dataclass(frozen=True, slots=True)
class Stage:
    """How a progress is shown; `css` is the class of its colours."""

    word: Text
    sign: str
    css: str


PROGRESS: Final[Mapping[Progress, Stage]] = {
    "planned": Stage(Text("gepland", "planned"), "○", "state-not-checked"),
    "running": Stage(Text("bezig", "under way"), "◐", "state-partly"),
    "done": Stage(Text("klaar", "done"), "✓", "state-proved"),
    "dropped": Stage(Text("vervallen", "dropped"), "–", "state-not-applicable"),
}


@dataclass(frozen=True, slots=True)
class Row:
    """An action with what it is about. `item` and `step` are None where the roadmap of now does not have them (`step`
    also when it is about the whole item), `member` for the region and for who has left it. `days` is how many it is
    late."""

    action: Action
    item: Item | None
    step: Step | None
    member: Member | None
    late: Late
    days: int


@dataclass(frozen=True, slots=True)
class AgendaFilters:
    """What is shown; '' is everything. `ignored` are the names and values that are no choice."""

    organisation: str = ""
    item: str = ""
    progress: str = ""
    owner: str = ""
    ignored: tuple[tuple[str, str], ...] = ()

    @property
    def narrow(self) -> bool:
        """Whether anything is left out."""
        return any(getattr(self, name) for name in NAMES)

    def shows(self, action: Action) -> bool:
        """Whether `action` is shown."""
        return (
            self.organisation in ("", action.ura or REGION)
            and self.item in ("", action.item)
            and self.progress in ("", action.progress)
            and self.owner in ("", action.owner or NOBODY)
        )


NAMES: Final = tuple(one.name for one in fields(AgendaFilters) if one.name != "ignored")

Choices = Mapping[str, Mapping[str, Text]]
"""What each filter may be, with what a page calls it."""


@dataclass(frozen=True, slots=True)
class Agenda:
    """What the page shows: the actions that are left, the late ones first in their order, and the years that have a
    plan."""

    filters: AgendaFilters
    choices: Choices
    rows: tuple[Row, ...]
    total: int
    late: int
    years: tuple[int, ...]


def agenda(
    overview: Overview, actions: Sequence[Action], pairs: Iterable[tuple[str, str]], today: date
) -> Agenda:
    """The work agenda as the query of the address narrows it."""
    offered = choices(overview, actions)
    filters = read(pairs, offered)
    shown = [row(overview, one, today) for one in actions if filters.shows(one)]
    return Agenda(
        filters,
        offered,
        tuple(sorted(shown, key=lambda one: one.late != "due")),
        len(actions),
        sum(bool(one.late) for one in shown),
        plan_years(overview.roadmap, actions, today),
    )


def row(overview: Overview, action: Action, today: date) -> Row:
    """An action with what it is about, seen on `today`."""
    item = overview.roadmap.by_id.get(action.item)
    step = next((one for one in item.steps if one.id == action.step), None) if item else None
    late, days = _late(action, today)
    return Row(action, item, step, overview.member(action.ura), late, days)


def _late(action: Action, today: date) -> tuple[Late, int]:
    if action.progress not in ("planned", "running"):
        return "", 0
    if action.due is not None and action.due < today:
        return "due", (today - action.due).days
    if action.progress == "planned" and action.starts is not None and action.starts < today:
        return "start", (today - action.starts).days
    return "", 0


def choices(overview: Overview, actions: Iterable[Action]) -> Choices:
    """The choices of each filter: what the agenda has, as the region and its roadmap call it."""
    actions = tuple(actions)
    items, uras = {one.item for one in actions}, {one.ura for one in actions}
    owners = sorted({one.owner for one in actions if one.owner}, key=str.casefold)
    members = {one.ura: Text(one.name, one.name) for one in overview.members if one.ura in uras}
    return {
        "organisation": ({REGION: Text("De regio als geheel", "The region as a whole")} if "" in uras else {})
        | members,
        "item": {one.id: one.title for one in overview.roadmap.items if one.id in items},
        "progress": {name: stage.word for name, stage in PROGRESS.items()},
        "owner": {one: Text(one, one) for one in owners}
        | ({NOBODY: Text("Niemand", "Nobody")} if any(not one.owner for one in actions) else {}),
    }


def read(pairs: Iterable[tuple[str, str]], offered: Choices) -> AgendaFilters:
    """The filters that the query of an address asks for. Of a filter that is given more than once, the last counts."""
    found: dict[str, str] = {}
    ignored: list[tuple[str, str]] = []
    for name, value in pairs:
        if name not in NAMES or not value:
            continue
        if value in offered[name]:
            found[name] = value
        else:
            ignored.append((name, value[:_LONGEST]))
    return AgendaFilters(**found, ignored=tuple(ignored))


def plan_years(roadmap: Roadmap, actions: Iterable[Action], today: date) -> tuple[int, ...]:
    """The years from this one on in which something is due or an action starts or ends, and this one."""
    days = [day for one in actions for day in (one.starts, one.due) if day is not None]
    days += [
        day for item in roadmap.items for one in item.dates if (day := one.last or one.first) is not None
    ]
    return tuple(sorted({today.year, *(day.year for day in days if day.year > today.year)}))


def action(
    typed: Mapping[str, str], roadmap: Roadmap, members: Iterable[Member], before: Action | None
) -> tuple[Action | None, tuple[Invalid, ...]]:
    """What was typed as an action, new or in the place of `before`, with all that is wrong with it; no action when
    anything is."""
    wrong: list[Invalid] = []
    days: dict[str, date | None] = {}
    for name in ("starts", "due"):
        try:
            days[name] = day_or_none(name, typed.get(name, ""))
        except Invalid as error:
            wrong.append(error)
    place = typed.get("step", "").strip()
    item, _, number = place.partition(".")
    ura = typed.get("ura", "").strip()
    if ura and ura not in {one.ura for one in members} and not (before and before.ura == ura):
        wrong.append(
            Invalid("this organisation is not on the board", code="member-unknown", expression="ura")
        )
    change = typed.get("change", "")
    made = Action(
        item=item,
        title=typed.get("title", ""),
        owner=typed.get("owner", ""),
        step=place if number else "",
        ura=ura,
        starts=days.get("starts"),
        due=days.get("due"),
        progress=cast(Progress, typed.get("progress", "planned")),  # What it is not, `of_action` says.
        note=typed.get("note", ""),
        id=before.id if before else "",
        change=int(change) if before and change.isascii() and change.isdigit() and len(change) < 9 else 0,
    )
    unread = {one.expression for one in wrong}
    for fault in of_action(made, roadmap):
        if fault.expression == "item":  # A step and its item are one choice.
            fault = Invalid(fault.message, code=fault.kind, expression="step")
        if fault.expression not in unread:
            wrong.append(fault)
    return (None if wrong else made), tuple(wrong)


def typed(action: Action) -> dict[str, str]:
    """An action as it stands in its form."""
    return {
        "step": action.step or action.item,
        "ura": action.ura,
        "title": action.title,
        "owner": action.owner,
        "starts": action.starts.isoformat() if action.starts else "",
        "due": action.due.isoformat() if action.due else "",
        "progress": action.progress,
        "note": action.note,
        "change": str(action.change),
    }
