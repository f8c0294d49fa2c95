"""The BgZ between two operators over the back listener: both sides show a certificate, and the token is bound to it."""

from __future__ import annotations

from collections.abc import AsyncIterator

import orjson
import pytest_asyncio
from tests.guarded import BSN, condition, patient
from tests.nodes import DOCTOR, RunningNode, databases, running_region

from schakel.store.embedded import EmbeddedServer


@pytest_asyncio.fixture(scope="module", loop_scope="session")
async def region(cluster: EmbeddedServer) -> AsyncIterator[list[RunningNode]]:
    async with (
        databases(cluster, "over_back") as make,
        running_region(
            make, (("a",), ("b",)), write_check="lenient", over_back=True, guarded_on_front=False
        ) as nodes,
    ):
        yield nodes


async def test_a_hospital_fetches_a_record_from_the_back_door_of_another(region: list[RunningNode]) -> None:
    holder, requester = region[0]["a"], region[1]["b"]
    for one in (patient("p1", BSN), condition("c1", {"reference": "Patient/p1"})):
        put = await holder.internal.put(f"{one['resourceType']}/{one['id']}", json=one)
        assert put.status_code == 201, put.text
    await holder.ground(BSN, requester.ura)
    body = {
        "patient": BSN,
        "holders": [holder.ura],
        "user": DOCTOR.json(),
        "purpose": "TREAT",
        "treatment_relation": "current",
    }
    url = f"{requester.internal_root}/b/exchanges/bgz"
    answer = await requester.internal.post(url, content=orjson.dumps(body))
    assert answer.status_code == 200, answer.text
    found = answer.json()
    assert found["status"] == "complete", found["holders"]
    fetched = {entry["fullUrl"] for entry in found["bundle"]["entry"][:-1]}
    base = f"{holder.back_root}/a/fhir/stu3"
    assert fetched == {f"{base}/Patient/p1", f"{base}/Condition/c1"}
    [bound] = await region[0].node.pool.fetch("SELECT x5t FROM access_token")
    assert bound["x5t"]
