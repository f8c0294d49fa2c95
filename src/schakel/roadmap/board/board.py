"""The one way in to the board of a region."""

from __future__ import annotations

import asyncio
import sys
from collections.abc import AsyncIterator, Collection, Mapping, Sequence
from contextlib import asynccontextmanager
from datetime import datetime, timedelta

import asyncpg

from schakel.kernel.clock import now
from schakel.roadmap.board import actions, declarations, runs, turns, versions
from schakel.roadmap.board.actions import Action
from schakel.roadmap.board.declarations import Statement
from schakel.roadmap.board.runs import Snapshot
from schakel.roadmap.board.turns import RunTurns
from schakel.roadmap.board.versions import Changes, Version
from schakel.roadmap.changes import Change, differences
from schakel.roadmap.checks import CHECKS
from schakel.roadmap.evidence import Declaration, Evidence, Member, Run
from schakel.roadmap.model import Roadmap
from schakel.roadmap.overview import Overview, RunInfo, overview_of
from schakel.roadmap.reading import DEFAULT, RoadmapLimits, read, shipped
from schakel.roadmap.standing import next_change
from schakel.roadmap.wire import RunLimits
from schakel.store.connection import Connection, acquire


class Board:
    """The board of the region that `tenant` keeps. `region` is its name; the organisations (slugs) in `keepers` may
    write about all of it at their own door. `terms` say by check after how long evidence is stale.
    `limits` and `file` are bounds on a run and on a roadmap that come in.

    The overview is kept in memory until the board changes, at this node or another, or time changes it.
    """

    def __init__(
        self,
        pool: asyncpg.Pool,
        tenant: int,
        *,
        region: str = "",
        keepers: Collection[str] = (),
        terms: Mapping[str, timedelta] | None = None,
        limits: RunLimits | None = None,
        file: RoadmapLimits = DEFAULT,
    ) -> None:
        self.region = region
        self.keepers = frozenset(keepers)
        self.limits = limits or RunLimits()
        self.file = file
        self._pool = pool
        self._tenant = tenant
        self._terms = {name: one.fresh for name, one in CHECKS.items()} if terms is None else terms
        self._kept: Overview | None = None
        self._until: datetime | None = None
        self._roadmap: tuple[int, Roadmap] | None = None
        self._changes: dict[int, tuple[Change, ...]] = {}
        self._lock = asyncio.Lock()

    # -- where everybody stands ------------------------------------------------------------------------------------

    async def overview(self) -> Overview:
        """Where everybody stands now. One small query, and a few more after a change."""
        async with acquire(self._pool) as connection:
            revision = await self._revision(connection)
        if (kept := self._current(revision)) is not None:
            return kept
        async with self._lock:
            if (kept := self._current(revision)) is not None:
                return kept
            return await self._read()

    def _current(self, revision: int) -> Overview | None:
        """What is kept, when it is at least as new as `revision` and time has not changed it."""
        kept = self._kept
        if kept is None or kept.revision < revision or (self._until is not None and now() >= self._until):
            return None
        return kept

    async def _read(self) -> Overview:
        """Reads the board as it is at one moment, and keeps it."""
        async with (
            acquire(self._pool) as connection,
            connection.transaction(isolation="repeatable_read", readonly=True),
        ):
            moment = now()
            revision = await self._revision(connection)
            roadmap = await self._in_force(connection)
            members = await runs.members(connection, self._tenant)
            evidence = await runs.last_evidence(connection, self._tenant, [one.ura for one in members])
            declared = await declarations.at(connection, self._tenant)
            last = await runs.listed(connection, self._tenant, 1, whole=True)
        made = await asyncio.to_thread(
            overview_of,
            roadmap,
            members,
            evidence,
            declared,
            self._terms,
            moment,
            last_run=last[0] if last else None,
            revision=revision,
        )
        self._kept, self._until = made, next_change(evidence, declared, self._terms, moment)
        return made

    async def members(self) -> tuple[Member, ...]:
        """Who are in the region now, in no order."""
        async with acquire(self._pool) as connection:
            return await runs.members(connection, self._tenant)

    async def roadmap(self) -> Roadmap:
        """The roadmap in force."""
        async with acquire(self._pool) as connection:
            return await self._in_force(connection)

    async def trend(self, most: int = 120) -> tuple[Snapshot, ...]:
        """How many stood how at the end of each of the last `most` runs about the whole region, the oldest first."""
        async with acquire(self._pool) as connection:
            return await runs.trend(connection, self._tenant, most)

    # -- runs and evidence -----------------------------------------------------------------------------------------

    async def add(self, run: Run, *, sender: str = "", whole: bool = True) -> bool:
        """Adds a run and all that it found, or nothing of it. False when it was there already. `sender` is the name of
        the organisation that brought it, '' when it was made here; `whole` says that it is about the whole region: it
        has all members then, and leaves a snapshot.

        Raises `Invalid` for a run that ends in the future, and `Conflict` when its id belongs to another run.
        """
        async with self._changing() as connection:
            if not await runs.add(connection, self._tenant, run, sender=sender, whole=whole):
                return False
            if whole:
                found = await runs.last_evidence(
                    connection, self._tenant, [one.ura for one in run.members], run.finished
                )
                stood = overview_of(
                    await self._in_force(connection),
                    run.members,
                    found,
                    await declarations.at(connection, self._tenant, run.finished),
                    self._terms,
                    run.finished,
                )
                await runs.add_snapshot(connection, self._tenant, run, stood)
            return True

    async def runs(self, most: int = 50) -> tuple[RunInfo, ...]:
        """The last `most` runs, the one that ended last first."""
        async with acquire(self._pool) as connection:
            return await runs.listed(connection, self._tenant, most)

    async def history(self, ura: str, check: str, most: int = 200) -> tuple[Evidence, ...]:
        """What a check found at an organisation, the newest first."""
        async with acquire(self._pool) as connection:
            return await runs.history(connection, self._tenant, ura, check, most)

    async def histories(
        self, ura: str, checks: Collection[str], most: int = 50
    ) -> Mapping[str, tuple[Evidence, ...]]:
        """What each of these checks found at an organisation, by id of the check, the newest first."""
        async with acquire(self._pool) as connection:
            return await turns.histories(connection, self._tenant, ura, checks, most)

    async def run(self, id: str) -> RunInfo:
        """The run with this id. Raises `NotFound`."""
        async with acquire(self._pool) as connection:
            return await turns.run(connection, self._tenant, id)

    async def turns(self, run: str, most: int = 500) -> RunTurns:
        """What the run with this id found, counted, and what turned in it: other than was known before."""
        async with acquire(self._pool) as connection:
            return await turns.of_run(connection, self._tenant, run, most)

    # -- declarations ----------------------------------------------------------------------------------------------

    async def declare(self, statement: Statement, by: str, account: str = "") -> Declaration:
        """A new declaration by `by`, in place of the one about the same step; it counts when someone else confirms it.
        `account` is what the identity provider calls `by`. Raises `Invalid` naming the member that is wrong, and
        `NotFound` for who is not in the region."""
        [made] = await self.declare_all([statement], by, account)
        return made

    async def declare_all(
        self, statements: Sequence[Statement], by: str, account: str = ""
    ) -> tuple[Declaration, ...]:
        """As `declare`, all of them or none."""
        async with self._changing() as connection:
            roadmap = await self._in_force(connection)
            made = [
                await declarations.declare(connection, self._tenant, one, roadmap, by, account)
                for one in statements
            ]
        return tuple(made)

    async def confirm(self, declaration: str, by: str, account: str = "") -> Declaration:
        """The second reader `by` (`account` at the identity provider) has seen it. Raises `Forbidden` for who made it,
        `Conflict` when it was seen or taken back, and `NotFound`."""
        async with self._changing() as connection:
            return await declarations.confirm(connection, self._tenant, declaration, by, account)

    async def withdraw(self, declaration: str, by: str) -> Declaration:
        """Takes a declaration back. Raises `Conflict` when it was taken back before, and `NotFound`."""
        async with self._changing() as connection:
            return await declarations.withdraw(connection, self._tenant, declaration, by)

    async def declaration(self, declaration: str) -> Declaration:
        """The declaration with this id. Raises `NotFound`."""
        async with acquire(self._pool) as connection:
            return await declarations.one(connection, self._tenant, declaration)

    async def declarations(
        self, ura: str = "", step: str = "", *, ended: bool = False, most: int = 1000
    ) -> tuple[Declaration, ...]:
        """The declarations, the newest first: of one organisation and about one step when these are given; with `ended`
        those too that were taken back or replaced."""
        async with acquire(self._pool) as connection:
            return await declarations.listed(connection, self._tenant, ura, step, ended=ended, most=most)

    # -- the work agenda -------------------------------------------------------------------------------------------

    async def actions(self) -> tuple[Action, ...]:
        """The work agenda as it is now, the first that is due first."""
        async with acquire(self._pool) as connection:
            return await actions.listed(connection, self._tenant)

    async def write_action(self, action: Action, by: str) -> Action:
        """Writes a new action (without id), or changes one. Raises `Invalid` naming the member that is wrong,
        `NotFound` for an id that is not known, and `Conflict` when another change came between."""
        async with self._changing() as connection:
            roadmap = await self._in_force(connection)
            return await actions.write(connection, self._tenant, action, roadmap, by)

    async def action_history(self, action: str) -> tuple[Action, ...]:
        """All that an action has been, the newest first. Raises `NotFound`."""
        async with acquire(self._pool) as connection:
            return await actions.history(connection, self._tenant, action)

    # -- versions of the roadmap -----------------------------------------------------------------------------------

    async def import_roadmap(self, body: bytes, by: str) -> Changes:
        """Brings a version of the roadmap in force, and says what it changes. Raises `Invalid` naming the place that is
        wrong, and `Conflict` when the name of the version was used before."""
        roadmap = await asyncio.to_thread(read, body, self.file)
        async with self._changing() as connection:
            before = await self._in_force(connection)
            await versions.write(connection, self._tenant, roadmap, body, by)
            return Changes(roadmap.version, before.version, differences(before, roadmap))

    async def versions(self) -> tuple[Version, ...]:
        """The versions that were imported, the newest first."""
        async with acquire(self._pool) as connection:
            return await versions.listed(connection, self._tenant)

    async def version_changes(self, most: int = 20) -> tuple[tuple[Version, tuple[Change, ...]], ...]:
        """The last `most` versions that were imported, the newest first, each with what is other in it than in the one
        before; before the first stands the one that comes with the program."""
        async with acquire(self._pool) as connection:
            found = (await versions.listed(connection, self._tenant))[: most + 1]
            if any(one.number not in self._changes for one in found[:most]):
                bodies = [await versions.body(connection, self._tenant, one.number) for one in found]
                self._changes |= await asyncio.to_thread(_changes, found[:most], bodies)
        return tuple((one, self._changes[one.number]) for one in found[:most])

    # -- inside ----------------------------------------------------------------------------------------------------

    async def _in_force(self, connection: Connection) -> Roadmap:
        number = await versions.number(connection, self._tenant)
        if self._roadmap is None or self._roadmap[0] != number:
            body = await versions.body(connection, self._tenant, number) if number else b""
            found = await asyncio.to_thread(_kept, body) if number else shipped()
            self._roadmap = number, found
        return self._roadmap[1]

    async def _revision(self, connection: Connection) -> int:
        found: int | None = await connection.fetchval(
            "SELECT revision FROM roadmap_board WHERE tenant = $1", self._tenant
        )
        return found or 0

    @asynccontextmanager
    async def _changing(self) -> AsyncIterator[Connection]:
        """A transaction that changes the board; others wait for its end."""
        async with acquire(self._pool) as connection, connection.transaction():
            await connection.execute(
                "INSERT INTO roadmap_board AS b (tenant) VALUES ($1) "
                "ON CONFLICT (tenant) DO UPDATE SET revision = b.revision + 1",
                self._tenant,
            )
            yield connection


def _kept(body: bytes) -> Roadmap:
    """A roadmap that was imported before: within the bounds of that time, whatever they are now."""
    return read(body, RoadmapLimits(sys.maxsize, sys.maxsize, sys.maxsize))


def _changes(found: Sequence[Version], bodies: Sequence[bytes]) -> dict[int, tuple[Change, ...]]:
    """What each version changed, by its number: the newest first, each against the next of `bodies`, the first ever
    against the one that comes with the program."""
    roadmaps = [*map(_kept, bodies), shipped()]
    return {
        one.number: differences(before, after)
        for one, after, before in zip(found, roadmaps, roadmaps[1:], strict=False)
    }
