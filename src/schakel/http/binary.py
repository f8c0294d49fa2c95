"""Binary as itself: its content for who does not ask for FHIR, and any content for who sends no FHIR.

Source: Binary in STU3 and R4 ("serving Binary resources using the RESTful API"). Both say that the FHIR form is
given when it is asked for by name and else the content, as the media type that the resource states; so `*/*`, no
`Accept` at all and the `Accept` of a browser get the content. A body is a resource when its media type is one of
FHIR, or a general one (`application/json`, `text/xml` ...) and the body opens as a Binary; else it is content.
`X-Security-Context` becomes `securityContext` and comes back with the content; it grants and refuses nothing here.
"""

from __future__ import annotations

import base64
import binascii
import re
from dataclasses import replace
from typing import Any

from starlette.responses import Response

from schakel.fhir import json
from schakel.fhir.definitions import Version
from schakel.http.negotiation import format_parameter, ranges
from schakel.kernel.outcomes import Invalid
from schakel.server import Answer, Request
from schakel.server.bodies import JSON_TYPES, XML_TYPES

CONTENT: dict[Version, str] = {"stu3": "content", "r4": "data"}
"""The element with the content."""

_READ = re.compile(r"Binary/[^/$_][^/]*(?:/_history/[^/]+)?")
_WRITTEN = re.compile(r"Binary(?:/[^/$_][^/]*)?")
_MEDIA = re.compile(r"[!#$&^\w.+-]+/[!#$&^\w.+-]+(?:\s*;\s*[\x20-\x7e]*)?", re.ASCII)
_REFERENCE = re.compile(r"[\x21-\x7e]{1,1000}")
_GENERAL = frozenset({"application/json", "text/json", "application/xml", "text/xml"})
_FHIR = (JSON_TYPES | XML_TYPES) - _GENERAL
_NAMES = JSON_TYPES | XML_TYPES | {"json", "xml"}
_OPENS = re.compile(
    rb'\s*\{(?s:.{0,2000}?)"resourceType"\s*:\s*"Binary"|\s*(?:<\?[^>]*>\s*)?<(?:\w+:)?Binary[\s>/]'
)
_SAFE = {
    "X-Content-Type-Options": "nosniff",
    "Content-Security-Policy": "sandbox; default-src 'none'",
}
"""What is stored here came from somebody else: no browser may run it."""


def received(request: Request) -> Request:
    """The request with the Binary that a bare body stands for; any other request as it is.

    Raises `Invalid` for an `X-Security-Context` that is no reference or stands beside a resource.
    """
    context = request.headers.get("x-security-context")
    if request.method not in ("POST", "PUT") or not _WRITTEN.fullmatch(request.path):
        return request
    media = request.headers.get("content-type", "").strip()
    plain = media.partition(";")[0].strip().lower()
    is_resource = plain in _FHIR or (
        plain in _GENERAL and _OPENS.match(request.body.removeprefix(b"\xef\xbb\xbf"))
    )
    if is_resource or not plain:
        if context is not None:
            raise Invalid(
                "X-Security-Context goes with bare content; a resource has its own securityContext",
                expression="X-Security-Context",
            )
        return request
    if not _MEDIA.fullmatch(media):
        raise Invalid("Content-Type is no media type", expression="Content-Type")
    binary: dict[str, Any] = {"resourceType": "Binary", "contentType": media}
    if "/" in request.path:
        binary["id"] = request.path.partition("/")[2]
    if context is not None:
        if not _REFERENCE.fullmatch(context):
            raise Invalid(
                "X-Security-Context is a reference, such as Patient/1", expression="X-Security-Context"
            )
        binary["securityContext"] = {"reference": context}
    if request.body:
        binary[CONTENT[request.version]] = base64.b64encode(request.body).decode()
    headers = {**request.headers, "content-type": "application/fhir+json"}
    return replace(request, headers=headers, body=json.dump(binary))


def asks_content(request: Request, accept: str) -> bool:
    """Whether a request reads a Binary and FHIR is not what its caller likes best. What is liked alike goes to FHIR,
    which was named."""
    if (
        request.method != "GET"
        or not _READ.fullmatch(request.path)
        or format_parameter(request.query) is not None
    ):
        return False
    named = others = 0.0
    for one in ranges(accept):
        if one.media in _NAMES:
            named = max(named, one.weight)
        else:
            others = max(others, one.weight)
    return others > named or not named


def content(version: Version, answer: Answer) -> Response | None:
    """The content of the Binary in an answer; None for an answer without one, which is given as FHIR."""
    if answer.status != 200:
        return None
    binary = json.parse(answer.body)
    media = binary.get("contentType")
    if not isinstance(media, str) or not _MEDIA.fullmatch(media):
        return None
    try:
        data = base64.b64decode(str(binary.get(CONTENT[version], "")))
    except binascii.Error:
        return None
    headers = {
        "Cache-Control": "no-store",
        "Vary": "Accept",
        **answer.headers,
        **_SAFE,
        "Content-Type": media,
    }
    context = binary.get("securityContext")
    reference = context.get("reference") if isinstance(context, dict) else None
    if isinstance(reference, str) and _REFERENCE.fullmatch(reference):
        headers["X-Security-Context"] = reference
    return Response(data, headers=headers)
