"""How the TestScript runner prepares a peer: load scripts, setup and fixtures."""

from __future__ import annotations

import json
from collections.abc import AsyncIterator
from pathlib import Path

import pytest_asyncio
from tests import testscript_builder as make
from tests.testscript_peer import (
    BUNDLE,
    SEARCH,
    TASK,
    Peer,
    run,
    run_suite,
    running_peer,
)

from schakel.conformance import CheckOptions, Verdict, check, exit_code


@pytest_asyncio.fixture(loop_scope="session")
async def peer() -> AsyncIterator[Peer]:
    """A running peer."""
    async with running_peer() as running:
        yield running


async def test_a_failing_setup_skips_the_tests_but_not_the_teardown(peer: Peer, tmp_path: Path) -> None:
    result = await run(
        peer,
        tmp_path,
        make.setup(make.operation("purge", resource="Patient", params="p/$purge"),
                   make.assertion(responseCode="200,204", operator="in")),
        make.case(SEARCH, make.assertion(responseCode="200")),
        make.teardown(make.operation("delete", resource="Patient", params="p")),
    )  # fmt: skip

    assert result.verdict is Verdict.FAILED and result.tests[1].verdict is Verdict.SKIPPED
    assert [method for method, *_ in peer.asked] == ["POST", "DELETE"]


async def test_fixtures_are_created_and_deleted_when_the_script_says_so(peer: Peer, tmp_path: Path) -> None:
    peer.answer("PUT", "Task/t1", TASK, status=201)
    peer.answer("DELETE", "Task/t1", status=204)
    make.suite(tmp_path, {"_reference/task.json": json.dumps(TASK)})

    result = await run(
        peer,
        tmp_path,
        make.fixture("task", "_reference/task.json", autocreate=True, autodelete=True),
        make.case(make.operation("read", resource="Task", params="t1"), make.assertion(responseCode="404")),
    )

    assert result.verdict is Verdict.PASSED
    assert [(method, path) for method, path, _, _ in peer.asked] == [
        ("PUT", "/fhir/Task/t1"), ("GET", "/fhir/Task/t1"), ("DELETE", "/fhir/Task/t1"),
    ]  # fmt: skip


def loaded_suite(root: Path, *test: str) -> Path:
    """A suite with a load script of one purge, one Patient and two others, in an awkward order."""

    def put(name: str) -> str:
        kind = name.split("-")[0]
        return make.operation(
            "update", resource=kind, params=f"/${{{name}-id}}", sourceId=name, contentType="xml"
        ) + make.assertion(responseCode="200,201", operator="in")

    def resource(name: str) -> str:
        kind = name.split("-")[0]
        member = {"Patient": "birthDate", "Condition": "recordedDate", "Observation": "effectiveDateTime"}[
            kind
        ]
        dated = f'<id value="{name}"/><{member} value="${{DATE, T, D, -1}}"/>'
        return f'<{kind} xmlns="http://hl7.org/fhir">{dated}</{kind}>'

    names = ("Observation-a", "Patient-b", "Condition-c")
    load = make.script(
        *(make.fixture(name, f"../_reference/{name}.xml") for name in names),
        *(
            make.variable(f"{name}-id", expression=f"{name.split('-')[0]}.id", sourceId=name)
            for name in names
        ),
        make.setup(
            make.operation("purge", resource="Patient", params="Patient-b/$purge"),
            make.assertion(responseCode="200,204", operator="in"),
        ),
        make.case(*map(put, names)),
        parties="",
    )
    return make.suite(
        root,
        {
            "_LoadResources/load.xml": load,
            **{f"_reference/{name}.xml": resource(name) for name in names},
            "Serving/one.xml": make.script(
                *(test or (make.case(SEARCH, make.assertion(responseCode="200")),))
            ),
        },
    )


def ready_to_load(peer: Peer) -> None:
    peer.answer("POST", "inside/Patient/Patient-b/$purge", status=204)
    for path in ("Observation/Observation-a", "Patient/Patient-b", "Condition/Condition-c"):
        peer.answer("PUT", f"inside/{path}", status=201)
    peer.answer("GET", "Observation", BUNDLE)


