"""Batches and transactions: Bundles of requests.

Source: FHIR http.html, batch and transaction. A batch is as many requests as it has entries, each with its own
outcome; several are under way at once, in the order of their verbs. A transaction is written whole or not at all.
"""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

from schakel.fhir.definitions import Version
from schakel.fhir.json import Resource
from schakel.fhir.search import Query, pairs_of
from schakel.kernel.outcomes import Invalid, NotSupported, Outcome, TooCostly, Unprocessable
from schakel.server import answer
from schakel.server.answer import Answer
from schakel.server.bodies import read_body
from schakel.server.entries import entry_of, request_of
from schakel.server.headers import wanted_return
from schakel.server.interaction import criteria_of
from schakel.server.model import Request
from schakel.server.transaction import Transaction, entry_at, located
from schakel.server.writing import answered

if TYPE_CHECKING:
    from schakel.server.service import FhirService

_AT_ONCE = 3
"""Requests of one batch that are under way; a node has more database connections than these."""
_ORDER = {"DELETE": 0, "POST": 1, "PUT": 2, "PATCH": 2}


class Bundles:
    """Carries out the Bundles that are sent to the FHIR base `base` of a door for `caller`."""

    def __init__(self, service: FhirService, request: Request, base: str, caller: str) -> None:
        self._service = service
        self._version = request.version
        self._base = base
        self._caller = caller
        self._prefer = request.headers.get("prefer", "")

    async def answer(self, request: Request) -> Answer:
        """Raises `Invalid`, `Unprocessable`, `TooCostly`, and for a transaction the refusal of an entry."""
        service = self._service
        bundle = read_body(request, service.rules.max_depth)
        if bundle.get("resourceType") != "Bundle":
            raise Invalid("the FHIR base takes a Bundle of type batch or transaction")
        kind = bundle.get("type")
        if kind not in ("batch", "transaction"):
            raise Invalid("Bundle.type must be batch or transaction", expression="Bundle.type")
        if service.offer is not None:
            service.offer.check_bundle(kind)
        entries = bundle.get("entry", [])
        if not isinstance(entries, list) or not all(isinstance(e, dict) for e in entries):
            raise Unprocessable("Bundle.entry must be a list of entries", expression="Bundle.entry")
        if len(entries) > service.rules.max_entries:
            raise TooCostly(
                f"a {kind} may have {service.rules.max_entries} entries (setting limits.entries)",
                expression="Bundle.entry",
            )
        # The Bundle itself is not kept, so that an id which it brings, whatever it looks like, means nothing.
        frame = {name: value for name, value in bundle.items() if name not in ("entry", "id")}
        if kind == "batch":
            service.checked(self._version, frame)
            out = await self._batch(entries)
        else:
            check_frame(service, self._version, frame, entries)
            out = await self._transaction(entries)
        return Answer(200, answer.bundle(f"{kind}-response", out, self._base))

    def _criteria(self, text: str) -> Query:
        """The query of a conditional reference, such as `Patient?identifier=...`. Raises `Invalid`."""
        kind, _, query = text.partition("?")
        parser = self._service.parser(self._version)
        if kind not in self._service.types(self._version):
            raise Invalid(f"the reference {text[:60]!r} names no resource type")
        return criteria_of(parser, kind, pairs_of(query))

    # -- transaction ---------------------------------------------------------------------------------------

    async def _transaction(self, entries: list[dict[str, Any]]) -> list[dict[str, Any]]:
        service, version = self._service, self._version
        plan = Transaction(
            entries,
            lambda entry: request_of(version, self._base, entry, self._prefer),
            service.parse_trusted,
            lambda interaction, request: service.planned(interaction, request, bare_id=True),
            self._criteria,
            self._base,
        )
        written = []
        if plan.plans:
            try:
                written = await service.source.write(
                    version, [p.write for p in plan.plans], plan.lookups, plan.settle
                )
            except Outcome as outcome:
                if outcome.place is None:
                    raise
                raise located(outcome, plan.where(outcome.place)) from outcome
        wanted = wanted_return({"prefer": self._prefer})
        out: list[dict[str, Any]] = [{} for _ in entries]
        for place, planned, result in zip(plan.places, plan.plans, written, strict=True):
            given = answered(version, self._base, planned, result, wanted)
            out[place] = entry_of(version, self._base, planned.write.method, given)
        for place, read in plan.reads.items():
            # The changes are final by now, so what a read does not find is said in its own place.
            try:
                given = await service.execute(read.interaction, read.request, self._base, self._caller)
            except Outcome as outcome:
                given = answer.refusal(outcome, version)
            out[place] = entry_of(version, self._base, entries[place]["request"]["method"], given)
        return out

    # -- batch ---------------------------------------------------------------------------------------------

    async def _batch(self, entries: list[dict[str, Any]]) -> list[dict[str, Any]]:
        out: list[dict[str, Any]] = [{} for _ in entries]
        turns: dict[int, list[int]] = {}
        for place, entry in enumerate(entries):
            turns.setdefault(_ORDER.get(_method(entry), 3), []).append(place)
        for _, places in sorted(turns.items()):
            waiting = iter(places)

            async def work(waiting: Any = waiting) -> None:
                for place in waiting:
                    out[place] = await self._one(place, entries[place])

            async with asyncio.TaskGroup() as group:
                for _ in range(min(_AT_ONCE, len(places))):
                    group.create_task(work())
        return out

    async def _one(self, place: int, entry: dict[str, Any]) -> dict[str, Any]:
        """An entry of a batch, carried out as the request it is."""
        version = self._version
        try:
            check_frame(self._service, version, {"resourceType": "Bundle", "type": "batch"}, [entry])
            request = request_of(version, self._base, entry, self._prefer)
            interaction = self._service.parse_trusted(request)
            if interaction.kind == "transaction":
                raise NotSupported("a Bundle inside a batch is not supported", expression="request")
            given = await self._service.execute(interaction, request, self._base, self._caller, bare_id=True)
        except Outcome as outcome:
            given = answer.refusal(located(outcome, entry_at(place)), version)
        return entry_of(version, self._base, _method(entry), given)


def check_frame(service: FhirService, version: Version, frame: Resource, entries: Sequence[Any]) -> None:
    """Checks a Bundle without the resources in it, which are checked one by one. Raises `Unprocessable`."""
    bare = [{name: value for name, value in e.items() if name != "resource"} or {"id": "x"} for e in entries]
    service.checked(version, {**frame, "entry": bare} if bare else frame)


def _method(entry: dict[str, Any]) -> str:
    request = entry.get("request")
    return str(request.get("method")) if isinstance(request, dict) else ""
