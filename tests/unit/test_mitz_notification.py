"""What Mitz tells is read as it is written, in JSON and XML; what cannot be understood is refused by name."""

from __future__ import annotations

import copy
from datetime import UTC, datetime
from typing import Any

import pytest
from tests.mitz import BSN, HOLDER, OTHER_BSN, notification, notification_xml

from schakel.fhir import definitions, xml
from schakel.generic.consent import Choice
from schakel.generic.consent.mitz.notification import choices_in
from schakel.kernel.outcomes import Unprocessable

CHOSEN = datetime(2026, 3, 1, 9, 0, tzinfo=UTC)


def consent(bundle: dict[str, Any]) -> dict[str, Any]:
    found: dict[str, Any] = bundle["entry"][0]["resource"]
    return found


def test_a_permission_is_one_choice_for_each_category_of_providers() -> None:
    told = choices_in(notification(True, "RPZAC001", "RPZAC104"), HOLDER)
    assert told == (
        Choice(BSN, "GGC002", "RPZAC001", True, CHOSEN),
        Choice(BSN, "GGC002", "RPZAC104", True, CHOSEN),
    )


def test_inactive_is_no_permission() -> None:
    assert choices_in(notification(False, "RPZAC001"), HOLDER) == (
        Choice(BSN, "GGC002", "RPZAC001", False, CHOSEN),
    )


def test_no_permission_without_a_category_of_providers_is_about_all() -> None:
    assert choices_in(notification(False), HOLDER) == (Choice(BSN, "GGC002", "", False, CHOSEN),)


def test_an_active_consent_that_denies_is_no_permission() -> None:
    bundle = notification(True, "RPZAC001")
    consent(bundle)["provision"]["type"] = "deny"
    [choice] = choices_in(bundle, HOLDER)
    assert not choice.permitted


def test_several_consents_are_read_together() -> None:
    bundle = notification(True, "RPZAC001")
    bundle["entry"].insert(1, notification(False, "RPZAC104")["entry"][0])
    bundle["entry"][1]["fullUrl"] = "urn:uuid:00000000-0000-4000-8000-000000000009"
    told = {choice.provider_category: choice.permitted for choice in choices_in(bundle, HOLDER)}
    assert told == {"RPZAC001": True, "RPZAC104": False}


def test_xml_says_the_same_as_json() -> None:
    read = xml.parse(notification_xml(True, "RPZAC001"), definitions("r4"))
    assert choices_in(read, HOLDER) == choices_in(notification(True, "RPZAC001"), HOLDER)


def _drop(*path: str | int) -> Any:
    def change(bundle: dict[str, Any]) -> None:
        at: Any = bundle
        for step in path[:-1]:
            at = at[step]
        del at[path[-1]]

    return change


def _put(value: Any, *path: str | int) -> Any:
    def change(bundle: dict[str, Any]) -> None:
        at: Any = bundle
        for step in path[:-1]:
            at = at[step]
        at[path[-1]] = value

    return change


CONSENT, PATIENT, HOLDER_ENTRY = ("entry", 0, "resource"), ("entry", 1, "resource"), ("entry", 2, "resource")

WRONG: dict[str, tuple[Any, str]] = {
    "no bundle": (_put("Patient", "resourceType"), "Bundle.type"),
    "a batch": (_put("batch", "type"), "Bundle.type"),
    "no entries": (_drop("entry"), "Bundle.entry"),
    "no consent": (_drop("entry", 0), "Bundle.entry"),
    "an address twice": (
        _put("urn:uuid:00000000-0000-4000-8000-000000000002", "entry", 0, "fullUrl"),
        "fullUrl",
    ),
    "no status": (_drop(*CONSENT, "status"), "status"),
    "a draft": (_put("draft", *CONSENT, "status"), "status"),
    "another provision": (_put("maybe", *CONSENT, "provision", "type"), "provision.type"),
    "no patient": (_drop(*CONSENT, "patient"), "patient"),
    "a patient elsewhere": (_put({"reference": "Patient/1"}, *CONSENT, "patient"), "patient"),
    "a patient without BSN": (_put([], *PATIENT, "identifier"), "patient"),
    "a BSN that is none": (_put("999911121", *PATIENT, "identifier", 0, "value"), "patient"),
    "no moment": (_drop(*CONSENT, "dateTime"), "dateTime"),
    "a moment that is none": (_put("yesterday", *CONSENT, "dateTime"), "dateTime"),
    "no category": (_drop(*CONSENT, "category"), "category"),
    "another category": (_put("LOINC", *CONSENT, "category", 0, "coding", 0, "code"), "category"),
    "another code system": (_put("urn:x", *CONSENT, "category", 0, "coding", 0, "system"), "category"),
    "no category of providers": (_drop(*CONSENT, "extension"), "extension"),
    "a category of providers that is none": (
        _put("GP", *CONSENT, "extension", 0, "valueCodeableConcept", "coding", 0, "code"),
        "extension",
    ),
    "a category of providers without code": (
        _put({}, *CONSENT, "extension", 0, "valueCodeableConcept"),
        "extension",
    ),
    "no actor": (_drop(*CONSENT, "provision", "actor"), "actor"),
    "another role": (_put("PRCP", *CONSENT, "provision", "actor", 0, "role", "coding", 0, "code"), "actor"),
    "a custodian elsewhere": (
        _put({"reference": "Organization/1"}, *CONSENT, "provision", "actor", 0, "reference"),
        "actor",
    ),
    "a custodian without URA": (_put([], *HOLDER_ENTRY, "identifier"), "actor"),
    "a URA that is none": (_put("x", *HOLDER_ENTRY, "identifier", 0, "value"), "actor"),
    "another holder": (_put("33333333", *HOLDER_ENTRY, "identifier", 0, "value"), "actor"),
    "a resource that is none": (_put("x", *PATIENT, "identifier"), "patient"),
}


@pytest.mark.parametrize("name", WRONG)
def test_what_cannot_be_understood_is_refused_by_name(name: str) -> None:
    change, where = WRONG[name]
    bundle = copy.deepcopy(notification(True, "RPZAC001"))
    change(bundle)
    with pytest.raises(Unprocessable) as refused:
        choices_in(bundle, HOLDER)
    assert refused.value.expression.endswith(where)
    assert refused.value.kind == (
        "mitz-holder-unknown" if name == "another holder" else "mitz-notification-invalid"
    )
    assert BSN not in refused.value.message


def test_a_patient_with_two_numbers_is_nobody() -> None:
    bundle = notification(True, "RPZAC001")
    identifiers = bundle["entry"][1]["resource"]["identifier"]
    identifiers.append({**identifiers[0], "value": OTHER_BSN})
    with pytest.raises(Unprocessable):
        choices_in(bundle, HOLDER)
