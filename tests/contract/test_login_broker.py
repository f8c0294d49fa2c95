"""Our client of the login broker against a broker that lies: nobody is logged in, and the client is told nothing.

The broker is the stand-in, over HTTP; each test changes one thing that it says.
"""

from __future__ import annotations

import time
from collections.abc import AsyncIterator, Mapping
from typing import Any

import httpx
import pytest
import pytest_asyncio
from joserfc.jwk import RSAKey
from tests.medmij import KNOWN, Browser, Network, came_back, medmij_node
from tests.nodes import databases

from schakel.store.embedded import EmbeddedServer
from schakel_national.broker.provider import Login, Provider

OTHER_KEY = RSAKey.generate_key(2048, private=True)


@pytest_asyncio.fixture(scope="module", loop_scope="session")
async def network(cluster: EmbeddedServer) -> AsyncIterator[Network]:
    async with databases(cluster, "broker") as make, medmij_node(make) as network:
        yield network


async def ended(network: Network) -> dict[str, str]:
    """With what the browser comes back to the client after a login; {} when the person was asked for consent."""
    async with Browser() as browser:
        page = await browser.open(network.pgo().address("a"))
        page = await browser.send(page, answer="yes")
        page = await browser.send(page, bsn=KNOWN, action="login")
        assert KNOWN not in browser.gone_to
        return came_back(browser.gone_to) if browser.gone_to else {}


async def test_an_honest_broker_leads_to_the_consent_page(network: Network) -> None:
    assert await ended(network) == {}


@pytest.mark.parametrize(
    "lie",
    [
        {"nonce": "another"},
        {"nonce": ""},
        {"aud": "another"},
        {"aud": ["node", "another"]},
        {"iss": "https://another.example"},
        {"exp": int(time.time()) - 3600},
        {"exp": "never"},
        {"nbf": int(time.time()) + 3600},
        {"bsn": "123456789"},
        {"bsn": ""},
        {"loa_authn": "urn:oasis:names:tc:SAML:2.0:ac:classes:PasswordProtectedTransport"},
        {"loa_authn": None},
    ],
)
async def test_a_claim_that_is_not_right_logs_nobody_in(
    network: Network, monkeypatch: pytest.MonkeyPatch, lie: dict[str, Any]
) -> None:
    honest = Provider._signed

    def lying(self: Provider, login: Login, claims: Mapping[str, str]) -> str:
        # A claim is changed where it stands: the BSN is in the userinfo alone, the nonce in the id token alone.
        kept = {"bsn", "nonce"} & lie.keys()
        return honest(self, login, {**claims, **lie} if not kept or kept <= claims.keys() else claims)

    monkeypatch.setattr(Provider, "_signed", lying)
    assert (await ended(network))["error"] == "server_error"


async def test_userinfo_about_another_login_logs_nobody_in(
    network: Network, monkeypatch: pytest.MonkeyPatch
) -> None:
    honest = Provider._signed

    def lying(self: Provider, login: Login, claims: Mapping[str, str]) -> str:
        return honest(self, login, {**claims, "sub": "another"} if "bsn" in claims else claims)

    monkeypatch.setattr(Provider, "_signed", lying)
    assert (await ended(network))["error"] == "server_error"


async def test_a_signature_of_another_key_logs_nobody_in(
    network: Network, monkeypatch: pytest.MonkeyPatch
) -> None:
    honest = Provider._signed

    def lying(self: Provider, login: Login, claims: Mapping[str, str]) -> str:
        kept = self._key
        self._key = RSAKey.import_key({**OTHER_KEY.as_dict(private=True), "kid": str(kept.kid)})
        try:
            return honest(self, login, claims)
        finally:
            self._key = kept

    monkeypatch.setattr(Provider, "_signed", lying)
    assert (await ended(network))["error"] == "server_error"


async def test_userinfo_that_is_not_sealed_for_us_logs_nobody_in(
    network: Network, monkeypatch: pytest.MonkeyPatch
) -> None:
    def open_text(self: Provider, token: str) -> str:
        login = self._tokens.see(token)
        assert login is not None
        return self._signed(login, {"bsn": str(login.bsn), "session_id": "x", "loa_authn": self._level})

    monkeypatch.setattr(Provider, "userinfo", open_text)
    assert (await ended(network))["error"] == "server_error"


# -- what the broker itself refuses ----------------------------------------------------------------------------


async def _asked(network: Network) -> httpx.URL:
    """The address at the broker to which the node sends a browser."""
    async with Browser() as browser:
        page = await browser.open(network.pgo().address("a"))
        [form] = page.tree.forms
        answer = await browser.http.post(form.action, data={**page.form(), "answer": "yes"})
        return httpx.URL(answer.headers["location"])


@pytest.mark.parametrize("name", ["nonce", "state", "code_challenge", "code_challenge_method", "scope"])
async def test_the_broker_wants_all_that_ties_a_login_to_its_request(network: Network, name: str) -> None:
    address = await _asked(network)
    assert name in address.params
    async with httpx.AsyncClient(trust_env=False) as http:
        good = await http.get(address)
        assert good.status_code == 200
        answer = await http.get(address.copy_remove_param(name))
    assert answer.status_code == 303 and "error=invalid_" in answer.headers["location"]


@pytest.mark.parametrize("name", ["client_id", "redirect_uri"])
async def test_the_broker_sends_nobody_to_an_address_that_is_not_registered(
    network: Network, name: str
) -> None:
    address = (await _asked(network)).copy_set_param(name, "https://evil.example/")
    async with httpx.AsyncClient(trust_env=False) as http:
        answer = await http.get(address)
    assert answer.status_code == 400 and "location" not in answer.headers


@pytest.mark.parametrize("what", ["verifier", "assertion", "redirect_uri", "code"])
async def test_the_broker_gives_no_token_for_a_wrong_request(
    network: Network, monkeypatch: pytest.MonkeyPatch, what: str
) -> None:
    honest = Provider.tokens

    def disturbed(self: Provider, form: Mapping[str, str]) -> dict[str, Any]:
        changed = dict(form)
        name = {"verifier": "code_verifier", "assertion": "client_assertion"}.get(what, what)
        changed[name] = changed[name][:-8] + "AAAAAAAA"
        return honest(self, changed)

    monkeypatch.setattr(Provider, "tokens", disturbed)
    assert (await ended(network))["error"] == "server_error"


async def test_a_code_of_the_broker_works_once(network: Network, monkeypatch: pytest.MonkeyPatch) -> None:
    honest = Provider.tokens
    seen: list[dict[str, str]] = []

    def noted(self: Provider, form: Mapping[str, str]) -> dict[str, Any]:
        seen.append(dict(form))
        return honest(self, form)

    monkeypatch.setattr(Provider, "tokens", noted)
    assert await ended(network) == {}
    async with httpx.AsyncClient(trust_env=False) as http:
        answer = await http.post(f"{network.broker}/token", data=seen[0])
    assert answer.status_code in (400, 401)
