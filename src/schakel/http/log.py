"""The NEN 7513 log as FHIR R4 AuditEvents, read only; reading it is logged too."""

from __future__ import annotations

from datetime import datetime
from typing import Any

import orjson
from starlette.requests import Request
from starlette.responses import Response

from schakel.fhir.json import dump
from schakel.fhir.moments import interval
from schakel.fhir.search import encode, pairs_of, split_prefix
from schakel.generic.identity import PatientGrant
from schakel.generic.logging import Event, Wanted, place
from schakel.http.errors import fhir_error
from schakel.http.negotiation import accepted, render, wanted
from schakel.http.node import Node, OrganisationServices
from schakel.http.peer import caller
from schakel.kernel.outcomes import NotFound, NotSupported
from schakel.kernel.values import BSN_SYSTEM, Bsn
from schakel.patient_access.door import PURPOSE
from schakel.patient_access.own_log import readable
from schakel.server import Answer


class Log:
    """Handlers of the log."""

    def __init__(self, node: Node) -> None:
        self._node = node

    async def log_events(self, request: Request) -> Response:
        """The NEN 7513 log as a searchset of AuditEvents; reading it is logged too."""
        try:
            organisation = self._node.own(request)
            base = f"{self._node.internal_url}/{organisation.slug}/log/fhir/r4"
            return await self._log_search(request, organisation, base)
        except Exception as error:
            return fhir_error(request, error, "r4")

    async def own_events(self, request: Request) -> Response:
        """The events about the patient whose token was given, as that patient reads them."""
        try:
            organisation = self._node.organisation(request.path_params["organisation"])
            if organisation.data is None:
                raise NotFound("this organisation has no door for patients")
            grant = await organisation.data.tokens.identify(caller(request, self._node.public_url))
            base = f"{self._node.public_url}/{organisation.slug}/log/fhir/r4"
            return await self._log_search(request, organisation, base, grant)
        except Exception as error:
            return fhir_error(request, error, "r4")

    async def _log_search(
        self,
        request: Request,
        organisation: OrganisationServices,
        base: str,
        grant: PatientGrant | None = None,
    ) -> Response:
        """A page of events; with a `grant` only those of its patient, made readable."""
        patient: str | None = grant.patient if grant else None
        decision: str | None = None
        since: datetime | None = None
        until: datetime | None = None
        count = 100
        after: str | None = None
        for name, value in pairs_of(request.url.query):
            match name:
                case "patient.identifier" | "patient:identifier" if grant is None:
                    patient = Bsn(value.removeprefix(f"{BSN_SYSTEM}|"))
                case "entity:identifier":
                    decision = value.removeprefix("urn:ietf:rfc:3986|").removeprefix("urn:uuid:")
                case "date":
                    prefix, text = split_prefix(value)
                    if prefix not in ("ge", "le", "eq"):
                        raise NotSupported("date takes ge, le or a day", expression="date")
                    low, high = interval(text)
                    if prefix in ("ge", "eq"):
                        since = max(since or low, low)
                    if prefix in ("le", "eq"):
                        until = min(until or high, high)
                case "_count" if value.isascii() and value.isdigit():
                    count = max(1, min(int(value[:6]), 1000))
                case "_page":
                    after = value
                case "_format" | "_pretty":
                    pass
                case _:
                    raise NotSupported(
                        f"parameter {name[:40]!r} is not supported on the log", expression=name[:40]
                    )
        form = wanted(accepted(request), request.url.query, "r4")
        asked = f"AuditEvent?{request.url.query}"
        if grant is None:
            await organisation.log_own_reading("log", asked, patient or "")
        else:
            await organisation.log.write(_patient_reading(organisation, grant, asked))
        wanted_events = Wanted(patient=patient, since=since, until=until, decision=decision, after=after)
        events = await organisation.log.search(wanted_events, count + 1)
        links = [{"relation": "self", "url": f"{base}/AuditEvent?{request.url.query}"}]
        if len(events) > count:
            pairs = [(n, v) for n, v in pairs_of(request.url.query) if n != "_page"]
            following = encode([*pairs, ("_page", place(events[count - 1]))])
            links.append({"relation": "next", "url": f"{base}/AuditEvent?{following}"})
        entries = [
            {
                "fullUrl": f"{base}/AuditEvent/{e.id}",
                "resource": orjson.Fragment(
                    dump(e.resource() if grant is None else readable(e.resource("patient"), grant.patient))
                ),
                "search": {"mode": "match"},
            }
            for e in events[:count]
        ]
        bundle: dict[str, Any] = {"resourceType": "Bundle", "type": "searchset", "link": links}
        if entries:
            bundle["entry"] = entries
        return render(Answer(200, orjson.dumps(bundle)), form, "r4")

    async def log_event(self, request: Request) -> Response:
        """One event of the log."""
        try:
            organisation = self._node.own(request)
            form = wanted(accepted(request), request.url.query, "r4")
            event_id = request.path_params["id"]
            event = await organisation.log.read(event_id)
            await organisation.log_own_reading("log", f"AuditEvent/{event_id}")
            return render(Answer(200, dump(event.resource())), form, "r4")
        except Exception as error:
            return fhir_error(request, error, "r4")


def _patient_reading(organisation: OrganisationServices, grant: PatientGrant, asked: str) -> Event:
    return Event(
        subtype="log",
        action="R",
        outcome="0",
        requester=grant.client,
        holder=organisation.ura,
        holder_name=organisation.name,
        purpose=PURPOSE,
        patient=grant.patient,
        token=grant.jti,
        query=f"GET {asked}",
    )
