"""Vaccination-event and the vaccines that were given."""

from __future__ import annotations

from collections.abc import Iterable

from schakel.demo.patients.chart import Chart, role_link
from schakel.demo.patients.elements import NICTIZ, Code, Link, concept, extension, quantity
from schakel.demo.patients.history import VACCINES, Vaccine, VaccineEntry
from schakel.demo.patients.zibs2020.administration import location_link
from schakel.demo.patients.zibs2020.elements import TERMINOLOGY, identifier, typed
from schakel.fhir.json import Resource

_GIVER = Code(TERMINOLOGY + "v2-0443", "AP", "Administering Provider")


def vaccine_link(vaccine: Vaccine) -> Link:
    return Link(f"Medication/vaccine-{vaccine.key}", vaccine.antigen.display)


def vaccines() -> Iterable[Resource]:
    """imm-PharmaceuticalProduct of every vaccine; the charts of a holder share them."""
    for vaccine in VACCINES:
        yield {
            "resourceType": "Medication",
            "id": f"vaccine-{vaccine.key}",
            "meta": {"profile": [NICTIZ + "imm-PharmaceuticalProduct"]},
            "code": concept(vaccine.antigen, vaccine.code, text=vaccine.code.display),
        }


def vaccination(chart: Chart, entry: VaccineEntry) -> Link:
    """imm-Vaccination-event: a vaccination that the patient's GP gave."""
    given = chart.day(chart.since_birth(entry.days_ago))
    vaccine = entry.vaccine
    return chart.add(
        "vaccination",
        "Immunization",
        [NICTIZ + "imm-Vaccination-event"],
        {
            "extension": [
                extension(
                    NICTIZ + "ext-imm-Vaccination.PharmaceuticalProduct",
                    valueReference=typed(vaccine_link(vaccine)),
                )
            ],
            "identifier": [
                identifier(chart, "vaccination", f"{chart.person.number:05d}-{vaccine.key}-{given}")
            ],
            "status": "completed",
            "vaccineCode": concept(vaccine.antigen, vaccine.code),
            "patient": typed(chart.patient),
            "occurrenceDateTime": given,
            "primarySource": True,
            "location": typed(location_link(chart.holder)),
            "doseQuantity": quantity(entry.dose, "mL"),
            "performer": [{"function": concept(_GIVER), "actor": typed(role_link(chart.gp))}],
            "note": [{"text": entry.note}] if entry.note else None,
        },
        vaccine.code.display,
    )
