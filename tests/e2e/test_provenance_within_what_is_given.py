"""A Provenance goes no further than the data it is about: the searches of a Task, the categories of a permit."""

from __future__ import annotations

from collections.abc import AsyncIterator
from typing import Any

import pytest
import pytest_asyncio
from tests.guarded import MINE, NAMED, Door, condition, guarded_node, keys, observation, provenance
from tests.handovers import put, task
from tests.nodes import RunningNode

from schakel.generic.identity import User
from schakel.store.embedded import EmbeddedServer

OWN = """
[[permit]]
id = "bgz-recorded"
roles = ["01", "81"]

[[permit]]
id = "our-nurses-medication"
exchange = "bgz"
roles = ["30"]
purposes = ["TREAT"]
categories = ["medication"]
grounds = ["recorded"]
responsible = "A. de Vries"
reason = "test"

[[permit]]
id = "our-nurses-alerts"
exchange = "bgz"
roles = ["30"]
purposes = ["TREAT"]
categories = ["alerts and allergies"]
grounds = ["patient"]
responsible = "A. de Vries"
reason = "test"
"""
NURSE = User(id="990010209", name="O. Ramdajal", role="30.000", responsible="990010201")
SMOKING = "http://snomed.info/sct|365980008"
ALONG = "_revinclude=Provenance:target"
MEDICATION = f"MedicationRequest?category=http://snomed.info/sct|16076005&{NAMED}&_include=MedicationRequest:medication"

RESOURCES = [
    {
        **observation("smokes", MINE),
        "code": {"coding": [{"system": "http://snomed.info/sct", "code": "365980008"}]},
    },
    condition("c3", MINE),
    provenance("problem-and-smoking", "Condition/c3", "Observation/smokes"),
    provenance("problem-and-medication", "Condition/c3", "MedicationRequest/agreed"),
    provenance("alert-and-medication", "Flag/f1", "MedicationRequest/agreed"),
]


@pytest_asyncio.fixture(scope="module", loop_scope="session")
async def node(
    cluster: EmbeddedServer, tmp_path_factory: pytest.TempPathFactory
) -> AsyncIterator[RunningNode]:
    own = tmp_path_factory.mktemp("matrix") / "own.toml"
    own.write_text(OWN)
    async with guarded_node(cluster, "provenances", by_slug={"a": {"authorisation": own}}) as running:
        for resource in RESOURCES:
            path = f"{resource['resourceType']}/{resource['id']}"
            written = await running["a"].internal.put(path, json=resource)
            assert written.status_code == 201, written.text
        yield running


# -- the searches that a Task lists --------------------------------------------------------------------------


async def referred(node: RunningNode, *searches: str) -> Door:
    """The door for b on one Task that lists these searches."""
    await node.node.pool.execute("DELETE FROM resource WHERE type = 'Task'")
    inputs: list[dict[str, Any]] = [{"valueString": search} for search in searches]
    await put(node, task("t", node["b"].ura, *inputs, status="requested"))
    return Door(node["a"], node["b"], await node["b"].token(node["a"], "bgz-sender"))


async def test_a_task_gives_a_provenance_when_it_lists_the_searches_for_all_it_is_about(
    node: RunningNode,
) -> None:
    door = await referred(node, f"Condition?{ALONG}", f"Observation?code={SMOKING}")
    found = keys(await door.get(f"Condition?{ALONG}&{NAMED}"))
    assert found == {"Condition/c1", "Condition/c3", "Provenance/of-c1", "Provenance/problem-and-smoking"}
    assert (await door.get("Provenance/problem-and-smoking")).status_code == 200


async def test_a_task_that_lists_one_search_gives_no_provenance_that_is_about_more(node: RunningNode) -> None:
    door = await referred(node, f"Condition?{ALONG}")
    for search in (f"Condition?{ALONG}&{NAMED}", f"Condition?{ALONG}"):
        answer = await door.get(search)
        assert keys(answer) == {"Condition/c1", "Condition/c3", "Provenance/of-c1"}
        [event] = await door.logged(answer.headers["X-Decision-ID"])
        assert "Provenance/problem-and-smoking: target-not-released" in str(event)
    assert await door.reason(await door.get("Provenance/problem-and-smoking")) == "not-referred-to"


# -- the categories of a permit ------------------------------------------------------------------------------


async def door_of(node: RunningNode, **claims: Any) -> Door:
    door = await Door.opened(node)
    door.token = await node["b"].token(node["a"], **claims)
    return door


async def test_a_permit_for_all_gives_every_provenance(node: RunningNode) -> None:
    door = await door_of(node)
    assert "Provenance/problem-and-medication" in keys(await door.get(f"{MEDICATION}&{ALONG}"))
    for name in ("of-c1", "of-medication", "problem-and-medication", "problem-and-smoking"):
        assert (await door.get(f"Provenance/{name}")).status_code == 200, name


async def test_a_permit_for_one_category_gives_no_provenance_that_is_about_another(node: RunningNode) -> None:
    door = await door_of(node, user=NURSE)
    found = keys(await door.get(f"{MEDICATION}&{ALONG}"))
    assert found == {"MedicationRequest/agreed", "Medication/m1", "Provenance/of-medication"}
    assert (await door.get("Provenance/of-medication")).status_code == 200
    for path in ("Condition/c3", "Provenance/problem-and-medication", "Provenance/problem-and-smoking"):
        assert await door.reason(await door.get(path)) == "role-not-permitted", path


async def test_what_needs_two_grounds_is_not_given_on_one(node: RunningNode) -> None:
    """Alerts are given to nurses on another ground than medication: no one ground gives a Provenance about both."""
    door = await door_of(node, user=NURSE)
    refused = await door.get("Provenance/alert-and-medication")
    assert await door.reason(refused) == "ground-not-sufficient"
    assert "Provenance/alert-and-medication" not in keys(await door.get(f"{MEDICATION}&{ALONG}"))
    assert (await (await door_of(node)).get("Provenance/alert-and-medication")).status_code == 200
