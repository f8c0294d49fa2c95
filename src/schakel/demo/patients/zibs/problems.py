"""Problem, AllergyIntolerance and Alert."""

from __future__ import annotations

from schakel.demo.patients.chart import Chart, referred
from schakel.demo.patients.codes import DIAGNOSIS
from schakel.demo.patients.elements import (
    HL7,
    NICTIZ,
    Code,
    Link,
    body_site,
    concept,
    extension,
    loinc,
    other,
    period,
    reference,
    sct,
    specified,
)
from schakel.demo.patients.entries import ProblemEntry
from schakel.demo.patients.history import AllergyEntry

_ACTIVE = sct("55561003", "Actueel")
_INACTIVE = sct("73425007", "Niet actueel")
_CONFIRMED = sct("410605003", "Bevestigd")
_ALERT_KINDS = {
    "warning": loinc("74018-3", "waarschuwing"),
    "condition": loinc("75323-6", "conditie"),
}


def problem(chart: Chart, entry: ProblemEntry, *, in_error: bool = False) -> Link:
    """zib-Problem; only a diagnosis is marked as confirmed, and a wrongly entered one is inactive."""
    closed = bool(entry.ended) or in_error
    if in_error:
        verification = "entered-in-error"
    else:
        verification = "confirmed" if entry.kind == DIAGNOSIS else "unknown"
    since = chart.since_birth(entry.since)
    known = entry.kind == DIAGNOSIS and not in_error
    return chart.add(
        "problem",
        "Condition",
        [NICTIZ + "zib-Problem", NICTIZ + "BgZ-Problem"],
        {
            "identifier": [referred(chart, "problem", entry.code.code)] if known else None,
            "clinicalStatus": "inactive" if closed else "active",
            "_clinicalStatus": specified(_INACTIVE if closed else _ACTIVE),
            "verificationStatus": verification,
            "_verificationStatus": specified(_CONFIRMED) if verification == "confirmed" else None,
            "category": [concept(entry.kind)],
            "code": concept(entry.code),
            "bodySite": [body_site(entry.site, entry.side)] if entry.site else None,
            "subject": chart.subject,
            "onsetDateTime": chart.day(since),
            "abatementDateTime": chart.day(min(since, entry.ended)) if entry.ended else None,
            "note": [{"text": entry.note}] if entry.note else None,
        },
        entry.code.display,
    )


def allergy(chart: Chart, entry: AllergyEntry, *, in_error: bool = False) -> Link:
    """zib-AllergyIntolerance with one reaction; a wrongly entered one has no clinical status (rule ait-2)."""
    active = Code("http://hl7.org/fhir/v3/ActStatus", "active", "Actief")
    severity = {"low": "mild", "high": "severe"}[entry.criticality]
    return chart.add(
        "allergy",
        "AllergyIntolerance",
        [NICTIZ + "zib-AllergyIntolerance"],
        {
            "identifier": None if in_error else [referred(chart, "allergy", entry.substance.code)],
            "clinicalStatus": None if in_error else "active",
            "_clinicalStatus": None if in_error else specified(active),
            "verificationStatus": "entered-in-error" if in_error else "confirmed",
            "category": [entry.category],
            "_category": [specified(entry.category_code)],
            "criticality": entry.criticality,
            "_criticality": specified(entry.criticality_code),
            "code": concept(entry.substance),
            "patient": chart.subject,
            "onsetDateTime": chart.day(chart.since_birth(chart.rng.randint(900, 7000)))[:4],
            "note": [{"text": entry.note}] if entry.note else None,
            "reaction": [{"manifestation": [concept(entry.reaction)], "severity": severity}],
        },
        f"Allergie voor {entry.substance.display}",
    )


def alert(chart: Chart, text: str, days_ago: int, *, about: Link | None = None) -> Link:
    """zib-Alert with the warning as text; `about` is the problem that it comes from."""
    return chart.add(
        "alert",
        "Flag",
        [NICTIZ + "zib-Alert"],
        {
            "extension": [extension(HL7 + "flag-detail", valueReference=reference(about))] if about else None,
            "status": "active",
            "category": concept(_ALERT_KINDS["condition" if about else "warning"]),
            "code": other(text),
            "subject": chart.subject,
            "period": period(chart.day(chart.since_birth(days_ago))),
        },
        text,
    )
