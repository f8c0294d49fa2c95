"""What each step of a question costs the one who asks: medians, in milliseconds of time that passed.

The asker's node is composed once more, in a process of its own, from the same settings and on the same database;
clocks are put around its steps from outside, and the exchange is asked without the HTTP around it. Steps overlap: the
facilities are asked at the same time, and so are the holders, on cores that they share with everything else on this
machine.
`steps` runs this module: a plan comes in on standard input, medians go out.
"""

from __future__ import annotations

import asyncio
import json
import pickle
import subprocess
import sys
import time
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path
from statistics import median
from typing import Any

import uvloop

from schakel import compose, config, technical_log
from schakel.exchanges.bgz import BgzExchange, exchange, parse_ask
from schakel.facilities import ClientCredentials
from schakel.generic.addressing import QueryDirectory
from schakel.generic.consent.mitz import Mitz
from schakel.generic.identity.credentials import Wallet
from schakel.generic.localisation import NviClient
from schakel.generic.logging import AuditLog
from schakel.generic.pseudonyms import Pseudonyms, oprf
from schakel.http.professionals import logged_in
from schakel.network import Locator, TokenAsker, holders

WARM_UP, QUESTIONS = 10, 40
_ROOT = Path(__file__).resolve().parents[1]

_STEPS: tuple[tuple[str, Any, str, Callable[[Iterable[float]], float]], ...] = (
    ("the question", BgzExchange, "fetch", sum),
    ("localise: all facilities, at the same time", Locator, "locate", sum),
    ("localise: tokens for PRS and NVI, as a rule kept", ClientCredentials, "token", sum),
    ("localise: the BSN blinded (mathematics)", oprf, "blind", sum),
    ("localise: blinded, and evaluated by the PRS", Pseudonyms, "token", sum),
    ("localise: the NVI asked", NviClient, "_send", sum),
    ("localise: Mitz asked the open question", Mitz, "holders", sum),
    ("address: found in the directory, the slowest of three", QueryDirectory, "find", max),
    ("token: the presentation signed, the slowest of three", Wallet, "present", max),
    ("token: got from the holder, the slowest of three", TokenAsker, "token", max),
    ("fetch: 27 searches, the fastest of three", holders, "fetch_base", min),
    ("fetch: 27 searches, the slowest of three", holders, "fetch_base", max),
    ("log: four events durable, together", AuditLog, "write", sum),
    ("assemble: by zib, doubles folded", exchange, "assemble", sum),
    ("answer: the Bundle with its Provenances", exchange, "bundle", sum),
    ("answer: written as JSON", exchange, "dump", sum),
)
"""Name, what has the function, its name there, and what counts when a question calls it several times. A step may
contain others."""


@dataclass(frozen=True, slots=True)
class Plan:
    """The settings of the asker's node, the organisation that asks, and the questions of its EHR; those of the warm-up
    come first."""

    configuration: Path
    slug: str
    questions: Sequence[bytes]


def steps(plan: Plan) -> dict[str, float]:
    """Milliseconds by step."""
    done = subprocess.run(
        [sys.executable, "-m", "bench.question_steps"],
        input=pickle.dumps(plan),
        stdout=subprocess.PIPE,
        check=True,
        cwd=_ROOT,
        timeout=300,
    )
    found: dict[str, float] = json.loads(done.stdout)
    return found


# -- the process that is timed ---------------------------------------------------------------------------------


@dataclass
class _Clocks:
    """What the calls of one question took, by function, in seconds."""

    spent: dict[tuple[int, str], list[float]] = field(default_factory=dict)

    def around(self, owner: Any, name: str) -> None:
        """Puts a clock around a function of a class or module, once."""
        key, given = (id(owner), name), getattr(owner, name)
        if hasattr(given, "clocked"):
            return

        def stop(began: float) -> None:
            self.spent.setdefault(key, []).append(time.perf_counter() - began)

        async def waiting(*args: Any, **named: Any) -> Any:
            began = time.perf_counter()
            try:
                return await given(*args, **named)
            finally:
                stop(began)

        def working(*args: Any, **named: Any) -> Any:
            began = time.perf_counter()
            try:
                return given(*args, **named)
            finally:
                stop(began)

        clocked: Any = waiting if asyncio.iscoroutinefunction(given) else working
        clocked.clocked = True
        setattr(owner, name, clocked)

    def taken(self) -> dict[str, float]:
        """Milliseconds by step, of the steps that were made."""
        return {
            step: count(calls) * 1000
            for step, owner, name, count in _STEPS
            if (calls := self.spent.get((id(owner), name)))
        }


async def _measured(plan: Plan) -> dict[str, float]:
    technical_log.configure("warning")
    clocks, found = _Clocks(), dict[str, list[float]]()
    for _, owner, name, _ in _STEPS:
        clocks.around(owner, name)
    async with compose.node(config.load(plan.configuration)) as node:
        organisation = node.organisations[plan.slug]
        for number, body in enumerate(plan.questions):
            ask = await parse_ask(body, partial(logged_in, organisation))
            clocks.spent.clear()
            answer = await organisation.bgz.fetch(ask)
            if b'"status":"complete","localised"' not in answer:
                raise RuntimeError(f"an answer was not complete: {answer[:3000].decode()}")
            if number >= WARM_UP:
                for step, spent in clocks.taken().items():
                    found.setdefault(step, []).append(spent)
    return {step: median(found[step]) for step, *_ in _STEPS if step in found}


def _main() -> None:
    plan = pickle.load(sys.stdin.buffer)
    print(json.dumps(uvloop.run(_measured(plan))))


if __name__ == "__main__":
    # Under its own name, so that the pickled plan is of the class that is looked for here.
    from bench.question_steps import _main as main

    main()
