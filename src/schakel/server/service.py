"""Executes interactions on a source.

What is written is checked against the base definitions first (`fhir.structure`). With `write_check = "lenient"`
more elements than the maximum are kept whole and named in a warning; everything else is refused either way.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, Literal

import orjson

from schakel.fhir import definitions, json, structure, xml
from schakel.fhir.definitions import Version
from schakel.fhir.json import Resource
from schakel.fhir.search import QueryParser
from schakel.kernel.clock import new_id
from schakel.kernel.outcomes import (
    Forbidden,
    Invalid,
    Issue,
    NotSupported,
    Outcome,
    TooCostly,
    Unprocessable,
    UnsupportedMedia,
)
from schakel.server import answer, capabilities
from schakel.server.answer import Answer
from schakel.server.interaction import Interaction, Request, parse
from schakel.sources import Found, Source, Stored, Write, Written

JSON_TYPES = frozenset({"application/fhir+json", "application/json", "application/json+fhir", "text/json"})
XML_TYPES = frozenset({"application/fhir+xml", "application/xml", "application/xml+fhir", "text/xml"})


@dataclass(frozen=True, slots=True)
class WriteRules:
    """How an organisation wants writes to be checked and erasure to be asked."""

    write_check: Literal["strict", "lenient"] = "strict"
    erasure: Literal["off", "test"] = "off"
    max_entries: int = 5000
    max_depth: int = 64


class FhirService:
    """The FHIR API of one organisation over its source; the same object serves every door."""

    def __init__(self, source: Source, rules: WriteRules, versions: tuple[Version, ...] = ("stu3",)) -> None:
        self.source = source
        self.rules = rules
        self.versions = versions
        self._parsers = {v: QueryParser(definitions(v)) for v in versions}

    def parse(self, request: Request) -> Interaction:
        """The interaction that a request asks."""
        return parse(request, self._parsers[request.version])

    async def answer(self, request: Request, base: str, caller: str) -> Answer:
        """Parses, executes and renders a request of a trusted caller (the internal door)."""
        interaction = self.parse(request)
        match interaction.kind:
            case "capabilities":
                return Answer(200, capabilities.statement(interaction.version, base))
            case "read" | "vread":
                return answer.resource(await self.read(interaction))
            case "search" | "lastn":
                found = await self.search(interaction, caller)
                return self.render(base, interaction, found)
            case "create" | "update":
                return await self._write_one(request, interaction, base)
            case "delete":
                write = Write("DELETE", interaction.type, interaction.id, None, interaction.if_match)
                [written] = await self.source.write(interaction.version, [write])
                return Answer(204, b"", {"ETag": f'W/"{written.stored.version}"'})
            case "transaction":
                return await self._bundle(request, base, caller)
            case "purge":
                return await self._purge(interaction, caller)

    async def read(self, interaction: Interaction) -> Stored:
        """Executes a read or vread."""
        if interaction.kind == "vread":
            return await self.source.read_version(
                interaction.version, interaction.type, interaction.id, interaction.version_id
            )
        return await self.source.read(interaction.version, interaction.type, interaction.id)

    async def search(self, interaction: Interaction, caller: str) -> Found:
        """Executes a search or `$lastn`."""
        assert interaction.query is not None
        return await self.source.search(interaction.version, interaction.query, caller)

    def render(self, base: str, interaction: Interaction, found: Found) -> Answer:
        """A search answer as a searchset Bundle."""
        assert interaction.query is not None
        name = "/$lastn" if interaction.kind == "lastn" else ""
        path = f"{interaction.type}{name}"
        text = interaction.query.self_link()
        return Answer(200, answer.searchset(base, f"{path}?{text}" if text else path, found))

    # -- writing -------------------------------------------------------------------------------------------

    def checked(self, version: Version, resource: Resource, where: str = "") -> list[Issue]:
        """The warnings on a resource that may be written. Raises `Unprocessable` with every error found."""
        issues = structure.check(resource, definitions(version), lenient=self.rules.write_check == "lenient")
        issues = [
            Issue(i.severity, i.issue, i.message, f"{where}{i.expression}" if where else i.expression)
            for i in issues
        ]
        if any(i.severity in ("error", "fatal") for i in issues):
            raise Unprocessable("the resource does not follow the base definitions of FHIR", issues=issues)
        return issues

    async def _write_one(self, request: Request, interaction: Interaction, base: str) -> Answer:
        resource = read_body(request, self.rules.max_depth)
        warnings = self.checked(interaction.version, resource)
        kind = resource.get("resourceType")
        if kind != interaction.type:
            raise Invalid(f"the body is a {kind}, the address says {interaction.type}")
        if interaction.kind == "update":
            if resource.get("id") != interaction.id:
                raise Invalid(
                    f"the id in the body must be the id in the address ({interaction.id})",
                    expression=f"{kind}.id",
                )
            write = Write("PUT", interaction.type, interaction.id, resource, interaction.if_match)
        else:
            write = Write("POST", interaction.type, new_id(), resource)
        [written] = await self.source.write(interaction.version, [write])
        stored = written.stored
        headers = {}
        if written.created:
            headers["Location"] = f"{base}/{stored.type}/{stored.id}/_history/{stored.version}"
        if warnings:
            headers["Warning"] = _warning_header(warnings)
        return answer.resource(stored, 201 if written.created else 200, headers)

    async def _purge(self, interaction: Interaction, caller: str) -> Answer:
        if self.rules.erasure != "test":
            raise Forbidden(
                "$purge is off: erasing a record needs the right to erase, with requester, reason and term",
                code="erasure-off",
            )
        await self.source.purge(interaction.version, interaction.id, caller, "test ($purge)")
        return Answer(204)

    async def _bundle(self, request: Request, base: str, caller: str) -> Answer:
        version = request.version
        bundle = read_body(request, self.rules.max_depth)
        if bundle.get("resourceType") != "Bundle":
            raise Invalid("the FHIR base takes a Bundle of type transaction")
        if bundle.get("type") == "batch":
            raise NotSupported("batch is not supported; a transaction is", expression="Bundle.type")
        if bundle.get("type") != "transaction":
            raise Invalid("Bundle.type must be transaction", expression="Bundle.type")
        structural = {**bundle, "entry": []}
        structural.pop("entry")
        self.checked(version, structural)
        entries = bundle.get("entry", [])
        if not isinstance(entries, list) or not all(isinstance(e, dict) for e in entries):
            raise Unprocessable("Bundle.entry must be a list of entries", expression="Bundle.entry")
        if len(entries) > self.rules.max_entries:
            raise TooCostly(f"a transaction may have {self.rules.max_entries} entries")
        plan = Transaction(self, version, entries)
        written = await self.source.write(version, plan.writes) if plan.writes else []
        out: list[dict[str, Any]] = [{} for _ in entries]
        for place, result in zip(plan.places, written, strict=True):
            out[place] = _response(base, result, plan.warnings.get(place, []))
        for place, interaction in plan.reads.items():
            out[place] = await self._read_entry(interaction, base, caller)
        return Answer(200, answer.bundle("transaction-response", out, base))

    async def _read_entry(self, interaction: Interaction, base: str, caller: str) -> dict[str, Any]:
        if interaction.kind in ("read", "vread"):
            stored = await self.read(interaction)
            return {
                "fullUrl": f"{base}/{stored.type}/{stored.id}",
                "resource": orjson.Fragment(stored.body),
                "response": {"status": "200", "etag": f'W/"{stored.version}"'},
            }
        found = self.render(base, interaction, await self.search(interaction, caller))
        return {"resource": orjson.Fragment(found.body), "response": {"status": "200"}}


class Transaction:
    """The entries of a transaction Bundle, checked and with their references rewritten.

    Source: FHIR http.html, transaction. References to a `fullUrl` of the Bundle become references to the id that
    is given; conditional entries are refused by name.
    """

    def __init__(self, service: FhirService, version: Version, entries: list[dict[str, Any]]) -> None:
        self.writes: list[Write] = []
        self.places: list[int] = []
        self.reads: dict[int, Interaction] = {}
        self.warnings: dict[int, list[Issue]] = {}
        self._service = service
        ids: dict[str, str] = {}
        for place, entry in enumerate(entries):
            try:
                self._plan(version, place, entry, ids)
            except Outcome as outcome:
                raise _located(outcome, f"Bundle.entry[{place}]") from outcome
        if ids:
            for write in self.writes:
                if write.resource is not None:
                    rewrite(write.resource, ids)

    def _plan(self, version: Version, place: int, entry: dict[str, Any], ids: dict[str, str]) -> None:
        request = entry.get("request")
        if not isinstance(request, dict):
            raise Invalid("an entry of a transaction needs a request", expression="request")
        for name in ("ifNoneExist", "ifNoneMatch", "ifModifiedSince"):
            if name in request:
                raise NotSupported(f"{name} is not supported", expression=f"request.{name}")
        method, url = request.get("method"), request.get("url")
        if not isinstance(method, str) or not isinstance(url, str):
            raise Invalid("request.method and request.url are needed", expression="request")
        path, _, query = url.strip("/").partition("?")
        headers = {"if-match": request["ifMatch"]} if isinstance(request.get("ifMatch"), str) else {}
        interaction = self._service.parse(Request(version, method, path, query, headers))
        match interaction.kind:
            case "read" | "vread" | "search" | "lastn":
                self.reads[place] = interaction
                return
            case "delete":
                write = Write("DELETE", interaction.type, interaction.id, None, interaction.if_match)
            case "create" | "update":
                write = self._change(version, place, entry, interaction, ids)
            case other:
                raise NotSupported(f"{other} inside a transaction is not supported", expression="request")
        self.writes.append(write)
        self.places.append(place)

    def _change(
        self,
        version: Version,
        place: int,
        entry: dict[str, Any],
        interaction: Interaction,
        ids: dict[str, str],
    ) -> Write:
        resource = entry.get("resource")
        if not isinstance(resource, dict):
            raise Invalid("an entry that writes needs a resource", expression="resource")
        kind = resource.get("resourceType")
        if kind != interaction.type:
            raise Invalid(f"the resource is a {kind}, request.url says {interaction.type}")
        if interaction.kind == "create":
            key, method = new_id(), "POST"
        else:
            key, method = interaction.id, "PUT"
            if resource.get("id", key) != key:
                raise Invalid(
                    "the id of the resource must be the id in request.url", expression="resource.id"
                )
            resource["id"] = key
        warnings = self._service.checked(version, resource)
        if warnings:
            self.warnings[place] = warnings
        full_url = entry.get("fullUrl")
        if isinstance(full_url, str):
            if full_url in ids:
                raise Invalid("two entries have the same fullUrl", expression="fullUrl")
            ids[full_url] = f"{kind}/{key}"
        assert method in ("POST", "PUT")
        return Write(
            "POST" if method == "POST" else "PUT", interaction.type, key, resource, interaction.if_match
        )


def rewrite(value: Any, ids: dict[str, str]) -> None:
    """Replaces, in place, every `reference` that is a key of `ids`."""
    if isinstance(value, dict):
        for name, member in value.items():
            if name == "reference" and isinstance(member, str):
                if member in ids:
                    value[name] = ids[member]
            elif isinstance(member, dict | list):
                rewrite(member, ids)
    elif isinstance(value, list):
        for member in value:
            if isinstance(member, dict | list):
                rewrite(member, ids)


def read_body(request: Request, max_depth: int = json.MAX_DEPTH) -> Resource:
    """The resource in a request body, JSON or XML. Raises `UnsupportedMedia` and `Invalid`."""
    media = request.headers.get("content-type", "").partition(";")[0].strip().lower()
    if media in JSON_TYPES:
        return json.parse(request.body, max_depth=max_depth)
    if media in XML_TYPES:
        return xml.parse(request.body, definitions(request.version))
    raise UnsupportedMedia(
        f"Content-Type {media[:60]!r} is not taken here; use application/fhir+json or application/fhir+xml"
    )


def _response(base: str, written: Written, warnings: list[Issue]) -> dict[str, Any]:
    stored = written.stored
    if stored.deleted:
        return {"response": {"status": "204", "etag": f'W/"{stored.version}"'}}
    response: dict[str, Any] = {
        "status": "201" if written.created else "200",
        "location": f"{stored.type}/{stored.id}/_history/{stored.version}",
        "etag": f'W/"{stored.version}"',
        "lastModified": stored.updated.isoformat(timespec="milliseconds"),
    }
    if warnings:
        response["outcome"] = orjson.Fragment(answer.outcome_body(warnings))
    return {
        "fullUrl": f"{base}/{stored.type}/{stored.id}",
        "resource": orjson.Fragment(stored.body),
        "response": response,
    }


def _located(outcome: Outcome, where: str) -> Outcome:
    """The same outcome with the entry it is about before each expression and message."""
    issues = tuple(
        Issue(
            i.severity, i.issue, f"{where}: {i.message}", f"{where}.{i.expression}" if i.expression else where
        )
        for i in outcome.issues
    )
    return type(outcome)(outcome.message, code=outcome.kind, cause=outcome.cause, issues=issues)


def _warning_header(warnings: list[Issue]) -> str:
    text = "; ".join(f"{w.expression}: {w.message}" for w in warnings[:5])
    ascii_text = text.encode("ascii", "replace").decode().replace('"', "'").replace("\n", " ")
    return f'199 schakel "{ascii_text[:900]}"'
