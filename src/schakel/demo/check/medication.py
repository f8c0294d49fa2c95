"""The step about medication, which the pharmacy of the region keeps in R4 (Medicatieproces 9)."""

from __future__ import annotations

from urllib.parse import urlencode

from schakel.demo import cast
from schakel.demo.check.trial import Trial, bsn_query, prove, prove_equal
from schakel.fhir.json import Resource

_AGREEMENT = "http://nictiz.nl/fhir/StructureDefinition/mp-AdministrationAgreement"
_TREATMENT = {
    "r4": "http://nictiz.nl/fhir/StructureDefinition/ext-PharmaceuticalTreatment.Identifier",
    "stu3": "http://nictiz.nl/fhir/StructureDefinition/zib-Medication-MedicationTreatment",
}


async def medication(trial: Trial) -> str:
    """The pharmacy's R4 door gives the agreements with their medicines, about the treatments of the BgZ.

    Its STU3 door has nothing of this patient: a resource is seen in its own version only.
    """
    pharmacy = trial.parties[cast.PHARMACY.slug]
    base = f"{pharmacy.internal}/fhir/r4"
    statement = await trial.client.send(
        "GET", f"{base}/metadata", headers={"X-API-Key": pharmacy.internal_key}
    )
    version = str(statement.json()["fhirVersion"])
    prove(version.startswith("4.0."), f"the FHIR version there is {version}, not R4")
    prove(bool(trial.answer), "the exchange has not been made")
    include = urlencode({"_include": "MedicationDispense:medication"})
    found = await trial.pages(pharmacy, f"{base}/MedicationDispense?{bsn_query(trial.bsn)}&{include}")
    agreements = [one for one in found if _AGREEMENT in one["meta"]["profile"]]
    medicines = {f"Medication/{one['id']}" for one in found if one["resourceType"] == "Medication"}
    named = {one["medicationReference"]["reference"] for one in found if "medicationReference" in one}
    prove_equal(named ^ medicines, set(), "medicines named and not given, or the reverse")
    here = {_treatment(one, "r4") for one in agreements}
    given = trial.given(trial.holder).values()
    requests = [one for one in given if one["resourceType"] == "MedicationRequest"]
    prove_equal(here ^ {_treatment(one, "stu3") for one in requests}, set(), "treatments of one side only")
    prove(bool(here), "the patient uses no medicines, so that nothing is compared")
    older = await trial.search(pharmacy, f"Patient?{urlencode({'identifier': trial.identifier})}")
    prove_equal(older, [], f"at the STU3 door of {pharmacy.slug}")
    return (
        f"{len(agreements)} agreements and {len(found) - len(agreements) - len(medicines)} dispenses of "
        f"{len(medicines)} medicines at {pharmacy.slug} in FHIR {version}: the {len(here)} treatments that "
        f"{trial.holder.slug} gave in STU3"
    )


def _treatment(resource: Resource, version: str) -> str:
    """The identifier of the pharmaceutical treatment a resource is about."""
    for extension in resource["extension"]:
        if extension["url"] == _TREATMENT[version]:
            return str(extension["valueIdentifier"]["value"])
    return ""
