"""Reads by id: at the internal door beside a bare endpoint, and at the guarded door."""

from __future__ import annotations

import asyncpg
import orjson

from bench.generator import Measured, Plan, measure, request
from bench.pair import Pair, Place
from bench.report import Figure

_SECONDS = 2.5
_ROUNDS = 3
CLIENTS = 16


def static(pair: Pair) -> tuple[Measured, Figure]:
    """What the generator costs: the endpoint that does nothing."""
    measured = measure(_plan(pair.bare_port, [request("GET", "/static")]))
    figure = Figure("generator", "against a static endpoint", measured.rate, "/s", "more")
    return measured, figure


def internal(pair: Pair, keys: list[str]) -> list[Figure]:
    """Reads by id at the internal door, in turns with the bare endpoint."""
    holder = pair.holder
    own = [request("GET", f"/{holder.slug}/fhir/stu3/{key}", holder.headers) for key in keys]
    bare = [request("GET", f"/read/{key}") for key in keys]
    ours, theirs = [], []
    for _ in range(_ROUNDS):
        ours.append(measure(_plan(holder.internal_port, own, holder)))
        theirs.append(measure(_plan(pair.bare_port, bare)))
    mine, reference = middle(ours), middle(theirs)
    beside = "bare endpoint"
    return [
        Figure("read", "by id", mine.rate, "/s", "more", reference.rate, beside, 0.6, of_ratio=True),
        Figure("read", "p50", mine.p50, "ms", "less", reference.p50, beside),
        Figure("read", "p99", mine.p99, "ms", "less", reference.p99, beside, 10),
        cost("read", mine),
    ]


async def readable(pair: Pair, keys: list[str]) -> tuple[list[str], list[str]]:
    """Those that the asker may read: by their own row, and Provenances, by their targets."""
    headers = {"Authorization": f"Bearer {await pair.token()}"}
    found = [key for key in keys if await _answers(pair, f"{pair.holder.issuer}/fhir/stu3/{key}", headers)]
    if not found:
        raise RuntimeError("the guarded door shows nothing of these patients")
    linked = [key for key in found if key.startswith("Provenance/")]
    return [key for key in found if key not in linked], linked


async def guarded(pair: Pair, direct: list[str], linked: list[str]) -> list[Figure]:
    """Reads with a bearer token at the door without TLS, each with its line in the log on disk before it is answered.
    `direct` and `linked` are those of `readable`."""
    holder = pair.holder
    headers = {"Authorization": f"Bearer {await pair.token()}"}

    def plan(chosen: list[str]) -> Plan:
        path = f"/{holder.slug}/fhir/stu3"
        return _plan(holder.front_port, [request("GET", f"{path}/{key}", headers) for key in chosen], holder)

    before = await logged(pair)
    runs = [measure(plan(direct)) for _ in range(_ROUNDS)]
    if await logged(pair) - before < sum(one.answers for one in runs):
        raise RuntimeError("answers went out that do not stand in the log")
    mine, through = middle(runs), measure(plan(linked))
    bare = measure(_plan(pair.bare_port, [request("GET", f"/read/{key}") for key in direct]))
    name, beside = "guarded read", "bare endpoint"
    return [
        Figure(name, f"{len(direct)} resources", mine.rate, "/s", "more", bare.rate, beside, 1200),
        Figure(name, "p50", mine.p50, "ms", "less", bare.p50, beside),
        Figure(name, "p99", mine.p99, "ms", "less", bare.p99, beside, 25),
        cost(name, mine),
        Figure(name, f"{len(linked)} Provenances, by their targets", through.rate, "/s", "more"),
    ]


def cost(scenario: str, measured: Measured) -> Figure:
    """What an answer cost the node."""
    return Figure(scenario, "processor time of the node", measured.cost / 1000, "ms", "less")


def _plan(port: int, requests: list[bytes], place: Place | None = None) -> Plan:
    return Plan(port, requests, CLIENTS, _SECONDS, warm_up=0.4, pid=place.pid if place else 0)


def middle(runs: list[Measured]) -> Measured:
    """The run with the middle rate: the machine has other things to do."""
    return sorted(runs, key=lambda one: one.rate)[len(runs) // 2]


async def _answers(pair: Pair, url: str, headers: dict[str, str]) -> bool:
    async with pair.session.get(url, headers=headers) as response:
        return response.status == 200 and "resourceType" in orjson.loads(await response.read())


async def logged(pair: Pair) -> int:
    """Disclosures in the log of the holder, counted in its database."""
    connection = await asyncpg.connect(pair.holder.dsn)
    try:
        return int(await connection.fetchval("SELECT count(*) FROM audit_event"))
    finally:
        await connection.close()
