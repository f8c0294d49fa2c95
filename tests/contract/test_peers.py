"""What another organisation may answer: each answer over real HTTP is data, a refusal, or a typed failure."""

from __future__ import annotations

import gzip
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager, suppress

import orjson
import pytest
import pytest_asyncio
from aiohttp import web
from aiohttp.test_utils import TestServer
from hypothesis import given
from hypothesis import strategies as st

from schakel.facilities.reach import Reach
from schakel.kernel.outcomes import Invalid, Outcome, Upstream
from schakel.network.peers import Allowance, PeerRefused, Peers, Reply, same_base, searchset
from schakel.network.proving import AccessToken

Handler = Callable[[web.Request], Awaitable[web.StreamResponse]]
FHIR = "application/fhir+json"
EMPTY = b'{"resourceType":"Bundle","type":"searchset"}'


@asynccontextmanager
async def holder(handler: Handler) -> AsyncIterator[str]:
    """The address of a holder whose every path answers by `handler`."""
    app = web.Application()
    app.router.add_route("*", "/{path:.*}", handler)
    server = TestServer(app)
    await server.start_server()
    try:
        yield str(server.make_url("/fhir"))
    finally:
        await server.close()


@pytest_asyncio.fixture(loop_scope="session")
async def peers() -> AsyncIterator[Peers]:
    opened = Peers(timeout=2, reach=Reach(http_on_loopback=True))
    yield opened
    await opened.close()


async def got(
    peers: Peers, handler: Handler, *, allowance: int = 20_000_000, path: str = "Condition?x=y"
) -> Reply:
    async with holder(handler) as base:
        return await peers.get(
            "1", f"{base}/{path}", AccessToken("TOKEN"), "stu3", "id.1", Allowance(allowance)
        )


def answering(
    body: bytes = EMPTY, status: int = 200, media: str = FHIR, headers: dict[str, str] | None = None
) -> Handler:
    async def handler(request: web.Request) -> web.Response:
        await request.read()
        return web.Response(body=body, status=status, headers={"Content-Type": media, **(headers or {})})

    return handler


async def test_a_page_is_asked_with_token_format_and_request_id(peers: Peers) -> None:
    seen: list[web.Request] = []

    async def handler(request: web.Request) -> web.Response:
        seen.append(request)
        return web.Response(body=EMPTY, content_type=FHIR, headers={"X-Decision-ID": "d-1"})

    reply = await got(peers, handler, path="Observation?code=a%7Cb,c&x=%2B")
    assert (reply.body, reply.decision) == (EMPTY, "d-1")
    [request] = seen
    assert request.headers["Authorization"] == "Bearer TOKEN"
    assert (request.headers["Accept"], request.headers["X-Request-ID"]) == (FHIR, "id.1")
    assert dict(request.query) == {"code": "a|b,c", "x": "+"}


@pytest.mark.parametrize(
    "media",
    [
        "application/fhir+json",
        "application/fhir+json; charset=utf-8",
        "application/fhir+json; fhirVersion=3.0",
        'application/fhir+json; fhirVersion="3.0.2"; charset=utf-8',
        "Application/JSON",
        "application/json+fhir",
    ],
)
async def test_fhir_json_that_does_not_contradict_the_version_is_taken(peers: Peers, media: str) -> None:
    assert (await got(peers, answering(media=media))).body == EMPTY


@pytest.mark.parametrize(
    "media",
    [
        "application/fhir+json; fhirVersion=4.0",
        "application/fhir+json;fhirversion=1.0",
        "application/fhir+json; fhirVersion=30.1",
        "application/fhir+xml",
        "text/html",
        "",
    ],
)
async def test_another_version_or_format_is_refused_by_its_header(peers: Peers, media: str) -> None:
    with pytest.raises(Invalid):
        await got(peers, answering(media=media))


@pytest.mark.parametrize("status", [401, 403])
async def test_a_refusal_carries_the_holders_decision_and_words(peers: Peers, status: int) -> None:
    body = orjson.dumps(
        {"resourceType": "OperationOutcome", "issue": [{"diagnostics": "no\nground\x1b[31m"}]}
    )
    with pytest.raises(PeerRefused) as raised:
        await got(peers, answering(body, status, headers={"X-Decision-ID": "d" * 200}))
    assert raised.value.message == f"refused with {status}: noground[31m"
    assert raised.value.decision == "d" * 64


