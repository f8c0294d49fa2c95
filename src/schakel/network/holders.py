"""One question to many holders at once: address, token, requests, for each within its own time.

What goes wrong with a holder is its own failure. One that gave no sign of life a few times in a row is left alone for
a while, and told as that. Questions to one holder take turns, a few at a time in the order in which they came: many at
once would otherwise use up each other's time.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import AsyncGenerator, Iterable, Sequence
from dataclasses import dataclass

import structlog

from schakel.facilities import Breaker
from schakel.fhir.definitions import Version
from schakel.generic.addressing.model import Address, Addresses
from schakel.generic.identity import Errand
from schakel.kernel.outcomes import Outcome
from schakel.kernel.values import Bsn
from schakel.network.asking import TokenAsker
from schakel.network.fetch import MAX_HOLDER_BYTES, HolderResult, RequestResult, Status, fetch_holder
from schakel.network.peers import PeerLate, PeerRefused, Peers

MAX_BYTES = 200_000_000
"""Bytes that all holders of one question may send together: each an equal share, and no more than one may alone."""

_MOST_KNOWN = 10_000
_log = structlog.get_logger("schakel.network")


@dataclass(frozen=True, slots=True)
class Question:
    """The same for every holder: `id` names the exchange, `queries` are relative searches in FHIR `version`, of which
    the addresses are those of the exchange that the errand's scope opens."""

    id: str
    patient: Bsn
    errand: Errand
    version: Version
    queries: Sequence[str]


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
                _log.error("holder", kind=type(error).__name__)
                result = _nothing(question, ura, "failed", "what this holder answered could not be processed")
            if result.answered:
                breaker.answered()
            elif result.address is not None:
                breaker.failed(result.status)
        return result

    async def _asked(self, question: Question, ura: str, share: int) -> HolderResult:
        until = time.monotonic() + self._rules.seconds
        address: Address | None = None
        try:
            async with asyncio.timeout(self._rules.seconds):
                address = await self._addresses.find(ura, question.errand.scope)
                base = address.fhir.get(question.version)
                if base is None:
                    reason = f"the directory has no {question.version.upper()} address of this holder"
                    return _nothing(question, ura, "failed", reason, address)
                token = await self._asker.token(
                    ura, address.issuer, address.token_endpoint, question.errand, address.metadata, base
                )
        except PeerRefused as refused:
            return _nothing(question, ura, "refused", refused.message, address, answered=True)
        except TimeoutError:
            return _nothing(question, ura, "late", "no token in time", address)
        except PeerLate as late:
            return _nothing(question, ura, "late", late.message, address)
        except Outcome as outcome:
            return _nothing(question, ura, "failed", outcome.message, address)
        result = await fetch_holder(
            self._peers,
            ura=ura,
            base=base,
            token=token,
            version=question.version,
            queries=question.queries,
            patient=question.patient,
            request_id=question.id,
            timeout=max(until - time.monotonic(), 0.0),
            most=share,
        )
        result.address, result.answered = address, True
        return result

    def _holder(self, ura: str) -> _Known:
        if ura not in self._known:
            if len(self._known) >= _MOST_KNOWN:
                self._known.pop(next(iter(self._known)))
            breaker = Breaker(f"holder {ura}", self._rules.failures, self._rules.pause)
            self._known[ura] = _Known(breaker, asyncio.Semaphore(self._rules.parallel))
        return self._known[ura]


def _left_alone(question: Question, ura: str) -> HolderResult:
    return _nothing(question, ura, "failed", "not asked: it gave no answer several times in a row")


def _nothing(
    question: Question,
    ura: str,
    status: Status,
    reason: str,
    address: Address | None = None,
    *,
    answered: bool = False,
) -> HolderResult:
    requests = [RequestResult(n, q, status, reason=reason) for n, q in enumerate(question.queries, 1)]
    return HolderResult(ura, status, requests, reason=reason, address=address, answered=answered)
