"""The data services of MedMij as data: what each is called, which FHIR version it speaks, what it gives or takes.

Source: the names list of MedMij (GNL) and the system roles of its provider list (ZAL) for the numbers below 900.
Of the services whose number is not public the number, from 900 up, is our own invention (`invented`), for use
with a list that we publish ourselves.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Literal

from schakel.fhir.definitions import Version
from schakel.server import Exchanged

FIRST_INVENTED = 900


@dataclass(frozen=True, slots=True)
class Service:
    """One data service.

    `name` is its display name in the names list (3 to 50 characters), `gives` the resource types that a person
    collects by search and read, `takes` those that a person sends in a Bundle to the FHIR base, `updates` those
    that a person may change by `PUT`. `notice` is a text for the person that comes back with what was received.
    """

    id: str
    name: str
    version: Version
    gives: frozenset[str] = frozenset()
    takes: frozenset[str] = frozenset()
    updates: frozenset[str] = frozenset()
    roles: tuple[str, ...] = ()
    notice: str = ""

    @property
    def kind(self) -> Literal["collect", "share"]:
        """Collect (Verzamelen) or share (Delen); one that does both is opened as the latter."""
        return "share" if self.takes or self.updates else "collect"

    @property
    def exchanged(self) -> Exchanged:
        """What its door gives and takes."""
        return Exchanged(self.gives, self.takes, self.updates)

    @property
    def invented(self) -> bool:
        """Whether number and role are our own."""
        return int(self.id) >= FIRST_INVENTED

    @property
    def system_roles(self) -> tuple[str, ...]:
        """The role codes for the provider list; one of our own where none is public."""
        return self.roles or (f"SCHAKEL-{self.id}",)


def _types(text: str) -> frozenset[str]:
    return frozenset(text.split())


_MEDICATION = "MedicationRequest MedicationDispense MedicationStatement"
_MEASURED = "Patient Observation"

_TABLE = (
    Service("31", "Medicatiegegevens 9.0", "stu3", _types(f"Patient {_MEDICATION}")),
    Service("35", "Medicatiegegevens 9.A", "stu3", _types(f"Patient {_MEDICATION}")),
    Service("46", "Laboratoriumresultaten 2.0", "stu3", _types("Patient Observation DiagnosticReport")),
    Service(
        "48",
        "Basisgegevens Zorg 3.0",
        "stu3",
        _types(
            "Patient Coverage Consent Observation Condition NutritionOrder Flag AllergyIntolerance "
            f"{_MEDICATION} DeviceUseStatement Immunization Procedure Encounter ProcedureRequest "
            "ImmunizationRecommendation DeviceRequest Appointment"
        ),
        roles=("MM-3.0-BZB-FHIR",),
    ),
    Service(
        "49",
        "Huisartsgegevens 2.0",
        "stu3",
        _types(
            "Patient EpisodeOfCare Encounter Composition AllergyIntolerance MedicationRequest Observation"
        ),
        roles=("MM-2.0-HGB-FHIR",),
    ),
    Service(
        "50",
        "Basisgegevens GGZ 2.0",
        "stu3",
        _types(
            "Patient Coverage Consent Observation Condition CarePlan Procedure DiagnosticReport CareTeam "
            "AllergyIntolerance"
        ),
        roles=("MM-2.0-GGB-FHIR",),
    ),
    Service(
        "51",
        "Documenten 3.0",
        "stu3",
        _types("Patient DocumentManifest DocumentReference"),
        roles=("MM-3.0-PLB-FHIR", "MM-3.0-PDB-FHIR"),
    ),
    Service("52", "Meetwaarden vitale functies 2.0", "stu3", _types(_MEASURED)),
    Service("54", "Overgevoeligheden 2.0", "stu3", _types("Patient AllergyIntolerance")),
    Service(
        "58", "Medicatiegerelateerde overgevoeligheden 2.A", "stu3", _types("Patient AllergyIntolerance")
    ),
    Service("59", "Verwijzing naar vragenlijst 2.0", "stu3", _types("Patient Task")),
    Service(
        "61",
        "Basisgegevens Langdurige Zorg 3.0",
        "stu3",
        _types("Patient Consent Condition AllergyIntolerance Observation Procedure CarePlan CareTeam"),
    ),
    Service("63", "Vaccinaties 1.0", "r4", _types("Patient Immunization")),
    Service(
        "65",
        "Integrale Zwangerschapskaart 1.0",
        "stu3",
        _types(
            "Patient EpisodeOfCare Condition Encounter Observation Procedure CareTeam DiagnosticReport "
            "ReferralRequest FamilyMemberHistory RelatedPerson"
        ),
    ),
    Service("900", "Medicatiegegevens 3.0", "r4", _types(f"Patient {_MEDICATION} MedicationAdministration")),
    Service("901", "Afspraken 2.0", "stu3", _types("Patient Appointment")),
    Service(
        "902",
        "Verzoek tot correctie 1.0",
        "r4",
        takes=_types("Patient Organization Communication"),
        notice="Uw verzoek is ontvangen. De zorgaanbieder beoordeelt het en laat u weten wat ermee gebeurt.",
    ),
    Service("903", "Zelfmetingen delen 2.0", "stu3", takes=_types("Patient Observation Device DeviceMetric")),
    Service(
        "904",
        "Vragenlijsten 2.0",
        "stu3",
        gives=_types("Patient Task"),
        takes=_types("Task QuestionnaireResponse"),
        updates=_types("Task"),
    ),
    Service(
        "905",
        "Medicatiegegevens delen 3.0",
        "r4",
        takes=_types(
            f"Patient {_MEDICATION} MedicationAdministration Medication Communication Organization Location "
            "Practitioner PractitionerRole RelatedPerson Observation Specimen Condition"
        ),
    ),
    Service(
        "906",
        "Foto's delen 2.0",
        "stu3",
        takes=_types("Patient List Media DocumentReference DocumentManifest Binary Observation"),
    ),
    Service(
        "907",
        "Documenten delen 3.0",
        "stu3",
        takes=_types("Patient DocumentManifest DocumentReference Binary"),
    ),
    Service("908", "Overgevoeligheden 3.0", "stu3", _types("Patient AllergyIntolerance")),
    Service("909", "Zelfmetingen verzamelen 2.0", "stu3", _types(_MEASURED)),
)

SERVICES: Mapping[str, Service] = {service.id: service for service in _TABLE}
"""By id. What is not here is not served: the answer is 404."""

COLLECTS = frozenset(s.id for s in _TABLE if s.kind == "collect")
SHARES = frozenset(s.id for s in _TABLE if s.kind == "share")
