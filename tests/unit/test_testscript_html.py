"""The web page of a run: complete, safe to open, and to be read without colour, script or other files."""

from __future__ import annotations

import json
import re
from collections import Counter
from datetime import datetime
from itertools import pairwise
from pathlib import Path

import pytest
from lxml import etree, html
from typer.testing import CliRunner

from schakel.cli import app
from schakel.conformance import html_report, report
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
)
from schakel.kernel.clock import AMSTERDAM

EXCHANGE = Exchange.of(
    Request("POST", "http://peer/Task?a=<b>", (("Authorization", "Bearer secret"),), b"<Task/>"),
    Response(418, (("X-Answer", "teapot"),), b"<script>alert(1)</script>"),
)


def assertion(verdict: Verdict, text: str = "") -> AssertionResult:
    seen = EXCHANGE if verdict is Verdict.FAILED else None
    return AssertionResult(verdict, text or f"it is {verdict.value}", "Task.status = 'x'", "draft", seen)


def script(path: str, *verdicts: Verdict, unit: str = "one") -> ScriptResult:
    test = CaseResult("t", f"test of {path}", [assertion(verdict) for verdict in verdicts])
    return ScriptResult(path, f"title of {path}", path, "stu3", [test], unit=unit)


@pytest.fixture(scope="module")
def result() -> SuiteResult:
    """A run of two units with every verdict in it."""
    return SuiteResult(
        "http://peer/fhir",
        "suite",
        datetime(2026, 3, 1, 12, tzinfo=AMSTERDAM),
        [
            LoadResult(
                "one/_Load/load.xml", 7, [LoadFailure("put Task", "refused & gone", EXCHANGE)], 1, "one"
            )
        ],
        [
            script("a/good.xml", Verdict.PASSED, Verdict.PASSED),
            script("a/bad.xml", *Verdict),
            script("b/soft.xml", Verdict.PASSED, Verdict.WARNING, Verdict.UNCHECKED),
            ScriptResult("c", "client", "c/client.xml", "stu3", [], Verdict.SKIPPED, "a client", unit="two"),
            ScriptResult("e", "broken", "c/broken.xml", "", [], Verdict.ERROR, "no XML", unit="two"),
        ],
        2.5,
    )


@pytest.fixture(scope="module")
def page(result: SuiteResult) -> html.HtmlElement:
    return html.document_fromstring(html_report.html(result))


def words(element: etree._Element) -> str:
    """The text a person reads, with single spaces."""
    return re.sub(r"\s+", " ", "".join(map(str, element.itertext()))).strip()


def badges(element: html.HtmlElement) -> Counter[str]:
    """The verdicts that stand before the assertions below an element."""
    return Counter(
        words(b).split(" ", 1)[1] for b in element.xpath(".//li/p[1]/span[contains(@class,'badge')]")
    )


def test_the_page_loads_nothing_and_runs_nothing(page: html.HtmlElement) -> None:
    assert page.xpath("//script | //link | //img | //iframe | //@onclick | //@src") == []
    addresses = page.xpath("//@href")
    assert addresses and all(address.startswith("#") for address in addresses)
    assert "url(" not in page.xpath("string(//style)") and "@import" not in page.xpath("string(//style)")


def test_what_a_peer_sent_is_shown_and_never_markup(page: html.HtmlElement) -> None:
    shown = words(page)
    assert "<script>alert(1)</script>" in shown and "http://peer/Task?a=<b>" in shown


def test_it_can_be_found_through_by_headings_and_links(page: html.HtmlElement) -> None:
    levels = [int(h.tag[1]) for h in page.iter("h1", "h2", "h3", "h4", "h5", "h6")]
    assert levels[0] == 1 and levels.count(1) == 1
    assert all(after - before <= 1 for before, after in pairwise(levels))
    assert page.get("lang") == "en" and page.xpath("//title")[0].text.endswith("suite")
    assert {words(h) for h in page.iter("h3")} == {"one", "two"}
    assert [words(h) for h in page.iter("h4")] == ["a", "b", "c"]
    ids = page.xpath("//@id")
    assert len(set(ids)) == len(ids)
    for address in page.xpath("//@href"):
        assert address[1:] in ids
    for label in page.xpath("//@aria-labelledby"):
        assert label in ids
    assert all(table.find("caption") is not None for table in page.iter("table"))
    assert all(cell.get("scope") for cell in page.iter("th"))


def test_every_assertion_is_there_with_its_verdict_as_a_word(
    page: html.HtmlElement, result: SuiteResult
) -> None:
    expected = Counter({html_report.word(v): result.counts[v] for v in Verdict})
    assert badges(page) == expected
    assert len({words(b)[0] for b in page.xpath("//span[contains(@class,'badge')]")}) == len(Verdict)


def test_the_counts_are_those_of_the_other_reports(page: html.HtmlElement, result: SuiteResult) -> None:
    told = json.loads(report.as_json(result))
    rows = {
        words(r.find("th")): [words(c) for c in r.findall("td")] for r in page.xpath("//table[1]/tbody/tr")
    }
    assert len(rows) == len(Verdict)
    for name, (scripts, assertions, meaning) in rows.items():
        verdict = {"not run": "skipped"}.get(name.split(" ", 1)[1], name.split(" ", 1)[1])
        assert int(scripts) == sum(s["verdict"] == verdict for s in told["scripts"])
        assert int(assertions) == told["counts"][verdict] and meaning
    assert report.closing(result) in words(page)


def test_a_failed_assertion_shows_request_status_expression_and_what_was_found(
    page: html.HtmlElement,
) -> None:
    [failed] = page.xpath("//li[p[1]/span[contains(@class,'failed')]][.//dl]")
    text = words(failed)
    for part in (
        "POST http://peer/Task?a=<b>",
        "status 418",
        "Task.status = 'x'",
        "draft",
        "X-Answer: teapot",
    ):
        assert part in text
    assert "secret" not in words(page) and "Bearer ****" in text


def test_what_failed_is_open_and_listed_first_and_the_rest_is_folded(page: html.HtmlElement) -> None:
    attention = page.xpath("//section[@aria-labelledby='attention']//a")
    assert [words(a) for a in attention] == ["a/bad.xml", "c/broken.xml"]
    scripts = {
        re.findall(r"[^ ]+\.xml", words(d.find("summary")))[0]: d for d in page.xpath("//details[@id]")
    }
    assert {path for path, part in scripts.items() if "open" in part.attrib} == {"a/bad.xml", "c/broken.xml"}
    assert "no XML" in words(scripts["c/broken.xml"])


def test_a_load_that_failed_says_which_step_and_why(page: html.HtmlElement) -> None:
    assert "1 not done" in words(page) and "put Task: refused & gone" in words(page)


def test_a_run_in_which_nothing_failed_says_so() -> None:
    calm = SuiteResult("http://peer", "s", datetime.now(AMSTERDAM), [], [script("a.xml", Verdict.PASSED)])
    page = html.document_fromstring(html_report.html(calm))
    assert "No script failed or ended in an error." in words(page)
    assert page.xpath("//details[@open]") == []


def test_a_report_in_a_folder_that_is_not_there_is_refused_before_anything_is_sent(tmp_path: Path) -> None:
    done = CliRunner().invoke(
        app,
        ["check", "http://127.0.0.1:1/fhir", "--suite", str(tmp_path), "--html", str(tmp_path / "no/x.html")],
    )
    assert done.exit_code == 2
    assert "there is no folder" in done.output
