"""A run as text for a person, as JSON for a program, as JUnit XML for a build server and as a page; and the declaration
of conformity that the API library takes."""

from __future__ import annotations

from functools import cache
from typing import Any

import orjson
from jinja2 import Template
from lxml import etree

from schakel.conformance.api_requirements.catalogue import VERSION, catalogue
from schakel.conformance.api_requirements.model import ApiResult, Requirement, Result, Verdict
from schakel.conformance.pages import template

SIGNS = {Verdict.PASSED: "✓", Verdict.FAILED: "✗", Verdict.UNKNOWN: "?", Verdict.NOT_APPLICABLE: "–"}
WORDS = {
    Verdict.PASSED: "pass",
    Verdict.FAILED: "fail",
    Verdict.UNKNOWN: "could not check",
    Verdict.NOT_APPLICABLE: "not applicable",
}
MEANINGS = {
    Verdict.PASSED: "looked at by a machine, or declared by a person with evidence, and it holds",
    Verdict.FAILED: "it does not hold",
    Verdict.UNKNOWN: "says nothing about the API: no answer, or only a person can say it",
    Verdict.NOT_APPLICABLE: "it is not about this API; the reason says why",
}
_STYLES = {
    Verdict.PASSED: "passed",
    Verdict.FAILED: "failed",
    Verdict.UNKNOWN: "unchecked",
    Verdict.NOT_APPLICABLE: "skipped",
}
"""The styles that the report of a suite has for the same."""

_CONFORMITY = {
    Verdict.PASSED: "CONFORMANT",
    Verdict.FAILED: "NOT_CONFORMANT",
    Verdict.NOT_APPLICABLE: "NOT_APPLICABLE",
}


def text(result: ApiResult) -> str:
    """A line for each requirement, below it the parts that have another verdict, and the closing line."""
    lines = [
        f"API requirements {VERSION}, level {result.standard}, at {result.url}, "
        f"{result.started.isoformat(timespec='minutes')}",
        "",
    ]
    for one in result.whole:
        lines.append(
            f"{WORDS[one.verdict]:<15} {one.code:<8} {one.level:<7} {catalogue()[one.code].short.en}"
        )
        lines += _told(one)
        for part in result.parts(one.code):
            if part.verdict is not one.verdict and part.verdict is not Verdict.NOT_APPLICABLE:
                lines.append(f"    {WORDS[part.verdict]}: {part.key} {_short(part)}")
                lines += [f"    {line}" for line in _told(part)]
    return "\n".join([*lines, "", closing(result)]) + "\n"


def _told(one: Result) -> list[str]:
    return [f"    {one.reason.en}" + (f" [{one.evidence}]" if one.evidence else "")]


def _short(part: Result) -> str:
    sub = next((sub for sub in catalogue()[part.code].subs if sub.number == part.sub), None)
    return sub.short.en if sub else catalogue()[part.code].short.en


def closing(result: ApiResult) -> str:
    """The counts in one line, what must hold and fails first."""
    counts = result.counts
    should = counts[Verdict.FAILED] - len(result.failed)
    parts = [f"{len(result.failed)} fail"]
    parts += [f"{should} recommended and not followed"] if should else []
    parts += [
        f"{counts[verdict]} {WORDS[verdict]}"
        for verdict in (Verdict.PASSED, Verdict.UNKNOWN, Verdict.NOT_APPLICABLE)
    ]
    return f"{len(result.whole)} requirements: {', '.join(parts)}"


def as_json(result: ApiResult) -> bytes:
    """Every result, of requirements and their parts, with its reason in both languages."""
    table = {
        "summary": closing(result),
        "requirementsVersion": VERSION,
        "url": result.url,
        "level": result.standard.value,
        "started": result.started.isoformat(),
        "seconds": round(result.seconds, 3),
        "counts": {verdict.value: number for verdict, number in result.counts.items()},
        "results": [_row(one) for one in result.results],
    }
    return orjson.dumps(table, option=orjson.OPT_INDENT_2) + b"\n"


