"""`schakel check --board`: what was found at one endpoint stands on the board, for the organisation whose it is."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from dataclasses import replace

import pytest
import pytest_asyncio
from tests.boards import past
from tests.nodes import RunningNode, databases, running_node
from tests.standings import HOSPITAL, PRACTICE
from typer.testing import CliRunner

from schakel.cli import app
from schakel.commands.doors import Door
from schakel.commands.telling_board import Board, suite_check, tell
from schakel.conformance import SuiteResult
from schakel.kernel.clock import now
from schakel.kernel.outcomes import Invalid, NotFound
from schakel.roadmap.checks import suites
from schakel.roadmap.evidence import Finding, Run
from schakel.roadmap.model import Text
from schakel.roadmap.reading import shipped
from schakel.store.embedded import EmbeddedServer

FOUND = Finding("api-requirements", "fails", Text("Aan 1 eis is niet voldaan.", "1 requirement is not met."))


@pytest_asyncio.fixture(scope="module", loop_scope="session")
async def node(cluster: EmbeddedServer) -> AsyncIterator[RunningNode]:
    settings = {"roadmap": {"region": "Noord", "keepers": ["a"]}}
    async with (
        databases(cluster, "check_board") as make,
        running_node(make, organisations=("a", "b", "c"), **settings) as running,
    ):
        board = running.node.board
        assert board is not None
        members = (HOSPITAL, PRACTICE)
        first = Run("first", "Noord", shipped().version, "test", now(), now(), members, ())
        await board.add(first, sender="A", whole=True)
        yield running


def door(node: RunningNode, slug: str) -> Door:
    one = node[slug]
    return Door(slug, one.ura, f"Huis {slug}", f"{one.internal_root}/{slug}", "", one.key)


@pytest.mark.parametrize("slug", ["a", "b"])
async def test_it_is_evidence_about_that_organisation_alone(
    node: RunningNode, slug: str, capsys: pytest.CaptureFixture[str]
) -> None:
    one = door(node, slug)
    await asyncio.to_thread(tell, Board(one, FOUND.check), FOUND)
    assert "told the board of the region: api-requirements" in capsys.readouterr().out
    board = node.node.board
    assert board is not None
    overview = await board.overview()
    assert {member.ura for member in overview.members} == {HOSPITAL.ura, PRACTICE.ura}
    [newest] = (await past(board, one.ura, FOUND.check))[:1]
    assert newest.finding == FOUND and newest.by.startswith("schakel check")
    cell = overview.cell(one.ura, "LDN-2")
    assert cell is not None and cell.state == "fails"


async def test_who_is_not_in_the_region_is_told_so_and_changes_nothing(node: RunningNode) -> None:
    board = node.node.board
    assert board is not None
    before = (await board.overview()).revision
    with pytest.raises(NotFound, match="not on the board of Noord yet"):
        await asyncio.to_thread(tell, Board(door(node, "c"), FOUND.check), FOUND)
    assert (await board.overview()).revision == before


@pytest.mark.parametrize("name", [None, "", "tls", "api-requirements"])
def test_a_suite_counts_for_one_of_the_checks_of_suites(name: str | None) -> None:
    with pytest.raises(Invalid, match="conformance-bgz, conformance-eoverdracht"):
        suite_check(name)
    assert suite_check("conformance-bgz") == "conformance-bgz"


def test_a_suite_in_which_nothing_was_done_is_not_known_and_not_wrong() -> None:
    empty = SuiteResult("http://node.example", "suite", now())
    assert suites.judged("conformance-bgz", [empty], "").verdict == "unknown"
    assert suites.judged("conformance-bgz", [empty, replace(empty)], "").facts["passed"] == 0


@pytest.mark.parametrize(
    ("options", "said"),
    [
        (["--board"], "--board needs --organisation"),
        (["--board", "--organisation", "a"], "--board needs --organisation"),
        (["--board", "--organisation", "a", "--data", "x", "--config", "y"], "--board needs --organisation"),
        (["--board", "--organisation", "a", "--data", "x", "--suite", "s"], "--as says for which check"),
        (["--config", "x"], "--config and --as go with --board"),
        (["--suite", "s", "--as", "conformance-bgz"], "--config and --as go with --board"),
        (["--api-requirements", "--organisation", "a"], "go with --suite, or with --board"),
    ],
)
def test_options_that_do_not_go_together_are_told(options: list[str], said: str) -> None:
    done = CliRunner().invoke(app, ["check", "http://127.0.0.1:9/fhir", *options])
    assert done.exit_code == 2 and said in " ".join(done.output.split()), done.output
