"""Our client of an identity provider against one that lies: nobody is logged in. The provider is the stand-in, over
HTTP; each test changes one thing that it says."""

from __future__ import annotations

import time
from base64 import urlsafe_b64encode
from collections.abc import AsyncIterator, Callable, Mapping
from pathlib import Path
from typing import Any

import orjson
import pytest
import pytest_asyncio
from cryptography.hazmat.primitives import hashes
from joserfc import jws, jwt
from joserfc.jwk import ECKey, RSAKey
from tests.certificates import Authority
from tests.certificates import new_key as rsa_key
from tests.nodes import databases
from tests.staff import Member, Region, portal_node

from schakel.generic.identity.workplace import Workplace
from schakel.kernel.outcomes import Invalid
from schakel.store.embedded import EmbeddedServer
from schakel_national.oidc import Refused
from schakel_national.workplace.provider import Provider

OTHER_KEY = RSAKey.generate_key(2048, private=True)
EC_KEY = ECKey.generate_key("P-256", private=True)


@pytest_asyncio.fixture(scope="module", loop_scope="session")
async def region(cluster: EmbeddedServer) -> AsyncIterator[Region]:
    async with databases(cluster, "workplace") as make, portal_node(make) as region:
        yield region


async def ended(region: Region) -> tuple[int, str]:
    """How a login ends: the status of the last page, and the code on it ('' when somebody is logged in)."""
    async with Member(region) as member:
        page = await member.log_in("/portal/about")
        codes = page.tree.xpath("//p[contains(., 'helpdesk')]/text()")
        assert bool(member.kept()) == (not codes)
        return page.response.status_code, codes[0].rpartition(" ")[2] if codes else ""


def saying(monkeypatch: pytest.MonkeyPatch, **lie: Any) -> None:
    """The id token says this instead; None: not at all."""
    honest = Provider.sign

    def sign(self: Provider, claims: Mapping[str, Any], **header: str) -> str:
        return honest(self, {k: v for k, v in {**claims, **lie}.items() if v is not None}, **header)

    monkeypatch.setattr(Provider, "sign", sign)


async def test_an_honest_provider_logs_somebody_in(region: Region) -> None:
    assert await ended(region) == (200, "")


@pytest.mark.parametrize(
    ("lie", "code"),
    [
        ({"nonce": "another"}, "login-nonce"),
        ({"nonce": None}, "login-nonce"),
        ({"aud": "another"}, "login-audience"),
        ({"aud": ["node", "another"]}, "login-audience"),
        ({"aud": None}, "login-audience"),
        ({"iss": "https://another.example"}, "login-issuer"),
        ({"iss": None}, "login-issuer"),
        ({"exp": int(time.time()) - 3600}, "login-time"),
        ({"exp": None}, "login-time"),
        ({"exp": "never"}, "login-time"),
        ({"nbf": int(time.time()) + 3600}, "login-time"),
        ({"sub": None}, "login-person"),
        ({"sub": ""}, "login-person"),
        ({"sub": 7}, "login-person"),
        ({"sub": " viewer"}, "login-person"),
        ({"sub": "viewer\u00a0"}, "login-person"),
        ({"sub": "a\nb"}, "login-person"),
    ],
)
async def test_a_claim_that_is_not_right_logs_nobody_in(
    region: Region, monkeypatch: pytest.MonkeyPatch, lie: dict[str, Any], code: str
) -> None:
    saying(monkeypatch, **lie)
    assert await ended(region) == (502, code)


async def test_an_audience_of_us_alone_may_be_a_list(region: Region, monkeypatch: pytest.MonkeyPatch) -> None:
    saying(monkeypatch, aud=["node"])
    assert await ended(region) == (200, "")


def signed_by(key: RSAKey | ECKey, algorithm: str) -> Callable[..., str]:
    """`Provider.sign` with another key, under the name of its own."""

    def sign(self: Provider, claims: Mapping[str, Any], **header: str) -> str:
        rules = jws.JWSRegistry(algorithms=[algorithm])
        return jwt.encode({"alg": algorithm, "kid": self._key.kid}, dict(claims), key, registry=rules)

    return sign


