"""The building blocks of Medicatieproces 9 3.0.

MA MedicationAgreement, WDS VariableDosingRegimen, MGB MedicationUse2, TA AdministrationAgreement and MVE
MedicationDispense, tied together by the identifier of the pharmaceutical treatment.
"""

from __future__ import annotations

from collections.abc import Iterable

from schakel.demo.cast import GENERAL_PRACTICE
from schakel.demo.patients.chart import Chart, in_use, organisation_link, role_link, treatment
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
from schakel.demo.patients.entries import MedicineEntry
from schakel.demo.patients.formulary import PRODUCTS, instruction
from schakel.demo.patients.zibs.medication import ON_SCHEDULE, directions, product_link, route
from schakel.demo.patients.zibs2020.administration import location_link
from schakel.demo.patients.zibs2020.elements import amount, identified, identifier, other, typed
from schakel.fhir.json import Resource

AGREEMENT = sct("33633005", "voorschrijven van geneesmiddel")
REGIMEN = sct("395067002", "optimaliseren van dosering van medicatie")
ADMINISTRATION = sct("422037009", "Provider medication administration instructions (procedure)")
DISPENSE = sct("373784005", "verstrekken van medicatie")
USE = sct("422979000", "bevinding betreffende gedrag met betrekking tot medicatieregime")
_RENEWED = 7
"""Days after which a dosing regimen is set anew."""


def products() -> Iterable[Resource]:
    """mp-PharmaceuticalProduct of every medicine in the formulary; the charts of a holder share them."""
    for product in PRODUCTS.values():
        yield {
            "resourceType": "Medication",
            "id": f"product-{product.key}",
            "meta": {"profile": [NICTIZ + "mp-PharmaceuticalProduct"]},
            "code": concept(*product.codes, text=product.name),
        }


def agreement(chart: Chart, entry: MedicineEntry, *, reason: Code | None = None) -> Link:
    """MA: what the GP and the patient agreed on."""
    product = PRODUCTS[entry.product]
    agreed = chart.moment(chart.since_birth(entry.since), 9)
    return chart.add(
        "medicationagreement",
        "MedicationRequest",
        [NICTIZ + "mp-MedicationAgreement"],
        {
            "extension": [
                *_described(chart, entry),
                extension(NICTIZ + "ext-TimeInterval.Period", valuePeriod=in_use(chart, entry)),
                extension(NICTIZ + "ext-RegistrationDateTime", valueDateTime=agreed),
            ],
            "identifier": [_agreement_identifier(chart, entry)],
            "status": "completed" if entry.days else "active",
            "intent": "order",
            "category": [concept(AGREEMENT)],
            "medicationReference": typed(product_link(product)),
            "subject": typed(chart.patient),
            "authoredOn": agreed,
            "requester": typed(role_link(chart.gp)),
            "reasonCode": [concept(reason)] if reason else None,
            "dosageInstruction": [_dosage(entry)],
        },
        f"Afspraak {product.name}",
    )


def regimen(chart: Chart, entry: MedicineEntry, agreed: Link) -> Link:
    """WDS: the dose of each day in this period, of a medicine that is used by a schedule."""
    product = PRODUCTS[entry.product]
    begun = chart.rng.randrange(_RENEWED)
    return chart.add(
        "dosingregimen",
        "MedicationRequest",
        [NICTIZ + "mp-VariableDosingRegimen"],
        {
            "extension": [
                *_described(chart, entry),
                extension(
                    NICTIZ + "ext-TimeInterval.Period",
                    valuePeriod=period(chart.day(begun), chart.day(begun - len(entry.schedule) + 1)),
                ),
                extension(NICTIZ + "ext-RegistrationDateTime", valueDateTime=chart.moment(begun, 8)),
            ],
            "identifier": [
                identifier(chart, "dosing-regimen", f"{_number(chart, entry)}-{chart.day(begun)}")
            ],
            "status": "active",
            "intent": "order",
            "category": [concept(REGIMEN)],
            "medicationReference": typed(product_link(product)),
            "subject": typed(chart.patient),
            "authoredOn": chart.moment(begun, 8),
            "requester": typed(role_link(chart.gp)),
            "basedOn": [typed(agreed)],
            "dosageInstruction": [
                {
                    "sequence": day,
                    "text": f"dag {day}: {dose} {product.unit}",
                    "timing": {
                        "repeat": {
                            "boundsDuration": quantity("1", "dag", "d"),
                            "frequency": 1,
                            "period": 1,
                            "periodUnit": "d",
                        }
                    },
                    "route": route(product),
                    "doseAndRate": [{"doseQuantity": amount(str(dose), product.unit)}],
                }
                for day, dose in enumerate(entry.schedule, 1)
            ],
        },
        f"Doseerschema {product.name}",
    )


