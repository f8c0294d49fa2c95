"""`Patient/$everything` and `Encounter/$everything`: a compartment, page by page, with what it refers to.

Source: OperationDefinition Patient-everything and Encounter-everything (STU3, R4); both versions take the parameters
of R4. The matches are the compartment, and come in pages like those of any search. With a page comes what its matches
refer to, near and far, as far as it belongs to nobody: a Practitioner, an Organization, a Medication; with an Encounter
also what else belongs to its patient. What belongs to another patient stays out. On the type Patient, it is the
compartments of all patients.

`start` and `end` are about care. They leave out what had ended before, or was still to begin, by the dates that say
when something happened; what has no such date stays, and so does what has begun and is not known to have ended.
"""

from __future__ import annotations

from dataclasses import replace
from functools import cache
from typing import TYPE_CHECKING

from schakel.fhir import definitions
from schakel.fhir.definitions import Version
from schakel.fhir.moments import interval
from schakel.fhir.search import During, Query, QueryParser
from schakel.kernel.outcomes import Gone, Invalid, NotFound, naming
from schakel.server import answer
from schakel.server.answer import Answer
from schakel.server.operations.parameters import Given, given
from schakel.server.operations.registry import Call, Parameter
from schakel.server.reach import Target, reach, references
from schakel.sources import Included, Stored

if TYPE_CHECKING:
    from schakel.server.service import FhirService

_COMMON = (
    Parameter("_since", "instant"),
    Parameter("_type", "code", repeats=True),
    Parameter("_count", "integer"),
    Parameter("_page", "string"),
)
OF_PATIENT = (Parameter("start", "date"), Parameter("end", "date"), *_COMMON)
OF_ENCOUNTER = _COMMON

_OF_CARE = frozenset(
    {
        "activity-date",
        "collected",
        "date",
        "datetime",
        "effective",
        "effective-time",
        "event-date",
        "identified",
        "occurrence",
        "occurrence-date",
        "period",
        "period-of-use",
        "periodofuse",
        "received",
        "sent",
        "started",
        "whenhandedover",
        "whenprepared",
    }
)
"""Date parameters that say when something happened."""
_BEGIN = frozenset({"onset", "onset-date", "start-date"})
_END = frozenset({"abatement-date", "target-date"})
_OF_RECORDING = frozenset(
    {("AllergyIntolerance", "date"), ("AuditEvent", "date"), ("DocumentReference", "date"), ("List", "date")}
)
"""Dates, by type, of which the name says otherwise."""


async def run(service: FhirService, call: Call) -> Answer:
    """Raises `NotFound`, `Gone`, `Invalid`, `NotSupported` and `TooCostly`."""
    asked = call.interaction
    parameters = given(service, call, OF_PATIENT if asked.type == "Patient" else OF_ENCOUNTER)
    owner = Target(asked.type, asked.id) if asked.id else None
    patients = await _patients(service, asked.version, owner, first=parameters.one("_page") is None)
    query = _query(service.parser(asked.version), call, parameters)
    found = await service.source.search(asked.version, query, call.caller)
    if query.page is not None and found.query.compartment != (query.compartment if owner else None):
        raise Gone("this page is not of this $everything: search again", code="page-gone", issue="not-found")

    def wanted(stored: Stored, targets: frozenset[Target]) -> bool:
        if stored.type == "Patient":
            return asked.type != "Patient" and stored.id in patients
        if owner in (targets | {Target(stored.type, stored.id)}):
            return False  # A match in its own right, on this page or another.
        others = set() if asked.type == "Patient" else patients
        return {target.id for target in targets if target.type == "Patient"} <= others

    most = service.reach.includes
    reached = await reach(
        service.source,
        asked.version,
        found.matches,
        service.own_bases,
        most,
        f"a page refers to more than {most} resources (setting limits.includes): ask for smaller pages (_count)",
        wanted=wanted,
    )
    types = _types(asked.version, parameters)
    included = tuple(Included(one, ()) for one in reached.resources if not types or one.type in types)
    path = "/".join(part for part in (asked.type, asked.id, "$everything") if part)
    pairs = [*parameters.pairs(), *((("_format", asked.format),) if asked.format else ())]
    shown = replace(query, raw=tuple(pairs))
    also = (("_type", ",".join(types)),) if types else ()
    found = replace(found, included=included)
    return Answer(200, answer.searchset(asked.version, call.base, found, shown, path, also))


