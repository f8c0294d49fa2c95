"""What a run found: one tree from the suite down to each assertion, without any rendering.

A verdict says what is known about the *peer*. What could not be looked at is `UNCHECKED`, what went wrong
on this side or on the line is `ERROR`; neither is ever counted as passed, nor held against the peer as
failed.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable
from dataclasses import dataclass, field
from datetime import datetime
from enum import StrEnum

from schakel.conformance.client import Request, Response

BODY_SHOWN = 1500
_SECRET_HEADERS = frozenset({"authorization", "proxy-authorization", "cookie", "set-cookie", "x-api-key"})


class Verdict(StrEnum):
    """What is known after one assertion, one test or one script."""

    PASSED = "passed"
    FAILED = "failed"
    WARNING = "warning"
    UNCHECKED = "unchecked"
    ERROR = "error"
    SKIPPED = "skipped"


@dataclass(frozen=True, slots=True)
class Exchange:
    """One request and its answer as shown in a report: secrets masked, bodies cut at `BODY_SHOWN`
    characters.
    """

    method: str
    url: str
    request_headers: tuple[tuple[str, str], ...]
    request_body: str
    status: int | None
    response_headers: tuple[tuple[str, str], ...]
    response_body: str

    @classmethod
    def of(cls, request: Request, response: Response | None) -> Exchange:
        """The shown form of `request` and what came back (None: nothing did)."""
        return cls(
            method=request.method,
            url=request.url,
            request_headers=masked(request.headers, request.secret),
            request_body=shortened(request.body or b""),
            status=response.status if response else None,
            response_headers=masked(response.headers) if response else (),
            response_body=shortened(response.body) if response else "",
        )


@dataclass(frozen=True, slots=True)
class AssertionResult:
    """One assertion: what was asked (`expected`), what was `found`, and the exchange it is about."""

    verdict: Verdict
    description: str
    expected: str
    found: str = ""
    exchange: Exchange | None = None


@dataclass(slots=True)
class CaseResult:
    """One `test` of a script, or its setup or teardown; `reason` says why it stopped or was not run."""

    id: str
    name: str
    assertions: list[AssertionResult] = field(default_factory=list)
    reason: str = ""
    seconds: float = 0.0

    @property
    def counts(self) -> Counter[Verdict]:
        """How many assertions had each verdict."""
        return Counter(a.verdict for a in self.assertions)

    @property
    def verdict(self) -> Verdict:
        """Failed or error if one assertion was; unchecked when nothing could be looked at; else passed."""
        found = {a.verdict for a in self.assertions}
        for verdict in (Verdict.FAILED, Verdict.ERROR):
            if verdict in found:
                return verdict
        if self.reason:
            return Verdict.SKIPPED
        if found and found <= {Verdict.UNCHECKED, Verdict.SKIPPED}:
            return Verdict.UNCHECKED
        return Verdict.PASSED


@dataclass(slots=True)
class ScriptResult:
    """One script. `reason` says why it was not run, or which error ended it; `unit` names the part of the suite
    that shares data with it.
    """

    id: str
    title: str
    path: str
    version: str
    tests: list[CaseResult] = field(default_factory=list)
    verdict_when_not_run: Verdict | None = None
    reason: str = ""
    seconds: float = 0.0
    unit: str = ""

    @property
    def counts(self) -> Counter[Verdict]:
        """How many assertions had each verdict."""
        return sum((test.counts for test in self.tests), Counter[Verdict]())

    @property
    def verdict(self) -> Verdict:
        """Failed if an assertion failed; else error if something could not be done."""
        if self.verdict_when_not_run:
            return self.verdict_when_not_run
        verdicts = {t.verdict for t in self.tests}
        if Verdict.FAILED in verdicts:
            return Verdict.FAILED
        if Verdict.ERROR in verdicts or self.reason:
            return Verdict.ERROR
        if Verdict.SKIPPED in verdicts:
            return Verdict.ERROR
        if Verdict.PASSED in verdicts:
            return Verdict.PASSED
        return Verdict.UNCHECKED if verdicts else Verdict.SKIPPED

    @property
    def words(self) -> str:
        """The verdict as a person reads it: `passed but for 27 unchecked`."""
        unchecked = self.counts[Verdict.UNCHECKED]
        if self.verdict is Verdict.PASSED and unchecked:
            return f"passed but for {unchecked} unchecked"
        return self.verdict.value


@dataclass(frozen=True, slots=True)
class LoadFailure:
    """One step of a load script that did not succeed."""

    step: str
    reason: str
    exchange: Exchange | None = None


@dataclass(slots=True)
class LoadResult:
    """What one load script did for a unit: how many requests succeeded, and each that did not."""

    path: str
    done: int = 0
    failures: list[LoadFailure] = field(default_factory=list)
    seconds: float = 0.0
    unit: str = ""


@dataclass(slots=True)
class SuiteResult:
    """A whole run. `moment` is the start, whose date is date T unless the tester gave another."""

    url: str
    suite: str
    moment: datetime
    loads: list[LoadResult] = field(default_factory=list)
    scripts: list[ScriptResult] = field(default_factory=list)
    seconds: float = 0.0

    @property
    def counts(self) -> Counter[Verdict]:
        """How many assertions of all scripts had each verdict."""
        return sum((s.counts for s in self.scripts), Counter[Verdict]())

    def with_verdict(self, verdict: Verdict) -> list[ScriptResult]:
        """The scripts that ended with `verdict`."""
        return [s for s in self.scripts if s.verdict is verdict]

    @property
    def load_failures(self) -> int:
        """How many load steps did not succeed."""
        return sum(len(load.failures) for load in self.loads)


def exit_code(result: SuiteResult) -> int:
    """0: something ran and nothing failed; 1: the peer failed an assertion; 2: errors, or nothing was run."""
    if result.with_verdict(Verdict.FAILED):
        return 1
    if result.with_verdict(Verdict.ERROR) or result.load_failures:
        return 2
    return 0 if result.with_verdict(Verdict.PASSED) else 2


def masked(
    headers: Iterable[tuple[str, str]], secret: frozenset[str] = frozenset()
) -> tuple[tuple[str, str], ...]:
    """`headers` with credentials replaced; the scheme of Authorization stays, for it explains many a 401."""
    return tuple(
        (name, mask(value) if name.lower() in _SECRET_HEADERS | secret else value) for name, value in headers
    )


def mask(value: str) -> str:
    """A credential that shows no more than its scheme."""
    scheme, space, rest = value.partition(" ")
    return f"{scheme} ****" if space and rest and scheme.isalpha() else "****"


def shortened(body: bytes, limit: int = BODY_SHOWN) -> str:
    """The beginning of `body` as text; says how much was left out. Binary content is named, not shown."""
    if body[:5] == b"%PDF-" or b"\0" in body[:1000]:
        return f"({len(body)} bytes of binary content)"
    text = body.decode("utf-8", "replace")
    return text if len(text) <= limit else f"{text[:limit]}... ({len(text) - limit} more characters)"
