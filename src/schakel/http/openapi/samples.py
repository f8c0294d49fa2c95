"""The synthetic data of the examples: nobody's patient (a BSN of the test range), organisations and keys of nobody.

`FHIR` are whole resources by name, `WHOLE` bodies that a schema does not describe by method, path and side (`in` or
`out`), `WORDS` what a member of a schema holds by its name. All of them are used, and checked, by
`tests/unit/test_openapi_examples.py`.
"""

from __future__ import annotations

from typing import Any

from schakel.http.openapi.parts import Json
from schakel.kernel.values import BSN_SYSTEM, URA_SYSTEM

NOW = "2026-03-02T09:30:00+00:00"
TODAY = "2026-03-02"
ADDRESS = "https://epd.ziekenhuis.example/terug"
_BASE = "https://ziekenhuis.example/noord"
_BSN = "999911120"
_URA = "90000001"

PATIENT: Json = {
    "resourceType": "Patient",
    "id": "p1",
    "identifier": [{"system": BSN_SYSTEM, "value": _BSN}],
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
    "identifier": [{"system": URA_SYSTEM, "value": _URA}],
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
    "subject": {"identifier": {"system": BSN_SYSTEM, "value": _BSN}},
    "source": {"identifier": {"system": URA_SYSTEM, "value": _URA}},
}
_AUDIT: Json = {
    "resourceType": "AuditEvent",
    "id": "e1",
    "type": {"system": "http://terminology.hl7.org/CodeSystem/audit-event-type", "code": "rest"},
    "action": "R",
    "recorded": NOW,
    "outcome": "0",
    "agent": [{"who": {"identifier": {"system": URA_SYSTEM, "value": _URA}}, "requestor": True}],
    "source": {"observer": {"identifier": {"system": URA_SYSTEM, "value": "90000002"}}},
}
_COMPOSITION: Json = {
    "resourceType": "Composition",
    "id": "c1",
    "status": "final",
    "type": {"coding": [{"system": "http://loinc.org", "code": "34746-8"}]},
    "subject": {"reference": f"{_BASE}/fhir/Patient/p1"},
    "date": NOW,
    "author": [{"reference": f"{_BASE}/fhir/Practitioner/d1"}],
    "title": "Verpleegkundige overdracht",
}
_META: Json = {"versionId": "1", "lastUpdated": NOW}


def _bundle(kind: str, *entries: Json, **members: Any) -> Json:
    return {"resourceType": "Bundle", "type": kind, **members, "entry": list(entries)}


def _found(resource: Json) -> Json:
    at = f"{_BASE}/fhir/{resource['resourceType']}/{resource['id']}"
    return _bundle("searchset", {"fullUrl": at, "resource": resource, "search": {"mode": "match"}}, total=1)


def _past(resource: Json) -> Json:
    where = f"{resource['resourceType']}/{resource['id']}"
    entry = {
        "fullUrl": f"{_BASE}/fhir/{where}",
        "resource": {**resource, "meta": _META},
        "request": {"method": "PUT", "url": where},
        "response": {"status": "201", "etag": 'W/"1"', "lastModified": NOW},
    }
    return _bundle("history", entry, total=1)


def _put(kind: str, resource: Json) -> Json:
    where = f"{resource['resourceType']}/{resource['id']}"
    return _bundle(kind, {"resource": resource, "request": {"method": "PUT", "url": where}})


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
        "implementation": {"description": "A FHIR door", "url": f"{_BASE}/fhir/{version}"},
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

_DOCUMENT = _bundle(
    "document",
    {"fullUrl": f"{_BASE}/fhir/Composition/c1", "resource": _COMPOSITION},
    {"fullUrl": f"{_BASE}/fhir/Patient/p1", "resource": PATIENT},
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
    "PatientTaken": _bundle("transaction-response", _DONE),
    "OrganizationTaken": _bundle("batch-response", _DONE),
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
        "parameter": [{"name": "meta", "valueMeta": {"tag": [{"system": f"{_BASE}/tags", "code": "seen"}]}}],
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
        "parameter": [{"name": "patient", "valueIdentifier": {"system": BSN_SYSTEM, "value": _BSN}}],
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
    "Choices": _bundle(
        "transaction",
        _posted("urn:uuid:00000000-0000-4000-8000-000000000001", _CONSENT),
        _posted(_OF_PATIENT, {name: value for name, value in PATIENT.items() if name != "id"}),
        _posted(_OF_HOLDER, {name: value for name, value in _ORGANIZATION.items() if name != "id"}),
    ),
    "capabilities-stu3": _capabilities("stu3", "3.0.1"),
    "capabilities-r4": _capabilities("r4", "4.0.1"),
}

