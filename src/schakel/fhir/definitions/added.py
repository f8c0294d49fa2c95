"""Search parameters that exchanges ask and the FHIR versions lack: our own table (code, bases, type, expression).

Sources: the FHIR profiles of Nictiz for zib 2017 (STU3), zib 2020, Medication Process 9 and Immunization (R4), as
the facts on exchanges name them (sections 1, 4 and 9).
"""

from __future__ import annotations

from schakel.fhir.definitions import SearchParameter, Version

_NICTIZ = "http://nictiz.nl/fhir/SearchParameter/"
_OWN = "urn:schakel:search-parameter:"
_EXT = "http://nictiz.nl/fhir/StructureDefinition/"
_REQUEST, _DISPENSE, _STATEMENT = "MedicationRequest", "MedicationDispense", "MedicationStatement"
_ADMINISTRATION = "MedicationAdministration"

TIME_INTERVAL = "time-interval"
"""Of a date parameter: a Period that lacks an end (or start) has it by the duration beside it."""
LATEST_STOP = "latest-stop"
"""Of a special parameter: its expression gives the moment of a building block that stops a treatment."""


def _value(bases: tuple[str, ...], path: str, extension: str) -> str:
    """The values of an extension at `path` below each of these types."""
    return " | ".join(f"{base}{path}.extension('{_EXT}{extension}').value" for base in bases)


def _moment_of_stop(base: str, moment: str) -> str:
    return (
        f"{base}.where(modifierExtension.where(url = '{_EXT}ext-StopType').exists())"
        f".select({moment} | extension('{_EXT}ext-RegistrationDateTime').value).first()"
    )


_DOCUMENT = SearchParameter(
    code="patient",
    base=("Bundle",),
    type="reference",
    expression="Bundle.where(type = 'document').entry[0].resource.as(Composition).subject",
    url=f"{_OWN}document-patient",
    targets=("Patient",),
)
"""Whose a document is: it is erased with its patient."""

_STU3 = (
    _DOCUMENT,
    SearchParameter(
        code="patient",
        base=("Coverage",),
        type="reference",
        expression="Coverage.beneficiary",
        url=f"{_OWN}Coverage-patient",
        targets=("Patient",),
        indexed_as="beneficiary",
    ),
    SearchParameter(
        code="category",
        base=(_DISPENSE, _ADMINISTRATION),
        type="token",
        expression=f"{_DISPENSE}.category | {_ADMINISTRATION}.category",
        url=f"{_NICTIZ}Medications-category",
    ),
    SearchParameter(
        code="periodofuse",
        base=(_REQUEST, _DISPENSE),
        type="date",
        expression=_value((_REQUEST, _DISPENSE), "", "zib-Medication-PeriodOfUse"),
        url=f"{_NICTIZ}Medications-periodofuse",
        special=TIME_INTERVAL,
    ),
    SearchParameter(
        code="medicationtreatment",
        base=(_REQUEST, _DISPENSE, _STATEMENT, _ADMINISTRATION),
        type="token",
        expression=_value(
            (_REQUEST, _DISPENSE, _STATEMENT, _ADMINISTRATION), "", "zib-Medication-MedicationTreatment"
        ),
        url=f"{_OWN}medicationtreatment",
    ),
    SearchParameter(
        code="requestdate",
        base=(_DISPENSE,),
        type="date",
        expression=_value((_DISPENSE,), "", "zib-Dispense-RequestDate"),
        url=f"{_OWN}requestdate",
    ),
    SearchParameter(
        code="activity-goal",
        base=("CarePlan",),
        type="reference",
        expression="CarePlan.activity.detail.goal",
        url=f"{_NICTIZ}careplan-activity-goal",
        targets=("Goal",),
    ),
    SearchParameter(
        code="activity-outcomereference",
        base=("CarePlan",),
        type="reference",
        expression="CarePlan.activity.outcomeReference",
        url=f"{_NICTIZ}careplan-activity-outcomereference",
    ),
    SearchParameter(
        code="activity-medicaldevice",
        base=("CarePlan",),
        type="reference",
        expression=_value(("CarePlan",), ".activity.detail", "extension-medicaldevice"),
        url=f"{_NICTIZ}careplan-medicaldevice",
        targets=("DeviceUseStatement",),
    ),
)