async def _patients(service: FhirService, version: Version, owner: Target | None, *, first: bool) -> set[str]:
    """The patients whose compartment it is, or who had the encounter. Raises `NotFound` and `Gone` on the first page;
    the pages after it stay what they were."""
    if owner is None:
        return set()
    try:
        stored = await service.source.read(version, owner.type, owner.id)
    except (NotFound, Gone):
        if first:
            raise
        return set()
    if owner.type == "Patient":
        return {owner.id}
    targets = references(stored, version, service.own_bases).values()
    return {target.id for target in targets if target.type == "Patient"}


def _query(parser: QueryParser, call: Call, parameters: Given) -> Query:
    """The search that finds the compartment, or a later page of it."""
    asked = call.interaction
    pairs: list[tuple[str, str]] = [("_format", asked.format)] if asked.format else []
    page = parameters.one("_page")
    if page is not None:
        if {name for name, _ in parameters.pairs()} - {"_page", "_type"}:
            raise Invalid("a page link is used as it was given, without other parameters", expression="_page")
        pairs.append(("_page", page))
    else:
        members = definitions(asked.version).compartments[asked.type]
        types = _types(asked.version, parameters)
        inside = [kind for kind in types if members.get(kind) or kind == asked.type]
        if types and not inside:
            raise Invalid(
                f"_type names no type of the compartment of {asked.type}: others come with what refers to them",
                expression="_type",
            )
        if inside:
            pairs.append(("_type", ",".join(inside)))
        if (since := parameters.one("_since")) is not None:
            pairs.append(("_lastUpdated", f"ge{since.replace(' ', '+')}"))
        if (count := parameters.one("_count")) is not None:
            pairs.append(("_count", str(count)))
    query = parser.parse_compartment(asked.type, asked.id or "any", "*", tuple(pairs))
    return replace(query, compartment=(asked.type, asked.id), during=_during(asked.version, parameters))


def _types(version: Version, parameters: Given) -> list[str]:
    """The types that are asked for, with commas or one by one; empty for all. Raises `Invalid`."""
    types = list(
        dict.fromkeys(part.strip() for value in parameters.all("_type") for part in value.split(","))
    )
    for kind in types:
        if kind not in definitions(version).resource_types:
            raise Invalid(f"_type: {kind[:60]!r} is no resource type", expression="_type")
    return types


@cache
def _dates(version: Version) -> tuple[tuple[tuple[str, str], ...], tuple[tuple[str, str], ...]]:
    """The date parameters, as (type, code), that say when something of a Patient compartment began, and ended."""
    known = definitions(version)
    dates = [
        (kind, code)
        for kind in known.compartments["Patient"]
        for code, parameter in known.search_parameters(kind).items()
        if parameter.type == "date" and (kind, code) not in _OF_RECORDING
    ]
    return (
        tuple(date for date in dates if date[1] in _OF_CARE | _BEGIN),
        tuple(date for date in dates if date[1] in _OF_CARE | _END),
    )


def _during(version: Version, parameters: Given) -> During | None:
    start, end = parameters.one("start"), parameters.one("end")
    if start is None and end is None:
        return None
    begins, ends = _dates(version)
    with naming("start"):
        first = None if start is None else interval(start)[0]
    with naming("end"):
        last = None if end is None else interval(end)[1]
    return During(first, last, begins, ends)
