"""The published MedMij suites at the MedMij door, each patient with a token of its own."""

from __future__ import annotations

import json
from collections.abc import AsyncIterator
from dataclasses import replace
from pathlib import Path

import pytest
import pytest_asyncio
from tests.conformance.suites import Expected, assert_as_expected
from tests.nodes import RunningNode, databases, running_node
from tests.patients import patient_token
from tests.shared import shared

from schakel.conformance import CheckOptions, SuiteResult, check, report
from schakel.fhir.definitions import Version
from schakel.kernel.values import BSN_SYSTEM
from schakel.store.embedded import EmbeddedServer

BSNS = ("999990019", "999990020", "999990032", "999990044", "999990056", "999990068")
"""For patients of whom no number was published."""

STOPPED = {"patient-token-id": "Bearer none"}

pytestmark = pytest.mark.shared


@pytest_asyncio.fixture(scope="module", loop_scope="session")
async def node(cluster: EmbeddedServer) -> AsyncIterator[RunningNode]:
    """One holder for each suite: they share ids."""
    async with (
        databases(cluster, "medmij_suites") as make,
        running_node(make, ("imm", "bgz", "gp", "mp"), write_check="lenient", erasure="test") as node,
    ):
        yield node


async def checked(
    node: RunningNode, slug: str, service: str, version: Version, suite: str, part: str, folder: Path
) -> SuiteResult:
    """The suite, with its data loaded at the internal door (for which one `part` is run, without tokens) and a token
    for each of its patients.

    The published patients carry a BSN that was masked already: the holder's own record has the number itself.
    """
    suites = shared("testscripts")
    options = CheckOptions(
        f"{node[slug].front_root}/{slug}/medmij/{service}/fhir",
        suites / suite,
        load=node[slug].internal_base(version),
        load_headers=(("X-API-Key", node[slug].key),),
        tokens=folder / "tokens.json",
    )
    known = {one["resourceId"]: one for one in json.loads((suites / "tokens.json").read_bytes())}
    tokens = []
    (folder / "tokens.json").write_text("[]")
    loaded = await check(replace(options, suite=suites / suite / part, variables=STOPPED))
    assert not loaded.load_failures, report.text(loaded)
    internal = node[slug].internal if version == "stu3" else node[slug].internal_r4
    entries = (await internal.get("Patient")).json()["entry"]
    for number, patient in enumerate(entry["resource"] for entry in entries):
        told = known.get(patient["id"], {"resourceId": patient["id"], "familyName": "", "bsn": ""})
        bsn = told.get("bsn") or BSNS[number]
        for identifier in patient["identifier"]:
            if identifier.get("system") == BSN_SYSTEM:
                bsn = identifier.setdefault("value", bsn)
                identifier.pop("_value", None)
        answer = await internal.put(f"Patient/{patient['id']}", json=patient)
        assert answer.status_code == 200, answer.text
        tokens.append({**told, "bsn": bsn, "accessToken": f"Bearer {await patient_token(node, slug, bsn)}"})
    (folder / "tokens.json").write_text(json.dumps(tokens))
    return await check(replace(options, load=None, load_headers=()))


async def test_the_suite_of_vaccinations_holds(node: RunningNode, tmp_path: Path) -> None:
    result = await checked(node, "imm", "63", "r4", "R4/Immunization-2-0", "MedMij/Test/XIS-Server", tmp_path)
    assert_as_expected(result, Expected(scripts=8, passed=662, profiles=8))


async def test_the_suite_of_the_basic_data_set_holds(node: RunningNode, tmp_path: Path) -> None:
    result = await checked(node, "bgz", "48", "stu3", "STU3/BgZ-3-0", "MedMij/Test/XIS-Server", tmp_path)
    assert_as_expected(result, Expected(scripts=104, passed=1870, profiles=104))


async def test_the_suite_of_gp_data_holds(node: RunningNode, tmp_path: Path) -> None:
    result = await checked(
        node, "gp", "49", "stu3", "STU3/GenPractData-2-0", "MedMij/Cert/XIS-Server", tmp_path
    )
    assert_as_expected(result, Expected(scripts=14, passed=264, profiles=14))


async def test_the_suite_of_medication_holds(node: RunningNode, tmp_path: Path) -> None:
    result = await checked(node, "mp", "900", "r4", "R4/MP9-3-0-0-beta/MedMij", "Test/Step-6", tmp_path)
    assert_as_expected(result, Expected(scripts=109, passed=2398, profiles=109))
