"""Tokens for national facilities: what a token server is asked, how long its answer is used, and what happens when a
facility refuses what it gave."""

from __future__ import annotations

import asyncio
import hashlib
from base64 import b64decode, urlsafe_b64encode
from collections.abc import AsyncIterator, Callable, Mapping
from contextlib import asynccontextmanager
from datetime import timedelta
from pathlib import Path
from typing import Any
from urllib.parse import parse_qsl

import orjson
import pytest
import time_machine
from aiohttp import web
from cryptography import x509
from cryptography.hazmat.primitives.serialization import Encoding
from joserfc import jws, jwt
from joserfc.jwk import RSAKey
from tests.certificates import Authority, Files
from tests.middleman import Behaviour, Middleman, Passing, fails, middleman, says, slow
from tests.minvws import client_certificate
from tests.shared import shared

from schakel.facilities import (
    Assertion,
    ClientCredentials,
    Facility,
    FacilityAway,
    FacilityRules,
    Organisation,
    Secret,
    TokenRefused,
    send_with_token,
)
from schakel.facilities.tokens import Form
from schakel.kernel.clock import now
from schakel.kernel.outcomes import Invalid

AUDIENCE = "https://prs.example.org"
OIN = "00000099000000002000"
FOR = Organisation(OIN)
RULES = FacilityRules(timeout=20, failures=50)
HASTY = FacilityRules(timeout=0.5, failures=50)
"""Of who asks somebody slow; elsewhere a machine that is busy must not look like one."""


class Server:
    """A token server: gives token-1, token-2, ...; what it was asked is kept."""

    def __init__(self, **answer: Any) -> None:
        self.answer = {"token_type": "Bearer", "expires_in": 300, **answer}
        self.asked: list[dict[str, str]] = []

    async def behave(self, passing: Passing) -> web.StreamResponse:
        assert passing.request.content_type == "application/x-www-form-urlencoded"
        self.asked.append(dict(parse_qsl(passing.body.decode(), strict_parsing=True)))
        return web.json_response({"access_token": f"token-{len(self.asked)}", **self.answer})


@asynccontextmanager
async def tokens(
    behave: Behaviour, form: Form = FOR, audience: str = AUDIENCE, rules: FacilityRules = RULES
) -> AsyncIterator[ClientCredentials]:
    async with middleman() as between:
        between.behave = behave
        endpoint = f"http://127.0.0.1:{between.port}/oauth/token"
        async with ClientCredentials.open(
            "the token server", endpoint, form, audience, None, rules
        ) as source:
            yield source


def refusing(status: int, body: bytes, kind: str = "application/json") -> Behaviour:
    async def behave(_passing: Passing) -> web.StreamResponse:
        return web.Response(status=status, body=body, headers={"Content-Type": kind} if kind else {})

    return behave


@pytest.mark.shared
@pytest.mark.parametrize(
    ("name", "part", "form", "scopes"),
    [
        ("chain-token-request-prs-read", "prs", Organisation(OIN), "prs:read"),
        ("chain-token-request-nvi-create", "nvi", Organisation("90000111", "ehr-a-1"), "nvi:create"),
        ("chain-token-request-nvi-localize", "nvi", Organisation("90000111", "ehr-a-1"), "nvi:localize"),
    ],
)
async def test_the_newest_form_asks_what_a_real_client_was_recorded_to_ask(
    name: str, part: str, form: Form, scopes: str
) -> None:
    recorded = orjson.loads(shared("recordings", part, f"{name}.json").read_bytes())
    server = Server()
    async with tokens(server.behave, form, f"https://{part}.example.org") as source:
        assert await source.token(scopes) == "token-1"
    assert server.asked == [dict(parse_qsl(recorded["request"]["body"]))]


async def test_a_client_with_a_secret_sends_it_in_the_form() -> None:
    server = Server()
    async with tokens(server.behave, Secret("us", "shh & more"), "") as source:
        await source.token("")
    assert server.asked == [
        {"grant_type": "client_credentials", "client_id": "us", "client_secret": "shh & more"}
    ]


