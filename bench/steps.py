"""What each step of a guarded request costs, one request at a time: medians, in microseconds.

A node is composed in this process from the holder's settings, on the holder's database and with listeners of its own,
as `schakel serve` does it; clocks are put around its steps from outside. Steps that ask the database say so: they wait
for an answer, the others are processor time. Consent by Mitz is asked at the desk itself, which has the stand-in of
Mitz behind it. `steps` runs this module in a process of its own: a plan comes in on standard input, figures go out.
"""

from __future__ import annotations

import asyncio
import json
import pickle
import socket
import subprocess
import sys
import time
from collections.abc import Awaitable, Callable, Iterator, Sequence
from contextlib import AsyncExitStack
from dataclasses import dataclass, field, replace
from pathlib import Path
from statistics import median
from typing import Any

import aiohttp
import uvloop
from starlette.routing import BaseRoute
from starlette.types import ASGIApp
from yarl import URL

from bench.bound import Shown
from bench.credentials import HOST, Credentials
from bench.generator import served_seconds
from bench.pair import USER, Pair
from bench.report import Figure
from schakel import compose, config, technical_log
from schakel.config import Settings
from schakel.exchanges.bgz import requests_for
from schakel.gateway import acts
from schakel.gateway.acts import Acts
from schakel.gateway.decision import Decision
from schakel.gateway.targets import Targets
from schakel.generic.authorisation import Policy
from schakel.generic.consent import ConsentDesk, ConsentQuestion
from schakel.generic.identity import AuthorisationServer
from schakel.generic.identity.tokens import showing
from schakel.generic.identity.tokens.rows import TokenRows
from schakel.generic.logging import AuditLog
from schakel.http.judging import ChainJudge, Verdicts
from schakel.http.listeners import listening
from schakel.http.routes import application
from schakel.kernel.clock import new_id
from schakel.serve import listeners
from schakel.server import FhirService

_ROOT = Path(__file__).resolve().parents[1]
_WARM_UP, _REQUESTS, _QUESTIONS, _HANDSHAKES = 60, 400, 60, 120
_DATABASE = "(database)"

_STEPS: tuple[tuple[str, Any, str, str], ...] = (
    ("certificate, verdict kept", Verdicts, "believed", ""),
    ("proof of possession verified", showing, "proved", ""),
    ("token found, proof used up", TokenRows, "find", _DATABASE),
    ("the token is bound to both", AuthorisationServer, "identify", ""),
    ("request parsed", FhirService, "parse", ""),
    ("form judged", Policy, "judge", ""),
    ("what it is about: resource and patient read, row that releases it", Targets, "target", _DATABASE),
    ("grounds that could suffice", Policy, "grounds", ""),
    ("consent: recorded ground", ConsentDesk, "permit", _DATABASE),
    ("decided by Cedar", Policy, "decide", ""),
    ("search executed", FhirService, "search", _DATABASE),
    ("minimised, targets of Provenances looked up", acts, "_minimised", _DATABASE),
    ("answer prepared", Acts, "prepared", ""),
    ("event and object of the decision made", Decision, "event", ""),
    ("event and object of the decision made", Decision, "json", ""),
    ("log durable with the decision", AuditLog, "write", _DATABASE),
)
"""Name, what has the function, its name there, and what it waits for. A step inside another is not counted twice."""


@dataclass(frozen=True, slots=True)
class _Plan:
    """`searches` and `reads` are (path below the FHIR base, headers); `patient` is one who allowed in Mitz."""

    configuration: Path
    slug: str
    mitz: str
    asker: str
    asker_type: str
    patient: str
    shown: Credentials
    reads: Sequence[tuple[str, dict[str, str]]]
    searches: Sequence[tuple[str, dict[str, str]]]


