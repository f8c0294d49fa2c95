"""The API requirements at our own doors: what holds, and by name what does not.

`docs/explanation/api-requirements.md` says why for each that does not, in a table of every such code; the test compares
it with what the command finds with our answers.
"""

from __future__ import annotations

import re
from collections.abc import AsyncIterator, Mapping
from pathlib import Path

import pytest_asyncio
from tests.measuring import measured
from tests.nodes import RunningNode, databases, running_node
from tests.shared import ROOT

from schakel.conformance.api_requirements import (
    ApiOptions,
    ApiResult,
    Standard,
    Verdict,
    check_api,
    exit_code,
    read_answers,
)
from schakel.conformance.api_requirements.answers import Declared
from schakel.conformance.api_requirements.catalogue import at
from schakel.demo import toml
from schakel.demo.roadmap.region import DECLARED
from schakel.fhir.definitions import VERSIONS, Version
from schakel.generic.identity.assertion import ASSERTION_TYPE
from schakel.store.embedded import EmbeddedServer

PAGE = ROOT / "docs" / "explanation" / "api-requirements.md"
ANSWERS = ROOT / "docs" / "explanation" / "api-answers.toml"
"""What we answer ourselves, as authors of the specification and makers of the server."""

WORDS = {
    Verdict.PASSED: "holds",
    Verdict.FAILED: "no",
    Verdict.UNKNOWN: "open",
    Verdict.NOT_APPLICABLE: "not asked",
}
"""How the table of the page says a verdict."""

DESIGN = {f"DR00{number}" for number in range(1, 10)} | {"DR011", "DR-R001", "DR-R002", "DR-R003", "DR-R004"}
INTERNAL = DESIGN | {"SD008", "SD011", "LM008", "DR-R007", "DR-R008", "SC008", "SC-R001", "SC-R003"}
"""What a machine finds to hold at the internal door."""


@pytest_asyncio.fixture(scope="module", loop_scope="session")
async def node(cluster: EmbeddedServer) -> AsyncIterator[RunningNode]:
    async with (
        databases(cluster, "own_doors") as make_database,
        running_node(make_database, ("a",), back=True) as running,
    ):
        yield running


def of(result: ApiResult, verdict: Verdict) -> set[str]:
    return {one.code for one in result.with_verdict(verdict) if one.by == "machine"}


async def internal(node: RunningNode, version: Version, answers: Mapping[str, Declared] = {}) -> ApiResult:
    a = node["a"]
    return await check_api(
        ApiOptions(
            a.internal_base(version),
            Standard.FULL,
            openapi=f"{a.internal_root}/openapi.json",
            oauth=f"{a.front_root}/a",
            answers=answers,
            headers=(("X-API-Key", a.key),),
            writes=True,
        )
    )


async def guarded(node: RunningNode, answers: Mapping[str, Declared] = {}) -> ApiResult:
    a = node["a"]
    return await check_api(
        ApiOptions(
            a.front_fhir,
            Standard.FULL,
            openapi=f"{a.front_root}/openapi.json",
            oauth=f"{a.front_root}/a",
            answers=answers,
            headers=(("Authorization", f"Bearer {await a.token(a)}"),),
        )
    )


async def back(node: RunningNode, folder: Path, answers: Mapping[str, Declared] = {}) -> ApiResult:
    a = node["a"]
    assert a.certificate and a.authority
    (folder / "ca.pem").write_text(a.authority.pem)
    form = {
        "grant_type": "client_credentials",
        "scope": "bgz",
        "client_assertion_type": ASSERTION_TYPE,
        "client_assertion": a.assertion(a),
    }
    async with a.back(a) as client:
        given = await client.post(f"{a.back_root}/a/oauth2/token", data=form)
    return await check_api(
        ApiOptions(
            f"{a.back_root}/a/fhir/stu3",
            Standard.FULL,
            openapi=f"{a.back_root}/openapi.json",
            oauth=f"{a.front_root}/a",
            answers=answers,
            headers=(("Authorization", f"Bearer {given.json()['access_token']}"),),
            cacerts=(folder / "ca.pem",),
            cert=a.certificate.certificate,
            key=a.certificate.key,
        )
    )


async def test_the_internal_door_holds_what_a_machine_can_see(node: RunningNode) -> None:
    for version in VERSIONS:
        result = await internal(node, version)
        assert result.failed == ()
        assert of(result, Verdict.FAILED) == set()
        assert of(result, Verdict.PASSED) >= INTERNAL
        assert {one.verdict for one in result.parts("SD003") if one.by == "machine"} == {Verdict.PASSED}
        assert exit_code(result) == 0


