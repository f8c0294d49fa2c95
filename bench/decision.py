"""What a decision costs: the matrix alone, without parsing, tokens, consent or log. `python -m bench.decision` runs it.

Each round judges a parsed search, asks which grounds could suffice, and decides: what the guarded door does for one
request. The rounds go through every accepted search of every exchange, permitted and refused in turn.
"""

from __future__ import annotations

import time
from collections.abc import Callable
from itertools import cycle
from statistics import quantiles

from bench.report import Figure, hardware, table
from schakel.fhir import definitions
from schakel.fhir.definitions import VERSIONS
from schakel.fhir.search import QueryParser, encode
from schakel.generic.authorisation import Facts, Policy, Row
from schakel.kernel.values import BSN_SYSTEM
from schakel.server import Interaction, Request
from schakel.server.interaction import parse

_SECONDS = 2.0
_BSN = "999911120"
_NAMED = f"{BSN_SYSTEM}|{_BSN}"
_CLAIMS = {"patient_enrollment_identifier": _NAMED}


def decisions() -> list[Figure]:
    """The figures of judging, of deciding, and of all that a request asks of the matrix."""
    policy = Policy()
    asked = [(row, _search(row)) for row in policy.searches()]
    scopes = {row.id: policy.exchange(row.exchange).scopes for row, _ in asked}
    turns = cycle((row, interaction, role) for row, interaction in asked for role in ("01.015", "92.000"))

    def judged() -> None:
        row, interaction, _ = next(turns)
        policy.judge(scopes[row.id], interaction)

    def decided() -> None:
        row, _, role = next(turns)
        policy.forget()  # What is measured is Cedar, not the memory of its answers.
        policy.decide(_facts(row, role), "referral")

    def both() -> None:
        row, interaction, role = next(turns)
        judgement = policy.judge(scopes[row.id], interaction)
        facts = _facts(judgement.row, role)
        policy.grounds(facts)
        policy.forget()
        policy.decide(facts, "referral")

    return [*_timed("judge", judged), *_timed("decide", decided), *_timed("whole", both, goals=True)]


def _search(row: Row) -> Interaction:
    who = row.patient if row.type == "Patient" else f"{row.patient}:Patient.identifier"
    pairs = [(who, _NAMED), *((name, ",".join(sorted(values))) for name, values in row.parameters.items())]
    pairs += [("_include", include) for include in sorted(row.includes)]
    return parse(Request(row.version, "GET", row.type, encode(pairs), {}), _PARSERS[row.version])


_PARSERS = {version: QueryParser(definitions(version)) for version in VERSIONS}


def _facts(row: Row, role: str) -> Facts:
    return Facts(row.id, "00000001", "TREAT", role, facility_type="V6", claims=_CLAIMS, patient=_BSN)


def _timed(name: str, work: Callable[[], None], *, goals: bool = False) -> list[Figure]:
    """How often a core does a piece of work in a second of its time, the median and the 99th percentile."""
    spent: list[float] = []
    end, processor = time.perf_counter() + _SECONDS, time.process_time()
    while (began := time.perf_counter()) < end:
        work()
        spent.append(time.perf_counter() - began)
    rate = len(spent) / (time.process_time() - processor)
    cuts = quantiles(spent, n=100)
    return [
        Figure("decision", f"{name}, a core", rate, "/s", "more", goal=5_000 if goals else None),
        Figure("decision", f"{name}: p50", cuts[49] * 1e6, "us", "less", goal=200 if goals else None),
        Figure("decision", f"{name}: p99", cuts[98] * 1e6, "us", "less"),
    ]


if __name__ == "__main__":
    print(f"{hardware()}\n\n{table(decisions())}")
