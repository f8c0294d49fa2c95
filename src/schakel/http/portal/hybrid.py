"""The pages on hybrid care: the region, an organisation, a pathway, and the form with which somebody decides whether a
pathway suits hybrid care."""

from __future__ import annotations

from starlette.requests import Request
from starlette.responses import Response

from schakel.http.portal.board import today
from schakel.http.portal.frame import Frame, spoken
from schakel.kernel.outcomes import Invalid, NotFound
from schakel.portal.deciding import FIELDS, typed
from schakel.portal.filled import Filled
from schakel.portal.hybrid import organisation_page, pathway_page, region_page
from schakel.portal.hybrid_course import course, offered
from schakel.portal.hybrid_figures import Counts
from schakel.portal.people import Visitor
from schakel.roadmap.board import Board
from schakel.roadmap.hybrid.counting import Period
from schakel.roadmap.hybrid.deciding import LONGEST_REASON
from schakel.roadmap.hybrid.store import Inventory
from schakel.roadmap.model import Roadmap


class HybridPages:
    """What the portal shows of `inventory`. Who is not logged in sees no number of fewer than `small` people."""

    def __init__(self, frame: Frame, board: Board, inventory: Inventory, small: int) -> None:
        self._frame = frame
        self._board = board
        self._inventory = inventory
        self._small = small

    async def region(self, request: Request) -> Response:
        """The region in a period: its figures against the targets, its organisations, and what is undecided. Raises
        `Invalid`."""
        period = _period(request)
        overview, roadmap = await self._inventory.overview(period), await self._board.roadmap()
        values = {
            "found": region_page(overview, await self._inventory.lists(), roadmap, self._counts(request)),
            **await self._over_time(request, roadmap, period, ""),
        }
        return self._frame.page(request, "portal/hybrid", values)

    async def organisation(self, request: Request) -> Response:
        """The pathways of one organisation in a period. Raises `Invalid` and `NotFound`."""
        period, ura = _period(request), request.path_params["ura"]
        overview, roadmap = await self._inventory.overview(period), await self._board.roadmap()
        values = {
            "found": organisation_page(overview, ura, roadmap, self._counts(request)),
            **await self._over_time(request, roadmap, period, ura),
        }
        return self._frame.page(request, "portal/hybrid_organisation", values)

    async def blocks(self, request: Request) -> Response:
        """One list of building blocks, in force or replaced. Raises `NotFound`."""
        number = request.path_params["number"]
        found = next((one for one in await self._inventory.lists() if one.number == number), None)
        if found is None:
            raise NotFound("there is no such list of building blocks", code="blocks-unknown")
        return self._frame.page(request, "portal/hybrid_blocks", {"found": found})

    async def _over_time(
        self, request: Request, roadmap: Roadmap, period: Period | None, ura: str
    ) -> dict[str, object]:
        """What lets a visitor choose a period, and shows how it went."""
        quarters, language = await self._inventory.course(), spoken(request)
        return {
            "offered": [(value, text.of(language)) for value, text in offered(today())],
            "chosen": period.name if period else "",
            "went": course(quarters, ura, roadmap.kpis, language, self._counts(request)),
        }

    async def pathway(self, request: Request) -> Response:
        """One pathway: its blocks, layers, people and decisions. Raises `NotFound`."""
        return await self._pathway(request, Filled({"decided_on": today().isoformat()}))

    async def _pathway(self, request: Request, form: Filled, status: int = 200) -> Response:
        ura, name = request.path_params["ura"], request.path_params["pathway"]
        overview, roadmap = await self._inventory.overview(), await self._board.roadmap()
        view = overview.pathway(ura, name)
        history = await self._inventory.history(ura, name)
        recorded = await self._inventory.recorded(ura, name)
        visitor = self._frame.visitors.found(request)
        values = {
            "found": pathway_page(overview, view, history, recorded, roadmap, self._counts(request)),
            "may_decide": visitor is not None and _may_decide(visitor, ura),
            "form": form,
            "longest": LONGEST_REASON,
        }
        return self._frame.page(request, "portal/hybrid_pathway", values, status=status)

    async def decide(self, request: Request) -> Response:
        """Writes down whether the pathway suits hybrid care, by whom, when and why; the form comes back with what is
        wrong at its field. Raises `NotFound`."""
        ura, name = request.path_params["ura"], request.path_params["pathway"]
        visitor = await self._frame.visitors.one_of(request, ("declarer", "programme"), ura)
        form = await self._frame.visitors.form(request)
        decision, wrong = typed(form, today())
        if decision is None:
            filled = Filled.of({one: form.get(one, "") for one in FIELDS}, wrong)
            return await self._pathway(request, filled, 400)
        await self._inventory.decide(ura, name, decision, visitor.name or visitor.subject)
        return self._frame.to(f"/hybrid/{ura}/{name}")

    def _counts(self, request: Request) -> Counts:
        return Counts(self._small if self._frame.visitors.found(request) is None else 0)


def _may_decide(visitor: Visitor, ura: str) -> bool:
    return visitor.may("declarer", ura) or visitor.may("programme")


def _period(request: Request) -> Period | None:
    """The period in the address; None for the year until today. Raises `Invalid` for one that is not offered: for each
    everybody is counted anew, and anybody may ask."""
    asked = request.query_params.get("period", "")
    if asked and asked not in dict(offered(today())):
        raise Invalid("this period is not one of those offered", code="period-unknown", expression="period")
    return Period.of(asked) if asked else None
