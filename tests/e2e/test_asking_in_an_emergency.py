"""The reason for access in an emergency goes from the EHR to each holder, and stands in both logs."""

from __future__ import annotations

from collections.abc import AsyncIterator
from typing import Any

import pytest_asyncio
from tests.guarded import BSN, guarded_node
from tests.nodes import DOCTOR, RunningNode

from schakel.store.embedded import EmbeddedServer

WHY = "Réanimatie op straat: 100% nood & geen tijd"


@pytest_asyncio.fixture(scope="module", loop_scope="session")
async def node(cluster: EmbeddedServer) -> AsyncIterator[RunningNode]:
    async with guarded_node(cluster, "asking_in_an_emergency") as running:
        await running["a"].ground(BSN, running["b"].ura)
        yield running


async def asked(node: RunningNode, **more: str) -> tuple[dict[str, Any], dict[str, Any]]:
    """What b is told when it asks a for the BgZ, and the first decision of a about it."""
    a, b = node["a"], node["b"]
    question = {"patient": BSN, "holders": [a.ura], "user": DOCTOR.json(), "purpose": "ETREAT"}
    answer = await b.internal.post(
        f"{b.internal_root}/b/exchanges/bgz", json={**question, "treatment_relation": "current", **more}
    )
    assert answer.status_code == 200, answer.text
    told = answer.json()
    decision = told["holders"][0]["requests"][0]["decision"]
    found = await a.internal.get(f"{a.internal_root}/a/log/decisions/{decision}")
    assert found.status_code == 200, found.text
    return told, found.json()


async def explanations(node: RunningNode, slug: str, exchange: str) -> set[str]:
    """What stands beside the events of an exchange in the log of an organisation, as an explanation."""
    one = node[slug]
    answer = await one.internal.get(
        f"{one.internal_root}/{slug}/log/fhir/r4/AuditEvent", params={"_count": "200"}
    )
    events = [entry["resource"] for entry in answer.json()["entry"]]
    mine = [event for event in events if exchange in str(event)]
    assert mine
    return {
        detail["valueString"]
        for event in mine
        for entity in event["entity"]
        for detail in entity.get("detail", ())
        if detail["type"] == "toelichting"
    }


async def test_each_holder_gets_the_reason_as_the_professional_gave_it(node: RunningNode) -> None:
    told, decided = await asked(node, emergency=f"  {WHY} ")
    assert decided["emergency"] == WHY
    assert told["status"] == "complete"
    for slug in ("a", "b"):
        assert await explanations(node, slug, told["id"]) == {WHY}


async def test_nobody_is_asked_for_an_emergency_that_the_ehr_does_not_name(node: RunningNode) -> None:
    told, decided = await asked(node)
    assert decided["emergency"] == ""
    for slug in ("a", "b"):
        assert await explanations(node, slug, told["id"]) == set()
