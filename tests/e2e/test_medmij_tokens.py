"""Codes and tokens of patients: exchanged once, rotated, bound to a client, withdrawn."""

from __future__ import annotations

import asyncio
import uuid
from collections.abc import AsyncIterator
from typing import Any

import pytest
import pytest_asyncio
from tests.medmij import CLIENT, KNOWN, Network, Pgo, medmij_node
from tests.nodes import bearing, databases

from schakel.generic.identity import PatientGrant
from schakel.kernel.outcomes import Unauthenticated
from schakel.store.embedded import EmbeddedServer


@pytest_asyncio.fixture(scope="module", loop_scope="session")
async def network(cluster: EmbeddedServer) -> AsyncIterator[Network]:
    async with databases(cluster, "medmij_tokens") as make, medmij_node(make) as network:
        yield network


async def grant(network: Network, token: str, slug: str = "a") -> PatientGrant:
    """What a token says to the door of an organisation."""
    door = network.node.node.organisation(slug).patients
    assert door is not None
    return await door.tokens.identify(bearing(token))


async def opens(network: Network, token: str, slug: str = "a") -> bool:
    try:
        await grant(network, token, slug)
    except Unauthenticated:
        return False
    return True


async def refused(pgo: Pgo, form: dict[str, str], error: str, status: int = 400, **headers: str) -> str:
    """The description of a refusal with this error."""
    answer = await pgo.post("a", form, **headers)
    assert answer.status_code == status, answer.text
    told = answer.json()
    assert set(told) == {"error", "error_description"} and told["error"] == error, told
    description: str = told["error_description"]
    return description


async def code(pgo: Pgo) -> str:
    return (await pgo.authorise("a"))["code"]


# -- what is given ---------------------------------------------------------------------------------------------


async def test_one_token_opens_all_collect_services_of_the_holder_for_that_patient(network: Network) -> None:
    pgo = network.pgo()
    told = await pgo.tokens("a")
    assert set(told) == {"access_token", "token_type", "expires_in", "refresh_token", "scope"}
    assert (told["token_type"], told["expires_in"], told["scope"]) == ("Bearer", 900, "48 49 63")
    found = await grant(network, told["access_token"])
    assert (found.patient, found.client, found.correlation_id) == (KNOWN, CLIENT, pgo.correlation)
    assert found.services == {"48", "49", "63"}


async def test_a_token_to_share_opens_its_one_service(network: Network) -> None:
    told = await network.pgo().tokens("a", scope="providera~903")
    assert told["scope"] == "903"
    assert (await grant(network, told["access_token"])).services == {"903"}


async def test_a_token_is_of_one_holder_and_one_kind(network: Network) -> None:
    told = await network.pgo().tokens("a")
    assert not await opens(network, told["access_token"], "b")
    assert not await opens(network, told["refresh_token"])
    answer = await network.node["a"].front.get(
        "Condition", headers={"Authorization": f"Bearer {told['access_token']}"}
    )
    assert answer.status_code == 401


async def test_only_digests_are_kept(network: Network) -> None:
    pgo = network.pgo()
    offered = await code(pgo)
    told = (await pgo.post("a", pgo.exchange(offered))).json()
    async with network.node.node.pool.acquire() as connection:
        rows = await connection.fetch("SELECT s::text FROM medmij_secret s")
        flows = await connection.fetch("SELECT f::text FROM medmij_flow f")
    stored = "".join(row[0] for row in [*rows, *flows])
    for secret in (offered, told["access_token"], told["refresh_token"]):
        assert secret not in stored and secret.encode().hex() not in stored


async def test_the_metadata_name_the_addresses_and_grants(network: Network) -> None:
    node = network.node["a"]
    answer = await node.front.get(f"{node.front_root}/.well-known/oauth-authorization-server/a")
    told = answer.json()
    assert told["authorization_endpoint"] == f"{network.base('a')}/authorize"
    assert told["revocation_endpoint"] == f"{network.base('a')}/revoke"
    assert told["response_types_supported"] == ["code"]
    grants = ["client_credentials", "authorization_code", "refresh_token"]
    assert told["grant_types_supported"] == grants


# -- a code ----------------------------------------------------------------------------------------------------


async def test_a_code_that_comes_again_takes_back_what_was_given(network: Network) -> None:
    pgo = network.pgo()
    offered = await code(pgo)
    told = (await pgo.post("a", pgo.exchange(offered))).json()
    assert await opens(network, told["access_token"])
    await refused(pgo, pgo.exchange(offered), "invalid_grant")
    assert not await opens(network, told["access_token"])
    await refused(pgo, pgo.refreshing(told["refresh_token"]), "invalid_grant")


