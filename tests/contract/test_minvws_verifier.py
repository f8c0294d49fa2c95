"""The verifier before the NVI and the PRS: what it lets through, and with what headers.

What the real one was recorded to refuse is replayed in test_nvi_standin_recordings.
"""

from __future__ import annotations

from base64 import b64decode
from pathlib import Path
from typing import Any

import httpx
import orjson
import pytest
from cryptography.hazmat.primitives.serialization import Encoding
from joserfc import jwt
from joserfc.jwk import RSAKey
from starlette.requests import Request
from starlette.responses import JSONResponse
from starlette.types import ASGIApp, Receive, Scope, Send
from tests.certificates import Authority, Issued
from tests.minvws import CN, OIN, asking, client_certificate, showing

from schakel.kernel.clock import now
from schakel.kernel.outcomes import Invalid
from schakel_national import minvws

AT, ISSUER = "https://nvi.example.org", "https://oauth.example.org"
FORWARDED = "x-forwarded-tls-client-cert"


async def echo(scope: Scope, receive: Receive, send: Send) -> None:
    """Tells the headers it got."""
    headers = [(name, value) for name, value in Request(scope).headers.items()]
    await JSONResponse({"headers": headers})(scope, receive, send)


@pytest.fixture(scope="module")
def key() -> RSAKey:
    return RSAKey.generate_key(2048, {"kid": "one"})


@pytest.fixture(scope="module")
def certificate() -> Issued:
    return client_certificate(Authority.new("Test Root"))


def publish(folder: Path, *keys: RSAKey, issuer: str = ISSUER) -> None:
    told = {"issuer": issuer, "keys": [one.as_dict(private=False) for one in keys]}
    (folder / "minvws-oauth.jwks.json").write_bytes(orjson.dumps(told))


def behind(folder: Path, certificate: Issued, **table: Any) -> ASGIApp:
    return showing(minvws.verified(echo, folder, AT, "nvi", table), certificate.pem)


def token(key: RSAKey, **changed: Any) -> str:
    """A token that is right, changed; None takes a claim out."""
    moment = int(now().timestamp())
    claims = {
        "iss": ISSUER,
        "aud": AT,
        "sub": "90000111",
        "scope": "nvi:read",
        "act": {"sub": OIN, "cn": CN},
        "organization_name": "Ziekenhuis Oost-é",
        "source_id": "ehr-a-1",
        "iat": moment,
        "nbf": moment,
        "exp": moment + 60,
        **changed,
    }
    kept = {name: value for name, value in claims.items() if value is not None}
    return jwt.encode({"alg": "RS256", "kid": key.kid}, kept, key, algorithms=["RS256"])


async def got(app: ASGIApp, bearer: str, **headers: str) -> httpx.Response:
    async with asking(app, AT) as client:
        return await client.get("/fhir/List", headers={"Authorization": f"Bearer {bearer}", **headers})


def gateway_headers(answer: httpx.Response) -> dict[str, str]:
    """The headers that the facility got of the verifier."""
    assert answer.status_code == 200, answer.text
    told = [(n, v) for n, v in answer.json()["headers"] if n.startswith("x-gf-") or n == FORWARDED]
    assert len(dict(told)) == len(told)
    return dict(told)


async def test_what_the_token_and_the_certificate_say_reaches_the_facility(
    tmp_path: Path, key: RSAKey, certificate: Issued
) -> None:
    publish(tmp_path, key)
    told = gateway_headers(await got(behind(tmp_path, certificate), token(key)))
    assert b64decode(told.pop(FORWARDED)) == certificate.certificate.public_bytes(Encoding.DER)
    assert told.pop("x-gf-organization-name").encode("latin-1").decode() == "Ziekenhuis Oost-é"
    assert told == {
        "x-gf-cert-type": "OIN",
        "x-gf-sub": "90000111",
        "x-gf-act-sub": OIN,
        "x-gf-act-cn": CN,
        "x-gf-audience": AT,
        "x-gf-scope": "nvi:read",
        "x-gf-source-id": "ehr-a-1",
    }


