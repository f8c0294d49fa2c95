"""`conformance-...`: the published test suites that the region's file names, run against the organisation's endpoints.

Source: the suites themselves (FHIR TestScripts of Nictiz); what was asserted is in the report of `schakel check`.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from datetime import timedelta

from pydantic import SecretStr

from schakel.conformance import CheckOptions, SuiteResult, check
from schakel.conformance.results import Verdict
from schakel.kernel.outcomes import Outcome
from schakel.roadmap.checks.model import Check, Target, Unclear, found
from schakel.roadmap.checks.tools import Tools
from schakel.roadmap.evidence import Finding
from schakel.roadmap.model import Text
from schakel.roadmap.region import Organisation, Suite, SuiteCheck


async def _measure(id: SuiteCheck, target: Target, tools: Tools) -> Finding:
    suites = _of(target.organisation, id)
    results = [await _run(suite, target, tools) for suite in suites]
    return judged(id, results, "; ".join(f"{suite.folder.name} at {suite.url}" for suite in suites))


def judged(id: str, results: Sequence[SuiteResult], detail: str) -> Finding:
    """What all suites for the check `id` found together: one that fails makes it fail, one that could not be run leaves
    it unknown."""
    passed = failed = unclear = 0
    names: list[str] = []
    for result in results:
        failing = result.with_verdict(Verdict.FAILED)
        passed += len(result.with_verdict(Verdict.PASSED)) + len(result.with_verdict(Verdict.WARNING))
        failed += len(failing)
        unclear += len(result.with_verdict(Verdict.ERROR)) + result.load_failures
        names += [script.title for script in failing]
    facts = {"passed": passed, "failed": failed, "unclear": unclear}
    if failed:
        shown = ", ".join(names[:5]) + (", ..." if len(names) > 5 else "")
        reason = Text(
            f"{failed} van {passed + failed} tests slagen niet: {shown}.",
            f"{failed} of {passed + failed} tests do not pass: {shown}.",
        )
        return found(id, "fails", reason, detail, facts)
    if unclear or not passed:
        reason = Text(
            f"{unclear} tests konden niet worden gedaan, {passed} slaagden.",
            f"{unclear} tests could not be done, {passed} passed.",
        )
        return found(id, "unknown", reason, detail, facts)
    reason = Text(f"Alle {passed} tests slagen.", f"All {passed} tests pass.")
    return found(id, "holds", reason, detail, facts)


async def _run(suite: Suite, target: Target, tools: Tools) -> SuiteResult:
    """The result of one suite, which takes one place at its host. Raises `Unclear` for one that cannot be read."""
    options = CheckOptions(
        url=suite.url,
        suite=suite.folder,
        load=suite.load,
        headers=_headers(suite.headers),
        load_headers=_headers(suite.load_headers),
        tokens=suite.tokens,
        bsns=dict(suite.bsns),
        variables=dict(suite.variables),
        cacerts=target.defaults.ca,
        cert=target.defaults.certificate,
        key=target.defaults.key,
        seconds=suite.seconds,
        concurrency=1,
    )
    try:
        async with tools.place(suite.url):
            result = await check(options)
    except Outcome as error:
        raise Unclear(
            Text(
                f"De testset {suite.folder.name} kon niet worden gedraaid.",
                f"The suite {suite.folder.name} could not be run.",
            ),
            error.message,
        ) from None
    tools.heard = tools.heard or bool(
        result.with_verdict(Verdict.PASSED) or result.with_verdict(Verdict.FAILED)
    )
    return result


def _headers(given: Mapping[str, SecretStr]) -> tuple[tuple[str, str], ...]:
    return tuple((name, value.get_secret_value()) for name, value in given.items())


def _of(organisation: Organisation, id: str) -> list[Suite]:
    return [one for one in organisation.suites if one.check == id]


def _check(id: SuiteCheck, title: Text) -> Check:
    async def measure(target: Target, tools: Tools) -> Finding:
        return await _measure(id, target, tools)

    return Check(
        id,
        title,
        Text(
            "Draait de testsets die het bestand van de regio noemt, zoals `schakel check` dat doet.",
            "Runs the test suites that the region's file names, as `schakel check` does.",
        ),
        timedelta(days=90),
        wants=lambda one: bool(_of(one, id)),
        measure=measure,
        seconds=1800.0,
    )


SUITES = (
    _check("conformance-bgz", Text("Testset van de BgZ", "Test suite of the BgZ")),
    _check("conformance-eoverdracht", Text("Testset van eOverdracht", "Test suite of eOverdracht")),
    _check("conformance-medication", Text("Testset van medicatie", "Test suite of medication")),
    _check("conformance-medmij", Text("Testset van MedMij", "Test suite of MedMij")),
)
