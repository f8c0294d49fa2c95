"""The page for the programme about who did what on the board, and who logged in."""

from __future__ import annotations

from starlette.requests import Request
from starlette.responses import Response

from schakel.http.portal.frame import Frame
from schakel.portal.trail import read_before, trail_page
from schakel.roadmap.board import Board

_MOST = 100
"""Rows on a page."""


class TrailPage:
    """What the portal shows of the trail of `board`."""

    def __init__(self, frame: Frame, board: Board) -> None:
        self._frame = frame
        self._board = board

    async def page(self, request: Request) -> Response:
        """Who did what, the newest first, and a link to what was before that."""
        before = read_before(request.query_params.get("before", ""))
        traces = await self._board.trail(before, _MOST + 1)
        found = trail_page(await self._board.overview(), await self._board.actions(), traces, _MOST)
        return self._frame.page(request, "portal/trail", {"found": found, "earlier": before is not None})
