"""An example of every body that goes in or comes out, made of the data in `fhir_samples` and `samples`.

A FHIR body has a whole resource that fits the operation; it stands once in the components. A body of our own is made
from its schema, so that it cannot fall behind: each member has what `samples.WORDS` says for its name, or else
the name.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any

from schakel.http.openapi import samples
from schakel.http.openapi.fhir_samples import FHIR, NOW
from schakel.http.openapi.parts import FHIR_JSON, FORM, Json

_POINTER = "#/components/examples/"
_BY_OPERATION: Mapping[tuple[str, str], str] = {
    ("document", "in"): "Kept",
    ("everything", "in"): "Since",
    ("everything", "out"): "PatientFound",
    ("lastn", "out"): "ObservationFound",
    ("latest-stops", "in"): "Stops",
    ("latest-stops", "out"): "PatientFound",
    ("meta", "in"): "Nothing",
    ("meta", "out"): "Meta",
    ("meta-add", "in"): "Tags",
    ("meta-add", "out"): "Meta",
    ("meta-delete", "in"): "Tags",
    ("meta-delete", "out"): "Meta",
    ("purge", "in"): "Nothing",
    ("purge", "out"): "Outcome",
    ("validate", "in"): "Patient",
    ("validate", "out"): "Outcome",
}
"""What FHIR operations take and give, by name and side."""


def components() -> Json:
    """The FHIR examples, for the components of the document."""
    return {name: {"value": resource} for name, resource in FHIR.items()}


def placed(paths: Mapping[str, Json], schemas: Mapping[str, Json]) -> None:
    """Gives every body of these paths its example, in place."""
    for path, methods in paths.items():
        for method, operation in methods.items():
            kind = _kind(path, operation)
            if "requestBody" in operation:
                place = _Place(method.upper(), path, "in", kind)
                operation["requestBody"] = _with(operation["requestBody"], place, schemas)
            place = _Place(method.upper(), path, "out", kind)
            operation["responses"] = {
                status: _with(answer, place, schemas) if status.startswith("2") else answer
                for status, answer in operation["responses"].items()
            }


@dataclass(frozen=True, slots=True)
class _Place:
    """Where a body stands: `side` is in or out, `kind` a resource type of the door."""

    method: str
    path: str
    side: str
    kind: str


def _kind(path: str, operation: Json) -> str:
    """A resource type that an operation is about and that there is an example of."""
    types = [
        one["schema"].get("enum", ()) for one in operation.get("parameters", ()) if one["name"] == "type"
    ]
    for kind in ("Patient", "Organization", "List", "AuditEvent", "Task"):
        if kind in (types[0] if types else ()) or f"/{kind}" in path:
            return kind
    return "Organization" if "/directory/" in path else "Patient"


def _with(body: Json, place: _Place, schemas: Mapping[str, Json]) -> Json:
    """A copy of a body with an example in each form of it that does not say the same as another."""
    if "content" not in body:
        return body
    return {
        **body,
        "content": {
            media: {**content, **_shown(content["schema"], media, place, schemas)}
            for media, content in body["content"].items()
        },
    }


def _shown(schema: Json, media: str, place: _Place, schemas: Mapping[str, Json]) -> Json:
    """The members of a media type that show an example; none where the other form of the body has it."""
    if media.startswith("application/fhir+"):
        if media != FHIR_JSON:
            return {}
        name = _resource(schema.get("$ref", "").rpartition("/")[2], place)
        return {"examples": {name: {"$ref": f"{_POINTER}{name}"}}}
    whole = samples.WHOLE.get((place.method, place.path, place.side))
    if whole is not None and isinstance(whole, str) == media.startswith("text/"):
        return {"example": whole}
    if media in samples.MEDIA:
        return {"example": samples.MEDIA[media]}
    if schema.get("format") == "binary":
        return {}
    return {"example": _made(schema, "", "", schemas, media == FORM)}


def _resource(schema: str, place: _Place) -> str:
    """The name of the FHIR example for a body of this schema."""
    path = place.path
    version = "stu3" if "/stu3/" in path or "/medmij/" in path else "r4"
    if schema == "CapabilityStatement":
        return f"capabilities-{version}"
    if path.endswith("/mitz/notify"):
        return "Choices"
    if path.endswith("/$document") and place.side == "out":
        return f"document-{version}"
    if "$" in path:
        return _BY_OPERATION[path.rpartition("$")[2], place.side]
    if place.method == "PATCH" and place.side == "in":
        return "Change"
    if schema == "Resource":
        return place.kind
    if place.method == "POST" and path.endswith(("/stu3", "/r4")):
        return f"{place.kind}{'Sent' if place.side == 'in' else 'Taken'}"
    return f"{place.kind}{'Past' if '_history' in path else 'Found'}"


def _made(schema: Json, within: str, name: str, schemas: Mapping[str, Json], form: bool = False) -> Any:
    """A value of a schema: what stands in member `name` of the schema `within`."""
    if "$ref" in schema:
        within = schema["$ref"].rpartition("/")[2]
        return _made(schemas[within], within, name, schemas)
    if "const" in schema:
        return schema["const"]
    if "examples" in schema:
        return schema["examples"][0]
    if "enum" in schema:
        return schema["enum"][0]
    if choices := schema.get("oneOf") or schema.get("anyOf"):
        return _made(choices[0], within, name, schemas)
    kind = schema.get("type")
    if isinstance(kind, list):
        if name in samples.NOT_YET:
            return None
        kind = kind[0]
    if kind == "array":
        one = _made(schema["items"], within, name, schemas)
        return [one] * max(1, schema.get("minItems", 1))
    if kind == "object":
        if form and not schema.get("properties"):
            return samples.SEARCH
        return dict(_members(schema, within, name, schemas))
    return _plain(kind, schema.get("format", ""), name)


def _members(schema: Json, within: str, name: str, schemas: Mapping[str, Json]) -> Iterator[tuple[str, Any]]:
    """The members of an object; those of a table with open names are in `samples.TABLES`."""
    if not schema.get("properties"):
        yield from samples.TABLES.get(name, {}).items()
    for member, its in schema.get("properties", {}).items():
        if (within, member) not in samples.INSTEAD:
            yield member, _made(its, within, member, schemas)


def _plain(kind: str | None, form: str, name: str) -> Any:
    """A value that is no object and no list."""
    if kind == "boolean":
        return name not in samples.NO
    if kind == "integer":
        return samples.NUMBERS.get(name, 2)
    if kind == "number":
        return 0.5
    known = {"date-time": NOW, "date": samples.TODAY, "uri": samples.ADDRESS}
    return known[form] if form in known else samples.WORDS.get(name, name)
