"""What the organisation's own EHR asks beside FHIR: exchanges, and grounds for disclosure."""

from __future__ import annotations

from datetime import datetime
from typing import Any, Literal

from starlette.requests import Request
from starlette.responses import Response

from schakel.exchanges.bgz import parse_ask
from schakel.fhir.moments import interval
from schakel.fhir.search import pairs_of
from schakel.generic.consent import Ground
from schakel.generic.logging import Event
from schakel.http.node import Node, OrganisationServices
from schakel.http.reading import as_json, json_object, read_limited
from schakel.kernel.clock import instant, new_id
from schakel.kernel.outcomes import Invalid
from schakel.kernel.values import Bsn


class Own:
    """Handlers of the internal door beside FHIR."""

    def __init__(self, node: Node) -> None:
        self._node = node

    async def fetch_bgz(self, request: Request) -> Response:
        """The EHR asks for the BgZ of a patient."""
        organisation = self._node.own(request)
        ask = parse_ask(await read_limited(request, 100_000))
        return as_json(await organisation.bgz.fetch(ask))

    async def grounds(self, request: Request) -> Response:
        """Grounds for disclosure: list (GET) and write (POST)."""
        return await (self._write_ground if request.method == "POST" else self._list_grounds)(request)

    async def _list_grounds(self, request: Request) -> Response:
        organisation = self._node.own(request)
        asked = dict(pairs_of(request.url.query))
        unknown = set(asked) - {"patient", "requester", "active"}
        if unknown:
            raise Invalid(
                f"unknown parameter {sorted(unknown)[0][:40]!r}; known are patient, requester, active"
            )
        if asked.get("active", "true") not in ("true", "false"):
            raise Invalid("active is true or false", expression="active")
        found = await organisation.grounds.list(
            patient=Bsn(asked["patient"]) if "patient" in asked else None,
            requester=asked.get("requester"),
            active=asked.get("active") == "true",
        )
        return as_json({"grounds": [_ground(g) for g in found]})

    async def _write_ground(self, request: Request) -> Response:
        organisation = self._node.own(request)
        table = json_object(await read_limited(request, 100_000))
        unknown = set(table) - {"requester", "patient", "exchange", "queries", "until", "reason"}
        if unknown:
            raise Invalid(f"unknown member {sorted(unknown)[0][:40]!r}")
        for name in ("requester", "patient", "until", "reason"):
            if not isinstance(table.get(name), str) or not table[name]:
                raise Invalid(f"{name} is needed, as text", expression=name)
        queries = table.get("queries", [])
        exchange = table.get("exchange", "")
        if (
            not isinstance(exchange, str)
            or not isinstance(queries, list)
            or not all(isinstance(q, str) for q in queries)
        ):
            raise Invalid("give exchange as a text, or queries as a list of texts", expression="exchange")
        ground = await organisation.grounds.write(
            table["requester"],
            table["patient"],
            exchange=exchange,
            queries=tuple(queries),
            until=_moment(table["until"]),
            reason=table["reason"],
        )
        await organisation.log.write(_ground_event(organisation, ground, "C"))
        return as_json(_ground(ground), 201)

    async def end_ground(self, request: Request) -> Response:
        """Ends a ground."""
        organisation = self._node.own(request)
        ground = await organisation.grounds.end(request.path_params["id"])
        await organisation.log.write(_ground_event(organisation, ground, "U"))
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
        "made": instant(ground.made),
        "ended": instant(ground.ended) if ground.ended else None,
    }


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
        query=ground.exchange or "; ".join(ground.queries),
    )
