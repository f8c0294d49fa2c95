"""A transaction Bundle: its entries checked, given ids, and their references rewritten.

Source: FHIR http.html, transaction, and bundle.html, resolving references.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from typing import Any

from schakel.fhir.definitions import Version
from schakel.fhir.json import Resource
from schakel.kernel.clock import new_id
from schakel.kernel.outcomes import Invalid, Issue, NotSupported, Outcome
from schakel.server.interaction import Interaction, Request
from schakel.sources import Write


class Transaction:
    """What the entries of a transaction ask: `writes` (each from the entry at `places`), `reads` and `warnings`
    by entry.

    References to a `fullUrl` of the Bundle, in full or relative to the `fullUrl` of their own entry, become
    references to the id that is given. Raises the refusal of the first entry that is not right, naming it;
    conditional entries and references are refused as not supported.
    """

    def __init__(
        self,
        parse: Callable[[Request], Interaction],
        check: Callable[[Version, Resource], list[Issue]],
        version: Version,
        entries: list[dict[str, Any]],
    ) -> None:
        self.writes: list[Write] = []
        self.places: list[int] = []
        self.reads: dict[int, Interaction] = {}
        self.warnings: dict[int, list[Issue]] = {}
        self._parse = parse
        self._check = check
        self._places: dict[tuple[str, str], int] = {}
        ids: dict[str, str] = {}
        for place, entry in enumerate(entries):
            try:
                self._plan(version, place, entry, ids)
            except Outcome as outcome:
                raise located(outcome, f"Bundle.entry[{place}]") from outcome
        for place, write in zip(self.places, self.writes, strict=True):
            if write.resource is not None:
                try:
                    rewrite(write.resource, ids, _base_of(entries[place].get("fullUrl")))
                except Outcome as outcome:
                    raise located(outcome, f"Bundle.entry[{place}]") from outcome

    def where(self, reference: str) -> str:
        """The entry that changes the resource `reference` (Type/id)."""
        kind, _, logical_id = reference.partition("/")
        return f"Bundle.entry[{self._places[kind, logical_id]}]"

    def _plan(self, version: Version, place: int, entry: dict[str, Any], ids: dict[str, str]) -> None:
        request = entry.get("request")
        if not isinstance(request, dict):
            raise Invalid("an entry of a transaction needs a request", expression="request")
        for name in ("ifNoneExist", "ifNoneMatch", "ifModifiedSince"):
            if name in request:
                raise NotSupported(f"{name} is not supported", expression=f"request.{name}")
        method, url, expected = request.get("method"), request.get("url"), request.get("ifMatch", "")
        if not isinstance(method, str) or not isinstance(url, str) or not isinstance(expected, str):
            raise Invalid("request.method and request.url are needed, once", expression="request")
        path, _, query = url.strip("/").partition("?")
        headers = {"if-match": expected} if "ifMatch" in request else {}
        interaction = self._parse(Request(version, method, path, query, headers))
        match interaction.kind:
            case "read" | "vread" | "search" | "lastn":
                self.reads[place] = interaction
                return
            case "delete":
                write = Write("DELETE", interaction.type, interaction.id, None, interaction.if_match)
            case "create" | "update":
                write = self._change(entry, interaction, ids)
                warnings = self._check(version, entry["resource"])
                if warnings:
                    self.warnings[place] = warnings
            case kind:
                raise NotSupported(f"{kind} inside a transaction is not supported", expression="request")
        other = self._places.setdefault((write.type, write.id), place)
        if other != place:
            raise Invalid(
                f"entry {other} changes the same resource: a transaction may change a resource once",
                code="duplicate-change",
                expression="request.url",
            )
        self.writes.append(write)
        self.places.append(place)

    @staticmethod
    def _change(entry: dict[str, Any], interaction: Interaction, ids: dict[str, str]) -> Write:
        resource = entry.get("resource")
        if not isinstance(resource, dict):
            raise Invalid("an entry that writes needs a resource", expression="resource")
        kind = resource.get("resourceType")
        if kind != interaction.type:
            raise Invalid(f"the resource is a {kind!s:.60}, request.url says {interaction.type}")
        if interaction.kind == "create":
            write = Write("POST", interaction.type, new_id(), resource)
        else:
            write = Write("PUT", interaction.type, interaction.id, resource, interaction.if_match)
            if resource.get("id", write.id) != write.id:
                raise Invalid(
                    "the id of the resource must be the id in request.url", expression="resource.id"
                )
        full_url = entry.get("fullUrl")
        if isinstance(full_url, str):
            if full_url in ids:
                raise Invalid("two entries have the same fullUrl", expression="fullUrl")
            ids[full_url] = f"{write.type}/{write.id}"
        return write


_CONDITIONAL = re.compile(r"[A-Z][A-Za-z]+\?")
_RESTFUL = re.compile(r"(https?://.+/)[A-Z][A-Za-z]+/[A-Za-z0-9\-.]{1,64}")


def _base_of(full_url: object) -> str:
    """The FHIR base, with its slash, below which the `fullUrl` of an entry lies; '' when it is no such address."""
    match = _RESTFUL.fullmatch(full_url) if isinstance(full_url, str) else None
    return match[1] if match else ""


def rewrite(value: Any, ids: Mapping[str, str], base: str = "") -> None:
    """Replaces, in place, every `reference` that is a key of `ids`, as it stands or below `base`.

    Raises `NotSupported` for a conditional reference.
    """
    if type(value) is dict:
        text = value.get("reference")
        if type(text) is str:
            if "?" in text and _CONDITIONAL.match(text):
                raise NotSupported("a conditional reference is not supported: name the id")
            value["reference"] = ids.get(text) or (base and ids.get(base + text)) or text
        members = value.values()
    else:
        members = value
    for member in members:
        if type(member) is dict or type(member) is list:
            rewrite(member, ids, base)


def located(outcome: Outcome, where: str) -> Outcome:
    """The same outcome with the entry it is about before each expression and message."""
    issues = tuple(
        Issue(
            i.severity, i.issue, f"{where}: {i.message}", f"{where}.{i.expression}" if i.expression else where
        )
        for i in outcome.issues
    )
    return type(outcome)(outcome.message, code=outcome.kind, cause=outcome.cause, issues=issues)
