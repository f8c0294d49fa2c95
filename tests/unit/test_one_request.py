"""The page that follows one request names functions that exist, in the order in which requests enter them."""

from __future__ import annotations

import ast
import re
import sys
from collections.abc import Awaitable, Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from types import FrameType

import pytest
from tests.nodes import running_node
from tests.shared import ROOT

from schakel.kernel.values import BSN_SYSTEM

PAGE = (ROOT / "docs/explanation/one-request.md").read_text("utf-8")
STARTING, SEARCHING, READING = "When the node starts", "A search", "A read by id"

Step = tuple[str, str]
"""A file, relative to the project, and the qualified name of a function in it."""

BSN = "999229588"
PATIENT = {
    "resourceType": "Patient",
    "id": "p1",
    "identifier": [{"system": BSN_SYSTEM, "value": BSN}],
}
CONDITION = {
    "resourceType": "Condition",
    "id": "c1",
    "clinicalStatus": "active",
    "subject": {"reference": "Patient/p1"},
    "code": {"text": "Hypertension"},
}


def functions(path: Path) -> set[str]:
    """The qualified names of all functions in a Python file."""
    names: set[str] = set()

    def visit(node: ast.AST, prefix: str) -> None:
        for child in ast.iter_child_nodes(node):
            if isinstance(child, ast.FunctionDef | ast.AsyncFunctionDef | ast.ClassDef):
                if not isinstance(child, ast.ClassDef):
                    names.add(f"{prefix}{child.name}")
                visit(child, f"{prefix}{child.name}.")

    visit(ast.parse(path.read_text("utf-8")), "")
    return names


def steps(heading: str) -> list[Step]:
    """The numbered functions below a heading of the page."""
    [text] = re.findall(rf"^## {heading}\n(.*?)(?=^## |\Z)", PAGE, re.DOTALL | re.MULTILINE)
    return [
        (file, name) for name, file in re.findall(r"^\d+\. `([\w.]+)` in \[`([\w./]+)`\]", text, re.MULTILINE)
    ]


@contextmanager
def traced() -> Iterator[list[Step]]:
    """The functions of the product in the order in which they are first entered while the block runs."""
    entered: dict[Step, None] = {}
    folder = f"{ROOT}/"

    def note(frame: FrameType, event: str, _argument: object) -> None:
        code = frame.f_code
        if event == "call" and code.co_filename.startswith(folder):
            entered.setdefault((code.co_filename.removeprefix(folder), code.co_qualname))

    found: list[Step] = []
    earlier = sys.getprofile()
    sys.setprofile(note)
    try:
        yield found
    finally:
        sys.setprofile(earlier)
        found.extend(entered)


def assert_in_order(told: list[Step], entered: list[Step]) -> None:
    never = [step for step in told if step not in entered]
    assert not never, f"the page names what this request does not enter: {never}"
    assert told == sorted(told, key=entered.index), "the page names functions in another order"


@pytest.mark.parametrize("heading", [STARTING, SEARCHING, READING])
def test_every_section_names_functions(heading: str) -> None:
    assert len(steps(heading)) > 5


def test_every_function_on_the_page_is_in_the_file_that_the_page_names() -> None:
    named = re.findall(r"`([\w.]+)` in \[`(src/[\w./]+)`\]", PAGE)
    absent = [(file, name) for name, file in named if name not in functions(ROOT / file)]
    assert named
    assert not absent


async def test_a_guarded_request_enters_the_functions_in_the_order_of_the_page(
    make_database: Callable[[], Awaitable[str]],
) -> None:
    with traced() as starting:
        running = running_node(make_database, ("holder", "requester"))
        node = await running.__aenter__()
    try:
        holder, requester = node["holder"], node["requester"]
        for resource in (PATIENT, CONDITION):
            written = await holder.internal.put(f"{resource['resourceType']}/{resource['id']}", json=resource)
            assert written.status_code == 201, written.text
        await holder.ground(BSN, requester.ura)
        headers = {"Authorization": f"Bearer {await requester.token(holder)}"}
        with traced() as searching:
            query = {"patient.identifier": f"{BSN_SYSTEM}|{BSN}"}
            found = await holder.front.get("Condition", params=query, headers=headers)
        with traced() as reading:
            read = await holder.front.get("Condition/c1", headers=headers)
    finally:
        await running.__aexit__(None, None, None)
    assert [entry["resource"]["id"] for entry in found.json()["entry"]] == ["c1"]
    assert read.json()["id"] == "c1"
    assert_in_order(steps(STARTING), starting)
    assert_in_order(steps(SEARCHING), searching)
    assert_in_order(steps(READING), reading)
