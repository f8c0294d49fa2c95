"""What goes in and out of the doors for professionals, by path and method; from the code of each handler."""

from __future__ import annotations

from schakel.http.openapi.parts import Json, body, parameter, ref, said, table, texts

_MAYBE_TEXT: Json = {"type": ["string", "null"]}
_ADDRESS: Json = {"type": "string", "format": "uri"}

SCHEMAS: dict[str, Json] = {
    "LoginToBegin": {
        "description": "`return_to` is where the page leads when it is over, with the id of the login behind it.",
        **table((), return_to=_ADDRESS),
        "additionalProperties": False,
    },
    "LoginBegun": table(("id", "address"), id={"type": "string"}, address=_ADDRESS),
    "Professional": table(
        ("number", "name", "role", "organisation", "assurance"),
        **texts("number", "name", "initials", "prefix", "surname", "role", "role_name", "assurance"),
        organisation=table(("ura", "name"), **texts("ura", "name")),
        warnings={"type": "array", "items": {"type": "string"}},
    ),
    "Login": {
        "description": "`reason` is the code of why nobody logged in, `message` says it; `until` is when it ends.",
        **table(
            ("id", "state", "until"),
            id={"type": "string"},
            state={"enum": ["pending", "logged-in", "failed"]},
            reason=_MAYBE_TEXT,
            message=_MAYBE_TEXT,
            professional={"oneOf": [ref("Professional"), {"type": "null"}]},
            until={"type": "string", "format": "date-time"},
        ),
    },
}

_BASE = "/{organisation}/professionals"
_PAGE = said("A page for the professional.", "text/html", {"type": "string"})

OPERATIONS: dict[tuple[str, str], Json] = {
    ("POST", f"{_BASE}/logins"): {
        "requestBody": {**body(ref("LoginToBegin")), "required": False},
        "responses": {
            "201": said("Open the address in the professional's browser.", schema=ref("LoginBegun"))
        },
    },
    ("GET", f"{_BASE}/logins/{{id}}"): {
        "responses": {"200": said("How it stands.", schema=ref("Login"))},
    },
    ("DELETE", f"{_BASE}/logins/{{id}}"): {
        "responses": {"204": {"description": "It has ended, and the statement is gone."}},
    },
    ("GET", f"{_BASE}/login"): {
        "parameters": [
            parameter("login", "query", "The id of the login."),
            parameter("ticket", "query", "What its address got."),
        ],
        "responses": {"303": {"description": "On to Dezi."}, "4XX": _PAGE, "5XX": _PAGE},
    },
    ("GET", f"{_BASE}/callback"): {
        "parameters": [parameter("code", "query", "RFC 6749."), parameter("state", "query", "RFC 6749.")],
        "responses": {"200": _PAGE, "4XX": _PAGE, "5XX": _PAGE},
    },
}
