"""Executes interactions on a source.

What is written is checked against the base definitions first (`fhir.structure`). With `write_check = "lenient"`
more elements than the maximum are kept whole and named in a warning; everything else is refused either way.
"""

from __future__ import annotations

from collections.abc import Mapping
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
    PreconditionFailed,
    TooCostly,
    Unprocessable,
    UnsupportedMedia,
)
from schakel.server import answer, capabilities
from schakel.server.answer import Answer
from schakel.server.interaction import Interaction, Request, parse
from schakel.server.transaction import Transaction, located
from schakel.sources import Found, Source, Stored, Write, Written

JSON_TYPES = frozenset({"application/fhir+json", "application/json", "application/json+fhir", "text/json"})
XML_TYPES = frozenset({"application/fhir+xml", "application/xml", "application/xml+fhir", "text/xml"})
RELEASE: Mapping[Version, str] = {"stu3": "3.0", "r4": "4.0"}
"""The value of the media type parameter `fhirVersion`."""


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
                return Answer(204, b"", _etag(written.stored))
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

    def checked(self, version: Version, resource: Resource) -> list[Issue]:
        """The warnings on a resource that may be written. Raises `Unprocessable` with every error found."""
        issues = structure.check(resource, definitions(version), lenient=self.rules.write_check == "lenient")
        if isinstance(resource.get("meta"), list):
            where = f"{resource.get('resourceType')}.meta"
            issues.append(Issue("error", "structure", f"{where}: one meta is needed", where))
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
        entries = bundle.get("entry", [])
        if not isinstance(entries, list) or not all(isinstance(e, dict) for e in entries):
            raise Unprocessable("Bundle.entry must be a list of entries", expression="Bundle.entry")
        if len(entries) > self.rules.max_entries:
            raise TooCostly(f"a transaction may have {self.rules.max_entries} entries")
        plan = Transaction(self.parse, self.checked, version, entries)
        frame = {**bundle, "entry": [{n: v for n, v in e.items() if n != "resource"} for e in entries]}
        if not entries:
            frame.pop("entry")
        self.checked(version, frame)
        try:
            written = await self.source.write(version, plan.writes) if plan.writes else []
        except PreconditionFailed as outcome:
            raise located(outcome, plan.where(outcome.expression)) from outcome
        out: list[dict[str, Any]] = [{} for _ in entries]
        for place, result in zip(plan.places, written, strict=True):
            out[place] = _response(base, result, plan.warnings.get(place, []))
        for place, interaction in plan.reads.items():
            out[place] = await self._read_entry(interaction, base, caller)
        return Answer(200, answer.bundle("transaction-response", out, base))

    async def _read_entry(self, interaction: Interaction, base: str, caller: str) -> dict[str, Any]:
        """The answer to a reading entry. It is carried out when the changes are final, so what it does not find
        is said in its own place."""
        try:
            return await self._read_now(interaction, base, caller)
        except Outcome as outcome:
            told = orjson.Fragment(answer.outcome_body(outcome.issues))
            return {"response": {"status": str(outcome.status), "outcome": told}}

    async def _read_now(self, interaction: Interaction, base: str, caller: str) -> dict[str, Any]:
        if interaction.kind in ("read", "vread"):
            stored = await self.read(interaction)
            return {
                "fullUrl": f"{base}/{stored.type}/{stored.id}",
                "resource": orjson.Fragment(stored.body),
                "response": {"status": "200", "etag": f'W/"{stored.version}"'},
            }
        found = self.render(base, interaction, await self.search(interaction, caller))
        return {"resource": orjson.Fragment(found.body), "response": {"status": "200"}}


def read_body(request: Request, max_depth: int = json.MAX_DEPTH) -> Resource:
    """The resource in a request body, JSON or XML. Raises `UnsupportedMedia` and `Invalid`."""
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
    if media in JSON_TYPES:
        return json.parse(request.body, max_depth=max_depth)
    if media in XML_TYPES:
        return xml.parse(request.body, definitions(request.version))
    raise UnsupportedMedia(
        f"Content-Type {media[:60]!r} is not taken here; use application/fhir+json or application/fhir+xml"
    )


def _etag(stored: Stored) -> dict[str, str]:
    """The ETag header; none for what never was there."""
    return {"ETag": f'W/"{stored.version}"'} if stored.version else {}


def _response(base: str, written: Written, warnings: list[Issue]) -> dict[str, Any]:
    stored = written.stored
    if stored.deleted:
        return {"response": {"status": "204", **{name.lower(): tag for name, tag in _etag(stored).items()}}}
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


def _warning_header(warnings: list[Issue]) -> str:
    text = "; ".join(f"{w.expression}: {w.message}" for w in warnings[:5])
    ascii_text = "".join(c if " " <= c <= "~" else "?" for c in text).replace('"', "'").replace("\\", "/")
    return f'199 schakel "{ascii_text[:900]}"'
