"""Changes of the database schema: numbered SQL files, each applied once and in one transaction.

The files are `migrations/0001_name.sql` and on, without gaps. The table `schema_migration` in the schema of
the connection holds what was applied and the SHA-256 of its text (with line ends as \\n), so that a file that
was changed afterwards is noticed. Programs that start at the same moment take turns by an advisory lock in
each transaction; a transaction also keeps this right behind a connection pooler.
"""

from __future__ import annotations

import hashlib
import re
from collections.abc import Sequence
from dataclasses import dataclass
from importlib.abc import Traversable
from importlib.resources import files
from typing import TYPE_CHECKING, Any, TypeAlias

import asyncpg

from schakel.kernel.outcomes import Busy, Fault, Invalid

if TYPE_CHECKING:
    from asyncpg.pool import PoolConnectionProxy

_NAME = re.compile(r"(\d{4})_[a-z0-9_]+\.sql")
_LOCK = 0x5C4A_4B41
_LOCK_SECONDS = 60

Connection: TypeAlias = "asyncpg.Connection[Any] | PoolConnectionProxy[Any]"


@dataclass(frozen=True, slots=True)
class Migration:
    """One file: its number, its name with the number, its text and the SHA-256 of that in hexadecimal."""

    number: int
    name: str
    text: str
    checksum: str


def read_migrations(folder: Traversable) -> list[Migration]:
    """The migrations of `folder` in order. Raises Fault for none, a wrong name or number, or non-UTF-8."""
    found: list[Migration] = []
    for file in sorted(folder.iterdir(), key=lambda one: one.name):
        if not file.name.endswith(".sql"):
            continue
        match = _NAME.fullmatch(file.name)
        if match is None:
            raise Fault(f"Migration '{file.name}' needs a name such as 0001_name.sql, in lower case.")
        if int(match[1]) != len(found) + 1:
            raise Fault(
                f"Migration '{file.name}' should have number {len(found) + 1:04}: no gaps, no doubles."
            )
        try:
            text = file.read_bytes().decode().replace("\r\n", "\n")
        except UnicodeDecodeError:
            raise Fault(f"Migration '{file.name}' is not UTF-8.") from None
        found.append(Migration(int(match[1]), file.name, text, hashlib.sha256(text.encode()).hexdigest()))
    if not found:
        raise Fault(f"There are no migrations in {folder}: the program is not installed whole.")
    return found


async def migrate(connection: Connection, folder: Traversable | None = None) -> list[str]:
    """Bring the database up to date; the names of what was applied now, in order.

    What fails leaves its own transaction undone and what was applied before it in place. Raises Invalid when
    a newer program changed the database, Busy when another program holds it longer than a minute, Fault for
    the rest.
    """
    known = read_migrations(files("schakel.store") / "migrations" if folder is None else folder)
    if connection.is_in_transaction():
        raise Fault("Migrations need a connection outside a transaction: each has its own.")
    applied: list[str] = []
    while (name := await _apply_next(connection, known)) is not None:
        applied.append(name)
    return applied


async def _apply_next(connection: Connection, known: Sequence[Migration]) -> str | None:
    """Apply the first migration that the database does not have; its name, or None when it has all."""
    try:
        async with connection.transaction():
            await connection.execute(
                f"SET LOCAL lock_timeout = '{_LOCK_SECONDS}s'; SET LOCAL statement_timeout = 0"
            )
            await connection.execute("SELECT pg_advisory_xact_lock($1)", _LOCK, timeout=2 * _LOCK_SECONDS)
            done = await _applied(connection)
            _compare(done, known)
            if len(done) == len(known):
                return None
            migration = known[len(done)]
            await _apply(connection, migration)
            return migration.name
    except asyncpg.LockNotAvailableError as error:
        raise Busy(
            f"Another program has kept the database locked for {_LOCK_SECONDS} seconds, so its schema was "
            "not "
            "changed. Wait until that has ended, and start again.",
            cause=str(error),
        ) from error


async def _applied(connection: Connection) -> list[tuple[int, str, str]]:
    """Number, name and checksum of what the database has, in order."""
    if await connection.fetchval("SELECT to_regclass('schema_migration')") is None:
        await connection.execute(
            "CREATE TABLE schema_migration (number int PRIMARY KEY, name text NOT NULL, checksum text NOT "
            "NULL, "
            "applied_at timestamptz NOT NULL DEFAULT now())"
        )
    rows = await connection.fetch("SELECT number, name, checksum FROM schema_migration ORDER BY number")
    return [(row["number"], row["name"], row["checksum"]) for row in rows]


def _compare(done: Sequence[tuple[int, str, str]], known: Sequence[Migration]) -> None:
    """Refuse a database that did not come from the first of `known`."""
    if len(done) > len(known):
        number, name, _ = done[-1]
        raise Invalid(
            f"The database was changed by a newer version of this program: it has migration {number} "
            f"('{name}'), and "
            f"this version knows {len(known)}. Install that newer version, or restore a backup from before "
            "it.",
            code="database-newer",
        )
    for (number, name, checksum), migration in zip(done, known, strict=False):
        if (number, checksum) != (migration.number, migration.checksum):
            raise Fault(
                f"Migration '{migration.name}' is not the one that was applied to this database as "
                f"'{name}'. An applied "
                "migration may never change: install the program unaltered, and put changes in a new file.",
                code="migration-changed",
            )


async def _apply(connection: Connection, migration: Migration) -> None:
    """Run one migration and record it, inside the transaction of the caller."""
    before = await connection.fetchval(
        "INSERT INTO schema_migration (number, name, checksum) VALUES ($1, $2, $3) "
        "RETURNING pg_current_xact_id()",
        migration.number,
        migration.name,
        migration.checksum,
    )
    try:
        await connection.execute(migration.text)
    except asyncpg.LockNotAvailableError:
        raise
    except asyncpg.PostgresError as error:
        raise Fault(
            f"Migration '{migration.name}' failed and was undone: {error.args[0]}. The database is as it "
            "was before it.",
            cause=f"{type(error).__name__}: {error}",
        ) from error
    if (
        not connection.is_in_transaction()
        or await connection.fetchval("SELECT pg_current_xact_id()") != before
    ):
        raise Fault(
            f"Migration '{migration.name}' ends its own transaction: take COMMIT and ROLLBACK out of it."
        )