async def test_a_signature_of_another_key_logs_nobody_in(
    region: Region, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(Provider, "sign", signed_by(OTHER_KEY, "RS256"))
    assert await ended(region) == (502, "login-signature")


@pytest.mark.parametrize("form", ["none", "HS256", "not a token"])
async def test_a_token_without_such_a_signature_logs_nobody_in(
    region: Region, monkeypatch: pytest.MonkeyPatch, form: str
) -> None:
    honest = Provider.sign

    def sign(self: Provider, claims: Mapping[str, Any], **header: str) -> str:
        if form == "not a token":
            return form
        _, payload, signature = honest(self, claims).split(".")
        head = urlsafe_b64encode(orjson.dumps({"alg": form, "kid": self._key.kid})).rstrip(b"=").decode()
        return f"{head}.{payload}.{'' if form == 'none' else signature}"

    monkeypatch.setattr(Provider, "sign", sign)
    assert await ended(region) == (502, "login-token")


@pytest.mark.parametrize(("key", "algorithm"), [(OTHER_KEY, "PS256"), (EC_KEY, "ES256")])
async def test_a_provider_may_sign_with_other_keys_that_it_publishes(
    cluster: EmbeddedServer, monkeypatch: pytest.MonkeyPatch, key: RSAKey | ECKey, algorithm: str
) -> None:
    published = {"keys": [{**key.as_dict(private=False), "kid": "new", "use": "sig"}]}

    def sign(self: Provider, claims: Mapping[str, Any], **header: str) -> str:
        rules = jws.JWSRegistry(algorithms=[algorithm])
        return jwt.encode({"alg": algorithm, "kid": "new"}, dict(claims), key, registry=rules)

    monkeypatch.setattr(Provider, "sign", sign)
    monkeypatch.setattr(Provider, "jwks", lambda self: published)
    async with databases(cluster, f"workplace_{algorithm}") as make, portal_node(make) as region:
        assert await ended(region) == (200, "")


async def test_a_name_that_is_not_in_the_id_token_is_asked(
    region: Region, monkeypatch: pytest.MonkeyPatch
) -> None:
    saying(monkeypatch, name=None)
    async with Member(region) as member:
        assert "Jo viewer" in (await member.log_in("/portal/about")).text


@pytest.mark.parametrize(
    ("said", "code"),
    [
        ('{"sub": "another", "name": "Jo"}', "login-subject"),
        ('{"name": "Jo"}', "login-subject"),
        ('{"sub": "viewer", "sub": "viewer"}', "login-answer"),
        ("[]", "login-form"),
        ("", "login-form"),
    ],
)
async def test_userinfo_about_another_or_nobody_logs_nobody_in(
    region: Region, monkeypatch: pytest.MonkeyPatch, said: str, code: str
) -> None:
    saying(monkeypatch, name=None)
    monkeypatch.setattr(Provider, "userinfo", lambda *_: said)
    assert await ended(region) == (502, code)


async def test_the_provider_gives_no_tokens_to_who_does_not_prove_to_be_the_client(
    region: Region, monkeypatch: pytest.MonkeyPatch
) -> None:
    honest = Provider.tokens

    def tokens(self: Provider, form: Mapping[str, str]) -> dict[str, Any]:
        without = {name: value for name, value in form.items() if not name.startswith("client_assertion")}
        with pytest.raises(Refused, match="client_assertion_type"):
            honest(self, without)
        raise Refused("invalid_client", "as expected")

    monkeypatch.setattr(Provider, "tokens", tokens)
    assert await ended(region) == (502, "login-refused")


@pytest.mark.parametrize("spoilt", ["code_verifier", "redirect_uri", "code", "client_id"])
async def test_the_provider_gives_tokens_for_the_request_of_the_code_alone(
    region: Region, monkeypatch: pytest.MonkeyPatch, spoilt: str
) -> None:
    honest = Provider.tokens
    monkeypatch.setattr(Provider, "tokens", lambda self, form: honest(self, {**form, spoilt: "x"}))
    assert await ended(region) == (502, "login-refused")


async def test_a_provider_that_knows_us_by_a_certificate_is_told_which(
    cluster: EmbeddedServer, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    authority = Authority.new("Some Authority")
    issued = authority.issue("node", key=rsa_key(2048))
    own, other = issued.write(tmp_path, "own"), authority.issue("other").write(tmp_path, "other")
    headers: list[Mapping[str, Any]] = []
    honest = Provider.tokens

    def tokens(self: Provider, form: Mapping[str, str]) -> dict[str, Any]:
        headers.append(jws.extract_compact(form["client_assertion"].encode()).headers())
        return honest(self, form)

    monkeypatch.setattr(Provider, "tokens", tokens)
    async with databases(cluster, "workplace_known") as make, portal_node(make, files=own) as region:
        assert await ended(region) == (200, "")
    digest = issued.certificate.fingerprint(hashes.SHA256())
    assert [one["x5t#S256"] for one in headers] == [urlsafe_b64encode(digest).rstrip(b"=").decode()]
    for wrong, said in (
        (other.certificate, "another key"),
        (own.key, "no certificate"),
        (tmp_path / "x", "read"),
    ):
        with pytest.raises(Invalid, match=said):
            async with Workplace.open("https://x.example", "x", own.key, wrong):
                raise AssertionError("it was opened")


def test_nobody_logs_in_as_somebody_who_is_not_there() -> None:
    provider = Provider("https://x.example", OTHER_KEY, {}, [])
    with pytest.raises(Refused, match="does not work here"):
        provider.log_in(None, "x")  # type: ignore[arg-type]
