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
        """What was decided and on what: the object as it was stored last, or with `event`."""
        organisation = self._node.own(request)
        decision = request.path_params["id"]
        stored = await organisation.log.decision(decision, request.query_params.get("event"))
        patient = str(orjson.loads(stored)["patient"])
        await organisation.log_own_reading("log", f"decisions/{decision}", patient)
        return Response(stored, media_type="application/json", headers={"Cache-Control": "no-store"})

    async def policy(self, request: Request) -> Response:
        """The text of a policy that decided, by its digest.

        To the byte what the digest was made of, so that it can be made again."""
        organisation = self._node.own(request)
        digest = request.path_params["digest"]
        text = await organisation.log.policy(digest)
        await organisation.log_own_reading("log", f"policies/{digest}")
        return Response(text, media_type="application/json", headers={"Cache-Control": "no-store"})
