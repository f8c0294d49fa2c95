"""AllergyIntolerance."""

from __future__ import annotations

from schakel.demo.patients.chart import Chart
from schakel.demo.patients.elements import NICTIZ, Code, Link, concept
from schakel.demo.patients.history import AllergyEntry
from schakel.demo.patients.zibs2020.elements import TERMINOLOGY, specified, typed

_ACTIVE = Code(TERMINOLOGY + "allergyintolerance-clinical", "active", "Active")
_CONFIRMED = Code(TERMINOLOGY + "allergyintolerance-verification", "confirmed", "Confirmed")


def allergy(chart: Chart, entry: AllergyEntry) -> Link:
    """nl-core-AllergyIntolerance with one reaction."""
    severity = {"low": "mild", "high": "severe"}[entry.criticality]
    return chart.add(
        "allergy",
        "AllergyIntolerance",
        [NICTIZ + "nl-core-AllergyIntolerance"],
        {
            "clinicalStatus": concept(_ACTIVE),
            "verificationStatus": concept(_CONFIRMED),
            "category": [entry.category],
            "_category": [specified(entry.category_code)],
            "criticality": entry.criticality,
            "_criticality": specified(entry.criticality_code),
            "code": concept(entry.substance),
            "patient": typed(chart.patient),
            "note": [{"text": entry.note}] if entry.note else None,
            "reaction": [{"manifestation": [concept(entry.reaction)], "severity": severity}],
        },
        f"Allergie voor {entry.substance.display}",
    )
