"""Facts about resources that the gateway's steps need: whose they are, and which row would release them."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from hashlib import blake2b

import orjson

from schakel.fhir import definitions
from schakel.fhir.definitions import Version
from schakel.fhir.search import Query, QueryParser
from schakel.gateway.minimise import Item, Subject, about, item, provenance_targets, tokens
from schakel.generic.authorisation import Row, fits
from schakel.kernel.outcomes import Gone, NotFound
from schakel.kernel.values import BSN_SYSTEM
from schakel.server import FhirService
from schakel.sources import Stored

_MOST_TARGETS = 50
_MOST_BSNS = 10_000
_MOST_PATIENTS = 5000
_MOST_BETWEEN = 50
_TOGETHER = 200
"""Values in one parameter of a search (the bound of the search grammar)."""


class Disclosure:
    """Looks up, at the holder's own source, what a decision rests on."""

    def __init__(self, service: FhirService, rows: Sequence[Row]) -> None:
        self._service = service
        self._rows = rows
        self._by_type: dict[tuple[Version, str], tuple[list[Row], frozenset[str]]] = {}
        for row in rows:
            same, names = self._by_type.get((row.version, row.type), ([], frozenset()))
            self._by_type[row.version, row.type] = [*same, row], names.union(row.parameters)
        self._own_bases = service.own_bases
        self._bsns: dict[tuple[Version, bytes], str] = {}

    def item(self, version: Version, stored: Stored, match: bool) -> Item:
        """A stored resource as an item to minimise."""
        return item(version, orjson.loads(stored.body), match, self._own_bases)

    async def _find(
        self, version: Version, kind: str, pairs: Sequence[tuple[str, str]]
    ) -> tuple[Stored, ...]:
        query: Query = QueryParser(definitions(version)).parse(kind, tuple(pairs))
        return (await self._service.source.search(version, query, None)).matches

    async def patient_ids(self, version: Version, bsn: str) -> frozenset[str]:
        """The logical ids of the patient with this BSN; empty when unknown here."""
        found = await self._find(version, "Patient", [("identifier", f"{BSN_SYSTEM}|{bsn}")])
        return frozenset(s.id for s in found)

    async def bsn_of(self, version: Version, logical_id: str, known: Stored | None = None) -> str:
        """The one BSN of a patient; '' when the patient is not here or has none or several. `known` is a Patient
        that was just read, perhaps this one."""
        try:
            if known is not None and known.id == logical_id:
                stored = known
            else:
                stored = await self._service.source.read(version, "Patient", logical_id)
        except (NotFound, Gone):
            return ""
        # The same bytes say the same, so they need be read once; a version number may come back after erasure.
        key = (version, blake2b(stored.body, digest_size=16).digest())
        if key not in self._bsns:
            numbers = self.item(version, stored, True).numbers
            if len(self._bsns) >= _MOST_BSNS:
                self._bsns.pop(next(iter(self._bsns)))
            self._bsns[key] = next(iter(numbers)) if len(numbers) == 1 else ""
        return self._bsns[key]

    @staticmethod
    def patient_of(found: Item) -> str | None:
        """The logical id of the patient a resource is about; '' when that is not one patient here; None when it
        names none."""
        if not found.patients and not found.numbers:
            return None
        return next(iter(found.patients)) if len(found.patients) == 1 else ""

    def fitting_row(self, version: Version, found: Item, subject: Subject) -> Row | None:
        """The row under which a resource about this patient is released."""
        if about(found, subject) is not True:
            return None
        rows, parameters = self._by_type.get((version, found.type), ((), frozenset[str]()))
        if not rows:
            return None
        held = tokens(version, found, parameters)
        return next((row for row in rows if fits(row, found.type, held)), None)

    async def release(
        self, version: Version, found: Item, patients: Sequence[str], known: Stored | None = None
    ) -> tuple[Subject, tuple[Row, ...]] | None:
        """The patient, one of these BSNs, and the rows under which a resource is released; None when it is not. It
        fits a row itself, or a resource that does refers to it by an accepted include; a Provenance needs a row for
        each of its targets. `known` is a Patient that was just read, perhaps this one."""
        if found.type == "Provenance":
            return await self._through_targets(version, found, patients)
        named = self.patient_of(found)
        if named is not None:
            bsn = await self.bsn_of(version, named, known)
            if bsn not in patients:
                return None
            subject, patients = Subject(bsn, frozenset({named})), [bsn]
            row = self.fitting_row(version, found, subject)
            if row is not None or about(found, subject) is False:
                return None if row is None else (subject, (row,))
        included = await self._through_include(version, found, patients)
        return None if included is None else (included[0], (included[1],))

    async def _through_targets(
        self, version: Version, found: Item, patients: Sequence[str]
    ) -> tuple[Subject, tuple[Row, ...]] | None:
        """Of a Provenance: what releases its targets, all of them and for one patient."""
        subject, rows = None, list[Row]()
        targets = provenance_targets(found)
        if len(targets) > _MOST_TARGETS:
            return None
        for target in sorted(targets):
            one = await self._target(version, target)
            released = None if one is None else await self.release(version, one, patients)
            if released is None:
                return None
            subject, patients = released[0], [released[0].bsn]
            rows += (row for row in released[1] if row not in rows)
        if subject is None or about(found, subject) is False:
            return None
        return subject, tuple(rows)

    async def _through_include(
        self, version: Version, found: Item, patients: Sequence[str], *, iterated: bool = True
    ) -> tuple[Subject, Row] | None:
        """The first match of a row, about one of the first 5,000 of these patients, that includes the resource, or,
        when `iterated`, that includes what includes it in turn."""
        for row, parameter in self._including(version, found.type):
            if (released := await self._match(version, row, parameter, found.key, patients)) is not None:
                return released
        for source, parameter in self._iterating(version, found.type) if iterated else ():
            pairs = [(parameter, found.key), ("_count", str(_MOST_BETWEEN))]
            for stored in await self._find(version, source, pairs):
                between = self.item(version, stored, False)
                released = await self._through_include(version, between, patients, iterated=False)
                if released is not None:
                    return released
        return None

    async def _match(
        self, version: Version, row: Row, parameter: str, key: str, patients: Sequence[str]
    ) -> tuple[Subject, Row] | None:
        """The first match of a row, about one of these patients, that refers to `key` by this parameter."""
        asked = [(name, ",".join(sorted(values))) for name, values in row.parameters.items()]
        asked += [(parameter, key), ("_count", "10")]
        whose = row.patient if row.type == "Patient" else f"{row.patient}.identifier"
        for start in range(0, min(len(patients), _MOST_PATIENTS), _TOGETHER):
            numbers = ",".join(f"{BSN_SYSTEM}|{bsn}" for bsn in patients[start : start + _TOGETHER])
            for stored in await self._find(version, row.type, [*asked, (whose, numbers)]):
                match = self.item(version, stored, True)
                named = self.patient_of(match) or ""
                subject = Subject(await self.bsn_of(version, named), frozenset({named}))
                if subject.bsn in patients and self.fitting_row(version, match, subject):
                    return subject, row
        return None

    def _including(self, version: Version, kind: str) -> Iterator[tuple[Row, str]]:
        """The rows, each with the parameter, by which a match may include a resource of this type."""
        for row in self._rows:
            if row.version == version:
                for include in sorted(row.every_include):
                    if _brings(version, include, kind):
                        yield row, include.split(":")[1]

    def _iterating(self, version: Version, kind: str) -> list[tuple[str, str]]:
        """Type and parameter by which what was included may include a resource of this type."""
        includes = {i for row in self._rows if row.version == version for i in row.may_iterate}
        sources = [i.split(":") for i in sorted(includes) if _brings(version, i, kind)]
        return [(source, parameter) for source, parameter, *_ in sources]

    async def _target(self, version: Version, key: str) -> Item | None:
        kind, _, logical_id = key.partition("/")
        if kind not in definitions(version).resource_types or kind == "Provenance":
            return None
        try:
            return self.item(version, await self._service.source.read(version, kind, logical_id), True)
        except (NotFound, Gone):
            return None

    async def releasable_targets(
        self, version: Version, items: Sequence[Item], subject: Subject, given: Callable[[Row], bool]
    ) -> frozenset[str]:
        """Of the Provenance targets that are not in the answer: those that a row which is `given` would release. What
        is given is asked only of rows of which there is such a target."""
        here = {i.key for i in items}
        wanted: dict[str, set[str]] = {}
        for found in items:
            for target in provenance_targets(found) - here if found.type == "Provenance" else ():
                kind, _, logical_id = target.partition("/")
                wanted.setdefault(kind, set()).add(logical_id)
        out = set()
        rows = [row for row in self._rows if row.version == version and row.type in wanted and given(row)]
        narrowed = Disclosure(self._service, rows)
        for row_type in sorted({row.type for row in rows}):
            ids = sorted(wanted[row_type])
            for start in range(0, len(ids), _TOGETHER):
                some = ",".join(ids[start : start + _TOGETHER])
                for stored in await self._find(version, row_type, [("_id", some), ("_count", "200")]):
                    target_item = self.item(version, stored, True)
                    if narrowed.fitting_row(version, target_item, subject):
                        out.add(target_item.key)
        return frozenset(out)


def _brings(version: Version, include: str, kind: str) -> bool:
    """Whether an include (`Type:parameter[:Target]`) may bring a resource of this type."""
    source, parameter, *wanted = include.split(":")
    targets = wanted or definitions(version).search_parameters(source)[parameter].targets
    return not targets or kind in targets
