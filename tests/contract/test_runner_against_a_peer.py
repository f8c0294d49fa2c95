"""The TestScript runner against a real HTTP server: what an assertion says, and whose fault an error is.

The point of most tests: that an assertion can fail, and that what is not the peer's fault is not called
a failure.
"""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncIterator
from pathlib import Path

import pytest
import pytest_asyncio
from aiohttp import web
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
    run_suite,
    running_peer,
)

from schakel.conformance import CheckOptions, Verdict, check, exit_code
from schakel.kernel.outcomes import Invalid


@pytest_asyncio.fixture(loop_scope="session")
async def peer() -> AsyncIterator[Peer]:
    """A running peer."""
    async with running_peer() as running:
        yield running


@pytest.mark.parametrize(
    ("good", "bad"),
    [
        ({"responseCode": "200"}, {"responseCode": "404"}),
        ({"responseCode": "200,201", "operator": "in"}, {"responseCode": "400,404", "operator": "in"}),
        ({"response": "okay"}, {"response": "created"}),
        ({"resource": "Bundle"}, {"resource": "Task"}),
        ({"contentType": "json"}, {"contentType": "xml"}),
        ({"headerField": "X-Answer", "value": "42"}, {"headerField": "X-Answer", "value": "41"}),
        ({"headerField": "X-Answer"}, {"headerField": "X-Other"}),
        (
            {"headerField": "Accept", "value": JSON, "direction": "request"},
            {"headerField": "Accept", "value": XML, "direction": "request"},
        ),
        ({"requestMethod": "get"}, {"requestMethod": "post"}),
        (
            {"requestURL": "patient=", "operator": "notContains", "direction": "request"},
            {"requestURL": "code=http://loinc.org|8480-6", "operator": "notContains", "direction": "request"},
        ),
        ({"expression": "Bundle.entry.count() = 1"}, {"expression": "Bundle.entry.count() = 2"}),
        ({"expression": "Bundle.entry.resource"}, {"expression": "Bundle.entry.request"}),
        (
            {"expression": "Bundle.type", "operator": "equals", "value": "searchset"},
            {"expression": "Bundle.type", "operator": "equals", "value": "document"},
        ),
        (
            {"expression": "Bundle.type", "value": "searchset"},
            {"expression": "Bundle.type", "value": "history"},
        ),
        (
            {"expression": "Bundle.entry.resource.value.value", "value": "9.20"},
            {"expression": "Bundle.entry.resource.value.value", "value": "9.3"},
        ),
        (
            {"expression": "Bundle.total", "operator": "greaterThan", "value": "0"},
            {"expression": "Bundle.total", "operator": "greaterThan", "value": "1"},
        ),
        (
            {"expression": "Bundle.entry.response", "operator": "empty"},
            {"expression": "Bundle.entry", "operator": "empty"},
        ),
        (
            {"expression": "Bundle.entry.all(resource.id.exists())", "operator": "eval"},
            {"expression": "Bundle.entry.all(resource.meta.exists())", "operator": "eval"},
        ),
        (
            {"path": "f:Bundle/f:entry/f:resource/f:Observation/f:status", "value": "final"},
            {"path": "f:Bundle/f:entry/f:resource/f:Observation/f:status", "value": "amended"},
        ),
        ({"path": "count(//f:entry)", "value": "1"}, {"path": "count(//f:entry)", "value": "2"}),
    ],
    ids=lambda members: " ".join(members),
)
async def test_each_kind_of_assertion_can_hold_and_can_fail(
    peer: Peer, tmp_path: Path, good: dict[str, str], bad: dict[str, str]
) -> None:
    peer.answer("GET", "Observation", BUNDLE, headers={"X-Answer": "42"})

    held = await judged(peer, tmp_path / "good", SEARCH, **good)
    failed = await judged(peer, tmp_path / "bad", SEARCH, **bad)

    assert (held.verdict, held.exchange) == (Verdict.PASSED, None)
    assert failed.verdict is Verdict.FAILED
    assert failed.description == "asked" and failed.expected and failed.found
    assert failed.exchange and failed.exchange.status == 200 and "searchset" in failed.exchange.response_body


