"""`$latest-stops`: what of a patient's medication runs, and how each treatment was last stopped.

Source: OperationDefinition mp-latest-stops (Nictiz, Medication Process 9, R4). Of each pharmaceutical treatment (MBH)
and kind of building block it gives those whose period of use has not ended, and the latest stop even when it has.
Nothing is judged: a building block that was replaced, but whose own period runs on, is given as it was recorded, with
the stop beside it. A block without any period of use is taken to run, unless it is itself a stop.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import orjson

from schakel.fhir.definitions import Version
from schakel.fhir.search import Query
from schakel.kernel.clock import instant, now
from schakel.kernel.outcomes import Invalid, NotSupported, TooCostly
from schakel.server import answer
from schakel.server.answer import Answer
from schakel.server.operations.parameters import given
from schakel.server.operations.registry import Call, Parameter
from schakel.sources import Found, Included, Stored

if TYPE_CHECKING:
    from schakel.server.service import FhirService

TAKES = (
    Parameter("patient", "Identifier"),
    Parameter("category", "CodeableConcept"),
    Parameter("mbh", "Identifier", repeats=True),
    Parameter("include-details", "boolean"),
)
_SNOMED = "http://snomed.info/sct"
_EXT = "http://nictiz.nl/fhir/StructureDefinition/"


@dataclass(frozen=True, slots=True)
class Kind:
    """A kind of building block: its resource type and category."""

    type: str
    category: str


KINDS = (
    Kind("MedicationRequest", "33633005"),
    Kind("MedicationRequest", "395067002"),
    Kind("MedicationDispense", "422037009"),
)
"""Medication agreement (MA), variable dosing regimen (WDS) and administration agreement (TA)."""
TYPES = frozenset(kind.type for kind in KINDS)


async def run(service: FhirService, call: Call) -> Answer:
    """Raises `Invalid`, `NotSupported` and `TooCostly`."""
    asked = call.interaction
    parameters = given(service, call, TAKES)
    patient = _token("patient", parameters.one("patient"))
    treatments = [_token("mbh", identifier) for identifier in parameters.all("mbh")]
    wanted = _kinds(asked.type, parameters.one("category"))
    search = _Search(service, call, patient, treatments)
    chosen: dict[tuple[str, str], Stored] = {}
    for kind in wanted:
        for stored in await search.active_or_latest_stop(kind):
            chosen[stored.type, stored.id] = stored
    details: dict[tuple[str, str], Stored] = {}
    if parameters.one("include-details"):
        of = {treatment for stored in chosen.values() for treatment in _treatments(stored)}
        for kind in KINDS:
            for stored in await search.all(kind):
                key = (stored.type, stored.id)
                if key not in chosen and not of.isdisjoint(_treatments(stored)):
                    details[key] = stored
    path = "/".join(part for part in (asked.type, "$latest-stops") if part)
    query = Query(asked.type)
    matches = tuple(chosen.values())
    found = Found(query, matches, tuple(Included(one, ()) for one in details.values()), total=len(matches))
    return Answer(200, answer.searchset(asked.version, call.base, found, query, path))


class _Search:
    """Searches for building blocks of one patient, of some treatments or of all."""

    def __init__(self, service: FhirService, call: Call, patient: str, treatments: list[str]) -> None:
        self._service = service
        self._version: Version = call.interaction.version
        self._pairs = [("patient.identifier", patient)]
        if treatments:
            self._pairs.append(("pharmaceutical-treatment-identifier", ",".join(treatments)))

    async def active_or_latest_stop(self, kind: Kind) -> list[Stored]:
        """The blocks of a kind that have not ended, and the latest stop of each treatment."""
        running = ("period-of-use", f"gt{instant(now())}")
        found = await self._found(kind, running, ("is-latest-stop", "true"))
        timeless = await self._found(kind, ("period-of-use:missing", "true"))
        return [*found, *(stored for stored in timeless if not _stops(stored))]

    async def all(self, kind: Kind) -> list[Stored]:
        """Every block of a kind."""
        return await self._found(kind)

    async def _found(self, kind: Kind, *conditions: tuple[str, str]) -> list[Stored]:
        parser = self._service.parser(self._version)
        most = parser.limits.page_max
        pairs = (
            *self._pairs,
            ("category", f"{_SNOMED}|{kind.category}"),
            *conditions,
            ("_count", str(most)),
        )
        found = await self._service.source.search(self._version, parser.parse(kind.type, pairs), None)
        if found.total is None:
            raise TooCostly(
                f"there are more than {most} building blocks of a kind (setting limits.page_max): name treatments (mbh)"
            )
        return list(found.matches)


def _token(name: str, identifier: dict[str, Any] | None) -> str:
    """An identifier as the value of a search parameter. Raises `Invalid` for one without a value."""
    value = (identifier or {}).get("value")
    if not isinstance(value, str):
        raise Invalid(f"{name} is needed, an Identifier with system and value", expression=name)
    system = (identifier or {}).get("system")
    parts = [system, value] if isinstance(system, str) else [value]
    return "|".join(part.replace("\\", "\\\\").replace(",", "\\,").replace("|", "\\|") for part in parts)


def _kinds(type_: str, category: dict[str, Any] | None) -> list[Kind]:
    """The kinds of building block that are asked, on this type or on the whole system."""
    kinds = [kind for kind in KINDS if type_ in ("", kind.type)]
    if category is None:
        return kinds
    codes = {
        coding.get("code") for coding in category.get("coding", []) if coding.get("system") in (None, _SNOMED)
    }
    kinds = [kind for kind in kinds if kind.category in codes]
    if not kinds:
        known = ", ".join(f"{kind.category} ({kind.type})" for kind in KINDS)
        raise NotSupported(f"category must be one of {known} of {_SNOMED}", expression="category")
    return kinds


def _extensions(stored: Stored, member: str, name: str) -> Iterable[dict[str, Any]]:
    found = orjson.loads(stored.body).get(member, [])
    return (one for one in found if isinstance(one, dict) and one.get("url") == _EXT + name)


def _stops(stored: Stored) -> bool:
    """Whether a building block stops a treatment."""
    return any(_extensions(stored, "modifierExtension", "ext-StopType"))


def _treatments(stored: Stored) -> frozenset[tuple[object, object]]:
    """The treatments (MBH) a building block is of, as system and value."""
    found = _extensions(stored, "extension", "ext-PharmaceuticalTreatment.Identifier")
    values = (one.get("valueIdentifier") for one in found)
    return frozenset((v.get("system"), v.get("value")) for v in values if isinstance(v, dict))
