"""Nonces that proofs must have, and the addresses that tokens are for, at an authorisation server by itself."""

from __future__ import annotations

from collections.abc import AsyncIterator, Iterator
from typing import Any

import asyncpg
import pytest
import pytest_asyncio
import time_machine
from tests.proofs import KEY, proof
from tests.token_server import DATA_URL, ISSUER, REQUESTER, TOKEN_URL, Directory, asking, form, reading

from schakel.generic.identity import AuthorisationServer, Caller, OAuthError, ServerRules
from schakel.generic.identity.nonces import Nonces
from schakel.kernel.clock import now
from schakel.kernel.outcomes import Unauthenticated
from schakel.store.database import connect
from schakel.store.embedded import EmbeddedServer


@pytest_asyncio.fixture(scope="module", loop_scope="session")
async def pool(cluster: EmbeddedServer) -> AsyncIterator[asyncpg.Pool]:
    opened = await connect(await cluster.ensure_database("nonces", "nonces", "secret"))
    yield opened
    await opened.close()
    await cluster.drop_database("nonces", "nonces")


def made(pool: asyncpg.Pool, nonces: Nonces | None) -> AuthorisationServer:
    return AuthorisationServer(pool, 1, ISSUER, Directory(), 300, rules=ServerRules(nonces=nonces))


# -- nonces of the server ------------------------------------------------------------------------------------

SLOT = 3600
NONCES = Nonces(b"s" * 32, ISSUER, SLOT)


@pytest.fixture
def mid_slot() -> Iterator[None]:
    """In the middle of a slot, so that none ends during a test."""
    middle = (now().timestamp() // SLOT + 1.5) * SLOT
    with time_machine.travel(middle):
        yield


def nonce_of(slots: int = 0) -> str:
    """The nonce of this slot, or of one so many later."""
    return NONCES.fresh(now().timestamp() + slots * SLOT)


@pytest.mark.parametrize("given", ["none", "old", "of another"])
@pytest.mark.usefixtures("mid_slot")
async def test_a_token_request_whose_proof_lacks_the_nonce_uses_nothing_up(
    pool: asyncpg.Pool, given: str
) -> None:
    server, asked = made(pool, NONCES), form()
    claims: dict[str, Any] = {
        "none": {},
        "old": {"nonce": nonce_of(-2)},
        "of another": {"nonce": Nonces(b"x" * 32, ISSUER, SLOT).fresh(now().timestamp())},
    }[given]
    with pytest.raises(OAuthError) as caught:
        await server.token(asked, asking(proof("POST", TOKEN_URL, **claims)))
    assert (caught.value.error, caught.value.status) == ("use_dpop_nonce", 400)
    again: dict[str, Any] = {"nonce": caught.value.headers["DPoP-Nonce"]}
    # The same assertion, since nothing was used up by the refusal.
    answer = await server.token(asked, asking(proof("POST", TOKEN_URL, **again)))
    assert answer.grant.jkt == KEY.thumbprint()


@pytest.mark.usefixtures("mid_slot")
async def test_at_a_resource_a_proof_needs_the_nonce_too_and_is_good_once(pool: asyncpg.Pool) -> None:
    server = made(pool, NONCES)
    answer = await server.token(form(), asking(proof("POST", TOKEN_URL, nonce=nonce_of())))

    def data(**claims: Any) -> Caller:
        return reading(answer.token, proof("GET", DATA_URL, answer.token, **claims))

    for claims in ({}, {"nonce": nonce_of(-2)}, {"nonce": 1}):
        with pytest.raises(Unauthenticated) as caught:
            await server.identify(data(**claims))
        assert caught.value.status == 401
        assert caught.value.headers["WWW-Authenticate"].startswith("DPoP ")
        assert 'error="use_dpop_nonce"' in caught.value.headers["WWW-Authenticate"]
        assert caught.value.headers["DPoP-Nonce"] == nonce_of()
    good = data(nonce=nonce_of(-1))
    assert (await server.identify(good)).jkt == KEY.thumbprint()
    with pytest.raises(Unauthenticated) as again:
        await server.identify(good)
    assert again.value.kind == "dpop-replayed"


async def test_a_nonce_that_nobody_asked_for_does_no_harm(pool: asyncpg.Pool) -> None:
    server = made(pool, None)
    answer = await server.token(form(), asking(proof("POST", TOKEN_URL, nonce="anything")))
    assert (answer.grant.jkt, server.nonce()) == (KEY.thumbprint(), "")


@pytest.mark.usefixtures("mid_slot")
async def test_where_nonces_are_asked_a_bearer_token_needs_none(pool: asyncpg.Pool) -> None:
    server = made(pool, NONCES)
    answer = await server.token(form(), asking())
    assert answer.grant.jkt == ""
    assert (await server.identify(reading(answer.token, scheme="Bearer"))).requester == REQUESTER


# -- what a token is for -------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("resource", "taken"),
    [
        (f"{ISSUER}/fhir/stu3", True),
        (f"{ISSUER}/fhir/stu3/", True),
        (f"{ISSUER}/fhir/stu3/Condition", True),
        (f"{ISSUER}/fhir/stu3x", False),
        (f"{ISSUER}/fhir", False),
        (ISSUER, False),
        ("https://other.example/haven/fhir/stu3", False),
        ("", False),
        ("\ud800", False),
    ],
)
async def test_a_token_is_asked_for_an_address_of_ours_or_not_given(
    pool: asyncpg.Pool, resource: str, taken: bool
) -> None:
    server = AuthorisationServer(pool, 1, ISSUER, Directory(), 300, resources=(f"{ISSUER}/fhir/stu3",))
    asked = {**form(), "resource": resource}
    if taken:
        assert (await server.token(asked, asking())).grant.requester == REQUESTER
    else:
        with pytest.raises(OAuthError) as caught:
            await server.token(asked, asking())
        assert (caught.value.error, caught.value.expression) == ("invalid_target", "resource")
    assert server.metadata()["protected_resources"] == [f"{ISSUER}/fhir/stu3"]
