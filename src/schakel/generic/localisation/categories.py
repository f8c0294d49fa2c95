"""Categories of data: what counts as data of each.

Source: the ministry's guide on generic functions, code system of data categories (FHIR query scope of each code). The
categories that are about no patient (CareServiceEntities, Definitional, Practitioner) have no place in the index. What
was entered in error is no data: FHIR says of it that it should never have been there. The categories of AORTA stand for
those of the guide as its concept map aorta-to-nl-gf-datacategories says.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

SYSTEM = "http://minvws.github.io/generiekefuncties-docs/CodeSystem/nl-gf-data-categories-cs"
SYSTEMS = frozenset({SYSTEM, "http://minvws.nl/CodeSystem/nl-gf-data-categories-cs"})
"""Under which codes are read: examples of the guide still write the second."""

_TERMINOLOGY = "http://terminology.hl7.org/CodeSystem"
OBSERVATION = (f"{_TERMINOLOGY}/observation-category", "http://hl7.org/fhir/observation-category")
"""The code system of R4, and its name in STU3."""
CONSENT = (f"{_TERMINOLOGY}/consentcategorycodes", "http://hl7.org/fhir/consentcategorycodes")


ENTERED_IN_ERROR = "entered-in-error"
STATUSES = {"status": "status", "verificationStatus": "verification-status"}
"""Elements that can say so, and the search parameter under which they stand in the index of the store."""
STATUS_NOT_INDEXED = frozenset({"DeviceUseStatement", "Flag", "VisionPrescription"})
"""Types that have the element `status` without a search parameter for it, in one of the versions or in both."""


@dataclass(frozen=True, slots=True)
class Kind:
    """Resources of a type; with a `code` those that have it as `category`, in one of `systems`."""

    type: str
    code: str = ""
    systems: tuple[str, ...] = ()


def _types(*types: str) -> tuple[Kind, ...]:
    return tuple(Kind(one) for one in types)


def _observation(code: str) -> tuple[Kind, ...]:
    return (Kind("Observation", code, OBSERVATION),)


CATEGORIES: Mapping[str, tuple[Kind, ...]] = {
    "AdvanceDirective": (Kind("Consent", "acd", CONSENT),),
    "Alert": _types("Flag"),
    "AllergyIntolerance": _types("AllergyIntolerance"),
    "Condition": _types("Condition"),
    "Consent": _types("Consent"),
    "Device": _types("Device", "DeviceUseStatement"),
    "DiagnosticReport": _types("DiagnosticReport"),
    "Encounter": _types("Encounter"),
    "Episode": _types("EpisodeOfCare", "CarePlan"),
    "Genomics": _types("MolecularSequence", "Sequence"),
    "Imaging": _types("ImagingStudy"),
    "Logging": _types("AuditEvent"),
    "MedicationRequest": _types("MedicationRequest"),
    "MedicationUse": _types(
        "MedicationDispense", "MedicationAdministration", "MedicationStatement", "Immunization"
    ),
    "Nutrition": _types("NutritionOrder"),
    "ObservationActivity": _observation("activity"),
    "ObservationExam": _observation("exam"),
    "ObservationImaging": _observation("imaging"),
    "ObservationLaboratory": _observation("laboratory"),
    "ObservationProcedure": _observation("procedure"),
    "ObservationSocialHistory": _observation("social-history"),
    "ObservationSurvey": (*_observation("survey"), *_types("QuestionnaireResponse")),
    "ObservationTherapy": _observation("therapy"),
    "ObservationVitalSigns": _observation("vital-signs"),
    "Patient": _types("Patient", "RelatedPerson", "CareTeam"),
    "Procedure": _types("Procedure"),
    "Request": _types(
        "ServiceRequest",
        "ProcedureRequest",
        "ReferralRequest",
        "DeviceRequest",
        "CommunicationRequest",
        "SupplyRequest",
        "VisionPrescription",
    ),
    "Specimen": _types("Specimen"),
}
"""By code. The types are those of both versions that are kept: what a version does not have is never found in it. The
request types without a category of their own that say something of the patient's care stand under Request."""

AORTA = "urn:oid:2.16.840.1.113883.2.4.3.111.15.3"
_OF_AORTA: Mapping[str, str] = {
    "LABBEPALING": "ObservationLaboratory",
    "ALGBEPALING": "DiagnosticReport",
    "CONTACTMOMENT": "Encounter",
    "CONTACTVERSLAG": "Encounter",
    "MEDAFSPRAAK": "MedicationRequest",
    "DOSEERSCHEMA": "MedicationRequest",
    "OVERDRACHTSCONCERN": "Request",
    "ALERT": "Alert",
    "ALLERGIEINTOLERANTIE": "AllergyIntolerance",
    "TOEDIENING": "MedicationUse",
    "MEDGEBRUIK": "MedicationUse",
    "MEDOVERZICHT": "MedicationUse",
    "MEDVERSTREKKING": "MedicationUse",
    "TOEDIENINGSAFSPRAAK": "MedicationUse",
    "VERSTREKKINGSVERZOEK": "MedicationUse",
    "BEHAANWIJZING": "AdvanceDirective",
}


def category(system: object, code: object) -> str:
    """The category that a code means, '' when it means none. A code of AORTA is known under the system of the guide
    too: examples of others write it so, and the two have no code in common."""
    if not isinstance(code, str):
        return ""
    if system in SYSTEMS and code in CATEGORIES:
        return code
    return _OF_AORTA.get(code, "") if system == AORTA or system in SYSTEMS else ""
