"""Fetches a list of searches from a FHIR base of a holder: concurrently, every page of each, checked and minimised.

The rule of the answering side is applied once more here (`gateway.minimise`): what a holder sends too much is
dropped and reported, never passed on. What one holder may cost is bounded: time, bytes, and one large answer
read at a time, beside the event loop.
"""

from __future__ import annotations

import asyncio
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any, Literal

import structlog

from schakel.fhir import definitions
from schakel.fhir.definitions import Version
from schakel.fhir.json import Resource
from schakel.fhir.search import QueryParser, pairs_of
from schakel.gateway.minimise import Dropped, Item, Subject, about, item, minimise
from schakel.generic.addressing.model import Address
from schakel.generic.identity.credentials import Refused
from schakel.generic.identity.signer import NO_GRANT
from schakel.kernel.outcomes import Invalid, Outcome
from schakel.network.peers import Allowance, PeerLate, PeerRefused, Peers, same_base, searchset
from schakel.network.proving import AccessToken

Status = Literal["complete", "incomplete", "refused", "failed", "late"]
"""Complete; in part; refused by the holder; failed; or no end within the time that it had."""

Cause = Literal["", "no-answer", "refused", "short", "not-addressable", "not-provable"]
"""Why a request has no whole answer, '' when it has: no usable answer came (in time); the holder refused; it gave a
part; nobody was asked, since the directory does not say (as one) where; or since we cannot prove who asks."""

_NOT_ADDRESSABLE = frozenset(
    {
        "holder-unknown",
        "no-endpoint",
        "directory-conflict",
        "no-issuer",
        "peer-not-https",
        "peer-address",
        "peer-out-of-reach",
        "peer-another",
        "peer-resource",
    }
)

MAX_PAGES = 200
MAX_HOLDER_BYTES = 40_000_000
_LARGE = 100_000
_MANY = 1_000
"""Bytes of an answer and resources of a holder from which on they are worked on beside the event loop."""

_log = structlog.get_logger("schakel.network")


@dataclass(slots=True)
class RequestResult:
    """What one request brought. `entries` counts what is passed on, `dropped` what was held back here."""

    number: int
    query: str
    status: Status = "late"
    entries: int = 0
    dropped: tuple[Dropped, ...] = ()
    decision: str = ""
    reason: str = "not finished in time"
    cause: Cause = "no-answer"
    items: list[Item] = field(default_factory=list)
    urls: dict[str, str] = field(default_factory=dict)

    @property
    def type(self) -> str:
        """The resource type that was asked."""
        return self.query.partition("?")[0].partition("/")[0]

    def take(self, page: Sequence[Item], base: str) -> None:
        """Adds what a page brought. A match of another type than was asked is none."""
        asked = self.type
        for found in page:
            key = found.key
            if key not in self.urls:
                self.items.append(found if found.type == asked else replace(found, match=False))
                self.urls[key] = f"{base}/{key}"

    def report(self) -> dict[str, Any]:
        """The result as the answer of the exchange shows it."""
        return {
            "number": self.number,
            "query": self.query,
            "status": self.status,
            "entries": self.entries,
            "dropped": len(self.dropped),
            "held_back": [{"resource": d.key, "reason": d.reason} for d in self.dropped],
            "decision": self.decision,
            "reason": self.reason,
            "cause": "" if self.status == "complete" else self.cause,
        }


@dataclass(slots=True)
class HolderResult:
    """What one holder brought: per request, and the released resources by their address at the holder. `address` is
    what the directory said, `answered` whether it gave any sign of life."""

    ura: str
    status: Status
    requests: list[RequestResult]
    resources: dict[str, Resource] = field(default_factory=dict)
    reason: str = ""
    address: Address | None = None
    answered: bool = False


def cause_of(outcome: Outcome) -> Cause:
    """Why there is no answer, by what was raised instead."""
    match outcome:
        case PeerRefused():
            return "refused"
        case PageTrouble():
            return "short"
        case Refused():
            return "not-provable"
        case _ if outcome.kind in _NOT_ADDRESSABLE:
            return "not-addressable"
        case _:
            return "not-provable" if outcome.kind == NO_GRANT else "no-answer"


