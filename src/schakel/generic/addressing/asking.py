"""What an EHR may ask the query directory (IHE mCSD, ITI-90), and who is left out of the answers.

Source: generic functions IG, care services: the capability of a query client, by resource type. What its directory
switched off stays readable by its id, and is no answer to a search that does not ask for its state (update client,
inactive resources).
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace

import orjson

from schakel.fhir import definitions
from schakel.fhir.search import Query, QueryParser
from schakel.server import Answer, FhirService, Request
from schakel.server.offer import Offer, Searches
from schakel.sources import Stored

_NAME = "name name:contains name:exact"


def _searches(kind: str, parameters: str, includes: str = "", revincludes: str = "") -> Searches:
    return Searches(
        kind, frozenset(parameters.split()), frozenset(includes.split()), frozenset(revincludes.split())
    )


QUERY_CLIENT = Offer(
    types=frozenset(
        {
            "Organization",
            "HealthcareService",
            "Location",
            "Practitioner",
            "PractitionerRole",
            "Endpoint",
            "OrganizationAffiliation",
        }
    ),
    interactions=frozenset({"read", "search-type"}),
    searches=(
        _searches(
            "Organization",
            f"active identifier {_NAME} partof type",
            "Organization:endpoint",
            "Location:organization OrganizationAffiliation:participating-organization "
            "OrganizationAffiliation:primary-organization",
        ),
        _searches("HealthcareService", f"active identifier location {_NAME} organization service-type"),
        _searches("Location", f"identifier {_NAME} organization partof type status", "Location:organization"),
        _searches(
            "Practitioner",
            f"active identifier {_NAME} given given:contains given:exact family family:contains family:exact",
        ),
        _searches(
            "PractitionerRole",
            "active location organization role service specialty",
            "PractitionerRole:practitioner",
        ),
        _searches("Endpoint", "identifier organization status"),
        _searches(
            "OrganizationAffiliation",
            "active date identifier participating-organization primary-organization role",
            "OrganizationAffiliation:endpoint",
        ),
    ),
)
"""Read and search of seven types, and nothing else."""

_SWITCHED_OFF: Mapping[str, tuple[str, frozenset[str]]] = {
    "Location": ("status", frozenset({"inactive", "suspended"})),
    "Endpoint": ("status", frozenset({"off", "suspended", "entered-in-error"})),
}
_INACTIVE = ("active", frozenset({"false"}))
"""The parameter that tells the state of a resource, and the values of one that is switched off."""


class QueryDoor:
    """The query directory as an EHR asks it; `service` stands on it with the offer `QUERY_CLIENT`."""

    def __init__(self, service: FhirService) -> None:
        self._service = service
        self._parser = QueryParser(definitions("r4"))

    async def answer(self, request: Request, base: str, caller: str) -> Answer:
        """The answer to a request; `caller` is who may ask the pages that follow. Raises `Outcome`."""
        asked = self._service.parse(request)
        query = asked.query
        if query is None:
            return await self._service.execute(asked, request, base, caller)
        if query.page is None:
            query = self._without_switched_off(query)
        found = await self._service.search(replace(asked, query=query), caller)
        included = tuple(item for item in found.included if not _switched_off(item.stored))
        return self._service.render(base, asked, replace(found, included=included))

    def _without_switched_off(self, query: Query) -> Query:
        """The same search among those that are not switched off, unless it asks for their state itself."""
        name, values = _SWITCHED_OFF.get(query.type, _INACTIVE)
        if any(condition.parameter.code == name for condition in query.conditions):
            return query
        pairs = tuple((f"{name}:not", value) for value in sorted(values))
        alive = self._parser.parse(query.type, pairs)
        return replace(query, conditions=(*query.conditions, *alive.conditions))


def _switched_off(stored: Stored) -> bool:
    name, values = _SWITCHED_OFF.get(stored.type, _INACTIVE)
    state = orjson.loads(stored.body).get(name)
    return (str(state).lower() if isinstance(state, bool) else state) in values
