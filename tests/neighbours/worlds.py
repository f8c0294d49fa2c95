"""The same organisation twice: with neighbours on its database, and alone in a world where those never were.

Who cannot see a neighbour gives the same answer in both worlds, to everything: that is the whole test. It looks at
status, headers and every byte of the body, but for what no two answers share (moments of today, fresh ids).
"""

from __future__ import annotations

import asyncio
import re
from collections.abc import Awaitable, Callable, Iterable, Mapping
from dataclasses import dataclass, field, replace
from typing import Any

import asyncpg

from schakel.fhir.definitions import Version
from schakel.kernel.outcomes import Outcome
from schakel.server import Answer, FhirService, Request
from schakel.server.answer import refusal
from schakel.sources import Write

BASE = "https://node.example/a/fhir"
_TODAY = re.compile(rb"20[2-9]\d-\d\d-\d\dT\d\d:\d\d:[\d.]+(?:Z|\+00:00)")
_UUID = re.compile(rb"[0-9a-f]{8}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{12}")
_CURSOR = re.compile(rb"_page=\d+\.\d+\.\d+\.\d+\.")
_NEXT = re.compile(rb'"relation":"next","url":"([^"]+)"')
_FRESH = ("Last-Modified",)

Seen = tuple[int, tuple[tuple[str, bytes], ...], bytes]


def steady(text: bytes) -> bytes:
    """`text` without what differs between any two answers."""
    return _CURSOR.sub(b"_page=", _UUID.sub(b"fresh-id", _TODAY.sub(b"today", text)))


def seen(answer: Answer) -> Seen:
    """What a caller sees of an answer."""
    headers = {n: steady(v.encode()) for n, v in answer.headers.items() if n not in _FRESH}
    return answer.status, tuple(sorted(headers.items())), steady(answer.body)


Door = Callable[[Request], Awaitable[Answer]]
"""A way to ask; it raises an `Outcome` to refuse."""


def internal(service: FhirService) -> Door:
    """The internal door of an organisation."""
    return lambda request: service.answer(request, f"{BASE}/{request.version}", "internal")


async def answered(door: Door, request: Request) -> Answer:
    """The answer, refusals among them; anything else that goes wrong goes wrong here too."""
    try:
        return await door(request)
    except Outcome as outcome:
        given = refusal(outcome, request.version)
        return replace(given, headers={**outcome.headers, **given.headers})


def next_of(request: Request, answer: Answer) -> Request | None:
    """The request for the page that follows."""
    link = _NEXT.search(answer.body)
    if link is None:
        return None
    query = link[1].decode().partition("?")[2]
    path = request.path.removesuffix("/_search")
    return Request(request.version, "GET", path, query, {})


@dataclass
class Tally:
    """How many requests were sent, what came of them (by status), and which told the worlds apart, or told a
    secret."""

    secrets: tuple[str, ...] = ()
    sent: int = 0
    statuses: dict[int, int] = field(default_factory=dict)
    different: list[str] = field(default_factory=list)

    def count(self, request: Request, alone: Answer, crowded: Answer) -> None:
        self.sent += 1
        self.statuses[alone.status] = self.statuses.get(alone.status, 0) + 1
        asked = f"{request.path} {request.query} {request.body!r}"
        told = f"{crowded.headers}{crowded.body.decode()}"
        if seen(alone) != seen(crowded) or any(
            secret in told and secret not in asked for secret in self.secrets
        ):
            line = f"{request.version} {request.method} {request.path}?{request.query} {request.body[:300]!r}"
            self.different.append(
                f"{line}: {alone.status} {len(alone.body)} / {crowded.status} {len(crowded.body)}"
            )


async def compare(alone: Door, crowded: Door, requests: Iterable[Request], *secrets: str) -> Tally:
    """Sends every request to both worlds, and follows the first page. `secrets` are in no answer."""
    tally = Tally(secrets)
    for request in requests:
        answers = await asyncio.gather(answered(alone, request), answered(crowded, request))
        tally.count(request, *answers)
        pages = [next_of(request, answer) for answer in answers]
        if pages[0] is not None and pages[1] is not None:
            following = await asyncio.gather(answered(alone, pages[0]), answered(crowded, pages[1]))
            tally.count(request, *following)
    return tally


async def fill(service: FhirService, version: Version, resources: Iterable[Mapping[str, Any]]) -> None:
    """Puts resources into the store as they are, past the checks of the API."""
    writes = [Write("PUT", str(r["resourceType"]), str(r["id"]), dict(r)) for r in resources]
    for start in range(0, len(writes), 200):
        await service.source.write(version, writes[start : start + 200])


async def fingerprint(pool: asyncpg.Pool, *slugs: str) -> dict[str, tuple[int, str]]:
    """Rows of these organisations, or of what is kept apart for them, in every table: their number and a digest."""
    async with pool.acquire() as connection:
        tables = await connection.fetch(
            "SELECT table_name AS name FROM information_schema.columns "
            "WHERE table_schema = current_schema() AND column_name = 'tenant' ORDER BY 1"
        )
        found = {}
        for table in (row["name"] for row in tables):
            row = await connection.fetchrow(
                "SELECT count(*) AS number, md5(coalesce(string_agg(md5(t::text), '' ORDER BY t::text), '')) AS digest "
                f"FROM {table} t WHERE tenant IN (SELECT id FROM tenant WHERE slug = ANY($1))",
                list(slugs),
            )
            assert row is not None
            found[table] = (row["number"], row["digest"])
        return found