def overall(statuses: Sequence[Status]) -> Status:
    """One status for several: the same when they agree, else incomplete."""
    return statuses[0] if len(set(statuses)) == 1 else "incomplete"


@dataclass(slots=True)
class BaseResult:
    """What one FHIR base of a holder brought, per request, not yet checked (`release`). `whose` is a search for the
    patient's own record there, for where none of the requests is one: it is checked against, and of what it brings
    the record alone is passed on to which something that is passed on refers."""

    base: str
    requests: list[RequestResult]
    whose: RequestResult | None = None
    reason: str = ""
    answered: bool = False

    @property
    def lacking(self) -> Cause:
        """Why the patient's own record did not come from here, when it did not."""
        asked = [
            one for one in (*self.requests, *([self.whose] if self.whose else ())) if one.type == "Patient"
        ]
        return next((one.cause for one in asked if one.status != "complete"), "short")

    def ids(self, patient: str) -> frozenset[str]:
        """The ids under which this base knows the patient."""
        return frozenset(
            str(i.resource.get("id"))
            for r in (*self.requests, *([self.whose] if self.whose else ()))
            for i in r.items
            if i.type == "Patient" and i.match and i.numbers == {patient}
        )


async def fetch_base(
    peers: Peers,
    *,
    ura: str,
    base: str,
    token: AccessToken,
    version: Version,
    queries: Mapping[int, str],
    request_id: str,
    timeout: float,
    allowance: Allowance,
    headers: Mapping[str, str],
    whose: str = "",
) -> BaseResult:
    """Runs `queries` (relative searches, by number) and `whose` at a FHIR base of one holder, with `headers` beside
    those of every question, within `timeout` seconds and what it may still send."""
    result = BaseResult(
        base,
        [RequestResult(number, query) for number, query in queries.items()],
        RequestResult(0, whose) if whose else None,
        answered=True,
    )
    asked = [*result.requests, *([result.whose] if result.whose else ())]
    holder = _Holder(peers, ura, base, token, version, allowance, headers)
    tasks = [asyncio.create_task(_one(holder, r, f"{request_id}.{r.number}")) for r in asked]
    _, late = await asyncio.wait(tasks, timeout=timeout)
    for task in late:
        task.cancel()
    await asyncio.gather(*tasks, return_exceptions=True)
    return result


async def release(results: Sequence[BaseResult], version: Version, patient: str) -> dict[str, Resource]:
    """Checks and minimises what the bases of one holder brought; gives what is passed on, by address there."""
    ids = {result.base: result.ids(patient) for result in results}
    addresses = frozenset(f"{base}/Patient/{one}" for base, known in ids.items() for one in known)
    named: set[str] = set()
    for result in results:
        own = ids[result.base]
        subject = Subject(patient, own | addresses)
        if sum(len(one.items) for one in result.requests) < _MANY:
            _apply_rule(result.requests, version, subject, lacking="" if own else result.lacking)
        else:
            await asyncio.to_thread(
                _apply_rule, result.requests, version, subject, lacking="" if own else result.lacking
            )
        whom = {one for request in result.requests for found in request.items for one in found.patients}
        named |= {f"{result.base}/Patient/{one}" for one in whom & own} | (whom & addresses)
    released: dict[str, Resource] = {}
    for request in (one for result in results for one in result.requests):
        for found in request.items:
            released.setdefault(request.urls[found.key], found.resource)
    for result in results:
        subject = Subject(patient, ids[result.base] | addresses)
        for found in result.whose.items if result.whose else ():
            url = f"{result.base}/{found.key}"
            if url in named and about(found, subject):
                released.setdefault(url, found.resource)
    return released


@dataclass(slots=True)
class _Holder:
    """One holder during one exchange, and what it may still send."""

    peers: Peers
    ura: str
    base: str
    token: AccessToken
    version: Version
    allowance: Allowance
    headers: Mapping[str, str]
    reading: asyncio.Lock = field(default_factory=asyncio.Lock)

    async def page(self, url: str, request_id: str) -> tuple[_Page, str]:
        """The page at `url` and the holder's decision id."""
        reply = await self.peers.get(
            self.ura, url, self.token, self.version, request_id, self.allowance, self.headers
        )
        if len(reply.body) < _LARGE:
            return _read(reply.body, self.version, self.base, self.allowance), reply.decision
        async with self.reading:
            page = await asyncio.to_thread(_read, reply.body, self.version, self.base, self.allowance)
            return page, reply.decision


