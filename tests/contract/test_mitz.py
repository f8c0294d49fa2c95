"""Our client of Mitz over TLS, against a server that answers by hand: right, wrong, late, broken."""

from __future__ import annotations

import asyncio
import datetime
import uuid
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

import orjson
import pytest
from aiohttp import web
from lxml import etree
from tests.mitz import (
    BSN,
    FAULT,
    HOLDER,
    OTHER_BSN,
    QUESTION,
    SOAP_TYPE,
    Handler,
    Register,
    Trusting,
    answer,
    decides,
    facility,
    message_of,
    permits,
    register,
    result,
    said,
    says,
)
from tests.nodes import free_ports

from schakel.facilities import FacilityAway, FacilityRules
from schakel.generic.consent.mitz import AnswerUnusable, Mitz, Signing, SubscriptionRequest
from schakel.generic.consent.mitz.client import CLOSED, SUBSCRIPTION


@pytest.fixture(scope="module")
def trusting(tmp_path_factory: pytest.TempPathFactory) -> Trusting:
    return Trusting.made(tmp_path_factory.mktemp("mitz"))


async def test_the_question_arrives_as_the_handbook_has_it(trusting: Trusting) -> None:
    async with register(trusting, permits) as there, facility(trusting, there.port) as connection:
        said_to_us = await Mitz(connection).ask(QUESTION)
    assert said_to_us.decision == "Permit"
    [(request, body)] = there.asked
    assert (request.method, request.path) == ("POST", f"/mitz{CLOSED}")
    assert request.headers["Content-Type"] == SOAP_TYPE
    assert request.headers["X-Request-Id"] == said_to_us.message == str(uuid.UUID(said_to_us.message))
    envelope = etree.fromstring(body)
    assert envelope.findtext(".//{*}MessageID") == f"urn:uuid:{said_to_us.message}"
    assert envelope.findtext(".//{*}To") == f"https://127.0.0.1:{there.port}/mitz{CLOSED}"


async def test_each_question_is_another_message(trusting: Trusting) -> None:
    async with register(trusting, permits) as there, facility(trusting, there.port) as connection:
        client = Mitz(connection)
        assert (await client.ask(QUESTION)).message != (await client.ask(QUESTION)).message


async def test_the_content_type_is_as_it_was_set(trusting: Trusting) -> None:
    async with register(trusting, permits) as there, facility(trusting, there.port) as connection:
        await Mitz(connection, content_type="text/xml; charset=UTF-8").ask(QUESTION)
    assert there.asked[0][0].headers["Content-Type"] == "text/xml; charset=UTF-8"


async def _only_signed(there: Register, request: web.Request, body: bytes) -> web.StreamResponse:
    """A register that takes signed questions only."""
    if b"http://www.w3.org/2000/09/xmldsig#" not in body:
        return said(answer(body=FAULT), 500)
    return await permits(there, request, body)


async def test_a_register_that_wants_a_signature_gets_one(trusting: Trusting) -> None:
    signing = Signing.read(trusting.client.key, trusting.client.certificate)
    async with register(trusting, _only_signed) as there, facility(trusting, there.port) as connection:
        assert (await Mitz(connection, signing).ask(QUESTION)).decision == "Permit"
        with pytest.raises(AnswerUnusable, match="500"):
            await Mitz(connection).ask(QUESTION)


@pytest.mark.parametrize("decision", ["Deny", "NotApplicable"])
async def test_a_no_is_an_answer(trusting: Trusting, decision: str) -> None:
    async with register(trusting, decides(result(decision))) as there, facility(trusting, there.port) as here:
        assert (await Mitz(here).ask(QUESTION)).decision == decision


async def _hang(_there: Register, _request: web.Request, _body: bytes) -> web.StreamResponse:
    await asyncio.sleep(10)
    raise AssertionError("nobody waits this long")


async def _drip(_there: Register, request: web.Request, _body: bytes) -> web.StreamResponse:
    response = web.StreamResponse(headers={"Content-Type": SOAP_TYPE})
    await response.prepare(request)
    while True:
        await response.write(b" ")
        await asyncio.sleep(0.1)


