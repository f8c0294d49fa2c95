"""The FHIR resources of the examples, `FHIR` by name: nobody's patient (a BSN of the test range), and organisations
that do not exist. Each is used, and checked against FHIR, by `tests/unit/test_openapi_examples.py`."""

from __future__ import annotations

from typing import Any

from schakel.http.openapi.parts import Json
from schakel.kernel.values import BSN_SYSTEM, URA_SYSTEM

NOW = "2026-03-02T09:30:00+00:00"
BASE = "https://ziekenhuis.example/noord"
BSN = "999911120"
URA = "90000001"

PATIENT: Json = {
    "resourceType": "Patient",
    "id": "p1",
    "identifier": [{"system": BSN_SYSTEM, "value": BSN}],
    "name": [{"use": "official", "family": "de Vries", "given": ["Anna"]}],
    "gender": "female",
    "birthDate": "1956-04-12",
}
_OBSERVATION: Json = {
    "resourceType": "Observation",
    "id": "o1",
    "status": "final",
    "code": {"coding": [{"system": "http://loinc.org", "code": "29463-7", "display": "Body weight"}]},
    "subject": {"reference": "Patient/p1"},
    "effectiveDateTime": "2026-03-01",
    "valueQuantity": {"value": 71, "unit": "kg", "system": "http://unitsofmeasure.org", "code": "kg"},
}
_ORGANIZATION: Json = {
    "resourceType": "Organization",
    "id": "noord",
    "identifier": [{"system": URA_SYSTEM, "value": URA}],
    "active": True,
    "name": "Ziekenhuis Noord",
}
_TASK: Json = {
    "resourceType": "Task",
    "id": "t1",
    "status": "requested",
    "intent": "proposal",
    "for": {"reference": "Patient/p1"},
    "authoredOn": NOW,
}
_LIST: Json = {
    "resourceType": "List",
    "id": "l1",
    "status": "current",
    "mode": "working",
    "code": {"coding": [{"system": "http://loinc.org", "code": "29463-7"}]},
    "subject": {"identifier": {"system": BSN_SYSTEM, "value": BSN}},
    "source": {"identifier": {"system": URA_SYSTEM, "value": URA}},
}
_AUDIT: Json = {
    "resourceType": "AuditEvent",
    "id": "e1",
    "type": {"system": "http://terminology.hl7.org/CodeSystem/audit-event-type", "code": "rest"},
    "action": "R",
    "recorded": NOW,
    "outcome": "0",
    "agent": [{"who": {"identifier": {"system": URA_SYSTEM, "value": URA}}, "requestor": True}],
    "source": {"observer": {"identifier": {"system": URA_SYSTEM, "value": "90000002"}}},
}
_COMPOSITION: Json = {
    "resourceType": "Composition",
    "id": "c1",
    "status": "final",
    "type": {"coding": [{"system": "http://loinc.org", "code": "34746-8"}]},
    "subject": {"reference": f"{BASE}/fhir/Patient/p1"},
    "date": NOW,
    "author": [{"reference": f"{BASE}/fhir/Practitioner/d1"}],
    "title": "Verpleegkundige overdracht",
}
_META: Json = {"versionId": "1", "lastUpdated": NOW}


def bundle(kind: str, *entries: Json, **members: Any) -> Json:
    """A Bundle of this type."""
    return {"resourceType": "Bundle", "type": kind, **members, "entry": list(entries)}


def _found(resource: Json) -> Json:
    at = f"{BASE}/fhir/{resource['resourceType']}/{resource['id']}"
    return bundle("searchset", {"fullUrl": at, "resource": resource, "search": {"mode": "match"}}, total=1)


def _past(resource: Json) -> Json:
    where = f"{resource['resourceType']}/{resource['id']}"
    entry = {
        "fullUrl": f"{BASE}/fhir/{where}",
        "resource": {**resource, "meta": _META},
        "request": {"method": "PUT", "url": where},
        "response": {"status": "201", "etag": 'W/"1"', "lastModified": NOW},
    }
    return bundle("history", entry, total=1)


def _put(kind: str, resource: Json) -> Json:
    where = f"{resource['resourceType']}/{resource['id']}"
    return bundle(kind, {"resource": resource, "request": {"method": "PUT", "url": where}})


def _posted(name: str, resource: Json) -> Json:
    return {
        "fullUrl": name,
        "resource": resource,
        "request": {"method": "POST", "url": resource["resourceType"]},
    }


_DONE: Json = {"response": {"status": "201", "etag": 'W/"1"', "lastModified": NOW}}


def _capabilities(version: str, release: str) -> Json:
    patient: Json = {
        "type": "Patient",
        "interaction": [{"code": "read"}, {"code": "search-type"}],
        "searchParam": [{"name": "identifier", "type": "token"}],
    }
    return {
        "resourceType": "CapabilityStatement",
        "status": "active",
        "date": "2026-03-02",
        "kind": "instance",
        "implementation": {"description": "A FHIR door", "url": f"{BASE}/fhir/{version}"},
        "fhirVersion": release,
        **({"acceptUnknown": "extensions"} if version == "stu3" else {}),
        "format": ["application/fhir+json", "application/fhir+xml"],
        "rest": [{"mode": "server", "resource": [patient]}],
    }


