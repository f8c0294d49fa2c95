"""What Mitz tells us of a changed choice: a FHIR R4 transaction Bundle of Consents with their Patient and Organization.

Source: pages of Mitz on subscriptions and notifications; profile Consent-Mitz-Notify 3.8.0.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

from schakel.fhir.json import Resource
from schakel.fhir.moments import interval
from schakel.generic.consent.choices import Choice
from schakel.generic.consent.organisations import CATEGORY, PROVIDER_CATEGORY
from schakel.kernel.outcomes import Invalid, Unprocessable
from schakel.kernel.values import BSN_SYSTEM, URA_SYSTEM, Bsn, Ura

CATEGORY_SYSTEM = "http://fhir.nl/otv/CodeSystem/gegevenscategorie"
PROVIDER_SYSTEM = "http://fhir.nl/otv/CodeSystem/raadplegende-zorgaanbiedercategorie"
PROVIDER_EXTENSION = "http://fhir.nl/StructureDefinition/OTV-ProviderCategory"
MAX_CONSENTS = 1000


def choices_in(bundle: Resource, holder: str) -> tuple[Choice, ...]:
    """The choices in a notification, one for each category of data and of providers, all of them for `holder` (URA).

    Raises `Unprocessable`, naming the entry and the element, for what cannot be understood, and for a Consent about
    another holder.
    """
    if bundle.get("resourceType") != "Bundle" or bundle.get("type") != "transaction":
        raise _wrong("a notification is a Bundle of type transaction", "Bundle.type")
    entries = [entry for entry in _list(bundle, "entry") if isinstance(entry, dict)]
    by_url: dict[str, Resource] = {}
    consents: list[tuple[int, Resource]] = []
    for number, entry in enumerate(entries):
        resource = entry.get("resource")
        if not isinstance(resource, dict):
            continue
        if isinstance(url := entry.get("fullUrl"), str):
            if url in by_url:
                raise _wrong("two entries have this fullUrl", f"Bundle.entry[{number}].fullUrl")
            by_url[url] = resource
        if resource.get("resourceType") == "Consent":
            consents.append((number, resource))
    if not consents:
        raise _wrong("a notification has at least one Consent", "Bundle.entry")
    if len(consents) > MAX_CONSENTS:
        raise _wrong(f"a notification has at most {MAX_CONSENTS} Consents", "Bundle.entry")
    return tuple(
        choice
        for number, consent in consents
        for choice in _choices(consent, by_url, holder, f"Bundle.entry[{number}].resource")
    )


def _choices(consent: Resource, by_url: Mapping[str, Resource], holder: str, where: str) -> Iterator[Choice]:
    status = consent.get("status")
    if status not in ("active", "inactive"):
        raise _wrong("status is active (permission) or inactive (none)", f"{where}.status")
    provision = consent.get("provision")
    provision = provision if isinstance(provision, dict) else {}
    kind = provision.get("type")
    if kind not in (None, "permit", "deny"):
        raise _wrong("provision.type is permit or deny", f"{where}.provision.type")
    permitted = status == "active" and kind != "deny"
    patient = _patient(_referred(consent.get("patient"), by_url, f"{where}.patient"), f"{where}.patient")
    _check_holder(provision, by_url, holder, f"{where}.provision.actor")
    chosen = consent.get("dateTime")
    try:
        moment = interval(chosen if isinstance(chosen, str) else "")[0]
    except Invalid:
        raise _wrong("dateTime is needed: when the patient chose", f"{where}.dateTime") from None
    categories = _codes(_list(consent, "category"), CATEGORY_SYSTEM)
    if not categories or not all(CATEGORY.fullmatch(code) for code in categories):
        raise _wrong("category names a data category of Mitz, as in GGC002", f"{where}.category")
    extensions = [
        extension.get("valueCodeableConcept")
        for extension in _list(consent, "extension")
        if isinstance(extension, dict) and extension.get("url") == PROVIDER_EXTENSION
    ]
    providers = _codes(extensions, PROVIDER_SYSTEM)
    if len(providers) < len(extensions) or not all(PROVIDER_CATEGORY.fullmatch(code) for code in providers):
        raise _wrong("OTV-ProviderCategory is a category of providers, as in RPZAC001", f"{where}.extension")
    if permitted and not providers:
        raise _wrong("a permission says for which categories of providers it is", f"{where}.extension")
    for category in categories:
        for provider in providers or ("",):
            yield Choice(patient, category, provider, permitted, moment)


def _check_holder(
    provision: Mapping[str, Any], by_url: Mapping[str, Resource], holder: str, where: str
) -> None:
    """The custodian that the choice is about is this holder and no other."""
    found = set()
    for actor in _list(provision, "actor"):
        if not isinstance(actor, dict) or "CST" not in _codes([actor.get("role")], ""):
            continue
        organisation = _referred(actor.get("reference"), by_url, where)
        for value in _identifiers(organisation, URA_SYSTEM):
            try:
                found.add(str(Ura(value)))
            except Invalid:
                raise _wrong("the URA of the custodian is none", where) from None
    if not found:
        raise _wrong("the custodian (role CST) with its URA is needed", where)
    if found != {holder}:
        raise Unprocessable(
            "this notification is about a holder that is not here",
            code="mitz-holder-unknown",
            expression=where,
        )


def _patient(patient: Resource, where: str) -> str:
    found = set(_identifiers(patient, BSN_SYSTEM))
    if len(found) != 1:
        raise _wrong("a Patient with one BSN is needed", where)
    try:
        return str(Bsn(found.pop()))
    except Invalid:
        raise _wrong("the BSN of the Patient is none", where) from None


def _referred(reference: object, by_url: Mapping[str, Resource], where: str) -> Resource:
    url = reference.get("reference") if isinstance(reference, dict) else None
    resource = by_url.get(url) if isinstance(url, str) else None
    if resource is None:
        raise _wrong("a reference to an entry of this Bundle is needed", where)
    return resource


def _identifiers(resource: Resource, system: str) -> list[str]:
    return [
        value
        for identifier in _list(resource, "identifier")
        if isinstance(identifier, dict)
        and identifier.get("system") == system
        and isinstance(value := identifier.get("value"), str)
    ]


def _codes(concepts: list[Any], system: str) -> tuple[str, ...]:
    """The codes of this system ('' is any) in CodeableConcepts, each once."""
    found = [
        code
        for concept in concepts
        if isinstance(concept, dict)
        for coding in _list(concept, "coding")
        if isinstance(coding, dict)
        and (not system or coding.get("system") == system)
        and isinstance(code := coding.get("code"), str)
    ]
    return tuple(dict.fromkeys(found))


def _list(holder: Mapping[str, Any], name: str) -> list[Any]:
    value = holder.get(name, [])
    return value if isinstance(value, list) else [value]


def _wrong(message: str, where: str) -> Unprocessable:
    return Unprocessable(message, code="mitz-notification-invalid", expression=where)
