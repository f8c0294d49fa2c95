"""From what checks saw and what people declare to one result for each requirement and each of its parts.

What a machine saw broken stays so, whatever is declared, unless a person gives the reason why it does not apply. What a
person declares decides where a machine could not see. A requirement follows from its parts: one that must hold and
fails makes the whole fail.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import replace
from datetime import datetime
from typing import Literal

from schakel.conformance.api_requirements.answers import Declared
from schakel.conformance.api_requirements.model import Finding, Level, Requirement, Result, Sub, Verdict
from schakel.kernel.texts import Text

_SOAP = Text("alleen voor SOAP; dit is een REST-API", "for SOAP only; this is a REST API")
_CLIENT = Text("bindt wie de API gebruikt, niet de server", "binds who uses the API, not the server")
_MAY = Text("een mogelijkheid: niemand hoeft het", "a possibility: nobody has to")
_PERSON = Text("alleen een mens kan dit zeggen; geef --answers", "only a person can say this; give --answers")


def judge(
    requirement: Requirement,
    findings: Mapping[str, Finding],
    answers: Mapping[str, Declared],
    moment: datetime,
) -> list[Result]:
    """The result of the whole, and then those of its parts. `findings` and `answers` are by key."""
    parts = [_part(requirement, sub, findings, answers, moment) for sub in requirement.subs]
    key = requirement.code
    own = _outside(requirement, moment)
    if own is None and (key in findings or key in answers or not parts or requirement.level is Level.MAY):
        own = _one(requirement, None, findings.get(key), answers.get(key), moment)
    if own is not None and own.verdict is Verdict.NOT_APPLICABLE:
        return [own, *parts]
    return [_whole(requirement, own, parts), *parts]


def _part(
    requirement: Requirement,
    sub: Sub,
    findings: Mapping[str, Finding],
    answers: Mapping[str, Declared],
    moment: datetime,
) -> Result:
    """The result of a part; what was declared of the whole holds for a part that is not named itself."""
    if result := _outside(requirement, moment, sub):
        return result
    key = f"{requirement.code}.{sub.number}"
    return _one(
        requirement, sub, findings.get(key), answers.get(key) or answers.get(requirement.code), moment
    )


def _outside(requirement: Requirement, moment: datetime, sub: Sub | None = None) -> Result | None:
    """The result of what is not about a server with a REST API."""
    reason = None
    if requirement.style == "soap":
        reason = _SOAP
    elif requirement.only_clients or (sub and sub.client):
        reason = _CLIENT
    if reason is None:
        return None
    return _result(requirement, sub, Verdict.NOT_APPLICABLE, reason, "", "requirement", moment)


def _one(
    requirement: Requirement,
    sub: Sub | None,
    seen: Finding | None,
    declared: Declared | None,
    moment: datetime,
) -> Result:
    """What is known of one key by what was seen and what is declared."""
    level = sub.level if sub else requirement.level
    may = Level.MAY in (level, requirement.level)
    if declared is not None and not (seen and _stays(seen, declared)):
        return _by_person(requirement, sub, seen, declared, moment)
    if seen is not None:
        return _result(requirement, sub, seen.verdict, seen.reason, seen.evidence, "machine", seen.at)
    if may:
        return _result(requirement, sub, Verdict.NOT_APPLICABLE, _MAY, "", "requirement", moment)
    return _result(requirement, sub, Verdict.UNKNOWN, _only_a_person(requirement), "", "requirement", moment)


def _only_a_person(requirement: Requirement) -> Text:
    why = requirement.why
    return _PERSON if why is None else Text(f"{_PERSON.nl}: {why.nl}", f"{_PERSON.en}: {why.en}")


def _stays(seen: Finding, declared: Declared) -> bool:
    """Whether what was seen goes before what is declared."""
    return declared.conformity == "conformant" and seen.verdict in (Verdict.FAILED, Verdict.PASSED)


def _by_person(
    requirement: Requirement, sub: Sub | None, seen: Finding | None, declared: Declared, moment: datetime
) -> Result:
    verdict = {
        "conformant": Verdict.PASSED,
        "not-conformant": Verdict.FAILED,
        "not-applicable": Verdict.NOT_APPLICABLE,
    }[declared.conformity]
    if verdict is Verdict.FAILED and Level.MAY in (
        requirement.level,
        sub.level if sub else requirement.level,
    ):
        verdict = Verdict.NOT_APPLICABLE
    reason = Text(
        "; ".join(["verklaard door een mens", *filter(None, [declared.remark])]),
        "; ".join(["declared by a person", *filter(None, [declared.remark])]),
    )
    if seen and seen.verdict is Verdict.FAILED:
        reason = Text(f"{reason.nl} (gezien: {seen.reason.nl})", f"{reason.en} (seen: {seen.reason.en})")
    evidence = declared.evidence or (seen.evidence if seen else "")
    made = _result(requirement, sub, verdict, reason, evidence, "person", moment)
    broken = seen is not None and seen.verdict is Verdict.FAILED and verdict is not Verdict.FAILED
    return replace(made, broken=broken)


def _whole(requirement: Requirement, own: Result | None, parts: Iterable[Result]) -> Result:
    """The result of a requirement with what is known of itself, if anything is, and of its parts."""
    every = [*([own] if own else []), *parts]
    for verdict in (Verdict.FAILED, Verdict.UNKNOWN):
        for one in every:
            if one.verdict is verdict and (one is own or _binds(requirement, one)):
                return one if one is own else _after(requirement, one)
    held = [one for one in every if one.verdict is Verdict.PASSED]
    if own is not None or not held:
        return own or _after(requirement, every[0])
    return _after(requirement, held[0])


def _binds(requirement: Requirement, part: Result) -> bool:
    """Whether the whole cannot hold without this part: what only should be so binds what only should be so."""
    return part.level is Level.MUST or (part.level is Level.SHOULD and requirement.level is Level.SHOULD)


def _after(requirement: Requirement, part: Result) -> Result:
    """The result of the whole that follows from one part."""
    reason = Text(f"{part.sub}: {part.reason.nl}", f"{part.sub}: {part.reason.en}")
    return _result(requirement, None, part.verdict, reason, part.evidence, part.by, part.at)


def _result(
    requirement: Requirement,
    sub: Sub | None,
    verdict: Verdict,
    reason: Text,
    evidence: str,
    by: Literal["machine", "person", "requirement"],
    moment: datetime,
) -> Result:
    return Result(
        code=requirement.code,
        sub=sub.number if sub else "",
        level=sub.level if sub else requirement.level,
        verdict=verdict,
        reason=reason,
        evidence=evidence,
        by=by,
        at=moment,
    )