@pytest.fixture(scope="module")
def signing(tmp_path_factory: pytest.TempPathFactory) -> tuple[Authority, Files, Files]:
    """An authority, and RSA certificates below it that sign and that speak TLS."""
    folder = tmp_path_factory.mktemp("signing")
    authority = Authority.new("Test Root")
    above = authority.authority("Test Authority")
    return (
        authority,
        client_certificate(above, bits=2048).write(folder, "signing"),
        client_certificate(above, bits=2048).write(folder, "tls"),
    )


@pytest.mark.parametrize("chain", [False, True])
@pytest.mark.parametrize("bound", [False, True])
async def test_an_assertion_says_who_asks_what_and_is_signed_by_the_certificate_it_names(
    chain: bool, bound: bool, signing: tuple[Authority, Files, Files]
) -> None:
    _, files, shown = signing
    form = Assertion.read(
        "90000111",
        files.certificate,
        files.key,
        bound=shown.certificate if bound else None,
        chain=chain,
        setting="",
    )
    server = Server()
    async with tokens(server.behave, form) as source:
        before = int(now().timestamp())
        await source.token("nvi:create nvi:localize")
        [asked] = server.asked
        assertion = asked.pop("client_assertion")
        assert asked == {
            "grant_type": "client_credentials",
            "scope": "nvi:create nvi:localize",
            "target_audience": AUDIENCE,
            "client_assertion_type": "urn:ietf:params:oauth:client-assertion-type:jwt-bearer",
        }
        source.forget("token-1")
        await source.token("nvi:create nvi:localize")
    read = _opened(assertion, files)
    thumbprint = _thumbprint(files.certificate)
    assert read.header["kid"] == thumbprint
    assert ("x5c" in read.header) == chain
    if chain:
        assert [b64decode(one) for one in read.header["x5c"]] == _der(files.certificate)
    claims = dict(read.claims)
    again = _opened(server.asked[1]["client_assertion"], files)
    assert again.claims["jti"] != claims.pop("jti")
    assert claims.pop("aud")[0].endswith("/oauth/token")
    assert 0 <= claims["iat"] - before < 5
    assert claims.pop("exp") - claims.pop("iat") == 60
    assert claims == {
        "iss": "90000111",
        "sub": "90000111",
        "scope": "nvi:create nvi:localize",
        "target_audience": AUDIENCE,
        "cnf": {"x5t#S256": _thumbprint(shown.certificate) if bound else thumbprint},
    }


def test_a_key_that_does_not_belong_to_the_certificate_is_refused_by_name(
    signing: tuple[Authority, Files, Files], tmp_path: Path
) -> None:
    _, files, other = signing
    with pytest.raises(Invalid, match=r"setting prs\.oauth\.key\) is not the private key of"):
        Assertion.read("1", files.certificate, other.key, setting="prs.oauth.")
    with pytest.raises(Invalid, match=r"setting certificate\) has no PEM"):
        Assertion.read("1", files.key, files.key, setting="")
    with pytest.raises(Invalid, match=r"setting key\) is not a private RSA key"):
        Assertion.read("1", files.certificate, files.certificate, setting="")
    with pytest.raises(Invalid, match=r"setting key\) cannot be read"):
        Assertion.read("1", files.certificate, tmp_path / "absent", setting="")


async def test_a_token_is_used_until_shortly_before_its_end() -> None:
    server = Server(expires_in=300)
    async with tokens(server.behave) as source:
        assert [await source.token("a"), await source.token("a")] == ["token-1"] * 2
        assert await source.token("b") == "token-2"
        for seconds, expected in ((265, "token-1"), (275, "token-3")):
            with time_machine.travel(now() + timedelta(seconds=seconds)):
                assert await source.token("a") == expected


@pytest.mark.parametrize(
    ("life", "kept", "over"),
    [
        ({"expires_in": "300"}, 265, 275),
        ({"expires_in": 20}, 8, 12),
        ({}, 25, 65),
        ({"expires_in": None}, 25, 65),
    ],
    ids=["a text", "short", "not said", "null"],
)
async def test_the_life_of_a_token_is_read_in_every_form(
    life: Mapping[str, Any], kept: int, over: int
) -> None:
    server = Server()
    del server.answer["expires_in"]
    server.answer |= life
    async with tokens(server.behave) as source:
        assert await source.token("a") == "token-1"
        with time_machine.travel(now() + timedelta(seconds=kept)):
            assert await source.token("a") == "token-1"
        with time_machine.travel(now() + timedelta(seconds=over)):
            assert await source.token("a") == "token-2"