def _row(one: Result) -> dict[str, Any]:
    return {
        "code": one.code,
        "sub": one.sub,
        "level": one.level.value,
        "verdict": one.verdict.value,
        "reason": {"nl": one.reason.nl, "en": one.reason.en},
        "evidence": one.evidence,
        "by": one.by,
        "at": one.at.isoformat(),
    }


def junit(result: ApiResult) -> bytes:
    """A testsuite with a testcase for each requirement. A recommendation that is not followed is skipped, as what could
    not be checked is: a build does not fail by it."""
    cases = [_case(result, one) for one in result.whole]
    root = etree.Element("testsuites", name=f"API requirements {VERSION}", time=f"{result.seconds:.3f}")
    suite = etree.SubElement(
        root,
        "testsuite",
        name=f"{result.standard} {result.url}",
        tests=str(len(cases)),
        failures=str(sum(case.find("failure") is not None for case in cases)),
        errors="0",
        skipped=str(sum(case.find("skipped") is not None for case in cases)),
        time=f"{result.seconds:.3f}",
    )
    suite.extend(cases)
    return etree.tostring(root, xml_declaration=True, encoding="UTF-8", pretty_print=True)


def _case(result: ApiResult, one: Result) -> etree._Element:
    case = etree.Element("testcase", name=f"{one.code} {_short(one)}", classname=VERSION, time="0")
    if one.verdict is Verdict.PASSED:
        return case
    word = "failure" if one in result.failed else "skipped"
    child = etree.SubElement(case, word, message=_clean(f"{WORDS[one.verdict]}: {one.reason.en}"))
    child.text = _clean(
        "\n".join(f"{part.key} {part.verdict}: {part.reason.en}" for part in result.parts(one.code))
    )
    return case


def _clean(value: str) -> str:
    """`value` without what XML cannot hold."""
    return "".join(c if c in "\t\n" or (c >= " " and c not in "\ufffe\uffff") else "\ufffd" for c in value)


def html(result: ApiResult) -> bytes:
    """One page that needs no script and no other file, UTF-8."""
    return (
        _template()
        .render(
            heading="API requirements",
            result=result,
            begun=result.started,
            closing=closing(result),
            version=VERSION,
        )
        .encode()
    )


@cache
def _template() -> Template:
    return template(
        "api_requirements.html",
        sign=SIGNS.__getitem__,
        word=WORDS.__getitem__,
        style=_STYLES.__getitem__,
        verdicts=tuple(Verdict),
        meanings=MEANINGS,
        short=_short,
    )


def _specified(requirement: Requirement) -> bool:
    """Whether a requirement belongs to the declaration of a REST specification."""
    return "spec" in requirement.roles and requirement.style != "soap"


def declaration(result: ApiResult) -> bytes:
    """The declaration of conformity of a REST specification, as the API library takes it, UTF-8 JSON.

    It has what the requirements at the level asked ask of who writes a specification. What could not be checked is left
    out: it is neither conformant nor not, and `undeclared` names it.
    """
    table = {
        "requirementsVersion": VERSION,
        "requirements": {
            one.key: {"conformityType": _CONFORMITY[one.verdict], "remarks": _remarks(one)}
            for one in result.results
            if _specified(catalogue()[one.code]) and one.verdict in _CONFORMITY
        },
    }
    return orjson.dumps(table, option=orjson.OPT_INDENT_2) + b"\n"


def undeclared(result: ApiResult) -> tuple[str, ...]:
    """The keys that a declaration of a REST specification needs and that this run could not fill in."""
    made = {one.key for one in result.results if one.verdict in _CONFORMITY}
    return tuple(
        key for one in catalogue().values() if _specified(one) for key in one.keys if key not in made
    )


def _remarks(one: Result) -> str:
    told = one.reason.en[:1].upper() + one.reason.en[1:]
    seen = f" Evidence: {one.evidence}." if one.evidence else ""
    return f"{told}.{seen} Seen {one.at.date().isoformat()}."
