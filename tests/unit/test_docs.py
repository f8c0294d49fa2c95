"""The documentation names only what exists: pages, commands, options, settings, routes, patients."""

from __future__ import annotations

import ast
import configparser
import importlib
import re
import shlex
import tomllib
from collections.abc import Iterator
from pathlib import Path
from types import SimpleNamespace
from typing import Any, cast

import pytest
import typer
from scripts.build_reference import FOLDER as REFERENCE
from starlette.routing import Match, Route
from tests.shared import ROOT

from schakel.cli import app
from schakel.commands.reasons import REASONS
from schakel.config import Back, Certificates, InternalTls, Limits, Organisation, Peer, Portal, Settings
from schakel.demo import cast as people
from schakel.demo.patients import named_patients, region
from schakel.http.node import Node
from schakel.http.routes import back, front, internal
from schakel.kernel.clock import now
from schakel.kernel.values import Bsn

DOCS = ROOT / "docs"
PAGES = [ROOT / "README.md", ROOT / "CHANGELOG.md", *sorted(DOCS.rglob("*.md"))]
WRITTEN = [page for page in PAGES if page.parent != REFERENCE]
"""Pages that people wrote; the others are made from the code and checked by `test_reference`."""

TOLD = {"guarded_on_front": True, "versions": (), "public_url": "", "internal_url": "", "back_url": ""}
DOORS = SimpleNamespace(on="front", query=True, tokens=True)
NODE = cast(Node, SimpleNamespace(**TOLD, update_client=DOORS, board=object(), inventory=object(), small=0))
ROUTES = [
    route
    for route in (*front(NODE), *internal(NODE), *back(NODE))
    if isinstance(route, Route) and route.path != "/{path:path}"
]
SECTIONS = (Settings, Organisation, Peer, Limits, Back, Certificates, InternalTls, Portal)
SETTINGS = {name for model in SECTIONS for name in model.model_fields}
SLUGS = {organisation.slug for organisation in people.ORGANISATIONS}


def named(page: Path) -> str:
    """How a page is called in a message."""
    return str(page.relative_to(ROOT))


def blocks(page: Path, *languages: str) -> Iterator[str]:
    """The code blocks of a page in these languages ('' for those that name none)."""
    text = page.read_text("utf-8")
    for language, block in re.findall(r"^```(\w*)\n(.*?)^```", text, re.DOTALL | re.MULTILINE):
        if language in languages:
            yield block


def prose(page: Path) -> str:
    """A page without its code blocks."""
    return re.sub(r"^```.*?^```", "", page.read_text("utf-8"), flags=re.DOTALL | re.MULTILINE)


def quoted(page: Path) -> list[str]:
    """What stands between backticks in a page."""
    return re.findall(r"`([^`\n]+)`", prose(page))


def anchors(page: Path) -> set[str]:
    """The names by which the headings of a page can be linked to."""
    headings = re.findall(r"^#+ (.+)$", prose(page), re.MULTILINE)
    return {re.sub(r"[^\w\- ]", "", heading.lower()).replace(" ", "-") for heading in headings}


def shell_lines(page: Path) -> Iterator[list[str]]:
    """The words of each line in a page's blocks that calls our program, without `uv run`."""
    for block in blocks(page, "", "sh", "bash"):
        for line in block.replace("\\\n", " ").splitlines():
            words = shlex.split(line, comments=True) if "schakel" in line.split(" ")[:3] else []
            if words[:2] == ["uv", "run"]:
                words = words[2:]
            if words[:1] == ["schakel"]:
                yield words[1:]


COMMANDS = [(named(page), words) for page in WRITTEN for words in shell_lines(page)]
PATHS = sorted(
    {
        path
        for page in WRITTEN
        for path in re.findall(
            r"(?:(?<=[` ])|http://127\.0\.0\.1:\d+)(/(?:\{organisation\}|[a-z-]+|health)/[^\s`?'\"\\]*|/metrics)",
            page.read_text("utf-8"),
        )
    }
)


def parsed(words: list[str]) -> dict[str, Any]:
    """The parameters of a command line. Raises the error that a user would see."""
    command: Any = typer.main.get_command(app)
    context = command.make_context("schakel", [], resilient_parsing=True)
    context.resilient_parsing = False
    while hasattr(command, "commands"):
        _, command, words = command.resolve_command(context, words)
        context = command.make_context(command.name, list(words), parent=context, resilient_parsing=False)
        words = [*context._protected_args, *context.args]
    return cast(dict[str, Any], context.params)