async def _half(_there: Register, request: web.Request, body: bytes) -> web.StreamResponse:
    whole = answer(result(), relates=message_of(body))
    response = web.StreamResponse(headers={"Content-Type": SOAP_TYPE, "Content-Length": str(len(whole))})
    await response.prepare(request)
    await response.write(whole[:-40])
    assert request.transport is not None
    request.transport.close()
    return response


async def _yesterday(_there: Register, _request: web.Request, _body: bytes) -> web.StreamResponse:
    """The answer to a question of before."""
    return said(answer(result()))


def _other(**changes: str) -> Handler:
    return decides(result(**changes))


AWAY: dict[str, Handler] = {
    "slow": _hang,
    "dripping": _drip,
    "half an answer": _half,
    "too much": says(b" " * 2_000_000),
    "failing": says(b"", 503),
    "refusing": says(b"", 403),
    "not found": says(b"", 404),
    "accepted only": says(answer(result()), 202),
    "elsewhere": says(b"", 302),
    "a fault": says(answer(body=FAULT)),
    "a fault with 500": says(answer(body=FAULT), 500),
    "another patient": _other(bsn=OTHER_BSN),
    "another holder": _other(holder="33333333"),
    "another category": _other(category="GGC012"),
    "an earlier answer": _yesterday,
    "indeterminate": _other(decision="Indeterminate"),
    "nothing": says(b""),
    "HTML": says(b"<html>Permit</html>"),
}


@pytest.mark.parametrize("name", AWAY)
async def test_what_is_no_answer_is_neither_yes_nor_no(
    trusting: Trusting, name: str, capfd: pytest.CaptureFixture[str]
) -> None:
    async with (
        register(trusting, AWAY[name]) as there,
        facility(
            trusting, there.port, rules=FacilityRules(timeout=1.0 if name in ("slow", "dripping") else 20.0)
        ) as connection,
    ):
        with pytest.raises(FacilityAway) as away:
            await Mitz(connection).ask(QUESTION)
    out = capfd.readouterr()
    for text in (away.value.message, away.value.cause, out.out, out.err):
        assert BSN not in text and OTHER_BSN not in text and HOLDER not in text


async def test_who_shows_no_certificate_gets_no_answer(trusting: Trusting) -> None:
    async with (
        register(trusting, permits) as there,
        facility(trusting, there.port, certificate=False) as connection,
    ):
        with pytest.raises(FacilityAway):
            await Mitz(connection).ask(QUESTION)
    assert there.asked == []


async def test_a_server_with_another_certificate_is_told_nothing(trusting: Trusting, tmp_path: Path) -> None:
    impostor = replace(Trusting.made(tmp_path), authority=trusting.authority)
    async with register(impostor, permits) as there, facility(trusting, there.port) as connection:
        with pytest.raises(FacilityAway, match="no trusted TLS"):
            await Mitz(connection).ask(QUESTION)
    assert there.asked == []


async def test_after_a_restart_of_mitz_there_are_answers_again(trusting: Trusting) -> None:
    rules = FacilityRules(timeout=20.0, failures=2, pause=0.2)
    [port] = free_ports(1)
    async with facility(trusting, port, rules=rules) as connection:
        client = Mitz(connection)
        async with register(trusting, permits, port):
            await client.ask(QUESTION)
        for _ in range(3):
            with pytest.raises(FacilityAway):
                await client.ask(QUESTION)
        async with register(trusting, permits, port) as again:
            with pytest.raises(FacilityAway, match="resting"):
                await client.ask(QUESTION)
            await asyncio.sleep(0.3)
            assert (await client.ask(QUESTION)).decision == "Permit"
            assert len(again.asked) == 1


# -- subscriptions -------------------------------------------------------------------------------------------

