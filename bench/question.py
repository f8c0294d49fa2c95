"""A question without naming holders, whole: `python -m bench.question` runs this alone.

The region of the demo, in processes of its own: two nodes, the stand-ins of the national facilities as one process,
one PostgreSQL with fsync on, everything over mutual TLS. Three holders at the two operators have a chart of each
patient; a professional of a fourth organisation, who logged in at Dezi, asks. The index and Mitz say who has data, the
copy of the national directory where they are, tokens are got by presentation, each holder asks Mitz whether it may, and
the answer is assembled. Nothing is kept from an earlier question but connections, tokens for the national facilities
and the metadata of holders.
"""

from __future__ import annotations

import argparse
import asyncio
import io
import shutil
import sys
import time
import tomllib
from collections.abc import Sequence
from contextlib import AsyncExitStack
from dataclasses import dataclass, replace
from pathlib import Path
from statistics import median

import aiohttp
import asyncpg
import orjson

from bench import question_steps
from bench.asking import backends, used
from bench.credentials import Credentials
from bench.generator import Plan, Rounds, measure, request, served_seconds
from bench.ingest import region
from bench.pair import free_row, temporary_folder
from bench.pseudonyms import pseudonyms
from bench.report import Figure, hardware, table
from schakel.demo import cast
from schakel.demo.check.choices import choose
from schakel.demo.check.professionals import logged_in
from schakel.demo.check.trial import Trial
from schakel.demo.doors import PORTS
from schakel.demo.loading import load
from schakel.demo.patients import Region
from schakel.demo.people import Person
from schakel.demo.region import Wanted, running
from schakel.demo.screen import Screen

HOLDERS = (cast.HOSPITAL_NORTH, cast.GENERAL_PRACTICE, cast.OUT_OF_HOURS)
PATIENTS = 25
_QUESTIONS, _WARM_UP, _STREAMED, _AT_ONCE, _ROUNDS = 60, 25, 40, 50, 3
_WIDTH = 27 + 1
"""Requests at a holder: a token and the searches of the BgZ."""

_RIGHT = b'"status":"complete","localised"'
_LOADED_SECONDS = 300.0
_NAME = "question"


@dataclass(frozen=True, slots=True)
class _Asking:
    """The region, and who asks about whom under which login."""

    trial: Trial
    patients: Sequence[Person]
    login: str
    processes: dict[str, int]
    databases: Sequence[str]

    @property
    def internal_port(self) -> int:
        return int(self.trial.requester.internal.split(":")[2].partition("/")[0])

    @property
    def headers(self) -> dict[str, str]:
        return {"X-API-Key": self.trial.requester.internal_key, "Content-Type": "application/json"}

    def bodies(self, number: int) -> list[bytes]:
        """So many questions, about each of the patients in turn."""
        return [
            orjson.dumps(self.trial.question(self.trial.requester, person.bsn, self.login, ()))
            for person in (self.patients[place % len(self.patients)] for place in range(number))
        ]

    def requests(self, number: int) -> list[bytes]:
        path = f"/{self.trial.requester.slug}/exchanges/bgz"
        return [request("POST", path, self.headers, body) for body in self.bodies(number)]

    async def spent(self) -> dict[str, float]:
        """Processor time so far in seconds, of each process and of the database."""
        served = [await backends(one) for one in self.databases]
        spent = {name: served_seconds(pid) for name, pid in self.processes.items()}
        return {**spent, "database": used(set().union(*served))}


async def questions(patients: int = PATIENTS) -> list[Figure]:
    """All figures, about so many patients. Raises `RuntimeError` for an answer that is not complete."""
    folder = temporary_folder()
    async with AsyncExitStack() as undo:
        undo.callback(shutil.rmtree, folder, ignore_errors=True)
        wanted = Wanted(data=folder / "region", patients=0, port=free_row(PORTS))
        up = await undo.enter_async_context(running(wanted, Screen(io.StringIO())))
        trial = await undo.enter_async_context(Trial.opened(up.published, up.folder.path))
        databases = [
            tomllib.loads((up.folder.path / f"{one}.toml").read_text("utf-8"))["database"]
            for one in cast.OPERATORS
        ]
        people = await _prepared(trial, patients, databases)
        processes = {one["name"]: one["pid"] for one in up.published["processes"] if one["name"] != "demo"}
        asking = _Asking(trial, people, await logged_in(trial), processes, databases)
        await asyncio.to_thread(
            measure, Plan(asking.internal_port, asking.requests(_WARM_UP), 1, expect=_RIGHT)
        )
        alone = await _alone(asking)
        streamed = await _streamed(asking)
        at_once = await _at_once(asking)
        steps = await asyncio.to_thread(_steps, asking)
    return [*alone, *streamed, *at_once, *steps, *pseudonyms()]