# -- links -----------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("page", PAGES, ids=named)
def test_every_link_leads_somewhere(page: Path) -> None:
    broken = []
    for target in re.findall(r"\]\(([^)\s]+)\)", re.sub("`[^`]+`", "", prose(page))):
        if target.startswith(("https://", "http://")):
            continue
        file, _, anchor = target.partition("#")
        there = (page.parent / file).resolve() if file else page
        if not there.exists() or (anchor and anchor not in anchors(there)):
            broken.append(target)
    assert not broken


def test_every_page_can_be_reached_from_the_index() -> None:
    reached: set[Path] = set()
    waiting = [DOCS / "README.md"]
    while waiting:
        page = waiting.pop()
        if page not in reached and page.exists():
            reached.add(page)
            targets = re.findall(r"\]\(([^)\s#]+\.md)", prose(page))
            waiting.extend((page.parent / target).resolve() for target in targets if "://" not in target)
    assert set(DOCS.rglob("*.md")) <= reached


# -- commands --------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(("page", "words"), COMMANDS, ids=[f"{p}: {' '.join(w)[:60]}" for p, w in COMMANDS])
def test_a_command_line_is_one_that_the_program_takes(page: str, words: list[str]) -> None:
    parameters = parsed(words)
    assert parameters, page
    if str(parameters.get("data") or "") == "region":
        named_there = [parameters.get(name) for name in ("organisation", "requester")]
        named_there += parameters.get("holder") or []
        assert {slug for slug in named_there if slug} <= SLUGS


def test_there_are_command_lines_in_the_pages() -> None:
    group: Any = typer.main.get_command(app)
    assert {words[0] for _, words in COMMANDS} == set(group.commands)


@pytest.mark.parametrize(
    "words", [["demo", "--quick"], ["fetch", "bgz"], ["fly"], ["ground", "add", "--data", "x"]]
)
def test_a_command_line_that_the_program_does_not_take_is_seen(words: list[str]) -> None:
    with pytest.raises(Exception, match=r"(?i)no such|missing"):
        parsed(words)


@pytest.mark.parametrize("page", WRITTEN, ids=named)
def test_a_command_named_in_the_text_exists(page: Path) -> None:
    for text in quoted(page):
        words = text.removeprefix("uv run ").split()
        if words[:1] == ["schakel"] and len(words) > 1 and words[1].isalpha():
            group: Any = typer.main.get_command(app)
            for word in words[1:3]:
                group = getattr(group, "commands", {}).get(word) if hasattr(group, "commands") else group
                assert group is not None, text


def test_every_command_stands_in_the_changelog() -> None:
    told = (ROOT / "CHANGELOG.md").read_text("utf-8")
    group: Any = typer.main.get_command(app)
    assert [name for name in group.commands if f"schakel {name}" not in told] == []


def test_python_in_the_pages_imports_what_exists() -> None:
    lines = [
        words[words.index("-c") + 1]
        for page in WRITTEN
        for block in blocks(page, "")
        for line in block.splitlines()
        if "python -c" in line
        for words in [shlex.split(line.removeprefix("KEY=$(").rstrip(")"))]
    ]
    assert lines
    for line in lines:
        for node in ast.walk(ast.parse(line)):
            if isinstance(node, ast.ImportFrom) and node.module:
                module = importlib.import_module(node.module)
                assert all(hasattr(module, name.name) for name in node.names), line


# -- settings, routes, reasons ---------------------------------------------------------------------------------


@pytest.mark.parametrize("page", WRITTEN, ids=named)
def test_a_setting_named_in_the_text_exists(page: Path) -> None:
    assert {name for text in quoted(page) for name in re.findall(r"^(\w+) = ", text)} <= SETTINGS


def test_a_configuration_in_the_pages_is_one_that_a_node_takes() -> None:
    pages = [list(blocks(page, "toml")) for page in WRITTEN]
    assert any(pages)
    for examples in pages:
        for number, example in enumerate(examples):
            above = examples[:number] if example.startswith("# added to what stands above") else []
            assert taken(*above, example).organisations


