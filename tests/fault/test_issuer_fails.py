"""An issuer of credentials, or the host of a DID, that is away, slow, broken or lies: no token, and why."""

from __future__ import annotations

import time
from collections.abc import AsyncIterator, Callable

import httpx
import orjson
import pytest
import pytest_asyncio
from tests.middleman import (
    Behaviour,
    Middleman,
    Passing,
    fails,
    half_as_whole,
    hangs_up,
    passes,
    rewrites,
    says,
    slow,
)
from tests.nation import SECONDS, Nation, Requester
from tests.nodes import RunningNode, databases, running_node

from schakel.generic.identity import new_key
from schakel.generic.identity.credentials import resolver
from schakel.store.embedded import EmbeddedServer

IN_TIME = 2 * SECONDS + 4
"""Seconds in which an answer comes: the document and the status list may each use up their time."""

Where = Callable[[Nation], Middleman]
HOME: Where = lambda country: country.home  # noqa: E731
ISSUER: Where = lambda country: country.issuer  # noqa: E731


@pytest_asyncio.fixture(scope="module", loop_scope="session")
async def node(cluster: EmbeddedServer, nationwide: Nation) -> AsyncIterator[RunningNode]:
    async with (
        databases(cluster, "issuer_fails") as make,
        running_node(make, ("a",), **nationwide.settings()) as running,
    ):
        yield running


@pytest.fixture
def at_once(monkeypatch: pytest.MonkeyPatch) -> None:
    """A DID that could not be resolved is asked for again at once."""
    monkeypatch.setattr(resolver, "FAILED_SECONDS", 0.0)


async def asked(country: Nation, node: RunningNode) -> tuple[httpx.Response, str, float]:
    """The answer to a presentation, what it says in words, and its seconds."""
    start = time.monotonic()
    answer = await country.requester.asks(f"{node['a'].front_root}/a")
    return answer, str(answer.json().get("error_description", "")), time.monotonic() - start


def on(path: str, behave: Behaviour) -> Behaviour:
    """This, at one path only."""

    async def chosen(passing: Passing) -> object:
        return await (behave if passing.request.path == path else passes)(passing)

    return chosen  # type: ignore[return-value] # what `behave` gives


def without_key(body: bytes) -> bytes:
    return orjson.dumps({**orjson.loads(body), "verificationMethod": [], "assertionMethod": []})


def with_another_key(body: bytes) -> bytes:
    """A key of somebody else, under the name of theirs."""
    document = orjson.loads(body)
    document["verificationMethod"][0]["publicKeyJwk"] = {n: v for n, v in new_key().items() if n != "d"}
    return orjson.dumps(document)


def of_another(body: bytes) -> bytes:
    return orjson.dumps({**orjson.loads(body), "id": "did:web:elsewhere.example"})


def at_home(change: Callable[[bytes], bytes]) -> Callable[[Nation], Behaviour]:
    def made(country: Nation) -> Behaviour:
        return says(change(orjson.dumps(country.requester.wallet.document())))

    return made


def any_of(behave: Behaviour) -> Callable[[Nation], Behaviour]:
    return lambda _country: behave


DID, STATUS = "/.well-known/did.json", "/status/1"
CASES: dict[str, tuple[Where, Callable[[Nation], Behaviour], str]] = {
    "the holder's host is slow": (HOME, any_of(slow()), "could not be resolved"),
    "the holder's host fails": (HOME, any_of(fails(500)), "could not be resolved"),
    "the holder's host hangs up": (HOME, any_of(hangs_up), "could not be resolved"),
    "the holder's document is cut": (HOME, at_home(lambda body: body[:-20]), "could not be resolved"),
    "the holder's document is of another": (HOME, at_home(of_another), "could not be resolved"),
    "the holder's document is too large": (
        HOME,
        at_home(lambda body: body + b" " * 70_000),
        "could not be resolved",
    ),
    "the holder's document has no key": (HOME, at_home(without_key), "has no usable key"),
    "the holder's document has another key": (
        HOME,
        at_home(with_another_key),
        "the presentation was not signed with the key",
    ),
    "the issuer is slow": (ISSUER, any_of(on(DID, slow())), "could not be resolved"),
    "the issuer fails": (ISSUER, any_of(on(DID, fails(503))), "could not be resolved"),
    "the issuer has no key": (ISSUER, any_of(on(DID, rewrites(without_key))), "has no usable key"),
    "the issuer has another key": (
        ISSUER,
        any_of(on(DID, rewrites(with_another_key))),
        "the signature was not made with the key",
    ),
    "the status list is slow": (ISSUER, any_of(on(STATUS, slow())), "could not be checked"),
    "the status list is not there": (ISSUER, any_of(on(STATUS, fails(404))), "could not be checked"),
    "the status list is cut": (ISSUER, any_of(on(STATUS, half_as_whole)), "could not be checked"),
    "the status list hangs up": (ISSUER, any_of(on(STATUS, hangs_up)), "could not be checked"),
    "the status list is too large": (
        ISSUER,
        any_of(on(STATUS, says(b"a" * 1_100_000))),
        "could not be checked",
    ),
}


@pytest.mark.parametrize("case", CASES)
async def test_what_cannot_be_looked_up_gives_no_token_and_says_what(
    country: Nation, node: RunningNode, case: str, at_once: None
) -> None:
    where, behave, expected = CASES[case]
    where(country).behave = behave(country)
    answer, said, took = await asked(country, node)
    unknown = expected.startswith("could not")
    told = (503, "temporarily_unavailable") if unknown else (400, "invalid_grant")
    assert "access_token" not in answer.text and expected in said, answer.text
    assert (answer.status_code, answer.json()["error"]) == told
    assert ("retry-after" in answer.headers) is unknown
    about = country.issuer_did if where is ISSUER and case.startswith("the issuer") else ""
    assert about in said
    assert took < IN_TIME
    country.heal()
    assert (await asked(country, node))[0].status_code == 200


async def test_a_host_that_is_down_is_found_again_when_it_is_back(
    country: Nation, node: RunningNode, at_once: None
) -> None:
    for away in (country.home, country.issuer):
        await away.down()
        answer, said, took = await asked(country, node)
        assert answer.status_code == 503 and "could not be resolved" in said and took < IN_TIME
        await away.up()
        assert (await asked(country, node))[0].status_code == 200


async def test_a_credential_that_its_issuer_withdraws_is_good_for_nothing_any_more(
    country: Nation, node: RunningNode
) -> None:
    gone = await Requester.made(country)
    country.home.behave = gone.published
    assert (await gone.asks(f"{node['a'].front_root}/a")).status_code == 200
    await country.told("credential-issuer", "revocations", {"id": gone.credential})
    answer = await gone.asks(f"{node['a'].front_root}/a")
    assert answer.status_code == 400
    assert answer.json()["error"] == "invalid_grant" and "the issuer has revoked it" in answer.text
