"""What goes in and out of the doors for consent, by path and method; from the code of each handler."""

from __future__ import annotations

from schakel.http.openapi.parts import FHIR_JSON, FHIR_XML, Json, body, parameter, ref, said, table, texts

_URA = {"type": "string", "pattern": "^[0-9]{8}$", "examples": ["90000001"]}
_BSN = {"type": "string", "pattern": "^[0-9]{9}$", "examples": ["999911120"]}
_MOMENT = {"type": "string", "format": "date-time"}
_MAYBE_MOMENT = {"type": ["string", "null"], "format": "date-time"}
_MAYBE_TEXT = {"type": ["string", "null"]}
_FLAG = {"type": "boolean"}
_LIST = {"type": "array", "items": {"type": "string"}, "minItems": 1}
_COUNT = parameter("count", "query", "How many, at most 1,000.", {"type": "integer", "minimum": 1})

SCHEMAS: dict[str, Json] = {
    "ObjectionToWrite": {
        "description": "An objection of a patient; without lists it is about all who ask and all data.",
        **table(
            ("patient", "by"),
            **texts("reason", "by"),
            patient=_BSN,
            requesters=_LIST,
            provider_categories={**_LIST, "description": "As in RPZAC001."},
            exchanges=_LIST,
        ),
        "additionalProperties": False,
    },
    "Objection": table(
        ("id", "patient", "requesters", "provider_categories", "exchanges", "reason", "by", "made", "ended"),
        **texts("id", "reason", "by"),
        patient=_BSN,
        requesters={"type": "array", "items": _URA},
        provider_categories={"type": "array", "items": {"type": "string"}},
        exchanges={"type": "array", "items": {"type": "string"}},
        made=_MOMENT,
        ended_by=_MAYBE_TEXT,
        ended=_MAYBE_MOMENT,
    ),
    "Emergency": {
        "description": "Access in an emergency; `overdue` when the second look was not given in time.",
        **table(
            ("id", "patient", "requester", "user", "reason", "made", "due", "overdue", "judged", "accepted"),
            **texts("id", "purpose", "reason", "policy"),
            patient=_BSN,
            requester=_URA,
            user=table(("id", "name", "role"), **texts("id", "name", "role")),
            objection=_MAYBE_TEXT,
            made=_MOMENT,
            due=_MOMENT,
            overdue=_FLAG,
            judged=_MAYBE_MOMENT,
            accepted={"type": ["boolean", "null"]},
            by=_MAYBE_TEXT,
            note=_MAYBE_TEXT,
        ),
    },
    "Subscription": {
        "description": "A patient about whom Mitz tells; `error` is what Mitz said when it refused.",
        **table(
            ("id", "patient", "birth_date", "state", "attempts", "made", "changed"),
            **texts("id"),
            patient=_BSN,
            birth_date={"type": "string", "format": "date"},
            state={"enum": ["waiting", "active", "refused", "ended"]},
            location=_MAYBE_TEXT,
            attempts={"type": "integer"},
            error=_MAYBE_TEXT,
            made=_MOMENT,
            changed=_MOMENT,
        ),
    },
    "Choice": {
        "description": "A choice of a patient as Mitz told it; without `provider_category` it is about all.",
        **table(
            ("number", "patient", "category", "provider_category", "permitted", "chosen", "received"),
            **texts("category"),
            number={"type": "integer"},
            patient=_BSN,
            provider_category=_MAYBE_TEXT,
            permitted=_FLAG,
            chosen=_MOMENT,
            received=_MOMENT,
        ),
    },
}


def _many(name: str, schema: str) -> Json:
    return table((name,), **{name: {"type": "array", "items": ref(schema)}})


def _closed(required: tuple[str, ...], **members: Json) -> Json:
    return {**table(required, **members), "additionalProperties": False}


_BASE = "/{organisation}/consent"
_TEXT: Json = {"type": "string"}

OPERATIONS: dict[tuple[str, str], Json] = {
    ("POST", f"{_BASE}/objections"): {
        "requestBody": body(ref("ObjectionToWrite")),
        "responses": {"201": said("It counts.", schema=ref("Objection"))},
    },
    ("POST", f"{_BASE}/objections/search"): {
        "requestBody": body(_closed((), patient=_BSN, ended=_FLAG)),
        "responses": {"200": said("The objections.", schema=_many("objections", "Objection"))},
    },
    ("POST", f"{_BASE}/objections/{{id}}/end"): {
        "requestBody": body(_closed(("by",), by=_TEXT)),
        "responses": {"200": said("Taken back.", schema=ref("Objection"))},
    },
    ("GET", f"{_BASE}/emergencies"): {
        "parameters": [
            parameter("judged", "query", "Those that were looked at.", {"enum": ["true", "false"]})
        ],
        "responses": {"200": said("The cases.", schema=_many("emergencies", "Emergency"))},
    },
    ("POST", f"{_BASE}/emergencies/{{id}}"): {
        "requestBody": body(_closed(("accepted", "by"), accepted=_FLAG, by=_TEXT, note=_TEXT)),
        "responses": {"200": said("Judged.", schema=ref("Emergency"))},
    },
    ("GET", f"{_BASE}/subscriptions"): {
        "parameters": [
            parameter(
                "state",
                "query",
                "Only those in this state.",
                {"enum": ["waiting", "active", "refused", "ended"]},
            ),
            parameter("after", "query", "Those after the one with this id."),
            _COUNT,
        ],
        "responses": {"200": said("The subscriptions.", schema=_many("subscriptions", "Subscription"))},
    },
    ("POST", f"{_BASE}/subscriptions"): {
        "requestBody": body(
            _closed(("patient", "birth_date"), patient=_BSN, birth_date={"type": "string", "format": "date"})
        ),
        "responses": {"202": said("Mitz is asked.", schema=ref("Subscription"))},
    },
    ("POST", f"{_BASE}/subscriptions/end"): {
        "requestBody": body(_closed(("patient",), patient=_BSN)),
        "responses": {"200": said("Ended.", schema=ref("Subscription"))},
    },
    ("GET", f"{_BASE}/choices"): {
        "parameters": [
            parameter("after", "query", "Those after this number.", {"type": "integer", "minimum": 0}),
            _COUNT,
        ],
        "responses": {"200": said("The choices, in order.", schema=_many("choices", "Choice"))},
    },
    ("POST", "/{organisation}/mitz/notify"): {
        "requestBody": body({"type": "object"}, FHIR_JSON, FHIR_XML),
        "responses": {"204": {"description": "It is kept."}},
    },
}
