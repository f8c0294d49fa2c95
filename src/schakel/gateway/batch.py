"""A batch at the guarded door: as many requests as it has entries, each with its own decision.

One entry that is refused says nothing of the others and hides none of them. The decision of an entry stands in its
link `decision`. A transaction has one decision as a whole (`delivery`); inside a batch there is none.

Source: FHIR http.html, batch (STU3, R4).
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Mapping
from dataclasses import replace
from typing import Any

from schakel.fhir.json import Resource
from schakel.gateway.emergency import HEADER
from schakel.gateway.parts import DECISION
from schakel.kernel.outcomes import Invalid, NotSupported, Outcome, TooCostly, Unprocessable
from schakel.server import Answer, FhirService, Request, answer
from schakel.server.bodies import read_body
from schakel.server.entries import entry_of, request_of
from schakel.server.transaction import entry_at, located

_AT_ONCE = 3
"""Entries of one batch that are under way; a node has more database connections than these."""


def read_bundle(service: FhirService, request: Request, most: int) -> Resource:
    """The batch or transaction in a request, of at most `most` entries. Raises `Invalid`, `NotSupported`, `TooCostly`,
    `Unprocessable` and `UnsupportedMedia` for what is neither."""
    bundle = read_body(request, service.rules.max_depth)
    if bundle.get("resourceType") != "Bundle":
        raise Invalid("the FHIR base takes a Bundle of type batch or transaction", expression="resourceType")
    kind = bundle.get("type")
    if kind not in ("batch", "transaction"):
        raise NotSupported("at this door a Bundle is a batch or a transaction", expression="Bundle.type")
    entries = bundle.get("entry", [])
    if not isinstance(entries, list) or not all(isinstance(e, dict) for e in entries):
        raise Unprocessable("Bundle.entry must be a list of entries", expression="Bundle.entry")
    if len(entries) > most:
        raise TooCostly(
            f"a {kind} may have {most} entries at this door (setting limits.guarded_entries)",
            expression="Bundle.entry",
        )
    return bundle


class Batch:
    """The entries of a batch. Raises `Unprocessable` for what is no Bundle."""

    def __init__(self, service: FhirService, request: Request, bundle: Resource, base: str) -> None:
        self._version = request.version
        self._base = base
        self._headers = {n: v for n, v in request.headers.items() if n == HEADER.lower()}
        service.checked(self._version, {name: value for name, value in bundle.items() if name != "entry"})
        self._entries: list[dict[str, Any]] = bundle.get("entry", [])

    async def answer(self, one: Callable[[Request], Awaitable[Answer]]) -> Answer:
        """The answer to the batch; `one` answers each entry as the request it is."""
        out: list[dict[str, Any]] = [{} for _ in self._entries]
        waiting = iter(range(len(self._entries)))

        async def work() -> None:
            for place in waiting:
                out[place] = await self._entry(place, one)

        async with asyncio.TaskGroup() as group:
            for _ in range(min(_AT_ONCE, len(out))):
                group.create_task(work())
        return Answer(200, answer.bundle("batch-response", out, self._base))

    async def _entry(self, place: int, one: Callable[[Request], Awaitable[Answer]]) -> dict[str, Any]:
        entry = self._entries[place]
        asked = entry.get("request")
        method = str(asked.get("method")) if isinstance(asked, dict) else ""
        headers: Mapping[str, str]
        try:
            request = request_of(self._version, self._base, entry, "")
            if request.method == "POST" and not request.path:
                raise NotSupported("a Bundle inside a batch is not supported", expression="request")
            given = await one(replace(request, headers={**request.headers, **self._headers}))
            headers = given.headers
        except Outcome as outcome:
            headers = outcome.headers
            given = answer.refusal(located(outcome, entry_at(place)), self._version)
        told = entry_of(self._version, self._base, method, given)
        if decision := headers.get(DECISION):
            told = {"link": [{"relation": "decision", "url": f"urn:uuid:{decision}"}], **told}
        return told
