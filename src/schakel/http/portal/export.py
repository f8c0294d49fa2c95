"""The board written down: `/portal/export.html`, `.pdf`, `.xlsx`, `.csv` and `.json`, to keep, send and print.

A report has what the page of the region shows with the same filters in its address. It is made in a thread, one at a
time, and kept until the board changes: who asks for the same gets the same.
"""

from __future__ import annotations

import asyncio
from collections import OrderedDict
from dataclasses import dataclass

from starlette.requests import Request
from starlette.responses import Response

from schakel.http.portal.frame import Frame, spoken
from schakel.kernel.clock import AMSTERDAM
from schakel.kernel.outcomes import Busy, Invalid, NotFound
from schakel.portal.filters import Choices, Filters, choices, narrowed, read, told
from schakel.portal.pages import PRIVATE
from schakel.roadmap.board import Board
from schakel.roadmap.model import Language
from schakel.roadmap.overview import Overview
from schakel.roadmap.report import MEDIA, Kind, make, of_board

_NAMES: dict[str, Kind] = {kind: kind for kind in MEDIA}
_BOTH: frozenset[Kind] = frozenset({"csv", "json"})
"""Reports that are in both languages at once."""
_KEPT = 20
"""Reports that are kept; with filters there are more of them than one would want to hold."""
_WAITING = 8
"""Requests that may wait for a report at once."""


@dataclass(frozen=True, slots=True)
class _Wanted:
    """A report; `details` are the organisations (URA) of which it tells what was seen on the wire."""

    kind: Kind
    language: Language
    filters: Filters
    details: frozenset[str]


class Exports:
    """Reports of `board`."""

    def __init__(self, frame: Frame, board: Board) -> None:
        self._visitors = frame.visitors
        self._board = board
        self._lock = asyncio.Lock()
        self._waiting = 0
        self._overview: Overview | None = None
        self._kept: OrderedDict[_Wanted, bytes] = OrderedDict()

    async def export(self, request: Request) -> Response:
        """The report of the kind that the address ends in. Raises `NotFound` for another, `Invalid` for a filter that
        is no choice, and `Busy` when too many wait for one."""
        kind = _NAMES.get(request.path_params["form"])
        if kind is None:
            raise NotFound(f"the board can be had as {', '.join(MEDIA)}", code="page-unknown")
        overview = await self._board.overview()
        offered = choices(overview.roadmap, overview.members)
        filters = read(request.query_params.multi_items(), offered)
        for name, value in filters.ignored:
            raise Invalid(
                f"{name} has no choice {value!r}: choose on the page of the region, or leave it out",
                code="filter-unknown",
                expression=name,
            )
        language = "nl" if kind in _BOTH else spoken(request)
        wanted = _Wanted(kind, language, filters, self._details(request, overview, kind))
        body = await self._made(wanted, overview, offered)
        day = overview.moment.astimezone(AMSTERDAM).date().isoformat()
        headers = {
            **PRIVATE,
            "Content-Security-Policy": "default-src 'none'; style-src 'unsafe-inline'; sandbox",
            "Content-Disposition": f'attachment; filename="roadmap-{day}.{kind}"',
        }
        if kind not in _BOTH:
            headers["Content-Language"] = language
        return Response(body, headers=headers, media_type=MEDIA[kind])

    def _details(self, request: Request, overview: Overview, kind: Kind) -> frozenset[str]:
        """The organisations of which this visitor is told what was seen on the wire; the workbook alone has that."""
        visitor = self._visitors.found(request)
        if visitor is None or kind != "xlsx":
            return frozenset()
        return frozenset(one.ura for one in overview.members if visitor.sees_details(one.ura))

    async def _made(self, wanted: _Wanted, overview: Overview, offered: Choices) -> bytes:
        if self._waiting >= _WAITING:
            raise Busy("many reports are being made; ask again in a moment", code="reports-busy")
        self._waiting += 1
        try:
            async with self._lock:
                if self._overview is not overview:
                    self._overview, self._kept = overview, OrderedDict()
                body = self._kept.get(wanted)
                if body is None:
                    source = of_board(
                        self._board.region,
                        narrowed(overview, wanted.filters),
                        narrowed=told(wanted.filters, offered),
                        details=wanted.details,
                    )
                    body = await asyncio.to_thread(make, wanted.kind, source, wanted.language)
                    self._kept[wanted] = body
                    if len(self._kept) > _KEPT:
                        self._kept.popitem(last=False)
                self._kept.move_to_end(wanted)
                return body
        finally:
            self._waiting -= 1
