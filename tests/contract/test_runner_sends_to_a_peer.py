"""What the TestScript runner sends to a peer: addresses, headers, bodies and where their values come from."""

from __future__ import annotations

import json
from collections.abc import AsyncIterator
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest
import pytest_asyncio
from tests import testscript_builder as make
from tests.testscript_peer import (
    BUNDLE,
    JSON,
    SEARCH,
    TASK,
    XML,
    XML_TASK,
    Peer,
    judged,
    run,
    running_peer,
)

from schakel.conformance import Verdict


@pytest_asyncio.fixture(loop_scope="session")
async def peer() -> AsyncIterator[Peer]:
    """A running peer."""
    async with running_peer() as running:
        yield running


async def test_a_value_only_the_tester_has_is_asked_for(peer: Peer, tmp_path: Path) -> None:
    peer.answer("GET", "Patient", BUNDLE)
    parts = (
        make.variable("BSN", hint="the BSN of your test patient"),
        make.case(
            make.operation("search", resource="Patient", params="?identifier=${BSN}"),
            make.assertion(responseCode="200"),
        ),
    )

    without = await run(peer, tmp_path / "a", *parts)
    given = await run(peer, tmp_path / "b", *parts, options={"variables": {"BSN": "999900043"}})

    assert without.verdict is Verdict.ERROR
    assert "--var BSN=VALUE (the BSN of your test patient)" in without.tests[0].assertions[0].found
    assert given.verdict is Verdict.PASSED
    assert peer.sent("GET") == ["/fhir/Patient?identifier=999900043"]


async def test_a_token_comes_from_the_file_over_the_default(peer: Peer, tmp_path: Path) -> None:
    peer.answer("GET", "Patient", BUNDLE)
    tokens = tmp_path / "tokens.json"
    tokens.write_text(json.dumps([
        {"accessToken": "abc", "resourceId": "p1", "familyName": "van XXX_Berg"},
        {"accessToken": "Bearer d", "resourceId": "p2", "familyName": "XXX_Twin"},
        {"accessToken": "Bearer e", "resourceId": "p3", "familyName": "XXX_Twin"},
    ]))  # fmt: skip
    names = ("p1", "XXX_Berg", "p2", "XXX_Twin", "p9")

    await run(
        peer,
        tmp_path / "suite",
        *(make.variable(f"patient-token-{name}", defaultValue="Bearer default") for name in names),
        make.case(
            *(
                make.operation(
                    "search", resource="Patient", headers={"Authorization": f"${{patient-token-{n}}}"}
                )
                for n in names
            )
        ),
        options={"tokens": tokens},
    )

    assert [headers["Authorization"] for _, _, headers, _ in peer.asked] == [
        "Bearer abc", "Bearer abc", "Bearer d", "Bearer default", "Bearer default",
    ]  # fmt: skip


async def test_the_testers_header_wins_and_is_not_shown(peer: Peer, tmp_path: Path) -> None:
    result = await run(
        peer,
        tmp_path,
        make.case(
            make.operation("search", resource="Patient", headers={"Authorization": "Bearer script"}),
            make.assertion(responseCode="200"),
        ),
        options={"headers": (("authorization", "Bearer tester"), ("X-Tenant", "hidden"))},
    )

    sent = peer.asked[0][2]
    assert (sent["Authorization"], sent["X-Tenant"]) == ("Bearer tester", "hidden")
    shown = result.tests[0].assertions[0].exchange
    assert shown and dict(shown.request_headers) == {"authorization": "Bearer ****", "X-Tenant": "****"}


async def test_the_testers_headers_do_not_follow_to_another_host(peer: Peer, tmp_path: Path) -> None:
    other = peer.base.replace("127.0.0.1", "localhost")

    await run(
        peer,
        tmp_path,
        make.case(
            make.operation("read", url=f"{other}/Medication/m1"), make.operation("read", url="Medication/m2")
        ),
        options={"headers": (("X-API-Key", "k"),)},
    )

    assert peer.sent("GET") == ["/fhir/Medication/m1", "/fhir/Medication/m2"]
    assert ["X-API-Key" in headers for _, _, headers, _ in peer.asked] == [False, True]


