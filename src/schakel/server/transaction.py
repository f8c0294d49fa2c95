"""A transaction Bundle: its entries checked, given ids, and their references to one another found.

Source: FHIR http.html, transaction, and bundle.html, resolving references. Entries are carried out as the
specification orders them: what they are about is settled first, then they are written at once, then read.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

from schakel.fhir.json import Resource
from schakel.fhir.search import Query
from schakel.kernel.outcomes import Invalid, Issue, NotSupported, Outcome
from schakel.server.model import Interaction, Request
from schakel.server.references import base_of, conditional_references, linked
from schakel.server.writing import WRITES, Planned
from schakel.sources import Linker, Lookup

_READS = frozenset({"read", "vread", "history", "search", "search-compartment", "search-system"})


@dataclass(frozen=True, slots=True)
class Read:
    """A reading entry: what it asks, and the request it came from."""

    interaction: Interaction
    request: Request


class Transaction:
    """What the entries of a transaction ask: `plans` (each from the entry at `places`) and `reads` by entry, with
    the `lookups` of conditional references. `base` is the FHIR base to which relative references belong that stand in
    an entry without one of its own.

    Raises the refusal of the first entry that is not right, naming it.
    """

    def __init__(
        self,
        entries: Sequence[dict[str, Any]],
        request_of: Callable[[dict[str, Any]], Request],
        parse: Callable[[Request], Interaction],
        plan: Callable[[Interaction, Request], Planned],
        criteria: Callable[[str], Query],
        base: str,
    ) -> None:
        self.plans: list[Planned] = []
        self.places: list[int] = []
        self.reads: dict[int, Read] = {}
        self.lookups: list[Lookup] = []
        self._criteria = criteria
        self._base = f"{base}/"
        self._texts: list[str] = []
        self._full_urls: dict[str, int] = {}
        self._bases: list[str] = []
        self._written: dict[tuple[str, str], int] = {}
        for place, entry in enumerate(entries):
            try:
                request = request_of(entry)
                interaction = parse(request)
                if interaction.kind in _READS or (
                    interaction.kind == "operation" and request.method == "GET"
                ):
                    self.reads[place] = Read(interaction, request)
                elif interaction.kind in WRITES:
                    self._write(place, entry, plan(interaction, request))
                else:
                    name = f"${interaction.operation}" if interaction.operation else interaction.kind
                    raise NotSupported(f"{name} inside a transaction is not supported", expression="request")
            except Outcome as outcome:
                raise located(outcome, entry_at(place)) from outcome

    def _write(self, place: int, entry: dict[str, Any], planned: Planned) -> None:
        write = planned.write
        if write.criteria is None:
            other = self._written.setdefault((write.type, write.id), place)
            if other != place:
                raise Invalid(
                    f"entry {other} changes the same resource: a transaction may change a resource once",
                    code="duplicate-change",
                    expression="request.url",
                )
        number = len(self.plans)
        full_url = entry.get("fullUrl")
        if isinstance(full_url, str) and write.method != "DELETE":
            if full_url in self._full_urls:
                raise Invalid("two entries have the same fullUrl", expression="fullUrl")
            self._full_urls[full_url] = number
        for text in sorted(conditional_references(write.resource or {}) - set(self._texts)):
            self.lookups.append(Lookup(self._criteria(text), number))
            self._texts.append(text)
        self._bases.append("" if write.method == "PATCH" else base_of(full_url) or self._base)
        self.plans.append(planned)
        self.places.append(place)

    def settle(self, ids: Sequence[str], versions: Sequence[int], targets: Sequence[str]) -> Linker:
        """The function that puts the settled ids into the resources; see `schakel.sources.Settle`."""
        links = {url: f"{self.plans[n].write.type}/{ids[n]}" for url, n in self._full_urls.items()}
        current = {links[url]: str(versions[n]) for url, n in self._full_urls.items()}
        for text, lookup, target in zip(self._texts, self.lookups, targets, strict=True):
            links[text] = f"{lookup.query.type}/{target}"

        def link(number: int, resource: Resource) -> Resource:
            new: Resource = linked(resource, links, self._bases[number], current)
            return new

        return link

    def where(self, number: int | None) -> str:
        """The entry of a write; the whole when it is about none."""
        return "Bundle" if number is None else entry_at(self.places[number])


def entry_at(place: int) -> str:
    """The FHIRPath of an entry."""
    return f"Bundle.entry[{place}]"


def located(outcome: Outcome, where: str) -> Outcome:
    """The same outcome with the entry it is about before each expression and message."""
    issues = tuple(
        Issue(
            i.severity, i.issue, f"{where}: {i.message}", f"{where}.{i.expression}" if i.expression else where
        )
        for i in outcome.issues
    )
    return type(outcome)(outcome.message, code=outcome.kind, cause=outcome.cause, issues=issues)
