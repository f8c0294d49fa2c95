"""Fictional resources and short ways to run FHIRPath on them, for tests."""

from __future__ import annotations

from decimal import Decimal
from typing import Any, NamedTuple

from tests.shared import ROOT

from schakel.fhir.definitions import Version, definitions
from schakel.fhir.fhirpath import Expression, compile_expression

PATIENT: dict[str, Any] = {
    "resourceType": "Patient",
    "id": "p1",
    "active": True,
    "name": [
        {
            "use": "official",
            "family": "de Vries",
            "given": ["Anna", "Maria"],
            "_given": [None, {"id": "second"}],
        },
        {"use": "nickname", "given": ["Ans"]},
    ],
    "birthDate": "1960-03",
    "_birthDate": {"extension": [{"url": "urn:estimated", "valueBoolean": True}]},
    "_gender": {"extension": [{"url": "urn:absent", "valueCode": "unknown"}]},
    "contained": [{"resourceType": "Organization", "id": "gp", "name": "Practice North"}],
    "managingOrganization": {"reference": "#gp"},
    "generalPractitioner": [{"reference": "Practitioner/7"}, {"reference": "Organization/8"}],
    "multipleBirthInteger": 2,
}
OBSERVATION: dict[str, Any] = {
    "resourceType": "Observation",
    "status": "final",
    "code": {
        "coding": [{"system": "http://loinc.org", "code": "29463-7", "display": "Weight"}, {"code": "w"}]
    },
    "subject": {"reference": "Patient/p1"},
    "valueQuantity": {
        "value": Decimal("72.50"),
        "unit": "kg",
        "system": "http://unitsofmeasure.org",
        "code": "kg",
    },
    "effectiveDateTime": "2024-05-01T10:30:00+02:00",
    "component": [{"code": {"text": "a"}, "valueString": "x"}, {"code": {"text": "b"}, "valueInteger": 4}],
}


def compiled(
    text: str, context: str | None = None, *, lenient: bool = False, version: Version = "r4"
) -> Expression:
    return compile_expression(text, definitions(version), context=context, lenient=lenient)


def values(
    text: str, subject: dict[str, Any] | None = None, *, lenient: bool = False, **more: Any
) -> list[Any]:
    """Values of the results of `text` on `subject`."""
    subject = {} if subject is None else subject
    nodes = compiled(text, subject.get("resourceType"), lenient=lenient).evaluate(subject, **more)
    return [node.value for node in nodes]


class Figures(NamedTuple):
    """How a published suite ends: cases, those that pass, those that do not, those outside of FHIRPath 2.0."""

    cases: int
    passed: int
    listed: int
    outside: int


def told(suite: str) -> Figures:
    """The figures that the documentation tells of a suite (`docs/explanation/fhirpath.md`)."""
    for line in (ROOT / "docs" / "explanation" / "fhirpath.md").read_text("utf-8").splitlines():
        cells = [cell.strip() for cell in line.strip("|").split("|")]
        if cells[0] == suite:
            return Figures(*(int(cell.replace(",", "")) for cell in cells[1:]))
    raise AssertionError(f"docs/explanation/fhirpath.md has no row for {suite}")
