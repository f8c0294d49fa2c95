"""The forms about declarations, on the page of an item at an organisation: declare, be the second reader, take back.

Who may open the door, `rights` says; which of the three somebody may do is asked here once more.
"""

from __future__ import annotations

from starlette.requests import Request
from starlette.responses import Response

from schakel.http.portal.board import BoardPages, item_of
from schakel.http.portal.frame import Frame
from schakel.http.portal.visitors import Form
from schakel.kernel.outcomes import Invalid, NotFound
from schakel.portal.declaring import FIELDS, statement
from schakel.portal.filled import Filled
from schakel.portal.people import Visitor
from schakel.roadmap.board import Board
from schakel.roadmap.evidence import Declaration
from schakel.roadmap.model import Item


class DeclaringForms:
    """Takes the forms for `board`; `pages` shows again what was not right."""

    def __init__(self, frame: Frame, board: Board, pages: BoardPages) -> None:
        self._frame = frame
        self._board = board
        self._pages = pages

    async def send(self, request: Request) -> Response:
        """One of the forms: `action` says which. Raises `Invalid`, `Forbidden`, `Conflict` and `NotFound`."""
        item = item_of(request, await self._board.roadmap())
        form = await self._frame.visitors.form(request)
        match form.get("action", ""):
            case "declare":
                return await self._declare(request, item, form)
            case "confirm":
                return await self._confirm(request, item, form)
            case "withdraw":
                return await self._withdraw(request, item, form)
        raise Invalid("action is one of declare, confirm, withdraw", expression="action")

    async def _declare(self, request: Request, item: Item, form: Form) -> Response:
        ura = request.path_params["ura"]
        visitor = await self._frame.visitors.one_of(request, ("declarer", "programme"), ura)
        step = form.get("step", "")
        if step not in {one.id for one in item.steps}:
            raise NotFound(f"item {item.id} has no such step", code="step-unknown")
        made, wrong = statement(ura, step, form, await self._board.roadmap())
        if made is None:
            filled = Filled.of({name: form.get(name, "") for name in FIELDS}, wrong)
            return await self._pages.cell(request, {step: filled}, 400)
        said = await self._board.declare(made, name_of(visitor), visitor.subject)
        return self._frame.to(f"/items/{item.id}/{ura}#declaration-{said.id}")

    async def _confirm(self, request: Request, item: Item, form: Form) -> Response:
        ura = request.path_params["ura"]
        visitor = await self._frame.visitors.one_of(request, ("reader", "programme"), ura)
        said = await self._declared(item, ura, form)
        await self._board.confirm(said.id, name_of(visitor), visitor.subject)
        return self._frame.to(f"/items/{item.id}/{ura}#declaration-{said.id}")

    async def _withdraw(self, request: Request, item: Item, form: Form) -> Response:
        ura = request.path_params["ura"]
        visitor = await self._frame.visitors.one_of(request, ("declarer", "programme"), ura)
        said = await self._declared(item, ura, form)
        await self._board.withdraw(said.id, name_of(visitor), visitor.subject)
        return self._frame.to(f"/items/{item.id}/{ura}#declaration-{said.id}")

    async def _declared(self, item: Item, ura: str, form: Form) -> Declaration:
        """The declaration that the form is about, which is one of this item at this organisation: the rights of this
        address are no rights to another. Raises `NotFound`."""
        said = await self._board.declaration(form.get("declaration", ""))
        if said.ura != ura or said.step not in {one.id for one in item.steps}:
            raise NotFound("there is no such declaration here", code="declaration-unknown")
        return said


def name_of(visitor: Visitor) -> str:
    """How somebody is named in what they do."""
    return visitor.name or visitor.subject
