"""Product, MedicationUse, MedicationAgreement and AdministrationAgreement."""

from __future__ import annotations

from collections.abc import Iterable

from schakel.demo.cast import Professional
from schakel.demo.patients.chart import (
    Chart,
    in_use,
    organisation_link,
    practitioner_link,
    role_link,
    treatment,
)
from schakel.demo.patients.elements import (
    NICTIZ,
    Code,
    Json,
    Link,
    concept,
    extension,
    other,
    quantity,
    reference,
    sct,
)
from schakel.demo.patients.entries import MedicineEntry
from schakel.demo.patients.formulary import PRODUCTS, UNIT, Product, instruction
from schakel.fhir.json import Resource

_USE = Code("urn:oid:2.16.840.1.113883.2.4.3.11.60.20.77.5.3", "6", "Medicatiegebruik")
_AGREEMENT = sct("16076005", "Prescription (procedure)")
_ADMINISTRATION = sct("422037009", "Provider medication administration instructions (procedure)")

ON_SCHEDULE = "volgens doseerschema"


def product_link(product: Product) -> Link:
    return Link(f"Medication/product-{product.key}", product.name)


def products() -> Iterable[Resource]:
    """zib-Product of every medicine in the formulary; the charts of a holder share them."""
    for product in PRODUCTS.values():
        yield {
            "resourceType": "Medication",
            "id": f"product-{product.key}",
            "meta": {"profile": [NICTIZ + "zib-Product"]},
            "code": concept(*product.codes, text=product.name),
        }


def _amount(product: Product, dose: str) -> Json:
    if product.unit == "stuk":
        return quantity(dose, "stuk", "245", UNIT)
    if product.unit == "E":
        return quantity(dose, "E", "[iU]")
    return quantity(dose, product.unit, f"{{{product.unit}}}")


def route(product: Product) -> Json:
    """How a medicine is taken."""
    return concept(product.route) if product.route else {"text": product.route_text}


def directions(entry: MedicineEntry, on_schedule: Json) -> Json:
    """The text a patient reads, and the same in structure, without the dose; `on_schedule` is the coded remark that
    the doses stand in a schedule."""
    out: Json = {"sequence": 1, "text": instruction(entry)}
    if entry.schedule:
        out["additionalInstruction"] = [on_schedule]
    elif entry.times:
        out["timing"] = {"repeat": {"frequency": entry.times, "period": 1, "periodUnit": entry.every}}
    else:
        out["asNeededBoolean"] = True
    out["route"] = route(PRODUCTS[entry.product])
    return out


def dosage(entry: MedicineEntry) -> Json:
    """zib-InstructionsForUse."""
    out = directions(entry, other(ON_SCHEDULE))
    product = PRODUCTS[entry.product]
    if not entry.schedule:
        out["doseQuantity"] = _amount(product, entry.dose)
    return out


def _treatment(chart: Chart, entry: MedicineEntry) -> Json:
    """The pharmaceutical treatment that ties agreements and use together."""
    return extension(NICTIZ + "zib-Medication-MedicationTreatment", valueIdentifier=treatment(chart, entry))


def use(chart: Chart, entry: MedicineEntry, prescriber: Professional, *, in_error: bool = False) -> Link:
    """zib-MedicationUse, as told by the patient."""
    product = PRODUCTS[entry.product]
    since = chart.since_birth(entry.since)
    return chart.add(
        "medicationuse",
        "MedicationStatement",
        [NICTIZ + "zib-MedicationUse"],
        {
            "extension": [
                extension(NICTIZ + "zib-MedicationUse-AsAgreedIndicator", valueBoolean=True),
                extension(
                    NICTIZ + "zib-MedicationUse-Prescriber", valueReference=reference(role_link(prescriber))
                ),
                extension(NICTIZ + "zib-MedicationUse-Author", valueReference=chart.subject),
                _treatment(chart, entry),
            ],
            "status": "entered-in-error" if in_error else "completed" if entry.days else "active",
            "category": concept(_USE, text="Medicatiegebruik"),
            "medicationReference": reference(product_link(product)),
            "effectivePeriod": in_use(chart, entry),
            "dateAsserted": chart.day(min(since, chart.rng.randint(5, 60))),
            "informationSource": chart.subject,
            "subject": chart.subject,
            "taken": "y",
            "dosage": [dosage(entry)],
        },
        f"{product.name} in gebruik",
    )


def agreement(
    chart: Chart, entry: MedicineEntry, prescriber: Professional, *, reason: Link | None = None
) -> Link:
    """zib-MedicationAgreement: the prescriber's agreement with the patient."""
    product = PRODUCTS[entry.product]
    since = chart.since_birth(entry.since)
    role = extension(
        NICTIZ + "zib-MedicationAgreement-RequesterRole", valueReference=reference(role_link(prescriber))
    )
    return chart.add(
        "medicationagreement",
        "MedicationRequest",
        [NICTIZ + "zib-MedicationAgreement"],
        {
            "extension": [
                extension(NICTIZ + "zib-Medication-PeriodOfUse", valuePeriod=in_use(chart, entry)),
                _treatment(chart, entry),
            ],
            "intent": "order",
            "category": concept(_AGREEMENT, text="Medicatieafspraak"),
            "medicationReference": reference(product_link(product)),
            "subject": chart.subject,
            "authoredOn": chart.moment(since),
            "requester": {"extension": [role], "agent": reference(practitioner_link(prescriber))},
            "reasonReference": [reference(reason)] if reason else None,
            "dosageInstruction": [dosage(entry)],
        },
        f"Afspraak {product.name}",
    )


def administration_agreement(chart: Chart, entry: MedicineEntry, *, agreed: Link | None = None) -> Link:
    """zib-AdministrationAgreement: how the dispenser carries the agreement out."""
    product = PRODUCTS[entry.product]
    authored = chart.day(chart.since_birth(entry.since))
    return chart.add(
        "administrationagreement",
        "MedicationDispense",
        [NICTIZ + "zib-AdministrationAgreement"],
        {
            "extension": [
                extension(NICTIZ + "zib-AdministrationAgreement-AuthoredOn", valueDateTime=authored),
                extension(NICTIZ + "zib-Medication-PeriodOfUse", valuePeriod=in_use(chart, entry)),
                _treatment(chart, entry),
            ],
            "category": concept(_ADMINISTRATION, text="Toedieningsafspraak"),
            "medicationReference": reference(product_link(product)),
            "subject": chart.subject,
            "performer": [{"actor": reference(organisation_link(chart.holder))}],
            "authorizingPrescription": [reference(agreed)] if agreed else None,
            "dosageInstruction": [dosage(entry)],
        },
        f"Toedieningsafspraak {product.name}",
    )
