"""How an organisation stands, at its own door: in numbers, without a word on any patient."""

from __future__ import annotations

import asyncio
from typing import Any

from starlette.requests import Request
from starlette.responses import Response

from schakel.http.node import Node
from schakel.http.reading import as_json
from schakel.kernel.clock import instant
from schakel.kernel.outcomes import Busy, NotFound

_SHOWN = 20
"""Findings that are told."""


class Standing:
    """Handlers of how registrations and the log stand."""

    def __init__(self, node: Node) -> None:
        self._node = node
        self._verifying: dict[str, asyncio.Lock] = {}

    async def registrations(self, request: Request) -> Response:
        """How the registrations at the national index stand: numbers by state, what waits and what failed."""
        organisation = self._node.own(request)
        if (registrations := organisation.registrations) is None:
            raise NotFound("this node does not ask the national index (setting nvi.base)", code="nvi-off")
        found = await registrations.status()
        return as_json(
            {
                "categories": registrations.categories,
                "states": dict(found.states),
                "due": found.due,
                "failing": found.failing,
                "without_bsn": found.without_bsn,
            }
        )

    async def log_verification(self, request: Request) -> Response:
        """The log against its seals, all of it: how many are as they were sealed, and what is not.

        One at a time for an organisation, for the whole log is read. The verification is logged first.
        """
        organisation = self._node.own(request)
        if (verify := organisation.verify_log) is None:
            raise NotFound("this node does not seal its log", code="seals-off")
        lock = self._verifying.setdefault(organisation.slug, asyncio.Lock())
        if lock.locked():
            raise Busy("the log of this organisation is being verified now: try again later")
        async with lock:
            await organisation.log_own_reading("log", "log/verification")
            found = await verify()
        told: dict[str, Any] = {
            "seals": found.seals,
            "events": found.events,
            "removed": found.removed,
            "unsealed": len(found.unsealed),
            "last": instant(found.last) if found.last else None,
            "findings": len(found.findings),
            "told": [str(one) for one in found.findings[:_SHOWN]],
        }
        return as_json(told)
