"""From method, path and query to one `Interaction`.

Source: FHIR RESTful API, STU3 and R4 (http.html). A GET takes its parameters from the query alone, a POST to
`_search` from its form; where requests are judged, giving both is refused, else they are one list.
A create with search parameters in its address is taken as one with these in If-None-Exist: FHIR gives them no
meaning there, and the clients that send them mean this.
"""

from __future__ import annotations

import re
from collections.abc import Collection

from schakel.fhir import definitions
from schakel.fhir.search import Handling, Pairs, Query, QueryParser, pairs_of
from schakel.fhir.subsets import Subset, read_elements, read_summary
from schakel.kernel.outcomes import Invalid, NotAllowed, NotFound, NotSupported, UnsupportedMedia
from schakel.server.headers import if_absent, if_match, if_modified_since, if_none_match
from schakel.server.history import history_query
from schakel.server.model import Interaction, Kind, Request
from schakel.server.operations import Operation, operation_of

__all__ = ["criteria_of", "parse"]

FORM = "application/x-www-form-urlencoded"
_ID = re.compile(r"[A-Za-z0-9\-.]{1,64}")
_WRITES = ("PUT", "PATCH", "DELETE")
_SUBSETTING = ("_summary", "_elements")


def parse(
    request: Request,
    parser: QueryParser | None = None,
    *,
    handling: Handling = "strict",
    trusted: bool = False,
) -> Interaction:
    """The interaction that `request` asks; `handling` is that of unknown search parameters. What a `trusted` caller
    asks is not judged.

    Raises `Invalid`, `NotFound`, `NotAllowed`, `NotSupported` and `UnsupportedMedia`.
    """
    parser = parser or QueryParser(definitions(request.version))
    interaction = _Parsing(request, parser, handling, trusted).interaction()
    if "if-none-exist" in request.headers and interaction.kind != "create":
        raise Invalid("If-None-Exist is for creating, with POST on a type", expression="If-None-Exist")
    return interaction


def _not_here(name: str) -> NotSupported:
    return NotSupported(f"parameter {name[:60]!r} is not supported here", expression=name[:60])


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


def criteria_of(parser: QueryParser, kind: str, pairs: Pairs) -> Query:
    """The conditions of a conditional interaction or reference on a type. Raises `Invalid` when there are none, or
    when a parameter is no condition: what would be left out could make the condition match more."""
    query = parser.parse(kind, pairs)
    left_out = [name for name, _ in pairs if name.startswith("_") and not _is_condition(query, name)]
    if left_out:
        raise Invalid(f"{left_out[0][:60]} is no condition: leave it out", expression=left_out[0][:60])
    if not query.conditions:
        raise Invalid("a condition is needed, such as identifier=system|value", code="condition-missing")
    return query


def _is_condition(query: Query, name: str) -> bool:
    code = re.split(r"[.:]", name, maxsplit=1)[0]
    return code == "_has" or any(code == c.parameter.code for c in query.conditions)


