"""Who asks too much is told so and when to come back, at the guarded doors and at the token endpoint; others go on."""

from __future__ import annotations

from collections.abc import AsyncIterator

import httpx
import pytest_asyncio
from structlog.testing import capture_logs
from tests.nodes import RunningNode, databases, running_node

from schakel.generic.identity import DpopKey
from schakel.generic.identity.assertion import ASSERTION_TYPE
from schakel.store.embedded import EmbeddedServer

MOST = 6
"""Refills by one in ten seconds, in which a test asks far more."""
PROXY = "127.0.0.9"


@pytest_asyncio.fixture(loop_scope="session")
async def node(cluster: EmbeddedServer) -> AsyncIterator[RunningNode]:
    limits = {"requests_per_minute": MOST, "tokens_per_minute": MOST}
    async with (
        databases(cluster, "rate_limits") as make,
        running_node(
            make,
            ("a", "b", "c"),
            limits=limits,
            back={"proxies": (f"{PROXY}/32",), "proxy_header": "X-Cert", "address_header": "X-Forwarded-For"},
        ) as made,
    ):
        yield made


def form(node: RunningNode, requester: str) -> dict[str, str]:
    return {
        "grant_type": "client_credentials",
        "scope": "bgz",
        "client_assertion_type": ASSERTION_TYPE,
        "client_assertion": node[requester].assertion(node["a"]),
    }


async def asked(
    node: RunningNode, token: str, *, address: str = "127.0.0.1", forwarded: str = ""
) -> httpx.Response:
    """A search at the guarded door of a, from that address."""
    transport = httpx.AsyncHTTPTransport(verify=False, local_address=address)
    headers = {"Authorization": f"Bearer {token}"} | ({"X-Forwarded-For": forwarded} if forwarded else {})
    async with httpx.AsyncClient(transport=transport, trust_env=False, timeout=30) as client:
        return await client.get(f"{node['a'].front_fhir}/Condition?code=x", headers=headers)


async def statuses(node: RunningNode, times: int, token: str, **how: str) -> list[int]:
    return [(await asked(node, token, **how)).status_code for _ in range(times)]


async def test_a_requester_that_asks_too_much_is_stopped_and_another_is_not(node: RunningNode) -> None:
    ours, others = await node["b"].token(node["a"]), await node["c"].token(node["a"])
    found = await statuses(node, 3 * MOST, ours)
    assert set(found[:MOST]) == {403} and 429 in found
    refused = next(
        answer for answer in [await asked(node, ours) for _ in range(2 * MOST)] if answer.status_code == 429
    )
    outcome = refused.json()
    assert outcome["resourceType"] == "OperationOutcome"
    assert outcome["issue"][0]["code"] == "throttled"
    assert "limits.requests_per_minute" in outcome["issue"][0]["diagnostics"]
    assert 1 <= int(refused.headers["Retry-After"]) <= 60
    assert (await asked(node, others)).status_code == 403


async def test_bad_tokens_stop_their_address_and_no_other(node: RunningNode) -> None:
    ours = await node["b"].token(node["a"])
    assert set(await statuses(node, MOST, "x" * 43, address="127.0.0.7")) == {401}
    assert 429 in await statuses(node, 2 * MOST, "x" * 43, address="127.0.0.7")
    assert (await asked(node, ours)).status_code == 403


async def test_tokens_of_somebody_else_are_written_down_as_often_as_their_address_may_ask(
    node: RunningNode,
) -> None:
    key, a = DpopKey.new(), node["a"]
    url = f"{a.front_root}/a/oauth2/token"
    given = await a.front.post(url, data=form(node, "b"), headers={"DPoP": key.proof("POST", url)})
    with capture_logs() as lines:
        found = await statuses(node, 3 * MOST, given.json()["access_token"], address="127.0.0.13")
    assert set(found) == {401, 429}
    written = "SELECT count(*) FROM audit_event WHERE kind = 'token' AND outcome = 4"
    assert await node.node.pool.fetchval(written) == found.count(401)
    told = [line for line in lines if line["event"] == "token refused"]
    assert [line["code"] for line in told] == ["token-bound"] * found.count(401)