async def test_however_many_wait_one_token_is_asked_for() -> None:
    server = Server()

    async def late(passing: Passing) -> web.StreamResponse:
        await asyncio.sleep(0.1)
        return await server.behave(passing)

    async with tokens(late) as source:
        assert set(await asyncio.gather(*(source.token("a") for _ in range(30)))) == {"token-1"}
    assert len(server.asked) == 1


async def test_who_stops_waiting_does_not_stop_the_others() -> None:
    server = Server()

    async def late(passing: Passing) -> web.StreamResponse:
        await asyncio.sleep(0.1)
        return await server.behave(passing)

    async with tokens(late) as source:
        first = asyncio.create_task(source.token("a"))
        second = asyncio.create_task(source.token("a"))
        await asyncio.sleep(0.02)
        first.cancel()
        assert await second == "token-1"


async def test_a_failure_reaches_all_who_wait_and_is_not_remembered() -> None:
    server = Server()
    async with middleman() as between:
        between.behave = fails(503)
        endpoint = f"http://127.0.0.1:{between.port}"
        async with ClientCredentials.open("the server", endpoint, FOR, AUDIENCE, None, RULES) as source:
            both = await asyncio.gather(source.token("a"), source.token("a"), return_exceptions=True)
            assert [type(one) for one in both] == [FacilityAway] * 2
            between.behave = server.behave
            assert await source.token("a") == "token-1"


@pytest.mark.parametrize(
    ("behave", "why"),
    [
        (fails(500), "it answered 500"),
        (fails(429), "it answered 429"),
        (slow(2), "too slow"),
        (says(b"<html>", "text/html"), "without access_token"),
        (says(b"[]", "application/json"), "without access_token"),
        (says(b'{"access_token": 7}', "application/json"), "without access_token"),
        (says(b'{"access_token": "a\\nb"}', "application/json"), "without access_token"),
        (says(b'{"access_token": "a", "token_type": "DPoP"}', "application/json"), "no bearer token"),
    ],
    ids=["500", "429", "slow", "html", "array", "number", "two lines", "dpop"],
)
async def test_an_answer_that_is_none_says_nothing_of_us(behave: Behaviour, why: str) -> None:
    async with tokens(behave, rules=HASTY if why == "too slow" else RULES) as source:
        with pytest.raises(FacilityAway, match=why):
            await source.token("prs:read")


@pytest.mark.parametrize(
    ("behave", "why"),
    [
        (
            refusing(400, b'{"error": "invalid_scope", "error_description": "prs:all is unknown"}'),
            r"no token for prs:read \(invalid_scope prs:all is unknown\)",
        ),
        (refusing(401, b'{"error": "invalid_client"}'), r"\(invalid_client\)"),
        (refusing(403, b"<html>"), r"\(status 403\)"),
        (refusing(200, b'{"access_token": "a", "scope": "nvi:read"}'), "a token without prs:read"),
    ],
)
async def test_a_refusal_says_what_the_server_said(behave: Behaviour, why: str) -> None:
    async with tokens(behave) as source:
        with pytest.raises(TokenRefused, match=why) as caught:
            await source.token("prs:read")
    assert caught.value.kind == "token-refused"


async def test_a_server_that_repeats_our_secret_is_not_repeated() -> None:
    body = b'{"error": "invalid_client", "error_description": "no client us with a-very-good-secret"}'
    async with tokens(refusing(400, body), Secret("us", "a-very-good-secret"), "") as source:
        with pytest.raises(TokenRefused) as caught:
            await source.token("x")
    assert "good" not in caught.value.message + caught.value.cause
    assert "good" not in repr(Secret("us", "a-very-good-secret"))


