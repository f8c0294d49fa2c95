"""What goes in and out of the doors that are ours, by path and method. A route that is not here is described by its
docstring alone.

Sources: RFC 6749, 7523, 7662 and 8414 for the authorisation server; the code of each handler for the rest.
"""

from __future__ import annotations

from schakel.http.openapi.parts import (
    FORM,
    PROBLEM_ANSWER,
    Json,
    body,
    fhir,
    parameter,
    ref,
    said,
    table,
    texts,
)

_URA = {"type": "string", "pattern": "^[0-9]{8}$", "examples": ["90000001"]}
_BSN = {"type": "string", "pattern": "^[0-9]{9}$", "examples": ["999911120"]}
_MOMENT = {"type": "string", "format": "date-time"}
_TEXTS = {"type": "array", "items": {"type": "string"}}
_PERSON = ("id", "name", "role", "responsible", "responsible_role")
_DATE = {"type": "string", "description": "A date (the whole day counts) or a moment."}
_GROUND_ASKED = {
    "requester": _URA,
    "patient": _BSN,
    "exchange": {"type": "string", "examples": ["bgz"]},
    "queries": _TEXTS,
    "until": _DATE,
    "reason": {"type": "string", "minLength": 1},
    "kind": {"enum": ["recorded", "referral", "handover", "patient"]},
    "task": {"type": "string", "description": "The referral or handover that it rests on."},
}

SCHEMAS: dict[str, Json] = {
    "Address": {
        "description": "Where an organisation is reached, which directory says so and when that was last in step. "
        "`issuer` is its authorisation server, of which the metadata say the rest (RFC 8414). When no one endpoint is "
        "for the whole exchange, `endpoint` is null, `parts` has those for some of its data categories and `missing` "
        "the categories that none has.",
        **table(
            (
                "ura",
                "name",
                "type",
                "exchange",
                "endpoint",
                "parts",
                "missing",
                "fhir",
                "issuer",
                "source",
                "as_of",
                "stale",
            ),
            ura={"type": "string"},
            name={"type": "string"},
            type={"type": ["string", "null"]},
            exchange={"type": ["string", "null"]},
            endpoint={"type": ["string", "null"]},
            parts={
                "type": "array",
                "items": table(("endpoint", "categories"), endpoint={"type": "string"}, categories=_TEXTS),
            },
            missing=_TEXTS,
            fhir={"type": "object", "additionalProperties": {"type": "string"}},
            issuer={"type": ["string", "null"]},
            source={"type": "string"},
            as_of={"type": ["string", "null"], "format": "date-time"},
            stale={"type": "boolean"},
        ),
    },
    "GroundToWrite": {
        "description": "A ground for disclosure: for a whole exchange, or for the queries that are listed.",
        **table(("requester", "patient", "until", "reason"), **_GROUND_ASKED),
        "additionalProperties": False,
    },
    "Ground": {
        "description": "A ground that was written; `ended` is null as long as nobody ended it.",
        **table(
            ("id", "requester", "patient", "until", "reason", "kind", "made", "ended"),
            **{**_GROUND_ASKED, "until": _MOMENT},
            id={"type": "string"},
            made=_MOMENT,
            ended={"type": ["string", "null"], "format": "date-time"},
        ),
    },
    "BgzAsk": {
        "description": "Who asks whom for which patient. Without holders they are looked for.",
        **table(
            ("patient", "purpose", "treatment_relation"),
            patient=_BSN,
            holders={"type": "array", "items": _URA, "minItems": 1},
            localise={"type": "boolean", "description": "Whether holders are looked for beside those named."},
            user=table(("id", "name", "role"), **texts(*_PERSON)),
            login={"type": "string", "description": "The id of a login, in place of user."},
            purpose={"type": "string", "examples": ["TREAT"]},
            treatment_relation={"type": "string", "examples": ["current"]},
            emergency={
                "type": "string",
                "maxLength": 500,
                "description": "The reason for which access in an emergency is asked, where the patient gave no "
                "permission. Each holder decides by its own policy, and judges afterwards.",
            },
        ),
        "additionalProperties": False,
    },
    "JobsToStart": {
        "description": "Build a search parameter of the organisation's own again: its url; all of them without.",
        **table((), **texts("parameter")),
        "additionalProperties": False,
    },
    "Job": {
        "description": "Work that goes on after the answer. `total` is null until it is known; `failing` is on how "
        "many resources the expression of the parameter fails now.",
        **table(
            (
                "id",
                "kind",
                "parameter",
                "state",
                "done",
                "total",
                "attempts",
                "error",
                "made",
                "started",
                "ended",
            ),
            **texts("id", "kind"),
            parameter=table(
                ("url", "code", "fhir", "state", "failing"),
                **texts("url", "code"),
                fhir={"enum": ["stu3", "r4"]},
                state={"enum": ["building", "ready", "failed", "removed"]},
                failing={"type": "integer"},
            ),
            state={"enum": ["waiting", "running", "done", "failed"]},
            done={"type": "integer"},
            total={"type": ["integer", "null"]},
            attempts={"type": "integer"},
            error={"type": ["string", "null"]},
            made=_MOMENT,
            started={"type": ["string", "null"], "format": "date-time"},
            ended={"type": ["string", "null"], "format": "date-time"},
        ),
    },
    "Jobs": table(("jobs",), jobs={"type": "array", "items": ref("Job")}),
    "Token": table(
        ("access_token", "token_type", "expires_in"),
        **texts("access_token", "token_type", "scope", "refresh_token"),
        expires_in={"type": "integer", "minimum": 1},
    ),
    "TokenError": {
        "description": "RFC 6749, section 5.2.",
        **table(("error",), **texts("error", "error_description")),
    },
    "Introspection": {
        "description": "RFC 7662, section 2.2.",
        **table(("active",), active={"type": "boolean"}, **texts("iss", "client_id", "sub", "scope", "jti")),
    },
    "ServerMetadata": {
        "description": "RFC 8414, section 2.",
        **table(("issuer", "token_endpoint", "jwks_uri"), **texts("issuer", "token_endpoint", "jwks_uri")),
    },
    "KeySet": table(("keys",), keys={"type": "array", "items": {"type": "object"}}),
    "Health": table(("status",), status={"enum": ["up", "down"]}, database={"type": "string"}),
}

