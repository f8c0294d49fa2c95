"""Fetch the BgZ of one patient: find who has it, ask all of them at once, assemble what came with its provenance.

`told` tells each step as soon as it is there, for a screen; `fetch` is the same told at once. What came from a holder
is in our own log before it is told. Nothing is stored.
"""

from __future__ import annotations

import asyncio
from collections import Counter
from collections.abc import AsyncGenerator, Iterator, Mapping, Sequence
from contextlib import aclosing
from dataclasses import replace
from typing import Any, Literal, NamedTuple

from schakel.exchanges.bgz.answer import bundle, entries, holder_report
from schakel.exchanges.bgz.ask import MAX_HOLDERS, Ask
from schakel.exchanges.bgz.requests import categories, requests_for, titles
from schakel.fhir.definitions import Version
from schakel.fhir.json import Resource, dump
from schakel.generic.addressing.model import Addresses
from schakel.generic.identity import Errand
from schakel.generic.logging import AuditLog, Event
from schakel.generic.logging.events import Outcome as LogOutcome
from schakel.kernel.clock import new_id
from schakel.kernel.outcomes import Invalid, Outcome
from schakel.network import (
    Asked,
    HolderResult,
    Holders,
    Located,
    Locator,
    Question,
    Reason,
    Wanted,
    assemble,
)
from schakel.network.fetch import Status, overall

_VERSION: Version = "stu3"
_SCOPE = "bgz"
_MANY = 1_000
"""Resources from which on they are put in order beside the event loop."""

_LEFT_OUT = f"{{}} of those it names are not asked: one question goes to {MAX_HOLDERS} at most"
_OUTCOMES: dict[Status, LogOutcome] = {
    "complete": "0",
    "incomplete": "4",
    "refused": "4",
    "failed": "8",
    "late": "8",
}


class Told(NamedTuple):
    """One step: `localised` once, `holder` for each holder as it comes, `assembled` at the end with the whole."""

    kind: Literal["localised", "holder", "assembled"]
    body: dict[str, Any]


class _Place(NamedTuple):
    """Where a holder was asked ('' when that is not known), what became of it there, and for which data categories
    when it was not for the whole."""

    address: str
    status: Status
    categories: tuple[str, ...] = ()