@asynccontextmanager
async def asked_of(behave: Behaviour) -> AsyncIterator[tuple[Facility, Middleman, ClientCredentials, Server]]:
    """A facility that behaves so, and tokens for it."""
    server = Server()
    async with middleman() as between, tokens(server.behave) as source:
        between.behave = behave
        async with Facility.open("PRS", f"http://127.0.0.1:{between.port}", None, RULES) as facility:
            yield facility, between, source, server


def taking(token: str, otherwise: Callable[[], web.Response]) -> Behaviour:
    """Takes this token alone."""

    async def behave(passing: Passing) -> web.StreamResponse:
        if passing.request.headers.get("Authorization") == f"Bearer {token}":
            return web.json_response({"got": passing.body.decode()})
        return otherwise()

    return behave


@pytest.mark.parametrize(
    "refusal",
    [
        lambda: web.Response(status=400, text="Token verification failed"),
        lambda: web.Response(status=400, text="Certificate OIN does not match JWT OIN"),
        lambda: web.json_response({"detail": "unauthorized"}, status=401),
    ],
    ids=["verification", "certificate", "401"],
)
async def test_a_token_that_is_refused_is_replaced_once(refusal: Callable[[], web.Response]) -> None:
    async with asked_of(taking("token-2", refusal)) as (facility, between, source, server):
        answer = await send_with_token(facility, source, "a", "POST", "/x", body=b"hello")
        assert (answer.status, orjson.loads(answer.body)) == (200, {"got": "hello"})
        assert (between.asked, len(server.asked)) == (2, 2)
        await send_with_token(facility, source, "a", "POST", "/x", body=b"hello")
        assert (between.asked, len(server.asked)) == (3, 2)
    async with asked_of(taking("token-9", refusal)) as (facility, between, source, server):
        with pytest.raises(TokenRefused, match="PRS refused us: it does not take our token"):
            await send_with_token(facility, source, "a", "POST", "/x")
        assert (between.asked, len(server.asked)) == (2, 2)


async def test_a_connection_without_certificate_is_told_apart_and_not_tried_again() -> None:
    unauthorized = refusing(500, b'{"detail": "Unauthorized request"}')
    async with asked_of(unauthorized) as (facility, between, source, _):
        with pytest.raises(TokenRefused, match="it saw no client certificate"):
            await send_with_token(facility, source, "a", "GET")
        assert between.asked == 1


@pytest.mark.parametrize(
    ("status", "body"),
    [
        (400, b'{"error": "Unable to evaluate blind"}'),
        (403, b"{}"),
        (404, b"none"),
        (500, b"oops"),
        (200, b"x"),
    ],
)
async def test_an_answer_about_something_else_is_given_back_as_it_is(status: int, body: bytes) -> None:
    async with asked_of(refusing(status, body, "")) as (facility, between, source, _):
        answer = await send_with_token(facility, source, "a", "GET")
        assert (answer.status, answer.body, between.asked) == (status, body, 1)


@pytest.mark.parametrize("refusal", [(401, b""), (500, b'{"detail": "Unauthorized request"}')])
async def test_a_facility_that_wants_a_token_where_there_is_no_source_is_named(
    refusal: tuple[int, bytes],
) -> None:
    async with asked_of(refusing(*refusal)) as (facility, _, _, _):
        with pytest.raises(TokenRefused, match="PRS refused us: it wants a token"):
            await send_with_token(facility, None, "a", "GET")


async def test_without_a_source_no_token_is_sent() -> None:
    async def behave(passing: Passing) -> web.StreamResponse:
        return web.Response(text=str("Authorization" in passing.request.headers))

    async with asked_of(behave) as (facility, _, _, server):
        assert (await send_with_token(facility, None, "a", "GET")).body == b"False"
        assert server.asked == []


def _opened(assertion: str, files: Files) -> jwt.Token:
    registry = jws.JWSRegistry(algorithms=["RS256"])
    registry.max_header_length = 20_000
    return jwt.decode(assertion, RSAKey.import_key(files.key.read_bytes()), registry=registry)


def _der(path: Path) -> list[bytes]:
    return [one.public_bytes(Encoding.DER) for one in x509.load_pem_x509_certificates(path.read_bytes())]


def _thumbprint(path: Path) -> str:
    return urlsafe_b64encode(hashlib.sha256(_der(path)[0]).digest()).rstrip(b"=").decode()
