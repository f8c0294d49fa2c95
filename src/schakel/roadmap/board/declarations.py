"""What people declare where no check can measure: with a document, an owner, a date, a term and a second reader.

A declaration is never changed. A newer one about the same step takes its place; it can be taken back; all of them stay,
with who did what and when.
"""

from __future__ import annotations

import re
import unicodedata
import uuid
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, replace
from datetime import date, datetime, timedelta
from typing import get_args

import asyncpg

from schakel.kernel.clock import AMSTERDAM, now
from schakel.kernel.outcomes import Conflict, Forbidden, Invalid, NotFound
from schakel.roadmap.board.runs import touch
from schakel.roadmap.board.texts import person, text
from schakel.roadmap.evidence import Claim, Declaration
from schakel.roadmap.model import Roadmap
from schakel.store.connection import Connection

LONGEST = timedelta(days=731)
"""Longest term of a declaration: what nobody has looked at for two years is not known any more."""

_COLUMNS = (
    "id, ura, step, claim, reason, document, link, owner, said, declared_by, declared_at, until, seen_by, seen_at, "
    "withdrawn_at, withdrawn_by, account"
)
_LINK = re.compile(r"https?://[^\s/?#]+[^\s]*")


@dataclass(frozen=True, slots=True)
class Statement:
    """What someone wants to declare: see `Declaration` for what each member is. A step that is done needs a document
    that shows it; what is not done, or not applicable, needs a reason."""

    ura: str
    step: str
    claim: Claim
    owner: str
    on: date
    until: date
    reason: str = ""
    document: str = ""
    link: str = ""


async def declare(
    connection: Connection, tenant: int, said: Statement, roadmap: Roadmap, by: str, account: str = ""
) -> Declaration:
    """Writes a declaration, in place of the one about the same step; in a transaction that holds the board. `account`
    is what the identity provider calls who declares. Raises `Invalid` naming the member that is wrong, and `NotFound`
    when the organisation is not in the region."""
    checked = _checked(said, roadmap)
    here: bool = await connection.fetchval(
        "SELECT EXISTS (SELECT FROM roadmap_member WHERE tenant = $1 AND ura = $2 AND here)", tenant, said.ura
    )
    if not here:
        raise NotFound("this organisation is not on the board of the region", code="member-unknown")
    by = person("by", by)
    await connection.execute(
        "UPDATE roadmap_declaration SET withdrawn_at = now(), withdrawn_by = $4 "
        "WHERE tenant = $1 AND ura = $2 AND step = $3 AND withdrawn_at IS NULL",
        tenant,
        said.ura,
        said.step,
        by,
    )
    row = await connection.fetchrow(
        "INSERT INTO roadmap_declaration (tenant, ura, step, claim, reason, document, link, owner, said, until, "
        f"declared_by, account) VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11, $12) RETURNING {_COLUMNS}",
        tenant,
        said.ura,
        said.step,
        said.claim,
        *checked,
        said.on,
        said.until,
        by,
        account,
    )
    await touch(connection, tenant, [said.ura])
    return _declaration(row)


async def confirm(
    connection: Connection, tenant: int, declaration: str, by: str, account: str = ""
) -> Declaration:
    """A second reader has seen a declaration; in a transaction that holds the board. Raises `Forbidden` for who made
    it (by name or by account: a name can be changed), `Conflict` when it was taken back or has a second reader, and
    `NotFound`."""
    by = person("by", by)
    found = await one(connection, tenant, declaration)
    _stands(found)
    if found.seen_by:
        raise Conflict("this declaration has a second reader already", code="declaration-seen")
    if _folded(found.declared_by) == _folded(by) or (account and account == found.account):
        raise Forbidden(
            "the second reader is someone else than who declared it", code="second-reader-is-the-first"
        )
    row = await connection.fetchrow(
        "UPDATE roadmap_declaration SET seen_by = $3, seen_at = now() WHERE tenant = $1 AND id = $2 "
        f"RETURNING {_COLUMNS}",
        tenant,
        uuid.UUID(found.id),
        by,
    )
    await touch(connection, tenant, [found.ura])
    return _declaration(row)


async def withdraw(connection: Connection, tenant: int, declaration: str, by: str) -> Declaration:
    """Takes a declaration back; in a transaction that holds the board. Raises `Conflict` when that was done before, and
    `NotFound`."""
    by = person("by", by)
    found = await one(connection, tenant, declaration)
    _stands(found)
    row = await connection.fetchrow(
        "UPDATE roadmap_declaration SET withdrawn_at = now(), withdrawn_by = $3 WHERE tenant = $1 AND id = $2 "
        f"RETURNING {_COLUMNS}",
        tenant,
        uuid.UUID(found.id),
        by,
    )
    await touch(connection, tenant, [found.ura])
    return _declaration(row)


