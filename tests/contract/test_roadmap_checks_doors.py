"""The checks of open doors: what a FHIR base and an authorisation server say of themselves."""

from __future__ import annotations

from collections.abc import AsyncIterator
from typing import Any

import pytest
from tests.measuring import Peer, capabilities, measured, region, roadmap, saying, silent
from tests.nodes import MakeDatabase, running_node

from schakel.roadmap.run import measure


@pytest.fixture
async def peer() -> AsyncIterator[Peer]:
    """A server that tests tell what to say."""
    async with saying() as made:
        yield made


# -- fhir-metadata -------------------------------------------------------------------------------------------


async def test_the_fhir_doors_and_the_token_server_of_a_node_hold(make_database: MakeDatabase) -> None:
    async with running_node(make_database, ("a",)) as node:
        root = f"{node['a'].front_root}/a"
        doors = {version: f"{root}/fhir/{version}" for version in ("stu3", "r4")}
        fhir = await measured("fhir-metadata", fhir=doors)
        tokens = await measured("token-metadata", issuer=root)
    assert fhir.verdict == "holds", fhir
    assert fhir.facts == {"bases": 2}
    assert tokens.verdict == "holds", tokens


@pytest.mark.parametrize(
    ("version", "body", "status", "said"),
    [
        ("r4", capabilities("stu3"), 200, "FHIR version 3.0.2"),
        ("stu3", capabilities("r4"), 200, "FHIR version 4.0.1"),
        ("r4", capabilities("r4", format=["xml"]), 200, "does not name JSON"),
        ("r4", {"resourceType": "OperationOutcome"}, 200, "no CapabilityStatement"),
        ("r4", b"<html>", 200, "no CapabilityStatement"),
        ("r4", capabilities("r4"), 404, "status 404"),
        ("r4", capabilities("r4"), 503, "status 503"),
    ],
)
async def test_a_fhir_base_with_one_fault_fails_with_its_reason(
    peer: Peer, version: str, body: object, status: int, said: str
) -> None:
    good = {"stu3": "r4", "r4": "stu3"}[version]
    peer.says(f"/{good}/metadata", capabilities(good))
    peer.says(f"/{version}/metadata", body, status)
    found = await measured("fhir-metadata", fhir={one: f"{peer.url}/{one}" for one in ("stu3", "r4")})
    assert found.verdict == "fails"
    assert said in found.reason.en
    assert found.reason.nl != found.reason.en


async def test_a_fhir_base_that_does_not_answer_is_not_in_service() -> None:
    found = await measured("fhir-metadata", fhir={"r4": f"{silent()}/fhir"})
    assert found.verdict == "fails"
    assert "nothing listens there" in found.reason.en


# -- token-metadata ------------------------------------------------------------------------------------------


def offered(peer: Peer, **changed: Any) -> dict[str, Any]:
    """The metadata of an authorisation server that does all right."""
    made: dict[str, Any] = {
        "issuer": f"{peer.url}/org",
        "token_endpoint": f"{peer.url}/org/token",
        "grant_types_supported": ["client_credentials"],
        "token_endpoint_auth_methods_supported": ["private_key_jwt"],
        "dpop_signing_alg_values_supported": ["ES256"],
        **changed,
    }
    return {name: value for name, value in made.items() if value is not None}


async def asked(peer: Peer, body: object, status: int = 200, **defaults: Any) -> tuple[str, str]:
    """Verdict and reason for an authorisation server that says this."""
    peer.says("/.well-known/oauth-authorization-server/org", body, status)
    found = await measured("token-metadata", defaults, issuer=f"{peer.url}/org")
    return found.verdict, found.reason.en


@pytest.mark.parametrize(
    "changed",
    [
        {},
        {"dpop_signing_alg_values_supported": None, "tls_client_certificate_bound_access_tokens": True},
        {"token_endpoint_auth_methods_supported": ["tls_client_auth"]},
        {
            "grant_types_supported": ["client_credentials", "authorization_code"],
            "token_endpoint_auth_methods_supported": ["private_key_jwt", "none"],
        },
    ],
)
async def test_a_token_server_that_does_all_right_holds(peer: Peer, changed: dict[str, Any]) -> None:
    verdict, reason = await asked(peer, offered(peer, **changed))
    assert verdict == "holds", reason


@pytest.mark.parametrize(
    ("changed", "said"),
    [
        ({"issuer": "https://other.example"}, "calls itself https://other.example"),
        ({"token_endpoint": None}, "no address to ask tokens"),
        ({"token_endpoint": "http://tokens.example/token"}, "token_endpoint is no https address"),
        ({"jwks_uri": "ftp://keys.example"}, "jwks_uri is no https address"),
        ({"grant_types_supported": None}, "how to get a token"),
        ({"token_endpoint_auth_methods_supported": ["client_secret_basic"]}, "do not prove who they are"),
        ({"token_endpoint_auth_methods_supported": ["private_key_jwt", "none"]}, "without proof"),
        ({"dpop_signing_alg_values_supported": None}, "not bound to a key"),
        ({"dpop_signing_alg_values_supported": ["ES256", "HS256"]}, "weak signatures: HS256"),
    ],
)
async def test_a_token_server_with_one_fault_fails_with_exactly_that(
    peer: Peer, changed: dict[str, Any], said: str
) -> None:
    verdict, reason = await asked(peer, offered(peer, **changed))
    assert verdict == "fails"
    assert said in reason
    assert reason.count(". ") == 0, reason


async def test_plain_http_at_a_token_server_is_for_a_demo_alone(peer: Peer) -> None:
    verdict, reason = await asked(peer, offered(peer), http_on_loopback=False)
    assert (verdict, reason) == ("fails", "token_endpoint is no https address.")


async def test_a_token_server_without_a_description_fails(peer: Peer) -> None:
    verdict, reason = await asked(peer, {}, 404)
    assert verdict == "fails"
    assert "no description" in reason


async def test_a_token_server_in_trouble_or_silent_is_not_judged(peer: Peer) -> None:
    verdict, reason = await asked(peer, offered(peer), 503)
    assert verdict == "unknown"
    assert "503" in reason
    found = await measured("token-metadata", issuer=f"{silent()}/org")
    assert found.verdict == "unknown"


# -- what is not in the file ---------------------------------------------------------------------------------


async def test_what_the_file_says_nothing_of_is_not_found_anything_about() -> None:
    run = await measure(region({}), roadmap())
    assert run.measured == ()
    assert [one.ura for one in run.members] == ["90000001"]
