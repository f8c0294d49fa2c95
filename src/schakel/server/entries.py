"""Entries of a batch or transaction: each is a request, and is answered like one.

Source: FHIR http.html, batch and transaction; bundle.html, request and response of an entry.
"""

from __future__ import annotations

import base64
import binascii
from collections.abc import Mapping
from dataclasses import replace
from datetime import UTC
from email.utils import format_datetime
from typing import Any

import orjson

from schakel.fhir.definitions import Version
from schakel.fhir.json import Resource
from schakel.fhir.moments import interval
from schakel.kernel.clock import instant
from schakel.kernel.outcomes import Invalid, naming
from schakel.server import answer
from schakel.server.answer import Answer
from schakel.server.model import Request

_HEADERS = {"ifMatch": "if-match", "ifNoneMatch": "if-none-match", "ifNoneExist": "if-none-exist"}


def request_of(version: Version, base: str, entry: Mapping[str, Any], prefer: str) -> Request:
    """The request that an entry stands for, its resource as the body; `prefer` is the header of the whole.

    Raises `Invalid`, naming the element.
    """
    given = entry.get("request")
    if not isinstance(given, dict):
        raise Invalid("an entry needs a request", expression="request")
    for name in ("method", "url"):
        if not isinstance(given.get(name), str):
            raise Invalid("request.method and request.url are needed, once", expression=f"request.{name}")
    headers = {"prefer": prefer}
    for name, header in _HEADERS.items():
        if name in given:
            if not isinstance(given[name], str):
                raise Invalid(f"request.{name} is needed once", expression=f"request.{name}")
            headers[header] = given[name]
    if "ifModifiedSince" in given:
        with naming("request.ifModifiedSince"):
            moment, _ = interval(str(given["ifModifiedSince"]))
        headers["if-modified-since"] = format_datetime(moment.astimezone(UTC), usegmt=True)
    method = "GET" if given["method"] == "HEAD" else given["method"]
    url = given["url"]
    below = url.removeprefix(base) if url.removeprefix(base)[:1] in ("", "/", "?") else url
    path, _, query = below.partition("?")
    request = Request(version, method, path.strip("/"), query, headers)
    resource = entry.get("resource")
    if method in ("GET", "DELETE") or (resource is None and "$" in path):
        return request
    if not isinstance(resource, dict):
        raise Invalid("an entry that writes needs a resource", expression="resource")
    if method == "PATCH" and resource.get("resourceType") == "Binary":
        body, media = _patch_in(version, resource)
        return replace(request, headers={**headers, "content-type": media}, body=body)
    return replace(request, headers={**headers, "content-type": "application/fhir+json"}, resource=resource)


def _patch_in(version: Version, resource: Resource) -> tuple[bytes, str]:
    """Content and media type of a Binary that holds a patch."""
    data, media = resource.get("content" if version == "stu3" else "data"), resource.get("contentType")
    if not isinstance(data, str) or not isinstance(media, str):
        raise Invalid("a Binary that patches needs contentType and content", expression="resource")
    try:
        return base64.b64decode(data, validate=True), media
    except binascii.Error:
        raise Invalid("the content of the Binary is no base64", expression="resource") from None


def entry_of(version: Version, base: str, method: str, given: Answer) -> dict[str, Any]:
    """The entry that tells an answer; a HEAD is told without its resource."""
    entry: dict[str, Any] = {}
    response: dict[str, Any] = {"status": str(given.status)}
    stored = given.stored
    writes = method not in ("GET", "HEAD")
    if stored is not None and not stored.deleted:
        entry["fullUrl"] = f"{base}/{stored.type}/{stored.id}"
        if writes:
            response["location"] = f"{stored.type}/{stored.id}/_history/{stored.version}"
    if given.body and not given.outcome and method != "HEAD":
        entry["resource"] = orjson.Fragment(given.body)
    if stored is not None and stored.version:
        response["etag"] = f'W/"{stored.version}"'
        if not stored.deleted:
            response["lastModified"] = instant(stored.updated)
    if given.outcome:
        response["outcome"] = orjson.Fragment(given.body)
    elif given.issues:
        response["outcome"] = orjson.Fragment(answer.outcome_body(version, given.issues))
    entry["response"] = response
    return entry
