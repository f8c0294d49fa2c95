"""The inventory of hybrid care at the organisation's own door: its pathways and the people in them come in as files,
and what follows from them goes out.

An organisation writes and reads about itself; a keeper of the board (setting `roadmap.keepers`) about every member of
the region, and it alone gives the list of building blocks. People come as pseudonyms of the region, or by a BSN that
is turned into one at once and not kept.
"""

from __future__ import annotations

from starlette.requests import Request
from starlette.responses import Response

from schakel.fhir.search import pairs_of
from schakel.http.node import Node, OrganisationServices
from schakel.http.reading import as_json, read_limited
from schakel.kernel.outcomes import Forbidden, Invalid, NotFound, naming
from schakel.kernel.values import Ura
from schakel.roadmap.board import Board
from schakel.roadmap.hybrid import shown
from schakel.roadmap.hybrid.counting import Period
from schakel.roadmap.hybrid.store import Inventory, today


class HybridRoutes:
    """Handlers of the inventory."""

    def __init__(self, node: Node) -> None:
        self._node = node

    async def inventory(self, request: Request) -> Response:
        """The pathways of the organisation, whether each is hybrid and why, who takes part, and the KPIs with what they
        are made of; for a keeper those of every organisation, and of the region."""
        organisation, board, inventory = self._opened(request)
        _parameters(request)
        overview, roadmap = await inventory.overview(), await board.roadmap()
        uras = None if organisation.slug in board.keepers else [organisation.ura]
        return as_json(shown.as_json(overview, roadmap.kpis, uras))

    async def pathways(self, request: Request) -> Response:
        """Takes in a file of pathways (CSV or JSON), all of it or nothing: new ones, and those that are there by their
        id. `population` is how many patients the organisation has; `ura` names another organisation (for keepers)."""
        organisation, board, inventory = self._opened(request)
        asked = _parameters(request, "population", "ura")
        ura, name = await _about(organisation, board, asked.get("ura", ""))
        population = _number(asked["population"]) if "population" in asked else None
        body = await read_limited(request, self._node.max_body, "limits.body")
        taken = await inventory.add_pathways(body, ura, name, organisation.name, population)
        return as_json({"pathways": taken.rows, "decisions": taken.decisions})

    async def remove(self, request: Request) -> Response:
        """Takes a pathway away, and the people in it; what was decided about it stays. `ura` as with pathways."""
        organisation, board, inventory = self._opened(request)
        ura, _ = await _about(organisation, board, _parameters(request, "ura").get("ura", ""))
        await inventory.remove(ura, request.path_params["pathway"])
        return Response(status_code=204)

    async def people(self, request: Request) -> Response:
        """Takes in a file of people (CSV or JSON), all of it or nothing: they replace those that an earlier file had of
        each pathway that this one names. `ura` as with pathways.

        With `counted` (a year) and `pathway` it is whom the organisation's own record has of that pathway in that year,
        maybe nobody: they replace those of an earlier count, and what a file had stays."""
        organisation, board, inventory = self._opened(request)
        asked = _parameters(request, "ura", "counted", "pathway")
        ura, _ = await _about(organisation, board, asked.get("ura", ""))
        if ("counted" in asked) != ("pathway" in asked):
            raise Invalid("counted and pathway go together", expression="counted")
        body = await read_limited(request, self._node.max_body, "limits.body")
        if "counted" in asked:
            year = _year(asked["counted"])
            counted = await inventory.replace_count(body, ura, asked["pathway"], year, organisation.name)
            return as_json({"people": counted.people, "by_hand": counted.by_hand})
        taken = await inventory.replace_people(body, ura)
        return as_json({"people": taken.rows})

    async def blocks(self, request: Request) -> Response:
        """The list of building blocks (GET), or another in its place (POST, for keepers)."""
        organisation, board, inventory = self._opened(request)
        _parameters(request)
        if request.method == "GET":
            return as_json(shown.blocks_json((await inventory.lists())[0].blocks))
        if organisation.slug not in board.keepers:
            raise Forbidden(
                "which building blocks there are is for the keepers of the board to say (setting roadmap.keepers)",
                code="no-keeper",
            )
        body = await read_limited(request, self._node.max_body, "limits.body")
        return as_json(shown.blocks_json(await inventory.import_blocks(body, organisation.name)))

    async def block_lists(self, request: Request) -> Response:
        """Every list of building blocks that was in force, the present one first: who brought it, from when to when,
        and what is in it."""
        _, _, inventory = self._opened(request)
        _parameters(request)
        return as_json({"lists": [shown.block_list_json(one) for one in await inventory.lists()]})

    def _opened(self, request: Request) -> tuple[OrganisationServices, Board, Inventory]:
        """Who knocks, the board and the inventory. Raises `NotFound` when this node keeps none."""
        organisation = self._node.own(request)
        if self._node.board is None or self._node.inventory is None:
            raise NotFound(
                "this node keeps no board of a region (setting roadmap.keepers)", code="board-unknown"
            )
        return organisation, self._node.board, self._node.inventory


async def _about(organisation: OrganisationServices, board: Board, ura: str) -> tuple[str, str]:
    """Number and name of the organisation that a request is about. Raises `Forbidden` for another than oneself, and
    `Invalid` when the region has no such member."""
    with naming("ura"):
        number = str(Ura(ura)) if ura else organisation.ura
    if number == organisation.ura:
        return organisation.ura, organisation.name
    if organisation.slug not in board.keepers:
        raise Forbidden(
            f"ura {number}: {organisation.name} ({organisation.ura}) is no keeper of the board (setting "
            "roadmap.keepers) and may only write about itself",
            code="no-keeper",
            expression="ura",
        )
    member = (await board.overview()).member(number)
    if member is None:
        raise Invalid(
            f"ura {number} is no member of the region: send a run that has it first", expression="ura"
        )
    return number, member.name


def _parameters(request: Request, *known: str) -> dict[str, str]:
    pairs = pairs_of(request.url.query)
    found = dict(pairs)
    if unknown := sorted(set(found) - set(known)):
        name = unknown[0][:40]
        raise Invalid(f"unknown parameter {name!r}; known are {', '.join(known) or 'none'}", expression=name)
    if len(found) < len(pairs):
        raise Invalid("a parameter is given twice")
    return found


def _year(text: str) -> str:
    with naming("counted"):
        if "-" in text or Period.of(text).start > today():
            raise Invalid("it is a year, such as 2026, that has begun")
    return text


def _number(text: str) -> int:
    if not (text.isascii() and text.isdigit() and len(text) < 10):
        raise Invalid("population is a number of patients", expression="population")
    return int(text)
