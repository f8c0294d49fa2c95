"""Facts about resources that the gateway's steps need: whose they are, and which row would release them."""

from __future__ import annotations

from collections.abc import Sequence

import orjson

from schakel.fhir import definitions
from schakel.fhir.definitions import Version
from schakel.fhir.search import Query, QueryParser
from schakel.gateway.minimise import Item, Subject, about, item, patients_named, provenance_targets
from schakel.generic.authorisation import Row, fits
from schakel.kernel.outcomes import Gone, NotFound
from schakel.kernel.values import BSN_SYSTEM
from schakel.server import FhirService
from schakel.sources import Stored

_CALLER = "gateway"
_MAX_TARGETS = 50


class Disclosure:
    """Looks up, at the holder's own source, what a decision rests on."""

    def __init__(self, service: FhirService, rows: Sequence[Row], own_bases: tuple[str, ...]) -> None:
        self._service = service
        self._rows = rows
        self._own_bases = own_bases

    def item(self, version: Version, stored: Stored, match: bool) -> Item:
        """A stored resource as an item to minimise."""
        return item(version, orjson.loads(stored.body), match, self._own_bases)

    async def _find(
        self, version: Version, kind: str, pairs: Sequence[tuple[str, str]]
    ) -> tuple[Stored, ...]:
        query: Query = QueryParser(definitions(version)).parse(kind, tuple(pairs))
        return (await self._service.source.search(version, query, _CALLER)).matches

    async def patient_ids(self, version: Version, bsn: str) -> frozenset[str]:
        """The logical ids of the patient with this BSN; empty when unknown here."""
        found = await self._find(version, "Patient", [("identifier", f"{BSN_SYSTEM}|{bsn}")])
        return frozenset(s.id for s in found)

    async def bsn_of(self, version: Version, logical_id: str) -> str:
        """The one BSN of a patient; '' when the patient is not here or has none or several."""
        try:
            stored = await self._service.source.read(version, "Patient", logical_id)
        except (NotFound, Gone):
            return ""
        _, numbers = patients_named(version, self.item(version, stored, True))
        return numbers.pop() if len(numbers) == 1 else ""

    def patient_of(self, version: Version, found: Item) -> str | None:
        """The logical id of the patient a resource is about; '' when that is not one patient here; None when it
        names none."""
        ids, numbers = patients_named(version, found)
        if not ids and not numbers:
            return None
        return next(iter(ids)) if len(ids) == 1 else ""

    def fitting_row(self, version: Version, found: Item, subject: Subject) -> Row | None:
        """The row under which a resource about this patient is released."""
        if about(version, found, subject) is not True:
            return None
        return next((row for row in self._rows if fits(row, found.type, found.rows.token)), None)

    async def linking_row(self, version: Version, found: Item, subject: Subject) -> Row | None:
        """The row that has a match, about this patient, which refers to this resource by an accepted include;
        for a Provenance, a row that releases each of its targets."""
        if not subject.ids:
            return None
        if found.type == "Provenance":
            targets = provenance_targets(found)
            row = None
            for target in targets:
                row = await self._row_of(version, target, subject)
                if row is None:
                    return None
            return row
        for row in self._rows:
            for include in row.includes:
                _, parameter, *wanted = include.split(":")
                known = definitions(version).search_parameters(row.type)[parameter].targets
                if (wanted and wanted[0] != found.type) or (known and found.type not in known):
                    continue
                pairs = [(name, ",".join(sorted(values))) for name, values in row.parameters.items()]
                pairs.append((parameter, found.key))
                if row.type == "Patient":
                    pairs.append(("identifier", f"{BSN_SYSTEM}|{subject.bsn}"))
                else:
                    pairs.append((row.patient, ",".join(f"Patient/{i}" for i in sorted(subject.ids))))
                if await self._find(version, row.type, pairs):
                    return row
        return None

    async def _row_of(self, version: Version, key: str, subject: Subject) -> Row | None:
        kind, _, logical_id = key.partition("/")
        if kind not in definitions(version).resource_types:
            return None
        try:
            stored = await self._service.source.read(version, kind, logical_id)
        except (NotFound, Gone):
            return None
        return self.fitting_row(version, self.item(version, stored, True), subject)

    async def releasable_targets(
        self, version: Version, items: Sequence[Item], subject: Subject
    ) -> frozenset[str]:
        """Of the Provenance targets that are not in the answer: those that another row would release."""
        here = {i.key for i in items}
        wanted = {t for i in items if i.type == "Provenance" for t in provenance_targets(i)} - here
        out = set()
        for target in sorted(wanted)[:_MAX_TARGETS]:
            if await self._row_of(version, target, subject) is not None:
                out.add(target)
        return frozenset(out)
