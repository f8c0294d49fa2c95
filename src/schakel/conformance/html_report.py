"""A run as one web page that can be opened, sent and printed without anything else.

It needs no script and no other file; what it says is what the JSON report says. Counts come first, then what needs
attention, then every unit, folder, script and test under its own heading or in a part that opens.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from functools import cache
from itertools import groupby
from operator import attrgetter
from pathlib import PurePosixPath

from jinja2 import Template

from schakel.conformance.pages import template
from schakel.conformance.report import closing, unchecked_reasons
from schakel.conformance.results import (
    AssertionResult,
    CaseResult,
    LoadResult,
    ScriptResult,
    SuiteResult,
    Verdict,
)

_SIGNS = {
    Verdict.PASSED: "✓",
    Verdict.FAILED: "✗",
    Verdict.WARNING: "!",
    Verdict.UNCHECKED: "?",
    Verdict.ERROR: "⚠",
    Verdict.SKIPPED: "–",
}
_WORDS = {Verdict.SKIPPED: "not run"}
MEANINGS = {
    Verdict.PASSED: "looked at, and it held",
    Verdict.FAILED: "looked at, and it did not hold",
    Verdict.WARNING: "did not hold, and the suite only recommends it; never counts as failed",
    Verdict.UNCHECKED: "could not be looked at by this program; never counts as passed",
    Verdict.ERROR: "says nothing about the system under test: no answer, a value the tester must give, "
    "or a mistake in the script or in this program",
    Verdict.SKIPPED: "not reached, or not meant for a server",
}
"""What each verdict says about the system under test."""

_TOLD = (Verdict.FAILED, Verdict.ERROR, Verdict.WARNING, Verdict.UNCHECKED, Verdict.SKIPPED, Verdict.PASSED)
"""The order in which the assertions of a test are told: what needs attention first."""


@dataclass(frozen=True, slots=True)
class _Folder:
    path: str
    scripts: Sequence[ScriptResult]


@dataclass(frozen=True, slots=True)
class _Unit:
    """Scripts that share one set of data, with the load of it."""

    name: str
    loads: Sequence[LoadResult]
    folders: Sequence[_Folder]

    @property
    def scripts(self) -> list[ScriptResult]:
        """All scripts of all folders."""
        return [script for folder in self.folders for script in folder.scripts]


def html(result: SuiteResult) -> bytes:
    """The page, UTF-8."""
    page = _template().render(
        heading="Conformance report",
        result=result,
        begun=result.moment,
        closing=closing(result),
        units=_units(result),
        numbers={id(script): number for number, script in enumerate(result.scripts, 1)},
        attention=[s for s in result.scripts if s.verdict in (Verdict.FAILED, Verdict.ERROR)],
        reasons=unchecked_reasons(result),
    )
    return page.encode()


@cache
def _template() -> Template:
    return template(
        "report.html",
        sign=_SIGNS.__getitem__,
        word=word,
        style=attrgetter("value"),
        id=id,
        verdicts=tuple(Verdict),
        meanings=MEANINGS,
        by_verdict=by_verdict,
        script_counts=script_counts,
        assertion_counts=assertion_counts,
        folded=folded,
    )


def _units(result: SuiteResult) -> list[_Unit]:
    """The scripts by unit and folder, in the order in which they ran."""
    units = []
    loads = {unit: list(found) for unit, found in groupby(result.loads, lambda load: load.unit)}
    for name, scripts in groupby(result.scripts, lambda script: script.unit):
        folders = [
            _Folder(path, list(found))
            for path, found in groupby(scripts, lambda s: str(PurePosixPath(s.path).parent))
        ]
        units.append(_Unit(name, loads.pop(name, []), folders))
    return [*units, *(_Unit(name, found, []) for name, found in loads.items())]


def word(verdict: Verdict) -> str:
    """A verdict as people read it."""
    return _WORDS.get(verdict, verdict.value)


def by_verdict(test: CaseResult) -> list[tuple[Verdict, list[AssertionResult]]]:
    """The assertions of a test, what needs attention first."""
    return [(v, found) for v in _TOLD if (found := [a for a in test.assertions if a.verdict is v])]


def script_counts(scripts: Iterable[ScriptResult]) -> Counter[Verdict]:
    """How many scripts ended with each verdict."""
    return Counter(script.verdict for script in scripts)


def assertion_counts(scripts: Iterable[ScriptResult]) -> Counter[Verdict]:
    """How many assertions in these scripts had each verdict."""
    return sum((script.counts for script in scripts), Counter[Verdict]())


def folded(verdict: Verdict) -> bool:
    """Whether a part with this verdict is closed until the reader opens it."""
    return verdict not in (Verdict.FAILED, Verdict.ERROR)
