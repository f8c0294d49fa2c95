"""Who and where: Patient, Payer, CareTeam, Encounter, and the resources that all charts of a holder share."""

from __future__ import annotations

from collections.abc import Iterable, Sequence

from schakel.demo.cast import GENERAL_PRACTICE, PHARMACY, Organisation, Professional
from schakel.demo.patients.chart import (
    GP_OFFICE,
    Chart,
    organisation_link,
    practitioner_link,
    professional,
    role_link,
)
from schakel.demo.patients.codes import HOME
from schakel.demo.patients.elements import (
    ACT_CODE,
    HL7,
    NICTIZ,
    NL_CORE,
    PARTICIPATION,
    Code,
    Json,
    Link,
    coding,
    concept,
    extension,
    period,
    present,
    reference,
    specified,
)
from schakel.demo.patients.history import PAYERS, History, Payer
from schakel.demo.people import Address, Name
from schakel.fhir.json import Resource
from schakel.kernel.values import BSN_SYSTEM, URA_SYSTEM

_TELECOM = NICTIZ + "zib-ContactInformation-TelecomType"
_ADDRESS_USE = "http://hl7.org/fhir/v3/AddressUse"
_MOBILE = Code(_ADDRESS_USE, "MC", "Mobiel telefoonnummer")
_LANDLINE = Code("urn:oid:2.16.840.1.113883.2.4.3.11.60.40.4.22.1", "LL", "Vast telefoonnummer")
GENDERS = {
    "female": Code("http://hl7.org/fhir/v3/AdministrativeGender", "F", "Vrouw"),
    "male": Code("http://hl7.org/fhir/v3/AdministrativeGender", "M", "Man"),
}
MARITAL = {
    "S": "Nooit gehuwd geweest/ geregistreerd partnerschap gehad",
    "M": "Gehuwd",
    "D": "Gescheiden (huwelijk/geregistreerd partnerschap ontbonden)",
    "T": "Geregistreerd partnerschap",
    "W": "Weduwe/weduwnaar",
}
_RELATIONS = "http://hl7.org/fhir/v3/RoleCode"
CONTACT_ROLE = Code("urn:oid:2.16.840.1.113883.2.4.3.11.22.472", "1", "Eerste relatie/contactpersoon")
_CLASSES = {
    "AMB": "Poliklinisch",
    "EMER": "SEH",
    "FLD": "Op lokatie",
    "HH": "Thuis",
    "IMP": "Klinisch",
    "SS": "Dagopname",
    "VR": "Virtueel",
}
RESPONSIBLE = Code(PARTICIPATION, "RESP", "Hoofdbehandelaar")


def human_name(name: Name) -> Json:
    """A name in the shape of nl-core-humanname."""
    parts = (
        ("own-prefix", name.prefix),
        ("own-name", name.family),
        ("partner-prefix", name.partner_prefix),
        ("partner-name", name.partner_family),
    )
    qualifier = HL7 + "iso21090-EN-qualifier"
    return {
        "extension": [
            extension(HL7 + "humanname-assembly-order", valueCode="NL3" if name.partner_family else "NL1")
        ],
        "use": "official",
        "text": f"{' '.join(name.given)} {name.surname}",
        "family": name.surname,
        "_family": {
            "extension": [extension(f"{HL7}humanname-{part}", valueString=v) for part, v in parts if v]
        },
        "given": [" ".join(name.given), name.initials],
        "_given": [
            {"extension": [extension(qualifier, valueCode="BR")]},
            {"extension": [extension(qualifier, valueCode="IN")]},
        ],
    }


def address(where: Address, *, work: bool = False) -> Json:
    """An address in the shape of nl-core-address: a home address, or one of work."""
    kind = Code(_ADDRESS_USE, "WP", "Werkadres") if work else Code(_ADDRESS_USE, "HP", "Officieel adres")
    parts = (
        ("streetName", where.street),
        ("houseNumber", where.house_number),
        ("buildingNumberSuffix", where.suffix),
    )
    return {
        "extension": [
            extension(NICTIZ + "zib-AddressInformation-AddressType", valueCodeableConcept=concept(kind))
        ],
        "use": "work" if work else "home",
        "type": "physical" if work else "both",
        "line": [" ".join(value for _, value in parts if value)],
        "_line": [
            {"extension": [extension(f"{HL7}iso21090-ADXP-{part}", valueString=v) for part, v in parts if v]}
        ],
        "city": where.city,
        "postalCode": where.postal_code,
        "country": "NL",
        "_country": specified(Code("urn:iso:std:iso:3166", "NL", "Nederland")),
    }


