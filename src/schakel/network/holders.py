"""One question to many holders at once: address, token, requests, for each within its own time.

Where a holder has no endpoint for the whole of an exchange, each of its endpoints is asked for the categories that the
directory says it has, with a token of its own; what no endpoint has is asked nowhere, and told.

What goes wrong with a holder is its own failure. One that gave no sign of life a few times in a row is left alone for
a while, and told as that. Questions to one holder take turns, a few at a time in the order in which they came: many at
once would otherwise use up each other's time.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import AsyncGenerator, Iterable, Mapping, Sequence
from dataclasses import dataclass, field

import structlog

from schakel.facilities import Breaker
from schakel.fhir.definitions import Version
from schakel.fhir.json import Resource
from schakel.gateway import emergency
from schakel.generic.addressing.model import Address, Addresses
from schakel.generic.identity import Errand
from schakel.kernel.outcomes import Outcome
from schakel.kernel.values import Bsn
from schakel.network.asking import TokenAsker
from schakel.network.fetch import (
    MAX_HOLDER_BYTES,
    BaseResult,
    Cause,
    HolderResult,
    RequestResult,
    Status,
    cause_of,
    fetch_base,
    overall,
    release,
)
from schakel.network.peers import Allowance, PeerLate, PeerRefused, Peers

MAX_BYTES = 200_000_000
"""Bytes that all holders of one question may send together: each an equal share, and no more than one may alone."""

_MOST_KNOWN = 10_000
_log = structlog.get_logger("schakel.network")


@dataclass(frozen=True, slots=True)
class Question:
    """The same for every holder: `id` names the exchange, `queries` are relative searches in FHIR `version`, of which
    the addresses are those of the exchange that the errand's scope opens. `categories` says by the number of a query
    (from 1) under which data category of that exchange it stands. `emergency` is the reason for which access in an
    emergency is asked, '' when it is not."""

    id: str
    patient: Bsn
    errand: Errand
    version: Version
    queries: Sequence[str]
    categories: Mapping[int, str] = field(default_factory=dict)
    emergency: str = ""

    @property
    def numbered(self) -> dict[int, str]:
        """The queries by number."""
        return dict(enumerate(self.queries, 1))


@dataclass(frozen=True, slots=True)
class HolderRules:
    """`seconds` for one holder, from its address to its last page; after `failures` exchanges without any sign of life
    it is left alone for `pause` seconds. So many questions are asked of it at once (`parallel`), another waits for its
    turn for at most `wait` seconds."""

    seconds: float
    failures: int = 3
    pause: float = 30.0
    parallel: int = 4
    wait: float = 30.0


@dataclass(frozen=True, slots=True)
class _Part:
    """What is asked at one FHIR base of a holder: queries by number. `whose` as in `fetch_base`."""

    base: str
    queries: Mapping[int, str]
    whose: str = ""


@dataclass(frozen=True, slots=True)
class _Known:
    """What is remembered of a holder."""

    breaker: Breaker
    turns: asyncio.Semaphore


class Holders:
    """Asks for one organisation."""

    def __init__(self, addresses: Addresses, asker: TokenAsker, peers: Peers, rules: HolderRules) -> None:
        self._addresses = addresses
        self._asker = asker
        self._peers = peers
        self._rules = rules
        self._known: dict[str, _Known] = {}

    async def ask(self, question: Question, holders: Iterable[str]) -> AsyncGenerator[HolderResult, None]:
        """The result of each holder, by URA, as soon as it is there. What is under way is given up when the caller
        goes."""
        named = tuple(holders)
        share = min(MAX_HOLDER_BYTES, MAX_BYTES // max(len(named), 1))
        tasks = [asyncio.create_task(self._one(question, ura, share)) for ura in named]
        try:
            for done in asyncio.as_completed(tasks):
                yield await done
        finally:
            for task in tasks:
                task.cancel()
            await asyncio.gather(*tasks, return_exceptions=True)

    async def _one(self, question: Question, ura: str, share: int) -> HolderResult:
        holder = self._holder(ura)
        if holder.breaker.resting:
            return _left_alone(question, ura)
        try:
            async with asyncio.timeout(self._rules.wait):
                await holder.turns.acquire()
        except TimeoutError:
            reason = f"not asked: {self._rules.parallel} other questions to it were under way all the time"
            return _nothing(question, ura, "late", reason)
        try:
            return await self._in_turn(question, ura, share, holder.breaker)
        finally:
            holder.turns.release()

    async def _in_turn(self, question: Question, ura: str, share: int, breaker: Breaker) -> HolderResult:
        if breaker.resting:
            return _left_alone(question, ura)
        with breaker.attempt():
            try:
                result = await self._asked(question, ura, share)
            except Exception as error:
                result = _nothing(question, ura, "failed", _unreadable(error))
            if result.answered:
                breaker.answered()
            elif result.address is not None:
                breaker.failed(result.status)
        return result

    async def _asked(self, question: Question, ura: str, share: int) -> HolderResult:
        until = time.monotonic() + self._rules.seconds
        try:
            async with asyncio.timeout(self._rules.seconds):
                address = await self._addresses.find(ura, question.errand.scope)
        except TimeoutError:
            return _nothing(question, ura, "late", "no address in time")
        except Outcome as outcome:
            return _nothing(question, ura, "failed", outcome.message, cause=cause_of(outcome))
        parts = _parts(question, address)
        if not parts:
            reason = f"the directory has no {question.version.upper()} address of this holder"
            return _nothing(question, ura, "failed", reason, address, "not-addressable")
        allowance = Allowance(share)
        results = await asyncio.gather(
            *(self._part(question, address, part, until, allowance) for part in parts)
        )
        released = await release(results, question.version, question.patient)
        return _joined(question, ura, address, results, released)

    async def _part(
        self, question: Question, address: Address, part: _Part, until: float, allowance: Allowance
    ) -> BaseResult:
        """What one base brings, asked with a token for it, before `until`."""

        def nothing(status: Status, reason: str, cause: Cause = "no-answer") -> BaseResult:
            requests = _requests(part.queries, status, reason, cause)
            return BaseResult(part.base, requests, reason=reason, answered=cause == "refused")

        try:
            async with asyncio.timeout(until - time.monotonic()):
                token = await self._asker.token(
                    address.ura,
                    address.issuer,
                    address.token_endpoint,
                    question.errand,
                    address.metadata,
                    part.base,
                )
            return await fetch_base(
                self._peers,
                ura=address.ura,
                base=part.base,
                token=token,
                version=question.version,
                queries=part.queries,
                request_id=question.id,
                headers=emergency.asked(question.emergency),
                timeout=max(until - time.monotonic(), 0.0),
                allowance=allowance,
                whose=part.whose,
            )
        except PeerRefused as refused:
            return nothing("refused", refused.message, "refused")
        except TimeoutError:
            return nothing("late", "no token in time")
        except PeerLate as late:
            return nothing("late", late.message)
        except Outcome as outcome:
            return nothing("failed", outcome.message, cause_of(outcome))
        except Exception as error:  # What one part answers spoils no other.
            return nothing("failed", _unreadable(error))

    def _holder(self, ura: str) -> _Known:
        if ura not in self._known:
            if len(self._known) >= _MOST_KNOWN:
                self._known.pop(next(iter(self._known)))
            breaker = Breaker(f"holder {ura}", self._rules.failures, self._rules.pause)
            self._known[ura] = _Known(breaker, asyncio.Semaphore(self._rules.parallel))
        return self._known[ura]


def _parts(question: Question, address: Address) -> list[_Part]:
    """Where the queries are asked: all at the one base of the exchange, or each at the part that has its category."""
    if not address.parts:
        base = address.fhir.get(question.version)
        return [] if base is None else [_Part(base, question.numbered)]
    own = [query for query in question.queries if RequestResult(0, query).type == "Patient"]
    parts = []
    for one in address.parts:
        asked = {n: q for n, q in question.numbered.items() if question.categories.get(n) in one.categories}
        whose = "" if set(own) & set(asked.values()) else min(own, key=len, default="")
        if asked:
            parts.append(_Part(one.endpoint.rstrip("/"), asked, whose))
    return parts


def _joined(
    question: Question,
    ura: str,
    address: Address,
    results: Sequence[BaseResult],
    released: dict[str, Resource],
) -> HolderResult:
    """What the parts of a holder brought as one. What was asked nowhere has failed, and with that it is never
    complete."""
    requests = {one.number: one for result in results for one in result.requests}
    status = overall([one.status for one in requests.values()])
    for number, query in question.numbered.items():
        if number not in requests:
            reason = f"not asked: {_no_endpoint([question.categories.get(number, 'this request')])}"
            requests[number] = RequestResult(number, query, "failed", reason=reason, cause="not-addressable")
            status = "incomplete" if status == "complete" else status
    reasons = [result.reason for result in results if result.reason]
    if address.missing:
        reasons.append(_no_endpoint(address.missing))
    return HolderResult(
        ura,
        status,
        [requests[number] for number in sorted(requests)],
        released,
        "; ".join(dict.fromkeys(reasons)),
        address,
        any(result.answered for result in results),
    )


def _unreadable(error: Exception) -> str:
    _log.error("holder", kind=type(error).__name__)
    return "what this holder answered could not be processed"


def _no_endpoint(categories: Iterable[str]) -> str:
    return f"the directory has no endpoint of this holder for {', '.join(categories)}"


def _left_alone(question: Question, ura: str) -> HolderResult:
    return _nothing(question, ura, "failed", "not asked: it gave no answer several times in a row")


def _nothing(
    question: Question,
    ura: str,
    status: Status,
    reason: str,
    address: Address | None = None,
    cause: Cause = "no-answer",
) -> HolderResult:
    requests = _requests(question.numbered, status, reason, cause)
    return HolderResult(ura, status, requests, reason=reason, address=address)


def _requests(queries: Mapping[int, str], status: Status, reason: str, cause: Cause) -> list[RequestResult]:
    """Requests, by number, of which nothing came."""
    return [
        RequestResult(number, query, status, reason=reason, cause=cause) for number, query in queries.items()
    ]
