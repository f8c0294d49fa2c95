"""The work agenda of the region: who does what by when. Every change is kept, with who made it and when."""

from __future__ import annotations

import uuid
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import date, datetime
from typing import Literal, get_args

import asyncpg

from schakel.kernel.outcomes import Conflict, Invalid, NotFound
from schakel.roadmap.board.texts import identifier, person, text
from schakel.roadmap.model import Roadmap
from schakel.store.connection import Connection

Progress = Literal["planned", "running", "done", "dropped"]

_COLUMNS = "id, change, item, step, ura, title, owner, starts, due, progress, note, changed_by, changed_at"


@dataclass(frozen=True, slots=True)
class Action:
    """Something that someone in the region does for an item of the roadmap.

    `id` is '' for one that is new; `step` is '' when it is about the whole item, `ura` when it is for the region.
    `change` counts its changes: who writes it gives the one that was read, and is refused when another came between.
    `changed_by` and `changed_at` are of the last change, and given by the board.
    """

    item: str
    title: str
    owner: str
    step: str = ""
    ura: str = ""
    starts: date | None = None
    due: date | None = None
    progress: Progress = "planned"
    note: str = ""
    id: str = ""
    change: int = 0
    changed_by: str = ""
    changed_at: datetime | None = None


async def listed(connection: Connection, tenant: int) -> tuple[Action, ...]:
    """The actions as they are now, the first that is due first."""
    rows = await connection.fetch(
        f"SELECT * FROM (SELECT DISTINCT ON (id) {_COLUMNS} FROM roadmap_action WHERE tenant = $1 "
        "ORDER BY id, change DESC) AS last ORDER BY due NULLS LAST, starts NULLS LAST, title, id",
        tenant,
    )
    return tuple(_action(row) for row in rows)


async def history(connection: Connection, tenant: int, action: str) -> tuple[Action, ...]:
    """All that an action has been, the newest first. Raises `NotFound`."""
    rows = await connection.fetch(
        f"SELECT {_COLUMNS} FROM roadmap_action WHERE tenant = $1 AND id = $2 ORDER BY change DESC",
        tenant,
        _key(action),
    )
    if not rows:
        raise _unknown()
    return tuple(_action(row) for row in rows)


async def write(connection: Connection, tenant: int, action: Action, roadmap: Roadmap, by: str) -> Action:
    """Writes a new action, or changes one; in a transaction that holds the board. Raises `Invalid` naming the member
    that is wrong, `NotFound` for an id that is not known, and `Conflict` when another change came between."""
    for fault in faults(action, roadmap):
        raise fault
    key = _key(action.id) if action.id else uuid.uuid4()
    last: int = await connection.fetchval(
        "SELECT coalesce(max(change), 0) FROM roadmap_action WHERE tenant = $1 AND id = $2", tenant, key
    )
    if action.id and not last:
        raise _unknown()
    if action.change != last:
        raise Conflict(
            "someone else has changed this action in the meantime; read it again and make the change once more",
            code="action-changed",
        )
    row = await connection.fetchrow(
        "INSERT INTO roadmap_action (tenant, id, change, item, step, ura, title, owner, starts, due, progress, note, "
        "changed_by) VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11, $12, $13) "
        f"RETURNING {_COLUMNS}",
        tenant,
        key,
        last + 1,
        action.item,
        action.step,
        *(_text(action, name) for name in ("ura", "title", "owner")),
        action.starts,
        action.due,
        action.progress,
        _text(action, "note"),
        person("by", by),
    )
    return _action(row)


def faults(action: Action, roadmap: Roadmap) -> Iterator[Invalid]:
    """All that is wrong with an action, each naming the member."""
    item = roadmap.by_id.get(action.item)
    if item is None:
        yield Invalid(f"the roadmap has no item {action.item[:40]!r}", code="item-unknown", expression="item")
    elif action.step and action.step not in {step.id for step in item.steps}:
        yield Invalid(
            f"item {item.id} has no step {action.step[:40]!r}", code="step-unknown", expression="step"
        )
    if action.progress not in get_args(Progress):
        said = f"progress is one of {', '.join(get_args(Progress))}"
        yield Invalid(said, code="progress-unknown", expression="progress")
    if action.starts and action.due and action.due < action.starts:
        yield Invalid("due is before starts", code="due-early", expression="due")
    for name in ("ura", *_TEXTS):
        try:
            _text(action, name)
        except Invalid as error:
            yield error


_TEXTS = ("title", "owner", "note")


def _text(action: Action, name: str) -> str:
    """A text of an action without blanks around it, or its URA. Raises `Invalid`."""
    match name:
        case "ura":
            return identifier(name, action.ura, needed=False)
        case "title":
            return text(name, action.title, most=200)
        case "owner":
            return text(name, action.owner, most=200, needed=False)
        case _:
            return text(name, action.note, most=2000, needed=False, lines=True)


def _key(action: str) -> uuid.UUID:
    try:
        return uuid.UUID(action)
    except ValueError:
        raise _unknown() from None


def _unknown() -> NotFound:
    return NotFound("there is no such action on the work agenda", code="action-unknown")


def _action(row: asyncpg.Record | None) -> Action:
    assert row is not None
    return Action(**{**row, "id": str(row["id"])})
