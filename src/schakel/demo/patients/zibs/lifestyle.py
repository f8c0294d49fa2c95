"""Functioning, living situation, use of tobacco, alcohol and drugs, and nutrition advice."""

from __future__ import annotations

from schakel.demo.patients.chart import Chart
from schakel.demo.patients.elements import (
    NICTIZ,
    Code,
    Json,
    Link,
    concept,
    extension,
    period,
    quantity,
    sct,
)

_FUNCTIONAL = sct("118228005", "bevinding betreffende functioneren")
_MENTAL = sct("384821006", "bevinding betreffende mentale toestand, gedrag en/of psychosociaal functioneren")
_LIVING = sct("365508006", "bevinding betreffende woon- en huisvestingssituatie")
_DRUGS = sct("228366006", "bevinding betreffende drugsgebruik")
_ALCOHOL = sct("228273003", "bevinding betreffende alcoholgebruik")
_TOBACCO = sct("365980008", "bevinding betreffende tabakgebruik en blootstelling aan tabaksrook")

_NEVER = {"266919005", "228274009", "228368007", "105542008"}


def status(chart: Chart, what: Code, degree: Code, comment: str, *, mental: bool = False) -> Link:
    """zib-FunctionalOrMentalStatus: how limited the patient is in something."""
    return chart.add(
        "status",
        "Observation",
        [NICTIZ + "zib-FunctionalOrMentalStatus"],
        {
            "status": "final",
            "category": [concept(_MENTAL if mental else _FUNCTIONAL)],
            "code": concept(what),
            "subject": chart.subject,
            "effectivePeriod": period(chart.day(chart.since_birth(chart.rng.randint(20, 140)))),
            "valueCodeableConcept": concept(degree),
            "comment": comment,
        },
        f"{what.display}: {degree.display}",
    )


def living_situation(chart: Chart, home: Code) -> Link:
    """zib-LivingSituation."""
    comment = "Slaapkamer op de begane grond." if chart.age > 75 else None
    return chart.add(
        "living",
        "Observation",
        [NICTIZ + "zib-LivingSituation"],
        {
            "status": "final",
            "code": concept(_LIVING),
            "subject": chart.subject,
            "effectivePeriod": period(chart.day(chart.since_birth(chart.rng.randint(400, 4000)))),
            "valueCodeableConcept": concept(home),
            "comment": comment,
        },
        home.display,
    )


def _use(
    chart: Chart, kind: str, profile: str, code: Code, value: Code, component: list[Json], comment: str
) -> Link:
    used = value.code not in _NEVER
    return chart.add(
        kind,
        "Observation",
        [NICTIZ + profile],
        {
            "status": "final",
            "code": concept(code),
            "subject": chart.subject,
            "effectivePeriod": period(chart.day(chart.since_birth(chart.rng.randint(1500, 7000)))[:4]),
            "valueCodeableConcept": concept(value),
            "comment": comment if used and comment else None,
            "component": component if used else None,
        },
        value.display,
    )


def drug_use(chart: Chart, value: Code) -> Link:
    """zib-DrugUse."""
    what = {
        "code": concept(sct("410942007", "drug of geneesmiddel")),
        "valueCodeableConcept": concept(sct("398705004", "Cannabis, wiet marihuana, hasj")),
    }
    often = {
        "code": concept(sct("228390007", "Frequency of drug misuse")),
        "valueString": chart.rng.choice(("maandelijks", "een enkele keer per jaar")),
    }
    return _use(chart, "druguse", "zib-DrugUse", _DRUGS, value, [what, often], "Alleen in gezelschap.")


def alcohol_use(chart: Chart, value: Code) -> Link:
    """zib-AlcoholUse, in glasses a week."""
    amount = {
        "code": concept(sct("160573003", "inname van alcohol")),
        "valueQuantity": quantity(str(chart.rng.randint(1, 9)), "{glas}/wk"),
    }
    return _use(chart, "alcoholuse", "zib-AlcoholUse", _ALCOHOL, value, [amount], "")


def tobacco_use(chart: Chart, value: Code) -> Link:
    """zib-TobaccoUse with kind, amount a day and pack years."""
    components: list[Json] = [
        {
            "code": concept(sct("53661000146106", "type tabak gebruikt")),
            "valueCodeableConcept": concept(sct("65568007", "Rookt sigaretten")),
        },
        {
            "code": concept(sct("266918002", "hoeveelheid en type tabak gerookt")),
            "valueQuantity": quantity(str(chart.rng.randint(4, 25)), "/d"),
        },
        {
            "code": concept(sct("401201003", "pakjaren")),
            "valueQuantity": quantity(f"{chart.rng.randint(4, 60)}.5", "pakjaren", "{PackYears}"),
        },
    ]
    return _use(
        chart, "tobaccouse", "zib-TobaccoUse", _TOBACCO, value, components, "Heeft stoppen overwogen."
    )


def nutrition_advice(chart: Chart, diet: str, explanation: str) -> Link:
    """zib-NutritionAdvice."""
    return chart.add(
        "nutrition",
        "NutritionOrder",
        [NICTIZ + "zib-NutritionAdvice"],
        {
            "extension": [extension(NICTIZ + "zib-NutritionAdvice-Explanation", valueString=explanation)],
            "status": "active",
            "patient": chart.subject,
            "dateTime": chart.day(chart.since_birth(chart.rng.randint(20, 300))),
            "oralDiet": {"type": [{"text": diet}]},
        },
        diet,
    )
