"""The published MedMij suites at the MedMij door, each patient with a token of its own."""

from __future__ import annotations

import re
import uuid
from collections.abc import AsyncIterator
from pathlib import Path

import pytest
import pytest_asyncio
from tests.conformance.suites import Expected, assert_as_expected
from tests.nodes import RunningNode, databases, running_node
from tests.patients import patient_token
from tests.shared import shared

from schakel.conformance import CheckOptions, Granted, SuiteResult, check, exit_code
from schakel.conformance.script import read_script
from schakel.fhir.definitions import Version
from schakel.kernel.values import BSN_SYSTEM
from schakel.store.embedded import EmbeddedServer

pytestmark = pytest.mark.shared


@pytest_asyncio.fixture(scope="module", loop_scope="session")
async def node(cluster: EmbeddedServer) -> AsyncIterator[RunningNode]:
    """One holder for each suite: they share ids."""
    async with (
        databases(cluster, "medmij_suites") as make,
        running_node(make, ("imm", "bgz", "gp", "mp", "own"), write_check="lenient", erasure="test") as node,
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


RECEIVING = "R4/MP9-3-0-0-beta/MO/Test"


@pytest.mark.slow
async def test_what_a_person_shares_of_medication_is_received_as_between_providers(node: RunningNode) -> None:
    """The scripts of a receiving provider, at the service to which persons send (905, an invented number): the
    bodies are of the same kind, and each is sent with a token of the patient in it."""
    failed, tokens = set(), dict[str, str]()
    scripts = sorted(shared("testscripts", RECEIVING).rglob("Receiving-*/*.xml"))
    assert len(scripts) == 239
    for path in scripts:
        [bsn] = {bsn for fixture in read_script(path, "r4").fixtures for bsn in bsns(fixture.path)}
        if bsn not in tokens:
            await known(node, bsn)
            tokens[bsn] = await patient_token(node, "own", bsn)
        ids = {name: str(uuid.uuid4()) for name in ("MedMij-Request-ID", "X-Correlation-ID")}
        headers = {"Authorization": f"Bearer {tokens[bsn]}", **ids}
        base = f"{node['own'].front_root}/own/medmij/905/fhir"
        result = await check(CheckOptions(base, path, headers=tuple(headers.items())))
        if exit_code(result):
            failed.add(path.stem)
    assert failed == {
        "mp9-t-rec-vs-04-2a-4-2-a-nierfunctie-NH-json",
        "mp9-t-rec-vs-04-2b-4-2-b-nierfunctie-lo-json",
    }  # They send a CodeableConcept without display or text, and assert that the answer has one.


def bsns(fixture: Path) -> set[str]:
    """The BSNs in a fixture, JSON or XML."""
    number = re.compile(r'NamingSystem/bsn"\s*/?>?\s*,?\s*<?"?value"?\s*(?:value=|:)\s*"([0-9]{9})"')
    return set(number.findall(fixture.read_text("utf-8")))


async def known(node: RunningNode, bsn: str) -> None:
    """Makes the patient known at `own`."""
    patient = {"resourceType": "Patient", "id": bsn, "identifier": [{"system": BSN_SYSTEM, "value": bsn}]}
    answer = await node["own"].internal_r4.put(f"Patient/{bsn}", json=patient)
    assert answer.status_code == 201, answer.text