@pytest.mark.parametrize(
    "header", ["x-gf-sub", "X-GF-Source-Id", "x-gf-anything", "X-Forwarded-Tls-Client-Cert"]
)
async def test_a_client_cannot_add_what_only_the_verifier_says(
    tmp_path: Path, key: RSAKey, certificate: Issued, header: str
) -> None:
    publish(tmp_path, key)
    app = behind(tmp_path, certificate)
    plain = token(key, source_id=None, sub=None)
    assert gateway_headers(await got(app, plain, **{header: "evil"})) == gateway_headers(
        await got(app, plain)
    )


async def test_an_open_address_needs_no_token_and_still_loses_what_the_client_added(
    tmp_path: Path, certificate: Issued
) -> None:
    async with asking(showing(minvws.verified(echo, tmp_path, AT, "nvi", {}), None), AT) as client:
        answer = await client.get("/health", headers={"x-gf-sub": "90000111"})
    assert gateway_headers(answer) == {}


@pytest.mark.parametrize(
    "changed",
    [
        {"iss": "https://other.example.org"},
        {"iss": None},
        {"aud": "https://prs.example.org"},
        {"aud": None},
        {"exp": 1},
        {"exp": None},
        {"nbf": None},
        {"iat": None},
        {"nbf": 4_000_000_000},
    ],
)
async def test_a_token_with_one_claim_wrong_is_refused(
    tmp_path: Path, key: RSAKey, certificate: Issued, changed: dict[str, Any]
) -> None:
    publish(tmp_path, key)
    answer = await got(behind(tmp_path, certificate), token(key, **changed))
    assert (answer.status_code, answer.text) == (400, "Token verification failed")


@pytest.mark.parametrize("text", ["", "x", "a.b.c", "e30.e30.e30"])
async def test_what_is_no_token_is_refused(
    tmp_path: Path, key: RSAKey, certificate: Issued, text: str
) -> None:
    publish(tmp_path, key)
    answer = await got(behind(tmp_path, certificate), text)
    assert (answer.status_code, answer.text) == (400, "Token verification failed")


async def test_a_token_that_is_not_signed_is_refused(
    tmp_path: Path, key: RSAKey, certificate: Issued
) -> None:
    publish(tmp_path, key)
    signed = token(key)
    head = "eyJhbGciOiJub25lIiwia2lkIjoib25lIn0"  # {"alg":"none","kid":"one"}
    answer = await got(behind(tmp_path, certificate), f"{head}.{signed.split('.')[1]}.")
    assert (answer.status_code, answer.text) == (400, "Token verification failed")


async def test_a_new_key_of_the_token_server_is_found_without_a_restart(
    tmp_path: Path, key: RSAKey, certificate: Issued, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("schakel_national.minvws.verifier._AGAIN_SECONDS", 0)
    publish(tmp_path, key)
    app = behind(tmp_path, certificate)
    assert (await got(app, token(key))).status_code == 200
    other = RSAKey.generate_key(2048, {"kid": "two"})
    assert (await got(app, token(other))).status_code == 400
    publish(tmp_path, key, other)
    assert (await got(app, token(other))).status_code == 200


async def test_without_the_keys_nothing_is_said_about_the_token(
    tmp_path: Path, key: RSAKey, certificate: Issued
) -> None:
    app = behind(tmp_path, certificate)
    assert (await got(app, token(key))).status_code == 503
    publish(tmp_path, key)
    assert (await got(app, token(key))).status_code == 200


async def test_settings_go_before_what_the_file_of_keys_says(
    tmp_path: Path, key: RSAKey, certificate: Issued
) -> None:
    publish(tmp_path, key, issuer="https://other.example.org")
    table = {"issuer": ISSUER, "audience": "https://nvi.other.example.org"}
    app = behind(tmp_path, certificate, **table)
    assert (await got(app, token(key))).status_code == 400
    assert (await got(app, token(key, aud=table["audience"]))).status_code == 200


def test_an_address_of_keys_without_an_issuer_stops_the_start(tmp_path: Path) -> None:
    with pytest.raises(Invalid, match="issuer"):
        minvws.verified(echo, tmp_path, AT, "nvi", {"jwks": "https://oauth.example.org/jwks"})