@pytest.mark.parametrize(
    ("members", "line"),
    [
        ({"resource": "Patient", "params": "/a"}, "/fhir/Patient/a"),
        ({"resource": "Patient", "params": "a/$everything"}, "/fhir/Patient/a/$everything"),
        ({"resource": "Resource", "params": "?_id=1"}, "/fhir?_id=1"),
        ({"params": "/Patient"}, "/fhir/Patient"),
        ({"resource": "Observation", "params": "?code=http://loinc.org|8480-6, x"},
         "/fhir/Observation?code=http://loinc.org%7C8480-6,%20x"),
        ({"resource": "Observation", "params": "?date=ge2024-01-01T00:00:00+01:00"},
         "/fhir/Observation?date=ge2024-01-01T00:00:00%2B01:00"),
        ({"resource": "Observation", "params": "?note=100%25%20of 5%"},
         "/fhir/Observation?note=100%25%20of%205%25"),
        ({"resource": "Observation", "params": "?note=é"}, "/fhir/Observation?note=%C3%A9"),
    ],
)  # fmt: skip
async def test_addresses_are_put_together_and_encoded(
    peer: Peer, tmp_path: Path, members: dict[str, Any], line: str
) -> None:
    await run(peer, tmp_path, make.case(make.operation("search", encodeRequestUrl=True, **members)))

    assert peer.sent("GET") == [line]


async def test_bodies_take_their_variables_and_the_asked_format(peer: Peer, tmp_path: Path) -> None:
    peer.answer("PUT", "Task/t-9", TASK, status=201)
    xml = (
        '<Task xmlns="http://hl7.org/fhir"><id value="${task-id}"/><status value="draft"/>'
        '<intent value="order"/><authoredOn value="${DATE, T, D, -1}"/></Task>'
    )
    make.suite(tmp_path, {"_reference/task.xml": xml})

    result = await run(
        peer,
        tmp_path,
        make.fixture("task", "_reference/task.xml"),
        make.variable("task-id", defaultValue="t-9"),
        make.case(
            make.operation("update", resource="Task", sourceId="task", contentType="json", accept="none"),
            make.assertion(expression="Task.authoredOn", value="2024-02-29", direction="request"),
            make.assertion(responseCode="201"),
        ),
        options={"moment": datetime(2024, 3, 1, 12, tzinfo=UTC)},
    )

    assert result.verdict is Verdict.PASSED
    method, path, headers, body = peer.asked[0]
    assert (method, path, headers["Content-Type"]) == ("PUT", "/fhir/Task/t-9", JSON)
    assert json.loads(body) == {
        "resourceType": "Task", "id": "t-9", "status": "draft", "intent": "order", "authoredOn": "2024-02-29",
    }  # fmt: skip
    assert "Accept" not in headers


async def test_a_default_is_worked_out_once_and_a_macro_each_time(peer: Peer, tmp_path: Path) -> None:
    asked = {"X-Correlation-ID": "${X-Correlation-ID}", "X-Request-ID": "${UUID}"}

    await run(
        peer,
        tmp_path,
        make.variable("X-Correlation-ID", defaultValue="${UUID}"),
        make.case(make.operation("search", headers=asked), make.operation("search", headers=asked)),
    )

    first, second = (headers for _, _, headers, _ in peer.asked)
    assert first["X-Correlation-ID"] == second["X-Correlation-ID"]
    assert first["X-Request-ID"] != second["X-Request-ID"]


def following() -> tuple[str, ...]:
    """A script whose second request takes its id from the first answer."""
    return (
        make.variable("found", expression="Bundle.entry.resource.id", sourceId="answer"),
        make.case(
            make.operation("search", resource="Observation", responseId="answer"),
            make.assertion(responseCode="200", stopTestOnFail=True),
        ),
        make.case(
            make.operation("read", resource="Observation", params="/${found}"),
            make.assertion(responseCode="200"),
        ),
    )


async def test_a_variable_is_taken_from_an_earlier_answer(peer: Peer, tmp_path: Path) -> None:
    peer.answer("GET", "Observation", BUNDLE)
    peer.answer("GET", "Observation/o1", BUNDLE["entry"][0]["resource"])

    result = await run(peer, tmp_path, *following())

    assert result.verdict is Verdict.PASSED
    assert peer.sent("GET")[-1] == "/fhir/Observation/o1"


async def test_an_answer_without_the_needed_value_is_the_peers_failure(peer: Peer, tmp_path: Path) -> None:
    peer.answer("GET", "Observation", {"resourceType": "Bundle", "type": "searchset"})

    result = await run(peer, tmp_path, *following())

    assert result.tests[1].verdict is Verdict.FAILED
    assert "no value for variable 'found'" in result.tests[1].assertions[0].found