WANTED = SubscriptionRequest(
    id="6f0e2a44-0000-4000-8000-000000000001",
    patient=BSN,
    birth_date=datetime.date(1970, 1, 1),
    holder=HOLDER,
    holder_type="V6",
    endpoint="https://node.example.org/a/mitz/notify",
    gateway="2.16.840.1.113883.2.4.6.6.1",
    source="2.16.840.1.113883.2.4.6.6.90000017",
)


def _answers(status: int, body: bytes = b"", headers: Sequence[tuple[str, str]] = ()) -> Handler:
    async def handler(_there: Register, _request: web.Request, _body: bytes) -> web.StreamResponse:
        return web.Response(body=body, status=status, headers=list(headers))

    return handler


async def test_a_subscription_says_what_the_page_of_mitz_says(trusting: Trusting) -> None:
    taken = _answers(201, headers=[("Location", "Subscription/1234")])
    async with register(trusting, taken) as there, facility(trusting, there.port) as connection:
        came = await Mitz(connection).subscribe(WANTED)
    assert (came.taken, came.location) == (True, "Subscription/1234")
    [(request, body)] = there.asked
    assert (request.method, request.path) == ("POST", f"/mitz{SUBSCRIPTION}")
    assert request.headers["Content-Type"] == "application/fhir+json"
    assert request.headers["X-Request-Id"] == WANTED.id
    assert orjson.loads(body) == {
        "resourceType": "Subscription",
        "status": "requested",
        "reason": "OTV",
        "extension": [
            {"url": "http://fhir.nl/StructureDefinition/Patient.birthDate", "valueDate": "1970-01-01"},
            {
                "url": "http://fhir.nl/StructureDefinition/GatewaySystem",
                "valueOid": "urn:oid:2.16.840.1.113883.2.4.6.6.1",
            },
            {
                "url": "http://fhir.nl/StructureDefinition/SourceSystem",
                "valueOid": "urn:oid:2.16.840.1.113883.2.4.6.6.90000017",
            },
        ],
        "criteria": "Consent?_query=otv&patientid=999911120&providerid=11111111&providertype=V6",
        "channel": {
            "type": "rest-hook",
            "endpoint": "https://node.example.org/a/mitz/notify",
            "payload": "application/fhir+xml",
        },
    }


OUTCOME = (
    b'{"resourceType":"OperationOutcome","issue":[{"severity":"error","code":"business-rule",'
    b'"diagnostics":"BSN 999911120 is unknown"}]}'
)


@pytest.mark.parametrize(
    ("status", "later"),
    [
        (400, False),
        (404, False),
        (422, False),
        (302, False),
        (401, True),
        (403, True),
        (429, True),
        (503, True),
    ],
)
async def test_what_mitz_says_of_a_subscription_decides_whether_it_is_asked_again(
    trusting: Trusting, status: int, later: bool
) -> None:
    async with register(trusting, _answers(status, OUTCOME)) as there, facility(trusting, there.port) as here:
        came = await Mitz(here).subscribe(WANTED)
    assert (came.taken, came.later) == (False, later)
    assert came.why == f"answered {status} business-rule"


@pytest.mark.parametrize("status", [200, 201, 202])
async def test_a_subscription_may_be_taken_at_once_or_later(trusting: Trusting, status: int) -> None:
    async with register(trusting, _answers(status)) as there, facility(trusting, there.port) as connection:
        came = await Mitz(connection).subscribe(WANTED)
    assert came.taken and came.location == ""


@pytest.mark.parametrize(
    ("told", "seconds"),
    [("7", 7.0), ("0", 0.0), ("99999999", 86400.0), ("soon", None), ("Sun, 06 Nov 1994 08:49:37 GMT", 0.0)],
)
async def test_mitz_says_how_long_to_wait(trusting: Trusting, told: str, seconds: float | None) -> None:
    late = _answers(429, headers=[("Retry-After", told)])
    async with register(trusting, late) as there, facility(trusting, there.port) as connection:
        came = await Mitz(connection).subscribe(WANTED)
    assert (came.wait.total_seconds() if came.wait is not None else None) == seconds
