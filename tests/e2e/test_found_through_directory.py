"""A holder of which nothing but its keys was entered is found through the query directory, and asked."""

from __future__ import annotations

from collections.abc import AsyncIterator
from datetime import timedelta
from typing import Any

import httpx
import pytest
import pytest_asyncio
from tests.addressing import BGZ, Directory, endpoint, organisation, server
from tests.nodes import DOCTOR, MakeDatabase, RunningNode, running_node

from schakel.fhir.json import Resource
from schakel.kernel.clock import now

BSN = "999229588"


async def enter(node: RunningNode, *, over_back: bool = False, **members: Any) -> Directory:
    """Organisation a in the query directory of the node: its BgZ and its authorisation server."""
    a, directory = node["a"], await Directory.new(node.node.pool)
    root = a.back_root if over_back else a.front_root
    await directory.put(
        organisation("a", a.ura, ["bgz", "oauth"]),
        endpoint("bgz", BGZ, **{"address": f"{root}/a/fhir/stu3", **members}),
        {**server("oauth"), "address": f"{a.front_root}/a"},
        source="central",
    )
    await directory.in_step({"central": now()})
    return directory


async def asked(node: RunningNode) -> dict[str, Any]:
    """What b gets when it asks a for a BgZ: the report of that holder."""
    b = node["b"]
    ask = {
        "patient": BSN,
        "holders": [node["a"].ura],
        "user": DOCTOR.json(),
        "purpose": "TREAT",
        "treatment_relation": "current",
    }
    answer = await b.internal.post(f"{b.internal_root}/b/exchanges/bgz", json=ask)
    assert answer.status_code == 200, answer.text
    [holder] = answer.json()["holders"]
    found: dict[str, Any] = holder
    return found


@pytest_asyncio.fixture(loop_scope="session")
async def node(make_database: MakeDatabase) -> AsyncIterator[RunningNode]:
    local = {"http_on_loopback": True}
    async with running_node(make_database, keys_only=True, trust=local) as running:
        patient: Resource = {
            "resourceType": "Patient",
            "id": "p1",
            "identifier": [{"system": "http://fhir.nl/fhir/NamingSystem/bsn", "value": BSN}],
        }
        assert (await running["a"].internal.put("Patient/p1", json=patient)).status_code == 201
        await running["a"].ground(BSN, running["b"].ura)
        yield running


async def test_a_holder_is_asked_at_the_addresses_of_the_directory(node: RunningNode) -> None:
    assert (await asked(node))["status"] == "failed"
    directory = await enter(node)
    holder = await asked(node)
    assert (holder["status"], holder["reason"]) == ("complete", ""), holder
    told = holder["directory"]
    assert (told["source"], told["stale"]) == ("configuration, central", False)
    assert told["as_of"] is not None
    await directory.in_step({"central": now() - timedelta(hours=25)})
    late = await asked(node)
    assert (late["status"], late["directory"]["stale"]) == ("complete", True)


async def test_each_thing_that_is_missing_is_named(node: RunningNode) -> None:
    a = node["a"].ura
    assert "has no endpoint for exchange bgz" in (await asked(node))["reason"]
    directory = await enter(node, status="off")
    assert f"provider {a}" in (await asked(node))["reason"]
    await enter(node)
    await directory.put(organisation("a", a, ["bgz"]))
    assert "names no authorisation server" in (await asked(node))["reason"]
    await directory.put(organisation("double", a), source="regional")
    await directory.in_step({"regional": now()})
    reason = (await asked(node))["reason"]
    assert "directory-conflict" in reason or f"2 active organisations have URA {a}" in reason


async def test_over_mutual_tls_the_addresses_for_certificates_are_taken(make_database: MakeDatabase) -> None:
    trust = {"http_on_loopback": True}
    async with running_node(make_database, keys_only=True, over_back=True, trust=trust) as node:
        await enter(node, over_back=True)
        holder = await asked(node)
        # A is reached and asked with a token; that it has no ground for this patient is another matter.
        assert (holder["status"], "decision" in holder["reason"] or holder["requests"] != []) == (
            "refused",
            True,
        )
        given = await node.node.pool.fetch("SELECT requester, x5t FROM access_token")
        assert [(row["requester"], bool(row["x5t"])) for row in given] == [(node["b"].ura, True)]


async def test_who_asks_with_an_assertion_has_the_type_that_the_directory_says(node: RunningNode) -> None:
    directory = await Directory.new(node.node.pool)
    await directory.put(organisation("b", node["b"].ura))
    await node["b"].token(node["a"])
    types = await node.node.pool.fetch("SELECT facility_type FROM access_token")
    assert [row["facility_type"] for row in types] == ["V6"]


@pytest.mark.parametrize("sent", ["Task/1", "https://elsewhere.example/fhir/Task/1"])
async def test_what_a_sender_refers_to_is_at_the_base_that_the_directory_says(
    node: RunningNode, sent: str
) -> None:
    directory = await Directory.new(node.node.pool)
    b = node["b"]
    token = await b.token(node["a"], scope="ta-np-notification")
    task = {
        "resourceType": "Task",
        "status": "requested",
        "intent": "proposal",
        "code": {
            "coding": [{"system": "http://fhir.nl/fhir/NamingSystem/TaskCode", "code": "pull-notification"}]
        },
        "requester": {"agent": {"identifier": ura_of(b.ura)}, "onBehalfOf": {"identifier": ura_of(b.ura)}},
        "owner": {"identifier": ura_of(node["a"].ura)},
        "basedOn": [{"reference": sent}],
    }

    async def send() -> httpx.Response:
        headers = {"Authorization": f"Bearer {token}"}
        return await node["a"].front.post("Task", json=task, headers=headers)

    if "://" not in sent:
        assert (await send()).status_code == 422
    await directory.put(organisation("b", b.ura, ["b-bgz"]), endpoint("b-bgz"))
    answer = await send()
    assert answer.status_code in (200, 201), answer.text
    [entry] = (await node["a"].internal.get("Task")).json()["entry"]
    expected = sent if "://" in sent else f"https://b-bgz.example/fhir/{sent}"
    assert entry["resource"]["basedOn"] == [{"reference": expected}]


def ura_of(ura: str) -> dict[str, str]:
    return {"system": "http://fhir.nl/fhir/NamingSystem/ura", "value": ura}
