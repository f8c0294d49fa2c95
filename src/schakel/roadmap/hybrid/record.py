"""Who an organisation's own record has in a pathway, by the rules that stand with it.

Eligible is who had an active indication in the period: a Condition with a code of the pathway. Enrolled is who, while
eligible, had a CarePlan of the pathway for at least a day; active who had a digital event in it. Resources of FHIR STU3
and R4 are both read; what has no day that says when it was is left out, and counted as such.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import date, timedelta
from typing import Any, Final

from schakel.fhir.moments import interval
from schakel.kernel.clock import AMSTERDAM
from schakel.kernel.outcomes import Invalid
from schakel.roadmap.hybrid.counting import Period, quarter_of

Resource = Mapping[str, Any]

EVENTS: Final[Mapping[str, str]] = {
    "QuestionnaireResponse": "authored",
    "Observation": "date",
    "Communication": "sent",
    "Encounter": "date",
}
"""The types of digital events, each with the search parameter of its day."""

VIRTUAL: Final = "VR"
"""The class of a contact from a distance (HL7 v3 ActCode)."""

_ACTIVE = {"active", "recurrence", "relapse"}
_REFUTED = {"refuted", "entered-in-error"}
_RUNNING = {"active"}
_OVER = {
    "completed": "completed",
    "revoked": "other",
    "cancelled": "other",
    "on-hold": "other",
    "suspended": "other",
}
_HAPPENED: Mapping[str, frozenset[str]] = {
    "QuestionnaireResponse": frozenset({"completed", "amended"}),
    "Observation": frozenset({"registered", "preliminary", "final", "amended", "corrected"}),
    "Communication": frozenset({"completed"}),
    "Encounter": frozenset({"arrived", "triaged", "in-progress", "onleave", "finished"}),
}


@dataclass(frozen=True, slots=True)
class Rules:
    """The rules of a pathway: codes of a Condition (`system|code`), and canonicals or categories of a CarePlan."""

    indication: frozenset[str]
    plan: frozenset[str]


@dataclass(frozen=True, slots=True)
class Term:
    """From `start` (None: not told, and so now) to `end` (None: still); `reason` is why it ended."""

    start: date | None
    end: date | None
    reason: str = ""


@dataclass(slots=True)
class Chart:
    """What the record has of one person about one pathway."""

    indications: list[Term] = field(default_factory=list)
    plans: list[Term] = field(default_factory=list)
    events: set[date] = field(default_factory=set)


class Undated(Exception):
    """A resource fits the rules, but nothing says when it was."""


def indication(condition: Resource, rules: Rules) -> Term | None:
    """When a Condition made someone eligible; None when it does not. Raises `Undated`."""
    if not rules.indication.intersection(_codings(condition.get("code"))):
        return None
    if _REFUTED.intersection(_words(condition.get("verificationStatus"))):
        return None
    onset, abatement = condition.get("onsetPeriod"), condition.get("abatementPeriod")
    start = (
        _first_day(condition.get("onsetDateTime"))
        or _first_day(_table(onset).get("start"))
        or _first_day(condition.get("recordedDate"))
        or _first_day(condition.get("assertedDate"))
    )
    end = (
        _last_day(condition.get("abatementDateTime"))
        or _last_day(_table(abatement).get("end"))
        or _last_day(_table(onset).get("end"))
    )
    if not _ACTIVE.intersection(_words(condition.get("clinicalStatus"))) and (start is None or end is None):
        raise Undated
    if end is not None and (start is None or end < start):
        raise Undated
    return Term(start, end)


def plan(care_plan: Resource, rules: Rules) -> Term | None:
    """When a CarePlan let someone take part; None when it is of another pathway, or was never in force. Raises
    `Undated`."""
    canonicals = {str(one) for one in _list(care_plan.get("instantiatesCanonical"))}
    canonicals |= {str(_table(one).get("reference", "")) for one in _list(care_plan.get("definition"))}
    names = canonicals | {one.partition("|")[0] for one in canonicals}
    names |= {code for one in _list(care_plan.get("category")) for code in _codings(one)}
    status = care_plan.get("status")
    if not rules.plan & names or care_plan.get("intent") in ("proposal", "option"):
        return None
    if status not in _RUNNING and status not in _OVER:
        return None
    period = _table(care_plan.get("period"))
    start = _first_day(period.get("start")) or _first_day(care_plan.get("created"))
    end = _last_day(period.get("end"))
    if start is None or (end is None and status in _OVER) or (end is not None and end < start):
        raise Undated
    return Term(start, end, _OVER.get(str(status), ""))


def event(resource: Resource) -> date | None:
    """The day of a digital event; None for what is none. Raises `Undated`.

    A questionnaire that was filled in; a measurement by the person, or by a device outside a contact; a message from
    or to the person; a contact from a distance.
    """
    kind = str(resource.get("resourceType"))
    if resource.get("status") not in _HAPPENED.get(kind, ()) or not _IS_DIGITAL[kind](resource):
        return None
    period = resource.get("period" if kind == "Encounter" else "effectivePeriod")
    names = ("authored", "effectiveDateTime", "effectiveInstant", "issued", "sent", "received")
    found = _first_day(_table(period).get("start"))
    for name in names:
        found = found or _first_day(resource.get(name))
    if found is None:
        raise Undated
    return found


def row(pathway: str, bsn: str, chart: Chart, period: Period, today: date) -> dict[str, str] | None:
    """A person as a row of a file of people, about the days of `period` alone; None for who was not eligible in it."""
    upto = min(period.end, today)
    eligible = _eligible(chart, period, upto, today)
    if eligible is None:
        return None
    found = {
        "pathway": pathway,
        "bsn": bsn,
        "eligible_from": eligible.start.isoformat(),
        "eligible_until": eligible.end.isoformat(),
    }
    within = eligible.until(upto)
    plans = [one for one in chart.plans if one.start is not None and within.meets(one.start, one.end)]
    if not plans:
        return found
    begun = max(min(one.start for one in plans if one.start is not None), eligible.start)
    ended = max(plans, key=lambda one: one.end or date.max)
    found["enrolled_from"] = begun.isoformat()
    if ended.end is not None:
        found["enrolled_until"] = ended.end.isoformat()
        found["ended_reason"] = ended.reason
    last = min(upto, ended.end or upto)
    latest: dict[str, date] = {}
    for day in sorted(one for one in chart.events if begun <= one <= last):
        latest[quarter_of(day)] = day
    if latest:
        *earlier, newest = (day.isoformat() for day in latest.values())
        found["last_event"], found["earlier_events"] = newest, " ".join(earlier)
    return found


def _eligible(chart: Chart, period: Period, upto: date, today: date) -> Period | None:
    """The first to the last day of the period on which someone was eligible. An indication of which nothing says when
    it began is there today, and since the person takes part."""
    began = min((one.start for one in chart.plans if one.start), default=today)
    terms = [
        (one.start or min(began, today), one.end)
        for one in chart.indications
        if one.start is not None or period.start <= today <= period.end
    ]
    met = [one for one in terms if period.until(upto).meets(*one)]
    if not met:
        return None
    start = max(period.start, min(first for first, _ in met))
    return Period(start, min(period.end, max(last or date.max for _, last in met)))


def _is_measured(one: Resource) -> bool:
    if any(_is_person(performer) for performer in _list(one.get("performer"))):
        return True
    return "device" in one and not ({"encounter", "context"} & set(one))


_IS_DIGITAL: Final[Mapping[str, Callable[[Resource], bool]]] = {
    "QuestionnaireResponse": lambda one: True,
    "Observation": _is_measured,
    "Communication": lambda one: any(
        _is_person(who) for who in (one.get("sender"), *_list(one.get("recipient")))
    ),
    "Encounter": lambda one: _table(one.get("class")).get("code") == VIRTUAL,
}


def _is_person(reference: object) -> bool:
    """Whether a reference is to the patient, or to somebody near them."""
    return _kind_of(str(_table(reference).get("reference", ""))) in ("Patient", "RelatedPerson")


def _kind_of(reference: str) -> str:
    parts = reference.split("/_history/")[0].split("/")
    return parts[-2] if len(parts) > 1 else ""


def _codings(concept: object) -> Iterator[str]:
    """The codes of a CodeableConcept, as `system|code`."""
    for one in _list(_table(concept).get("coding")):
        yield f"{_table(one).get('system', '')}|{_table(one).get('code', '')}"


def _words(value: object) -> set[str]:
    """The codes of a status, which is a code in STU3 and a CodeableConcept in R4."""
    if isinstance(value, str):
        return {value}
    return {code.rpartition("|")[2] for code in _codings(value)}


def _table(value: object) -> Resource:
    return value if isinstance(value, dict) else {}


def _list(value: object) -> Sequence[Any]:
    return value if isinstance(value, list) else []


def _first_day(value: object) -> date | None:
    try:
        return interval(value)[0].astimezone(AMSTERDAM).date() if isinstance(value, str) else None
    except Invalid:
        return None


def _last_day(value: object) -> date | None:
    try:
        after = interval(value)[1] if isinstance(value, str) else None
    except Invalid:
        return None
    return None if after is None else (after - timedelta(microseconds=1)).astimezone(AMSTERDAM).date()
