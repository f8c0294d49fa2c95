"""Holders that are slow, broken or lie: each gets the result it deserves, and none hides or spoils another.

All are asked at once. The lie is in the answer to request 7 (Condition) unless its name says otherwise.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import AsyncIterator, Awaitable, Callable
from dataclasses import dataclass
from typing import Any

import httpx
import orjson
import pytest
import pytest_asyncio
from aiohttp import web
from aiohttp.test_utils import TestServer, unused_port
from tests.guarded import BSN, OTHER, condition, guarded_node, observation, patient, provenance
from tests.nodes import DOCTOR, RunningNode

from schakel import compose
from schakel.config import Peer
from schakel.exchanges.bgz import requests_for
from schakel.fhir import definitions, structure
from schakel.http.routes import application, internal
from schakel.kernel.values import BSN_SYSTEM
from schakel.store.embedded import EmbeddedServer

TIMEOUT = 4.0
LATE = "in time|time-out"
"""What is said of a holder that is late: who noticed first, the exchange or the connection, may differ."""

FHIR = "application/fhir+json"
MINE, THEIRS = {"reference": "Patient/p1"}, {"reference": "Patient/p2"}
GOOD = "90000001"
CONDITIONS = requests_for(BSN)[6]

Answer = Callable[[web.Request, str], Awaitable[web.StreamResponse]]


def searchset(base: str, *resources: dict[str, Any], mode: str = "match", **members: Any) -> web.Response:
    """A searchset of these resources, below the base of the holder."""
    entries = [
        {"fullUrl": f"{base}/{r['resourceType']}/{r.get('id')}", "resource": r, "search": {"mode": mode}}
        for r in resources
    ]
    bundle: dict[str, Any] = {"resourceType": "Bundle", "type": "searchset", **members}
    if entries:
        bundle["entry"] = entries
    return web.Response(body=orjson.dumps(bundle), content_type=FHIR)


def following(url: str) -> dict[str, Any]:
    return {"link": [{"relation": "next", "url": url}]}


async def raw(body: bytes, media: str = FHIR, status: int = 200) -> web.Response:
    return web.Response(body=body, status=status, headers={"Content-Type": media})


async def hang(_request: web.Request, _base: str) -> web.StreamResponse:
    await asyncio.sleep(60)
    raise AssertionError("nobody waits this long")


async def truncated(request: web.Request, _base: str) -> web.StreamResponse:
    response = web.StreamResponse(headers={"Content-Type": FHIR, "Content-Length": "5000"})
    await response.prepare(request)
    await response.write(b'{"resourceType":"Bundle",')
    assert request.transport is not None
    request.transport.close()
    return response


async def drip(request: web.Request, _base: str) -> web.StreamResponse:
    response = web.StreamResponse(headers={"Content-Type": FHIR})
    await response.prepare(request)
    while True:
        await response.write(b" ")
        await asyncio.sleep(0.2)


async def endless(request: web.Request, base: str) -> web.StreamResponse:
    number = int(request.query.get("page", "0")) + 1
    one = condition(f"c{number}", MINE)
    return searchset(base, one, **following(f"{base}/Condition?page={number}"))


MANY = tuple(f"Observation/o{n} not-referred-to" for n in range(20_000))


async def slow_to_read(_request: web.Request, base: str) -> web.StreamResponse:
    many = [observation(f"o{n}", MINE) for n in range(len(MANY))]
    return searchset(base, *many)


def lie(make: Callable[[str], web.Response | Awaitable[web.Response]]) -> Answer:
    async def answer(_request: web.Request, base: str) -> web.StreamResponse:
        made = make(base)
        return made if isinstance(made, web.Response) else await made

    return answer


@dataclass(frozen=True)
class Case:
    """A holder: how it answers, and what must become of it; where speed decides, one of several with | between.

    `status` and `reason` are those of the request that `answer` serves, `kept` and `dropped` its numbers;
    `holder` is the status of the holder. `everywhere`: all its FHIR requests are answered so.
    """

    answer: Answer
    status: str
    holder: str
    reason: str = ""
    kept: int = 0
    dropped: tuple[str, ...] = ()
    everywhere: bool = False
    token: Answer | None = None
    patient: Answer | None = None


c1 = condition("c1", MINE)
CASES = {
    "refuses the token": Case(
        hang,
        "refused",
        "refused",
        "invalid_client",
        everywhere=True,
        token=lie(lambda _: raw(b'{"error":"invalid_client"}', "application/json", 401)),
    ),
    "gives a token that is none": Case(
        hang, "failed", "failed", "no usable token", everywhere=True, token=lie(lambda _: raw(b"{}"))
    ),
    "hangs at the token": Case(hang, "failed", "failed", LATE, everywhere=True, token=hang),
    "refuses every request": Case(
        lie(lambda _: raw(b'{"issue":[{"diagnostics":"decided"}]}', FHIR, 403)),
        "refused",
        "refused",
        "403: decided",
        everywhere=True,
    ),
    "hangs at every request": Case(hang, "failed", "failed", LATE, everywhere=True),
    "hangs at one": Case(hang, "failed", "incomplete", LATE),
    "drips": Case(drip, "failed", "incomplete", LATE),
    "fails": Case(lie(lambda _: raw(b"oops", "text/plain", 500)), "failed", "incomplete", "answered 500"),
    "is another version by header": Case(
        lie(lambda _: raw(b'{"resourceType":"Bundle","type":"searchset"}', f"{FHIR}; fhirVersion=4.0")),
        "failed",
        "incomplete",
        "FHIR 4.0",
    ),
    "is another version by content": Case(
        lie(lambda base: searchset(base, condition("c1", MINE, clinicalStatus={"text": "active"}))),
        "failed",
        "incomplete",
        "does not follow FHIR STU3",
    ),
    "breaks the base structure": Case(
        lie(lambda base: searchset(base, {"resourceType": "Condition", "id": "c1", "invented": 1})),
        "failed",
        "incomplete",
        "invented",
    ),
    "gives no searchset": Case(lie(lambda _: raw(orjson.dumps(c1))), "failed", "incomplete", "no searchset"),
    "gives HTML": Case(lie(lambda _: raw(b"<html/>", "text/html")), "failed", "incomplete", "not FHIR JSON"),
    "gives half a JSON": Case(lie(lambda _: raw(b'{"resourceType":')), "failed", "incomplete", "JSON"),
    "says a thing twice": Case(
        lie(lambda _: raw(b'{"resourceType":"Bundle","type":"searchset","type":"searchset"}')),
        "failed",
        "incomplete",
        "twice",
    ),
    "stops halfway": Case(truncated, "failed", "incomplete", "no answer"),
    "gives too much": Case(lie(lambda _: raw(b" " * 11_000_000)), "failed", "incomplete", "larger than"),
    "gives no ids": Case(
        lie(lambda base: searchset(base, {k: v for k, v in c1.items() if k != "id"})),
        "failed",
        "incomplete",
        "without id",
    ),
    "sends elsewhere": Case(
        lie(lambda base: searchset(base, c1, **following("http://127.0.0.1:1/fhir/Condition?p=2"))),
        "incomplete",
        "incomplete",
        "not below the holder's FHIR base",
        kept=1,
    ),
    "sends in a circle": Case(
        lie(lambda base: searchset(base, c1, **following(f"{base}/{CONDITIONS}"))),
        "incomplete",
        "incomplete",
        "do not end",
        kept=1,
    ),
    "sends on for ever": Case(endless, "incomplete", "incomplete", f"do not end|{LATE}", kept=-1),
    "keeps some back": Case(
        lie(lambda base: searchset(base, c1, total=3)), "incomplete", "incomplete", "has 3 and gave 1", kept=1
    ),
    "gives another patient's": Case(
        lie(
            lambda base: searchset(base, c1, condition("c2", THEIRS), condition("c3", MINE, asserter=THEIRS))
        ),
        "complete",
        "complete",
        kept=1,
        dropped=("Condition/c2 other-patient", "Condition/c3 other-patient"),
    ),
    "gives another's by BSN": Case(
        lie(
            lambda base: searchset(
                base, condition("c2", {**MINE, "identifier": {"system": BSN_SYSTEM, "value": OTHER}})
            )
        ),
        "complete",
        "complete",
        dropped=("Condition/c2 other-patient",),
    ),
    "gives another patient": Case(
        lie(lambda base: searchset(base, c1, patient("p2", OTHER))),
        "complete",
        "complete",
        kept=1,
        dropped=("Patient/p2 other-patient",),
    ),
    "gives what was not asked": Case(
        lie(lambda base: searchset(base, observation("o1", MINE), provenance("pr", "Observation/o1"))),
        "complete",
        "complete",
        dropped=("Observation/o1 not-referred-to", "Provenance/pr target-not-released"),
    ),
    "gives inclusions nobody asked": Case(
        lie(lambda base: searchset(base, observation("o1", MINE), mode="include")),
        "complete",
        "complete",
        dropped=("Observation/o1 not-referred-to",),
    ),
    "gives many where one may stand": Case(
        lie(
            lambda base: searchset(
                base,
                {**c1, "meta": [{"versionId": ["1", "2"]}]},
                condition("c2", {"reference": ["Patient/p1", "Patient/p2"]}),
                condition("c3", MINE, contained=[patient("x", BSN, identifier=[{"value": [BSN, OTHER]}])]),
            )
        ),
        "complete",
        "complete",
        kept=1,
        dropped=("Condition/c2 other-patient", "Condition/c3 other-patient"),
    ),
    "knows somebody else": Case(
        lie(lambda base: searchset(base, condition("c2", THEIRS))),
        "incomplete",
        "incomplete",
        "own record",
        dropped=("Condition/c2 other-patient",),
        patient=lie(lambda base: searchset(base, patient("p2", OTHER))),
    ),
    "knows one person with two numbers": Case(
        lie(lambda base: searchset(base, c1)),
        "incomplete",
        "incomplete",
        "own record",
        dropped=("Condition/c1 other-patient",),
        patient=lie(
            lambda base: searchset(
                base,
                patient("p1", BSN, identifier=[{"system": BSN_SYSTEM, "value": n} for n in (BSN, OTHER)]),
            )
        ),
    ),
    "is slow to read": Case(slow_to_read, "failed|complete", "incomplete|complete", f"{LATE}|", dropped=MANY),
}
URAS = {name: f"{80000000 + number}" for number, name in enumerate(CASES)}
DOWN, UNKNOWN = "80009998", "80009999"


async def served(request: web.Request) -> web.StreamResponse:
    """The answer of the holder that the path names by its URA."""
    ura, path = request.match_info["ura"], request.match_info["path"]
    case = CASES[next(name for name, number in URAS.items() if number == ura)]
    base = str(request.url.origin() / ura / "fhir")
    if path == "token":
        if case.token is not None:
            return await case.token(request, base)
        return web.json_response({"access_token": "t", "token_type": "Bearer"})
    assert request.headers["Authorization"] == "Bearer t"
    kind = path.removeprefix("fhir/").partition("/")[0]
    if kind == "Condition" or case.everywhere:
        response = await case.answer(request, base)
        if not response.prepared:
            response.headers["X-Decision-ID"] = f"decision-of-{ura}"
        return response
    if kind == "Patient":
        if case.patient is not None:
            return await case.patient(request, base)
        return searchset(base, patient("p1", BSN))
    return searchset(base)


def peer(ura: str, root: str) -> Peer:
    return Peer(
        ura=ura,
        name=f"Holder {ura}",
        issuer=f"{root}/{ura}",
        token_endpoint=f"{root}/{ura}/token",
        fhir={"stu3": f"{root}/{ura}/fhir"},
        jwks={"keys": []},
    )


@dataclass(frozen=True)
class Asked:
    """One exchange with all holders at once: its answer, its seconds, and the rows it left at the requester."""

    body: dict[str, Any]
    seconds: float
    rows_before: dict[str, int]
    rows_after: dict[str, int]

    def of(self, ura: str) -> dict[str, Any]:
        [holder] = [h for h in self.body["holders"] if h["ura"] == ura]
        found: dict[str, Any] = holder
        return found


async def rows(node: RunningNode) -> dict[str, int]:
    """The number of rows in every table but the log and what tokens leave."""
    names = await node.node.pool.fetch("SELECT relname FROM pg_stat_user_tables")
    counted = {}
    for name in {str(row["relname"]) for row in names} - {"audit_event", "access_token", "used_assertion"}:
        counted[name] = await node.node.pool.fetchval(f"SELECT count(*) FROM {name}")
    return counted


@pytest_asyncio.fixture(scope="module", loop_scope="session")
async def asked(cluster: EmbeddedServer) -> AsyncIterator[Asked]:
    app = web.Application()
    app.router.add_route("*", "/{ura}/{path:.*}", served)
    liars = TestServer(app, shutdown_timeout=0.1)
    await liars.start_server()
    root = str(liars.make_url("")).rstrip("/")
    async with guarded_node(cluster, "lying") as node:
        await node["a"].ground(BSN, node["b"].ura)
        directory = (
            *node.settings.directory,
            *(peer(ura, root) for ura in URAS.values()),
            peer(DOWN, f"http://127.0.0.1:{unused_port()}"),
        )
        settings = node.settings.model_copy(update={"directory": directory, "source_timeout": TIMEOUT})
        ask = {
            "patient": BSN,
            "holders": [*URAS.values(), DOWN, UNKNOWN, GOOD],
            "user": DOCTOR.json(),
            "purpose": "TREAT",
            "treatment_relation": "current",
        }
        async with (
            compose.node(settings) as requester,
            httpx.AsyncClient(
                transport=httpx.ASGITransport(application(internal(requester))), base_url="http://b"
            ) as client,
        ):
            before = await rows(node)
            started = time.monotonic()
            answer = await client.post("/b/exchanges/bgz", json=ask, headers={"X-API-Key": node["b"].key})
            seconds = time.monotonic() - started
            assert answer.status_code == 200, answer.text
            yield Asked(answer.json(), seconds, before, await rows(node))
    await liars.close()


@pytest.mark.parametrize("name", CASES)
def test_each_holder_gets_the_result_it_deserves(asked: Asked, name: str) -> None:
    case, holder = CASES[name], asked.of(URAS[name])
    assert holder["status"] in case.holder.split("|"), holder["requests"][6]
    assert len(holder["requests"]) == 27
    for number, request in enumerate(holder["requests"], 1):
        if number != 7 and not case.everywhere:
            continue
        assert request["number"] == number
        assert request["status"] in case.status.split("|"), request["reason"]
        assert any(words in request["reason"] for words in case.reason.split("|")), request["reason"]
        if case.kept >= 0:
            assert request["entries"] == case.kept
        if request["status"] == "complete" or case.dropped != MANY:
            held_back = [f"{d['resource']} {d['reason']}" for d in request["held_back"]]
            assert (held_back, request["dropped"]) == (list(case.dropped), len(case.dropped))


def test_the_good_holders_data_come_complete_and_in_time(asked: Asked) -> None:
    good = asked.of(GOOD)
    assert (good["status"], {r["status"] for r in good["requests"]}) == ("complete", {"complete"})
    urls = {e["fullUrl"] for e in asked.body["bundle"]["entry"] if "/a/fhir/stu3/" in e["fullUrl"]}
    found = {"/".join(url.split("/")[-2:]) for url in urls}
    assert {"Patient/p1", "Condition/c1", "Observation/lab", "Observation/member"} <= found
    assert {"Coverage/cov", "Organization/insurer", "Medication/m1", "Practitioner/gp"} <= found
    assert len(found) == sum(1 for _ in urls)
    assert asked.seconds < TIMEOUT + 2


def test_holders_that_cannot_be_reached_failed(asked: Asked) -> None:
    assert (asked.of(DOWN)["status"], "no answer" in asked.of(DOWN)["reason"]) == ("failed", True)
    assert (asked.of(UNKNOWN)["status"], "directory" in asked.of(UNKNOWN)["reason"]) == ("failed", True)
    assert asked.body["status"] == "incomplete"


def test_a_refusal_is_shown_with_the_holders_decision(asked: Asked) -> None:
    ura = URAS["refuses every request"]
    assert {r["decision"] for r in asked.of(ura)["requests"]} == {f"decision-of-{ura}"}


def test_nothing_of_another_patient_passes(asked: Asked) -> None:
    text = orjson.dumps(asked.body["bundle"]).decode()
    assert OTHER not in text and "Patient/p2" not in text
    patients = [
        e["resource"] for e in asked.body["bundle"]["entry"] if e["resource"]["resourceType"] == "Patient"
    ]
    assert patients and all(p["identifier"] == [{"system": BSN_SYSTEM, "value": BSN}] for p in patients)


def test_each_holder_that_delivered_has_one_provenance_and_its_own_addresses(asked: Asked) -> None:
    entries = asked.body["bundle"]["entry"]
    made = [
        e["resource"]
        for e in entries
        if e["resource"]["resourceType"] == "Provenance" and e["fullUrl"].startswith("urn:uuid:")
    ]
    by_ura = {p["agent"][0]["whoReference"]["identifier"]["value"]: p for p in made}
    assert len(by_ura) == len(made)
    targets = [t["reference"] for p in made for t in p["target"]]
    others = [e["fullUrl"] for e in entries if not e["fullUrl"].startswith("urn:uuid:")]
    assert sorted(targets) == sorted(others) and len(set(others)) == len(others)
    for ura, one in by_ura.items():
        part = "/a/fhir/stu3/" if ura == GOOD else f"/{ura}/fhir/"
        assert all(part in t["reference"] for t in one["target"])
    nothing = {"refuses the token", "hangs at every request", "knows somebody else"}
    assert not {URAS[name] for name in nothing} & by_ura.keys()
    assert GOOD in by_ura


def test_the_bundle_follows_the_base_definitions(asked: Asked) -> None:
    bundle, known = asked.body["bundle"], definitions("stu3")
    assert bundle["type"] == "collection"
    assert not [i for i in structure.check(bundle, known, lenient=True) if i.severity == "error"]
    # What one liar sent as leniently as the published data is passed on as it came; all else is strict.
    lenient = f"/{URAS['gives many where one may stand']}/"
    strict = [entry for entry in bundle["entry"] if lenient not in entry["fullUrl"]]
    assert structure.check({**bundle, "entry": strict}, known) == []
    assert len(strict) == len(bundle["entry"]) - 2


def test_nothing_is_stored_at_the_requester(asked: Asked) -> None:
    assert asked.rows_after == asked.rows_before
