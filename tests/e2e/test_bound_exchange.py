"""The BgZ between two operators with tokens that are bound to a key and to a certificate, and with nonces."""

from __future__ import annotations

from typing import Any

import orjson
import pytest
from tests.guarded import BSN, condition, patient
from tests.nodes import DOCTOR, MakeDatabase, RunningNode, running_region

NONCES = {"dpop_nonce": True}


async def fetched(region: list[RunningNode]) -> dict[str, Any]:
    """What b gets of the patient of a, of whom it has a Condition."""
    holder, requester = region[0]["a"], region[1]["b"]
    for one in (patient("p1", BSN), condition("c1", {"reference": "Patient/p1"})):
        put = await holder.internal.put(f"{one['resourceType']}/{one['id']}", json=one)
        assert put.status_code in (200, 201), put.text
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
    found: dict[str, Any] = answer.json()
    return found


@pytest.mark.parametrize(
    ("settings", "bound"),
    [
        ({"tokens": NONCES}, True),
        ({"tokens": {**NONCES, "dpop": "required"}}, True),
        ({}, True),
        ({"peer_dpop": False}, False),
        ({"tokens": {"dpop": "off"}}, False),
    ],
    ids=["nonces", "proofs required", "as it comes", "switched off here", "not offered there"],
)
async def test_an_exchange_is_bound_to_a_key_where_both_sides_want_it(
    make_database: MakeDatabase, settings: dict[str, Any], bound: bool
) -> None:
    async with running_region(
        make_database,
        (("a",), ("b",)),
        write_check="lenient",
        over_back=True,
        guarded_on_front=False,
        trust={"http_on_loopback": True},  # The metadata are on front, which has no TLS in tests.
        **settings,
    ) as region:
        for _ in range(2):
            found = await fetched(region)
            assert found["status"] == "complete", found["holders"]
            base = f"{region[0]['a'].back_root}/a/fhir/stu3"
            assert {entry["fullUrl"] for entry in found["bundle"]["entry"][:-1]} == {
                f"{base}/Patient/p1",
                f"{base}/Condition/c1",
            }
        tokens = await region[0].node.pool.fetch("SELECT jkt, x5t FROM access_token")
        # One key for the process, and the certificate in any case.
        assert len({token["jkt"] for token in tokens}) == 1
        assert all(bool(token["jkt"]) is bound and token["x5t"] for token in tokens)
        used = await region[0].node.pool.fetchval("SELECT count(*) FROM used_id")
        proofs = 2 * 28 if bound else 0
        assert used == proofs + 2


async def test_who_demands_proofs_gets_none_from_a_node_that_gives_none(make_database: MakeDatabase) -> None:
    async with running_region(
        make_database,
        (("a",), ("b",)),
        write_check="lenient",
        peer_dpop=False,
        tokens={"dpop": "required"},
    ) as region:
        found = await fetched(region)
        assert found["status"] == "refused"
        assert "invalid_dpop_proof" in found["holders"][0]["requests"][0]["reason"]
