"""Resources that follow another one: a MeasureReport its Measure, a SearchParameter the one it is derived from.

Source: R4 measurereport.html and searchparameter.html. STU3 reports name their groups otherwise and are not
compared.
"""

from __future__ import annotations

from typing import Any

from schakel.fhir.json import Resource
from schakel.fhir.places import At
from schakel.fhir.validation.run import Run, dicts, text


def check_derived(run: Run) -> None:
    """Check the resource of `run` against the one it follows, where that can be had."""
    kind = run.root.get("resourceType")
    if kind == "SearchParameter":
        _search_parameter(run)
    elif kind == "MeasureReport" and run.known.version == "r4":
        _measure_report(run)


def _search_parameter(run: Run) -> None:
    at: At = (None, "SearchParameter", None)
    url = text(run.root.get("derivedFrom")).partition("|")[0]
    original = run.known.search_parameter(url) if url else None
    if original is None:
        return
    if text(run.root.get("type")) != original.type:
        run.error("business-rule", f"the parameter it is derived from has the type {original.type}", at)
    bases = run.root.get("base")
    for base in bases if isinstance(bases, list) else ():
        if not any(run.known.is_a(text(base), name) for name in original.base):
            run.error("business-rule", f"the parameter it is derived from is not for {text(base)[:64]}", at)


def _measure_report(run: Run) -> None:
    report = run.root
    at: At = (None, "MeasureReport", None)
    url = text(report.get("measure"))
    measure = run.find(url) if run.find and url else None
    if measure is None:
        if url:
            run.could_not_check(f"the report: the measure {url[:300]} is not here", at, "warning")
        return
    groups = dicts(measure.get("group"))
    scoring = {text(coding.get("code")) for coding in _codings(measure.get("scoring"))}
    for index, group in enumerate(dicts(report.get("group"))):
        where: At = (at, "group", index)
        if "cohort" in scoring and "measureScore" in group:
            run.error("business-rule", "a cohort measure has no score", (where, "measureScore", None))
        defined = _matching(group, groups)
        if defined is None:
            run.error("business-rule", "the measure has no such group", where)
            continue
        for number, population in enumerate(dicts(group.get("population"))):
            _population(
                run, report, population, dicts(defined.get("population")), (where, "population", number)
            )


def _population(
    run: Run, report: Resource, population: dict[str, Any], defined: list[dict[str, Any]], at: At
) -> None:
    if "code" in population and not any(_same_code(population, other) for other in defined):
        run.error("business-rule", "the measure has no population with this code", at)
    if report.get("type") != "subject-list" and "subjectResults" in population:
        run.error("business-rule", "only a report of type subject-list lists subjects", at)


def _matching(group: dict[str, Any], groups: list[dict[str, Any]]) -> dict[str, Any] | None:
    """The group of the measure with the same code; a single one without a code is any."""
    if len(groups) == 1 and "code" not in groups[0]:
        return groups[0]
    return next((other for other in groups if _same_code(group, other)), None)


def _same_code(one: dict[str, Any], other: dict[str, Any]) -> bool:
    found = {(text(c.get("system")), text(c.get("code"))) for c in _codings(one.get("code"))}
    return any((text(c.get("system")), text(c.get("code"))) in found for c in _codings(other.get("code")))


def _codings(concept: object) -> list[dict[str, Any]]:
    return dicts(concept.get("coding")) if isinstance(concept, dict) else []
