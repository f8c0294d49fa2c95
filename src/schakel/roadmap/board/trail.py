"""Who did what on the board, and who logged in: added, never changed, and removed after its term."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Literal

from schakel.store.connection import Connection

What = Literal["login", "declaration", "import", "confirmation", "withdrawal", "action", "run", "roadmap"]
"""What was done: logged in; declared; imported declarations from a file; was the second reader; took a declaration
back; wrote or changed an action; a run taken in; a version of the roadmap brought in force."""

KEPT = timedelta(days=730)
"""How long it is known who did what, when nothing says so."""


@dataclass(frozen=True, slots=True)
class Deed:
    """Something that was done: to what (`about`: a step, an action, a run or a version by its id, '' for none) at which
    organisation (`ura`, '' for none or several), and how many `times` at once."""

    what: What
    ura: str = ""
    about: str = ""
    times: int = 1


@dataclass(frozen=True, slots=True)
class Trace:
    """A deed with who did it and when. `account` is what the identity provider calls that person, '' for an
    organisation at its own door; `number` counts them."""

    number: int
    at: datetime
    name: str
    account: str
    deed: Deed


async def write(
    connection: Connection, tenant: int, name: str, account: str, deeds: Iterable[Deed], kept: timedelta
) -> None:
    """Writes down what somebody did, in the transaction in which it is done, and forgets what is older than `kept`."""
    rows = [(one.what, one.ura, one.about, one.times) for one in deeds]
    columns = [list(one) for one in zip(*rows, strict=True)]
    await connection.execute(
        "INSERT INTO roadmap_trail (tenant, name, account, what, ura, about, times) "
        "SELECT $1, $2, $3, * FROM unnest($4::text[], $5::text[], $6::text[], $7::integer[])",
        tenant,
        name,
        account,
        *columns,
    )
    await connection.execute(
        "DELETE FROM roadmap_trail WHERE tenant = $1 AND at < now() - $2::interval", tenant, kept
    )


async def listed(
    connection: Connection, tenant: int, before: int | None, most: int, kept: timedelta
) -> tuple[Trace, ...]:
    """What was done, the newest first: the `most` before the one with that number, within the term."""
    rows = await connection.fetch(
        "SELECT number, at, name, account, what, ura, about, times FROM roadmap_trail "
        "WHERE tenant = $1 AND ($2::bigint IS NULL OR number < $2) AND at >= now() - $4::interval "
        "ORDER BY number DESC LIMIT $3",
        tenant,
        before,
        most,
        kept,
    )
    return tuple(
        Trace(
            row["number"],
            row["at"],
            row["name"],
            row["account"],
            Deed(row["what"], row["ura"], row["about"], row["times"]),
        )
        for row in rows
    )
