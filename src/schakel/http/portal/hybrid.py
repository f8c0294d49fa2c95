"""The pages on hybrid care: the region, an organisation, a pathway, and the form with which somebody decides whether a
pathway suits hybrid care."""

from __future__ import annotations

from contextlib import suppress
from datetime import date

from starlette.requests import Request
from starlette.responses import Response

from schakel.http.portal.board import today
from schakel.http.portal.frame import Frame
from schakel.kernel.outcomes import Invalid
from schakel.portal.hybrid import Counts, organisation_page, pathway_page, region_page
from schakel.portal.people import Visitor
from schakel.roadmap.board import Board
from schakel.roadmap.hybrid.model import SUITABILITIES, Decision
from schakel.roadmap.hybrid.store import LONGEST_REASON, Inventory


class HybridPages:
    """What the portal shows of `inventory`. Who is not logged in sees no number of fewer than `small` people."""

    def __init__(self, frame: Frame, board: Board, inventory: Inventory, small: int) -> None:
        self._frame = frame
        self._board = board
        self._inventory = inventory
        self._small = small

    async def region(self, request: Request) -> Response:
        """The region: its figures against the targets, its organisations, and what is undecided."""
        overview, roadmap = await self._inventory.overview(), await self._board.roadmap()
        found = region_page(overview, roadmap, self._counts(request))
        return self._frame.page(request, "portal/hybrid", {"found": found})

    async def organisation(self, request: Request) -> Response:
        """The pathways of one organisation. Raises `NotFound`."""
        overview, roadmap = await self._inventory.overview(), await self._board.roadmap()
        found = organisation_page(overview, request.path_params["ura"], roadmap, self._counts(request))
        return self._frame.page(request, "portal/hybrid_organisation", {"found": found})

    async def pathway(self, request: Request) -> Response:
        """One pathway: its blocks, layers, people and decisions. Raises `NotFound`."""
        ura, name = request.path_params["ura"], request.path_params["pathway"]
        overview, roadmap = await self._inventory.overview(), await self._board.roadmap()
        view = overview.pathway(ura, name)
        history = await self._inventory.history(ura, name)
        visitor = self._frame.visitors.found(request)
        values = {
            "found": pathway_page(overview, view, history, roadmap, self._counts(request)),
            "may_decide": visitor is not None and _may_decide(visitor, ura),
            "today": today().isoformat(),
            "longest": LONGEST_REASON,
        }
        return self._frame.page(request, "portal/hybrid_pathway", values)

    async def decide(self, request: Request) -> Response:
        """Writes down whether the pathway suits hybrid care, by whom, when and why. Raises `Invalid` naming the field
        and `NotFound`."""
        ura, name = request.path_params["ura"], request.path_params["pathway"]
        visitor = await self._frame.visitors.one_of(request, ("declarer", "programme"), ura)
        form = await self._frame.visitors.form(request)
        asked = form.get("suitability", "")
        suitability = next((one for one in SUITABILITIES if one == asked), None)
        if suitability is None:
            raise Invalid(f"suitability is one of {', '.join(SUITABILITIES)}", expression="suitability")
        decision = Decision(
            suitability, form.get("decided_by", ""), _day(form.get("decided_on", "")), form.get("reason", "")
        )
        await self._inventory.decide(ura, name, decision, visitor.name or visitor.subject)
        return self._frame.to(f"/hybrid/{ura}/{name}")

    def _counts(self, request: Request) -> Counts:
        return Counts(self._small if self._frame.visitors.found(request) is None else 0)


def _may_decide(visitor: Visitor, ura: str) -> bool:
    return visitor.may("declarer", ura) or visitor.may("programme")


def _day(text: str) -> date:
    with suppress(ValueError):
        return date.fromisoformat(text)
    raise Invalid("decided_on is a date, such as 2026-01-31", expression="decided_on")
