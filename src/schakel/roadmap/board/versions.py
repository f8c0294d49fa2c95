"""The versions of the roadmap that were imported; the last one is in force, and before the first the one that comes
with the program."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime

from schakel.kernel.outcomes import Conflict
from schakel.roadmap.board.texts import person
from schakel.roadmap.changes import Change
from schakel.roadmap.model import Roadmap
from schakel.store.connection import Connection


@dataclass(frozen=True, slots=True)
class Version:
    """An imported version. `number` counts them, `by` and `at` say who brought it and when."""

    number: int
    version: str
    by: str
    at: datetime


@dataclass(frozen=True, slots=True)
class Changes:
    """What an import changed. `version` is in force now, `before` was."""

    version: str
    before: str
    differences: tuple[Change, ...]


async def listed(connection: Connection, tenant: int) -> tuple[Version, ...]:
    """What was imported, the newest first."""
    rows = await connection.fetch(
        "SELECT number, version, by, at FROM roadmap_version WHERE tenant = $1 ORDER BY number DESC", tenant
    )
    return tuple(Version(**row) for row in rows)


async def number(connection: Connection, tenant: int) -> int:
    """The number of the version in force; 0 when none was imported."""
    found: int = await connection.fetchval(
        "SELECT coalesce(max(number), 0) FROM roadmap_version WHERE tenant = $1", tenant
    )
    return found


async def body(connection: Connection, tenant: int, version: int) -> bytes:
    """The file of the version with this number."""
    found: bytes = await connection.fetchval(
        "SELECT body FROM roadmap_version WHERE tenant = $1 AND number = $2", tenant, version
    )
    return found


async def write(connection: Connection, tenant: int, roadmap: Roadmap, body: bytes, by: str) -> bool:
    """Brings a version in force; in a transaction that holds the board. False when exactly this is in force already.
    Raises `Conflict` when the name of the version was used before."""
    known = await connection.fetchrow(
        "SELECT body, number = (SELECT max(number) FROM roadmap_version WHERE tenant = $1) AS last "
        "FROM roadmap_version WHERE tenant = $1 AND version = $2",
        tenant,
        roadmap.version,
    )
    if known is not None:
        if known["last"] and bytes(known["body"]) == body:
            return False
        raise Conflict(
            f"version {roadmap.version!r} was imported before: what is imported now needs a version of its own",
            code="version-taken",
        )
    await connection.execute(
        "INSERT INTO roadmap_version (tenant, version, body, by) VALUES ($1, $2, $3, $4)",
        tenant,
        roadmap.version,
        body,
        person("by", by),
    )
    return True
