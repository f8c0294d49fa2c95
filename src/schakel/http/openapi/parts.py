"""The parts that operations share: schemas, answers, security."""

from __future__ import annotations

from typing import Any

Json = dict[str, Any]

FHIR_JSON = "application/fhir+json"
FHIR_XML = "application/fhir+xml"
PROBLEM = "application/problem+json"
FORM = "application/x-www-form-urlencoded"


def ref(name: str) -> Json:
    """A reference to a schema of ours."""
    return {"$ref": f"#/components/schemas/{name}"}


def texts(*names: str) -> Json:
    """Members that are texts."""
    return {name: {"type": "string"} for name in names}


def table(required: tuple[str, ...] = (), **members: Any) -> Json:
    """An object with these members."""
    return {
        "type": "object",
        "properties": members,
        **({"required": list(required)} if required else {}),
    }


def said(description: str, media: str = "application/json", schema: Json | None = None) -> Json:
    """An answer."""
    return {"description": description, "content": {media: {"schema": schema or {}}}}


def fhir(schema: Json, description: str) -> Json:
    """An answer in FHIR, JSON or XML."""
    content = {FHIR_JSON: {"schema": schema}, FHIR_XML: {"schema": {"type": "string"}}}
    return {"description": description, "content": content}


def body(schema: Json, *media: str) -> Json:
    """A body that is needed."""
    return {"required": True, "content": {one: {"schema": schema} for one in media or ("application/json",)}}


def parameter(
    name: str, where: str, description: str, schema: Json | None = None, *, required: bool = False
) -> Json:
    """A parameter; those in the path are always needed, as they must be."""
    return {
        "name": name,
        "in": where,
        "description": description,
        "schema": schema or {"type": "string"},
        **({"required": True} if required or where == "path" else {}),
    }


_CODE = {"type": "string", "pattern": "^[^\\s]+(\\s[^\\s]+)*$"}

SCHEMAS: dict[str, Json] = {
    "Problem": {
        "description": "A problem document (RFC 9457); `code` is a stable word.",
        **table(
            ("type", "title", "status", "detail", "code"),
            **texts("type", "title", "detail", "code", "expression"),
            status={"type": "integer", "minimum": 400, "maximum": 599},
        ),
    },
    "OperationOutcome": {
        "description": "Why a FHIR request has no ordinary answer.",
        **table(
            ("resourceType", "issue"),
            resourceType={"const": "OperationOutcome"},
            issue={
                "type": "array",
                "minItems": 1,
                "items": table(
                    ("severity", "code"),
                    severity={"enum": ["fatal", "error", "warning", "information"]},
                    code=_CODE,
                    diagnostics={"type": "string"},
                    expression={"type": "array", "items": {"type": "string"}},
                ),
            },
        ),
    },
    "Resource": {
        "description": "A FHIR resource; its elements are those of its type in FHIR.",
        **table(
            ("resourceType",),
            resourceType={"type": "string", "pattern": "^[A-Z][A-Za-z]{1,63}$"},
            id={"type": "string", "pattern": "^[A-Za-z0-9\\-.]{1,64}$"},
        ),
    },
    "Bundle": {
        "description": "A FHIR Bundle.",
        **table(
            ("resourceType", "type"),
            resourceType={"const": "Bundle"},
            type=_CODE,
            total={"type": "integer", "minimum": 0},
            entry={"type": "array", "minItems": 1, "items": {"type": "object"}},
        ),
    },
    "CapabilityStatement": {
        "description": "What a FHIR server does.",
        **table(("resourceType", "rest"), resourceType={"const": "CapabilityStatement"}),
    },
}

SECURITY: dict[str, Json] = {
    "organisation key": {
        "type": "apiKey",
        "in": "header",
        "name": "X-API-Key",
        "description": "The key of the organisation in the path (setting `internal_key`).",
    },
    "access token": {
        "type": "http",
        "scheme": "bearer",
        "description": "A token of the organisation's own authorisation server.",
    },
    "client certificate": {
        "type": "mutualTLS",
        "description": "A certificate of an authority that the node trusts.",
    },
}

PROBLEM_ANSWER: Json = said("Refused, and why.", PROBLEM, ref("Problem"))
OUTCOME_ANSWER: Json = fhir(ref("OperationOutcome"), "Refused, and why.")

ORGANISATION = parameter(
    "organisation",
    "path",
    "The organisation, by its slug.",
    {"type": "string", "pattern": "^[a-z0-9][a-z0-9-]*$"},
)
ID = parameter("id", "path", "A FHIR id.", {"type": "string", "pattern": "^[A-Za-z0-9\\-.]{1,64}$"})