async def one(connection: Connection, tenant: int, declaration: str) -> Declaration:
    """The declaration with this id. Raises `NotFound`."""
    try:
        key = uuid.UUID(declaration)
    except ValueError:
        raise _unknown() from None
    row = await connection.fetchrow(
        f"SELECT {_COLUMNS} FROM roadmap_declaration WHERE tenant = $1 AND id = $2", tenant, key
    )
    if row is None:
        raise _unknown()
    return _declaration(row)


async def listed(
    connection: Connection, tenant: int, ura: str, step: str, *, ended: bool, most: int
) -> tuple[Declaration, ...]:
    """The declarations, the newest first: of one organisation and about one step when these are given; with `ended`
    those too that were taken back or replaced."""
    rows = await connection.fetch(
        f"SELECT {_COLUMNS} FROM roadmap_declaration WHERE tenant = $1 AND ($2 = '' OR ura = $2) "
        "AND ($3 = '' OR step = $3) AND ($4 OR withdrawn_at IS NULL) ORDER BY declared_at DESC, id LIMIT $5",
        tenant,
        ura,
        step,
        ended,
        most,
    )
    return tuple(_declaration(row) for row in rows)


async def at(
    connection: Connection, tenant: int, uras: Iterable[str], moment: datetime | None = None
) -> tuple[Declaration, ...]:
    """The declarations of these organisations that stand; with `moment` as they stood then."""
    rows = await connection.fetch(
        f"SELECT {_COLUMNS} FROM roadmap_declaration WHERE tenant = $1 AND ura = ANY ($3::text[]) AND "
        "CASE WHEN $2::timestamptz IS NULL THEN withdrawn_at IS NULL "
        "ELSE declared_at <= $2 AND coalesce(withdrawn_at, 'infinity') > $2 END",
        tenant,
        moment,
        list(uras),
    )
    return tuple(_as_of(_declaration(row), moment) for row in rows)


def _as_of(found: Declaration, moment: datetime | None) -> Declaration:
    """A declaration as it was at `moment`."""
    if moment is None:
        return found
    seen = found.seen_at is not None and found.seen_at <= moment
    return replace(
        found,
        seen_by=found.seen_by if seen else "",
        seen_at=found.seen_at if seen else None,
        withdrawn_at=None,
        withdrawn_by="",
    )


def faults(said: Statement, roadmap: Roadmap) -> Iterator[Invalid]:
    """All that is wrong with a statement, each naming the member; whether its organisation is in the region is not
    looked at."""
    if not any(step.id == said.step for item in roadmap.items for step in item.steps):
        yield Invalid(f"the roadmap has no step {said.step[:40]!r}", code="step-unknown", expression="step")
    if said.claim not in get_args(Claim):
        yield Invalid(
            f"claim is one of {', '.join(get_args(Claim))}", code="claim-unknown", expression="claim"
        )
    today = now().astimezone(AMSTERDAM).date()
    if said.on > today:
        yield Invalid("on is in the future: declare what is so now", code="on-future", expression="on")
    if said.until < today:
        yield Invalid("until is past", code="until-past", expression="until")
    if said.until > today + LONGEST:
        yield Invalid(f"until is more than {LONGEST.days} days ahead", code="until-far", expression="until")
    for name in _TEXTS:
        try:
            value = _text(said, name)
        except Invalid as error:
            yield error
        else:
            if name == "link" and value and not _LINK.fullmatch(value):
                yield Invalid("link is an http(s) address", code="link-form", expression="link")


_TEXTS = ("reason", "document", "link", "owner")


def _text(said: Statement, name: str) -> str:
    """A text of a statement without blanks around it. Raises `Invalid`."""
    match name:
        case "reason":
            return text(
                name, said.reason, most=2000, needed=said.claim in ("not-done", "not-applicable"), lines=True
            )
        case "document":
            return text(name, said.document, most=500, needed=said.claim == "done")
        case "link":
            return text(name, said.link, most=2000, needed=False)
        case _:
            return text(name, said.owner, most=200)


def _checked(said: Statement, roadmap: Roadmap) -> tuple[str, ...]:
    """Reason, document, link and owner. Raises `Invalid` for the first thing that is wrong."""
    for fault in faults(said, roadmap):
        raise fault
    return tuple(_text(said, name) for name in _TEXTS)


def _folded(name: str) -> str:
    """A name without what does not make it another: capitals, spaces, and ways to write the same letter."""
    return "".join(unicodedata.normalize("NFKC", name).casefold().split())


def _stands(found: Declaration) -> None:
    if found.withdrawn_at is not None:
        raise Conflict(
            "this declaration was taken back, or a newer one took its place", code="declaration-withdrawn"
        )


def _unknown() -> NotFound:
    return NotFound("there is no such declaration", code="declaration-unknown")


def _declaration(row: asyncpg.Record | None) -> Declaration:
    assert row is not None
    return Declaration(str(row["id"]), *tuple(row)[1:])  # The columns are in the order of the fields.
