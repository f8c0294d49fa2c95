"""What the mathematics of a pseudonym cost, without any request: `python -m bench.pseudonyms` runs it.

`blind` is what a node does for each question (HKDF, hash to the group, one multiplication), `evaluate` what the PRS
does with its key, `unblind` what the recipient does besides opening the JWE.
"""

from __future__ import annotations

import time
from collections.abc import Callable
from statistics import quantiles

from bench.report import Figure, hardware, table
from schakel.generic.pseudonyms import Recipient, oprf
from schakel_national.prs.secrets import Evaluator

_SECONDS = 1.0
_PATIENT = "999911120"
_RECIPIENT = Recipient("oin:00000099000000001000", "nvi")


def pseudonyms() -> list[Figure]:
    """The figures of blinding, evaluating and unblinding."""
    key, _ = oprf.blind(b"")
    evaluator = Evaluator(key)
    scalar, point = oprf.blind(_RECIPIENT.input_of(_PATIENT))
    answer = evaluator.evaluated(point)
    return [
        *_timed("blind", lambda: oprf.blind(_RECIPIENT.input_of(_PATIENT))),
        *_timed("evaluate", lambda: evaluator.evaluated(point)),
        *_timed("unblind", lambda: oprf.unblinded(answer, scalar)),
    ]


def _timed(name: str, work: Callable[[], object]) -> list[Figure]:
    """The median and the 99th percentile of a piece of work."""
    spent: list[float] = []
    end = time.perf_counter() + _SECONDS
    while (began := time.perf_counter()) < end:
        work()
        spent.append(time.perf_counter() - began)
    cuts = quantiles(spent, n=100)
    return [
        Figure("pseudonyms", f"{name}: p50", cuts[49] * 1e6, "us", "less"),
        Figure("pseudonyms", f"{name}: p99", cuts[98] * 1e6, "us", "less"),
    ]


if __name__ == "__main__":
    print(f"{hardware()}\n\n{table(pseudonyms())}")
