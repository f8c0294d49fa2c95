"""List resources as the organisation's own EHR writes and reads them: records of localisation, with the BSN.

Source: the ministry's guide on generic functions, localisation, profile nl-gf-localization-list.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

import orjson

from schakel.fhir.json import Resource
from schakel.fhir.xml import writable
from schakel.generic.localisation import Found, Record, Registration
from schakel.generic.localisation.categories import CATEGORIES, SYSTEM, SYSTEMS, category
from schakel.generic.localisation.lists import (
    EMPTY_REASON,
    GUIDE,
    category_of,
    coded,
    custodian,
    custodian_of,
)
from schakel.http.node import OrganisationServices
from schakel.kernel.clock import instant
from schakel.kernel.outcomes import Invalid, NotSupported, naming
from schakel.kernel.values import BSN_SYSTEM, Bsn

_PROFILE = f"{GUIDE}/StructureDefinition/nl-gf-localization-list"
_PATIENT = ("patient:identifier", "subject:identifier")
SEARCHED = frozenset({*_PATIENT, "code", "source:identifier"})
"""What a search may ask."""
_KNOWN = SEARCHED | {"_format", "_pretty"}
_ABSENT = ("contained", "identifier", "title", "date", "entry", "note", "encounter", "orderedBy")


def read_search(pairs: Iterable[tuple[str, str]]) -> tuple[Bsn, frozenset[str], frozenset[str]]:
    """Patient, categories and software of a search; empty sets are all. Raises `Invalid` naming the parameter."""
    patients: list[tuple[str, str]] = []
    categories: set[str] = set()
    sources: set[str] = set()
    given: set[str] = set()
    for name, value in pairs:
        if name not in _KNOWN:
            raise NotSupported(
                f"the parameter {name[:40]!r} is not possible here; known are {', '.join(sorted(_KNOWN))}",
                expression=name[:40],
            )
        if name in given and name not in _PATIENT:
            raise Invalid(f"{name} may be given once, with its values behind commas", expression=name)
        given.add(name)
        if name in _PATIENT:
            patients.append((name, value))
        elif name == "code":
            categories |= {_category(one) for one in value.split(",")}
        elif name == "source:identifier":
            sources |= {one.rpartition("|")[2] for one in value.split(",")}
    if len(patients) != 1:
        raise Invalid(
            f"a search names one patient: patient:identifier={BSN_SYSTEM}|<BSN>, once",
            code="patient-needed",
            expression=_PATIENT[0],
        )
    [(name, value)] = patients
    system, bar, number = value.rpartition("|")
    if bar and system != BSN_SYSTEM:
        raise Invalid(f"{name} names a patient by BSN: {BSN_SYSTEM}|<BSN>", expression=name)
    with naming(name):
        return Bsn(number), frozenset(categories), frozenset(sources)


def _category(value: str) -> str:
    system, _, code = value.rpartition("|")
    if not (found := category(system or SYSTEM, code)):
        raise Invalid(
            f"code {value[:80]!r} is no category of data: there are {', '.join(CATEGORIES)}",
            expression="code",
        )
    return found


def read_list(
    organisation: OrganisationServices, resource: Resource, *, any_source: bool = False
) -> tuple[Bsn, str]:
    """Patient and category of a List to register; with `any_source` whatever software it names. Raises `Invalid` naming
    the element."""
    if resource.get("resourceType") != "List":
        raise Invalid("a List is needed here", expression="resourceType")
    for name in _ABSENT:
        if name in resource:
            raise Invalid(f"a record of localisation has no {name}", expression=f"List.{name}")
    for name, only in (("status", "current"), ("mode", "working")):
        if resource.get(name, only) != only:
            raise Invalid(f"{name} of a record of localisation is {only}", expression=f"List.{name}")
    if resource.get("extension") and (named := custodian_of(resource)) != organisation.ura:
        raise Invalid(
            f"the custodian is {named or 'not named by a URA'}, but this is the door of {organisation.ura}: leave the "
            "extension out, or name that one",
            code="custodian-differs",
            expression="List.extension",
        )
    subject = _identifier(resource.get("subject"))
    if subject.get("system") != BSN_SYSTEM or not isinstance(subject.get("value"), str):
        raise Invalid(
            f"subject.identifier names the patient by BSN: system {BSN_SYSTEM}",
            expression="List.subject.identifier",
        )
    source = _identifier(resource.get("source")).get("value")
    if not any_source and source is not None and source != _source(organisation)["value"]:
        raise Invalid(
            "the source is the software that the node is registered with: leave it out",
            code="source-differs",
            expression="List.source",
        )
    kind = category_of(resource)
    if not kind:
        raise Invalid(
            f"code names the category of data, with system {sorted(SYSTEMS)[0]}: one of {', '.join(CATEGORIES)}",
            code="category-unknown",
            expression="List.code",
        )
    with naming("List.subject.identifier"):
        return Bsn(subject["value"]), kind


def _identifier(reference: object) -> dict[str, Any]:
    found = reference.get("identifier") if isinstance(reference, dict) else None
    return found if isinstance(found, dict) else {}


# -- what it gets ------------------------------------------------------------------------------------------


def shown(
    organisation: OrganisationServices, found: Found, rows: list[Registration], patient: Bsn
) -> Iterable[tuple[str, str, str, Resource]]:
    """Id, category, software and List of each record; one of ours stands for each category that we know of it."""
    seen: set[tuple[str, str, str]] = set()
    for record in found.records:
        mine = [row for row in rows if row.record == record.id] if record.ura == organisation.ura else []
        for row in mine:
            yield str(row.id), row.category, record.source, own(organisation, row)
        key = (record.ura, record.source, record.category)
        if not mine and key not in seen:
            seen.add(key)
            yield record.id, record.category, record.source, _other(organisation, record, patient)


def own(organisation: OrganisationServices, row: Registration) -> Resource:
    when = {"date": instant(row.registered)} if row.registered else {}
    return _list(str(row.id), organisation.ura, row.patient, row.category, _source(organisation), when)


def _other(organisation: OrganisationServices, record: Record, patient: Bsn) -> Resource:
    source = {"system": _source(organisation)["system"], "value": record.source} if record.source else None
    when = {"date": record.registered} if record.registered else {}
    return _list(record.id, record.ura, patient, record.category, source, when)


def _list(
    name: str, ura: str, patient: str, kind: str, source: dict[str, str] | None, when: dict[str, str]
) -> Resource:
    return {
        "resourceType": "List",
        "id": name,
        "meta": {"profile": [_PROFILE]},
        "extension": [custodian(ura)],
        "status": "current",
        "mode": "working",
        **({"code": coded(kind)} if kind else {}),
        "subject": {"identifier": {"system": BSN_SYSTEM, "value": patient}},
        **when,
        **({"source": {"type": "Device", "identifier": source}} if source else {}),
        "emptyReason": {"coding": [{"system": EMPTY_REASON, "code": "withheld"}]},
    }


def _source(organisation: OrganisationServices) -> dict[str, str]:
    assert organisation.registrations is not None
    system, value = organisation.registrations.source
    return {"system": system, "value": value}


def searchset(base: str, query: str, lists: list[tuple[str, Resource]], unreadable: tuple[str, ...]) -> bytes:
    """A searchset, with a warning for each record of the index that could not be read."""
    entries: list[Resource] = [
        {"fullUrl": f"{base}/List/{name}", "resource": resource, "search": {"mode": "match"}}
        for name, resource in lists
    ]
    if unreadable:
        issues = [
            {
                "severity": "warning",
                "code": "incomplete",
                "diagnostics": writable(f"the index gave what has no use: {one}"),
            }
            for one in unreadable
        ]
        outcome = {"resourceType": "OperationOutcome", "issue": issues}
        entries.append({"resource": outcome, "search": {"mode": "outcome"}})
    bundle: Resource = {
        "resourceType": "Bundle",
        "type": "searchset",
        "total": len(lists),
        "link": [{"relation": "self", "url": f"{base}/List{f'?{query}' if query else ''}"}],
        **({"entry": entries} if entries else {}),
    }
    return orjson.dumps(bundle)
