"""What the conformance tests share: how a published suite is run on a node, and what must come out, exactly.

Expected numbers are worked out from the scripts: every assertion of every script must be looked at and hold, but
for validation against profiles, which is counted apart, and for what a test names as a defect of the suite.
"""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path

from tests.certificates import Files
from tests.nodes import RunningOrganisation
from tests.shared import shared

from schakel.conformance import CheckOptions, SuiteResult, Verdict, check, report
from schakel.conformance.client import Headers
from schakel.conformance.results import AssertionResult
from schakel.fhir.definitions import Version

SUITES = "testscripts"
_PROFILE = "profile "
"""How the expectation of an assertion that validates against a profile begins."""


@dataclass(frozen=True)
class Expected:
    """What a run must give: `scripts` server-role scripts of which all but the `defects` pass; of their assertions
    `passed` hold and `profiles` ask for validation against a profile, which is unchecked. `defects` says per
    script, by its path, why one assertion of it fails: the cause is in the suite.
    """

    scripts: int
    passed: int
    profiles: int
    defects: Mapping[str, str] = field(default_factory=dict)


async def run(
    organisation: RunningOrganisation,
    suite: str,
    version: Version,
    *,
    url: str = "",
    headers: Headers = (),
    tokens: Path | None = None,
    load: bool = True,
    variables: Mapping[str, str] | None = None,
    shows: Files | None = None,
    trusts: Sequence[Path] = (),
) -> SuiteResult:
    """Run a suite (a path below the shared suites). With `load` its data are loaded through the internal door
    first. Without `url`, where `headers` go, it is run on that door too. The client certificate is that of `shows`, and
    servers are believed by the roots in the files `trusts`.
    """
    internal = organisation.internal_base(version)
    key = (("X-API-Key", organisation.key),)
    return await check(
        CheckOptions(
            url or internal,
            shared(SUITES, suite),
            load=internal if load else None,
            headers=headers if url else key,
            load_headers=key,
            tokens=tokens or shared(SUITES, "tokens.json"),
            variables=variables or {},
            cacerts=tuple(trusts),
            cert=shows.certificate if shows else None,
            key=shows.key if shows else None,
        )
    )


def assertions(result: SuiteResult, verdict: Verdict) -> list[AssertionResult]:
    """The assertions with this verdict."""
    every = (a for script in result.scripts for test in script.tests for a in test.assertions)
    return [a for a in every if a.verdict is verdict]


def assert_as_expected(result: SuiteResult, expected: Expected, *, loaded: Collection[int] = ()) -> None:
    """The run gave exactly that, and each load script made as many requests as `loaded` says, without failure."""
    told = report.text(result)
    assert [load.done for load in result.loads] == list(loaded) and not result.load_failures, told
    failed = {script.path for script in result.with_verdict(Verdict.FAILED)}
    assert failed == set(expected.defects), told
    assert not result.with_verdict(Verdict.ERROR) and not result.with_verdict(Verdict.UNCHECKED), told
    assert len(result.with_verdict(Verdict.PASSED)) + len(failed) == expected.scripts, told
    unchecked = assertions(result, Verdict.UNCHECKED)
    assert all(a.expected.startswith(_PROFILE) for a in unchecked), told
    found = {verdict: result.counts[verdict] for verdict in Verdict if result.counts[verdict]}
    wanted = {
        Verdict.PASSED: expected.passed,
        Verdict.FAILED: len(expected.defects),
        Verdict.UNCHECKED: expected.profiles,
    }
    assert found == {verdict: count for verdict, count in wanted.items() if count}, told