class _Parsing:
    """One request on its way to an interaction."""

    def __init__(self, request: Request, parser: QueryParser, handling: Handling, trusted: bool) -> None:
        self._request = request
        self._parser = parser
        self._handling = handling
        self._trusted = trusted

    def interaction(self) -> Interaction:
        request = self._request
        match request.path.split("/") if request.path else []:
            case []:
                return self._at_base()
            case ["metadata"]:
                self._only("GET")
                return self._capabilities()
            case ["_history"]:
                return self._history()
            case ["_search"]:
                return self._search(
                    "search-system", self._parser.parse("", self._form(), handling=self._handling)
                )
            case [name] if name.startswith("$"):
                return self._operation(name)
            case [kind, *_] if kind not in definitions(request.version).resource_types:
                raise NotFound(f"{kind[:60]!r} is no resource type of FHIR {request.version.upper()}")
            case [kind]:
                return self._on_type(kind)
            case [kind, "_history"]:
                return self._history(kind)
            case [kind, "_search"]:
                return self._search("search", self._parser.parse(kind, self._form(), handling=self._handling))
            case [kind, name] if name.startswith("$"):
                return self._operation(name, kind)
            case [kind, name] if name.startswith("_"):
                raise NotSupported(f"{name[:40]} on {kind} is not supported", expression=name[:40])
            case [kind, name]:
                return self._on_instance(kind, logical_id(name))
            case [kind, name, "_history"]:
                return self._history(kind, logical_id(name))
            case [kind, name, "_history", number]:
                self._only("GET")
                return self._read("vread", kind, logical_id(name), version_number(number))
            case [kind, name, operation] if operation.startswith("$"):
                return self._operation(operation, kind, logical_id(name))
            case [kind, name, "_search"]:
                return self._compartment(kind, logical_id(name), "*", self._form())
            case [kind, name, inside, "_search"]:
                return self._compartment(kind, logical_id(name), inside, self._form())
            case [kind, name, inside] if not inside.startswith("_"):
                self._only("GET")
                return self._compartment(kind, logical_id(name), inside, self._asked(request.query))
            case [_, _, name, *_] if name.startswith(("_", "$")):
                raise NotSupported(f"{name[:40]} here is not supported", expression=name[:40])
            case _:
                raise NotFound("there is nothing at this path")

    def _only(self, *methods: str) -> None:
        if self._request.method not in methods:
            raise NotAllowed(
                f"{self._request.method} is not possible here; use {' or '.join(methods)}",
                headers={"Allow": ", ".join(methods)},
            )

    def _format_only(self) -> str:
        """`_format` of a request that takes no other parameter."""
        format_, rest = self._format_and_rest()
        for name, _ in rest:
            raise _not_here(name)
        return format_

    def _format_and_rest(self) -> tuple[str, Pairs]:
        pairs = pairs_of(self._request.query)
        return dict(pairs).get("_format", ""), tuple(pair for pair in pairs if pair[0] != "_format")

    # -- reading -------------------------------------------------------------------------------------------

    def _subset(self, kinds: Collection[str]) -> tuple[str, Subset, Pairs]:
        """`_format`, how much is asked of resources of these types (`_summary`, `_elements`), and what else is."""
        format_, rest = self._format_and_rest()
        given = dict(pair for pair in rest if pair[0] in _SUBSETTING)
        if len(given) < sum(name in _SUBSETTING for name, _ in rest):
            raise Invalid("_summary and _elements may be given once", expression="_summary")
        summary, elements = read_summary(given.get("_summary", "false")), given.get("_elements")
        if summary == "count":
            raise Invalid("_summary=count is for searches", expression="_summary")
        if summary and elements is not None:
            raise Invalid("_summary and _elements do not go together", expression="_elements")
        named = () if elements is None else read_elements(elements, kinds, definitions(self._request.version))
        return format_, Subset(summary, named), tuple(pair for pair in rest if pair[0] not in _SUBSETTING)

    def _capabilities(self) -> Interaction:
        format_, subset, rest = self._subset(("CapabilityStatement",))
        mode = ""
        for name, value in rest:
            if name != "mode":
                raise _not_here(name)
            if value not in ("full", "normative", "terminology"):
                raise Invalid("mode is full, normative or terminology", expression="mode")
            if value == "terminology":
                raise NotSupported("this server is no terminology server", expression="mode")
            mode = value
        return Interaction(self._request.version, "capabilities", mode=mode, format=format_, subset=subset)

    def _read(self, word: Kind, kind: str, name: str, number: int = 0) -> Interaction:
        format_, subset, rest = self._subset((kind,))
        for other, _ in rest:
            raise _not_here(other)
        return Interaction(
            self._request.version,
            word,
            kind,
            name,
            number,
            if_none_match=if_none_match(self._request.headers),
            if_modified_since=if_modified_since(self._request.headers),
            format=format_,
            subset=subset,
        )

    def _history(self, kind: str = "", name: str = "") -> Interaction:
        self._only("GET")
        version = self._request.version
        kinds = (kind,) if kind else definitions(version).resource_types
        format_, subset, rest = self._subset(kinds)
        query = history_query(kind, name, rest)
        return Interaction(version, "history", kind, name, history=query, format=format_, subset=subset)

    def _search(self, word: Kind, query: Query) -> Interaction:
        return Interaction(self._request.version, word, query.type, query=query, format=query.format)

    def _asked(self, text: str) -> Pairs:
        """The parameters of a search. Empty ones say nothing (R4 search.html 3.1.1.3); where requests are judged, they
        stay, and are refused."""
        pairs = pairs_of(text)
        return tuple(pair for pair in pairs if pair[1]) if self._trusted else pairs

    def _form(self) -> Pairs:
        """The parameters of a search by POST: those in its address (of a trusted caller), and those in its form."""
        request = self._request
        self._only("POST")
        if request.query and not self._trusted:
            raise Invalid(
                "a search by POST takes its parameters from the form alone; the query must be empty"
            )
        media = request.headers.get("content-type", "").partition(";")[0].strip().lower()
        if media != FORM and (request.body or media):
            raise UnsupportedMedia(f"a search by POST needs Content-Type {FORM}")
        try:
            return (*self._asked(request.query), *self._asked(request.body.decode("utf-8")))
        except UnicodeDecodeError as error:
            raise Invalid("the form is not UTF-8") from error

    def _compartment(self, kind: str, name: str, inside: str, pairs: Pairs) -> Interaction:
        query = self._parser.parse_compartment(kind, name, inside, pairs, handling=self._handling)
        return self._search("search-compartment", query)

    # -- what may also write -------------------------------------------------------------------------------

    def _at_base(self) -> Interaction:
        request = self._request
        self._only("GET", "POST")
        if request.method == "POST":
            return Interaction(
                request.version, "transaction", empty=self._empty(), format=self._format_only()
            )
        query = self._parser.parse("", self._asked(request.query), handling=self._handling)
        return self._search("search-system", query)

    def _on_type(self, kind: str) -> Interaction:
        request = self._request
        if request.method == "GET":
            query = self._parser.parse(kind, self._asked(request.query), handling=self._handling)
            return self._search("search", query)
        self._only("GET", "POST", *(_WRITES if request.query else ()))
        if request.method != "POST":
            format_, rest = self._format_and_rest()
            return self._write(kind, "", criteria_of(self._parser, kind, rest), format_)
        format_, rest = self._format_and_rest()
        condition = request.headers.get("if-none-exist")
        if condition is not None:
            if rest:
                raise Invalid(
                    "the condition of a create is given twice; If-None-Exist is enough",
                    expression="If-None-Exist",
                )
            text = condition.strip().removeprefix("?")
            name, mark, rest_of = text.partition("?")
            text = rest_of if mark and name.rpartition("/")[2] == kind else text
            rest = pairs_of(text)
        conditional = condition is not None or bool(rest)
        criteria = criteria_of(self._parser, kind, rest) if conditional else None
        return Interaction(request.version, "create", kind, criteria=criteria, format=format_)

    def _write(self, kind: str, name: str, criteria: Query | None, format_: str) -> Interaction:
        """An update, patch or delete, by id or by condition."""
        request = self._request
        words: dict[str, Kind] = {"PUT": "update", "PATCH": "patch", "DELETE": "delete"}
        if "if-none-match" in request.headers and request.method != "PUT":
            raise NotSupported("If-None-Match is for reading and for PUT", expression="If-None-Match")
        return Interaction(
            request.version,
            words[request.method],
            kind,
            name,
            criteria=criteria,
            if_match=if_match(request.headers),
            if_absent=if_absent(request.headers),
            format=format_,
        )

    def _on_instance(self, kind: str, name: str) -> Interaction:
        self._only("GET", *_WRITES)
        if self._request.method == "GET":
            return self._read("read", kind, name)
        return self._write(kind, name, None, self._format_only())

    def _operation(self, name: str, kind: str = "", instance: str = "") -> Interaction:
        request = self._request
        operation = operation_of(name.removeprefix("$"), request.version, kind, instance)
        self._only(*sorted(operation.methods))
        if operation.run is None:
            return self._search("search", self._parser.parse(kind, self._asked(request.query), last=True))
        return Interaction(
            request.version,
            "operation",
            kind,
            instance,
            operation=operation.name,
            given=self._format_and_rest()[1],
            empty=self._empty(),
            format=self._format(operation),
        )

    def _empty(self) -> bool:
        return not self._request.body and self._request.resource is None

    def _format(self, operation: Operation) -> str:
        """`_format` of an operation, whose other parameters are its own."""
        return self._format_and_rest()[0] if operation.takes else self._format_only()