_PAGE = (
    '<!DOCTYPE html><html lang="nl"><head><title>Schakel</title></head><body><h1>Inloggen</h1></body></html>'
)
_LOG = "/{organisation}/log"
_OAUTH = "/{organisation}/oauth2"
_BOARD = "/{organisation}/roadmap"
_ASSERTION = "eyJhbGciOiJQUzI1NiJ9.eyJpc3MiOiI5MDAwMDAwMSJ9.c2lnbmF0dXJl"
_KEY: Json = {
    "kty": "EC",
    "crv": "P-256",
    "kid": "1",
    "x": "f83OJ3D2xF1Bg8vub9tLe1gHMzV76e8Tus9uPHvRVEU",
    "y": "x_FEzRu9m36HLN_tue659LNpXW6pCyStikYjKIWI5a0",
}

MEDIA: dict[str, object] = {
    "text/html": _PAGE,
    "text/css": "body { margin: 0 }",
    "application/json-patch+json": [{"op": "replace", "path": "/birthDate", "value": "1956-04-13"}],
    "application/merge-patch+json": {"birthDate": "1956-04-13"},
    "text/event-stream": 'event: asked\ndata: {"holders": ["90000002"]}\n\n',
    "application/x-ndjson": f'{{"recorded": "{NOW}", "subtype": "search-type", "outcome": "0"}}\n',
}
"""What stands in a body of this kind, whichever operation it is of."""

WHOLE: dict[tuple[str, str, str], object] = {
    ("GET", "/metrics", "out"): "schakel_requests_total 12\n",
    ("GET", "/openapi.json", "out"): {"openapi": "3.1.0", "info": {"title": "Schakel", "version": "1.0.0"}},
    ("GET", "/{organisation}/did.json", "out"): {"id": "did:web:ziekenhuis.example:noord"},
    ("GET", f"{_OAUTH}/presentation_definition", "out"): {
        "id": "bgz",
        "input_descriptors": [{"id": "organisation", "constraints": {"fields": [{"path": ["$.type"]}]}}],
    },
    ("GET", f"{_OAUTH}/jwks", "out"): {"keys": [_KEY]},
    ("POST", f"{_OAUTH}/token", "in"): {
        "grant_type": "urn:ietf:params:oauth:grant-type:jwt-bearer",
        "assertion": _ASSERTION,
        "client_assertion_type": "urn:ietf:params:oauth:client-assertion-type:jwt-bearer",
        "client_assertion": _ASSERTION,
        "scope": "bgz",
    },
    ("POST", f"{_OAUTH}/revoke", "in"): {"token": "d0f1c2", "token_type_hint": "refresh_token"},
    ("POST", f"{_OAUTH}/revoke", "out"): {},
    ("POST", "/{organisation}/exchanges/bgz", "out"): {
        "id": "x1",
        "status": "complete",
        "localised": [],
        "holders": [
            {
                "ura": "90000002",
                "name": "Ziekenhuis Zuid",
                "status": "complete",
                "reason": "",
                "found": [{"by": "ehr"}],
                "directory": {"source": "https://adressen.example/fhir", "as_of": NOW, "stale": False},
                "requests": [],
            }
        ],
        "sections": [],
        "bundle": _bundle("collection", {"fullUrl": f"{_BASE}/fhir/Patient/p1", "resource": PATIENT}),
    },
    ("GET", f"{_LOG}/decisions/{{id}}", "out"): {
        "id": "d1",
        "at": NOW,
        "holder": {"ura": "90000002", "name": "Ziekenhuis Zuid"},
        "patient": _BSN,
        "outcome": "0",
    },
    ("GET", f"{_LOG}/policies/{{digest}}", "out"): '[[exchange]]\nid = "bgz"\n',
    ("GET", f"{_LOG}/export", "out"): f"recorded,subtype,outcome\n{NOW},search-type,0\n",
    ("POST", f"{_BOARD}/versions", "in"): {
        "version": "2026-1",
        "title": {"nl": "Routekaart", "en": "Roadmap"},
        "sources": [],
        "sectors": {"MSZ": {"nl": "Medisch-specialistische zorg", "en": "Specialist care"}},
        "categories": [{"id": "NET", "title": {"nl": "Netwerk", "en": "Network"}}],
        "agreements": [],
        "items": [
            {
                "id": "NET-1",
                "layer": "regional",
                "category": "NET",
                "title": {"nl": "Netwerkzorg", "en": "Network care"},
                "plain": {"nl": "Samen rond een patiënt.", "en": "Together around a patient."},
                "sectors": ["MSZ"],
                "agreements": [],
                "inferred": False,
                "applications": [],
                "standards": [],
                "dates": [],
                "steps": [
                    {
                        "id": "NET-1.S1",
                        "text": {"nl": "Sluit aan.", "en": "Join."},
                        "checks": ["fhir-metadata"],
                    }
                ],
                "links": [],
                "depends_on": [],
                "open": [],
            }
        ],
        "objectives": [],
        "kpis": [],
        "open": [],
    },
    ("GET", f"{_BOARD}/board", "out"): "ura,item,state\n90000001,LDN-1,declared\n",
    ("POST", f"{_BOARD}/hybrid/pathways", "in"): (
        "id;name;sector;suitability;decided_by;decided_on;reason\n"
        "hartfalen;Hartfalen;MSZ;yes;Vakgroep cardiologie;2026-03-01;Meten lukt thuis\n"
    ),
    ("POST", f"{_BOARD}/hybrid/people", "in"): (
        f"pathway;bsn;eligible_from;enrolled_from\nhartfalen;{_BSN};2026-01-01;2026-02-01\n"
    ),
}
"""Bodies as a whole."""

