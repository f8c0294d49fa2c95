"""The guarded door as others reach it: mutual TLS, and a token that is bound to the certificate and to a key.

A proof is used once, so each request is a text of its own. They are made and signed before the clock starts, in this
process: the generator only sends them. What the node does is all there: it judges the certificate, verifies the proof,
uses it up in the database, and answers when the log is on disk.
"""

from __future__ import annotations

import time
from collections.abc import Sequence

from bench.generator import Measured, Plan, measure, request
from bench.pair import Pair, Place, served_by
from bench.reading import CLIENTS, cost, logged, middle
from bench.report import Figure
from schakel.exchanges.bgz import requests_for
from schakel.generic.identity.dpop_key import DpopKey

_ROUNDS = 7
_PROCESSES = 2
_REQUESTS = 2400
_SEARCHES = 1200
_WARM_UP = 0.4
_ALONE = 300


class Shown:
    """A token of the asker at the holder, with the requests that show it."""

    def __init__(self, place: Place, token: str, key: DpopKey) -> None:
        self._place = place
        self._token = token
        self._key = key

    @classmethod
    async def asked(cls, pair: Pair) -> Shown:
        """With a new token, bound to a new key."""
        key = DpopKey.new()
        return cls(pair.holder, await pair.bound_token(key), key)

    def requests(self, paths: Sequence[str], number: int) -> list[bytes]:
        """So many GETs of these paths in turn, below the holder's FHIR base, each with a proof made now."""
        return [self._request(paths[place % len(paths)]) for place in range(number)]

    def headers(self, path: str) -> dict[str, str]:
        """What a GET of a path below the holder's FHIR base needs."""
        proof = self._key.proof("GET", f"{self._place.back}/fhir/stu3/{path}", self._token)
        return {"Authorization": f"DPoP {self._token}", "DPoP": proof}

    def _request(self, path: str) -> bytes:
        return request("GET", f"/{self._place.slug}/fhir/stu3/{path}", self.headers(path))


async def guarded(pair: Pair, keys: list[str], patients: list[str]) -> list[Figure]:
    """Reads by id and patient searches of the BgZ on back; `keys` can be read by the asker, `patients` (BSNs) be
    asked about. Raises `RuntimeError` for an answer that is not right or not in the log."""
    place, shown = pair.holder, await Shown.asked(pair)
    static = [request("GET", "/static")]
    own = measure(Plan(pair.bare_tls_port, static, CLIENTS, 1.5, _WARM_UP, shown=pair.asker.shown))
    before = await logged(pair)
    spent, made = 0.0, 0
    runs: list[Measured] = []
    for _ in range(_ROUNDS):
        began = time.process_time()
        requests = shown.requests(keys, _REQUESTS)
        spent, made = spent + time.process_time() - began, made + len(requests)
        runs.append(measure(_plan(place, requests, pair)))
    async with served_by(pair, _PROCESSES) as wide:
        several = [measure(_plan(wide, shown.requests(keys, _REQUESTS), pair)) for _ in range(_ROUNDS)]
    if await logged(pair) - before < sum(one.answers for one in runs + several):
        raise RuntimeError("answers went out that do not stand in the log")
    alone = measure(_plan(place, shown.requests(keys, _ALONE), pair, connections=1))
    searches = [requests_for(bsn)[0] for bsn in patients]
    found = measure(_plan(place, shown.requests(searches, _SEARCHES), pair, b'"total":1'))
    bare = measure(
        Plan(
            pair.bare_tls_port,
            [request("GET", f"/read/{key}") for key in keys],
            CLIENTS,
            2,
            _WARM_UP,
            shown=pair.asker.shown,
        )
    )
    mine, more = middle(runs), middle(several)
    wide_name = f"guarded over mTLS, DPoP, {_PROCESSES} processes"
    name, beside = "guarded over mTLS, DPoP", "bare mTLS endpoint"
    return [
        Figure("generator", "over mTLS, against a static endpoint", own.rate, "/s", "more"),
        Figure("generator", "over mTLS, its own processor time", own.own_cost, "us", "less"),
        Figure("generator", "a proof, made before the clock starts", spent / made * 1e6, "us", "less"),
        Figure(name, f"reads of {len(keys)} resources", mine.rate, "/s", "more", bare.rate, beside, 700),
        Figure(name, "p50", mine.p50, "ms", "less", bare.p50, beside),
        Figure(name, "p99", mine.p99, "ms", "less", bare.p99, beside, 40),
        cost(name, mine),
        Figure(wide_name, f"reads of {len(keys)} resources", more.rate, "/s", "more", bare.rate, beside, 700),
        Figure(wide_name, "p50", more.p50, "ms", "less", bare.p50, beside),
        Figure(wide_name, "p99", more.p99, "ms", "less", bare.p99, beside, 40),
        cost(wide_name, more),
        Figure(name, "one client: p50", alone.p50, "ms", "less"),
        Figure(name, f"patient search of the BgZ, {len(searches)} patients", found.rate, "/s", "more"),
        Figure(name, "patient search: p50", found.p50, "ms", "less"),
        Figure(name, "patient search: p99", found.p99, "ms", "less"),
    ]


def _plan(
    place: Place, requests: list[bytes], pair: Pair, expect: bytes = b"", connections: int = CLIENTS
) -> Plan:
    return Plan(
        place.back_port,
        requests,
        connections,
        warm_up=_WARM_UP,
        expect=expect,
        pid=place.pid,
        shown=pair.asker.shown,
    )
