"""The portal and the board of the roadmap, from the settings."""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from datetime import timedelta

import asyncpg

from schakel.config import Settings
from schakel.generic.identity.page_logins import PageLogins
from schakel.generic.identity.workplace import Workplace
from schakel.http.node import PortalDoor
from schakel.portal.people import Visitor
from schakel.roadmap.board import Board
from schakel.roadmap.hybrid.pseudonyms import Pseudonyms
from schakel.roadmap.hybrid.store import Inventory
from schakel.roadmap.reading import RoadmapLimits
from schakel.roadmap.wire import RunLimits
from schakel.store.tenants import PORTAL, ROADMAP, tenant_of


async def tenant(pool: asyncpg.Pool) -> int:
    """What holds the rows of the portal of this node: it belongs to no organisation."""
    return await tenant_of(pool, "", "", "Portal", PORTAL)


@asynccontextmanager
async def portal(settings: Settings, pool: asyncpg.Pool) -> AsyncIterator[PortalDoor | None]:
    """The portal, with its connections until the end of the block; None without the setting. Raises `Invalid` for a key
    or certificate."""
    if (given := settings.portal) is None:
        yield None
        return
    logins = PageLogins(
        pool,
        await tenant(pool),
        login_seconds=given.login_seconds,
        seconds=round(given.session_hours * 3600),
        idle_seconds=round(given.idle_minutes * 60),
        most=given.logins,
        sessions=given.sessions,
    )
    people = {
        one.subject: Visitor(one.subject, one.name, frozenset(one.roles), frozenset(one.organisations))
        for one in given.people
    }
    if (at := given.login) is None:
        yield PortalDoor(given.public, people, None, logins, given.upload, given.scan_rows)
        return
    async with Workplace.open(at.issuer, at.client_id, at.key, at.certificate) as workplace:
        yield PortalDoor(given.public, people, workplace, logins, given.upload, given.scan_rows)


async def board(settings: Settings, pool: asyncpg.Pool) -> Board | None:
    """The board of the region; None when nobody keeps it."""
    given = settings.roadmap
    if not given.keepers:
        return None
    return Board(
        pool,
        await tenant_of(pool, "", "", "Roadmap", ROADMAP),
        region=given.region,
        keepers=given.keepers,
        limits=RunLimits(given.members, given.findings),
        file=RoadmapLimits(given.file_bytes, given.items, given.characters),
        trail_kept=timedelta(days=given.trail_days),
    )


async def inventory(settings: Settings, pool: asyncpg.Pool) -> Inventory | None:
    """The inventory of hybrid care of the region; None when nobody keeps its board. Raises `Invalid` for its key."""
    given = settings.roadmap
    if not given.keepers:
        return None
    pseudonyms = Pseudonyms.from_file(given.pseudonym_key)
    return Inventory(pool, await tenant_of(pool, "", "", "Roadmap", ROADMAP), pseudonyms)
