"""Holders that are slow, broken or lie, each at its own URA on one small server, and what must become of each.

The lie is in the answer to request 7 (Condition) unless the case says `everywhere`.
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from typing import Any

import orjson
from aiohttp import web
from tests.guarded import BSN, OTHER, condition, observation, patient, provenance

from schakel.config import Peer
from schakel.exchanges.bgz import requests_for
from schakel.kernel.values import BSN_SYSTEM

TIMEOUT = 8.0
"""Seconds that a holder has in an exchange with late ones."""

LATE = "in time|time-out"
"""What is said of a holder that is late: who noticed first, the exchange or the connection, may differ."""

FHIR = "application/fhir+json"
MINE, THEIRS = {"reference": "Patient/p1"}, {"reference": "Patient/p2"}
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


async def slow_token(_request: web.Request, _base: str) -> web.StreamResponse:
    await asyncio.sleep(0.6 * TIMEOUT)
    return web.json_response({"access_token": "t", "token_type": "Bearer"})


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
    """A holder: how it answers, and what must become of it.

    `status` and `reason` (one of several with | between) are those of the request that `answer` serves, `kept`
    and `dropped` its numbers; `holder` is the status of the holder. `everywhere`: all its FHIR requests are
    answered so. `late`: it uses up all the time it has.
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
    late: bool = False


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
    "hangs at the token": Case(hang, "late", "late", LATE, everywhere=True, token=hang, late=True),
    "refuses every request": Case(
        lie(lambda _: raw(b'{"issue":[{"diagnostics":"decided"}]}', FHIR, 403)),
        "refused",
        "refused",
        "403: decided",
        everywhere=True,
    ),
    "hangs after a slow token": Case(
        hang, "late", "late", LATE, everywhere=True, token=slow_token, late=True
    ),
    "hangs at every request": Case(hang, "late", "late", LATE, everywhere=True, late=True),
    "hangs at one": Case(hang, "late", "incomplete", LATE, late=True),
    "drips": Case(drip, "late", "incomplete", LATE, late=True),
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
    "gives too much": Case(
        lie(lambda _: raw(b" " * 11_000_000)),
        "failed",
        "incomplete",
        "larger than|than one exchange may bring",
    ),
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
    "sends on for ever": Case(endless, "incomplete", "incomplete", "do not end", kept=200),
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
    "is slow to read": Case(slow_to_read, "complete", "complete", dropped=MANY),
}
URAS = {name: f"{80000000 + number}" for number, name in enumerate(CASES)}


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
