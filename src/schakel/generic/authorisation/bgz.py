"""The requests of the BgZ on STU3 (zib 2017), one row per accepted form of each zib.

Sources: "MSZ" is the request list of BgZ-MSZ 2.0 (27 requests; its client scripts ask rows 20 to 23 as
`$lastn`), "older" the forms of MedMij BgZ 3.0 and BgZ-MSZ 1.x, "bgz2017" the capability
`http://nictiz.nl/fhir/CapabilityStatement/bgz2017-servercapabilities` with the policy made from it.

Correspondence (`DocumentReference?status=current`) is not here: the capability lacks it.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Literal

from schakel.fhir.definitions import Version

SCT = "http://snomed.info/sct"
LOINC = "http://loinc.org"
MEDICATION_USE = "urn:oid:2.16.840.1.113883.2.4.3.11.60.20.77.5.3"
ACT_CODE = "http://hl7.org/fhir/v3/ActCode"

Form = Literal["plain", "lastn", "latest"]
"""`latest` is a plain search with `_sort=-date&_count=1`."""

PLAIN: frozenset[Form] = frozenset({"plain"})
ANY_FORM: frozenset[Form] = frozenset({"plain", "lastn", "latest"})


@dataclass(frozen=True, slots=True)
class Row:
    """One accepted form in one FHIR version: type, parameters with exactly these values (an OR set each), exactly
    these includes.

    `patient` is the parameter that names the patient; on Patient itself that is `identifier` or `_id`.
    `_revinclude=Provenance:target` is accepted beside it, except with `$lastn`.
    """

    number: int
    zib: str
    type: str
    source: str
    parameters: Mapping[str, frozenset[str]] = field(default_factory=dict)
    includes: frozenset[str] = frozenset()
    forms: frozenset[Form] = PLAIN
    patient: str = "patient"
    version: Version = "stu3"

    @property
    def id(self) -> str:
        """The name of the row in decisions and in the log."""
        return f"bgz-{self.number}-{self.zib}"


def _of(system: str, *codes: str) -> frozenset[str]:
    return frozenset(f"{system}|{code}" for code in codes)


ROWS: tuple[Row, ...] = (
    Row(
        1,
        "Patient",
        "Patient",
        "MSZ, bgz2017",
        includes=frozenset({"Patient:general-practitioner"}),
        patient="identifier",
    ),
    Row(
        2,
        "Payer",
        "Coverage",
        "MSZ, bgz2017",
        includes=frozenset({"Coverage:payor:Patient", "Coverage:payor:Organization"}),
        patient="beneficiary",
    ),
    Row(2, "Payer", "Coverage", "MSZ", includes=frozenset({"Coverage:payor"}), patient="beneficiary"),
    Row(3, "TreatmentDirective", "Consent", "MSZ, bgz2017", {"category": _of(SCT, "11291000146105")}),
    Row(4, "AdvanceDirective", "Consent", "MSZ, bgz2017", {"category": _of(SCT, "11341000146107")}),
    Row(5, "MaritalStatus", "Patient", "MSZ", patient="identifier"),
    Row(
        6,
        "FunctionalOrMentalStatus",
        "Observation",
        "MSZ; older, bgz2017 ($lastn)",
        {"category": _of(SCT, "118228005", "384821006")},
        forms=ANY_FORM,
    ),
    Row(7, "Problem", "Condition", "MSZ, bgz2017"),
    Row(
        8,
        "LivingSituation",
        "Observation",
        "MSZ; older, bgz2017 ($lastn)",
        {"code": _of(SCT, "365508006")},
        forms=ANY_FORM,
    ),
    Row(9, "DrugUse", "Observation", "MSZ, bgz2017", {"code": _of(SCT, "228366006")}, forms=ANY_FORM),
    Row(10, "AlcoholUse", "Observation", "MSZ, bgz2017", {"code": _of(SCT, "228273003")}, forms=ANY_FORM),
    Row(11, "TobaccoUse", "Observation", "MSZ, bgz2017", {"code": _of(SCT, "365980008")}, forms=ANY_FORM),
    Row(12, "NutritionAdvice", "NutritionOrder", "MSZ, bgz2017"),
    Row(13, "Alert", "Flag", "MSZ, bgz2017"),
    Row(14, "AllergyIntolerance", "AllergyIntolerance", "MSZ, bgz2017"),
    Row(
        15,
        "MedicationUse",
        "MedicationStatement",
        "MSZ, bgz2017",
        {"category": _of(MEDICATION_USE, "6")},
        frozenset({"MedicationStatement:medication"}),
    ),
    Row(
        16,
        "MedicationAgreement",
        "MedicationRequest",
        "MSZ, bgz2017",
        {"category": _of(SCT, "16076005")},
        frozenset({"MedicationRequest:medication"}),
    ),
    Row(
        17,
        "AdministrationAgreement",
        "MedicationDispense",
        "MSZ, bgz2017",
        {"category": _of(SCT, "422037009")},
        frozenset({"MedicationDispense:medication"}),
    ),
    Row(
        18,
        "MedicalDevice",
        "DeviceUseStatement",
        "MSZ, bgz2017",
        includes=frozenset({"DeviceUseStatement:device"}),
    ),
    Row(19, "Vaccination", "Immunization", "MSZ, bgz2017", {"status": frozenset({"completed"})}),
    Row(20, "BloodPressure", "Observation", "MSZ, bgz2017", {"code": _of(LOINC, "85354-9")}, forms=ANY_FORM),
    Row(
        21,
        "BodyWeight",
        "Observation",
        "MSZ; older ($lastn)",
        {"code": _of(LOINC, "29463-7")},
        forms=ANY_FORM,
    ),
    Row(
        22,
        "BodyHeight",
        "Observation",
        "MSZ; older, bgz2017 ($lastn)",
        {"code": _of(LOINC, "8302-2", "8306-3", "8308-9")},
        forms=ANY_FORM,
    ),
    Row(
        23,
        "LaboratoryTestResult",
        "Observation",
        "MSZ",
        {"category": _of(SCT, "49581000146104")},
        frozenset({"Observation:related-target"}),
        ANY_FORM,
    ),
    Row(
        23,
        "LaboratoryTestResult",
        "Observation",
        "older, bgz2017 ($lastn)",
        {"category": _of(SCT, "275711006")},
        frozenset({"Observation:related-target", "Observation:specimen"}),
        ANY_FORM,
    ),
    Row(24, "Encounter", "Encounter", "MSZ"),
    Row(
        24,
        "Encounter",
        "Encounter",
        "older, bgz2017",
        {"class": _of(ACT_CODE, "IMP", "ACUTE", "NONAC")},
    ),
    Row(
        25,
        "Procedure",
        "Procedure",
        "MSZ",
        {"category": _of(SCT, "387713003", "258174001")},
        frozenset({"Procedure:based-on"}),
    ),
    Row(25, "Procedure", "Procedure", "older, bgz2017", {"category": _of(SCT, "387713003")}),
    Row(26, "PlannedProcedure", "ProcedureRequest", "MSZ, bgz2017", {"status": frozenset({"active"})}),
    Row(
        27,
        "CareTeam",
        "CareTeam",
        "MSZ",
        {"status": frozenset({"active"})},
        frozenset({"CareTeam:participant"}),
    ),
    Row(28, "PlannedVaccination", "ImmunizationRecommendation", "older, bgz2017"),
    Row(
        29,
        "PlannedMedicalDevice",
        "DeviceRequest",
        "older, bgz2017",
        {"status": frozenset({"active"})},
        frozenset({"DeviceRequest:device"}),
    ),
    Row(
        30,
        "PlannedContact",
        "Appointment",
        "older, bgz2017",
        {"status": frozenset({"booked", "pending", "proposed"})},
    ),
)