class BgzExchange:
    """The asking side for one organisation."""

    def __init__(
        self,
        *,
        ura: str,
        name: str,
        locator: Locator,
        holders: Holders,
        addresses: Addresses,
        log: AuditLog,
        address: str,
    ) -> None:
        self._ura = ura
        self._name = name
        self._locator = locator
        self._holders = holders
        self._addresses = addresses
        self._log = log
        self._address = address

    async def fetch(self, ask: Ask) -> bytes:
        """JSON `{id, status, localised, holders, sections, bundle}`."""
        exchange, results = new_id(), []
        located = await self._located(ask, exchange)
        async with aclosing(self._results(ask, exchange, located)) as coming:
            async for result in coming:
                results.append(result)
        body = await self._whole(exchange, located, results)
        return dump({**body, "bundle": bundle(exchange, _ordered(located, results))})

    async def told(self, ask: Ask) -> AsyncGenerator[Told, None]:
        """The steps: who was found; each holder with its entries; at the end what `fetch` gives, without the Bundle."""
        exchange, results = new_id(), []
        located = await self._located(ask, exchange)
        names = await asyncio.gather(*(self._name_of(ura) for ura in located.holders))
        yield Told(
            "localised",
            {
                "id": exchange,
                "localised": [asked.report() for asked in located.asked],
                "holders": [
                    {"ura": ura, "name": name, "found": [reason.report() for reason in reasons]}
                    for (ura, reasons), name in zip(located.holders.items(), names, strict=True)
                ],
            },
        )
        async with aclosing(self._results(ask, exchange, located)) as coming:
            async for result in coming:
                results.append(result)
                report = holder_report(result, located.holders[result.ura])
                yield Told("holder", {**report, "entry": list(entries(result))})
        yield Told("assembled", await self._whole(exchange, located, results))

    async def _located(self, ask: Ask, exchange: str) -> Located:
        """Those that the EHR names and, when it asks for that, those that the national facilities know."""
        named: dict[str, tuple[Reason, ...]] = {ura: (Reason("ehr", {}),) for ura in ask.holders}
        if not ask.localise:
            return Located(named)
        if not self._locator.possible:
            raise Invalid(
                "this node has no facility that knows who has data of a patient: name them (holders)",
                code="no-localisation",
                expression="holders",
            )
        located = await self._locator.locate(Wanted(ask.patient, ask.who.user, ask.purpose))
        holders = dict(named)
        for ura, reasons in located.holders.items():
            holders[ura] = (*holders.get(ura, ()), *reasons)
        found = _asked_at_once(holders, located.asked)
        await self._log.write(self._localised(ask, exchange, found))
        return found

    async def _results(self, ask: Ask, exchange: str, located: Located) -> AsyncGenerator[HolderResult, None]:
        """The result of each holder, in our log before it is given."""
        errand = Errand(_SCOPE, ask.who.user, ask.purpose, ask.treatment_relation, ask.who.credentials)
        asked = requests_for(ask.patient)
        question = Question(exchange, ask.patient, errand, _VERSION, asked, categories(), ask.emergency)
        async with aclosing(self._holders.ask(question, located.holders)) as coming:
            async for result in coming:
                for event in self._fetched(ask, exchange, result):
                    await self._log.write(event)
                yield result

    async def _whole(
        self, exchange: str, located: Located, results: Sequence[HolderResult]
    ) -> dict[str, Any]:
        ordered = _ordered(located, results)
        statuses = [result.status for result in ordered]
        if not located.whole:
            statuses.append("incomplete")
        return {
            "id": exchange,
            "status": overall(statuses) if statuses else "complete",
            "localised": [asked.report() for asked in located.asked],
            "holders": [holder_report(result, located.holders[result.ura]) for result in ordered],
            "sections": await asyncio.to_thread(assemble, ordered, titles())
            if sum(len(result.resources) for result in ordered) > _MANY
            else assemble(ordered, titles()),
        }

    async def _name_of(self, ura: str) -> str:
        try:
            return await self._addresses.name(ura)
        except Outcome:
            return ""

    def _event(self, ask: Ask, exchange: str, **more: Any) -> Event:
        return Event(
            decision=exchange,
            requester=self._ura,
            requester_name=self._name,
            user=ask.who.user,
            assurance=ask.who.assurance,
            purpose=ask.purpose,
            treatment_relation=ask.treatment_relation,
            explanation=ask.emergency,
            patient=ask.patient,
            network_address=self._address,
            request_id=exchange,
            **more,
        )

    def _localised(self, ask: Ask, exchange: str, located: Located) -> Event:
        failed = sorted(asked.by for asked in located.asked if asked.status == "failed")
        return self._event(
            ask,
            exchange,
            subtype="localised",
            action="E",
            outcome="8" if failed else "0",
            holder=self._ura,
            reason=f"not answered: {', '.join(failed)}" if failed else "",
            query=f"localise; found {', '.join(located.holders) or 'nobody'}",
        )

    def _fetched(self, ask: Ask, exchange: str, result: HolderResult) -> Iterator[Event]:
        """One event for each address where a holder was asked, so that each id says at which of them it is one."""
        for place in _places(result):
            yield self._event(
                ask,
                exchange,
                subtype="exchange",
                action="C",
                outcome=_OUTCOMES[place.status],
                reason=place.status if place.status != "complete" else "",
                holder=result.ura,
                view="recipient",
                query="; ".join(filter(None, ("fetch BgZ", ", ".join(place.categories)))),
                holder_address=place.address,
                resources=tuple(
                    _version(r)
                    for url, r in result.resources.items()
                    if url == f"{place.address}/{r['resourceType']}/{r['id']}"
                ),
            )


def _asked_at_once(holders: Mapping[str, tuple[Reason, ...]], asked: Sequence[Asked]) -> Located:
    """As many of the organisations as one question may go to; who named others is told to be known in part."""
    kept = dict(list(holders.items())[:MAX_HOLDERS])
    beyond = Counter(reason.by for ura, reasons in holders.items() if ura not in kept for reason in reasons)
    return Located(
        kept,
        tuple(
            replace(one, reason="; ".join(filter(None, (one.reason, _LEFT_OUT.format(beyond[one.by])))))
            if beyond[one.by]
            else one
            for one in asked
        ),
    )


def _ordered(located: Located, results: Sequence[HolderResult]) -> list[HolderResult]:
    """The results in the order in which the holders were named."""
    by_ura = {result.ura: result for result in results}
    return [by_ura[ura] for ura in located.holders]


def _places(result: HolderResult) -> list[_Place]:
    """The places where a holder was asked, at least one: its base, or that of each of its parts."""
    address = result.address
    found = []
    for part in address.parts if address else ():
        asked = {number for number, name in categories().items() if name in part.categories}
        if statuses := [request.status for request in result.requests if request.number in asked]:
            found.append(_Place(part.endpoint.rstrip("/"), overall(statuses), part.categories))
    base = address.fhir.get(_VERSION, "") if address else ""
    return found or [_Place(base, result.status)]


def _version(resource: Resource) -> str:
    """`Type/id/_history/version`, as far as the holder told it."""
    meta = resource.get("meta")
    number = meta.get("versionId") if isinstance(meta, dict) else None
    key = f"{resource['resourceType']}/{resource['id']}"
    return f"{key}/_history/{number}" if isinstance(number, str) else key