@pytest.mark.parametrize("status", [201, 204, 301, 302, 307, 400, 404, 410, 429, 500, 503])
async def test_any_other_status_is_a_failure_of_the_holder(peers: Peers, status: int) -> None:
    headers = {"Location": "http://127.0.0.1:1/elsewhere"}
    with pytest.raises(Upstream, match=f"answered {status}"):
        await got(peers, answering(b"", status, headers=headers))


@pytest.mark.parametrize(
    "body", [b"", b"[]", b'{"issue":1}', b'{"issue":[1]}', b"\xff", b"[" * 5000, b"<html/>"]
)
async def test_an_error_without_a_readable_outcome_is_still_an_error(peers: Peers, body: bytes) -> None:
    with pytest.raises(PeerRefused):
        await got(peers, answering(body, 403))
    with pytest.raises(Upstream):
        await got(peers, answering(body, 500))


async def test_an_answer_has_an_end(peers: Peers) -> None:
    async def endless(request: web.Request) -> web.StreamResponse:
        response = web.StreamResponse(headers={"Content-Type": FHIR})
        await response.prepare(request)
        with suppress(ConnectionError):
            while True:
                await response.write(b" " * 1_000_000)
        return response

    with pytest.raises(Upstream, match="larger than"):
        await got(peers, endless)
    with pytest.raises(Upstream, match="one exchange"):
        await got(peers, endless, allowance=100_000)
    bomb = gzip.compress(b" " * 30_000_000)
    with pytest.raises(Upstream):
        await got(peers, answering(bomb, headers={"Content-Encoding": "gzip"}))
    with pytest.raises(Upstream, match="larger than"):
        await got(peers, answering(b" " * 100_000, 500))


async def test_an_answer_that_stops_halfway_or_never_comes_is_a_failure(peers: Peers) -> None:
    async def halfway(request: web.Request) -> web.StreamResponse:
        response = web.StreamResponse(headers={"Content-Type": FHIR, "Content-Length": "1000"})
        await response.prepare(request)
        await response.write(EMPTY)
        assert request.transport is not None
        request.transport.close()
        return response

    with pytest.raises(Upstream, match="no answer"):
        await got(peers, halfway)
    with pytest.raises(Upstream, match="no answer"):
        await peers.get("1", "http://127.0.0.1:1/fhir/Patient", AccessToken("T"), "stu3", "id", Allowance(1))
    with pytest.raises(Upstream, match="no answer"):
        await peers.token("1", "http://127.0.0.1:1/token", {})


# -- what a body may be --------------------------------------------------------------------------------------


def bundle(**members: object) -> bytes:
    return orjson.dumps({"resourceType": "Bundle", "type": "searchset", **members})


NO_SEARCHSETS = {
    "nothing": b"",
    "no JSON": b"<html/>",
    "a list": b"[]",
    "half": EMPTY[:-5],
    "a member twice": b'{"resourceType":"Bundle","type":"searchset","type":"searchset"}',
    "NaN": b'{"resourceType":"Bundle","type":"searchset","total":NaN}',
    "bytes that are no text": b'{"resourceType":"Bundle","type":"searchset","id":"\xff"}',
    "a resource": b'{"resourceType":"Patient","id":"p1"}',
    "another Bundle": b'{"resourceType":"Bundle","type":"collection"}',
    "an element of another version": bundle(timestamp="2024-02-28T12:00:00Z"),
    "an unknown element": bundle(other=1),
    "a total that is none": bundle(total="3"),
    "an entry that is none": bundle(entry=[1]),
    "entries that are no list": bundle(entry={"fullUrl": "http://example.org"}),
    "two searches in an entry": bundle(entry=[{"search": [{"mode": "match"}, {"mode": "include"}]}]),
    "a mode that is none": bundle(entry=[{"search": {"mode": "other"}}]),
    "a resource of another version": bundle(
        entry=[{"resource": {"resourceType": "ServiceRequest", "id": "1", "status": "active"}}]
    ),
    "elements of another version": bundle(
        entry=[{"resource": {"resourceType": "Condition", "id": "1", "recorder": {}, "subject": {}}}]
    ),
    "a resource that is none": bundle(entry=[{"resource": "Patient"}]),
}


@pytest.mark.parametrize("case", NO_SEARCHSETS)
def test_what_is_no_searchset_of_this_version_is_refused(case: str) -> None:
    with pytest.raises(Invalid):
        searchset(NO_SEARCHSETS[case], "stu3")


