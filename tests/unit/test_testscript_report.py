"""Verdicts, exit codes and the three forms of a report."""

from __future__ import annotations

import json
from datetime import datetime

import pytest
from lxml import etree

from schakel.conformance import report
from schakel.conformance.client import Request, Response
from schakel.conformance.results import (
    AssertionResult,
    CaseResult,
    Exchange,
    LoadFailure,
    LoadResult,
    ScriptResult,
    SuiteResult,
    Verdict,
    exit_code,
    mask,
)
from schakel.kernel.clock import AMSTERDAM

MOMENT = datetime(2024, 3, 1, 12, tzinfo=AMSTERDAM)
EXCHANGE = Exchange.of(
    Request("GET", "http://peer/Task/1", (("Authorization", "Bearer secret"), ("X-Key", "k")), None,
            frozenset({"x-key"})),
    Response(200, (("Content-Type", "application/fhir+json"),), b'{"resourceType":"Task"}' + b" " * 3000),
)  # fmt: skip


def script(*verdicts: Verdict, path: str = "one.xml", reason: str = "") -> ScriptResult:
    """A script of one test with an assertion per verdict."""
    assertions = [
        AssertionResult(
            v, f"it is {v.value}", "this", f"that {v.value}", EXCHANGE if v is Verdict.FAILED else None
        )
        for v in verdicts
    ]
    return ScriptResult("s", "S", path, "r4", [CaseResult("t", "a test", assertions)], None, reason, 0.5)


def suite(*scripts: ScriptResult, load: LoadResult | None = None) -> SuiteResult:
    """A run of these scripts."""
    return SuiteResult("http://peer", "suite", MOMENT, [load] if load else [], list(scripts), 1.0)


P, F, W, U, E, S = (
    Verdict.PASSED, Verdict.FAILED, Verdict.WARNING, Verdict.UNCHECKED, Verdict.ERROR, Verdict.SKIPPED
)  # fmt: skip


@pytest.mark.parametrize(
    ("verdicts", "words"),
    [
        ((P, P), "passed"),
        ((P, W), "passed"),
        ((P, U, U), "passed but for 2 unchecked"),
        ((U, U), "unchecked"),
        ((P, F, S), "failed"),
        ((P, E), "error"),
        ((F, E), "failed"),
        ((), "passed"),
    ],
)
def test_a_script_is_as_good_as_its_worst_assertion(verdicts: tuple[Verdict, ...], words: str) -> None:
    assert script(*verdicts).words == words


def test_a_script_that_lost_the_line_is_an_error_even_when_all_before_passed() -> None:
    assert script(P, reason="no answer").verdict is E


@pytest.mark.parametrize(
    ("result", "code"),
    [
        (suite(script(P)), 0),
        (suite(script(P, U)), 0),
        (suite(script(P), script(F)), 1),
        (suite(script(F), script(E)), 1),
        (suite(script(P), script(E)), 2),
        (suite(script(U)), 2),
        (suite(), 2),
        (suite(script(P), load=LoadResult("load", 0, [LoadFailure("PUT", "422")])), 2),
    ],
)
def test_the_exit_code_tells_failures_from_errors(result: SuiteResult, code: int) -> None:
    assert exit_code(result) == code


def test_the_closing_line_counts_scripts_and_assertions() -> None:
    not_run = ScriptResult("c", "C", "c.xml", "r4", [], S, "client role")
    result = suite(script(P), script(P, U, U), script(P, U), script(F, S), script(E), script(U), not_run)

    assert report.closing(result) == (
        "7 scripts: 1 failed, 1 errors, 1 passed, 2 passed but for 3 unchecked, 1 wholly unchecked, "
        "1 not run (assertions: 3 passed, 1 failed, 4 unchecked, 1 error, 1 skipped)"
    )


def test_the_text_shows_what_failed_with_its_exchange_and_hides_credentials() -> None:
    load = LoadResult("load.xml", 3, [LoadFailure("PUT Task/1", "found 422", EXCHANGE)])

    shown = report.text(suite(script(P, F, W, U), load=load))

    for line in (
        "failed  one.xml", "test t: a test: failed", "failed: it is failed", "expected: this",
        "found: that failed", "< 200",
        "> GET http://peer/Task/1", "> Authorization: Bearer ****", "> X-Key: ****", "more characters",
        "warning: it is warning", "1 x that unchecked", "PUT Task/1: found 422",
    ):  # fmt: skip
        assert line in shown
    assert "secret" not in shown and "it is passed" not in shown


def test_junit_has_a_case_for_each_test_and_tells_failure_from_error() -> None:
    not_run = ScriptResult("c", "C", "c.xml", "r4", [], S, "client role")
    load = LoadResult("load.xml", 3, [LoadFailure("PUT", "422")])

    root = etree.fromstring(
        report.junit(suite(script(P, U), script(F), script(E), script(U), not_run, load=load))
    )

    told = [[child.tag for child in case] for case in root.iter("testcase")]
    assert told == [["error"], ["system-out"], ["failure"], ["error"], ["skipped", "system-out"], ["skipped"]]
    assert [(s.get("failures"), s.get("errors"), s.get("skipped")) for s in root] == [
        ("0", "1", "0"), ("0", "0", "0"), ("1", "0", "0"), ("0", "1", "0"), ("0", "0", "1"), ("0", "0", "1"),
    ]  # fmt: skip


def test_junit_survives_characters_that_xml_cannot_hold() -> None:
    result = script(F)
    result.tests[0].assertions[0] = AssertionResult(F, "odd \x00\x0b", "", "\ufffe", None)

    assert etree.fromstring(report.junit(suite(result))).find(".//failure") is not None


def test_json_holds_the_tree_and_the_counts() -> None:
    told = json.loads(report.as_json(suite(script(P, F))))

    assert told["summary"].startswith("1 scripts: 1 failed") and told["counts"]["failed"] == 1
    assert told["moment"] == "2024-03-01T12:00:00+01:00"
    (one,) = told["scripts"]
    assert (one["verdict"], one["tests"][0]["verdict"]) == ("failed", "failed")
    assert one["tests"][0]["assertions"][1]["exchange"]["status"] == 200


@pytest.mark.parametrize(
    ("value", "shown"),
    [("Bearer abc", "Bearer ****"), ("abc", "****"), ("a b c", "a ****"), ("s3cret x", "****")],
)
def test_a_credential_shows_its_scheme_at_most(value: str, shown: str) -> None:
    assert mask(value) == shown


@pytest.mark.parametrize("body", [b"%PDF-1.7 ...", b"\x00\x01"])
def test_binary_content_is_named_and_not_shown(body: bytes) -> None:
    shown = Exchange.of(Request("GET", "http://peer", ()), Response(200, (), body))

    assert shown.response_body == f"({len(body)} bytes of binary content)"
