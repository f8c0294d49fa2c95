"""Synthetic records for the scenarios of width: laboratory results (STU3) and medication (R4), by the demo's builders.

The same people and resources at every run. Their numbers begin where those of the region (`ingest`) end.
"""

from __future__ import annotations

import random
from collections.abc import Iterator
from dataclasses import replace
from datetime import date
from functools import cache

from schakel.demo.cast import GENERAL_PRACTICE, HOSPITAL_NORTH, Organisation
from schakel.demo.patients.chart import Chart, in_use, role_link, treatment
from schakel.demo.patients.elements import NICTIZ, Json, concept, extension, quantity, sct
from schakel.demo.patients.entries import MedicineEntry
from schakel.demo.patients.formulary import PRODUCTS
from schakel.demo.patients.zibs import administration, laboratory
from schakel.demo.patients.zibs.medication import product_link
from schakel.demo.patients.zibs2020 import administration as administration_r4
from schakel.demo.patients.zibs2020 import medication
from schakel.demo.patients.zibs2020.administration import location_link
from schakel.demo.patients.zibs2020.elements import identifier, typed
from schakel.demo.people import Person, persons
from schakel.fhir.json import Resource

TODAY = date(2026, 11, 21)
SEED = 1
REGION_MOST = 2000
"""The most people of the region, whose numbers come first."""
LASTN, MEDICATION, FIRST = REGION_MOST + 1, REGION_MOST + 2, REGION_MOST + 3
"""The numbers of the person of `long_laboratory`, of that of `medicines`, and of the first with a
`laboratory_record`."""
MOST = 15_000
"""The most people with a laboratory record."""
RECORD = 100
"""Resources in one laboratory record."""

_ROUND = ("blood-count", "kidney", "lipids", "glucose")
_PANELS = (*_ROUND * 4, "glucose", "glucose", "heart")
"""99 resources: specimens, panels and results."""

VV = sct("52711000146108", "verstrekkingsverzoek")
MTD = sct("18629005", "toedienen van medicatie")
BLOCKS = {"agreement": 100, "regimen": 20, "request": 40, "administration agreement": 100, "dispense": 140}
BLOCKS |= {"use": 60, "administration": 40}
"""How many building blocks of each kind a medication record holds: 500."""


@cache
def _people() -> tuple[Person, ...]:
    return persons(FIRST + MOST, SEED, TODAY)


def person(number: int) -> Person:
    """The person of that number, which counts from 1. The first call takes a second or two."""
    return _people()[number - 1]


def _chart(who: Person, holder: Organisation = HOSPITAL_NORTH) -> Chart:
    gp = GENERAL_PRACTICE.professionals[0]
    return Chart(who, holder, gp, TODAY, random.Random(f"bench/{who.number}"), complete=True)


def laboratory_record(who: Person) -> list[Resource]:
    """A Patient with 19 Specimens and 80 Observations of nine years: `RECORD` resources."""
    chart = _chart(who)
    administration.patient(chart)
    for number, panel in enumerate(_PANELS):
        laboratory.panel(chart, panel, 30 + 170 * number, {})
    return chart.resources


def long_laboratory(who: Person) -> list[Resource]:
    """A Patient with 2,000 Observations, about one panel in eight days."""
    chart = _chart(who)
    administration.patient(chart)
    for number in range(111):
        for panel in _ROUND:
            laboratory.panel(chart, panel, 30 * number, {})
    laboratory.panel(chart, "inflammation", 5, {})
    return chart.resources


def shared() -> Iterator[Resource]:
    """What a medication record refers to (R4)."""
    yield from administration_r4.shared(GENERAL_PRACTICE)
    yield from medication.products()


def medicines(who: Person) -> list[Resource]:
    """A Patient with 500 building blocks of Medicatieproces 9 (R4), as a GP practice could hold them."""
    chart = _chart(who, GENERAL_PRACTICE)
    administration_r4.patient(chart)
    keys = list(PRODUCTS)

    def entry(number: int) -> MedicineEntry:
        """One treatment after the other; the older ones have ended."""
        return MedicineEntry(keys[number % len(keys)], since=20 + 9 * number, days=0 if number < 12 else 8)

    agreed = [medication.agreement(chart, entry(n)) for n in range(BLOCKS["agreement"])]
    for number in range(BLOCKS["regimen"]):
        medication.regimen(chart, replace(entry(number), schedule=(2, 3, 2, 3)), agreed[number])
    for number in range(BLOCKS["request"]):
        _request(chart, entry(number))
    for number in range(BLOCKS["administration agreement"]):
        medication.administration_agreement(chart, entry(number))
    for number in range(BLOCKS["dispense"]):
        medication.dispense(chart, entry(number), 10 + 7 * number)
    for number in range(BLOCKS["use"]):
        medication.use(chart, entry(number), agreed[number])
    for number in range(BLOCKS["administration"]):
        _administration(chart, entry(number), number)
    return chart.resources


def _part(chart: Chart, entry: MedicineEntry) -> Json:
    return extension(
        NICTIZ + "ext-PharmaceuticalTreatment.Identifier", valueIdentifier=treatment(chart, entry)
    )


def _request(chart: Chart, entry: MedicineEntry) -> None:
    """VV: the GP asks the pharmacy to dispense."""
    place = extension(
        NICTIZ + "ext-DispenseRequest.DispenseLocation", valueReference=typed(location_link(chart.holder))
    )
    chart.add(
        "dispenserequest",
        "MedicationRequest",
        [NICTIZ + "mp-DispenseRequest"],
        {
            "extension": [_part(chart, entry)],
            "identifier": [identifier(chart, "dispense-request", f"{chart.person.number}-{entry.since}")],
            "status": "active",
            "intent": "order",
            "category": [concept(VV)],
            "medicationReference": typed(product_link(PRODUCTS[entry.product])),
            "subject": typed(chart.patient),
            "authoredOn": chart.moment(entry.since, 10),
            "requester": typed(role_link(chart.gp)),
            "dispenseRequest": {
                "extension": [place],
                "validityPeriod": in_use(chart, entry),
                "quantity": quantity("90", "stuk", "1"),
            },
        },
        "Verstrekkingsverzoek",
    )


def _administration(chart: Chart, entry: MedicineEntry, days_ago: int) -> None:
    """MTD: a dose that was given."""
    chart.add(
        "medicationadministration",
        "MedicationAdministration",
        [NICTIZ + "mp-MedicationAdministration2"],
        {
            "extension": [_part(chart, entry)],
            "identifier": [identifier(chart, "administration", f"{chart.person.number}-{days_ago}")],
            "status": "completed",
            "category": concept(MTD),
            "medicationReference": typed(product_link(PRODUCTS[entry.product])),
            "subject": typed(chart.patient),
            "effectiveDateTime": chart.moment(days_ago, 8),
            "performer": [{"actor": typed(role_link(chart.gp))}],
            "dosage": {"dose": quantity("1", "stuk", "1")},
        },
        "Toediening",
    )