def phone(number: str, use: str) -> Json:
    """A telephone number in the shape of nl-core-contactpoint; 06 numbers are mobile."""
    kind = _MOBILE if number.startswith("06") else _LANDLINE
    return {
        "extension": [extension(_TELECOM, valueCodeableConcept=concept(kind))],
        "system": "phone",
        "value": number,
        "use": use,
    }


def contact(chart: Chart) -> tuple[Code, Name, str]:
    """The patient's contact person: the relation, the name and a telephone number."""
    person = chart.person
    child = chart.age < 18
    relation = Code(_RELATIONS, "MTH", "Moeder") if child else Code(_RELATIONS, "SIS", "Zuster")
    return relation, Name(("Elly",), person.name.prefix, person.name.family), f"099-99{person.number:05d}"


def patient(chart: Chart) -> Link:
    """nl-core-patient with the GP; the BgZ's MaritalStatus and contact person stand in it too."""
    person = chart.person
    relation, contact_name, contact_phone = contact(chart)
    return chart.add(
        "patient",
        "Patient",
        [NL_CORE + "nl-core-patient", NICTIZ + "BgZ-Patient"],
        {
            "extension": [
                extension(
                    NL_CORE + "nl-core-preferred-pharmacy",
                    valueReference=reference(organisation_link(PHARMACY)),
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
            "_gender": specified(GENDERS[person.sex]),
            "birthDate": person.birth_date.isoformat(),
            "deceasedBoolean": False,
            "address": [address(person.address)],
            "maritalStatus": concept(
                Code("http://hl7.org/fhir/v3/MaritalStatus", person.marital, MARITAL[person.marital])
            ),
            "contact": [
                {
                    "relationship": [concept(relation), concept(CONTACT_ROLE)],
                    "name": human_name(contact_name),
                    "telecom": [phone(contact_phone, "home")],
                }
            ],
            "generalPractitioner": [professional(chart.gp)],
        },
        person.name.display,
    )


def payer(chart: Chart, told: History) -> Link:
    """zib-Payer: basic insurance with one of the region's insurers."""
    return chart.add(
        "payer",
        "Coverage",
        [NICTIZ + "zib-Payer"],
        {
            "status": "active",
            "type": concept(Code("urn:oid:2.16.840.1.113883.2.4.3.11.60.101.5.1", "B", "Basis verzekerd")),
            "subscriber": chart.subject,
            "subscriberId": told.insured_number,
            "beneficiary": chart.subject,
            "period": period(f"{chart.today.year}-01-01", f"{chart.today.year}-12-31"),
            "payor": [reference(insurer_link(told.payer))],
        },
        f"Verzekering bij {told.payer.name}",
    )


def care_team(chart: Chart, members: Sequence[Professional], name: str) -> Link:
    """nl-core-careteam with professionals of the holder and the patient's GP."""
    participants: list[Json] = [
        {
            "role": concept(RESPONSIBLE if place == 0 else Code(PARTICIPATION, "ATND", "Behandelaar")),
            "member": professional(who),
            "onBehalfOf": reference(organisation_link(chart.holder)),
        }
        for place, who in enumerate(members)
    ]
    if all(who.number != chart.gp.number for who in members):
        role = Code(PARTICIPATION, "REF", "Verwijzer")
        participants.append(
            {"role": concept(role), "member": professional(chart.gp), "onBehalfOf": reference(GP_OFFICE)}
        )
    return chart.add(
        "careteam",
        "CareTeam",
        [NL_CORE + "nl-core-careteam"],
        {
            "status": "active",
            "name": name,
            "subject": chart.subject,
            "period": period(chart.day(chart.since_birth(200))),
            "participant": participants,
            "managingOrganization": [reference(organisation_link(chart.holder))],
        },
        name,
    )


def encounter(
    chart: Chart,
    kind: str,
    days_ago: int,
    who: Professional,
    *,
    days: int = 0,
    diagnosis: Link | None = None,
    reason: str = "",
    destination: Code = HOME,
) -> Link:
    """zib-Encounter of a class of v3 ActCode; an admission has where the patient came from and went to."""
    shown = Code(ACT_CODE, kind, _CLASSES[kind])
    days_ago = chart.since_birth(days_ago)
    hour = chart.rng.randint(8, 15)
    start = chart.moment(days_ago, hour)
    end = chart.moment(max(0, days_ago - days), 16 if days else hour + 1)
    admitted = kind in ("IMP", "EMER")
    return chart.add(
        "encounter",
        "Encounter",
        [NICTIZ + "zib-Encounter"],
        {
            "status": "finished",
            "class": {
                "extension": [extension(NICTIZ + "code-specification", valueCodeableConcept=concept(shown))],
                **coding(shown),
            },
            "subject": chart.subject,
            "participant": [{"type": [concept(RESPONSIBLE)], "individual": professional(who)}],
            "period": period(start, end),
            "reason": [{"text": reason}] if reason else None,
            "diagnosis": [{"condition": reference(diagnosis)}] if diagnosis else None,
            "hospitalization": (
                {"admitSource": concept(HOME), "dischargeDisposition": concept(destination)}
                if admitted
                else None
            ),
            "serviceProvider": reference(organisation_link(chart.holder)),
        },
        f"{shown.display} contact {start[:10]}",
    )


def provenance(chart: Chart, targets: Sequence[Link], recorded: str, activity: str = "CREATE") -> Link:
    """BgZ-Metadata: when these resources were first registered (CREATE) or changed (UPDATE), and where."""
    return chart.add(
        "metadata",
        "Provenance",
        [NICTIZ + "BgZ-Metadata"],
        {
            "target": [reference(target) for target in targets],
            "recorded": recorded,
            "activity": coding(Code("http://hl7.org/fhir/v3/DataOperation", activity, activity.lower())),
            "agent": [{"whoReference": reference(organisation_link(chart.holder))}],
        },
        "Registratiegegevens",
    )


def insurer_link(insurer: Payer) -> Link:
    return Link(f"Organization/organization-uzovi-{insurer.uzovi}", insurer.name)


def at(link: Link, profile: str, members: Json) -> Resource:
    """The resource to which `link` points."""
    resource_type, identity = link.target.split("/")
    return {"resourceType": resource_type, "id": identity, "meta": {"profile": [profile]}, **present(members)}


def _organisation(place: Organisation) -> Resource:
    where = Address(place.street, place.house_number, "", place.postal_code, place.city)
    kind = Code("http://nictiz.nl/fhir/NamingSystem/organization-type", place.type_code, place.type_name)
    return at(
        organisation_link(place),
        NL_CORE + "nl-core-organization",
        {
            "identifier": [
                {"system": URA_SYSTEM, "value": place.ura},
                {"system": "http://fhir.nl/fhir/NamingSystem/agb-z", "value": place.agb},
            ],
            "active": True,
            "type": [concept(kind)],
            "name": place.name,
            "telecom": [phone(place.phone, "work")],
            "address": [address(where, work=True)],
        },
    )


def _insurer(insurer: Payer) -> Resource:
    return at(
        insurer_link(insurer),
        NL_CORE + "nl-core-organization",
        {
            "identifier": [{"system": "http://fhir.nl/fhir/NamingSystem/uzovi", "value": insurer.uzovi}],
            "name": insurer.name,
            "telecom": [phone(f"099-990{insurer.uzovi}", "work")],
            "address": [address(Address("Polisplein", "1", "", "9994ZZ", insurer.city), work=True)],
        },
    )


def practitioner_name(who: Professional) -> Json:
    """The name of a professional, of whom only initials are known."""
    name = Name(tuple(f"{letter}." for letter in who.initials.split(".") if letter), who.prefix, who.family)
    shown = human_name(name)
    return shown | {"text": who.name, "given": [who.initials], "_given": shown["_given"][1:]}


def practitioner(who: Professional, profile: str) -> Resource:
    """A professional under the UZI number; the content is the same in both generations of the profile."""
    return at(
        practitioner_link(who),
        profile,
        {
            "identifier": [{"system": "http://fhir.nl/fhir/NamingSystem/uzi-nr-pers", "value": who.number}],
            "active": True,
            "name": [practitioner_name(who)],
        },
    )


def _role(who: Professional, place: Organisation) -> Resource:
    specialty = Code("http://fhir.nl/fhir/NamingSystem/uzi-rolcode", who.role_code, who.role)
    return at(
        role_link(who),
        NL_CORE + "nl-core-practitionerrole",
        {
            "active": True,
            "practitioner": reference(practitioner_link(who)),
            "organization": reference(organisation_link(place)),
            "specialty": [concept(specialty, text=who.function)],
            "telecom": [phone(place.phone, "work")],
        },
    )


def shared(holder: Organisation) -> Iterable[Resource]:
    """What every chart of `holder` refers to: organisations, insurers, its own professionals and the GPs."""
    places = {place.slug: place for place in (holder, GENERAL_PRACTICE, PHARMACY)}
    for place in places.values():
        yield _organisation(place)
    for insurer in PAYERS:
        yield _insurer(insurer)
    for place in {place.slug: place for place in (holder, GENERAL_PRACTICE)}.values():
        for who in place.professionals:
            yield practitioner(who, NL_CORE + "nl-core-practitioner")
            yield _role(who, place)