_OF_PATIENT = "urn:uuid:00000000-0000-4000-8000-000000000002"
_OF_HOLDER = "urn:uuid:00000000-0000-4000-8000-000000000003"
_CONSENT: Json = {
    "resourceType": "Consent",
    "extension": [
        {
            "url": "http://fhir.nl/StructureDefinition/OTV-ProviderCategory",
            "valueCodeableConcept": {
                "coding": [
                    {
                        "system": "http://fhir.nl/otv/CodeSystem/raadplegende-zorgaanbiedercategorie",
                        "code": "RPZAC001",
                    }
                ]
            },
        }
    ],
    "status": "active",
    "scope": {
        "coding": [
            {"system": "http://terminology.hl7.org/CodeSystem/consentscope", "code": "patient-privacy"}
        ]
    },
    "category": [
        {"coding": [{"system": "http://fhir.nl/otv/CodeSystem/gegevenscategorie", "code": "GGC002"}]}
    ],
    "patient": {"reference": _OF_PATIENT},
    "dateTime": NOW,
    "provision": {
        "type": "permit",
        "actor": [
            {
                "role": {
                    "coding": [
                        {"system": "http://terminology.hl7.org/CodeSystem/v3-RoleClass", "code": "CST"}
                    ]
                },
                "reference": {"reference": _OF_HOLDER},
            }
        ],
    },
}

_DOCUMENT = bundle(
    "document",
    {"fullUrl": f"{BASE}/fhir/Composition/c1", "resource": _COMPOSITION},
    {"fullUrl": f"{BASE}/fhir/Patient/p1", "resource": PATIENT},
    identifier={"system": "urn:ietf:rfc:3986", "value": "urn:uuid:00000000-0000-4000-8000-000000000001"},
)

FHIR: dict[str, Json] = {
    "Patient": PATIENT,
    "Organization": _ORGANIZATION,
    "List": _LIST,
    "AuditEvent": _AUDIT,
    "Task": _TASK,
    "PatientFound": _found(PATIENT),
    "OrganizationFound": _found(_ORGANIZATION),
    "ListFound": _found(_LIST),
    "AuditEventFound": _found(_AUDIT),
    "ObservationFound": _found(_OBSERVATION),
    "PatientPast": _past(PATIENT),
    "OrganizationPast": _past(_ORGANIZATION),
    "PatientSent": _put("transaction", PATIENT),
    "OrganizationSent": _put("batch", _ORGANIZATION),
    "PatientTaken": bundle("transaction-response", _DONE),
    "OrganizationTaken": bundle("batch-response", _DONE),
    "document-stu3": _DOCUMENT,
    "document-r4": {**_DOCUMENT, "timestamp": NOW},
    "Outcome": {
        "resourceType": "OperationOutcome",
        "issue": [{"severity": "information", "code": "informational", "diagnostics": "Nothing is wrong."}],
    },
    "Meta": {
        "resourceType": "Parameters",
        "parameter": [{"name": "return", "valueMeta": _META}],
    },
    "Tags": {
        "resourceType": "Parameters",
        "parameter": [{"name": "meta", "valueMeta": {"tag": [{"system": f"{BASE}/tags", "code": "seen"}]}}],
    },
    "Since": {
        "resourceType": "Parameters",
        "parameter": [{"name": "_since", "valueInstant": NOW}],
    },
    "Kept": {
        "resourceType": "Parameters",
        "parameter": [{"name": "persist", "valueBoolean": False}],
    },
    "Stops": {
        "resourceType": "Parameters",
        "parameter": [{"name": "patient", "valueIdentifier": {"system": BSN_SYSTEM, "value": BSN}}],
    },
    "Nothing": {"resourceType": "Parameters"},
    "Change": {
        "resourceType": "Parameters",
        "parameter": [
            {
                "name": "operation",
                "part": [
                    {"name": "type", "valueCode": "replace"},
                    {"name": "path", "valueString": "Patient.birthDate"},
                    {"name": "value", "valueDate": "1956-04-13"},
                ],
            }
        ],
    },
    "Choices": bundle(
        "transaction",
        _posted("urn:uuid:00000000-0000-4000-8000-000000000001", _CONSENT),
        _posted(_OF_PATIENT, {name: value for name, value in PATIENT.items() if name != "id"}),
        _posted(_OF_HOLDER, {name: value for name, value in _ORGANIZATION.items() if name != "id"}),
    ),
    "capabilities-stu3": _capabilities("stu3", "3.0.1"),
    "capabilities-r4": _capabilities("r4", "4.0.1"),
}