async def steps(pair: Pair, keys: Sequence[str], patients: Sequence[str], allowing: str) -> list[Figure]:
    """The table. `keys` can be read by the asker, `patients` (BSNs) be asked about; `allowing` is a BSN of whom no
    ground is recorded and who allows in Mitz."""
    holder, asker = pair.holder, pair.asker
    shown = await Shown.asked(pair)
    async with AsyncExitStack() as undo:
        choices: list[Any] = [
            {"patient": allowing, "holder": "GGC002", "requester": "RPZAC104", "allowed": True}
        ]
        await pair.facilities.start_mitz(undo, pair.session, holder.shown, choices)
        number = _WARM_UP + _REQUESTS
        searches = [requests_for(bsn)[0] for bsn in patients]
        plan = _Plan(
            holder.configuration,
            holder.slug,
            pair.facilities.mitz,
            asker.organisation.ura,
            asker.organisation.type_code,
            allowing,
            asker.shown,
            [(key, shown.headers(key)) for key in (keys[n % len(keys)] for n in range(number))],
            [(path, shown.headers(path)) for path in (searches[n % len(searches)] for n in range(number))],
        )
        done = await asyncio.to_thread(
            subprocess.run,
            [sys.executable, "-m", "bench.steps"],
            input=pickle.dumps(plan),
            stdout=subprocess.PIPE,
            check=True,
            cwd=_ROOT,
            timeout=120,
        )
    figures = [await _handshake(pair)]
    for scenario, found in json.loads(done.stdout).items():
        figures += [Figure(f"steps, {scenario}", name, spent, "us", "less") for name, spent in found.items()]
    return figures


async def _handshake(pair: Pair) -> Figure:
    """A new connection with mutual TLS, closed again: what it costs the node in processor time."""
    context = pair.asker.shown.client()
    before = served_seconds(pair.holder.pid)
    for _ in range(_HANDSHAKES):
        _, writer = await asyncio.open_connection(HOST, pair.holder.back_port, ssl=context)
        writer.close()
        await writer.wait_closed()
    spent = (served_seconds(pair.holder.pid) - before) / _HANDSHAKES
    return Figure(
        "steps", "TLS handshake, both show a certificate: processor time", spent * 1e6, "us", "less"
    )


# -- the process of the node that is timed ---------------------------------------------------------------------


@dataclass
class _Clocks:
    """What one request spent, by step, each without the steps inside it; `inside` is a stack of what those took."""

    spent: dict[str, float] = field(default_factory=dict)
    inside: list[float] = field(default_factory=list)

    def around(self, step: str, owner: Any, name: str) -> None:
        """Puts a clock around a function of a class or module."""
        given = getattr(owner, name)
        if asyncio.iscoroutinefunction(given):

            async def waiting(*args: Any, **named: Any) -> Any:
                began = self._enter()
                try:
                    return await given(*args, **named)
                finally:
                    self._leave(step, began)

            setattr(owner, name, waiting)
        else:

            def working(*args: Any, **named: Any) -> Any:
                began = self._enter()
                try:
                    return given(*args, **named)
                finally:
                    self._leave(step, began)

            setattr(owner, name, working)

    def application(self, routes: list[BaseRoute]) -> ASGIApp:
        """The routes with a clock around them."""
        app = application(routes)

        async def timed(scope: Any, receive: Any, send: Any) -> None:
            began = self._enter()
            try:
                await app(scope, receive, send)
            finally:
                self._leave("HTTP: routing, headers, answer", began)

        return timed

    def _enter(self) -> float:
        self.inside.append(0.0)
        return time.perf_counter()

    def _leave(self, step: str, began: float) -> None:
        whole = time.perf_counter() - began
        self.spent[step] = self.spent.get(step, 0.0) + whole - self.inside.pop()
        if self.inside:
            self.inside[-1] += whole


async def _measured(plan: _Plan) -> dict[str, dict[str, float]]:
    """By scenario, microseconds by step."""
    settings = _settings(plan)
    assert settings.back is not None
    technical_log.configure("warning")
    clocks = _Clocks()
    async with AsyncExitStack() as undo:
        node = await undo.enter_async_context(compose.node(settings))
        certificates = await _certificates(plan, node.verdicts)
        desk = node.organisations[plan.slug].consent.desk
        consent = dict([item async for item in _consent(plan, desk)])
        for name, owner, function, waits in _STEPS:
            clocks.around(f"{name} {waits}".strip(), owner, function)
        await undo.enter_async_context(listening(listeners(settings, node, clocks.application)))
        connector = aiohttp.TCPConnector(limit=1, ssl=plan.shown.client())
        session = await undo.enter_async_context(aiohttp.ClientSession(connector=connector))
        root = f"https://{HOST}:{settings.back.port}/{plan.slug}/fhir/stu3"
        reads = await _asked(session, root, plan.reads, clocks)
        searches = await _asked(session, root, plan.searches, clocks)
    return {"read": {**certificates, **reads}, "search": searches, "consent": consent}