@dataclass(frozen=True, slots=True)
class _Page:
    """What a page holds: its resources, how many matches there are in all when it says so, and the next page."""

    items: tuple[Item, ...]
    total: int | None
    following: str


async def _one(holder: _Holder, result: RequestResult, request_id: str) -> None:
    url = f"{holder.base}/{result.query}"
    seen: set[str] = set()
    matches, total = 0, None
    try:
        while url:
            if url in seen or len(seen) >= MAX_PAGES:
                raise PageTrouble("the pages do not end")
            if seen and not same_base(url, holder.base):
                raise PageTrouble("the next page is not below the holder's FHIR base")
            seen.add(url)
            page, decision = await holder.page(url, request_id)
            result.decision = decision or result.decision
            result.take(page.items, holder.base)
            matches += sum(one.match for one in page.items)
            total = page.total if page.total is not None else total
            url = page.following
        if total is not None and matches < total:
            raise PageTrouble(f"the holder says that it has {total} and gave {matches}")
        result.status, result.reason = "complete", ""
    except PeerRefused as refused:
        result.decision = refused.decision or result.decision
        result.status, result.reason = ("incomplete" if result.items else "refused"), refused.message
        result.cause = "refused"
    except Outcome as outcome:
        kind: Status = "late" if isinstance(outcome, PeerLate) else "failed"
        result.status, result.reason = ("incomplete" if result.items else kind), outcome.message
        result.cause = cause_of(outcome)
    except asyncio.CancelledError:
        result.status = "incomplete" if result.items else "late"
        raise
    except Exception as error:  # Whatever a holder sends that we cannot read is that holder's failure alone.
        _log.error("unreadable", kind=type(error).__name__)
        result.status = "incomplete" if result.items else "failed"
        result.reason = "the answer could not be read"


class PageTrouble(Outcome):
    """The chain of pages is broken."""

    status, issue, code = 502, "transient", "page-trouble"


def _read(body: bytes, version: Version, base: str, allowance: Allowance) -> _Page:
    """A page in the bytes of an answer. Raises `Invalid` and `Upstream`."""
    bundle = searchset(body, version, allowance)
    items = []
    for number, entry in enumerate(bundle.get("entry", ())):
        resource = entry.get("resource")
        if resource is None or resource["resourceType"] == "OperationOutcome":
            continue
        if not isinstance(resource.get("id"), str):
            raise Invalid(f"entry {number} of the answer is a resource without id")
        match = entry.get("search", {}).get("mode", "match") == "match"
        items.append(item(version, resource, match, (base,)))
    following = (link.get("url", "") for link in bundle.get("link", ()) if link.get("relation") == "next")
    return _Page(tuple(items), bundle.get("total"), next(following, ""))


def _apply_rule(
    results: Sequence[RequestResult], version: Version, subject: Subject, *, lacking: Cause
) -> None:
    """Minimises all requests at a base together: a Provenance may be about what another request brought. `lacking` is
    why the base did not give the patient's own record, '' when it did."""
    parser = QueryParser(definitions(version))

    def divided(result: RequestResult, elsewhere: set[str]) -> tuple[list[Item], tuple[Dropped, ...]]:
        if not result.items:
            return [], ()
        path, _, text = result.query.partition("?")
        query = parser.parse(result.type, pairs_of(text), last="/" in path)
        done = minimise(
            version, result.items, subject, [str(i) for i in query.includes], elsewhere.__contains__
        )
        return list(done.released), done.dropped

    first = [divided(result, set()) for result in results]
    keys = {i.key for items, _ in first for i in items}
    for result, (items, dropped) in zip(results, first, strict=True):
        # What another request brought can only matter to a Provenance that was held back without it.
        waiting = any(d.reason == "target-not-released" for d in dropped)
        result.items, result.dropped = divided(result, keys) if waiting else (items, dropped)
        result.entries = len(result.items)
        if lacking and result.dropped and result.status == "complete":
            result.status, result.cause = "incomplete", lacking
            result.reason = (
                "the holder did not give the patient's own record, so nothing could be checked against it"
            )
