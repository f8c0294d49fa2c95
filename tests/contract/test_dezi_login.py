"""Our client of Dezi against one that lies: nobody is logged in, and the EHR is told which claim was wrong.

Dezi is the stand-in, over HTTP; each test changes one thing that it says.
"""

from __future__ import annotations

import time
from base64 import urlsafe_b64decode, urlsafe_b64encode
from collections.abc import AsyncIterator, Mapping
from typing import Any

import pytest
import pytest_asyncio
from joserfc import jwt
from joserfc.jwk import RSAKey
from tests.dezi import Scene, dezi_node
from tests.nodes import MakeDatabase, databases

from schakel.store.embedded import EmbeddedServer
from schakel_national.dezi.provider import Login, Provider
from schakel_national.oidc import Client

OTHER = RSAKey.generate_key(2048, private=True)
LOW = "http://eidas.europa.eu/LoA/low"


@pytest_asyncio.fixture(scope="module", loop_scope="session")
async def scene(cluster: EmbeddedServer) -> AsyncIterator[Scene]:
    async with databases(cluster, "dezi") as make, dezi_node(make) as made:
        yield made


def lying(monkeypatch: pytest.MonkeyPatch, where: str, header: Mapping[str, Any], **lie: Any) -> None:
    """Changes claims (None takes one away) and header of one of the three tokens: id, userinfo or statement."""
    honest = Provider._signed

    def signed(self: Provider, claims: Mapping[str, Any], **head: Any) -> str:
        kind = "statement" if "dezi_nummer" in claims else "userinfo" if "verklaring" in claims else "id"
        if kind != where:
            return honest(self, claims, **head)
        changed = {name: value for name, value in {**claims, **lie}.items() if value is not None}
        return honest(self, changed, **{**head, **header})

    monkeypatch.setattr(Provider, "_signed", signed)


async def refused(scene: Scene) -> tuple[str, str]:
    """Code and sentence of why nobody was logged in."""
    found = await scene.ended()
    assert (found["state"], found["professional"]) == ("failed", None)
    return found["reason"], found["message"]


@pytest.mark.parametrize(
    ("where", "lie", "code"),
    [
        ("id", {"iss": "https://another.example"}, "login-issuer"),
        ("id", {"iss": None}, "login-issuer"),
        ("id", {"aud": "another"}, "login-audience"),
        ("id", {"aud": ["node", "another"]}, "login-audience"),
        ("id", {"nonce": "another"}, "login-nonce"),
        ("id", {"nonce": None}, "login-nonce"),
        ("id", {"exp": int(time.time()) - 3600}, "login-time"),
        ("id", {"exp": None}, "login-time"),
        ("id", {"exp": "never"}, "login-time"),
        ("id", {"sub": "another"}, "login-subject"),
        ("id", {"sub": None}, "login-subject"),
        ("userinfo", {"iss": "https://another.example"}, "login-issuer"),
        ("userinfo", {"iss": None}, "login-userinfo"),
        ("userinfo", {"aud": "another"}, "login-audience"),
        ("userinfo", {"sub": "another"}, "login-subject"),
        ("userinfo", {"exp": int(time.time()) - 3600}, "login-time"),
        ("userinfo", {"exp": None}, "login-time"),
        ("userinfo", {"loa_authn": LOW}, "login-level"),
        ("userinfo", {"loa_authn": None}, "login-userinfo"),
        ("userinfo", {"verklaring": ""}, "statement-wrong"),
        ("userinfo", {"verklaring": 7}, "login-userinfo"),
        ("userinfo", {"verklaring_id": "another"}, "login-userinfo"),
        ("statement", {"abonnee_nummer": "90000002"}, "login-other-organisation"),
        ("statement", {"exp": int(time.time()) - 3600}, "statement-expired"),
        ("statement", {"loa_dezi": LOW}, "statement-wrong"),
        ("statement", {"dezi_nummer": "90000000"}, "statement-wrong"),
    ],
)
async def test_a_claim_that_is_not_right_logs_nobody_in(
    scene: Scene, monkeypatch: pytest.MonkeyPatch, where: str, lie: dict[str, Any], code: str
) -> None:
    lying(monkeypatch, where, {}, **lie)
    assert (await refused(scene))[0] == code


