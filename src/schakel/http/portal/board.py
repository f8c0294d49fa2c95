"""The pages about the board: the region, an organisation, an item, one cell, the runs and the versions of the roadmap.

Each reads the overview, which is kept in memory, and at most a few queries beside it, whatever the size of the region.
"""

from __future__ import annotations

from collections.abc import Mapping
from datetime import date

from starlette.requests import Request
from starlette.responses import Response

from schakel.http.portal.frame import Frame, spoken
from schakel.kernel.clock import AMSTERDAM, now
from schakel.kernel.outcomes import NotFound
from schakel.portal.cell import cell_page
from schakel.portal.changes import changes
from schakel.portal.declaring import CLAIMS, proposed
from schakel.portal.filled import Filled
from schakel.portal.filters import choices, labelled, read
from schakel.portal.item import item_page
from schakel.portal.organisation import organisation
from schakel.portal.region import region
from schakel.roadmap.board import Board
from schakel.roadmap.board.turns import RunTurns
from schakel.roadmap.checks import CHECKS
from schakel.roadmap.evidence import Member
from schakel.roadmap.model import Item, Roadmap
from schakel.roadmap.overview import Overview

_CHANGES = 20
"""Changes on the page of the region; the page of the run has all of them."""
_RUNS = 100
_VERSIONS = 20


class BoardPages:
    """What the portal shows of `board`."""

    def __init__(self, frame: Frame, board: Board) -> None:
        self._frame = frame
        self._board = board
        self._turns: tuple[int, RunTurns] | None = None

    async def region(self, request: Request) -> Response:
        """Every item at every organisation, narrowed by what the address asks."""
        overview = await self._board.overview()
        allowed = choices(overview.roadmap, overview.members)
        found = region(overview, read(request.query_params.multi_items(), allowed), allowed)
        turns = await self.last_turns(overview)
        values = {
            "found": found,
            "offered": labelled(allowed, spoken(request)),
            "columns": sum(len(sector.members) for sector in found.sectors),
            "run": overview.last_run,
            "turns": turns,
            "changes": changes(overview, turns.turns, CHECKS)[:_CHANGES] if turns else (),
        }
        return self._frame.page(request, "portal/region", values)

    async def organisation(self, request: Request) -> Response:
        """One organisation: what is next, what waits, and every item with its steps. Raises `NotFound`."""
        overview = await self._board.overview()
        found = organisation(overview, _member(request, overview), today())
        return self._frame.page(request, "portal/organisation", {"found": found})

    async def item(self, request: Request) -> Response:
        """One item: what it is, how it is measured, and who is where. Raises `NotFound`."""
        overview = await self._board.overview()
        found = item_page(overview, item_of(request, overview.roadmap), CHECKS)
        return self._frame.page(request, "portal/item", {"found": found})

    async def cell(
        self, request: Request, filled: Mapping[str, Filled] | None = None, status: int = 200
    ) -> Response:
        """The evidence of one item at one organisation, and the forms about it; `filled` has by step what somebody
        filled in that was not right. Raises `NotFound`."""
        overview = await self._board.overview()
        item, member = item_of(request, overview.roadmap), _member(request, overview)
        checks = {name for step in item.steps for name in step.checks}
        found = cell_page(
            member,
            overview.cells[member.ura, item.id],
            await self._board.histories(member.ura, checks) if checks else {},
            await self._board.declarations(member.ura, ended=True),
            CHECKS,
        )
        visitor = self._frame.visitors.found(request)
        values = {
            "found": found,
            "may_declare": visitor is not None
            and (visitor.may("declarer", member.ura) or visitor.may("programme")),
            "may_confirm": visitor is not None and visitor.may("reader", member.ura),
            "sees_details": visitor is not None and visitor.sees_details(member.ura),
            "claims": CLAIMS,
            "filled": filled or {},
            "empty": Filled(proposed(today())),
        }
        return self._frame.page(request, "portal/cell", values, status=status)

    async def runs(self, request: Request) -> Response:
        """What was measured when, and by whom."""
        runs = await self._board.runs(_RUNS + 1)
        values = {"runs": runs[:_RUNS], "more": len(runs) > _RUNS}
        return self._frame.page(request, "portal/runs", values)

    async def run(self, request: Request) -> Response:
        """One run: what was measured, and what changed. Raises `NotFound`."""
        run = await self._board.run(request.path_params["id"])
        turns = await self._board.turns(run.id)
        values = {
            "run": run,
            "turns": turns,
            "changes": changes(await self._board.overview(), turns.turns, CHECKS),
            "checks": CHECKS,
        }
        return self._frame.page(request, "portal/run", values)

    async def versions(self, request: Request) -> Response:
        """The versions of the roadmap, and what each changed."""
        values = {
            "roadmap": (await self._board.overview()).roadmap,
            "versions": await self._board.version_changes(_VERSIONS),
            "most": _VERSIONS,
        }
        return self._frame.page(request, "portal/versions", values)

    async def last_turns(self, overview: Overview) -> RunTurns | None:
        """What turned in the last run about the whole region, kept until the board changes; None before the first."""
        if overview.last_run is None:
            return None
        if self._turns is None or self._turns[0] != overview.revision:
            self._turns = overview.revision, await self._board.turns(overview.last_run.id)
        return self._turns[1]


def today() -> date:
    """The day of now, in the Netherlands."""
    return now().astimezone(AMSTERDAM).date()


def _member(request: Request, overview: Overview) -> Member:
    found = overview.member(request.path_params["ura"])
    if found is None:
        raise NotFound("this organisation is not on the board of the region", code="member-unknown")
    return found


def item_of(request: Request, roadmap: Roadmap) -> Item:
    """The item that the address names. Raises `NotFound`."""
    found = roadmap.by_id.get(request.path_params["item"])
    if found is None:
        raise NotFound("the roadmap has no such item", code="item-unknown")
    return found
