"""What stands in the body of a request: a resource in JSON or XML, or a patch.

Source: FHIR http.html, content types and "patch"; RFC 6902 and 7396.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping

from schakel.fhir import definitions, json, xml
from schakel.fhir.definitions import Version
from schakel.fhir.json import Resource
from schakel.fhir.patch import PatchLimits, apply_fhirpath_patch, apply_json_patch, apply_merge_patch
from schakel.kernel.outcomes import Invalid, UnsupportedMedia
from schakel.server.model import Request

JSON_TYPES = frozenset({"application/fhir+json", "application/json", "application/json+fhir", "text/json"})
XML_TYPES = frozenset({"application/fhir+xml", "application/xml", "application/xml+fhir", "text/xml"})
JSON_PATCH = "application/json-patch+json"
MERGE_PATCH = "application/merge-patch+json"
PATCH_TYPES = (JSON_PATCH, MERGE_PATCH, "application/fhir+json", "application/fhir+xml")
"""What a patch may be written in: JSON Patch, JSON Merge Patch, or FHIRPath Patch as Parameters."""
RELEASE: Mapping[Version, str] = {"stu3": "3.0", "r4": "4.0"}
"""The value of the media type parameter `fhirVersion`."""

Patch = Callable[[Resource], Resource]


def _media(request: Request) -> str:
    """The media type of the body, in lower case. Raises `UnsupportedMedia` for a coding, charset or version that is
    not taken."""
    coding = request.headers.get("content-encoding", "identity").strip().lower()
    if coding not in ("", "identity"):
        raise UnsupportedMedia(f"Content-Encoding {coding[:40]!r} is not taken here; send the body as it is")
    media, *parameters = (part.strip() for part in request.headers.get("content-type", "").lower().split(";"))
    for parameter in parameters:
        name, _, value = parameter.partition("=")
        if name == "charset" and value.strip('"') not in ("utf-8", "utf8", "us-ascii"):
            raise UnsupportedMedia(f"charset {value[:40]!r} is not taken here; FHIR is written in UTF-8")
        if name == "fhirversion" and value.strip('"') != RELEASE[request.version]:
            raise UnsupportedMedia(f"this address takes FHIR {RELEASE[request.version]}, not {value[:40]!r}")
    return media


def read_body(request: Request, max_depth: int = json.MAX_DEPTH) -> Resource:
    """The resource in a request body, JSON or XML. Raises `UnsupportedMedia` and `Invalid`."""
    if request.resource is not None:
        return request.resource
    media = _media(request)
    if media in JSON_TYPES:
        return json.parse(request.body, max_depth=max_depth)
    if media in XML_TYPES:
        return xml.parse(request.body, definitions(request.version))
    raise UnsupportedMedia(
        f"Content-Type {media[:60]!r} is not taken here; use application/fhir+json or application/fhir+xml"
    )


def read_patch(request: Request, limits: PatchLimits) -> Patch:
    """The patch in a request body, as the function that applies it.

    A JSON object that does not call itself FHIR, and is no Parameters, is a JSON Merge Patch as well: some clients
    send those as plain JSON. Raises `UnsupportedMedia` and `Invalid`; the function raises what `schakel.fhir.patch`
    does.
    """
    media = _media(request)
    if media == JSON_PATCH:
        operations = json.parse_array(request.body, max_depth=limits.depth)
        return lambda resource: apply_json_patch(resource, operations, limits)
    if media in (MERGE_PATCH, "application/json") and request.resource is None:
        members = json.parse(request.body, max_depth=limits.depth)
        if media == MERGE_PATCH or members.get("resourceType") != "Parameters":
            return lambda resource: apply_merge_patch(resource, members)
    elif media not in JSON_TYPES | XML_TYPES:
        raise UnsupportedMedia(
            f"Content-Type {media[:60]!r} is not taken here; use {JSON_PATCH}, {MERGE_PATCH}, or Parameters "
            "(FHIRPath Patch) in application/fhir+json or application/fhir+xml"
        )
    return fhirpath_patch(request.version, read_body(request, limits.depth), limits)


def fhirpath_patch(version: Version, parameters: Resource, limits: PatchLimits) -> Patch:
    """The patch that a Parameters resource holds. Raises `Invalid` for another resource."""
    if parameters.get("resourceType") != "Parameters":
        raise Invalid(
            "a patch is Parameters (FHIRPath Patch), or a JSON Patch",
            expression=str(parameters.get("resourceType")),
        )
    known = definitions(version)
    return lambda resource: apply_fhirpath_patch(resource, parameters, known, limits)
