"""The pages that add up: how it went over the months, and what the insurers ask."""

from __future__ import annotations

from starlette.requests import Request
from starlette.responses import Response

from schakel.http.portal.board import BoardPages
from schakel.http.portal.frame import Frame, spoken
from schakel.portal.changes import changes
from schakel.portal.filters import choices, labelled, read
from schakel.portal.objectives import HYBRID, objectives
from schakel.portal.trends import trends
from schakel.roadmap.board import Board, Snapshot
from schakel.roadmap.checks import CHECKS
from schakel.roadmap.overview import Overview

_FILTERS = frozenset({"sector", "theme"})


class TrendPages:
    """What the portal adds up of `board`; `hybrid` says that this node has the pages on hybrid care."""

    def __init__(self, frame: Frame, board: Board, pages: BoardPages, *, hybrid: bool) -> None:
        self._frame = frame
        self._board = board
        self._pages = pages
        self._hybrid = HYBRID if hybrid else frozenset()
        self._kept: tuple[int, tuple[Snapshot, ...]] | None = None

    async def trends(self, request: Request) -> Response:
        """How many stood how, month by month, and what turned in the last measurement."""
        overview, language = await self._board.overview(), spoken(request)
        allowed = choices(overview.roadmap, overview.members)
        asked = [one for one in request.query_params.multi_items() if one[0] in _FILTERS]
        turns = await self._pages.last_turns(overview)
        values = {
            "found": trends(overview, await self._snapshots(overview), read(asked, allowed), language),
            "offered": labelled(allowed, language),
            "run": overview.last_run,
            "turns": turns,
            "changes": changes(overview, turns.turns, CHECKS) if turns else (),
        }
        return self._frame.page(request, "portal/trends", values)

    async def objectives(self, request: Request) -> Response:
        """The objectives, ambitions and numbers of the insurers, and where the region stands."""
        found = objectives(await self._board.overview(), self._hybrid)
        return self._frame.page(request, "portal/objectives", {"found": found})

    async def _snapshots(self, overview: Overview) -> tuple[Snapshot, ...]:
        """What the board counted at each measurement, kept until it changes."""
        if self._kept is None or self._kept[0] != overview.revision:
            self._kept = overview.revision, await self._board.trend()
        return self._kept[1]
