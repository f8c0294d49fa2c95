"""The history of a whole node as a feed: following its pages, and asking when there is nothing new."""

from __future__ import annotations

from datetime import timedelta
from urllib.parse import quote, urlsplit

import aiohttp
import orjson

from bench import bulk, records
from bench.asking import asked, middle
from bench.generator import request
from bench.ingest import bundle
from bench.pair import Pair, Place
from bench.report import Figure
from schakel.kernel.clock import instant, now

_RECORDS = 50
"""Laboratory records that are written twice: 10,000 changes."""
_PAGE = 200
_SECONDS = 2.0
_ROUNDS = 3


async def history(pair: Pair) -> list[Figure]:
    """Writes the changes at the asker, and reads them as its feed."""
    place = pair.asker
    began = now() - timedelta(seconds=1)
    before = await bulk.stored(place)
    changes = 2 * records.RECORD * await _change(pair, place)
    pages = await _pages(pair.session, place, f"_since={quote(instant(began))}&_count={_PAGE}")
    seen = sum(number for _, number in pages)
    if seen < changes:
        raise RuntimeError(f"the feed has {seen} of {changes} changes")
    follow = [request("GET", path, place.headers) for path, _ in pages]
    following = middle([await asked(place, follow, 1, _SECONDS) for _ in range(_ROUNDS)])
    since = quote(instant(now() + timedelta(seconds=1)))
    idle = [request("GET", f"/{place.slug}/fhir/stu3/_history?_since={since}", place.headers)]
    figures = [
        Figure(
            "history",
            f"{seen:,} changes after {before.resources:,} resources, pages of {_PAGE}",
            following.rate * seen / len(pages),
            "changes/s",
            "more",
        ),
        Figure("history", "p50 of a page", following.p50, "ms", "less"),
        Figure("history", "processor time of the node for a page", following.node, "ms", "less"),
    ]
    for clients in (1, 16):
        waiting = middle([await asked(place, idle, clients, _SECONDS) for _ in range(_ROUNDS)])
        figures += [
            Figure("history", f"nothing new, {clients} polling: p50", waiting.p50, "ms", "less"),
            Figure("history", f"nothing new, {clients} polling: p99", waiting.p99, "ms", "less"),
        ]
    return figures


async def _change(pair: Pair, place: Place) -> int:
    """Writes some records twice through the internal door; returns how many records."""
    headers = {**place.headers, "Content-Type": "application/fhir+json"}
    url = f"http://127.0.0.1:{place.internal_port}/{place.slug}/fhir/stu3"
    for number in range(_RECORDS):
        resources = records.laboratory_record(records.person(records.FIRST + number))
        for _ in range(2):
            async with pair.session.post(url, data=bundle(resources), headers=headers) as response:
                if response.status != 200:
                    raise RuntimeError(f"{url} answered {response.status}")
    return _RECORDS


async def _pages(session: aiohttp.ClientSession, place: Place, query: str) -> list[tuple[str, int]]:
    """The pages of the feed: path and query, and the number of changes on it."""
    origin = f"http://127.0.0.1:{place.internal_port}"
    following = f"/{place.slug}/fhir/stu3/_history?{query}"
    pages = []
    while following:
        async with session.get(f"{origin}{following}", headers=place.headers) as response:
            if response.status != 200:
                raise RuntimeError(f"the feed answered {response.status}: {(await response.text())[:500]}")
            page = orjson.loads(await response.read())
        pages.append((following, len(page.get("entry", ()))))
        links = {link["relation"]: link["url"] for link in page["link"]}
        parts = urlsplit(links.get("next", ""))
        following = f"{parts.path}?{parts.query}" if "next" in links else ""
    return pages