async def test_the_same_request_sent_again_is_refused_too_unless_a_setting_says_else(
    network: Network,
) -> None:
    pgo, request = network.pgo(), str(uuid.uuid4())
    form = pgo.exchange(await code(pgo))
    assert (await pgo.post("a", form, MedMij_Request_ID=request)).status_code == 200
    await refused(pgo, form, "invalid_grant", MedMij_Request_ID=request)


async def test_of_many_at_once_one_gets_the_tokens(network: Network) -> None:
    pgo = network.pgo()
    form = pgo.exchange(await code(pgo))
    answers = await asyncio.gather(*(pgo.post("a", form) for _ in range(8)))
    assert sorted(one.status_code for one in answers) == [200] + [400] * 7


@pytest.mark.parametrize(
    ("change", "error", "status"),
    [
        ({"redirect_uri": "https://pgo.example/other"}, "invalid_grant", 400),
        ({"redirect_uri": ""}, "invalid_request", 400),
        ({"client_id": "other.example"}, "invalid_grant", 400),
        ({"client_id": "unknown.example"}, "invalid_client", 401),
        ({"client_id": ""}, "invalid_request", 400),
        ({"code": "x" * 43}, "invalid_grant", 400),
        ({"code": ""}, "invalid_request", 400),
        ({"grant_type": "password"}, "unsupported_grant_type", 400),
        ({"grant_type": "refresh_token"}, "invalid_request", 400),
    ],
)
async def test_a_wrong_form_gets_no_tokens(
    network: Network, change: dict[str, str], error: str, status: int
) -> None:
    pgo = network.pgo()
    form: dict[str, Any] = pgo.exchange(await code(pgo)) | change
    if change.get("grant_type") == "password":
        form |= {"scope": "bgz", "client_assertion_type": "x", "client_assertion": "y"}
    await refused(pgo, form, error, status)


async def test_a_code_that_was_offered_wrongly_is_withdrawn(network: Network) -> None:
    pgo = network.pgo()
    offered = await code(pgo)
    wrong = pgo.exchange(offered) | {"redirect_uri": "https://pgo.example/other"}
    await refused(pgo, wrong, "invalid_grant")
    await refused(pgo, pgo.exchange(offered), "invalid_grant")


async def test_a_code_expires(network: Network) -> None:
    pgo = network.pgo()
    offered = await code(pgo)
    async with network.node.node.pool.acquire() as connection:
        await connection.execute(
            "UPDATE medmij_secret SET expires = now() WHERE kind = 'code' AND used IS NULL"
        )
    assert "expired" in await refused(pgo, pgo.exchange(offered), "invalid_grant")


async def test_a_code_of_one_organisation_is_nothing_at_another(network: Network) -> None:
    pgo = network.pgo()
    answer = await pgo.post("b", pgo.exchange(await code(pgo)))
    assert (answer.status_code, answer.json()["error"]) == (400, "invalid_grant")


@pytest.mark.parametrize("name", ["MedMij_Request_ID", "X_Correlation_ID"])
@pytest.mark.parametrize("value", ["", "1", "g" * 36])
async def test_both_ids_are_needed_and_a_request_without_costs_no_code(
    network: Network, name: str, value: str
) -> None:
    pgo = network.pgo()
    form = pgo.exchange(await code(pgo))
    assert name.replace("_", "-") in await refused(pgo, form, "invalid_request", 400, **{name: value})
    assert (await pgo.post("a", form)).status_code == 200


async def test_the_correlation_id_is_that_of_the_authorisation(network: Network) -> None:
    pgo = network.pgo()
    form = pgo.exchange(await code(pgo))
    said = await refused(pgo, form, "invalid_grant", X_Correlation_ID=str(uuid.uuid4()))
    assert "X-Correlation-ID" in said


# -- a refresh token -------------------------------------------------------------------------------------------


async def test_a_refresh_gives_new_tokens_under_a_new_session(network: Network) -> None:
    pgo = network.pgo()
    told = await pgo.tokens("a")
    session = str(uuid.uuid4())
    answer = await pgo.post("a", pgo.refreshing(told["refresh_token"]), X_Correlation_ID=session)
    assert answer.status_code == 200
    new = answer.json()
    assert {new["access_token"], new["refresh_token"]}.isdisjoint(told.values())
    assert new["scope"] == told["scope"]
    found = await grant(network, new["access_token"])
    assert (found.patient, found.correlation_id) == (KNOWN, session)
    async with network.node.node.pool.acquire() as connection:
        days = await connection.fetchval(
            "SELECT max(expires - now()) FROM medmij_secret WHERE kind = 'refresh' AND correlation_id = $1",
            session,
        )
    assert 182 <= days.days <= 184


async def test_a_refresh_token_that_was_rotated_out_ends_the_family(network: Network) -> None:
    pgo = network.pgo()
    told = await pgo.tokens("a")
    new = (await pgo.post("a", pgo.refreshing(told["refresh_token"]))).json()
    assert await opens(network, new["access_token"])
    await refused(pgo, pgo.refreshing(told["refresh_token"]), "invalid_grant")
    for token in (told["access_token"], new["access_token"]):
        assert not await opens(network, token)
    await refused(pgo, pgo.refreshing(new["refresh_token"]), "invalid_grant")


