"""How an organisation stands, at its own door, and what it depends on: without a word on any patient."""

from __future__ import annotations

import asyncio
from typing import Any

from starlette.requests import Request
from starlette.responses import Response

from schakel.facilities import Life, life
from schakel.http.node import Node
from schakel.http.reading import as_json
from schakel.kernel.clock import instant
from schakel.kernel.outcomes import Busy, NotFound

_SHOWN = 20
"""Findings that are told."""


class Standing:
    """Handlers of how registrations, the log and the facilities stand."""

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

    async def facilities(self, request: Request) -> Response:
        """Whether the facilities answer that this organisation depends on: for localisation, for consent, and the
        directories that are followed here.

        Facilities are asked now, without a word on any patient; of a directory it is told how the last attempt to
        follow it went. `answered` is when each last gave an answer, as far as it is known here.
        """
        organisation = self._node.own(request)
        parts = {name: life(them) for name, them in organisation.facilities.items()}
        found = dict(zip(parts, await asyncio.gather(*parts.values()), strict=True))
        followed = self._node.directory.query if self._node.directory else None
        found["addressing"] = await followed.life(organisation.ura) if followed else ()
        return as_json({name: [_life(one) for one in lives] for name, lives in found.items()})

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


def _life(one: Life) -> dict[str, Any]:
    return {
        "id": one.id,
        "answers": not one.away,
        "away": one.away or None,
        "answered": instant(one.answered) if one.answered else None,
    }
