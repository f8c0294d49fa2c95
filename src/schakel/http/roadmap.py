"""The board of the roadmap at the organisation's own door: runs come in, versions of the roadmap come in, and where
everybody stands goes out.

An organisation may say what was found about itself. Only a keeper of the board (setting `roadmap.keepers`) writes about
others, and says which roadmap is in force. Nothing here is about a patient.
"""

from __future__ import annotations

import asyncio
from typing import Any

from starlette.requests import Request
from starlette.responses import Response

from schakel.fhir.search import pairs_of
from schakel.http.node import Node, OrganisationServices
from schakel.http.reading import as_json, read_limited
from schakel.kernel.clock import instant
from schakel.kernel.outcomes import Forbidden, Invalid, NotFound
from schakel.roadmap import shown, wire
from schakel.roadmap.board import Board
from schakel.roadmap.evidence import Run

_MOST_RUNS = 1000


class RoadmapRoutes:
    """Handlers of the board."""

    def __init__(self, node: Node) -> None:
        self._node = node

    async def runs(self, request: Request) -> Response:
        """The last runs (GET, `count` of them), or a run that was made elsewhere (POST, in the form that
        `schakel roadmap run` writes). An organisation that is no keeper may be in it alone, and so is a keeper that
        speaks for itself (`about=self`). Sent twice, it counts once."""
        organisation, board = self._opened(request)
        if request.method == "GET":
            found = await board.runs(_count(request))
            return as_json({"runs": [shown.run_json(one) for one in found]})
        body = await read_limited(request, self._node.max_body, "limits.body")
        run = await asyncio.to_thread(wire.read, body, board.limits)
        keeper = organisation.slug in board.keepers
        about = _parameters(request, "about").get("about", "region" if keeper else "self")
        if about not in ("region", "self"):
            raise Invalid("about is region or self", expression="about")
        if not keeper or about == "self":
            _about_itself(organisation, run)
        elif board.region and run.region != board.region:
            raise Invalid(
                f"the run is of the region {run.region[:60]!r}, and this board is of {board.region!r} (setting "
                "roadmap.region): it would say who are in the region",
                code="run-of-another-region",
                expression="region",
            )
        added = await board.add(run, sender=organisation.name, whole=keeper and about == "region")
        return as_json({"id": run.id, "added": added}, 201 if added else 200)

    async def versions(self, request: Request) -> Response:
        """The versions of the roadmap that were imported (GET), or a new one (POST, for keepers), which is in force
        from then on; the answer says what it changes."""
        organisation, board = self._opened(request)
        if request.method == "GET":
            found = await board.versions()
            return as_json(
                {"versions": [{"version": one.version, "by": one.by, "at": instant(one.at)} for one in found]}
            )
        if organisation.slug not in board.keepers:
            raise Forbidden(
                "which roadmap is in force is for the keepers of the board to say (setting roadmap.keepers)",
                code="no-keeper",
            )
        body = await read_limited(request, board.file.size, "roadmap.file_bytes")
        changes = await board.import_roadmap(body, organisation.name)
        return as_json(
            {
                "version": changes.version,
                "before": changes.before,
                "changes": [
                    {
                        "kind": one.kind,
                        "item": one.item or None,
                        "words": {"nl": one.words.nl, "en": one.words.en},
                    }
                    for one in changes.differences
                ],
            }
        )

    async def board(self, request: Request) -> Response:
        """Where every organisation of the region stands on each item, with the reason; with `format=csv` as a table."""
        _, board = self._opened(request)
        form = _parameters(request, "format").get("format", "json")
        if form not in ("json", "csv"):
            raise Invalid("format is json or csv", expression="format")
        overview = await board.overview()
        if form == "json":
            return as_json({"region": board.region, **shown.as_json(overview)})
        headers = {
            "Cache-Control": "no-store",
            "Content-Disposition": 'attachment; filename="roadmap.csv"',
        }
        return Response(shown.as_csv(overview), 200, headers, "text/csv; charset=utf-8")

    def _opened(self, request: Request) -> tuple[OrganisationServices, Board]:
        """Who knocks, and the board. Raises `NotFound` when this node keeps none."""
        organisation = self._node.own(request)
        if self._node.board is None:
            raise NotFound(
                "this node keeps no board of a region (setting roadmap.keepers)", code="board-unknown"
            )
        return organisation, self._node.board


def _about_itself(organisation: OrganisationServices, run: Run) -> None:
    """Raises `Forbidden` when a run is about another organisation than the one that sends it."""
    for place, ura in (
        *((f"members[{number}]", one.ura) for number, one in enumerate(run.members)),
        *((f"measured[{number}]", one.ura) for number, one in enumerate(run.measured)),
    ):
        if ura != organisation.ura:
            raise Forbidden(
                f"{place} is about organisation {ura}: {organisation.name} ({organisation.ura}) speaks for itself, as "
                "one does that is no keeper of the board (setting roadmap.keepers)",
                code="no-keeper",
                expression=place,
            )


def _parameters(request: Request, *known: str) -> dict[str, str]:
    pairs: dict[str, Any] = dict(pairs_of(request.url.query))
    if unknown := sorted(set(pairs) - set(known)):
        raise Invalid(
            f"unknown parameter {unknown[0][:40]!r}; known is {', '.join(known)}", expression=unknown[0][:40]
        )
    return pairs


def _count(request: Request) -> int:
    text = _parameters(request, "count").get("count", "50")
    if not (text.isascii() and text.isdigit() and len(text) < 5 and 1 <= int(text) <= _MOST_RUNS):
        raise Invalid(f"count is a number from 1 to {_MOST_RUNS}", expression="count")
    return int(text)
