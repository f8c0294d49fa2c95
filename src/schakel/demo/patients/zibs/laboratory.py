"""LaboratoryTestResult: a panel with its members, on a specimen."""

from __future__ import annotations

from collections.abc import Mapping

from schakel.demo.patients.chart import Chart
from schakel.demo.patients.elements import (
    NICTIZ,
    UCUM,
    Code,
    Json,
    Link,
    concept,
    number,
    quantity,
    reference,
    sct,
    specified,
)
from schakel.demo.patients.laboratory_tests import PANELS, TESTS, Panel, Test

_LABORATORY = Code("http://hl7.org/fhir/observation-category", "laboratory", "Laboratory")
_FINDING = sct("49581000146104", "bevinding betreffende laboratoriumonderzoek")
_FINAL = Code("urn:oid:2.16.840.1.113883.2.4.3.11.60.40.4.16.1", "final", "Definitief")
_V2_FLAGS = "http://hl7.org/fhir/v2/0078"
_HIGH = (Code(_V2_FLAGS, "H", "High"), sct("281302008", "Boven referentiewaarde"))
_LOW = (Code(_V2_FLAGS, "L", "Low"), sct("281300000", "Onder referentiewaarde"))
_PROFILE = NICTIZ + "zib-LaboratoryTestResult-Observation"


def _bound(value: str, unit: str) -> Json:
    return {"value": number(value), "unit": unit, "system": UCUM, "code": unit}


def _flags(test: Test, value: float) -> Json | None:
    if test.high and value > float(test.high):
        return concept(*_HIGH)
    if test.low and value < float(test.low):
        return concept(*_LOW)
    return None


def _category(kind: Code | None) -> list[Json]:
    return [concept(_LABORATORY, _FINDING), *([concept(kind)] if kind else [])]


def _specimen(chart: Chart, panel: Panel, when: str) -> Link:
    kind = chart.rng.randrange(10**6)
    return chart.add(
        "specimen",
        "Specimen",
        [NICTIZ + "zib-LaboratoryTestResult-Specimen"],
        {
            "identifier": [{"system": f"{chart.holder.site}/id/specimen", "value": f"M{kind:06d}"}],
            "type": concept(panel.material),
            "subject": chart.subject,
            "receivedTime": when,
            "collection": {
                "collectedDateTime": when,
                "method": concept(sct("22778000", "Venapunctie")),
            },
        },
        f"Monster: {panel.material.display}",
    )


def _result(chart: Chart, test: Test, usual: tuple[float, float], specimen: Link, when: str) -> Link:
    """One result with two members: value and reference range, flagged when outside it."""
    value = round(chart.rng.uniform(*usual), test.digits)
    limits = {"low": test.low, "high": test.high}
    return chart.add(
        "labresult",
        "Observation",
        [_PROFILE],
        {
            "status": "final",
            "_status": specified(_FINAL),
            "category": _category(None),
            "code": concept(test.code),
            "subject": chart.subject,
            "effectiveDateTime": when,
            "valueQuantity": quantity(f"{value:.{test.digits}f}", test.unit),
            "interpretation": _flags(test, value),
            "specimen": reference(specimen),
            "referenceRange": [
                {
                    **{side: _bound(limit, test.unit) for side, limit in limits.items() if limit},
                    "type": concept(
                        Code("http://hl7.org/fhir/referencerange-meaning", "normal", "Normal Range")
                    ),
                }
            ],
        },
        test.code.display,
    )


def panel(
    chart: Chart,
    key: str,
    days_ago: int,
    results: Mapping[str, tuple[float, float]],
    *,
    ordered: Link | None = None,
) -> Link:
    """A panel of the catalogue on that day; `results` replaces the usual range of values per test."""
    wanted = PANELS[key]
    when = chart.moment(chart.since_birth(days_ago), 9)
    specimen = _specimen(chart, wanted, when)
    members = [
        _result(chart, TESTS[name], results.get(name, TESTS[name].usual), specimen, when)
        for name in wanted.tests
    ]
    return chart.add(
        "labpanel",
        "Observation",
        [_PROFILE],
        {
            "basedOn": [reference(ordered)] if ordered else None,
            "status": "final",
            "_status": specified(_FINAL),
            "category": _category(wanted.kind),
            "code": concept(wanted.code),
            "subject": chart.subject,
            "effectiveDateTime": when,
            "specimen": reference(specimen),
            "related": [{"type": "has-member", "target": reference(member)} for member in members],
        },
        wanted.code.display,
    )
