"""From method, path and query to one `Interaction`.

Source: FHIR RESTful API, STU3 and R4 (http.html). A GET takes its parameters from the query alone, a POST to
`_search` from its form alone; giving both is refused, because a judge and an executor could then differ.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Literal

from schakel.fhir import definitions
from schakel.fhir.definitions import Version
from schakel.fhir.search import Query, QueryParser, pairs_of
from schakel.kernel.outcomes import Invalid, NotAllowed, NotFound, NotSupported, UnsupportedMedia

Kind = Literal[
    "capabilities", "read", "vread", "search", "lastn", "create", "update", "delete", "transaction", "purge"
]
FORM = "application/x-www-form-urlencoded"
_ID = re.compile(r"[A-Za-z0-9\-.]{1,64}")
_CONDITIONAL = ("if-none-exist",)


@dataclass(frozen=True, slots=True)
class Request:
    """What a door received: `path` is relative to the FHIR base, without slashes at the ends; header names are
    in lower case."""

    version: Version
    method: str
    path: str
    query: str
    headers: Mapping[str, str]
    body: bytes = b""


@dataclass(frozen=True, slots=True)
class Interaction:
    """One FHIR interaction, parsed. `query` is there for searches, `version_id` for vread."""

    version: Version
    kind: Kind
    type: str = ""
    id: str = ""
    version_id: int = 0
    query: Query | None = None
    if_match: int | None = None
    format: str = ""

    def __str__(self) -> str:
        """The interaction as one line, for the log of decisions."""
        text = f"{self.kind} {self.type}"
        if self.id:
            text += f"/{self.id}"
        return f"{text}?{self.query.self_link()}" if self.query else text


def logical_id(text: str) -> str:
    """`text` when it is a FHIR id. Raises `Invalid`."""
    if not _ID.fullmatch(text):
        raise Invalid("the id in the path is no FHIR id: 1 to 64 letters, digits, '-' and '.'")
    return text


def version_number(text: str) -> int:
    """The version in a vread path. Raises `NotFound`: ours are whole numbers, another word never existed."""
    if not re.fullmatch(r"[1-9][0-9]{0,8}", text):
        raise NotFound("that version is not here")
    return int(text)


def if_match(headers: Mapping[str, str]) -> int | None:
    """The version in `If-Match`. Raises `Invalid` for anything but one (weak) ETag of ours."""
    value = headers.get("if-match")
    if value is None:
        return None
    match = re.fullmatch(r'\s*(?:W/)?"([1-9][0-9]{0,8})"\s*', value)
    if match is None:
        raise Invalid('If-Match must be one version, as in W/"3"', expression="If-Match")
    return int(match.group(1))


def parse(request: Request, parser: QueryParser | None = None) -> Interaction:
    """The interaction that `request` asks. Raises `Invalid`, `NotFound`, `NotAllowed` and `NotSupported`."""
    parser = parser or QueryParser(definitions(request.version))
    parts = request.path.split("/") if request.path else []
    for header in _CONDITIONAL:
        if header in request.headers:
            raise NotSupported(f"{header} (conditional create) is not supported", expression=header)
    match parts:
        case []:
            return _at_base(request)
        case ["metadata"]:
            _only(request, "GET")
            return Interaction(request.version, "capabilities", format=_format_only(request))
        case [name, *_] if name.startswith(("$", "_")):
            raise NotSupported(f"{name[:40]} on the whole system is not supported", expression=name[:40])
        case [kind, *_] if kind not in definitions(request.version).resource_types:
            raise NotFound(f"{kind[:60]!r} is no resource type of FHIR {request.version.upper()}")
        case [kind]:
            return _on_type(request, parser, kind)
        case ["Observation" as kind, "$lastn"]:
            _only(request, "GET")
            query = parser.parse(kind, pairs_of(request.query), last=True)
            return Interaction(request.version, "lastn", kind, query=query, format=query.format)
        case [kind, "_search"]:
            return _posted_search(request, parser, kind)
        case [kind, name] if name.startswith(("$", "_")):
            raise NotSupported(f"{name[:40]} on {kind} is not supported", expression=name[:40])
        case [kind, name]:
            return _on_instance(request, kind, logical_id(name))
        case ["Patient" as kind, name, "$purge"]:
            _only(request, "POST")
            return Interaction(request.version, "purge", kind, logical_id(name), format=_format_only(request))
        case [kind, name, "_history", number]:
            _only(request, "GET")
            return Interaction(
                request.version,
                "vread",
                kind,
                logical_id(name),
                version_number(number),
                format=_format_only(request),
            )
        case [_, _, name, *_]:
            raise NotSupported(f"{name[:40]} on a resource is not supported", expression=name[:40])
        case _:
            raise NotFound("there is nothing at this path")


def _only(request: Request, *methods: str) -> None:
    if request.method not in methods:
        raise NotAllowed(
            f"{request.method} is not possible here; use {' or '.join(methods)}",
            headers={"Allow": ", ".join(methods)},
        )


def _format_only(request: Request) -> str:
    """`_format` of a request that takes no other parameter."""
    found = ""
    for name, value in pairs_of(request.query):
        if name != "_format":
            raise NotSupported(f"parameter {name[:60]!r} is not supported here", expression=name[:60])
        found = value
    return found


def _at_base(request: Request) -> Interaction:
    if request.method == "POST":
        return Interaction(request.version, "transaction", format=_format_only(request))
    if request.method == "GET":
        raise NotSupported("a search over all types is not supported: name a resource type")
    raise NotAllowed(f"{request.method} is not possible on the FHIR base", headers={"Allow": "POST"})


def _on_type(request: Request, parser: QueryParser, kind: str) -> Interaction:
    if request.method == "GET":
        query = parser.parse(kind, pairs_of(request.query))
        return Interaction(request.version, "search", kind, query=query, format=query.format)
    if request.method in ("PUT", "DELETE", "PATCH") and request.query:
        raise NotSupported(f"conditional {request.method} is not supported: name the id")
    _only(request, "GET", "POST")
    return Interaction(request.version, "create", kind, format=_format_only(request))


def _posted_search(request: Request, parser: QueryParser, kind: str) -> Interaction:
    _only(request, "POST")
    if request.query:
        raise Invalid("a search by POST takes its parameters from the form alone; the query must be empty")
    media = request.headers.get("content-type", "").partition(";")[0].strip().lower()
    if media != FORM and (request.body or media):
        raise UnsupportedMedia(f"a search by POST needs Content-Type {FORM}")
    try:
        text = request.body.decode("utf-8")
    except UnicodeDecodeError as error:
        raise Invalid("the form is not UTF-8") from error
    query = parser.parse(kind, pairs_of(text))
    return Interaction(request.version, "search", kind, query=query, format=query.format)


def _on_instance(request: Request, kind: str, name: str) -> Interaction:
    words: dict[str, Kind] = {"GET": "read", "PUT": "update", "DELETE": "delete"}
    if request.method == "PATCH":
        raise NotSupported("PATCH is not supported: send the whole resource with PUT")
    _only(request, *words)
    return Interaction(
        request.version,
        words[request.method],
        kind,
        name,
        if_match=if_match(request.headers),
        format=_format_only(request),
    )
