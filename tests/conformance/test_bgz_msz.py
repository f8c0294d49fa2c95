"""The published BgZ-MSZ suite on both doors: all its server-role scripts hold, but for profile validation."""

from __future__ import annotations

from collections.abc import AsyncIterator

import pytest
import pytest_asyncio
from tests.conformance.suites import Expected, assert_as_expected, run
from tests.nodes import RunningNode, databases, running_node

from schakel.conformance import SuiteResult, Verdict
from schakel.store.embedded import EmbeddedServer

pytestmark = pytest.mark.shared

BSN_SYSTEM = "http://fhir.nl/fhir/NamingSystem/bsn"
SUITE = "STU3/BgZ-MSZ-2-0"
EXPECTED = Expected(scripts=16, passed=9138, profiles=432)
GIVEN = {"BSN": "999901370", "auth-token": "Bearer filled in by the tester"}
"""What a tester fills in for the scripts that come before the validation."""


@pytest_asyncio.fixture(scope="module", loop_scope="session")
async def node(cluster: EmbeddedServer) -> AsyncIterator[RunningNode]:
    """A holder `a`, whose door takes what the published data have, and a requester `b`."""
    async with (
        databases(cluster, "bgz_msz") as make,
        running_node(make, write_check="lenient", erasure="test") as node,
    ):
        yield node


async def test_all_scripts_hold_on_the_internal_and_on_the_guarded_door(node: RunningNode) -> None:
    holder, requester = node["a"], node["b"]
    result = await run(holder, SUITE, "stu3", variables=GIVEN)
    assert_as_expected(result, EXPECTED, loaded=[110])

    token = ("Authorization", f"Bearer {await requester.token(holder)}")

    async def guarded(part: str = "") -> SuiteResult:
        return await run(
            holder,
            f"{SUITE}/{part}".rstrip("/"),
            "stu3",
            url=holder.front_fhir,
            headers=(token,),
            load=False,
            variables=GIVEN,
        )

    without_grounds = await guarded("Test/Serving-XIS/bgz-msz-xis-1-1-serve-bgz-json.xml")
    assert len(without_grounds.with_verdict(Verdict.FAILED)) == len(without_grounds.scripts) == 1

    found = (await holder.internal.get(f"Patient?identifier={BSN_SYSTEM}|")).json()
    numbers = [i for e in found["entry"] for i in e["resource"]["identifier"] if i["system"] == BSN_SYSTEM]
    for number in {i["value"] for i in numbers}:
        await holder.ground(number, requester.ura)
    assert_as_expected(await guarded(), EXPECTED)
