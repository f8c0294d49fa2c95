"""The one way in to the board of a region."""

from __future__ import annotations

import asyncio
import sys
from collections import Counter
from collections.abc import AsyncIterator, Collection, Mapping, Sequence
from contextlib import asynccontextmanager
from datetime import datetime, timedelta

import asyncpg

from schakel.kernel.clock import now
from schakel.roadmap.board import actions, declarations, runs, trail, turns, versions
from schakel.roadmap.board.actions import Action
from schakel.roadmap.board.declarations import Statement
from schakel.roadmap.board.runs import Snapshot
from schakel.roadmap.board.trail import Deed, Trace
from schakel.roadmap.board.turns import RunTurns
from schakel.roadmap.board.versions import Changes, Version
from schakel.roadmap.changes import Change, differences
from schakel.roadmap.checks import CHECKS
from schakel.roadmap.evidence import Declaration, Evidence, Member, Run
from schakel.roadmap.model import Roadmap
from schakel.roadmap.overview import Overview, RunInfo, overview_of
from schakel.roadmap.reading import DEFAULT, RoadmapLimits, read, shipped
from schakel.roadmap.standing import next_changes
from schakel.roadmap.wire import RunLimits
from schakel.store.connection import Connection, acquire


class Board:
    """The board of the region that `tenant` keeps. `region` is its name; the organisations (slugs) in `keepers` may
    write about all of it at their own door. `terms` say by check after how long evidence is stale.
    `limits` and `file` are bounds on a run and on a roadmap that come in; who did what is known for `trail_kept`.

    The overview is kept in memory until the board changes, at this node or another, or time changes it; then the
    organisations that it is about are worked out anew, and the others stay as they are.
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
        trail_kept: timedelta = trail.KEPT,
    ) -> None:
        self.region = region
        self.keepers = frozenset(keepers)
        self.limits = limits or RunLimits()
        self.file = file
        self._trail_kept = trail_kept
        self._pool = pool
        self._tenant = tenant
        self._terms = {name: one.fresh for name, one in CHECKS.items()} if terms is None else terms
        self._kept: Overview | None = None
        self._ends: dict[str, datetime] = {}
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
        """Reads the board as it is at one moment, as far as it is other than what was kept, and keeps it."""
        async with (
            acquire(self._pool) as connection,
            connection.transaction(isolation="repeatable_read", readonly=True),
        ):
            moment = now()
            revision = await self._revision(connection)
            roadmap = await self._in_force(connection)
            members = await runs.members(connection, self._tenant)
            same = await self._same(connection, roadmap, members, moment)
            anew = [one.ura for one in members if one.ura not in same]
            evidence = await runs.last_evidence(connection, self._tenant, anew)
            declared = await declarations.at(connection, self._tenant, anew)
            last = await runs.listed(connection, self._tenant, 1, whole=True)
        kept = {} if self._kept is None else self._kept.cells
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
            standing={place: cell for place, cell in kept.items() if place[0] in same},
        )
        ends = {ura: end for ura, end in self._ends.items() if ura in same}
        ends |= next_changes(evidence, declared, self._terms, moment)
        self._kept, self._ends, self._until = made, ends, min(ends.values(), default=None)
        return made

    async def _same(
        self, connection: Connection, roadmap: Roadmap, members: Sequence[Member], moment: datetime
    ) -> frozenset[str]:
        """The organisations that stand as they did when the overview was kept: by then they were members as they are
        now, and since then neither the roadmap nor anything known of them changed, and nothing grew old."""
        kept = self._kept
        if kept is None or kept.roadmap is not roadmap:
            return frozenset()
        touched = await runs.touched(connection, self._tenant, kept.revision)
        aged = {ura for ura, end in self._ends.items() if end <= moment}
        return frozenset(one.ura for one in set(members) & set(kept.members)) - touched - aged

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
            about = run.members[0].ura if len(run.members) == 1 else ""
            await self._did(connection, sender or run.by, "", Deed("run", about, run.id, len(run.measured)))
            if whole:
                uras = [one.ura for one in run.members]
                stood = overview_of(
                    await self._in_force(connection),
                    run.members,
                    await runs.last_evidence(connection, self._tenant, uras, run.finished),
                    await declarations.at(connection, self._tenant, uras, run.finished),
                    self._terms,
                    run.finished,
                )
                await runs.add_snapshot(connection, self._tenant, run, stood)
            return True

    async def runs(self, most: int = 50) -> tuple[RunInfo, ...]:
        """The last `most` runs, the one that ended last first."""
        async with acquire(self._pool) as connection:
            return await runs.listed(connection, self._tenant, most)

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
        self, statements: Sequence[Statement], by: str, account: str = "", *, from_file: bool = False
    ) -> tuple[Declaration, ...]:
        """As `declare`, all of them or none; `from_file` says that somebody imported them."""
        async with self._changing() as connection:
            roadmap = await self._in_force(connection)
            made = [
                await declarations.declare(connection, self._tenant, one, roadmap, by, account)
                for one in statements
            ]
            deeds = [Deed("declaration", one.ura, one.step) for one in made]
            if from_file:
                several = Counter(one.ura for one in made)
                deeds = [Deed("import", ura, times=times) for ura, times in several.items()]
            await self._did(connection, by, account, *deeds)
        return tuple(made)

    async def confirm(self, declaration: str, by: str, account: str = "") -> Declaration:
        """The second reader `by` (`account` at the identity provider) has seen it. Raises `Forbidden` for who made it,
        `Conflict` when it was seen or taken back, and `NotFound`."""
        async with self._changing() as connection:
            seen = await declarations.confirm(connection, self._tenant, declaration, by, account)
            await self._did(connection, by, account, Deed("confirmation", seen.ura, seen.step))
            return seen

    async def withdraw(self, declaration: str, by: str, account: str = "") -> Declaration:
        """Takes a declaration back. Raises `Conflict` when it was taken back before, and `NotFound`."""
        async with self._changing() as connection:
            gone = await declarations.withdraw(connection, self._tenant, declaration, by)
            await self._did(connection, by, account, Deed("withdrawal", gone.ura, gone.step))
            return gone

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

    async def write_action(self, action: Action, by: str, account: str = "") -> Action:
        """Writes a new action (without id), or changes one. Raises `Invalid` naming the member that is wrong,
        `NotFound` for an id that is not known, and `Conflict` when another change came between."""
        async with self._changing() as connection:
            roadmap = await self._in_force(connection)
            written = await actions.write(connection, self._tenant, action, roadmap, by)
            await self._did(connection, by, account, Deed("action", written.ura, written.id))
            return written

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
            if await versions.write(connection, self._tenant, roadmap, body, by):
                await self._did(connection, by, "", Deed("roadmap", about=roadmap.version))
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

    # -- who did what ----------------------------------------------------------------------------------------------

    async def logged_in(self, by: str, account: str) -> None:
        """Writes down that somebody logs in at the portal of this board."""
        async with acquire(self._pool) as connection, connection.transaction():
            await self._did(connection, by, account, Deed("login"))

    async def trail(self, before: int | None = None, most: int = 100) -> tuple[Trace, ...]:
        """Who did what and who logged in, the newest first: the last `most`, or those before the one with a number."""
        async with acquire(self._pool) as connection:
            return await trail.listed(connection, self._tenant, before, most, self._trail_kept)

    async def _did(self, connection: Connection, by: str, account: str, *deeds: Deed) -> None:
        """Writes down what somebody does, in the transaction in which it is done."""
        if deeds:
            await trail.write(connection, self._tenant, by, account, deeds, self._trail_kept)

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
