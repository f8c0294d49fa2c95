"""The BgZ between two node processes over mutual TLS: a token and 27 guarded searches at the holder for one question of
an EHR."""

from __future__ import annotations

import orjson

from bench.credentials import HOST
from bench.generator import Plan, Rounds, measure, request, served_seconds
from bench.pair import USER, Pair
from bench.report import Figure

_EXCHANGES = 80
_WIDTH = 27


def bgz(pair: Pair, patients: list[str]) -> list[Figure]:
    """Exchanges one at a time, of patients (BSNs) whose record holds all of the BgZ."""
    asker = pair.asker
    headers = {**asker.headers, "Content-Type": "application/json"}
    path = f"/{asker.slug}/exchanges/bgz"
    requests = [request("POST", path, headers, _ask(pair, bsn)) for bsn in patients]
    right = b'"status":"complete","localised"'
    measure(Plan(asker.internal_port, requests, connections=1, expect=right))
    chosen = [requests[number % len(requests)] for number in range(_EXCHANGES)]
    before = served_seconds(pair.holder.pid)
    measured = measure(Plan(asker.internal_port, chosen, connections=1, expect=right, pid=asker.pid))
    answering = (served_seconds(pair.holder.pid) - before) / len(chosen)
    urls = (f"https://{HOST}:{pair.bare_tls_port}/static",) * _WIDTH
    bare = measure(Rounds(urls, _EXCHANGES, shown=asker.shown))
    beside = f"{_WIDTH} bare GETs over mTLS"
    size = measured.received / measured.answers / 1000
    return [
        Figure(
            "bgz", f"p50 of {_EXCHANGES}, {size:.0f} kB", measured.p50, "ms", "less", bare.p50, beside, 120
        ),
        Figure("bgz", "p95", measured.p95, "ms", "less", bare.p95, beside, 150),
        Figure("bgz", "processor time of the asker", measured.cost / 1000, "ms", "less"),
        Figure("bgz", "processor time of the holder", answering * 1000, "ms", "less"),
    ]


def _ask(pair: Pair, bsn: str) -> bytes:
    return orjson.dumps(
        {
            "patient": bsn,
            "holders": [pair.holder.organisation.ura],
            "user": {"id": USER.id, "name": USER.name, "role": USER.role},
            "purpose": "TREAT",
            "treatment_relation": "current",
        }
    )