def taken(*examples: str) -> Settings:
    """The settings of a node whose configuration has these examples beside the one of the first page; what is said of
    an organisation is added to what the last one said."""
    whole = tomllib.loads(next(blocks(DOCS / "how-to/run-a-node.md", "toml")))
    organisations = whole["organisations"]
    for example in examples:
        part = tomllib.loads(example)
        organisations = [{**organisations[0], **one} for one in part.pop("organisations", [{}])]
        whole |= part
    return Settings(**{**whole, "organisations": organisations})


def test_what_is_pasted_from_the_page_of_the_index_asks_and_registers_with_tokens() -> None:
    ask, register = blocks(DOCS / "how-to/connect-nvi.md", "toml")
    for given in (taken(ask), taken(ask, register)):
        assert given.prs.oauth is not None and given.prs.oauth.organisation
        assert given.nvi.oauth is not None and given.nvi.oauth.source
    assert not taken(ask).organisations[0].registrations
    assert taken(ask, register).organisations[0].registrations


@pytest.mark.parametrize("path", PATHS)
def test_a_route_named_in_the_pages_exists(path: str) -> None:
    scope = {"type": "http", "method": "GET", "path": path, "headers": []}
    assert any(route.matches(scope)[0] is not Match.NONE for route in ROUTES)


def test_routes_are_named_in_the_pages() -> None:
    assert {"/metrics", "/health/live", "/{organisation}/grounds"} <= set(PATHS)


def test_the_reasons_of_refusals_are_those_of_the_log() -> None:
    text = (DOCS / "reference/refusal-codes.md").read_text("utf-8")
    named_there = set(re.findall(r"^\| `([a-z0-9-]+)` \|", text, re.MULTILINE))
    assert len(named_there) > 100
    assert named_there <= set(REASONS)


def test_the_layers_on_the_page_are_those_that_are_checked() -> None:
    rules = configparser.ConfigParser()
    rules.read(ROOT / ".importlinter")
    checked = re.findall(r"\w+", rules["importlinter:contract:layers"]["layers"])
    [table] = re.findall(
        r"^\| layer \|.*?\n\n", (DOCS / "explanation/house.md").read_text("utf-8"), re.DOTALL | re.MULTILINE
    )
    told = [
        name
        for cell in re.findall(r"^\| (`.*?`) \|", table, re.MULTILINE)
        for name in re.findall(r"\w+", cell)
    ]
    assert told == [name for name in checked if name not in ("__main__", "technical_log")]


def table_rows(page: Path, head: str) -> list[list[str]]:
    """The cells of the tables that begin with the column `head`."""
    tables = re.findall(rf"^\| {head} .*?(?=\n\n|\Z)", page.read_text("utf-8"), re.DOTALL | re.MULTILINE)
    return [
        [cell.strip() for cell in line.strip("| ").split("|")]
        for table in tables
        for line in table.splitlines()[2:]
    ]


def test_the_figures_in_the_readme_are_those_of_the_last_run() -> None:
    measured = {
        (row[0], row[1], f"{row[-2]}, {row[-1]}")
        for row in table_rows(DOCS / "explanation/performance.md", "figure")
        if len(row) > 4
    }
    told = {tuple(row) for row in table_rows(ROOT / "README.md", "figure")}
    assert told
    assert told <= measured


# -- people ----------------------------------------------------------------------------------------------------


def test_every_patient_in_the_pages_is_fictional() -> None:
    texts = [re.sub(r"test_bsns = \[.*\]", "", page.read_text("utf-8")) for page in WRITTEN]
    numbers = {n for text in texts for n in re.findall(r"(?<!\d)\d{9}(?!\d)", text)}
    assert numbers
    for number in numbers:
        assert number.startswith("999") and not number.startswith("9999") and Bsn(number)


def test_the_patients_of_the_tutorial_live_in_the_demo() -> None:
    here = {p.bsn: p.known_at for p in named_patients(region(100, today=now().date()))}
    text = (DOCS / "tutorial/first-exchange.md").read_text("utf-8")
    for number in set(re.findall(r"(?<!\d)999\d{6}(?!\d)", text)):
        assert {"ziekenhuis-noord", "ziekenhuis-zuid"} <= set(here[number])


@pytest.mark.parametrize("page", sorted((DOCS / "how-to").glob("*.md")), ids=named)
def test_a_how_to_says_what_you_must_have_first(page: Path) -> None:
    assert "**What you must have first**" in page.read_text("utf-8")