_R4 = (
    _DOCUMENT,
    SearchParameter(
        code="pharmaceutical-treatment-identifier",
        base=(_REQUEST, _DISPENSE, _STATEMENT, _ADMINISTRATION),
        type="token",
        expression=_value(
            (_REQUEST, _DISPENSE, _STATEMENT, _ADMINISTRATION), "", "ext-PharmaceuticalTreatment.Identifier"
        ),
        url=f"{_NICTIZ}pharmaceutical-treatment-identifier",
    ),
    SearchParameter(
        code="period-of-use",
        base=(_REQUEST, _DISPENSE, _STATEMENT),
        type="date",
        expression=_value((_REQUEST, _DISPENSE), "", "ext-TimeInterval.Period")
        + f" | {_STATEMENT}.effective.ofType(Period)",
        url=f"{_NICTIZ}period-of-use",
        special=TIME_INTERVAL,
    ),
    SearchParameter(
        code="periodofuse",
        base=(_REQUEST,),
        type="date",
        expression=_value((_REQUEST,), "", "ext-TimeInterval.Period"),
        url=f"{_OWN}MedicationRequest-periodofuse",
        special=TIME_INTERVAL,
    ),
    SearchParameter(
        code="is-latest-stop",
        base=(_REQUEST, _DISPENSE, _STATEMENT),
        type="special",
        expression=" | ".join(
            (
                _moment_of_stop(_REQUEST, "authoredOn"),
                _moment_of_stop(
                    _DISPENSE,
                    f"extension('{_EXT}ext-AdministrationAgreement.AdministrationAgreementDateTime').value",
                ),
                _moment_of_stop(_STATEMENT, "dateAsserted"),
            )
        ),
        url=f"{_NICTIZ}is-latest-stop",
        special=LATEST_STOP,
    ),
    SearchParameter(
        code="category",
        base=(_DISPENSE, _ADMINISTRATION),
        type="token",
        expression=f"{_DISPENSE}.category | {_ADMINISTRATION}.category",
        url=f"{_NICTIZ}category",
    ),
    SearchParameter(
        code="next-practitioner",
        base=(_REQUEST,),
        type="reference",
        expression=_value((_REQUEST,), "", "ext-MedicationAgreement.NextPractitioner"),
        url=f"{_NICTIZ}MedicationRequest-next-practitioner",
        targets=("Practitioner", "PractitionerRole", "Organization", "HealthcareService"),
    ),
    SearchParameter(
        code="dispense-location",
        base=(_REQUEST,),
        type="reference",
        expression=_value((_REQUEST,), ".dispenseRequest", "ext-DispenseRequest.DispenseLocation"),
        url=f"{_NICTIZ}MedicationRequest-dispense-location",
        targets=("Location",),
    ),
    SearchParameter(
        code="reason",
        base=(_REQUEST,),
        type="reference",
        expression=f"{_REQUEST}.reasonReference",
        url=f"{_NICTIZ}MedicationRequest-reason",
        targets=("Condition", "Observation", "DiagnosticReport"),
    ),
    SearchParameter(
        code="author",
        base=(_STATEMENT,),
        type="reference",
        expression=_value((_STATEMENT,), "", "ext-MedicationUse2.Author"),
        url=f"{_NICTIZ}MedicationStatement-author",
        targets=("Patient", "PractitionerRole", "Organization", "Location"),
    ),
    SearchParameter(
        code="prescriber",
        base=(_STATEMENT,),
        type="reference",
        expression=_value((_STATEMENT,), "", "ext-MedicationUse2.Prescriber"),
        url=f"{_NICTIZ}MedicationStatement-prescriber",
        targets=("PractitionerRole", "Organization", "Location"),
    ),
    SearchParameter(
        code="location",
        base=(_DISPENSE,),
        type="reference",
        expression=f"{_DISPENSE}.location",
        url=f"{_NICTIZ}MedicationDispense-location",
        targets=("Location",),
    ),
    SearchParameter(
        code="pharmaceutical-product",
        base=("Immunization",),
        type="reference",
        expression=" | ".join(
            _value(("Immunization",), "", name)
            for name in ("ext-imm-Vaccination.PharmaceuticalProduct", "ext-Vaccination.PharmaceuticalProduct")
        ),
        url=f"{_OWN}Immunization-pharmaceutical-product",
        targets=("Medication",),
    ),
    SearchParameter(
        code="category",
        base=("Flag",),
        type="token",
        expression="Flag.category",
        url=f"{_NICTIZ}Flag-category",
    ),
    SearchParameter(
        code="medication-hypersensitivity-identifier",
        base=("Flag", "AllergyIntolerance", "Condition", "Observation"),
        type="token",
        expression=_value(
            ("Flag", "AllergyIntolerance", "Condition", "Observation"),
            "",
            "ext-MedicationHypersensitivity.Identifier",
        ),
        url=f"{_NICTIZ}medication-hypersensitivity-identifier",
    ),
)

ADDED: dict[Version, tuple[SearchParameter, ...]] = {"stu3": _STU3, "r4": _R4}
