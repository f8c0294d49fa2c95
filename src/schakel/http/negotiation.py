"""JSON or XML: what the caller takes, and turning an answer into it.

Source: FHIR http.html, content types and `_format`. `_format` wins over `Accept`.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Literal
from urllib.parse import parse_qs

from starlette.responses import Response

from schakel.fhir import definitions, json, xml
from schakel.fhir.definitions import Version
from schakel.kernel.outcomes import NotAcceptable
from schakel.server import Answer
from schakel.server.service import JSON_TYPES, RELEASE, XML_TYPES

Format = Literal["json", "xml"]
_MEDIA: Mapping[Format, str] = {"json": "application/fhir+json", "xml": "application/fhir+xml"}

_OWN_DEPTH = 256
"""Levels of an answer: those of the deepest resource that a setting allows, and of the Bundle around it."""


def wanted(accept: str, query: str, version: Version) -> Format:
    """The format a caller asks. Raises `NotAcceptable` when it takes neither JSON nor XML of this version."""
    asked = parse_qs(query).get("_format") if "_format" in query else None
    if asked:
        return _one(asked[0].replace(" ", "+"))
    best: tuple[float, Format] | None = None
    for part in accept.split(","):
        media, *parameters = (p.strip().lower() for p in part.split(";"))
        given = {name: value.strip('"') for name, _, value in (p.partition("=") for p in parameters)}
        weight = _weight(given.get("q", "1"))
        found: Format | None = None
        if media in ("", "*/*", "application/*", "json") or media in JSON_TYPES:
            found = "json"
        elif media == "xml" or media in XML_TYPES:
            found = "xml"
        if given.get("fhirversion", RELEASE[version]) != RELEASE[version]:
            continue
        if found and weight > 0 and (best is None or weight > best[0]):
            best = weight, found
    if best is None:
        raise NotAcceptable(f"answers are application/fhir+json or +xml, fhirVersion {RELEASE[version]}")
    return best[1]


def _one(text: str) -> Format:
    media = text.partition(";")[0].strip().lower()
    if media == "json" or media in JSON_TYPES:
        return "json"
    if media == "xml" or media in XML_TYPES:
        return "xml"
    raise NotAcceptable("_format is json or xml (or their FHIR media types)", expression="_format")


def _weight(text: str) -> float:
    try:
        return float(text)
    except ValueError:
        return 0.0


def render(answer: Answer, form: Format, version: Version) -> Response:
    """The answer in the wanted format; no cache keeps it, as it may be about a patient."""
    headers = {"Cache-Control": "no-store", **answer.headers}
    if not answer.body:
        return Response(status_code=answer.status, headers=headers)
    body = answer.body
    if form == "xml":
        body = xml.dump(json.parse(body, max_depth=_OWN_DEPTH), definitions(version))
    headers["Content-Type"] = f"{_MEDIA[form]}; fhirVersion={RELEASE[version]}; charset=utf-8"
    return Response(body, status_code=answer.status, headers=headers)
