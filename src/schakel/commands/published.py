"""`schakel addressing published`: what became of the node's own entries in the central directory."""

from __future__ import annotations

import asyncio
from collections.abc import Iterator
from pathlib import Path

from schakel.commands.addressing import settings_of
from schakel.commands.tables import columns, count
from schakel.config import Settings
from schakel.generic.addressing.own.ledger import Ledger, Row
from schakel.kernel.clock import instant
from schakel.kernel.outcomes import NotFound
from schakel.store.connection import acquire
from schakel.store.database import connect, disconnect
from schakel.store.tenants import DIRECTORY

_HEAD = ("entry", "state", "finding", "there", "since")


def published(data: Path | None, config_file: Path | None, again: str, *, overwrite: bool) -> int:
    """Prints every entry that is or was to be published, and what is not right with it; 0 when all are there. `again`
    (Type/id) is tried again first, with `overwrite` in place of what others wrote."""
    found = settings_of(data, config_file)
    return max([asyncio.run(of_node(one, again, overwrite=overwrite)) for one in found], default=0)


async def of_node(settings: Settings, again: str, *, overwrite: bool) -> int:
    """The same for one node."""
    uras = [one.ura + DIRECTORY for one in settings.organisations if one.entries and one.entries.publish]
    pool = await connect(settings.database, connections=2)
    try:
        async with acquire(pool) as connection:
            rows = await connection.fetch("SELECT id FROM tenant WHERE ura = ANY ($1)", uras)
        ledger = Ledger(pool, [row["id"] for row in rows])
        if again:
            await ledger.again(again, overwrite=overwrite)
        found = await ledger.rows()
    except NotFound as error:
        print(error.message)
        return 1
    finally:
        await disconnect(pool)
    if not found:
        print("no entry is published (settings organisations.entries.publish and addressing.publication)")
        return 0
    for line in _told(found):
        print(line)
    waiting = [one for one in found if one.state != "published"]
    print(f"{count(len(found), 'entry', 'entries')}, {len(waiting)} not there as it should be")
    return 1 if waiting else 0


def _told(rows: list[Row]) -> Iterator[str]:
    table = [
        (
            f"{one.type}/{one.id}",
            one.state,
            one.finding or "-",
            f"{one.type}/{one.remote} v{one.remote_version}" if one.remote else "-",
            instant(one.changed),
        )
        for one in rows
    ]
    yield from columns([_HEAD, *table])
    for one in rows:
        if one.detail:
            yield f"{one.type}/{one.id}: {one.detail}"
