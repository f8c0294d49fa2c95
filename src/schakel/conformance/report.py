"""A run as text for a person, as JUnit XML for a build server and as JSON for a program."""

from __future__ import annotations

import dataclasses
from collections import Counter
from collections.abc import Iterator
from datetime import datetime
from enum import StrEnum
from typing import Any

import orjson
from lxml import etree

from schakel.conformance.results import (
    AssertionResult,
    CaseResult,
    Exchange,
    LoadResult,
    ScriptResult,
    SuiteResult,
    Verdict,
)
from schakel.fhir.xml import writable

_TOLD = (Verdict.FAILED, Verdict.ERROR, Verdict.WARNING)


def text(result: SuiteResult) -> str:
    """The whole report: loads, a line per script with what went wrong below it, the reasons of what was not
    checked, and the closing line.
    """
    lines = [f"{result.suite} against {result.url}, {result.moment.isoformat(timespec='minutes')}", ""]
    for load in result.loads:
        lines += load_lines(load)
    for script in result.scripts:
        lines += script_lines(script)
    lines += _unchecked(result)
    lines += ["", closing(result)]
    return "\n".join(lines) + "\n"


def load_lines(load: LoadResult) -> list[str]:
    """What was loaded, and every step that was not."""
    word = "error" if load.failures else "loaded"
    lines = [f"{word:<8}{load.path}: {load.done} requests in {load.seconds:.1f} s"]
    for failure in load.failures:
        lines += [f"    {failure.step}: {failure.reason}", *_exchange(failure.exchange)]
    return lines


def script_lines(script: ScriptResult) -> list[str]:
    """A line for the script, and each assertion that failed, warned or went wrong with its evidence."""
    reason = f": {script.reason}" if script.reason else ""
    lines = [f"{script.words:<8}{' ' * (len(script.words) >= 8)}{script.path}{reason}"]
    for test in script.tests:
        told = [a for a in test.assertions if a.verdict in _TOLD]
        if told or test.verdict is Verdict.SKIPPED:
            reason = f" ({test.reason})" if test.reason else ""
            lines.append(f"  test {test.id}: {test.name}: {test.verdict.value}{reason}")
        shown: Exchange | None = None
        for assertion in told:
            lines.append(f"    {assertion.verdict.value}: {assertion.description}")
            lines += [f"      expected: {assertion.expected}"] if assertion.expected else []
            lines += [f"      found: {assertion.found}"] if assertion.found else []
            if assertion.exchange is not shown:
                lines += _exchange(assertion.exchange)
                shown = assertion.exchange
    return lines


def closing(result: SuiteResult) -> str:
    """The counts in one line: scripts by verdict, then assertions by verdict."""
    passed = result.with_verdict(Verdict.PASSED)
    but = [s for s in passed if s.counts[Verdict.UNCHECKED]]
    parts = [
        f"{len(result.with_verdict(Verdict.FAILED))} failed",
        f"{len(result.with_verdict(Verdict.ERROR))} errors",
        f"{len(passed) - len(but)} passed",
    ]
    if but:
        parts.append(f"{len(but)} passed but for {sum(s.counts[Verdict.UNCHECKED] for s in but)} unchecked")
    for verdict, words in ((Verdict.UNCHECKED, "wholly unchecked"), (Verdict.SKIPPED, "not run")):
        if count := len(result.with_verdict(verdict)):
            parts.append(f"{count} {words}")
    if result.load_failures:
        parts.append(f"{result.load_failures} load errors")
    counts = result.counts
    assertions = ", ".join(f"{counts[v]} {v.value}" for v in Verdict if counts[v]) or "none"
    return f"{len(result.scripts)} scripts: {', '.join(parts)} (assertions: {assertions})"


def junit(result: SuiteResult) -> bytes:
    """JUnit XML: a testsuite per script, a testcase per test of the script, one more for each load script."""
    root = etree.Element("testsuites", name=result.suite, time=f"{result.seconds:.3f}")
    for load in result.loads:
        cases = [_case(f"load {load.path}", load.path, load.seconds)]
        if load.failures:
            message = "\n".join(f"{f.step}: {f.reason}" for f in load.failures)
            _child(cases[0], "error", f"{len(load.failures)} steps failed", message)
        _suite(root, load.path, load.seconds, cases)
    for script in result.scripts:
        cases = [_test_case(script, test) for test in script.tests]
        if not cases:
            cases = [_case(script.id, script.path, script.seconds)]
            word = "error" if script.verdict is Verdict.ERROR else "skipped"
            _child(cases[0], word, script.reason, "")
        _suite(root, script.path, script.seconds, cases)
    return etree.tostring(root, xml_declaration=True, encoding="UTF-8", pretty_print=True)