_FORM_ANSWERS = {"4XX": said("Refused (RFC 6749, section 5.2).", schema=ref("TokenError"))}

_TOKEN = table(
    ("grant_type",),
    **texts("grant_type", "scope", "client_assertion_type", "client_assertion", "code", "redirect_uri"),
    **texts("client_id", "code_verifier", "refresh_token", "assertion", "presentation_submission"),
)

_PAGE = said("A page for the person.", "text/html", {"type": "string"})
_SHOWN: Json = {
    "responses": {
        "200": _PAGE,
        "303": {"description": "On to the next step, or back to the client."},
        "4XX": _PAGE,
        "503": _PAGE,
    }
}
_LOG_SHOWN: Json = {
    "responses": {
        **_SHOWN["responses"],
        **{
            status: {
                "description": "A page for a person; for a program, refused and why.",
                "content": {**_PAGE["content"], **PROBLEM_ANSWER["content"]},
            }
            for status in ("4XX", "503")
        },
    }
}
_FLOW = parameter("flow", "query", "The flow that began at the authorisation endpoint.")
_LANGUAGE = parameter("lang", "query", "The language that the person chose.", {"enum": ["nl", "en"]})
_PRESSED: Json = {**_SHOWN, "requestBody": body(table(**texts("flow", "answer")), FORM)}

_LOG_SEARCH: list[Json] = [
    parameter("patient.identifier", "query", "Only about this patient: the BSN, with its system or bare."),
    parameter(
        "requester", "query", "Only of this organisation (URA) or this client of patients (host name)."
    ),
    parameter("user", "query", "Only of this professional: Dezi or UZI number, or account."),
    parameter("subtype", "query", "Only of this kind."),
    parameter(
        "outcome", "query", "Only with this outcome.", {"type": "string", "enum": ["0", "4", "8", "12"]}
    ),
    parameter("entity:identifier", "query", "Only this decision."),
    parameter("correlation", "query", "Only this question."),
    parameter("date", "query", "Recorded then: a day, or with ge or le."),
    parameter(
        "_view",
        "query",
        "What systems may see (technical).",
        {"type": "string", "enum": ["officer", "technical"]},
    ),
]