# -- what there is to ask about --------------------------------------------------------------------------------


async def _prepared(trial: Trial, number: int, databases: Sequence[str]) -> Sequence[Person]:
    """Patients with a chart at each of `HOLDERS` and nowhere else, registered at the index; each allows hospitals to
    ask, and each holder is told by Mitz what they choose."""
    there = frozenset(one.slug for one in HOLDERS)
    whole = region(12 * number)
    chosen = [told.person for told in whole.histories if there <= told.known_at][:number]
    if len(chosen) < number:
        raise RuntimeError(f"only {len(chosen)} people of the region are known at all three holders")
    known = {person.number for person in chosen}
    histories = tuple(
        replace(told, known_at=there if told.person.number in known else frozenset())
        for told in whole.histories
    )
    internal = {slug: one.internal for slug, one in trial.parties.items()}
    keys = {slug: one.internal_key for slug, one in trial.parties.items()}
    await load(trial.client, Region(whole.seed, whole.today, histories), internal, keys, lambda *_: None)
    for person in chosen:
        await choose(trial, person.bsn, "yes")
        for holder in HOLDERS:
            asked = {"patient": person.bsn, "birth_date": person.birth_date.isoformat()}
            party = trial.parties[holder.slug]
            reply = await trial.internal("POST", party, "/consent/subscriptions", asked)
            if reply.status != 202:
                raise RuntimeError(f"{holder.slug} took no subscription: {reply.said()}")
    await _until_known(databases, len(chosen) * len(HOLDERS))
    return chosen


async def _until_known(databases: Sequence[str], pairs: int) -> None:
    """Returns when so many pairs of holder and patient are registered and subscribed, and nobody is at work on more."""
    end = time.monotonic() + _LOADED_SECONDS
    while time.monotonic() < end:
        registered = subscribed = busy = 0
        for address in databases:
            connection = await asyncpg.connect(address)
            try:
                registered += await connection.fetchval(
                    "SELECT count(DISTINCT (tenant, patient)) FROM localisation_record WHERE state = 'active'"
                )
                busy += await connection.fetchval(
                    "SELECT count(*) FROM localisation_patient WHERE run_after IS NOT NULL"
                )
                subscribed += await connection.fetchval(
                    "SELECT count(*) FROM mitz_subscription WHERE state = 'active'"
                )
            finally:
                await connection.close()
        if registered >= pairs and subscribed >= pairs and not busy:
            return
        await asyncio.sleep(0.5)
    raise RuntimeError(f"{registered} registered, {subscribed} subscribed and {busy} waiting of {pairs}")


# -- measuring -------------------------------------------------------------------------------------------------


async def _alone(asking: _Asking) -> list[Figure]:
    """One question after the other, beside as many requests that do nothing."""
    before = await asking.spent()
    plan = Plan(asking.internal_port, asking.requests(_QUESTIONS), 1, expect=_RIGHT)
    found = await asyncio.to_thread(measure, plan)
    after = await asking.spent()
    bare = await asyncio.to_thread(measure, _bare(asking))
    beside = f"{_WIDTH * len(HOLDERS)} GETs that do nothing, over mTLS"
    size = found.received / found.answers / 1000
    what = f"of {_QUESTIONS} over three holders, {size:.0f} kB"
    figures = [
        Figure(_NAME, f"p50 {what}", found.p50, "ms", "less", bare.p50, beside, 400),
        Figure(_NAME, "p95", found.p95, "ms", "less", bare.p95, beside),
    ]
    shown = {
        f"node-{asking.trial.requester.operator}": "the asker's node, which has one of the holders",
        f"node-{asking.trial.holder.operator}": "the other node, with two",
        "database": "the database",
        "stand-ins": "the stand-ins",
    }
    for name, who in shown.items():
        spent = (after[name] - before[name]) / found.answers * 1000
        figures.append(Figure(_NAME, f"processor time of {who}", spent, "ms", "less"))
    return figures