def test_a_searchset_is_read_to_the_last_digit_and_lenient_resources_are_taken() -> None:
    observation = {
        "resourceType": "Observation",
        "id": "o1",
        "status": "final",
        "code": {"text": "x"},
        "effectiveDateTime": "2024-02-28T12:00:00",  # without a zone, as some published data have it
    }
    body = bundle(entry=[{"resource": observation, "search": {"mode": "match"}}])
    assert searchset(body, "stu3")["entry"][0]["resource"] == observation


# -- tokens --------------------------------------------------------------------------------------------------


def token_body(**members: object) -> bytes:
    return orjson.dumps({"access_token": "abc", "token_type": "Bearer", "expires_in": 60, **members})


async def token_from(peers: Peers, handler: Handler) -> AccessToken:
    async with holder(handler) as base:
        return await peers.token("1", f"{base}/token", {"grant_type": "client_credentials", "scope": "a b&c"})


async def test_a_token_is_asked_by_form(peers: Peers) -> None:
    async def handler(request: web.Request) -> web.Response:
        form = await request.post()
        assert dict(form) == {"grant_type": "client_credentials", "scope": "a b&c"}
        return web.Response(body=token_body(), content_type="application/json")

    assert await token_from(peers, handler) == AccessToken("abc")


@pytest.mark.parametrize("status", [400, 401, 403])
async def test_a_refused_token_says_why(peers: Peers, status: int) -> None:
    body = orjson.dumps({"error": "invalid_client", "error_description": "who\r\nare you"})
    with pytest.raises(PeerRefused, match="no token: invalid_client whoare you"):
        await token_from(peers, answering(body, status, "application/json"))


@pytest.mark.parametrize(
    "body",
    [
        b"",
        b"[]",
        b"x" * 100_000,
        token_body(access_token=""),
        token_body(access_token=1),
        token_body(access_token="a\r\nX-Other: 1"),
        token_body(access_token="a" * 5000),
        token_body(token_type="DPoP"),
        token_body(token_type=None),
    ],
)
async def test_a_token_that_cannot_be_used_is_a_failure(peers: Peers, body: bytes) -> None:
    with pytest.raises(Upstream):
        await token_from(peers, answering(body, 200, "application/json"))


@pytest.mark.parametrize("status", [201, 302, 404, 500])
async def test_a_token_endpoint_that_fails_is_a_failure_and_no_refusal(peers: Peers, status: int) -> None:
    with pytest.raises(Outcome) as raised:
        await token_from(peers, answering(token_body(), status, headers={"Location": "/x"}))
    assert type(raised.value) is Upstream


# -- where a next page may be --------------------------------------------------------------------------------

BASE = "https://holder.example:8443/a/fhir/stu3"


@pytest.mark.parametrize("url", [f"{BASE}/Flag?_page=1", f"{BASE}/Observation/$lastn?x=..", f"{BASE}/a..b"])
def test_a_page_below_the_base_is_followed(url: str) -> None:
    assert same_base(url, BASE) and same_base(url, f"{BASE}/")


@pytest.mark.parametrize(
    "url",
    [
        "",
        "?_page=1",
        "/a/fhir/stu3/Flag",
        "//holder.example:8443/a/fhir/stu3/Flag",
        "http://holder.example:8443/a/fhir/stu3/Flag",
        "https://holder.example/a/fhir/stu3/Flag",
        "https://holder.example:8444/a/fhir/stu3/Flag",
        "https://other.example:8443/a/fhir/stu3/Flag",
        "https://holder.example:8443@other.example/a/fhir/stu3/Flag",
        "https://user@holder.example:8443/a/fhir/stu3/Flag",
        "https://holder.example:8443/b/fhir/stu3/Flag",
        f"{BASE}",
        f"{BASE}x/Flag",
        f"{BASE}/../stu3/Flag",
        f"{BASE}/%2e%2e/%2E%2E/admin",
        f"{BASE}/..%2f..%2fadmin",
        f"{BASE}/..\\admin",
        f"{BASE}/./Flag",
        "https://[holder/a/fhir/stu3/Flag",
    ],
)
def test_a_page_elsewhere_is_not(url: str) -> None:
    assert not same_base(url, BASE)


@given(st.text())
def test_no_text_makes_the_comparison_fail(url: str) -> None:
    assert same_base(url, BASE) in (True, False)