def use(chart: Chart, entry: MedicineEntry, agreed: Link) -> Link:
    """MGB: use of a medicine as the patient told it, as agreed."""
    product = PRODUCTS[entry.product]
    agreement_kind = extension(NICTIZ + "ext-ResourceCategory", valueCodeableConcept=concept(AGREEMENT))
    told = min(chart.since_birth(entry.since), chart.rng.randint(5, 60))
    return chart.add(
        "medicationuse",
        "MedicationStatement",
        [NICTIZ + "mp-MedicationUse2"],
        {
            "extension": [
                *_described(chart, entry),
                extension(NICTIZ + "ext-AsAgreedIndicator", valueBoolean=True),
                extension(
                    NICTIZ + "ext-MedicationUse2.Prescriber", valueReference=typed(role_link(chart.gp))
                ),
                extension(NICTIZ + "ext-MedicationUse2.Author", valueReference=typed(role_link(chart.gp))),
            ],
            "identifier": [identifier(chart, "medication-use", _number(chart, entry))],
            "status": "completed" if entry.days else "active",
            "category": concept(USE),
            "medicationReference": typed(product_link(product)),
            "subject": typed(chart.patient),
            "effectivePeriod": in_use(chart, entry),
            "dateAsserted": chart.moment(told),
            "informationSource": typed(chart.patient),
            "derivedFrom": [{"extension": [agreement_kind], **typed(agreed)}],
            "dosage": [_dosage(entry)],
        },
        f"{product.name} in gebruik",
    )


def administration_agreement(chart: Chart, entry: MedicineEntry) -> Link:
    """TA: how the pharmacy carries the GP's agreement out."""
    product = PRODUCTS[entry.product]
    made = chart.moment(chart.since_birth(entry.since), 14)
    return chart.add(
        "administrationagreement",
        "MedicationDispense",
        [NICTIZ + "mp-AdministrationAgreement"],
        {
            "extension": [
                *_described(chart, entry),
                extension(NICTIZ + "ext-TimeInterval.Period", valuePeriod=in_use(chart, entry)),
                extension(
                    NICTIZ + "ext-AdministrationAgreement.AdministrationAgreementDateTime", valueDateTime=made
                ),
                extension(NICTIZ + "ext-RegistrationDateTime", valueDateTime=made),
            ],
            "identifier": [identifier(chart, "administration-agreement", _number(chart, entry))],
            "status": "completed" if entry.days else "in-progress",
            "category": concept(ADMINISTRATION),
            "medicationReference": typed(product_link(product)),
            "subject": typed(chart.patient),
            "performer": [{"actor": typed(organisation_link(chart.holder))}],
            "location": typed(location_link(chart.holder)),
            "authorizingPrescription": [
                identified(
                    "MedicationRequest", _agreement_identifier(chart, entry), f"Afspraak {product.name}"
                )
            ],
            "dosageInstruction": [_dosage(entry)],
        },
        f"Toedieningsafspraak {product.name}",
    )


def dispense(chart: Chart, entry: MedicineEntry, days_ago: int) -> Link:
    """MVE: what the pharmacy handed over, for ninety days."""
    product = PRODUCTS[entry.product]
    handed = chart.since_birth(days_ago)
    daily = entry.every == "d" and product.unit == "stuk"
    count = sum(entry.schedule) * 13 if entry.schedule else max(1, entry.times) * (90 if daily else 12)
    return chart.add(
        "dispense",
        "MedicationDispense",
        [NICTIZ + "mp-MedicationDispense"],
        {
            "extension": [_treatment(chart, entry)],
            "identifier": [
                identifier(chart, "medication-dispense", f"{_number(chart, entry)}-{chart.day(handed)}")
            ],
            "status": "completed",
            "category": concept(DISPENSE),
            "medicationReference": typed(product_link(product)),
            "subject": typed(chart.patient),
            "performer": [{"actor": typed(organisation_link(chart.holder))}],
            "location": typed(location_link(chart.holder)),
            "quantity": amount(str(count), product.unit),
            "daysSupply": quantity("90", "dag", "d"),
            "whenHandedOver": chart.moment(handed),
        },
        f"Verstrekking {product.name}",
    )


def _number(chart: Chart, entry: MedicineEntry) -> str:
    return f"{chart.person.number:05d}-{entry.product}"


def _agreement_identifier(chart: Chart, entry: MedicineEntry) -> Json:
    """By which the pharmacy's agreement refers to the GP's."""
    return {"system": f"{GENERAL_PRACTICE.site}/id/medication-agreement", "value": _number(chart, entry)}


def _treatment(chart: Chart, entry: MedicineEntry) -> Json:
    url = NICTIZ + "ext-PharmaceuticalTreatment.Identifier"
    return extension(url, valueIdentifier=treatment(chart, entry))


def _described(chart: Chart, entry: MedicineEntry) -> list[Json]:
    """The treatment a block is part of, and its instruction in words."""
    words = extension(NICTIZ + "ext-RenderedDosageInstruction", valueString=instruction(entry))
    return [_treatment(chart, entry), words]


def _dosage(entry: MedicineEntry) -> Json:
    """mp-InstructionsForUse.DosageInstructions."""
    out = directions(entry, other(ON_SCHEDULE))
    product = PRODUCTS[entry.product]
    if not entry.schedule:
        out["doseAndRate"] = [{"doseQuantity": amount(entry.dose, product.unit)}]
    return out
