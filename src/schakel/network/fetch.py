"""Fetches a list of searches from one holder: concurrently, every page of each, checked and minimised.

The rule of the answering side is applied once more here (`gateway.minimise`): what a holder sends too much is
dropped and reported, never passed on.
"""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any, Literal

from schakel.fhir import definitions
from schakel.fhir.definitions import Version
from schakel.fhir.json import Resource
from schakel.fhir.search import QueryParser, pairs_of
from schakel.gateway.minimise import Dropped, Item, Subject, bsns, item, minimise
from schakel.kernel.outcomes import Outcome
from schakel.network.peers import PeerRefused, Peers, same_base

Status = Literal["complete", "incomplete", "refused", "failed"]
MAX_PAGES = 200


@dataclass(slots=True)
class RequestResult:
    """What one request brought. `entries` counts what is passed on, `dropped` what was held back here."""

    number: int
    query: str
    status: Status = "failed"
    entries: int = 0
    dropped: tuple[Dropped, ...] = ()
    decision: str = ""
    reason: str = "not finished in time"
    items: list[Item] = field(default_factory=list)
    urls: dict[str, str] = field(default_factory=dict)

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
        }


@dataclass(slots=True)
class HolderResult:
    """What one holder brought: per request, and the released resources by their address at the holder."""

    ura: str
    status: Status
    requests: list[RequestResult]
    resources: dict[str, Resource] = field(default_factory=dict)
    reason: str = ""


def overall(statuses: Sequence[Status]) -> Status:
    """One status for several: the same when they agree, else incomplete."""
    return statuses[0] if len(set(statuses)) == 1 else "incomplete"


async def fetch_holder(
    peers: Peers,
    *,
    ura: str,
    base: str,
    token: str,
    version: Version,
    queries: Sequence[str],
    patient: str,
    request_id: str,
    timeout: float,
) -> HolderResult:
    """Runs `queries` (relative searches) at the FHIR base of one holder, within `timeout` seconds."""
    results = [RequestResult(number, query) for number, query in enumerate(queries, 1)]
    tasks = [
        asyncio.create_task(_one(peers, r, base, token, version, f"{request_id}.{r.number}")) for r in results
    ]
    _, late = await asyncio.wait(tasks, timeout=timeout)
    for task in late:
        task.cancel()
    await asyncio.gather(*tasks, return_exceptions=True)
    _apply_rule(results, version, patient)
    out = HolderResult(ura, overall([r.status for r in results]), results)
    for result in results:
        for found in result.items:
            out.resources.setdefault(result.urls[found.key], found.resource)
    return out


async def _one(
    peers: Peers, result: RequestResult, base: str, token: str, version: Version, request_id: str
) -> None:
    url = f"{base}/{result.query}"
    seen: set[str] = set()
    try:
        while url:
            if url in seen or len(seen) >= MAX_PAGES:
                raise PageTrouble("the pages do not end")
            seen.add(url)
            page = await peers.get(url, token, version, request_id)
            result.decision = page.decision or result.decision
            _take(result, page.bundle, version, base)
            url = _next(page.bundle, base)
        result.status, result.reason = "complete", ""
    except PeerRefused as refused:
        result.decision = refused.decision or result.decision
        result.status, result.reason = ("incomplete" if result.items else "refused"), refused.message
    except Outcome as outcome:
        result.status, result.reason = ("incomplete" if result.items else "failed"), outcome.message
    except asyncio.CancelledError:
        result.status = "incomplete" if result.items else "failed"
        raise


class PageTrouble(Outcome):
    """The chain of pages is broken."""

    status, issue, code = 502, "transient", "page-trouble"


def _take(result: RequestResult, bundle: Resource, version: Version, base: str) -> None:
    for entry in bundle.get("entry", []):
        resource = entry.get("resource")
        if not isinstance(resource, dict) or resource.get("resourceType") == "OperationOutcome":
            continue
        match = entry.get("search", {}).get("mode", "match") == "match"
        found = item(version, resource, match, (base,))
        if found.key in result.urls:
            continue
        result.items.append(found)
        result.urls[found.key] = str(entry.get("fullUrl") or f"{base}/{found.key}")


def _next(bundle: Resource, base: str) -> str:
    for link in bundle.get("link", []):
        if link.get("relation") == "next":
            url = str(link.get("url", ""))
            if not same_base(url, base):
                raise PageTrouble("the next page is not below the holder's FHIR base")
            return url
    return ""


def _apply_rule(results: Sequence[RequestResult], version: Version, patient: str) -> None:
    """Minimises all requests of a holder together: a Provenance may be about what another request brought."""
    ids = frozenset(
        str(i.resource.get("id"))
        for r in results
        for i in r.items
        if i.type == "Patient" and i.match and patient in bsns(i.rows, "identifier")
    )
    subject = Subject(patient, ids)
    parser = QueryParser(definitions(version))

    def divided(result: RequestResult, elsewhere: set[str]) -> tuple[list[Item], tuple[Dropped, ...]]:
        path, _, text = result.query.partition("?")
        kind, _, operation = path.partition("/")
        query = parser.parse(kind, pairs_of(text), last=bool(operation))
        done = minimise(
            version, result.items, subject, [str(i) for i in query.includes], elsewhere.__contains__
        )
        return list(done.released), done.dropped

    keys = {i.key for r in results for i in divided(r, set())[0]}
    for result in results:
        result.items, result.dropped = divided(result, keys)
        result.entries = len(result.items)
        if not ids and result.dropped and result.status == "complete":
            result.status = "incomplete"
            result.reason = (
                "the holder did not give the patient's own record, so nothing could be checked against it"
            )