OPERATIONS: dict[tuple[str, str], Json] = {
    ("GET", "/{organisation}/oauth2/authorize"): {
        **_SHOWN,
        "parameters": [
            parameter("response_type", "query", "code"),
            parameter("client_id", "query", "The host name of the client."),
            parameter("redirect_uri", "query", "Where the browser goes back to."),
            parameter("scope", "query", "What is asked."),
            parameter("state", "query", "What the client wants back."),
            parameter("code_challenge", "query", "RFC 7636."),
            parameter("code_challenge_method", "query", "S256"),
        ],
    },
    ("GET", "/{organisation}/oauth2/start"): {**_SHOWN, "parameters": [_FLOW, _LANGUAGE]},
    ("GET", "/{organisation}/oauth2/login"): _SHOWN,
    ("POST", "/{organisation}/oauth2/login"): _PRESSED,
    ("GET", "/{organisation}/oauth2/callback"): {
        **_SHOWN,
        "parameters": [parameter("code", "query", "RFC 6749."), parameter("state", "query", "RFC 6749.")],
    },
    ("GET", "/{organisation}/oauth2/consent"): {**_SHOWN, "parameters": [_FLOW, _LANGUAGE]},
    ("POST", "/{organisation}/oauth2/consent"): _PRESSED,
    ("GET", "/pages/{name}"): {"responses": {"200": said("The stylesheet.", "text/css", {"type": "string"})}},
    ("POST", "/{organisation}/oauth2/revoke"): {
        "requestBody": body(table(("token",), **texts("token", "token_type_hint", "client_id")), FORM),
        "responses": {"200": said("It is withdrawn.", schema={"type": "object"}), **_FORM_ANSWERS},
    },
    ("GET", "/health/live"): {"responses": {"200": said("It answers.", schema=ref("Health"))}},
    ("GET", "/health/ready"): {
        "responses": {
            "200": said("It is ready.", schema=ref("Health")),
            "503": said("The database does not answer.", schema=ref("Health")),
        }
    },
    ("GET", "/metrics"): {"responses": {"200": said("Metrics.", "text/plain", {"type": "string"})}},
    ("GET", "/openapi.json"): {"responses": {"200": said("This document.", schema={"type": "object"})}},
    ("GET", "/.well-known/oauth-authorization-server/{organisation}"): {
        "responses": {"200": said("The metadata.", schema=ref("ServerMetadata"))}
    },
    ("GET", "/{organisation}/oauth2/jwks"): {"responses": {"200": said("The keys.", schema=ref("KeySet"))}},
    ("GET", "/{organisation}/did.json"): {
        "responses": {"200": said("The DID document.", schema={"type": "object"})}
    },
    ("POST", "/{organisation}/oauth2/token"): {
        "requestBody": body(_TOKEN, FORM),
        "responses": {"200": said("A token.", schema=ref("Token")), **_FORM_ANSWERS},
    },
    ("POST", "/{organisation}/oauth2/introspect"): {
        "requestBody": body(table(("token",), **texts("token")), FORM),
        "responses": {"200": said("What the token says.", schema=ref("Introspection"))},
    },
    ("DELETE", "/{organisation}/oauth2/tokens"): {
        "parameters": [
            parameter("requester", "query", "The organisation that may no longer (URA).", _URA, required=True)
        ],
        "responses": {
            "200": said(
                "Its tokens open nothing any more, at other nodes within five seconds.",
                schema=table(("requester", "withdrawn"), requester=_URA, withdrawn={"type": "integer"}),
            )
        },
    },
    ("GET", "/{organisation}/oauth2/presentation_definition"): {
        "parameters": [parameter("scope", "query", "One or more scopes, divided by a blank.", required=True)],
        "responses": {"200": said("The definition.", schema={"type": "object"}), **_FORM_ANSWERS},
    },
    ("POST", "/{organisation}/exchanges/bgz"): {
        "requestBody": body(ref("BgzAsk")),
        "responses": {
            "200": {
                "description": "What each holder gave; as events, each step when it is there.",
                "content": {
                    "application/json": {"schema": {"type": "object"}},
                    "text/event-stream": {"schema": {"type": "string"}},
                },
            }
        },
    },
    ("GET", "/{organisation}/grounds"): {
        "parameters": [
            parameter("patient", "query", "Only for this patient (BSN).", _BSN),
            parameter("requester", "query", "Only for this organisation (URA).", _URA),
            parameter("active", "query", "Only those that hold now.", {"enum": ["true", "false"]}),
        ],
        "responses": {
            "200": said(
                "The grounds.", schema=table(("grounds",), grounds={"type": "array", "items": ref("Ground")})
            )
        },
    },
    ("POST", "/{organisation}/grounds"): {
        "requestBody": body(ref("GroundToWrite")),
        "responses": {"201": said("Written.", schema=ref("Ground"))},
    },
    ("DELETE", "/{organisation}/grounds/{id}"): {
        "responses": {"200": said("Ended.", schema=ref("Ground"))},
    },
    ("GET", "/{organisation}/directory/address"): {
        "parameters": [
            parameter("ura", "query", "Of whom; or give reference."),
            parameter(
                "reference", "query", "Organization/id or HealthcareService/id in the query directory."
            ),
            parameter("exchange", "query", "For what, such as bgz; without it the organisation alone."),
        ],
        "responses": {"200": said("The address, and where it is from.", schema=ref("Address"))},
    },
    ("GET", "/{organisation}/jobs"): {"responses": {"200": said("The newest.", schema=ref("Jobs"))}},
    ("POST", "/{organisation}/jobs"): {
        "requestBody": body(ref("JobsToStart")),
        "responses": {"202": said("They go on, or begin.", schema=ref("Jobs"))},
    },
    ("GET", "/{organisation}/jobs/{id}"): {"responses": {"200": said("How far it is.", schema=ref("Job"))}},
    ("GET", "/{organisation}/log/fhir/r4/AuditEvent"): {
        "parameters": [
            *_LOG_SEARCH,
            parameter(
                "_count", "query", "Events on a page.", {"type": "integer", "minimum": 1, "maximum": 1000}
            ),
        ],
        "responses": {"200": fhir(ref("Bundle"), "A searchset of AuditEvents.")},
    },
    ("GET", "/{organisation}/log/fhir/r4/AuditEvent/{id}"): {
        "responses": {"200": fhir(ref("Resource"), "The event.")}
    },
    ("GET", "/{organisation}/log/decisions/{id}"): {
        "parameters": [
            parameter(
                "event", "query", "As it was stored with this event (AuditEvent.id); the last if absent."
            )
        ],
        "responses": {
            "200": {
                "description": "The object of a decision: what was decided, and on what.",
                "content": {"application/json": {"schema": {"type": "object"}}},
            }
        },
    },
    ("GET", "/{organisation}/log/policies/{digest}"): {
        "responses": {
            "200": {
                "description": "The policy, in the very bytes of which the digest is made (SHA-256).",
                "content": {"application/json": {"schema": {"type": "object"}}},
            }
        }
    },
    ("GET", "/{organisation}/log/export"): {
        "parameters": [
            *_LOG_SEARCH,
            parameter("_format", "query", "How.", {"type": "string", "enum": ["csv", "ndjson"]}),
        ],
        "responses": {
            "200": {
                "description": "A row for each event, the newest first.",
                "content": {
                    media: {"schema": {"type": "string"}} for media in ("text/csv", "application/x-ndjson")
                },
            }
        },
    },
    ("GET", "/{organisation}/log"): {
        **_LOG_SHOWN,
        "parameters": [
            _LANGUAGE,
            parameter("date", "query", "Recorded then: a day, or with ge or le."),
            parameter("correlation", "query", "Only this question."),
            parameter(
                "_count", "query", "Questions on a page.", {"type": "integer", "minimum": 1, "maximum": 100}
            ),
        ],
    },
    ("GET", "/{organisation}/log/login"): _LOG_SHOWN,
    ("POST", "/{organisation}/log/login"): {**_LOG_SHOWN, "requestBody": body(table(**texts("lang")), FORM)},
    ("GET", "/{organisation}/log/callback"): {
        **_LOG_SHOWN,
        "parameters": [parameter("code", "query", "RFC 6749."), parameter("state", "query", "RFC 6749.")],
    },
    ("GET", "/{organisation}/log/logout"): {**_LOG_SHOWN, "parameters": [_LANGUAGE]},
    ("POST", "/{organisation}/log/logout"): {
        **_LOG_SHOWN,
        "requestBody": body(table(("csrf",), **texts("csrf", "lang")), FORM),
    },
}
