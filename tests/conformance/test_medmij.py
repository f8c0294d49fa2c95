"""The published MedMij suites at the MedMij door, each patient with a token of its own."""

from __future__ import annotations

from collections.abc import AsyncIterator

import pytest
import pytest_asyncio
from tests.conformance.suites import Expected, assert_as_expected
from tests.nodes import RunningNode, databases, running_node
from tests.patients import patient_token
from tests.shared import shared

from schakel.conformance import CheckOptions, Granted, SuiteResult, check
from schakel.fhir.definitions import Version
from schakel.store.embedded import EmbeddedServer

pytestmark = pytest.mark.shared


@pytest_asyncio.fixture(scope="module", loop_scope="session")
async def node(cluster: EmbeddedServer) -> AsyncIterator[RunningNode]:
    """One holder for each suite: they share ids."""
    async with (
        databases(cluster, "medmij_suites") as make,
        running_node(make, ("imm", "bgz", "gp", "mp"), write_check="lenient", erasure="test") as node,
    ):
        yield node


async def checked(node: RunningNode, slug: str, service: str, version: Version, suite: str) -> SuiteResult:
    """The suite, with its data loaded at the internal door and a token for each of its patients.

    The published patients carry a BSN that was masked already: the holder's own record has the number itself.
    """

    async def give(bsn: str) -> Granted:
        return Granted(await patient_token(node, slug, bsn), 900)

    suites = shared("testscripts")
    return await check(
        CheckOptions(
            f"{node[slug].front_root}/{slug}/medmij/{service}/fhir",
            suites / suite,
            load=node[slug].internal_base(version),
            load_headers=(("X-API-Key", node[slug].key),),
            tokens=suites / "tokens.json",
            giver=give,
        )
    )


async def test_the_suite_of_vaccinations_holds(node: RunningNode) -> None:
    result = await checked(node, "imm", "63", "r4", "R4/Immunization-2-0")
    assert_as_expected(result, Expected(scripts=8, passed=662, profiles=8), loaded=[31, 2])


async def test_the_suite_of_the_basic_data_set_holds(node: RunningNode) -> None:
    result = await checked(node, "bgz", "48", "stu3", "STU3/BgZ-3-0")
    assert_as_expected(result, Expected(scripts=104, passed=1870, profiles=104), loaded=[62, 2])


async def test_the_suite_of_gp_data_holds(node: RunningNode) -> None:
    result = await checked(node, "gp", "49", "stu3", "STU3/GenPractData-2-0")
    assert_as_expected(result, Expected(scripts=14, passed=264, profiles=14), loaded=[122, 1])


async def test_the_suite_of_medication_holds(node: RunningNode) -> None:
    result = await checked(node, "mp", "900", "r4", "R4/MP9-3-0-0-beta/MedMij")
    assert_as_expected(result, Expected(scripts=109, passed=2398, profiles=109), loaded=[697, 14])