async def test_the_guarded_door_holds_the_same(node: RunningNode) -> None:
    result = await guarded(node)
    assert of(result, Verdict.FAILED) == set()
    assert of(result, Verdict.PASSED) >= INTERNAL - {"DR003", "DR-R008"}
    assert exit_code(result) == 0


async def test_the_back_door_holds_the_same(node: RunningNode, tmp_path: Path) -> None:
    result = await back(node, tmp_path)
    assert of(result, Verdict.FAILED) == set()
    assert of(result, Verdict.PASSED) >= (INTERNAL | {"SC004"}) - {"DR003", "DR-R008"}
    assert exit_code(result) == 0


async def test_the_page_says_of_each_code_what_is_found_with_our_answers(
    node: RunningNode, tmp_path: Path
) -> None:
    answers = read_answers(ANSWERS)
    results = (
        await internal(node, "stu3", answers),
        await internal(node, "r4", answers),
        await guarded(node, answers),
        await back(node, tmp_path, answers),
    )
    found = {
        ones[0].code: tuple(WORDS[one.verdict] for one in ones)
        for ones in zip(*(result.whole for result in results), strict=True)
    }
    _, _, rest = PAGE.read_text("utf-8").partition("\n## What does not, and why\n")
    table = re.findall(r"^\| ([A-Z]{2}(?:-[A-Z])?\d{3}) \|(.*)\|$", rest.partition("\n## ")[0], re.MULTILINE)
    told = {code: [cell.strip() for cell in cells.split("|")] for code, cells in table}
    assert len(told) == len(table)
    assert {code: tuple(cells[:4]) for code, cells in told.items()} == {
        code: verdicts for code, verdicts in found.items() if set(verdicts) != {"holds"}
    }
    assert [code for code, cells in told.items() if len(cells) != 5 or not cells[4]] == []


def test_what_we_answer_rests_on_a_page_that_is_there() -> None:
    answers = read_answers(ANSWERS)
    assert answers
    for key, declared in answers.items():
        page, _, heading = declared.evidence.partition("#")
        assert declared.conformity != "conformant" or page, key
        if page:
            text = (ROOT / page).read_text("utf-8")
            headings = {
                re.sub(r"[^\w\- ]", "", line.lower()).replace(" ", "-")
                for line in re.findall(r"^#+ (.+)$", text, re.MULTILINE)
            }
            assert not heading or heading in headings, key


def test_nothing_is_answered_for_who_runs_the_node() -> None:
    theirs = {one.code for one in at(Standard.FULL) if one.roles == {"sdep"}}
    assert len(theirs) > 10
    assert {key.partition(".")[0] for key in read_answers(ANSWERS)} & theirs == set()


async def test_the_roadmap_counts_what_the_demo_declares_and_names_what_nobody_says(
    node: RunningNode, tmp_path: Path
) -> None:
    a = node["a"]
    assert a.certificate and a.authority
    (tmp_path / "ca.pem").write_text(a.authority.pem)
    (tmp_path / "declared.toml").write_text(toml.document(DECLARED))
    shown = {"ca": [tmp_path / "ca.pem"], "certificate": a.certificate.certificate, "key": a.certificate.key}
    base = {"r4": f"{a.back_root}/a/fhir/r4"}
    openapi = f"{a.back_root}/openapi.json"
    with_it = await measured(
        "api-requirements",
        shown,
        fhir=base,
        issuer=f"{a.front_root}/a",
        openapi=openapi,
        api_declaration=tmp_path / "declared.toml",
    )
    bare = await measured(
        "api-requirements", shown, fhir=base, issuer=f"{a.front_root}/a", openapi=openapi, docs=openapi
    )
    assert (with_it.verdict, with_it.facts["must-fail"]) == ("unknown", 0), with_it
    assert "TS001" in with_it.reason.en and "TS001" in bare.reason.en
    assert "SC005" not in with_it.reason.en and "SC005" in bare.reason.en
    assert int(with_it.facts["pass"]) > 0


async def test_the_back_door_speaks_tls_that_holds(node: RunningNode, tmp_path: Path) -> None:
    a = node["a"]
    assert a.certificate and a.authority
    (tmp_path / "ca.pem").write_text(a.authority.pem)
    result = await check_api(
        ApiOptions(
            f"{a.back_root}/a/fhir/stu3",
            cacerts=(tmp_path / "ca.pem",),
            cert=a.certificate.certificate,
            key=a.certificate.key,
        )
    )
    verdicts = {one.code: one for one in result.whole}
    assert verdicts["SC004"].verdict is Verdict.PASSED, verdicts["SC004"]
    assert verdicts["SC003"].verdict is Verdict.UNKNOWN, verdicts["SC003"]
