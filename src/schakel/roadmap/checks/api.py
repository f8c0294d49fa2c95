"""`api-requirements`: the Dutch API requirements at the organisation's FHIR base, at the level of an open API.

It holds when everything that must be met is met, or does not apply. What a machine cannot see is declared in the file
that the region names (`api_declaration`); what is neither seen nor declared leaves the whole unknown. What a machine
saw broken fails, whatever that file says.

Source: Nictiz API-eisen 1.2.0.
"""

from __future__ import annotations

from datetime import timedelta

from schakel.conformance.api_requirements import (
    ApiOptions,
    ApiResult,
    Level,
    Result,
    Verdict,
    check_api,
    read_answers,
)
from schakel.kernel.outcomes import Outcome
from schakel.roadmap.checks.model import Check, Target, Unclear, found
from schakel.roadmap.checks.tools import Tools
from schakel.roadmap.evidence import Finding
from schakel.roadmap.model import Text

ID = "api-requirements"


async def _measure(target: Target, tools: Tools) -> Finding:
    organisation, defaults = target.organisation, target.defaults
    url = organisation.fhir.r4 or organisation.fhir.stu3
    try:
        options = ApiOptions(
            url,
            docs=organisation.docs,
            openapi=organisation.openapi,
            oauth=organisation.issuer,
            answers=read_answers(organisation.api_declaration) if organisation.api_declaration else {},
            cacerts=defaults.ca,
            cert=defaults.certificate,
            key=defaults.key,
            seconds=defaults.seconds,
            reach=tools.reach,
        )
        async with tools.place(url):
            result = await check_api(options)
    except Outcome as error:
        raise Unclear(
            Text(
                "De API-eisen konden niet worden nagelopen.",
                "The API requirements could not be gone through.",
            ),
            f"{url}: {error.message}",
        ) from None
    if result.with_verdict(Verdict.PASSED):
        tools.heard = True
    return judged(result)


def judged(result: ApiResult) -> Finding:
    """What the API requirements that must be met come to."""
    musts = [one for one in result.whole if one.level is Level.MUST]
    failed = [one.code for one in musts if one.verdict is Verdict.FAILED or _excused(result, one)]
    unknown = [one.code for one in musts if one.verdict is Verdict.UNKNOWN]
    facts = {verdict.value: number for verdict, number in result.counts.items()}
    facts |= {"must": len(musts), "must-fail": len(failed), "must-could-not-check": len(unknown)}
    if failed:
        named = ", ".join(failed)
        reason = Text(
            f"Aan {len(failed)} van {len(musts)} verplichte API-eisen is niet voldaan: {named}.",
            f"{len(failed)} of {len(musts)} API requirements that must be met are not: {named}.",
        )
        return found(ID, "fails", reason, result.url, facts)
    if unknown:
        named = ", ".join(unknown)
        reason = Text(
            f"Van {len(unknown)} van {len(musts)} verplichte API-eisen is niet gezien of verklaard dat het zo is: "
            f"{named}.",
            f"Of {len(unknown)} of {len(musts)} API requirements that must be met it was neither seen nor declared: "
            f"{named}.",
        )
        return found(ID, "unknown", reason, result.url, facts)
    if all(one.verdict is Verdict.NOT_APPLICABLE for one in musts):
        reason = Text(
            "Volgens de verklaring is geen enkele verplichte API-eis van toepassing: zo is er niets gezien.",
            "By the declaration no API requirement at all applies that must be met: so nothing was seen.",
        )
        return found(ID, "unknown", reason, result.url, facts)
    reason = Text(
        f"Aan alle {len(musts)} verplichte API-eisen is voldaan, of zij zijn niet van toepassing.",
        f"All {len(musts)} API requirements that must be met are met, or do not apply.",
    )
    return found(ID, "holds", reason, result.url, facts)


def _excused(result: ApiResult, one: Result) -> bool:
    """Whether something was seen broken that must be met, and the organisation alone says that it does not apply: on
    the board that takes a declaration with a second reader."""
    return any(of.broken and of.level is Level.MUST for of in (one, *result.parts(one.code)))


CHECK = Check(
    ID,
    Text("API-eisen", "API requirements"),
    Text(
        "Loopt de Nederlandse API-eisen na, met de verklaring van de organisatie voor wat een machine niet kan zien.",
        "Goes through the Dutch API requirements, with the organisation's declaration for what a machine cannot see.",
    ),
    timedelta(days=90),
    wants=lambda one: bool(one.fhir.given()) and bool(one.docs or one.api_declaration),
    measure=_measure,
    seconds=600.0,
)