@pytest.mark.parametrize("where", ["id", "userinfo"])
@pytest.mark.parametrize("algorithm", ["none", "HS256", "PS256", "RS512"])
async def test_a_token_that_is_signed_otherwise_logs_nobody_in(
    scene: Scene, monkeypatch: pytest.MonkeyPatch, where: str, algorithm: str
) -> None:
    honest = Provider._signed

    def signed(self: Provider, claims: Mapping[str, Any], **head: Any) -> str:
        kind = "statement" if "dezi_nummer" in claims else "userinfo" if "verklaring" in claims else "id"
        text = honest(self, claims, **head)
        if kind != where:
            return text
        forged = jwt.encode({"alg": "RS256", "kid": self._key.kid}, {"x": 1}, self._key)
        header = forged.split(".")[0]
        raw = urlsafe_b64decode(header + "=" * (-len(header) % 4)).replace(b"RS256", algorithm.encode())
        _, body, signature = text.split(".")
        changed = urlsafe_b64encode(raw).rstrip(b"=").decode()
        return f"{changed}.{body}.{'' if algorithm == 'none' else signature}"

    monkeypatch.setattr(Provider, "_signed", signed)
    code, _ = await refused(scene)
    assert code == "login-token"


async def test_the_key_of_another_logs_nobody_in(scene: Scene, monkeypatch: pytest.MonkeyPatch) -> None:
    honest = Provider._signed

    def signed(self: Provider, claims: Mapping[str, Any], **head: Any) -> str:
        kept = self._key
        self._key = RSAKey.import_key({**OTHER.as_dict(private=True), "kid": str(kept.kid)})
        try:
            return honest(self, claims, **head)
        finally:
            self._key = kept

    monkeypatch.setattr(Provider, "_signed", signed)
    assert (await refused(scene))[0] == "login-signature"


async def test_userinfo_that_is_sealed_for_another_logs_nobody_in(
    scene: Scene, monkeypatch: pytest.MonkeyPatch
) -> None:
    honest = Provider.userinfo

    def userinfo(self: Provider, token: str) -> str:
        login = self._tokens.see(token)
        assert isinstance(login, Login)
        client = login.asked.client
        other = Client(client.id, client.redirect_uris, OTHER)
        object.__setattr__(login.asked, "client", other)
        return honest(self, token)

    monkeypatch.setattr(Provider, "userinfo", userinfo)
    assert (await refused(scene))[0] == "login-sealed"


@pytest.mark.parametrize(("sent", "taken"), [("jws", "jwe"), ("jwe", "jws")])
async def test_a_form_of_userinfo_that_is_not_set_logs_nobody_in(
    make_database: MakeDatabase, sent: str, taken: str
) -> None:
    async with dezi_node(make_database, form=sent, forms=(taken,)) as scene:
        assert (await refused(scene))[0] == "login-form"


@pytest.mark.parametrize("said", ["", "x", "a.b", "a.b.c", "a.b.c.d.e", "....", "..", "{}"])
async def test_userinfo_that_is_nothing_logs_nobody_in(
    scene: Scene, monkeypatch: pytest.MonkeyPatch, said: str
) -> None:
    monkeypatch.setattr(Provider, "userinfo", lambda *_: said)
    assert (await refused(scene))[0] in ("login-form", "login-sealed", "login-token")


@pytest.mark.parametrize("name", ["code", "redirect_uri", "client_id", "code_verifier"])
async def test_a_token_request_that_dezi_refuses_logs_nobody_in(
    scene: Scene, monkeypatch: pytest.MonkeyPatch, name: str
) -> None:
    honest = Provider.tokens

    def tokens(self: Provider, form: Mapping[str, str]) -> dict[str, Any]:
        return honest(self, {**form, name: form[name] + "x"})

    monkeypatch.setattr(Provider, "tokens", tokens)
    assert (await refused(scene))[0] == "login-refused"


async def test_an_honest_dezi_logs_in(scene: Scene) -> None:
    await scene.logged_in()


async def test_a_level_that_is_not_taken_logs_nobody_in(make_database: MakeDatabase) -> None:
    async with dezi_node(make_database, loa=LOW) as scene:
        assert (await refused(scene))[0] == "login-level"
    async with dezi_node(make_database, loa=LOW, levels=(LOW,)) as scene:
        assert (await scene.ended())["professional"]["assurance"] == LOW


async def test_metadata_of_another_issuer_are_not_believed(
    make_database: MakeDatabase, monkeypatch: pytest.MonkeyPatch
) -> None:
    honest = Provider.metadata
    monkeypatch.setattr(Provider, "metadata", lambda self: {**honest(self), "issuer": "https://x.example"})
    async with dezi_node(make_database) as scene:
        assert (await refused(scene))[0] == "login-issuer"
