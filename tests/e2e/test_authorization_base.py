"""The authorization base of a notification (Twiin TA NP, steps 4 and 6): which Tasks a receiver's token is for."""

from __future__ import annotations

from collections.abc import AsyncIterator
from typing import Any

import httpx
import pytest
import pytest_asyncio
from tests.guarded import BSN, OTHER, condition, patient
from tests.handovers import P1, P2, Door, door, put, task
from tests.nodes import RunningNode, databases, running_node

from schakel.generic.identity.assertion import ASSERTION_TYPE
from schakel.store.embedded import EmbeddedServer

SEARCH = {"valueString": "Condition"}


def based(value: str) -> dict[str, Any]:
    system = "http://fhir.nl/fhir/NamingSystem/TaskParameter"
    return {"type": {"coding": [{"system": system, "code": "authorization-base"}]}, "valueString": value}


@pytest_asyncio.fixture(scope="module", loop_scope="session")
async def node(cluster: EmbeddedServer) -> AsyncIterator[RunningNode]:
    """A sender a that referred a patient each to b, and one to c."""
    async with (
        databases(cluster, "authorizationbase") as make,
        running_node(make, ("a", "b", "c"), write_check="lenient") as running,
    ):
        for resource in (patient("p1", BSN), patient("p2", OTHER), condition("c1", P1), condition("c2", P2)):
            written = await running["a"].internal.put(
                f"{resource['resourceType']}/{resource['id']}", json=resource
            )
            assert written.status_code == 201, written.text
        for name, slug, whose in (("t1", "b", P1), ("t2", "b", P2), ("t3", "c", P1)):
            await put(running, task(name, running[slug].ura, SEARCH, based(f"base-{name}"), **{"for": whose}))
        yield running


async def granted(node: RunningNode, base: str) -> httpx.Response:
    """What the token endpoint of a says to b, which gives this base back."""
    a, b = node["a"], node["b"]
    form = {
        "grant_type": "client_credentials",
        "scope": "bgz-sender",
        "client_assertion_type": ASSERTION_TYPE,
        "client_assertion": b.assertion(a),
        "authorization_base": base,
    }
    return await a.front.post(f"{a.front_root}/a/oauth2/token", data=form)


async def asking(node: RunningNode, base: str) -> Door:
    answer = await granted(node, base)
    assert answer.status_code == 200, answer.text
    return Door(node, answer.json()["access_token"])


def keys(answer: httpx.Response) -> set[str]:
    assert answer.status_code == 200, answer.text
    return {f"{e['resource']['resourceType']}/{e['resource']['id']}" for e in answer.json().get("entry", ())}


async def test_a_token_opens_the_task_whose_base_was_given_back_and_no_other(node: RunningNode) -> None:
    assert await (await door(node, "bgz-sender")).reason("GET", "Condition") == "task-several-patients"
    for mine, other, found in (("t1", "t2", "c1"), ("t2", "t1", "c2")):
        b = await asking(node, f"base-{mine}")
        assert keys(await b.send("GET", "Condition")) == {f"Condition/{found}"}
        assert (await b.send("GET", f"Task/{mine}")).status_code == 200
        assert await b.reason("GET", f"Task/{other}") == "task-missing"


@pytest.mark.parametrize("base", ["base-t3", "made up"])
async def test_a_base_of_nobody_or_of_another_opens_nothing(node: RunningNode, base: str) -> None:
    b = await asking(node, base)
    assert await b.reason("GET", "Condition") == "task-missing"
    assert await b.reason("GET", "Condition/c1") != ""


async def test_a_base_opens_nothing_once_its_task_is_done(node: RunningNode) -> None:
    b, owner = await asking(node, "base-t2"), node["b"].ura
    done = task("t2", owner, SEARCH, based("base-t2"), **{"for": P2})
    await put(node, {**done, "status": "completed"})
    try:
        assert await b.reason("GET", "Condition") == "task-missing"
    finally:
        await put(node, done)


async def test_a_task_without_a_base_is_for_every_token_of_its_owner(node: RunningNode) -> None:
    await put(node, task("t1", node["b"].ura, SEARCH))
    try:
        b = await asking(node, "whatever the EHR gave")
        assert keys(await b.send("GET", "Condition")) == {"Condition/c1"}
    finally:
        await put(node, task("t1", node["b"].ura, SEARCH, based("base-t1")))


async def test_a_task_of_the_base_goes_before_those_without_one(node: RunningNode) -> None:
    await put(node, task("t1", node["b"].ura, SEARCH))
    try:
        b = await asking(node, "base-t2")
        assert keys(await b.send("GET", "Condition")) == {"Condition/c2"}
    finally:
        await put(node, task("t1", node["b"].ura, SEARCH, based("base-t1")))


async def test_a_task_with_two_bases_is_for_a_token_with_neither(node: RunningNode) -> None:
    await put(node, task("t1", node["b"].ura, SEARCH, based("base-t1"), based("base-t4")))
    try:
        for base in ("base-t1", "base-t4"):
            assert await (await asking(node, base)).reason("GET", "Condition") == "task-missing"
    finally:
        await put(node, task("t1", node["b"].ura, SEARCH, based("base-t1")))


@pytest.mark.parametrize("base", ["x" * 501, "a\x00b", "a\nb"])
async def test_what_is_no_base_is_refused_by_name(node: RunningNode, base: str) -> None:
    answer = await granted(node, base)
    assert answer.status_code == 400
    assert answer.json()["error"] == "invalid_request"
    assert "authorization_base" in answer.json()["error_description"]
