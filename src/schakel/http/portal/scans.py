"""The page for self-scans: a file is shown first, with all that is wrong with it, and then imported as a whole."""

from __future__ import annotations

import asyncio

from starlette.requests import Request
from starlette.responses import Response

from schakel.http.portal.board import today
from schakel.http.portal.declaring import name_of
from schakel.http.portal.frame import Frame
from schakel.kernel.outcomes import Invalid, TooLarge
from schakel.portal.declaring import CLAIMS
from schakel.portal.pages import PRIVATE
from schakel.portal.people import Visitor
from schakel.portal.scans import COLUMNS, NEEDED, Scan, example, scan
from schakel.roadmap.board import Board

_EXAMPLE_URA = "90000001"
"""Fictional; for a region without organisations."""


class ScanPages:
    """Takes self-scans for `board`."""

    def __init__(self, frame: Frame, board: Board) -> None:
        self._frame = frame
        self._board = board

    async def page(self, request: Request) -> Response:
        """What a self-scan is, the form, and how many declarations were just imported."""
        done = request.query_params.get("done", "")
        imported = int(done) if done.isascii() and done.isdigit() and len(done) < 7 else 0
        return self._shown(request, imported=imported)

    async def send(self, request: Request) -> Response:
        """Shows what is in a file, or imports what was shown. Raises `Forbidden`."""
        visitor = await self._frame.visitors.one_of(request, ("declarer", "programme"))
        form = await self._frame.visitors.form(request)
        body = form.file.body if form.file else form.get("scan", "").encode()
        try:
            found = await self._read(body, visitor)
        except (Invalid, TooLarge) as error:
            return self._shown(request, unread=error.message, status=error.status)
        if found.wrong or form.get("action") != "import":
            return self._shown(request, found=found, status=400 if found.wrong else 200)
        await self._board.declare_all(found.statements, name_of(visitor), visitor.subject, from_file=True)
        return self._frame.to(f"/scans?done={found.rows}")

    async def example(self, request: Request) -> Response:
        """A file to begin with."""
        members = await self._board.members()
        ura = min((one.ura for one in members), default=_EXAMPLE_URA)
        headers = {**PRIVATE, "Content-Disposition": 'attachment; filename="self-scan.csv"'}
        body = example(await self._board.roadmap(), ura, today())
        return Response(body, headers=headers, media_type="text/csv; charset=utf-8")

    async def _read(self, body: bytes, visitor: Visitor) -> Scan:
        roadmap, members = await self._board.roadmap(), await self._board.members()

        def may(ura: str) -> bool:
            return visitor.may("declarer", ura) or visitor.may("programme")

        most = self._frame.visitors.door.scan_rows
        return await asyncio.to_thread(scan, body, roadmap, members, may, most)

    def _shown(
        self,
        request: Request,
        *,
        found: Scan | None = None,
        unread: str = "",
        imported: int = 0,
        status: int = 200,
    ) -> Response:
        visitor = self._frame.visitors.found(request)
        values = {
            "found": found,
            "unread": unread,
            "imported": imported,
            "may_send": visitor is not None and (visitor.may("declarer") or visitor.may("programme")),
            "claims": CLAIMS,
            "columns": COLUMNS,
            "needed": NEEDED,
        }
        return self._frame.page(request, "portal/scans", values, status=status)
