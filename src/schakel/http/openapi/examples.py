"""An example of every body that goes in or comes out, made of the data in `samples`.

A FHIR body has a whole resource that fits the operation; it stands once in the components. A body of our own is made
from its schema, so that it cannot fall behind: each member has what `samples.WORDS` says for its name.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

from schakel.http.openapi import samples
from schakel.http.openapi.parts import FHIR_JSON, FORM, Json

_POINTER = "#/components/examples/"
_BY_OPERATION: Mapping[tuple[str, str], str] = {
    ("document", "in"): "Kept",
    ("document", "out"): "Document",
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
    return {name: {"value": resource} for name, resource in samples.FHIR.items()}


def placed(paths: Mapping[str, Json], schemas: Mapping[str, Json]) -> None:
    """Gives every body of these paths its example, in place. Raises `KeyError` naming a member for which `samples` has
    no word."""
    for path, methods in paths.items():
        for method, operation in methods.items():
            if "requestBody" in operation:
                operation["requestBody"] = _with(operation["requestBody"], method, path, "in", schemas)
            operation["responses"] = {
                status: _with(answer, method, path, "out", schemas) if status.startswith("2") else answer
                for status, answer in operation["responses"].items()
            }


def _with(body: Json, method: str, path: str, side: str, schemas: Mapping[str, Json]) -> Json:
    """A copy of a body with an example in each form of it that is not FHIR in XML, which says the same."""
    if "content" not in body:
        return body
    return {
        **body,
        "content": {
            media: {**content, **_shown(content["schema"], media, method.upper(), path, side, schemas)}
            for media, content in body["content"].items()
        },
    }


def _shown(
    schema: Json, media: str, method: str, path: str, side: str, schemas: Mapping[str, Json]
) -> Json:
    """The members of a media type that show an example; none where the other form of the body has it."""
    if media.startswith("application/fhir+"):
        if media != FHIR_JSON:
            return {}
        name = _resource(schema.get("$ref", "").rpartition("/")[2], method, path, side)
        return {"examples": {name: {"$ref": f"{_POINTER}{name}"}}}
    whole = samples.WHOLE.get((method, path, side))
    if whole is not None and (isinstance(whole, str) != (media == "application/json")):
        return {"example": whole}
    if media in samples.MEDIA:
        return {"example": samples.MEDIA[media]}
    return {"example": _made(schema, "", "", schemas, media == FORM)}


def _resource(schema: str, method: str, path: str, side: str) -> str:
    """The name of the FHIR example for a body of this schema."""
    if schema == "CapabilityStatement":
        return "capabilities-stu3" if "/stu3/" in path or "/medmij/" in path else "capabilities-r4"
    if path.endswith("/mitz/notify"):
        return "Choices"
    if "$" in path:
        return _BY_OPERATION[path.rpartition("$")[2], side]
    if method == "PATCH" and side == "in":
        return "Change"
    kind = _kind(path)
    if schema == "Resource":
        return kind
    if method == "POST" and path.endswith(("/stu3", "/r4")):
        return f"{kind}{'Sent' if side == 'in' else 'Taken'}"
    return f"{kind}{'Past' if '_history' in path else 'Found'}"


def _kind(path: str) -> str:
    """A resource type of the door at this path."""
    for part, kind in (
        ("/localisation/", "List"),
        ("/log/", "AuditEvent"),
        ("/directory/", "Organization"),
        ("/administration/", "Organization"),
    ):
        if part in path:
            return kind
    return "Patient"


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


def _members(
    schema: Json, within: str, name: str, schemas: Mapping[str, Json]
) -> Iterator[tuple[str, Any]]:
    """The members of an object; those of a table with open names are in `samples.TABLES`."""
    if not schema.get("properties"):
        yield from samples.TABLES[name].items()
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
    known = {"date-time": samples.NOW, "date": samples.TODAY, "uri": samples.ADDRESS}
    return known[form] if form in known else samples.WORDS[name]