def _settings(plan: _Plan) -> Settings:
    """The holder's, with ports of our own and with Mitz."""
    settings = config.load(plan.configuration)
    assert settings.back is not None
    front, internal, back = _ports(3)
    mitz = config.Mitz(
        base=plan.mitz,
        certificate=settings.back.certificate,
        key=settings.back.key,
        ca=settings.back.client_ca,
    )
    changed = {
        "front_port": front,
        "internal_port": internal,
        "back": settings.back.model_copy(update={"port": back}),
        "mitz": mitz,
    }
    return settings.model_copy(update=changed)


def _ports(number: int) -> Iterator[int]:
    """Ports that were free a moment ago."""
    held = [socket.create_server((HOST, 0)) for _ in range(number)]
    for one in held:
        yield one.getsockname()[1]
        one.close()


async def _asked(
    session: aiohttp.ClientSession,
    root: str,
    requests: Sequence[tuple[str, dict[str, str]]],
    clocks: _Clocks,
) -> dict[str, float]:
    """The medians of the steps, and what of a request they are together."""
    found: dict[str, list[float]] = {}
    for number, (path, headers) in enumerate(requests):
        clocks.spent.clear()
        async with session.get(URL(f"{root}/{path}", encoded=True), headers=headers) as response:
            body = await response.read()
            if response.status != 200:
                raise RuntimeError(f"{path} answered {response.status}: {body[:500].decode()}")
        if number >= _WARM_UP:
            for step, spent in clocks.spent.items():
                found.setdefault(step, []).append(spent * 1e6)
            found.setdefault("together", []).append(sum(clocks.spent.values()) * 1e6)
    return {step: median(spent) for step, spent in found.items()}


async def _certificates(plan: _Plan, verdicts: Verdicts | None) -> dict[str, float]:
    """Judging a client certificate anew: once in `verdict_seconds` for each."""
    assert verdicts is not None and isinstance(verdicts.judge, ChainJudge)
    chain = _chain(plan.shown)
    judge = verdicts.judge.judge
    name = "certificate judged anew: chain, use, list of withdrawals"
    return {name: await _median(lambda: judge(chain), _QUESTIONS)}


def _chain(shown: Credentials) -> tuple[bytes, ...]:
    """The certificates as TLS gives them: our own, those above it, the anchor."""
    from cryptography import x509
    from cryptography.hazmat.primitives.serialization import Encoding

    files = (shown.certificate, shown.anchors)
    found = [one for path in files for one in x509.load_pem_x509_certificates(path.read_bytes())]
    return tuple(one.public_bytes(Encoding.DER) for one in found)


async def _consent(plan: _Plan, desk: ConsentDesk) -> Any:
    """The desk with Mitz behind it: asked for each token anew, and with an answer that is kept."""
    question = ConsentQuestion(
        patient=plan.patient,
        requester=plan.asker,
        accepted=frozenset({"recorded", "mitz"}),
        token=new_id(),
        exchange="bgz",
        requester_type=plan.asker_type,
        user_id=USER.id,
        user_name=USER.name,
        user_role=USER.role,
        purpose="TREAT",
    )

    async def anew() -> None:
        found = await desk.permit(replace(question, token=new_id()))
        if found.kind != "mitz":
            raise RuntimeError(f"the ground was {found.kind}, not the choice in Mitz")

    yield f"Mitz asked {_DATABASE[:-1]}, the stand-in)", await _median(anew, _QUESTIONS)
    await desk.permit(question)
    yield f"answer of Mitz kept {_DATABASE}", await _median(lambda: desk.permit(question), _QUESTIONS)


async def _median(work: Callable[[], Awaitable[object]], number: int) -> float:
    """Microseconds; the first five do not count."""
    spent = []
    for _ in range(5 + number):
        began = time.perf_counter()
        await work()
        spent.append((time.perf_counter() - began) * 1e6)
    return median(spent[5:])


def _main() -> None:
    plan = pickle.load(sys.stdin.buffer)
    print(json.dumps(uvloop.run(_measured(plan))))


if __name__ == "__main__":
    # Under its own name, so that the pickled plan is of the class that is looked for here.
    from bench.steps import _main as main

    main()
