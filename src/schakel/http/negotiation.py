"""JSON or XML: what the caller takes, and turning an answer into it.

Source: FHIR http.html, content types, `_format` and `_pretty`; RFC 9110 section 12.5.1. `_format` wins over
`Accept`. Both are about how an answer is written, so they are read here; `_pretty` goes no further.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from functools import lru_cache
from typing import Literal
from urllib.parse import parse_qs, unquote_plus

from starlette.requests import Request
from starlette.responses import Response

from schakel.fhir import definitions, json, xml
from schakel.fhir.definitions import VERSIONS, Version
from schakel.kernel.outcomes import Invalid, NotAcceptable
from schakel.server import Answer
from schakel.server.bodies import JSON_TYPES, RELEASE, XML_TYPES

Syntax = Literal["json", "xml"]
MEDIA: Mapping[Syntax, str] = {"json": "application/fhir+json", "xml": "application/fhir+xml"}

_OWN_DEPTH = 256
"""Levels of an answer: those of the deepest resource that a setting allows, and of the Bundle around it."""


@dataclass(frozen=True, slots=True)
class Format:
    """How an answer is written."""

    syntax: Syntax = "json"
    pretty: bool = False


@dataclass(frozen=True, slots=True)
class Range:
    """One media range of an `Accept` header, in lower case: what is taken and how much it is liked (0 to 1)."""

    media: str
    release: str
    weight: float


def accepted(request: Request) -> str:
    """The `Accept` header; a caller may have divided it over more lines."""
    return ", ".join(request.headers.getlist("accept"))


def ranges(accept: str) -> list[Range]:
    """The media ranges of an `Accept` header, most liked first. A range without a right weight is not liked."""
    found = []
    for part in accept.split(","):
        media, *parameters = (p.strip().lower() for p in part.split(";"))
        given = {name.strip(): value.strip(' "') for name, _, value in (p.partition("=") for p in parameters)}
        found.append(Range(media or "*/*", given.get("fhirversion", ""), weight(given.get("q", "1"))))
    return sorted(found, key=lambda one: -one.weight)


def weight(text: str) -> float:
    """A quality value (RFC 9110 section 12.4.2); 0 for what is none."""
    try:
        value = float(text)
    except ValueError:
        return 0.0
    return value if 0 <= value <= 1 else 0.0


def wanted(accept: str, query: str, version: Version) -> Format:
    """How the caller wants the answer, by the `Accept` header and the query.

    Raises `NotAcceptable` when it takes neither JSON nor XML of this version, `Invalid` for a wrong `_pretty`.
    """
    pretty = False
    if "_pretty" in query and (given := parse_qs(query).get("_pretty")):
        if given[0] not in ("true", "false"):
            raise Invalid("_pretty is true or false", expression="_pretty")
        pretty = given[0] == "true"
    if (asked := format_parameter(query)) is not None:
        return Format(_named(asked, version), pretty)
    best = (
        _liked(accept, RELEASE[version])
        if len(accept) < 300
        else _liked.__wrapped__(accept, RELEASE[version])
    )
    if best is None:
        raise NotAcceptable(f"answers are application/fhir+json or +xml, fhirVersion {RELEASE[version]}")
    return Format(best, pretty)


def format_parameter(query: str) -> str | None:
    """The value of `_format`; a plus in a media type need not have been encoded."""
    asked = parse_qs(query).get("_format") if "_format" in query else None
    return asked[0].replace(" ", "+").replace(";+", ";") if asked else None


def without_pretty(query: str) -> str:
    """The query without `_pretty`."""
    if "_pretty" not in query:
        return query
    return "&".join(pair for pair in query.split("&") if unquote_plus(pair.partition("=")[0]) != "_pretty")


@lru_cache(maxsize=256)
def _liked(accept: str, release: str) -> Syntax | None:
    """The syntax liked best: by weight, then by how exactly it is named, then by order; JSON when all is equal."""
    best: tuple[float, int, int] = (0.0, 0, 0)
    chosen: Syntax | None = None
    fitting = [(n, one) for n, one in enumerate(ranges(accept)) if one.release in ("", release)]
    for syntax in ("json", "xml"):
        exact = max((_exactness(one.media, syntax) for _, one in fitting), default=0)
        if not exact:
            continue
        same = [(one.weight, exact, -n) for n, one in fitting if _exactness(one.media, syntax) == exact]
        if (top := max(same)) > best and top[0] > 0:
            best, chosen = top, "json" if syntax == "json" else "xml"
    return chosen


def _exactness(media: str, syntax: str) -> int:
    """How exactly a media range names a syntax: 3 by name, 1 with everything, 0 not at all."""
    if media == syntax or media in (JSON_TYPES if syntax == "json" else XML_TYPES):
        return 3
    return {"application/*": 2, "*/*": 1, "*": 1}.get(media, 0)


def _named(text: str, version: Version) -> Syntax:
    """The syntax that `_format` names."""
    [one, *_] = ranges(text.partition(",")[0])
    if one.release not in ("", RELEASE[version]):
        raise NotAcceptable(
            f"this address answers in FHIR {RELEASE[version]}; _format asks {one.release[:20]}",
            expression="_format",
        )
    if _exactness(one.media, "json") == 3:
        return "json"
    if _exactness(one.media, "xml") == 3:
        return "xml"
    raise NotAcceptable("_format is json or xml (or their FHIR media types)", expression="_format")


def version_in(path: str) -> Version:
    """The FHIR version of a path that has `/fhir/{version}` after its organisation; STU3 when it names none."""
    parts = path.split("/")[2:]
    named = parts[parts.index("fhir") + 1 :][:1] if "fhir" in parts else []
    return next((version for version in VERSIONS if [version] == named), "stu3")


def render(answer: Answer, form: Format, version: Version) -> Response:
    """The answer in the wanted format; no cache keeps it, as it may be about a patient."""
    headers = {"Cache-Control": "no-store", "Vary": "Accept", **answer.headers}
    if not answer.body or answer.status == 304:
        return Response(status_code=answer.status, headers=headers)
    body = answer.body
    if form.syntax == "xml":
        body = xml.dump(json.parse(body, max_depth=_OWN_DEPTH), definitions(version))
        body = xml.indented(body) if form.pretty else body
    elif form.pretty:
        body = json.dump(json.parse(body, max_depth=_OWN_DEPTH), indented=True)
    headers["Content-Type"] = f"{MEDIA[form.syntax]}; fhirVersion={RELEASE[version]}; charset=utf-8"
    return Response(body, status_code=answer.status, headers=headers)