def _bare(asking: _Asking) -> Rounds:
    """Rounds of requests at the doors of the holders, as many as a question has there, that are answered at once."""
    trial = asking.trial
    backs = [trial.parties[one.slug].back.rpartition("/")[0] for one in HOLDERS]
    urls = tuple(f"{back}/health/live" for back in backs for _ in range(_WIDTH))
    return Rounds(urls, _QUESTIONS, shown=_shown(asking))


def _shown(asking: _Asking) -> Credentials:
    """What the asker shows to others."""
    trial = asking.trial
    settings = tomllib.loads((trial.folder / f"{trial.requester.operator}.toml").read_text("utf-8"))
    own = next(one for one in settings["organisations"] if one["slug"] == trial.requester.slug)
    return Credentials(Path(own["tls_certificate"]), Path(own["tls_key"]), trial.anchors)


async def _streamed(asking: _Asking) -> list[Figure]:
    """The same told step by step: when the screen has something to show."""
    url = f"{asking.trial.requester.internal}/exchanges/bgz"
    headers = {**asking.headers, "Accept": "text/event-stream"}
    seen: dict[str, list[float]] = {"localised": [], "holder": [], "assembled": []}
    async with aiohttp.ClientSession() as session:
        for body in asking.bodies(_STREAMED):
            began = time.perf_counter()
            first: dict[str, float] = {}
            async with session.post(url, data=body, headers=headers) as answer:
                buffer = b""
                async for chunk in answer.content.iter_any():
                    *lines, buffer = (buffer + chunk).split(b"\n")
                    for line in lines:
                        if line.startswith(b"event: "):
                            first.setdefault(line[7:].strip().decode(), time.perf_counter() - began)
            for name, moments in seen.items():
                moments.append(first[name] * 1000)
    told = {
        "localised": "it is known who is asked",
        "holder": "the first holder is told",
        "assembled": "all is told",
    }
    return [
        Figure(_NAME, f"streamed, until {told[name]}: p50", median(moments), "ms", "less")
        for name, moments in seen.items()
    ]


async def _at_once(asking: _Asking) -> list[Figure]:
    """Fifty questions at once, a few times: the round with the middle time counts."""
    rounds = []
    for _ in range(_ROUNDS):
        plan = Plan(asking.internal_port, asking.requests(_AT_ONCE), _AT_ONCE, expect=_RIGHT)
        rounds.append(await asyncio.to_thread(measure, plan, strict=False))
    found = sorted(rounds, key=lambda one: one.seconds)[len(rounds) // 2]
    failures = sum(one.failures for one in rounds)
    if failures:
        print(f"... not complete: {next(one.wrong for one in rounds if one.failures)}", file=sys.stderr)
    what = f"{_AT_ONCE} at once"
    return [
        Figure(_NAME, f"{what}: until the last is answered", found.seconds, "s", "less"),
        Figure(_NAME, f"{what}: p50", found.p50 / 1000, "s", "less"),
        Figure(_NAME, f"{what}: p95", found.p95 / 1000, "s", "less"),
        Figure(_NAME, f"{what}: not complete in {_ROUNDS} rounds", failures, "questions", "less", goal=1),
    ]


def _steps(asking: _Asking) -> list[Figure]:
    trial = asking.trial
    found = question_steps.steps(
        question_steps.Plan(
            trial.folder / f"{trial.requester.operator}.toml",
            trial.requester.slug,
            asking.bodies(question_steps.WARM_UP + question_steps.QUESTIONS),
        )
    )
    return [Figure(f"{_NAME}, steps", name, spent, "ms", "less") for name, spent in found.items()]


def main() -> None:
    """Runs this scenario alone."""
    parser = argparse.ArgumentParser(prog="bench.question", description="A question over three holders.")
    parser.add_argument("--patients", type=int, default=PATIENTS, metavar="N")
    options = parser.parse_args()
    machine = hardware()
    print(f"\n{machine}\n\n{table(asyncio.run(questions(options.patients)))}")


if __name__ == "__main__":
    main()
