"""What the organisation's own EHR asks beside FHIR: exchanges, and grounds for disclosure."""

from __future__ import annotations

from datetime import datetime
from functools import partial
from typing import Any, Literal

from starlette.requests import Request
from starlette.responses import Response

from schakel.exchanges.bgz import parse_ask
from schakel.fhir.moments import interval
from schakel.fhir.search import pairs_of
from schakel.generic.authorisation import listed_form
from schakel.generic.consent import Ground
from schakel.generic.consent.grounds import MAX_QUERIES
from schakel.generic.consent.telling import Told
from schakel.generic.logging import Event
from schakel.http.node import Node, OrganisationServices
from schakel.http.professionals import logged_in
from schakel.http.reading import as_json, json_object, read_limited
from schakel.http.streaming import as_events, wants_events
from schakel.kernel.clock import instant, new_id
from schakel.kernel.outcomes import Invalid, naming
from schakel.kernel.values import Bsn, Ura
from schakel.store.connection import Connection

_GROUND = {"requester", "patient", "exchange", "queries", "until", "reason", "kind", "task"}


class Own:
    """Handlers of the internal door beside FHIR."""

    def __init__(self, node: Node) -> None:
        self._node = node

    async def fetch_bgz(self, request: Request) -> Response:
        """The EHR asks for the BgZ of a patient: the whole at once, or step by step (Accept: text/event-stream)."""
        organisation = self._node.own(request)
        ask = await parse_ask(await read_limited(request, 100_000), partial(logged_in, organisation))
        if wants_events(request):
            return await as_events(organisation.bgz.told(ask))
        return as_json(await organisation.bgz.fetch(ask))

    async def grounds(self, request: Request) -> Response:
        """Grounds for disclosure: list (GET) and write (POST)."""
        return await (self._write_ground if request.method == "POST" else self._list_grounds)(request)

    async def _list_grounds(self, request: Request) -> Response:
        organisation = self._node.own(request)
        pairs = pairs_of(request.url.query)
        asked = dict(pairs)
        if unknown := sorted(set(asked) - {"patient", "requester", "active"}):
            name = unknown[0][:40]
            raise Invalid(
                f"unknown parameter {name!r}; known are patient, requester, active", expression=name
            )
        if len(asked) < len(pairs):
            raise Invalid("a parameter is given twice")
        if asked.get("active", "true") not in ("true", "false"):
            raise Invalid("active is true or false", expression="active")
        with naming("patient"):
            patient = Bsn(asked["patient"]) if "patient" in asked else None
        with naming("requester"):
            requester = Ura(asked["requester"]) if "requester" in asked else None
        found = await organisation.grounds.list(
            patient=patient, requester=requester, active=asked.get("active") == "true"
        )
        await organisation.log_own_reading("ground", f"grounds?{request.url.query}", patient or "")
        return as_json({"grounds": [_ground(g) for g in found]})

    async def _write_ground(self, request: Request) -> Response:
        organisation = self._node.own(request)
        table = json_object(await read_limited(request, 100_000))
        if unknown := sorted(set(table) - _GROUND):
            raise Invalid(f"unknown member {unknown[0][:40]!r}", expression=unknown[0][:40])
        for name in ("requester", "patient", "until", "reason"):
            if not isinstance(table.get(name), str) or not table[name]:
                raise Invalid(f"{name} is needed, as text", expression=name)
        exchange, queries = table.get("exchange", ""), table.get("queries", [])
        kind, task = table.get("kind", "recorded"), table.get("task", "")
        for name, value in (("exchange", exchange), ("kind", kind), ("task", task)):
            if not isinstance(value, str):
                raise Invalid(f"{name} is a text", expression=name)
        if not isinstance(queries, list) or not all(isinstance(q, str) for q in queries):
            raise Invalid("queries is a list of texts", expression="queries")
        forms = []
        for number, query in enumerate(queries[: MAX_QUERIES + 1]):
            with naming(f"queries[{number}]"):
                forms.append(listed_form(query))
        with naming("requester"):
            requester = Ura(table["requester"])
        with naming("patient"):
            patient = Bsn(table["patient"])
        with naming("until"):
            until = _moment(table["until"])
        ground = await organisation.grounds.write(
            requester,
            patient,
            exchange=exchange,
            queries=forms,
            until=until,
            reason=table["reason"],
            kind=kind,
            task=task,
            told=_telling(organisation, "C"),
        )
        return as_json(_ground(ground), 201)

    async def end_ground(self, request: Request) -> Response:
        """Ends a ground."""
        organisation = self._node.own(request)
        ground = await organisation.grounds.end(request.path_params["id"], _telling(organisation, "U"))
        return as_json(_ground(ground))


def _moment(text: str) -> datetime:
    """The end of a date, or a moment: a ground until a day holds that whole day."""
    low, high = interval(text)
    return low if "T" in text else high


def _ground(ground: Ground) -> dict[str, Any]:
    return {
        "id": ground.id,
        "requester": ground.requester,
        "patient": ground.patient,
        **({"exchange": ground.exchange} if ground.exchange else {"queries": list(ground.queries)}),
        "until": instant(ground.until),
        "reason": ground.reason,
        "kind": ground.kind,
        **({"task": ground.task} if ground.task else {}),
        "made": instant(ground.made),
        "ended": instant(ground.ended) if ground.ended else None,
    }


def _telling(organisation: OrganisationServices, action: Literal["C", "U"]) -> Told[Ground]:
    """Writes a ground down in the log, in the transaction that changes it."""

    async def told(connection: Connection, ground: Ground) -> None:
        await organisation.log.write_within(connection, _ground_event(organisation, ground, action))

    return told


def _ground_event(organisation: OrganisationServices, ground: Ground, action: Literal["C", "U"]) -> Event:
    return Event(
        subtype="ground",
        action=action,
        outcome="0",
        decision=new_id(),
        requester=ground.requester,
        holder=organisation.ura,
        holder_name=organisation.name,
        patient=ground.patient,
        ground=ground.id,
        ground_kind=ground.kind,
        query=ground.exchange or "; ".join(ground.queries),
    )
