"""Consent at the organisation's own door: objections of patients, and the second look at emergencies.

Every reading and every change is logged. A BSN stands in bodies only, never in an address.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Literal

from starlette.requests import Request
from starlette.responses import Response

from schakel.fhir.search import pairs_of
from schakel.generic.consent import EmergencyAccess, Objection
from schakel.generic.localisation import EXCHANGE
from schakel.generic.logging import Event
from schakel.http.at_keyboard import at_keyboard
from schakel.http.node import Node, OrganisationServices
from schakel.http.reading import as_json, json_object, read_limited
from schakel.kernel.clock import instant
from schakel.kernel.outcomes import Invalid, naming
from schakel.kernel.values import Bsn

_MOST = 100_000


class ConsentRoutes:
    """Handlers of objections and emergencies."""

    def __init__(self, node: Node) -> None:
        self._node = node

    async def write_objection(self, request: Request) -> Response:
        """Records an objection of a patient; it counts from now on."""
        organisation = self._node.own(request)
        table = await asked(
            request, ("patient", "by"), ("requesters", "provider_categories", "exchanges", "reason")
        )
        exchanges, known = texts_in(table, "exchanges"), (*organisation.gateway.exchanges, EXCHANGE)
        if unknown := sorted({*exchanges} - {*known}):
            # It would stand against nothing, and nobody would notice.
            raise Invalid(
                f"there is no exchange {unknown[0][:64]!r}; there are {', '.join(known)}",
                code="objection-invalid",
                expression="exchanges",
            )
        objection = await organisation.consent.objections.write(
            text_in(table, "patient"),
            requesters=texts_in(table, "requesters"),
            provider_categories=texts_in(table, "provider_categories"),
            exchanges=exchanges,
            reason=text_in(table, "reason", needed=False),
            by=text_in(table, "by"),
            told=lambda connection, made: organisation.log.write_within(
                connection, _objection_event(organisation, made, "C", made.made_by)
            ),
        )
        return as_json(_objection(objection), 201)

    async def find_objections(self, request: Request) -> Response:
        """The objections that stand, of one patient or of all; with `ended` those too that were taken back."""
        organisation = self._node.own(request)
        table = await asked(request, (), ("patient", "ended"))
        with naming("patient"):
            patient = Bsn(text_in(table, "patient")) if "patient" in table else None
        found = await organisation.consent.objections.list(patient, ended=flag_in(table, "ended", False))
        await organisation.log.write(
            own_event(organisation, "consent", "R", patient=patient or "", query="objections")
        )
        return as_json({"objections": [_objection(one) for one in found]})

    async def end_objection(self, request: Request) -> Response:
        """A patient takes an objection back."""
        organisation = self._node.own(request)
        table = await asked(request, ("by",), ())
        name, by = request.path_params["id"], text_in(table, "by")
        ended = await organisation.consent.objections.end(
            name,
            by=by,
            told=lambda connection, gone: organisation.log.write_within(
                connection, _objection_event(organisation, gone, "U", by)
            ),
        )
        return as_json(_objection(ended))

    async def emergencies(self, request: Request) -> Response:
        """Access in emergencies that waits for a second look (GET); with `judged=true` what was looked at."""
        organisation = self._node.own(request)
        pairs = dict(pairs_of(request.url.query))
        if unknown := sorted(set(pairs) - {"judged"}):
            raise Invalid(
                f"unknown parameter {unknown[0][:40]!r}; known is judged", expression=unknown[0][:40]
            )
        if pairs.get("judged", "false") not in ("true", "false"):
            raise Invalid("judged is true or false", expression="judged")
        found = await organisation.consent.emergencies.list(judged=pairs.get("judged") == "true")
        await organisation.log.write(
            own_event(organisation, "consent", "R", query=f"emergencies?{request.url.query}")
        )
        return as_json({"emergencies": [_emergency(one) for one in found]})

    async def judge_emergency(self, request: Request) -> Response:
        """The second look of the officer: accepted or not, by whom, and why."""
        organisation = self._node.own(request)
        table = await asked(request, ("accepted", "by"), ("note",))
        accepted = flag_in(table, "accepted")
        case = await organisation.consent.emergencies.judge(
            request.path_params["id"],
            accepted=accepted,
            by=text_in(table, "by"),
            note=text_in(table, "note", needed=False),
            told=lambda connection, case: organisation.log.write_within(
                connection, _review_event(organisation, case)
            ),
        )
        return as_json(_emergency(case))


def _review_event(organisation: OrganisationServices, case: EmergencyAccess) -> Event:
    return own_event(
        organisation,
        "break-glass-review",
        "U",
        requester=case.requester,
        patient=case.patient,
        ground=case.id,
        ground_kind="break-glass",
        token=case.token,
        reason="accepted" if case.accepted else "not-accepted",
        explanation=f"by {case.judge}" + (f": {case.note}" if case.note else ""),
    )


def own_event(
    organisation: OrganisationServices,
    subtype: str,
    action: Literal["C", "R", "U", "D", "E"],
    *,
    outcome: Literal["0", "4", "8"] = "0",
    requester: str = "",
    **members: Any,
) -> Event:
    """What the organisation did itself, unless another is its `requester`."""
    return Event(
        subtype=subtype,
        action=action,
        outcome=outcome,
        requester=requester or organisation.ura,
        requester_name="" if requester else organisation.name,
        holder=organisation.ura,
        holder_name=organisation.name,
        **{"user": at_keyboard(), **members},
    )


async def asked(request: Request, needed: tuple[str, ...], optional: tuple[str, ...]) -> dict[str, Any]:
    """The JSON object in a body. Raises `Invalid` for a member that is missing or not known."""
    table = json_object(await read_limited(request, _MOST))
    if unknown := sorted(set(table) - {*needed, *optional}):
        raise Invalid(f"unknown member {unknown[0][:40]!r}", expression=unknown[0][:40])
    for name in needed:
        if name not in table:
            raise Invalid(f"{name} is needed", expression=name)
    return table


def text_in(table: Mapping[str, Any], name: str, *, needed: bool = True) -> str:
    """The text of a member. Raises `Invalid`."""
    value = table.get(name, "")
    if not isinstance(value, str) or (needed and not value):
        raise Invalid(f"{name} is a text", expression=name)
    return value


def texts_in(table: Mapping[str, Any], name: str) -> list[str]:
    """The list of texts in a member, empty when it is not there. Raises `Invalid`."""
    value = table.get(name, [])
    if not isinstance(value, list) or not all(isinstance(one, str) and one for one in value):
        raise Invalid(f"{name} is a list of texts", expression=name)
    if name in table and not value:
        raise Invalid(f"{name} is empty; leave it out when all are meant", expression=name)
    return value


def flag_in(table: Mapping[str, Any], name: str, default: bool | None = None) -> bool:
    """Yes or no in a member. Raises `Invalid`."""
    value = table.get(name, default)
    if not isinstance(value, bool):
        raise Invalid(f"{name} is true or false", expression=name)
    return value


def _objection(one: Objection) -> dict[str, Any]:
    return {
        "id": one.id,
        "patient": one.patient,
        "requesters": list(one.requesters),
        "provider_categories": list(one.provider_categories),
        "exchanges": list(one.exchanges),
        "reason": one.reason,
        "by": one.made_by,
        "made": instant(one.made),
        "ended_by": one.ended_by or None,
        "ended": instant(one.ended) if one.ended else None,
    }


def _emergency(one: EmergencyAccess) -> dict[str, Any]:
    return {
        "id": one.id,
        "patient": one.patient,
        "requester": one.requester,
        "user": {"id": one.user_id, "name": one.user_name, "role": one.user_role},
        "purpose": one.purpose,
        "reason": one.reason,
        "objection": one.overrode or None,
        "policy": one.document,
        "made": instant(one.made),
        "due": instant(one.due),
        "overdue": one.overdue,
        "judged": instant(one.judged) if one.judged else None,
        "accepted": one.accepted,
        "by": one.judge or None,
        "note": one.note or None,
    }


def _objection_event(
    organisation: OrganisationServices, objection: Objection, action: Literal["C", "U"], by: str
) -> Event:
    about = [*objection.requesters, *objection.provider_categories, *objection.exchanges]
    return own_event(
        organisation,
        "consent",
        action,
        patient=objection.patient,
        ground=objection.id,
        ground_kind="objection",
        query=" ".join(["objection", *about]),
        explanation=f"by {by}",
    )
