"""The patient of a token in an organisation's own data."""

from __future__ import annotations

from collections.abc import Iterable, Sequence

from schakel.fhir import definitions, json
from schakel.fhir.definitions import Version
from schakel.fhir.search import QueryParser
from schakel.gateway.minimise import Item, Subject, item
from schakel.kernel.values import BSN_OID, BSN_SYSTEM
from schakel.patient_access.services import SERVICES
from schakel.server import FhirService
from schakel.sources import Stored

MOST_DEPTH = 256
"""Levels of nesting in what is stored: more than any setting lets in."""


class Whose:
    """Finds patients by BSN. `own_bases` are FHIR bases whose references are our own."""

    def __init__(self, service: FhirService, own_bases: Sequence[str]) -> None:
        self._service = service
        self.own_bases = tuple(own_bases)

    def item(self, version: Version, stored: Stored, match: bool = True) -> Item:
        """A stored resource as an item to judge, decimals kept."""
        return item(version, json.parse(stored.body, max_depth=MOST_DEPTH), match, self.own_bases)

    async def subject(self, version: Version, bsn: str) -> Subject:
        """The patient with this BSN, under the logical ids that are this patient's alone; none when unknown."""
        value = f"{BSN_SYSTEM}|{bsn},{BSN_OID}|{bsn}"
        query = QueryParser(definitions(version)).parse("Patient", (("identifier", value),))
        found = await self._service.source.search(version, query, None)
        items = [self.item(version, stored) for stored in found.matches]
        return Subject(bsn, frozenset(str(i.resource["id"]) for i in items if i.numbers == {bsn}))

    async def knows(self, bsn: str, services: Iterable[str]) -> frozenset[str]:
        """The ids of those of `services` that can serve this person: who is known here in their FHIR version."""
        asked = [SERVICES[one] for one in services if one in SERVICES]
        known = {version: (await self.subject(version, bsn)).ids for version in {s.version for s in asked}}
        return frozenset(s.id for s in asked if known[s.version])
