"""What comes out of the doors that say how an organisation stands; from the code of each handler."""

from __future__ import annotations

from schakel.http.openapi.parts import Json, said, table

_NUMBER = {"type": "integer", "minimum": 0}
_REGISTRATIONS = {
    "description": "`categories` are registered by the rules today; `states` are registrations by state; of patients, "
    "`due` wait to be looked at and `failing` do so after a failure.",
    **table(
        ("categories", "states", "due", "failing", "without_bsn"),
        categories=_NUMBER,
        states={"type": "object", "additionalProperties": _NUMBER},
        due=_NUMBER,
        failing=_NUMBER,
        without_bsn=_NUMBER,
    ),
}
_VERIFIED = {
    "description": "`events` are as their seals say, `removed` were at the end of their term, `unsealed` wait for a "
    "seal; `last` is the moment of the last seal, and `told` are the first of the `findings`.",
    **table(
        ("seals", "events", "removed", "unsealed", "last", "findings", "told"),
        **dict.fromkeys(("seals", "events", "removed", "unsealed", "findings"), _NUMBER),
        last={"type": ["string", "null"], "format": "date-time"},
        told={"type": "array", "items": {"type": "string"}},
    ),
}
_LIVES = {
    "type": "array",
    "items": table(
        ("id", "answers", "away", "answered"),
        id={"type": "string"},
        answers={"type": "boolean"},
        away={"type": ["string", "null"]},
        answered={"type": ["string", "null"], "format": "date-time"},
    ),
}
_PARTS = ("localisation", "consent", "addressing")
_FACILITIES = {
    "description": "What the organisation depends on: `localisation` and `consent` are facilities that were asked just "
    "now, `addressing` are the directories that the node follows, as the last attempt went. `away` is why there was no "
    "answer, `answered` when there last was one, as far as this process knows.",
    **table(_PARTS, **dict.fromkeys(_PARTS, _LIVES)),
}

OPERATIONS: dict[tuple[str, str], Json] = {
    ("GET", "/{organisation}/localisation/status"): {
        "responses": {"200": said("How the registrations stand.", schema=_REGISTRATIONS)}
    },
    ("GET", "/{organisation}/facilities"): {
        "responses": {"200": said("Whether they answer.", schema=_FACILITIES)}
    },
    ("GET", "/{organisation}/log/verification"): {
        "responses": {"200": said("The log against its seals.", schema=_VERIFIED)}
    },
}
