"""The pages of the work agenda: all of it, one action with its past and its form, and the plan of a year."""

from __future__ import annotations

from starlette.requests import Request
from starlette.responses import Response

from schakel.http.portal.board import today
from schakel.http.portal.declaring import name_of
from schakel.http.portal.frame import Frame
from schakel.kernel.outcomes import Conflict, NotFound
from schakel.portal.agenda import PROGRESS, action, agenda, row, typed
from schakel.portal.filled import FAULTS, Filled
from schakel.portal.plan import FIRST, LAST, plan
from schakel.roadmap.board import Action, Board


class AgendaPages:
    """What the portal shows of the work agenda on `board`, and its forms."""

    def __init__(self, frame: Frame, board: Board) -> None:
        self._frame = frame
        self._board = board

    async def page(self, request: Request) -> Response:
        """The work agenda, narrowed by what the address asks."""
        overview, actions = await self._board.overview(), await self._board.actions()
        found = agenda(overview, actions, request.query_params.multi_items(), today())
        values = {"found": found, "stages": PROGRESS, "may_write": self._may_write(request)}
        return self._frame.page(request, "portal/agenda", values)

    async def year(self, request: Request) -> Response:
        """The plan of a year. Raises `NotFound` for what is no year."""
        asked = request.path_params["year"]
        if not (asked.isascii() and asked.isdigit() and len(asked) == 4 and FIRST <= int(asked) <= LAST):
            raise NotFound(f"a year is one from {FIRST} to {LAST}", code="year-unknown")
        overview, actions = await self._board.overview(), await self._board.actions()
        values = {"found": plan(overview, actions, int(asked), today()), "stages": PROGRESS}
        return self._frame.page(request, "portal/plan", values)

    async def new(self, request: Request) -> Response:
        """The form for a new action, about the item or step in the address."""
        about = {
            name: request.query_params.get(name, "")
            for name in ("step", "ura")
            if request.query_params.get(name)
        }
        return await self._form(request, None, Filled({"progress": "planned", **about}))

    async def one(self, request: Request) -> Response:
        """One action: how it stands, all that it was, and its form. Raises `NotFound`."""
        past = await self._board.action_history(request.path_params["id"])
        return await self._form(request, past, Filled(typed(past[0])))

    async def write(self, request: Request) -> Response:
        """Writes a new action, or changes one; the form comes back when someone else came between. Raises
        `NotFound`."""
        visitor = await self._frame.visitors.required(request, "programme")
        form = await self._frame.visitors.form(request)
        known = request.path_params.get("id", "")
        past = await self._board.action_history(known) if known else None
        roadmap, members = await self._board.roadmap(), await self._board.members()
        made, wrong = action(form, roadmap, members, past[0] if past else None)
        if made is None:
            return await self._form(request, past, Filled.of(form, wrong), 400)
        try:
            written = await self._board.write_action(made, name_of(visitor), visitor.subject)
        except Conflict as error:
            past = await self._board.action_history(known)
            filled = Filled({**form, "change": str(past[0].change)}, {"form": FAULTS[error.kind]})
            return await self._form(request, past, filled, error.status)
        return self._frame.to(f"/agenda/actions/{written.id}")

    async def _form(
        self, request: Request, past: tuple[Action, ...] | None, filled: Filled, status: int = 200
    ) -> Response:
        overview = await self._board.overview()
        values = {
            "row": row(overview, past[0], today()) if past else None,
            "past": [row(overview, one, today()) for one in past or ()],
            "form": filled,
            "roadmap": overview.roadmap,
            "members": overview.members,
            "stages": PROGRESS,
            "may_write": self._may_write(request),
        }
        return self._frame.page(request, "portal/action", values, status=status)

    def _may_write(self, request: Request) -> bool:
        visitor = self._frame.visitors.found(request)
        return visitor is not None and visitor.may("programme")
