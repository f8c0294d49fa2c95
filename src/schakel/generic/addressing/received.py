"""The query directory as another program writes it: `Received`.

A request is read in the words of the writer (`sourced` for a Nuts knooppunt, `long_ids` for the ministry's update
client) before it is carried out, and the answer names resources by the ids that the writer gave them.
"""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any, Protocol

from schakel.fhir import json
from schakel.fhir.json import Resource
from schakel.generic.addressing.long_ids import (
    in_address,
    in_query,
    lengthened,
    long_in,
    short_id,
    short_ids,
    shortened,
)
from schakel.generic.addressing.sourced import by_id
from schakel.server import Answer, FhirService, Request
from schakel.server.bodies import read_body

_DEPTH = 256
"""Levels in an answer of our own: what is stored, in a history, in a Bundle."""


class Known(Protocol):
    """What is known of the writer: `ReceivingStore`."""

    async def in_step(self) -> None:
        """Writes down that it was here and is content."""

    async def written_ids(self, ids: Collection[str]) -> dict[str, str]:
        """The long ids of which these were made."""


@dataclass(frozen=True, slots=True)
class Received:
    """The service of the query directory for one writer; `known` is what is known of that."""

    service: FhirService
    known: Known

    async def answer(self, request: Request, base: str, caller: str) -> Answer:
        """As `FhirService.answer`. In the answer to a Bundle, an entry that wrote something under an id that is too
        long is told under which it is kept."""
        asked, longs = _read(request, base)
        given = await self.service.answer(asked, base, caller)
        found = short_ids(given.body)
        if not found:
            return given
        names = {short_id(long): long for long in longs if long}
        names |= await self.known.written_ids(found - names.keys())
        if not found & names.keys():
            return given
        body = lengthened(json.parse(given.body, max_depth=_DEPTH), names)
        return replace(given, body=json.dump(_told(body, longs)))

    async def in_step(self) -> None:
        """Its writer was here and is content."""
        await self.known.in_step()


def _read(request: Request, base: str) -> tuple[Request, Sequence[str]]:
    """The request with ids as they are here, and the long id which each entry of its Bundle named, or it itself ('' for
    none)."""
    path = request.path.strip("/")
    if request.method == "POST" and not path:
        bundle = by_id(read_body(request))
        longs = [_asked(one, base) for one in _entries(bundle)]
        return replace(request, resource=shortened(bundle, base)), longs
    asked = replace(request, path=in_address(path), query=in_query(request.query, base))
    if request.method == "POST" and path.endswith("_search"):
        form = in_query(request.body.decode("latin-1"), base)
        asked = replace(asked, body=form.encode("latin-1"))
    if request.method == "PUT":
        asked = replace(asked, resource=shortened(read_body(request)))
    return asked, [long_in(path)]


def _entries(bundle: Resource) -> list[Any]:
    entries = bundle.get("entry")
    return entries if isinstance(entries, list) else []


def _asked(entry: Any, base: str) -> str:
    """The long id that an entry of a request to `base` names."""
    request = entry.get("request") if isinstance(entry, dict) else None
    url = request.get("url") if isinstance(request, dict) else None
    return long_in(url.removeprefix(base)) if isinstance(url, str) else ""


def _told(body: Resource, longs: Sequence[str]) -> Resource:
    """The answer to a Bundle with a word in the entries that wrote under a long id: `body`, changed in place."""
    if not str(body.get("type", "")).endswith("-response"):
        return body
    for entry, long in zip(_entries(body), longs, strict=True):
        response = entry["response"]
        if long and "location" in response:
            response.setdefault("outcome", {"resourceType": "OperationOutcome", "issue": []})
            response["outcome"]["issue"].append(_shorter(long))
    return body


def _shorter(long: str) -> Mapping[str, str]:
    return {
        "severity": "information",
        "code": "informational",
        "diagnostics": f"an id has at most 64 characters, and this one has {len(long)}: the resource is kept as "
        f"{short_id(long)}; at this address it is found by both, and meta.tag tells this one",
    }