async def test_a_refresh_token_of_another_client_ends_the_family(network: Network) -> None:
    pgo = network.pgo()
    told = await pgo.tokens("a")
    form = pgo.refreshing(told["refresh_token"]) | {"client_id": "other.example"}
    await refused(pgo, form, "invalid_grant")
    assert not await opens(network, told["access_token"])


async def test_refresh_code_is_no_grant_type_unless_a_setting_says_so(network: Network) -> None:
    pgo = network.pgo()
    told = await pgo.tokens("a")
    form = pgo.refreshing(told["refresh_token"]) | {"grant_type": "refresh_code"}
    answer = await pgo.post("a", form)
    assert answer.status_code == 400
    assert (await pgo.post("a", pgo.refreshing(told["refresh_token"]))).status_code == 200


async def test_an_expired_token_opens_nothing(network: Network) -> None:
    told = await network.pgo().tokens("a")
    async with network.node.node.pool.acquire() as connection:
        await connection.execute("UPDATE medmij_secret SET expires = now() WHERE kind = 'access'")
    assert not await opens(network, told["access_token"])


# -- withdrawing -----------------------------------------------------------------------------------------------


@pytest.mark.parametrize("which", ["access_token", "refresh_token"])
async def test_a_client_withdraws_what_the_person_allowed(network: Network, which: str) -> None:
    pgo = network.pgo()
    told = await pgo.tokens("a")
    form = {"token": told[which], "client_id": CLIENT}
    assert (await pgo.post("a", form, "revoke")).status_code == 200
    assert not await opens(network, told["access_token"])
    await refused(pgo, pgo.refreshing(told["refresh_token"]), "invalid_grant")
    assert (await pgo.post("a", form, "revoke")).status_code == 200


async def test_another_client_withdraws_nothing(network: Network) -> None:
    pgo = network.pgo()
    told = await pgo.tokens("a")
    form = {"token": told["access_token"], "client_id": "other.example"}
    assert (await pgo.post("a", form, "revoke")).status_code == 401
    assert await opens(network, told["access_token"])


# -- the settings for clients that do otherwise ----------------------------------------------------------------


async def test_a_lost_answer_is_given_again_where_a_setting_says_so(cluster: EmbeddedServer) -> None:
    async with (
        databases(cluster, "medmij_repeat") as make,
        medmij_node(make, repeat_code_seconds=30, accept_refresh_code=True) as network,
    ):
        pgo, request = network.pgo(), str(uuid.uuid4())
        form = pgo.exchange(await code(pgo))
        answers = await asyncio.gather(*(pgo.post("a", form, MedMij_Request_ID=request) for _ in range(4)))
        assert [one.status_code for one in answers] == [200] * 4
        assert len({(one.json()["access_token"], one.json()["refresh_token"]) for one in answers}) == 1
        told = answers[0].json()
        assert await opens(network, told["access_token"])

        request = str(uuid.uuid4())
        form_again = pgo.refreshing(told["refresh_token"]) | {"grant_type": "refresh_code"}
        new = [(await pgo.post("a", form_again, MedMij_Request_ID=request)).json() for _ in range(2)]
        assert new[0]["access_token"] == new[1]["access_token"] != told["access_token"]

        await refused(pgo, form, "invalid_grant")  # Another request with the same code is still misuse.
        assert not await opens(network, new[0]["access_token"])


async def test_the_answer_is_not_given_again_when_its_time_is_over(cluster: EmbeddedServer) -> None:
    async with databases(cluster, "medmij_late") as make, medmij_node(make, repeat_code_seconds=5) as network:
        pgo, request = network.pgo(), str(uuid.uuid4())
        form = pgo.exchange(await code(pgo))
        told = (await pgo.post("a", form, MedMij_Request_ID=request)).json()
        async with network.node.node.pool.acquire() as connection:
            await connection.execute("UPDATE medmij_secret SET used = used - interval '6 seconds'")
        await refused(pgo, form, "invalid_grant", MedMij_Request_ID=request)
        assert not await opens(network, told["access_token"])


async def test_without_the_demo_setting_a_client_needs_a_certificate(cluster: EmbeddedServer) -> None:
    async with (
        databases(cluster, "medmij_front") as make,
        medmij_node(make, node_settings={"guarded_on_front": False}) as network,
    ):
        pgo = network.pgo()
        form = pgo.exchange(await code(pgo))
        assert "certificate" in await refused(pgo, form, "invalid_client", 401)
        answer = await pgo.post("a", {"token": "x", "client_id": CLIENT}, "revoke")
        assert answer.status_code == 401
