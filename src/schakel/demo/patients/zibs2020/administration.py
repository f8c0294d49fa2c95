"""Who and where: Patient, Payer, and the resources that all charts of a holder share."""

from __future__ import annotations

from collections.abc import Iterable

from schakel.demo.cast import GENERAL_PRACTICE, PHARMACY, Organisation, Professional
from schakel.demo.patients.chart import Chart, organisation_link, practitioner_link, role_link
from schakel.demo.patients.elements import NICTIZ, Code, Json, Link, concept, extension, period
from schakel.demo.patients.history import PAYERS, History, Payer
from schakel.demo.patients.zibs.administration import (
    CONTACT_ROLE,
    GENDERS,
    MARITAL,
    at,
    contact,
    human_name,
    insurer_link,
    practitioner,
)
from schakel.demo.patients.zibs2020.elements import TERMINOLOGY, address, phone, specified, typed
from schakel.demo.people import Address
from schakel.fhir.json import Resource
from schakel.kernel.values import BSN_SYSTEM, URA_SYSTEM


def location_link(place: Organisation) -> Link:
    return Link(f"Location/location-{place.ura}", place.name)


def patient(chart: Chart) -> Link:
    """nl-core-Patient with the GP, the pharmacy and a contact person."""
    person = chart.person
    relation, contact_name, contact_phone = contact(chart)
    gender = GENDERS[person.sex]
    return chart.add(
        "patient",
        "Patient",
        [NICTIZ + "nl-core-Patient"],
        {
            "extension": [
                extension(
                    "http://hl7.org/fhir/StructureDefinition/patient-preferredPharmacy",
                    valueReference=typed(organisation_link(PHARMACY)),
                )
            ],
            "identifier": [{"use": "official", "system": BSN_SYSTEM, "value": person.bsn}],
            "active": True,
            "name": [human_name(person.name)],
            "telecom": [
                phone(person.phone, "home"),
                {"system": "email", "value": person.email, "use": "home"},
            ],
            "gender": person.sex,
            "_gender": specified(gender._replace(system=TERMINOLOGY + "v3-AdministrativeGender")),
            "birthDate": person.birth_date.isoformat(),
            "deceasedBoolean": False,
            "address": [address(person.address)],
            "maritalStatus": concept(
                Code(TERMINOLOGY + "v3-MaritalStatus", person.marital, MARITAL[person.marital])
            ),
            "contact": [
                {
                    "relationship": [
                        concept(relation._replace(system=TERMINOLOGY + "v3-RoleCode")),
                        concept(CONTACT_ROLE),
                    ],
                    "name": human_name(contact_name),
                    "telecom": [phone(contact_phone, "home")],
                }
            ],
            "generalPractitioner": [typed(role_link(chart.gp))],
        },
        person.name.display,
    )


def payer(chart: Chart, told: History) -> Link:
    """nl-core-Payer.InsuranceCompany: basic insurance with one of the region's insurers."""
    return chart.add(
        "payer",
        "Coverage",
        [NICTIZ + "nl-core-Payer.InsuranceCompany"],
        {
            "status": "active",
            "type": concept(Code("urn:oid:2.16.840.1.113883.2.4.3.11.60.101.5.1", "B", "Basis verzekerd")),
            "subscriberId": told.insured_number,
            "beneficiary": typed(chart.patient),
            "period": period(f"{chart.today.year}-01-01", f"{chart.today.year}-12-31"),
            "payor": [typed(insurer_link(told.payer))],
        },
        f"Verzekering bij {told.payer.name}",
    )


def _organisation(place: Organisation) -> Resource:
    kind = Code("http://nictiz.nl/fhir/NamingSystem/organization-type", place.type_code, place.type_name)
    return at(
        organisation_link(place),
        NICTIZ + "nl-core-HealthcareProvider-Organization",
        {
            "identifier": [
                {"system": URA_SYSTEM, "value": place.ura},
                {"system": "http://fhir.nl/fhir/NamingSystem/agb-z", "value": place.agb},
            ],
            "active": True,
            "type": [concept(kind)],
            "name": place.name,
            "telecom": [phone(place.phone, "work")],
            "address": [_work_address(place)],
        },
    )


def _location(place: Organisation) -> Resource:
    return at(
        location_link(place),
        NICTIZ + "nl-core-HealthcareProvider",
        {
            "name": place.name,
            "telecom": [phone(place.phone, "work")],
            "address": _work_address(place),
            "managingOrganization": typed(organisation_link(place)),
        },
    )


def _work_address(place: Organisation) -> Json:
    return address(Address(place.street, place.house_number, "", place.postal_code, place.city), work=True)


def _insurer(insurer: Payer) -> Resource:
    return at(
        insurer_link(insurer),
        NICTIZ + "nl-core-Payer-Organization",
        {
            "identifier": [{"system": "http://fhir.nl/fhir/NamingSystem/uzovi", "value": insurer.uzovi}],
            "name": insurer.name,
            "telecom": [phone(f"099-990{insurer.uzovi}", "work")],
            "address": [address(Address("Polisplein", "1", "", "9994ZZ", insurer.city), work=True)],
        },
    )


def _role(who: Professional, place: Organisation) -> Resource:
    specialty = Code("http://fhir.nl/fhir/NamingSystem/uzi-rolcode", who.role_code, who.role)
    return at(
        role_link(who),
        NICTIZ + "nl-core-HealthProfessional-PractitionerRole",
        {
            "active": True,
            "practitioner": typed(practitioner_link(who)),
            "organization": typed(organisation_link(place)),
            "location": [typed(location_link(place))],
            "specialty": [concept(specialty, text=who.function)],
            "telecom": [phone(place.phone, "work")],
        },
    )


def shared(holder: Organisation) -> Iterable[Resource]:
    """What every chart of `holder` refers to: organisations, insurers, its own professionals and the GPs."""
    for place in {place.slug: place for place in (holder, GENERAL_PRACTICE, PHARMACY)}.values():
        yield _organisation(place)
        yield _location(place)
    for insurer in PAYERS:
        yield _insurer(insurer)
    for place in {place.slug: place for place in (holder, GENERAL_PRACTICE)}.values():
        for who in place.professionals:
            yield practitioner(who, NICTIZ + "nl-core-HealthProfessional-Practitioner")
            yield _role(who, place)