async def test_loading_purges_then_puts_patients_then_the_rest_with_date_t(
    peer: Peer, tmp_path: Path
) -> None:
    ready_to_load(peer)

    result = await run_suite(
        peer, loaded_suite(tmp_path), load=f"{peer.base}/inside", load_headers=(("X-API-Key", "k"),),
        variables={"T": "2024-01-01"},
    )  # fmt: skip

    assert (result.loads[0].done, result.loads[0].failures) == (4, [])
    paths = [path.removeprefix("/fhir/") for _, path, _, _ in peer.asked]
    assert paths[:2] == ["inside/Patient/Patient-b/$purge", "inside/Patient/Patient-b"]
    assert sorted(paths[2:4]) == ["inside/Condition/Condition-c", "inside/Observation/Observation-a"]
    assert paths[4].startswith("Observation?")
    assert all(headers["X-API-Key"] == "k" for _, _, headers, _ in peer.asked[:4])
    assert "X-API-Key" not in peer.asked[4][2]
    assert b"2023-12-31" in peer.asked[1][3]
    assert exit_code(result) == 0


async def test_nothing_is_loaded_when_it_is_not_asked(peer: Peer, tmp_path: Path) -> None:
    ready_to_load(peer)

    result = await run_suite(peer, loaded_suite(tmp_path))

    assert result.loads == [] and len(peer.asked) == 1


async def test_a_refused_fixture_is_an_error_that_is_named_and_the_scripts_still_run(
    peer: Peer, tmp_path: Path
) -> None:
    ready_to_load(peer)
    peer.answer("PUT", "inside/Condition/Condition-c", {"resourceType": "OperationOutcome"}, status=422)
    heard: list[int] = []

    result = await check(
        CheckOptions(url=peer.base, suite=loaded_suite(tmp_path), load=f"{peer.base}/inside"),
        loaded=lambda load: heard.append(len(load.failures)),
    )

    (failure,) = result.loads[0].failures
    assert "Condition-c" in failure.step and "422" in failure.reason and heard == [1]
    assert result.scripts[0].verdict is Verdict.PASSED
    assert exit_code(result) == 2


async def test_a_broken_line_ends_the_loading_and_says_what_is_left(peer: Peer, tmp_path: Path) -> None:
    result = await run_suite(peer, loaded_suite(tmp_path), load="http://127.0.0.1:9/fhir")

    first, rest = result.loads[0].failures
    assert "request failed" in first.reason and rest.reason == "not tried: 3 steps more"


async def test_loading_without_load_scripts_is_an_error(peer: Peer, tmp_path: Path) -> None:
    suite = make.suite(
        tmp_path, {"a/one.xml": make.script(make.case(SEARCH, make.assertion(responseCode="404")))}
    )

    result = await run_suite(peer, suite, load=peer.base)

    assert "_LoadResources" in result.loads[0].failures[0].reason and exit_code(result) == 2


async def test_writing_in_setup_goes_through_the_loading_door(peer: Peer, tmp_path: Path) -> None:
    ready_to_load(peer)
    suite = loaded_suite(
        tmp_path,
        make.fixture("Patient-b", "../_reference/Patient-b.xml"),
        make.setup(
            make.operation("update", resource="Patient", sourceId="Patient-b"),
            make.assertion(responseCode="201"),
        ),
        make.case(SEARCH, make.assertion(responseCode="200")),
    )

    result = await run_suite(peer, suite, load=f"{peer.base}/inside")

    assert result.scripts[0].verdict is Verdict.PASSED
    assert peer.sent("PUT")[-1] == "/fhir/inside/Patient/Patient-b"


async def test_folders_that_only_read_come_before_those_that_write_to_the_same_data(
    peer: Peer, tmp_path: Path
) -> None:
    """What a receiving script leaves behind must not be found by a serving one of the same unit."""
    write = make.case(make.operation("create", resource="Task", sourceId="task", contentType="json"))
    read = make.case(SEARCH)
    suite = make.suite(
        tmp_path,
        {
            "_LoadResources/load.xml": make.script(parties=""),
            "_reference/task.json": json.dumps(TASK),
            "a-receiving/one.xml": make.script(make.fixture("task", "../_reference/task.json"), write),
            "b-serving/one.xml": make.script(read),
            "c-serving/one.xml": make.script(read),
        },
    )

    result = await run_suite(peer, suite)

    assert [script.path for script in result.scripts] == [
        "b-serving/one.xml",
        "c-serving/one.xml",
        "a-receiving/one.xml",
    ]
    assert [method for method, *_ in peer.asked] == ["GET", "GET", "POST"]
    assert {script.unit for script in result.scripts} == {"/".join(tmp_path.parts[-2:])}
