"""The stand-in of Dezi against the facts: a login, the statement in both forms, its status and withdrawal."""

from __future__ import annotations

import hashlib
import re
from base64 import urlsafe_b64encode
from pathlib import Path
from typing import Any
from urllib.parse import parse_qs, urlsplit

import httpx
import orjson
import pytest
from joserfc import jwe, jws, jwt
from joserfc.jwk import KeySet, RSAKey

from schakel_national.dezi import application

DEZI = "https://dezi.example"
BACK = "https://node.example/callback"
VERIFIER = "a-verifier-of-at-least-forty-three-characters-x"
CHALLENGE = urlsafe_b64encode(hashlib.sha256(VERIFIER.encode()).digest()).rstrip(b"=").decode()
KEY = RSAKey.generate_key(2048)
ASKED = {
    "response_type": "code",
    "client_id": "node",
    "redirect_uri": BACK,
    "scope": "openid",
    "state": "s",
    "nonce": "n",
    "code_challenge": CHALLENGE,
    "code_challenge_method": "S256",
}


def dezi(folder: Path, form: str) -> httpx.AsyncClient:
    public = orjson.dumps({name: KEY.as_dict(private=False)[name] for name in ("kty", "n", "e")}).decode()
    key = ", ".join(f'{name} = "{value}"' for name, value in orjson.loads(public).items())
    (folder / "dezi.toml").write_text(
        f'form = "{form}"\n[[clients]]\nid = "node"\nredirect_uris = ["{BACK}"]\nkey = {{ {key} }}\n'
        '[[professionals]]\nnumber = "900000008"\ninitials = "J."\nprefix = "van"\nsurname = "Dam"\n'
        'role = "01.010"\nrole_name = "Cardioloog"\norganisations = [{ ura = "22222222", name = "Oost" }]\n'
    )
    transport = httpx.ASGITransport(application(folder, DEZI))
    return httpx.AsyncClient(transport=transport, base_url=DEZI)


async def log_in(client: httpx.AsyncClient, who: str = "900000008 22222222") -> dict[str, str]:
    page = await client.get("/authorize", params=ASKED)
    found = re.search('name="waiting" value="([^"]+)"', page.text)
    assert found is not None, page.text
    back = await client.post("/login", data={"waiting": found[1], "who": who, "action": "login"})
    query = parse_qs(urlsplit(back.headers["location"]).query)
    return {name: values[0] for name, values in query.items()}


async def tokens(client: httpx.AsyncClient, **changed: str) -> httpx.Response:
    form = {
        "grant_type": "authorization_code",
        "code": (await log_in(client))["code"],
        "redirect_uri": BACK,
        "client_id": "node",
        "code_verifier": VERIFIER,
    }
    return await client.post("/token", data={**form, **changed})


async def claims_of(client: httpx.AsyncClient, text: str) -> dict[str, Any]:
    keys = KeySet.import_key_set((await client.get("/jwks.json")).json())
    registry = jws.JWSRegistry(algorithms=["RS256"], strict_check_header=False)
    found: dict[str, Any] = jwt.decode(text, keys, registry=registry).claims
    return found


@pytest.mark.parametrize("form", ["jwe", "jws"])
async def test_a_login_gives_a_statement_about_the_professional(tmp_path: Path, form: str) -> None:
    async with dezi(tmp_path, form) as client:
        given = (await tokens(client)).json()
        assert (await claims_of(client, given["id_token"]))["nonce"] == "n"
        bearer = {"Authorization": f"Bearer {given['access_token']}"}
        answer = await client.get("/userinfo", headers=bearer)
        assert answer.headers["content-type"] == "application/jwt"
        text = answer.text
        assert text.count(".") == (4 if form == "jwe" else 2)
        if form == "jwe":
            opened = jwe.decrypt_compact(text, KEY, algorithms=["RSA-OAEP", "A128CBC-HS256"])
            assert opened.plaintext is not None
            text = opened.plaintext.decode()
        outer = await claims_of(client, text)
        assert outer["aud"] == "node" and outer["iss"] == DEZI
        statement = await claims_of(client, outer["verklaring"])
        assert statement["dezi_nummer"] == "900000008" and statement["abonnee_nummer"] == "22222222"
        assert (statement["rol_code"], statement["voorvoegsel"]) == ("01.010", "van")
        status = urlsplit(statement["status_uri"]).path
        assert (await client.get(status)).json()["status"] == "valid"
        gone = await client.post("/withdrawals", json={"verklaring_id": statement["verklaring_id"]})
        assert gone.status_code == 204
        assert (await client.get(status)).json()["status"] == "withdrawn"


@pytest.mark.parametrize(
    "changed",
    [{"code": "x"}, {"redirect_uri": "https://x"}, {"code_verifier": "x" * 43}],
)
async def test_a_token_request_for_another_login_is_refused(tmp_path: Path, changed: dict[str, str]) -> None:
    async with dezi(tmp_path, "jws") as client:
        answer = await tokens(client, **changed)
        assert answer.status_code == 400 and answer.json()["error"] == "invalid_grant"


async def test_a_token_request_of_a_client_that_is_not_known_is_refused(tmp_path: Path) -> None:
    async with dezi(tmp_path, "jws") as client:
        answer = await tokens(client, client_id="x")
        assert answer.status_code == 401 and answer.json()["error"] == "invalid_client"


async def test_a_professional_logs_in_for_an_organisation_of_their_own_only(tmp_path: Path) -> None:
    async with dezi(tmp_path, "jws") as client:
        assert (await log_in(client, "900000008 11111111"))["error"] == "access_denied"


async def test_a_code_is_good_once_and_a_request_needs_its_parts(tmp_path: Path) -> None:
    async with dezi(tmp_path, "jws") as client:
        code = (await log_in(client))["code"]
        assert (await tokens(client, code=code)).status_code == 200
        assert (await tokens(client, code=code)).status_code == 400
        for name in ("nonce", "state", "code_challenge"):
            left = {key: value for key, value in ASKED.items() if key != name}
            answer = await client.get("/authorize", params=left)
            assert "error=invalid_request" in answer.headers["location"]
        elsewhere = await client.get("/authorize", params={**ASKED, "redirect_uri": "https://evil.example"})
        assert elsewhere.status_code == 400 and "location" not in elsewhere.headers
