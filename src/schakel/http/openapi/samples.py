"""The synthetic data of the examples of our own bodies: organisations and keys of nobody.

`WHOLE` are bodies that a schema does not describe, by method, path and side (`in` or `out`), `MEDIA` those of one kind
of body, `WORDS` and the other tables what a member of a schema holds by its name.
"""

from __future__ import annotations

from schakel.http.openapi.fhir_samples import BASE, BSN, NOW, PATIENT, URA, bundle
from schakel.http.openapi.parts import Json
from schakel.kernel.values import BSN_SYSTEM

TODAY = "2026-03-02"
ADDRESS = "https://epd.ziekenhuis.example/terug"
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
                "missing": [],
                "requests": [],
            }
        ],
        "sections": [],
        "bundle": bundle("collection", {"fullUrl": f"{BASE}/fhir/Patient/p1", "resource": PATIENT}),
    },
    ("GET", f"{_LOG}/decisions/{{id}}", "out"): {
        "id": "d1",
        "at": NOW,
        "holder": {"ura": "90000002", "name": "Ziekenhuis Zuid"},
        "patient": BSN,
        "outcome": "0",
    },
    ("GET", f"{_LOG}/policies/{{digest}}", "out"): {"exchange": [{"id": "bgz"}]},
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
        f"pathway;bsn;eligible_from;enrolled_from\nhartfalen;{BSN};2026-01-01;2026-02-01\n"
    ),
}
"""Bodies as a whole."""

SEARCH: Json = {"identifier": f"{BSN_SYSTEM}|{BSN}"}
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
    "fhir": {"stu3": f"{BASE}/fhir/stu3"},
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
    "client_id": URA,
    "code": "B1",
    "condition": "http://snomed.info/sct|84114007",
    "csrf": "c1",
    "database": "up",
    "decided_by": "Vakgroep cardiologie",
    "declaration": "2026-03-02",
    "detail": "",
    "en": "Cardiac care at home",
    "endpoint": f"{BASE}/fhir/stu3",
    "exchange": "bgz",
    "exchanges": "bgz",
    "excludes": "frailty",
    "flow": "f1",
    "id": "x1",
    "indication": "http://snomed.info/sct|84114007",
    "initials": "A.",
    "iss": BASE,
    "issuer": BASE,
    "item": "LDN-1",
    "jti": "j1",
    "jwks_uri": f"{BASE}/oauth2/jwks",
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
    "sender": URA,
    "source": "https://adressen.example/fhir",
    "specialism": "0320",
    "sub": URA,
    "surname": "Bakker",
    "token": "d0f1c2",
    "token_endpoint": f"{BASE}/oauth2/token",
    "token_type": "Bearer",
    "told": "",
    "type": "Z3",
    "unlisted": "C99",
    "until": "2026-09-01",
    "ura": URA,
    "url": "http://ziekenhuis.example/SearchParameter/ward",
    "verdict": "holds",
    "version": "2026-1",
    "warnings": "the register does not know the role",
    "zmsc": "hartfalen",
}
"""What stands in a text, by the name of the member."""
