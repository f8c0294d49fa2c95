"""Stored decisions of the guarded door and the policies they were made with, for the holder; readings are logged."""

from __future__ import annotations

import orjson
from starlette.requests import Request
from starlette.responses import Response

from schakel.http.node import Node


class Decisions:
    """Handlers of stored decisions, on the internal listener."""

    def __init__(self, node: Node) -> None:
        self._node = node

    async def decision(self, request: Request) -> Response:
        """What was decided and on what: the object as it was stored."""
        organisation = self._node.own(request)
        decision = request.path_params["id"]
        stored = await organisation.log.decision(decision)
        patient = str(orjson.loads(stored)["patient"])
        await organisation.log_own_reading("log", f"decisions/{decision}", patient)
        return Response(stored, media_type="application/json", headers={"Cache-Control": "no-store"})

    async def policy(self, request: Request) -> Response:
        """The text of a policy that decided, by its digest."""
        organisation = self._node.own(request)
        text = await organisation.log.policy(request.path_params["digest"])
        return Response(text, media_type="text/plain; charset=utf-8")