SEARCH: Json = {"identifier": f"{BSN_SYSTEM}|{_BSN}"}
"""The form of a search."""

NOT_YET = frozenset(
    {"ended", "ended_by", "error", "judged", "accepted", "objection", "note", "reason", "message"}
)
"""Members that may be null, and are: nothing went wrong, and nothing is over."""

NO = frozenset({"ended", "overdue", "stale", "localise"})
"""Flags that are down."""

INSTEAD = frozenset(
    {
        ("BgzAsk", "login"),
        ("GroundToWrite", "task"),
        ("GroundToWrite", "queries"),
        ("Ground", "task"),
        ("Ground", "queries"),
    }
)
"""Members of schemas that stand in place of another that the example has."""

NUMBERS: dict[str, int] = {"expires_in": 300, "population": 180000, "denominator": 4}

TABLES: dict[str, Json] = {
    "fhir": {"stu3": f"{_BASE}/fhir/stu3"},
    "facts": {"days": 61},
    "not_taking_part": {"frailty": 1},
    "ended": {"goal": 1},
    "layers": {"policy": "done"},
    "states": {"registered": 2},
}
"""Objects of which the names are open."""

WORDS: dict[str, str] = {
    "access_token": "d0f1c2",
    "answer": "yes",
    "assertion": _ASSERTION,
    "assurance": "high",
    "basic": "B1",
    "before": "2025-1",
    "by": "Bureau kwaliteit",
    "care": "C6",
    "category": "GGC002",
    "check": "certificate",
    "choice": "adopt",
    "client_id": _URA,
    "code": "B1",
    "condition": "http://snomed.info/sct|84114007",
    "csrf": "c1",
    "database": "up",
    "decided_by": "Vakgroep cardiologie",
    "declaration": "2026-03-02",
    "detail": "",
    "en": "Cardiac care at home",
    "endpoint": f"{_BASE}/fhir/stu3",
    "exchange": "bgz",
    "exchanges": "bgz",
    "excludes": "frailty",
    "flow": "f1",
    "id": "x1",
    "indication": "http://snomed.info/sct|84114007",
    "initials": "A.",
    "iss": _BASE,
    "issuer": _BASE,
    "item": "LDN-1",
    "jti": "j1",
    "jwks_uri": f"{_BASE}/oauth2/jwks",
    "kind": "hospital",
    "kpi": "KPI-1",
    "lang": "nl",
    "legal": "insurer-policy",
    "location": "https://mitz.example/Subscription/1",
    "login": "l1",
    "name": "Ziekenhuis Noord",
    "nl": "Hartzorg thuis",
    "number": "900000008",
    "parameter": "http://ziekenhuis.example/SearchParameter/ward",
    "plan": "http://ziekenhuis.example/PlanDefinition/hartfalen",
    "policy": "0f9c",
    "prefix": "van",
    "presentation_submission": "{}",
    "provider_categories": "RPZAC001",
    "provider_category": "RPZAC001",
    "purpose": "TREAT",
    "queries": "Condition?category=problem-list-item",
    "reason": "Verwezen voor behandeling",
    "reference": "digizo-12",
    "region": "Aa en Meer",
    "requesters": "90000002",
    "responsible": "900000009",
    "responsible_role": "01.015",
    "roadmap": "2026-1",
    "role": "01.015",
    "role_name": "Cardioloog",
    "run": "r1",
    "scope": "bgz",
    "sector": "MSZ",
    "sender": _URA,
    "source": "https://adressen.example/fhir",
    "specialism": "0320",
    "sub": _URA,
    "surname": "Bakker",
    "token": "d0f1c2",
    "token_endpoint": f"{_BASE}/oauth2/token",
    "token_type": "Bearer",
    "told": "",
    "type": "Z3",
    "unlisted": "C99",
    "until": "2026-09-01",
    "ura": _URA,
    "url": "http://ziekenhuis.example/SearchParameter/ward",
    "verdict": "holds",
    "version": "2026-1",
    "warnings": "the register does not know the role",
    "zmsc": "hartfalen",
}
"""What stands in a text, by the name of the member."""