async def test_behind_a_named_proxy_it_is_the_address_that_the_proxy_tells(node: RunningNode) -> None:
    first, second = "198.51.100.1", "203.0.113.5"
    assert 429 in await statuses(node, 3 * MOST, "x" * 43, address=PROXY, forwarded=first)
    assert (await asked(node, "x" * 43, address=PROXY, forwarded=second)).status_code == 401
    # What stands before it was told by the client: another address there helps nobody.
    assert 429 in await statuses(node, 2 * MOST, "x" * 43, address=PROXY, forwarded=f"{second}, {first}")
    assert 429 in await statuses(node, 2 * MOST, "x" * 43, address=PROXY, forwarded=f"{first}, {PROXY}")
    # From anybody else the header says nothing.
    assert 429 in await statuses(node, 3 * MOST, "x" * 43, address="127.0.0.5", forwarded=second)
    assert 429 in await statuses(node, 2 * MOST, "x" * 43, address="127.0.0.5", forwarded="203.0.113.77")
    assert (await asked(node, "x" * 43, address=PROXY, forwarded=second)).status_code == 401


async def test_a_proxy_that_tells_nothing_of_use_counts_itself(node: RunningNode) -> None:
    for told in ("nonsense", "198.51.100.9, nonsense", PROXY, "unknown"):
        assert 429 in await statuses(node, 3 * MOST, "x" * 43, address=PROXY, forwarded=told)
    assert (await asked(node, "x" * 43, address=PROXY, forwarded="198.51.100.9")).status_code == 401


async def test_the_token_endpoint_counts_the_requester_of_each_assertion(node: RunningNode) -> None:
    a = node["a"]
    url = f"{a.front_root}/a/oauth2/token"
    answers = [await a.front.post(url, data=form(node, "b")) for _ in range(3 * MOST)]
    assert {answer.status_code for answer in answers[:MOST]} == {200}
    refused = next(answer for answer in answers if answer.status_code == 429)
    assert refused.json()["error"] == "temporarily_unavailable"
    assert "limits.tokens_per_minute" in refused.json()["error_description"]
    assert 1 <= int(refused.headers["Retry-After"]) <= 60
    # For what was refused there is no token.
    given = await node.node.pool.fetchval("SELECT count(*) FROM access_token")
    assert given == sum(answer.status_code == 200 for answer in answers)
    assert (await a.front.post(url, data=form(node, "c"))).status_code == 200


async def test_an_assertion_for_another_holder_uses_up_nothing_of_who_made_it(node: RunningNode) -> None:
    """Any holder that was asked for a token has one of them."""
    a = node["a"]
    url = f"{a.front_root}/a/oauth2/token"
    received = {**form(node, "a"), "client_assertion": node["a"].assertion(node["b"])}
    transport = httpx.AsyncHTTPTransport(verify=False, local_address="127.0.0.11")
    async with httpx.AsyncClient(transport=transport, trust_env=False, timeout=30) as b:
        answers = [await b.post(url, data=received) for _ in range(3 * MOST)]
    assert answers[0].status_code == 401 and 429 in {answer.status_code for answer in answers}
    transport = httpx.AsyncHTTPTransport(verify=False, local_address="127.0.0.12")
    async with httpx.AsyncClient(transport=transport, trust_env=False, timeout=30) as own:
        assert (await own.post(url, data=form(node, "a"))).status_code == 200


async def test_nonsense_at_the_token_endpoint_counts_its_address(node: RunningNode) -> None:
    a = node["a"]
    url = f"{a.front_root}/a/oauth2/token"
    answers = [await a.front.post(url, data={"grant_type": "x"}) for _ in range(3 * MOST)]
    assert {answer.status_code for answer in answers[:MOST]} == {400}
    assert 429 in {answer.status_code for answer in answers}
