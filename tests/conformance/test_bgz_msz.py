"""The published BgZ-MSZ suite on both doors: all its server-role scripts hold, but for profile validation."""

from __future__ import annotations

from collections.abc import AsyncIterator

import pytest
import pytest_asyncio
from tests.nodes import RunningNode, databases, running_node
from tests.shared import shared

from schakel.conformance import CheckOptions, SuiteResult, Verdict, check, report
from schakel.store.embedded import EmbeddedServer

pytestmark = pytest.mark.shared

BSN_SYSTEM = "http://fhir.nl/fhir/NamingSystem/bsn"


@pytest_asyncio.fixture(scope="module", loop_scope="session")
async def node(cluster: EmbeddedServer) -> AsyncIterator[RunningNode]:
    """A holder `a`, whose door takes what the published data have, and a requester `b`."""
    async with (
        databases(cluster, "bgz_msz") as make,
        running_node(make, write_check="lenient", erasure="test") as node,
    ):
        yield node


def options(
    node: RunningNode, url: str, header: tuple[str, str], *, load: bool = False, part: str = ""
) -> CheckOptions:
    """How the suite, or the `part` of it, is run on the door at `url`."""
    suites = shared("testscripts")
    return CheckOptions(
        url,
        suites / "STU3" / "BgZ-MSZ-2-0" / part,
        load=node["a"].internal_fhir if load else None,
        headers=(header,),
        load_headers=(("X-API-Key", node["a"].key),),
        tokens=suites / "tokens.json",
        # What a tester fills in for the scripts that come before the validation.
        variables={"BSN": "999901370", "auth-token": "Bearer filled in by the tester"},
    )


def assert_all_hold(result: SuiteResult) -> None:
    """All 16 server-role scripts passed, and what was not checked is profile validation alone."""
    told = report.text(result)
    assert not result.load_failures, told
    assert not result.with_verdict(Verdict.FAILED), told
    assert not result.with_verdict(Verdict.ERROR), told
    assert len(result.with_verdict(Verdict.PASSED)) == 16, told
    assertions = [a for script in result.scripts for case in script.tests for a in case.assertions]
    not_checked = [a.expected for a in assertions if a.verdict is Verdict.UNCHECKED]
    assert not_checked and all("profile" in expected for expected in not_checked), told
    assert result.counts[Verdict.PASSED] > 1000, told


async def test_all_scripts_hold_on_the_internal_and_on_the_guarded_door(node: RunningNode) -> None:
    holder, requester = node["a"], node["b"]
    key = ("X-API-Key", holder.key)
    assert_all_hold(await check(options(node, holder.internal_fhir, key, load=True)))

    token = ("Authorization", f"Bearer {await requester.token(holder)}")
    part = "Test/Serving-XIS/bgz-msz-xis-1-1-serve-bgz-json.xml"
    without_grounds = await check(options(node, holder.front_fhir, token, part=part))
    assert len(without_grounds.with_verdict(Verdict.FAILED)) == len(without_grounds.scripts) == 1

    found = (await holder.internal.get(f"Patient?identifier={BSN_SYSTEM}|")).json()
    numbers = [i for e in found["entry"] for i in e["resource"]["identifier"] if i["system"] == BSN_SYSTEM]
    for number in {i["value"] for i in numbers}:
        await holder.ground(number, requester.ura)
    assert_all_hold(await check(options(node, holder.front_fhir, token)))