async def test_navigation_links_are_looked_for(peer: Peer, tmp_path: Path) -> None:
    links = [{"relation": word, "url": f"http://peer/{word}"} for word in ("first", "next", "last")]
    peer.answer("GET", "Observation", {**BUNDLE, "link": links})
    held = await judged(peer, tmp_path / "good", SEARCH, navigationLinks=True)
    peer.answer("GET", "Observation", BUNDLE)

    failed = await judged(peer, tmp_path / "bad", SEARCH, navigationLinks=True)

    assert (held.verdict, failed.verdict) == (Verdict.PASSED, Verdict.FAILED)
    assert failed.found == "missing: first, last, next"


@pytest.mark.parametrize(
    ("status", "expected"), [("in-progress", Verdict.PASSED), ("completed", Verdict.FAILED)]
)
async def test_a_minimum_and_a_comparison_are_made_with_a_fixture(
    peer: Peer, tmp_path: Path, status: str, expected: Verdict
) -> None:
    peer.answer("GET", "Task/t1", TASK)
    least = {"resourceType": "Task", "status": status}
    make.suite(tmp_path, {"_reference/least.json": json.dumps(least)})

    result = await run(
        peer,
        tmp_path,
        make.fixture("least", "_reference/least.json"),
        make.case(
            make.operation("read", resource="Task", params="t1", responseId="task"),
            make.assertion(minimumId="least"),
            make.assertion(expression="Task.status", compareToSourceId="least", operator="equals"),
            make.assertion(sourceId="least", resource="Task"),
        ),
    )

    assert [a.verdict for a in result.tests[0].assertions] == [expected, expected, Verdict.PASSED]


async def test_xml_is_judged_as_json_is(peer: Peer, tmp_path: Path) -> None:
    task = XML_TASK.replace(b"in-progress", b"draft")
    peer.answer("GET", "Task/t1", task, content_type=XML)
    read = make.operation("read", resource="Task", params="t1", accept="xml")

    held = await judged(peer, tmp_path / "good", read, expression="Task.status = 'draft'")
    failed = await judged(peer, tmp_path / "bad", read, expression="Task.status = 'ready'")

    assert (held.verdict, failed.verdict) == (Verdict.PASSED, Verdict.FAILED)
    assert peer.asked[0][2]["Accept"] == XML


async def test_a_profile_is_unchecked_and_never_passed(peer: Peer, tmp_path: Path) -> None:
    peer.answer("GET", "Observation", BUNDLE)

    result = await run(
        peer,
        tmp_path,
        make.case(
            SEARCH, make.assertion(responseCode="200"), make.assertion(validateProfileId="Bundle-profile")
        ),
    )

    assert result.words == "passed but for 1 unchecked"
    assert result.counts == {Verdict.PASSED: 1, Verdict.UNCHECKED: 1}


async def test_a_script_of_which_nothing_can_be_checked_is_not_passed(peer: Peer, tmp_path: Path) -> None:
    peer.answer("GET", "Observation", BUNDLE)
    suite = make.suite(
        tmp_path, {"one.xml": make.script(make.case(SEARCH, make.assertion(validateProfileId="p")))}
    )

    result = await run_suite(peer, suite)

    assert result.scripts[0].verdict is Verdict.UNCHECKED
    assert exit_code(result) == 2


@pytest.mark.parametrize(
    "members",
    [
        {"expression": "Bundle.conformsTo('http://x')"},
        {"operator": "manualEval", "expression": "Bundle"},
        {"response": "splendid"},
        {"path": "$.entry"},
        {},
    ],
)
async def test_what_this_program_cannot_look_at_is_unchecked(
    peer: Peer, tmp_path: Path, members: dict[str, str]
) -> None:
    peer.answer("GET", "Observation", BUNDLE)

    found = await judged(peer, tmp_path, SEARCH, **members)

    assert found.verdict is Verdict.UNCHECKED and found.found


