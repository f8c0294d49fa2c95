"""Procedure, planned procedure, MedicalDevice, Vaccination and NursingIntervention."""

from __future__ import annotations

from schakel.demo.cast import Professional
from schakel.demo.patients.chart import Chart, organisation_link, practitioner_link, professional
from schakel.demo.patients.elements import (
    NICTIZ,
    PARTICIPATION,
    Code,
    Link,
    body_site,
    concept,
    extension,
    period,
    quantity,
    reference,
    sct,
)
from schakel.demo.patients.entries import DeviceEntry, ProcedureEntry
from schakel.demo.patients.history import VaccineEntry

_RESPONSIBLE = Code(PARTICIPATION, "RESP", "Hoofdbehandelaar")
_NURSING = sct("9632001", "verpleegkundige verrichting")


def request(
    chart: Chart,
    code: Code,
    requester: Professional,
    *,
    status: str,
    authored: str,
    planned: tuple[str, str] | None = None,
    reason: Link | None = None,
) -> Link:
    """zib-ProcedureRequest: an order that was carried out, or a plan for the period `planned`."""
    return chart.add(
        "procedurerequest",
        "ProcedureRequest",
        [NICTIZ + "zib-ProcedureRequest"],
        {
            "status": status,
            "intent": "plan" if planned else "order",
            "code": concept(code),
            "subject": chart.subject,
            "occurrencePeriod": period(*planned) if planned else None,
            "authoredOn": authored,
            "requester": {
                "agent": professional(requester),
                "onBehalfOf": reference(organisation_link(chart.holder)),
            },
            "performerType": concept(_RESPONSIBLE),
            "performer": professional(requester),
            "reasonReference": [reference(reason)] if reason else None,
        },
        code.display,
    )


def procedure(
    chart: Chart,
    entry: ProcedureEntry,
    who: Professional,
    *,
    ordered: Link,
    reason: Link | None = None,
    device: Link | None = None,
) -> Link:
    """zib-Procedure that was done on one day, based on the order `ordered`."""
    on = chart.day(chart.since_birth(entry.days_ago))
    return chart.add(
        "procedure",
        "Procedure",
        [NICTIZ + "zib-Procedure"],
        {
            "basedOn": [reference(ordered)],
            "status": "completed",
            "category": concept(entry.category),
            "code": concept(entry.code),
            "subject": chart.subject,
            "performedPeriod": period(on, on),
            "performer": [
                {"role": concept(_RESPONSIBLE), "actor": professional(who)},
                {"actor": reference(organisation_link(chart.holder))},
            ],
            "reasonReference": [reference(reason)] if reason else None,
            "bodySite": [body_site(entry.site, entry.side)] if entry.site else None,
            "focalDevice": [{"manipulated": reference(device)}] if device else None,
        },
        entry.code.display,
    )


def device(
    chart: Chart, entry: DeviceEntry, who: Professional, *, indication: Link | None = None
) -> tuple[Link, Link]:
    """zib-MedicalDevice: the links to the use and to the product."""
    serial = f"DEMO{chart.rng.randrange(10**8):08d}"
    product = chart.add(
        "device",
        "Device",
        [NICTIZ + "zib-MedicalDeviceProduct"],
        {
            "identifier": [{"system": f"{chart.holder.site}/id/device", "value": serial}],
            "status": "active",
            "type": concept(entry.code),
            "patient": chart.subject,
            "note": [{"text": entry.note}] if entry.note else None,
        },
        entry.code.display,
    )
    about = extension(
        NICTIZ + "zib-MedicalDevice-Problem", valueReference=reference(indication) if indication else None
    )
    use = chart.add(
        "deviceuse",
        "DeviceUseStatement",
        [NICTIZ + "zib-MedicalDevice"],
        {
            "extension": [
                extension(
                    NICTIZ + "zib-MedicalDevice-Organization",
                    valueReference=reference(organisation_link(chart.holder)),
                ),
                extension(
                    NICTIZ + "zib-MedicalDevice-Practitioner",
                    valueReference=reference(practitioner_link(who)),
                ),
            ],
            "status": "active",
            "subject": chart.subject,
            "whenUsed": period(chart.day(chart.since_birth(entry.since))),
            "device": reference(product),
            "indication": ([{"extension": [about], "text": indication.display}] if indication else None),
            "bodySite": body_site(entry.site, entry.side) if entry.site else None,
        },
        entry.code.display,
    )
    return use, product


def vaccination(chart: Chart, entry: VaccineEntry) -> Link:
    """zib-Vaccination that was given elsewhere, as the patient tells it."""
    code = entry.vaccine.code
    return chart.add(
        "vaccination",
        "Immunization",
        [NICTIZ + "zib-Vaccination"],
        {
            "status": "completed",
            "notGiven": False,
            "vaccineCode": concept(code),
            "patient": chart.subject,
            "date": chart.day(chart.since_birth(entry.days_ago)),
            "primarySource": False,
            "doseQuantity": quantity(entry.dose, "mL"),
            "note": [{"text": entry.note}] if entry.note else None,
        },
        code.display,
    )


def nursing_intervention(chart: Chart, code: Code, who: Professional, *, reason: Link) -> Link:
    """zib-NursingIntervention that is going on."""
    return chart.add(
        "nursing",
        "Procedure",
        [NICTIZ + "zib-NursingIntervention"],
        {
            "status": "in-progress",
            "category": concept(_NURSING),
            "code": concept(code),
            "subject": chart.subject,
            "performedPeriod": period(chart.day(chart.rng.randint(10, 90))),
            "performer": [{"actor": professional(who)}],
            "reasonReference": [reference(reason)],
        },
        code.display,
    )
