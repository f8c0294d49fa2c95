"""The board written down: `/portal/export.html`, `.pdf`, `.xlsx`, `.csv` and `.json`, to keep, send and print.

A report is made in a thread, one at a time, and kept until the board changes: who asks for the same gets the same.
"""

from __future__ import annotations

import asyncio

from starlette.requests import Request
from starlette.responses import Response

from schakel.http.portal.frame import spoken
from schakel.kernel.clock import AMSTERDAM
from schakel.kernel.outcomes import NotFound
from schakel.portal.pages import PRIVATE
from schakel.roadmap.board import Board
from schakel.roadmap.model import Language
from schakel.roadmap.overview import Overview
from schakel.roadmap.report import MEDIA, Kind, make, of_board

_NAMES: dict[str, Kind] = {kind: kind for kind in MEDIA}
_BOTH: frozenset[Kind] = frozenset({"csv", "json"})
"""Reports that are in both languages at once."""


class Exports:
    """Reports of `board`."""

    def __init__(self, board: Board) -> None:
        self._board = board
        self._lock = asyncio.Lock()
        self._overview: Overview | None = None
        self._kept: dict[tuple[Kind, Language], bytes] = {}

    async def export(self, request: Request) -> Response:
        """The report of the kind that the address ends in. Raises `NotFound` for another."""
        kind = _NAMES.get(request.path_params["form"])
        if kind is None:
            raise NotFound(f"the board can be had as {', '.join(MEDIA)}", code="page-unknown")
        overview = await self._board.overview()
        language = "nl" if kind in _BOTH else spoken(request)
        body = await self._made(kind, overview, language)
        day = overview.moment.astimezone(AMSTERDAM).date().isoformat()
        headers = {
            **PRIVATE,
            "Content-Security-Policy": "default-src 'none'; style-src 'unsafe-inline'; sandbox",
            "Content-Disposition": f'attachment; filename="roadmap-{day}.{kind}"',
        }
        if kind not in _BOTH:
            headers["Content-Language"] = language
        return Response(body, headers=headers, media_type=MEDIA[kind])

    async def _made(self, kind: Kind, overview: Overview, language: Language) -> bytes:
        async with self._lock:
            if self._overview is not overview:
                self._overview, self._kept = overview, {}
            body = self._kept.get((kind, language))
            if body is None:
                source = of_board(self._board.region, overview)
                body = await asyncio.to_thread(make, kind, source, language)
                self._kept[kind, language] = body
            return body