async def test_a_step_after_a_failed_one_is_skipped_and_not_failed_again(peer: Peer, tmp_path: Path) -> None:
    peer.answer("GET", "Observation", BUNDLE, status=500)
    parts = list(following())
    parts[1] = make.case(
        make.operation("search", resource="Observation"),
        make.assertion(responseCode="200", stopTestOnFail=True),
        make.operation("search", resource="Observation", responseId="answer"),
    )

    result = await run(peer, tmp_path, *parts)

    assert [test.verdict for test in result.tests] == [Verdict.FAILED, Verdict.SKIPPED]
    assert result.verdict is Verdict.FAILED and len(peer.asked) == 1


@pytest.mark.parametrize("form", [JSON, XML])
async def test_the_task_rule_makes_a_body_from_the_answer(peer: Peer, tmp_path: Path, form: str) -> None:
    peer.answer("GET", "Task/t1", XML_TASK if form == XML else TASK, content_type=form)
    peer.answer("PUT", "Task/t1", {**TASK, "status": "completed"})

    result = await run(
        peer,
        tmp_path,
        make.rule("modifyTask", "rules/rewrite-response-taskStatus.groovy"),
        make.case(
            make.operation("read", resource="Task", params="t1"),
            make.assertion(rule=("modifyTask", {"newStatus": "completed", "fixtureId": "made"})),
            make.operation("update", resource="Task", params="/t1", sourceId="made"),
            make.assertion(expression="Task.status = 'completed' and Task.text.empty()", direction="request"),
        ),
    )

    assert result.verdict is Verdict.PASSED
    assert peer.asked[1][2]["Content-Type"] == form


@pytest.mark.parametrize(("told", "status"), [({}, "on-hold"), ({"newStatus": "rejected"}, "rejected")])
async def test_the_rule_of_another_date_proposes_it_in_the_output(
    peer: Peer, tmp_path: Path, told: dict[str, str], status: str
) -> None:
    peer.answer("GET", "Task/t1", TASK)
    peer.answer("PUT", "Task/t1", TASK)
    proposes = (
        f"Task.status = '{status}' and Task.text.empty() and "
        "Task.output.where(type.coding.code = '146851000146105').value = @2026-05-04"
    )

    result = await run(
        peer,
        tmp_path,
        make.rule("modifyTask", "rules/rewrite-response-taskWithAlternativeDate.groovy"),
        make.case(
            make.operation("read", resource="Task", params="t1"),
            make.assertion(rule=("modifyTask", {"fixtureId": "made", "date": "2026-05-04", **told})),
            make.operation("update", resource="Task", params="/t1", sourceId="made"),
            make.assertion(expression=proposes, direction="request"),
        ),
    )

    assert result.verdict is Verdict.PASSED


async def test_the_rule_of_another_date_is_unchecked_without_a_date(peer: Peer, tmp_path: Path) -> None:
    peer.answer("GET", "Task/t1", TASK)

    result = await run(
        peer,
        tmp_path,
        make.rule("modifyTask", "rules/rewrite-response-taskWithAlternativeDate.groovy"),
        make.case(
            make.operation("read", resource="Task", params="t1"),
            make.assertion(rule=("modifyTask", {"fixtureId": "made"})),
        ),
    )

    assert result.verdict is Verdict.UNCHECKED


async def test_the_task_rule_fails_when_there_is_not_one_task(peer: Peer, tmp_path: Path) -> None:
    peer.answer("GET", "Task", BUNDLE)

    result = await run(
        peer,
        tmp_path,
        make.rule("modifyTask", "rules/rewrite-response-taskStatus.groovy"),
        make.case(
            make.operation("search", resource="Task"),
            make.assertion(rule=("modifyTask", {"newStatus": "completed", "fixtureId": "made"})),
        ),
        make.case(make.operation("update", resource="Task", params="/t1", sourceId="made")),
    )

    assert [test.verdict for test in result.tests] == [Verdict.FAILED, Verdict.SKIPPED]
    assert peer.sent("PUT") == []


async def test_a_redirect_is_judged_and_not_followed(peer: Peer, tmp_path: Path) -> None:
    peer.answer("GET", "Observation", status=302, headers={"Location": "/fhir/Elsewhere"})

    found = await judged(peer, tmp_path, SEARCH, responseCode="302")

    assert found.verdict is Verdict.PASSED and len(peer.asked) == 1