def as_json(result: SuiteResult) -> bytes:
    """The whole result, with the verdict of each script and test, the counts and the closing line."""

    def plain(value: Any) -> Any:
        if isinstance(value, StrEnum):
            return value.value
        if isinstance(value, datetime):
            return value.isoformat()
        if isinstance(value, list | tuple):
            return [plain(item) for item in value]
        if not dataclasses.is_dataclass(value):
            return value
        out = {f.name: plain(getattr(value, f.name)) for f in dataclasses.fields(value)}
        if isinstance(value, ScriptResult | CaseResult):
            out = {"verdict": value.verdict.value, **out}
        if isinstance(value, ScriptResult | SuiteResult):
            out["counts"] = {verdict.value: value.counts[verdict] for verdict in Verdict}
        out.pop("verdict_when_not_run", None)
        return out

    return orjson.dumps({"summary": closing(result), **plain(result)}, option=orjson.OPT_INDENT_2) + b"\n"


def unchecked_reasons(result: SuiteResult) -> list[tuple[str, int]]:
    """Why assertions were left unchecked, and how many for each reason; the most frequent first."""
    every = (a for script in result.scripts for test in script.tests for a in test.assertions)
    return Counter(a.found for a in every if a.verdict is Verdict.UNCHECKED).most_common()


def _unchecked(result: SuiteResult) -> Iterator[str]:
    reasons = unchecked_reasons(result)
    if reasons:
        yield ""
        yield "Not checked:"
    for reason, count in reasons:
        yield f"  {count} x {reason}"


def _exchange(exchange: Exchange | None) -> list[str]:
    if exchange is None:
        return []
    lines = [f"      > {exchange.method} {exchange.url}"]
    lines += [f"      > {name}: {value}" for name, value in exchange.request_headers]
    lines += [f"      > {line}" for line in exchange.request_body.splitlines()]
    if exchange.status is None:
        return [*lines, "      < no answer"]
    lines.append(f"      < {exchange.status}")
    lines += [f"      < {name}: {value}" for name, value in exchange.response_headers]
    return lines + [f"      < {line}" for line in exchange.response_body.splitlines()]


def _suite(root: etree._Element, name: str, seconds: float, cases: list[etree._Element]) -> None:
    def count(word: str) -> str:
        return str(sum(case.find(word) is not None for case in cases))

    suite = etree.SubElement(
        root,
        "testsuite",
        name=writable(name),
        tests=str(len(cases)),
        failures=count("failure"),
        errors=count("error"),
        skipped=count("skipped"),
        time=f"{seconds:.3f}",
    )
    suite.extend(cases)


def _case(name: str, classname: str, seconds: float) -> etree._Element:
    return etree.Element(
        "testcase", name=writable(name), classname=writable(classname), time=f"{seconds:.3f}"
    )


def _test_case(script: ScriptResult, test: CaseResult) -> etree._Element:
    case = _case(f"{test.id} {test.name}".strip(), script.path, test.seconds)
    told = [a for a in test.assertions if a.verdict in (Verdict.FAILED, Verdict.ERROR)]
    word = {Verdict.FAILED: "failure", Verdict.ERROR: "error"}.get(test.verdict)
    if word:
        _child(case, word, told[0].description if told else test.reason, "\n\n".join(map(_evidence, told)))
    elif test.verdict is Verdict.SKIPPED:
        _child(case, "skipped", test.reason, "")
    elif test.verdict is Verdict.UNCHECKED:
        _child(case, "skipped", f"unchecked: {test.assertions[0].found}", "")
    rest = [a for a in test.assertions if a.verdict in (Verdict.UNCHECKED, Verdict.WARNING)]
    if rest:
        out = etree.SubElement(case, "system-out")
        out.text = writable("\n".join(f"{a.verdict.value}: {a.description}: {a.found}" for a in rest))
    return case


def _evidence(assertion: AssertionResult) -> str:
    lines = [f"{assertion.verdict.value}: {assertion.description}"]
    lines += [f"expected: {assertion.expected}", f"found: {assertion.found}", *_exchange(assertion.exchange)]
    return "\n".join(lines)


def _child(case: etree._Element, word: str, message: str, detail: str) -> None:
    child = etree.SubElement(case, word, message=writable(message))
    child.text = writable(detail)
