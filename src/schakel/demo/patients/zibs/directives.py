"""TreatmentDirective and AdvanceDirective: what the patient wants and does not want."""

from __future__ import annotations

from schakel.demo.patients.chart import Chart
from schakel.demo.patients.elements import (
    NICTIZ,
    POLICY,
    Code,
    Link,
    concept,
    extension,
    period,
    reference,
    sct,
)

RESUSCITATION = sct("89666000", "Cardiopulmonaire resuscitatie")
INTENSIVE_CARE = sct("305351004", "Opname op intensive care")
BLOOD_PRODUCTS = sct("116762002", "Toediening van een bloedproduct")

_ALLOWED = {"JA": "Ja", "JA_MAAR": "Ja, maar met beperkingen", "NEE": "Nee"}
_DIRECTIVES = {"NR": "Niet reanimeren verklaring", "VOL": "Volmacht", "LW": "Levenswensverklaring"}


def advance_directive(chart: Chart, kind: str, days_ago: int, comment: str) -> Link:
    """zib-AdvanceDirective of a kind of WilsverklaringTypeCodelijst."""
    shown = Code("urn:oid:2.16.840.1.113883.2.4.3.11.60.40.4.14.1", kind, _DIRECTIVES[kind])
    return chart.add(
        "advancedirective",
        "Consent",
        [NICTIZ + "zib-AdvanceDirective"],
        {
            "extension": [extension(NICTIZ + "Comment", valueString=comment)],
            "status": "active",
            "category": [
                concept(sct("11341000146107", "levenstestament en wilsverklaring in dossier")),
                concept(shown),
            ],
            "patient": chart.subject,
            "dateTime": chart.day(days_ago),
            "policy": [{"uri": POLICY}],
        },
        f"Wilsverklaring: {shown.display}",
    )


def treatment_directive(
    chart: Chart,
    treatment: Code,
    allowed: str,
    days_ago: int,
    *,
    restriction: str = "",
    source: Link | None = None,
) -> Link:
    """zib-TreatmentDirective: whether a treatment is allowed (JA, JA_MAAR with a restriction, NEE)."""
    verified = {
        "url": NICTIZ + "zib-TreatmentDirective-Verification",
        "extension": [
            extension("Verified", valueBoolean=True),
            extension("VerifiedWith", valueCodeableConcept=concept(sct("116154003", "Patiënt"))),
            extension("VerificationDate", valueDateTime=chart.day(days_ago)),
        ],
    }
    permitted = Code("urn:oid:2.16.840.1.113883.2.4.3.11.60.40.4", allowed, _ALLOWED[allowed])
    limits = extension(NICTIZ + "zib-TreatmentDirective-Restrictions", valueString=restriction)
    return chart.add(
        "treatmentdirective",
        "Consent",
        [NICTIZ + "zib-TreatmentDirective"],
        {
            "extension": [
                verified,
                extension(
                    NICTIZ + "zib-TreatmentDirective-Treatment", valueCodeableConcept=concept(treatment)
                ),
            ],
            "modifierExtension": [
                extension(
                    NICTIZ + "zib-TreatmentDirective-TreatmentPermitted",
                    valueCodeableConcept=concept(permitted),
                )
            ],
            "status": "active",
            "category": [concept(sct("11291000146105", "behandelaanwijzing"))],
            "patient": chart.subject,
            "period": period(chart.day(days_ago)),
            "sourceReference": reference(source) if source else None,
            "policy": [{"uri": POLICY}],
            "except": [{"extension": [limits], "type": "deny"}] if restriction else None,
        },
        f"{treatment.display}: {permitted.display}",
    )
