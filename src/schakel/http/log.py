"""The NEN 7513 log, read only: AuditEvents for officer and patient, rows for the officer; each reading is logged."""

from __future__ import annotations

from collections.abc import AsyncIterator
from typing import Any

import orjson
from starlette.requests import Request
from starlette.responses import Response, StreamingResponse

from schakel.fhir.json import dump
from schakel.fhir.search import encode, pairs_of
from schakel.generic.identity import PatientGrant
from schakel.generic.logging import AuditLog, Event, Logged, place
from schakel.generic.logging.events import Audience
from schakel.generic.logging.table import Form, rows
from schakel.http import log_query
from schakel.http.errors import fhir_error
from schakel.http.log_query import LogQuery
from schakel.http.negotiation import accepted, render, wanted
from schakel.http.node import Node, OrganisationServices
from schakel.http.peer import caller
from schakel.kernel.clock import now
from schakel.kernel.outcomes import Invalid, NotFound
from schakel.patient_access.door import PURPOSE
from schakel.patient_access.own_log import readable
from schakel.server import Answer

_EXPORT_PAGE = 1000
_MEDIA: dict[Form, str] = {"csv": "text/csv; charset=utf-8", "ndjson": "application/x-ndjson"}


class Log:
    """Handlers of the log."""

    def __init__(self, node: Node) -> None:
        self._node = node

    # -- the officer ---------------------------------------------------------------------------------------

    async def log_events(self, request: Request) -> Response:
        """The NEN 7513 log as a searchset of AuditEvents; reading it is logged too."""
        try:
            organisation = self._node.own(request)
            asked = log_query.read(request.url.query)
            form = wanted(accepted(request), request.url.query, "r4")
            await organisation.log_own_reading(
                "log", f"AuditEvent?{request.url.query}", asked.wanted.patient or ""
            )
            found = await organisation.log.search(asked.wanted, asked.count + 1)
            base = f"{self._node.internal_url}/{organisation.slug}/log/fhir/r4"
            shown = [(one.id, dump(one.resource(asked.view))) for one in found[: asked.count]]
            return render(Answer(200, _searchset(request, base, asked, found, shown)), form, "r4")
        except Exception as error:
            return fhir_error(request, error, "r4")

    async def log_event(self, request: Request) -> Response:
        """One event of the log."""
        try:
            organisation = self._node.own(request)
            form = wanted(accepted(request), request.url.query, "r4")
            event_id = request.path_params["id"]
            event = await organisation.log.read(event_id)
            await organisation.log_own_reading("log", f"AuditEvent/{event_id}", event.event.patient)
            return render(Answer(200, dump(event.resource())), form, "r4")
        except Exception as error:
            return fhir_error(request, error, "r4")

    async def export(self, request: Request) -> Response:
        """The events that a search finds, all of them, as CSV or NDJSON (`_format`); the export is logged first.

        `_view=technical` gives what systems may see: nothing of a person. What is logged from now on is not in it.
        """
        organisation = self._node.own(request)
        query = request.url.query
        given = dict(pairs_of(query)).get("_format", "csv")
        form: Form
        match given:
            case "csv" | "ndjson":
                form = given
            case _:
                raise Invalid("_format is csv or ndjson", expression="_format")
        asked = log_query.read(query).before(now())
        await organisation.log_own_reading("log-export", f"export?{query}", asked.wanted.patient or "")
        first = await organisation.log.search(asked.wanted, _EXPORT_PAGE)
        body = _exported(organisation.log, asked, asked.view, form, first)
        name = f"log-{organisation.ura}.{form}"
        headers = {"Cache-Control": "no-store", "Content-Disposition": f'attachment; filename="{name}"'}
        return StreamingResponse(body, headers=headers, media_type=_MEDIA[form])

    # -- the patient ---------------------------------------------------------------------------------------

    async def own_events(self, request: Request) -> Response:
        """The events about the patient whose token was given, as that patient reads them."""
        try:
            organisation = self._node.organisation(request.path_params["organisation"])
            grant = await patient_grant(self._node, organisation, request)
            query = request.url.query
            asked = log_query.read(query, grant.patient)
            form = wanted(accepted(request), query, "r4")
            address = caller(request, self._node.public_url).network_address
            await organisation.log.write(patient_reading(organisation, grant, f"AuditEvent?{query}", address))
            found = await organisation.log.search(asked.wanted, asked.count + 1)
            base = f"{self._node.public_url}/{organisation.slug}/log/fhir/r4"
            page = found[: asked.count]
            told = readable(page, grant.patient)
            shown = [(one.id, dump(resource)) for one, resource in zip(page, told, strict=True)]
            return render(Answer(200, _searchset(request, base, asked, found, shown)), form, "r4")
        except Exception as error:
            return fhir_error(request, error, "r4")


async def patient_grant(node: Node, organisation: OrganisationServices, request: Request) -> PatientGrant:
    """What the token of a patient says. Raises `Unauthenticated`, and `NotFound` where patients have no tokens."""
    if organisation.data is None:
        raise NotFound("this organisation has no door for patients")
    return await organisation.data.tokens.identify(caller(request, node.public_url))


def _searchset(
    request: Request, base: str, asked: LogQuery, found: list[Logged], shown: list[tuple[str, bytes]]
) -> bytes:
    """The Bundle of a page: `shown` are id and JSON, `found` has one more when a page follows. What is logged in the
    meantime comes before the first page and shifts nothing."""
    query = request.url.query
    links = [{"relation": "self", "url": f"{base}/AuditEvent?{query}"}]
    if len(found) > asked.count:
        pairs = [(name, value) for name, value in pairs_of(query) if name != "_page"]
        following = encode([*pairs, ("_page", place(found[asked.count - 1]))])
        links.append({"relation": "next", "url": f"{base}/AuditEvent?{following}"})
    bundle: dict[str, Any] = {"resourceType": "Bundle", "type": "searchset", "link": links}
    if shown:
        bundle["entry"] = [
            {
                "fullUrl": f"{base}/AuditEvent/{name}",
                "resource": orjson.Fragment(body),
                "search": {"mode": "match"},
            }
            for name, body in shown
        ]
    return orjson.dumps(bundle)


async def _exported(
    log: AuditLog, asked: LogQuery, audience: Audience, form: Form, page: list[Logged]
) -> AsyncIterator[bytes]:
    """The lines of an export whose first page is `page`."""
    yield rows(page, audience, form, head=True)
    while len(page) == _EXPORT_PAGE:
        page = await log.search(asked.after(page[-1]).wanted, _EXPORT_PAGE)
        yield rows(page, audience, form)


def patient_reading(
    organisation: OrganisationServices, grant: PatientGrant, asked: str, address: str
) -> Event:
    """A patient's program read the log: what it asked, and from where."""
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
        network_address=address,
    )
