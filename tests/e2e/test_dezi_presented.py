"""A professional who logged in at Dezi is presented to the holder beside the organisation, and verified there."""

from __future__ import annotations

import base64
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import httpx
import orjson
import pytest
from tests.certificates import Authority, uzi_name
from tests.dezi import HIGH, NUMBER, Scene, dezi_node
from tests.nodes import MakeDatabase

from schakel.generic.identity.credentials import definitions
from schakel.generic.identity.tokens.grants import VP_BEARER
from schakel_national.dezi.provider import Provider

BSN = "999229588"


def _definition(folder: Path) -> Path:
    """What the exchange asks for, without the type of the organisation."""
    shipped = Path(definitions.__file__).parent / "definitions" / "care-professional.json"
    asked = orjson.loads(shipped.read_bytes())
    asked["input_descriptors"] = [
        one for one in asked["input_descriptors"] if one["id"] != "id_healthcare_provider_role_type"
    ]
    path = folder / "definition.json"
    path.write_bytes(orjson.dumps(asked))
    return path


@asynccontextmanager
async def presenting(make_database: MakeDatabase, folder: Path, **settings: Any) -> AsyncIterator[Scene]:
    """`a` has an UZI certificate, `b` asks for that and for a professional."""
    root = Authority.new("Test UZI Root")
    above = root.authority("Test UZI CA")
    issued = above.issue("a", uzi=uzi_name("90000001"), organisation="Organisation a", locality="Zwolle")
    files = issued.write(folder, "uzi")
    files.certificate.write_text(issued.chain_pem + root.pem)
    (folder / "root.pem").write_text(root.pem)
    own = {"uzi_certificate": files.certificate, "uzi_key": files.key}
    node_settings = {
        "by_slug": {"a": own, "b": {"presentation_definitions": {"bgz": _definition(folder)}}},
        "trust": {"uzi": (folder / "root.pem",), "http_on_loopback": True},
        "certificates": {"uzi": "test", "revocation": "off"},
    }
    async with dezi_node(make_database, node_settings=node_settings, **settings) as scene:
        yield scene


async def asked(scene: Scene, login: str) -> httpx.Response:
    ask = {"patient": BSN, "holders": ["90000002"], "login": login, "purpose": "TREAT"}
    at = f"{scene.a.internal_root}/a/exchanges/bgz"
    return await scene.a.internal.post(at, json={**ask, "treatment_relation": "current"})


async def test_the_holder_knows_the_professional_and_how_they_proved_it(
    make_database: MakeDatabase, tmp_path: Path
) -> None:
    async with presenting(make_database, tmp_path) as scene:
        answer = await asked(scene, await scene.logged_in())
        # B is reached and asked; that it has no ground for this patient is another matter.
        assert (answer.status_code, answer.json()["status"]) == (200, "refused"), answer.text
        [given] = await scene.node.node.pool.fetch(
            "SELECT requester, grant_type, user_id, user_role, assurance FROM access_token"
        )
        assert tuple(given) == ("90000001", VP_BEARER, NUMBER, "01.015", HIGH)


async def test_a_statement_that_was_withdrawn_opens_nothing_more(
    make_database: MakeDatabase, tmp_path: Path
) -> None:
    async with presenting(make_database, tmp_path, status="required") as scene:
        login = await scene.logged_in()
        assert (await asked(scene, login)).status_code == 200
        async with scene.node.node.pool.acquire() as connection:
            text = await connection.fetchval("SELECT statement FROM dezi_login WHERE id = $1", login)
        claims = orjson.loads(_payload(text))
        async with httpx.AsyncClient(trust_env=False) as http:
            gone = await http.post(
                f"{scene.dezi}/withdrawals", json={"verklaring_id": claims["verklaring_id"]}
            )
            assert gone.status_code == 204
        answer = await asked(scene, login)
        assert (answer.status_code, answer.json()["expression"]) == (400, "login")
        assert answer.json()["code"] == "statement-withdrawn"


async def test_a_login_of_which_nobody_can_say_whether_it_holds_is_not_used(
    make_database: MakeDatabase, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    async with presenting(make_database, tmp_path, status="required") as scene:
        login = await scene.logged_in()
        monkeypatch.setattr(Provider, "status", lambda *_: None)
        answer = await asked(scene, login)
        assert (answer.status_code, answer.json()["code"]) == (502, "statement-status-unknown")


async def test_a_statement_with_keys_elsewhere_logs_nobody_in(
    make_database: MakeDatabase, tmp_path: Path
) -> None:
    elsewhere = {"jku": ("https://auth.dezi.example/jwks.json",)}
    async with presenting(make_database, tmp_path, **elsewhere) as scene:
        found = await scene.ended()
        assert (found["state"], found["reason"]) == ("failed", "statement-wrong")
        assert "jku" in found["message"]


def _payload(jwt: str) -> bytes:
    part = jwt.split(".")[1]
    return base64.urlsafe_b64decode(part + "=" * (-len(part) % 4))