async def test_a_broken_expression_is_an_error_and_not_a_failure(peer: Peer, tmp_path: Path) -> None:
    peer.answer("GET", "Observation", BUNDLE)

    found = await judged(peer, tmp_path, SEARCH, expression="Bundle.entry.where(")

    assert found.verdict is Verdict.ERROR


async def test_a_mistake_of_this_program_is_an_error_and_not_a_failure(
    peer: Peer, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def broken(*_: object) -> None:
        raise AttributeError("oops")

    monkeypatch.setattr("schakel.conformance.asserts.check", broken)
    peer.answer("GET", "Observation", BUNDLE)

    found = await judged(peer, tmp_path, SEARCH, responseCode="404")

    assert found.verdict is Verdict.ERROR and "AttributeError" in found.found


async def test_an_unreadable_answer_fails_what_is_asked_of_its_content(peer: Peer, tmp_path: Path) -> None:
    peer.answer("GET", "Observation", b"<html>no</html>", content_type="text/html")

    found = await judged(peer, tmp_path, SEARCH, expression="Bundle.entry.exists()")

    assert found.verdict is Verdict.FAILED and "text/html" in found.found


async def test_a_warning_only_assertion_never_fails_a_script(peer: Peer, tmp_path: Path) -> None:
    peer.answer("GET", "Observation", BUNDLE)

    soft = make.assertion(responseCode="404", warningOnly=True, stopTestOnFail=True)

    result = await run(peer, tmp_path, make.case(SEARCH, soft, make.assertion(responseCode="200")))

    assert [a.verdict for a in result.tests[0].assertions] == [Verdict.WARNING, Verdict.PASSED]
    assert result.verdict is Verdict.PASSED


async def test_stop_on_fail_ends_the_test_and_not_the_script(peer: Peer, tmp_path: Path) -> None:
    peer.answer("GET", "Observation", BUNDLE)

    result = await run(
        peer,
        tmp_path,
        make.case(
            make.operation("read", resource="Task", params="t1"),
            make.assertion("the Task is there", responseCode="200", stopTestOnFail=True),
            make.assertion(resource="Task"),
            SEARCH,
        ),
        make.case(SEARCH, make.assertion(responseCode="200")),
    )

    first, second = result.tests
    assert [a.verdict for a in first.assertions] == [Verdict.FAILED, Verdict.SKIPPED]
    assert "the Task is there" in first.reason
    assert second.verdict is Verdict.PASSED and len(peer.sent("GET")) == 2


async def test_a_refused_connection_is_an_error_with_its_reason(tmp_path: Path) -> None:
    gone = Peer()
    gone.base = "http://127.0.0.1:9/fhir"

    result = await run(gone, tmp_path, make.case(SEARCH, make.assertion(responseCode="200")),
                       make.case(SEARCH, make.assertion(responseCode="200")))  # fmt: skip

    assert result.verdict is Verdict.ERROR and "request failed" in result.reason
    assert Verdict.FAILED not in result.counts
    assert result.tests[1].verdict is Verdict.SKIPPED


async def test_a_slow_peer_is_an_error_and_not_a_failure(peer: Peer, tmp_path: Path) -> None:
    async def slow(request: web.Request) -> web.StreamResponse:
        await asyncio.sleep(5)
        return web.Response()

    peer.answers["GET", "Observation"] = slow

    result = await run(
        peer, tmp_path, make.case(SEARCH, make.assertion(responseCode="200")), options={"seconds": 0.2}
    )

    assert result.verdict is Verdict.ERROR and "0.2 s" in result.reason


async def test_an_answer_that_breaks_off_is_an_error(peer: Peer, tmp_path: Path) -> None:
    async def torn(request: web.Request) -> web.StreamResponse:
        response = web.StreamResponse(headers={"Content-Length": "1000"})
        await response.prepare(request)
        await response.write(b"{")
        assert request.transport
        request.transport.abort()
        return response

    peer.answers["GET", "Observation"] = torn

    result = await run(peer, tmp_path, make.case(SEARCH, make.assertion(responseCode="404")))

    assert result.verdict is Verdict.ERROR


async def test_after_three_silent_scripts_the_rest_is_not_tried(tmp_path: Path) -> None:
    gone = Peer()
    gone.base = "http://127.0.0.1:9/fhir"
    one = make.script(make.case(SEARCH, make.assertion(responseCode="200")))
    suite = make.suite(tmp_path, {f"{n}.xml": one for n in range(5)})

    result = await run_suite(gone, suite, concurrency=1)

    assert [bool(s.tests) for s in result.scripts] == [True, True, True, False, False]
    assert exit_code(result) == 2


async def test_what_the_peer_must_send_itself_is_unchecked(peer: Peer, tmp_path: Path) -> None:
    peer.answer("GET", "Observation", BUNDLE)
    script = make.script(
        make.case(
            make.operation("create", origin=2, destination=2, params="/t1"),
            make.assertion("the notification comes", responseCode="202"),
        ),
        make.case(SEARCH, make.assertion(responseCode="200")),
        parties=make.SERVER + make.party("origin", 2, True) + make.party("destination", 2, False),
    )

    result = await run_suite(peer, make.suite(tmp_path, {"one.xml": script}))

    assert result.scripts[0].words == "passed but for 1 unchecked"
    assert peer.sent("POST") == []


@pytest.mark.parametrize(
    ("params", "expected"),
    [
        ("?code=http://loinc.org|8480-6&patient=Patient/p1", Verdict.PASSED),
        ("?code=http://loinc.org|8480-6&patient=p1&date=ge2024", Verdict.FAILED),
    ],
)
async def test_the_self_link_rule_compares_decoded_parameters(
    peer: Peer, tmp_path: Path, params: str, expected: Verdict
) -> None:
    peer.answer("GET", "Observation", BUNDLE)

    result = await run(
        peer,
        tmp_path,
        make.rule("self", "rules/assert_response_queryParamsInSelfLink.groovy"),
        make.case(
            make.operation("search", resource="Observation", params=params),
            make.assertion(rule=("self", {})),
        ),
    )

    assert result.verdict is expected


async def test_an_unknown_rule_is_unchecked(peer: Peer, tmp_path: Path) -> None:
    result = await run(
        peer, tmp_path, make.case(SEARCH, make.assertion(rule=("x", {})), make.assertion(responseCode="404"))
    )

    assert result.words == "passed but for 1 unchecked"


async def test_client_role_scripts_are_listed_and_not_run(peer: Peer, tmp_path: Path) -> None:
    suite = make.suite(tmp_path, {"one.xml": make.script(make.case(SEARCH), parties=make.CLIENT)})

    result = await run_suite(peer, suite)

    assert result.scripts[0].verdict is Verdict.SKIPPED and "client" in result.scripts[0].reason
    assert peer.asked == [] and exit_code(result) == 2


@pytest.mark.parametrize(("code", "most"), [("search", 4), ("create", 1)])
async def test_scripts_run_together_only_where_all_of_them_read(
    peer: Peer, tmp_path: Path, code: str, most: int
) -> None:
    now = {"running": 0, "most": 0}

    async def counted(request: web.Request) -> web.StreamResponse:
        now["running"] += 1
        now["most"] = max(now["most"], now["running"])
        await asyncio.sleep(0.05)
        now["running"] -= 1
        return web.Response()

    peer.answers["GET", "Task"] = peer.answers["POST", "Task"] = counted
    one = make.script(make.case(make.operation(code, resource="Task"), make.assertion(responseCode="200")))

    result = await run_suite(peer, make.suite(tmp_path, {f"{n}.xml": one for n in range(8)}))

    assert now["most"] == most
    assert [s.path for s in result.scripts] == [f"{n}.xml" for n in range(8)]


@pytest.mark.parametrize("url", ["ftp://host/fhir", "host", "http://"])
async def test_an_address_that_is_none_is_refused_before_anything_is_sent(tmp_path: Path, url: str) -> None:
    suite = make.suite(tmp_path, {"one.xml": make.script()})

    with pytest.raises(Invalid):
        await check(CheckOptions(url=url, suite=suite))
