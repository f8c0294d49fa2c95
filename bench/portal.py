"""The pages of the board with a hundred organisations: how soon they are there."""

from __future__ import annotations

import asyncio
from datetime import timedelta

import httpx

from bench.generator import Plan, measure, request
from bench.pair import Pair, Place
from bench.report import Figure
from schakel.kernel.clock import new_id, now
from schakel.roadmap import wire
from schakel.roadmap.checks import CHECKS
from schakel.roadmap.evidence import Finding, Measured, Member, Run, Verdict
from schakel.roadmap.model import Text
from schakel.roadmap.reading import shipped

ORGANISATIONS = 100
_GOAL = 100.0
_SECONDS = 4.0
_RUNS = 3
_VERDICTS: tuple[Verdict, ...] = ("holds", "holds", "fails", "unknown")
_PAGES = {
    "region": "/portal/",
    "region, one sector": "/portal/?sector=VVT",
    "organisation": "/portal/organisations/90001000",
    "item": "/portal/items/GF-1",
    "cell": "/portal/items/GF-1/90001000",
}


async def portal(pair: Pair) -> list[Figure]:
    """Each page to one reader, whole and packed: its first byte is there before that. What the machine does beside it
    tells in the time until a page is there, and hardly in the processor time."""
    place = pair.holder
    async with httpx.AsyncClient(trust_env=False, timeout=60) as http:
        for number in range(_RUNS):
            answer = await http.post(
                f"http://127.0.0.1:{place.internal_port}/{place.slug}/roadmap/runs",
                headers={**place.headers, "Content-Type": "application/json"},
                content=wire.dump(_run(number)),
            )
            answer.raise_for_status()
    return [figure for name, path in _PAGES.items() for figure in await _page(place, name, path)]


async def _page(place: Place, name: str, path: str) -> list[Figure]:
    asked = [request("GET", path, {"Accept": "text/html", "Accept-Encoding": "gzip"})]
    plan = Plan(place.front_port, asked, 1, _SECONDS, 0.5, pid=place.pid)
    found = await asyncio.to_thread(measure, plan)
    told = f"{name}, {ORGANISATIONS} organisations"
    return [
        Figure("portal", f"{told}: p95", found.p95, "ms", "less", goal=_GOAL),
        Figure("portal", f"{told}: processor time of the node", found.cost / 1e3, "ms", "less"),
    ]


def _run(number: int) -> Run:
    """The region as it was measured some days ago; each time some is other than before."""
    at = now() - timedelta(days=_RUNS - number)
    sectors = list(shipped().sectors)
    members = tuple(
        Member(f"9000{1000 + place}", f"Organisation {place}", sectors[place % len(sectors)])
        for place in range(ORGANISATIONS)
    )
    measured = tuple(
        Measured(member.ura, _finding(check, row + column + number * (column % 3)), at)
        for row, member in enumerate(members)
        for column, check in enumerate(CHECKS)
    )
    started = at - timedelta(minutes=2)
    return Run(new_id(), "Bench", shipped().version, "bench", started, at, members, measured)


def _finding(check: str, place: int) -> Finding:
    return Finding(check, _VERDICTS[place % len(_VERDICTS)], Text("Zo gevonden.", "Found so."))
