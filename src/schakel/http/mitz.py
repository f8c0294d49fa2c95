"""Mitz at our doors: subscriptions that the EHR wants, what Mitz told us, and the door where it tells.

Source: pages of Mitz on subscriptions and notifications.
"""

from __future__ import annotations

from collections.abc import Sequence
from datetime import date
from typing import Any, Literal, get_args

from starlette.requests import Request
from starlette.responses import Response

from schakel.fhir.search import pairs_of
from schakel.generic.consent import Choice, Notice, Subscription, Subscriptions
from schakel.generic.consent.mitz.notification import choices_in
from schakel.generic.consent.subscriptions import State
from schakel.generic.consent.telling import Told
from schakel.http.consent import asked, own_event, text_in
from schakel.http.errors import fhir_error
from schakel.http.node import Node, OrganisationServices
from schakel.http.peer import certificate, network_address
from schakel.http.reading import as_json, read_limited
from schakel.kernel.clock import instant
from schakel.kernel.outcomes import Forbidden, Invalid, NotSupported, Outcome
from schakel.server import Request as FhirRequest
from schakel.server.bodies import read_body
from schakel.store.connection import Connection

_MOST = 1_000_000
"""Bytes of a notification."""


class MitzRoutes:
    """Handlers of what is said between an organisation, its EHR and Mitz."""

    def __init__(self, node: Node) -> None:
        self._node = node

    async def subscriptions(self, request: Request) -> Response:
        """Subscriptions on patients at Mitz: list (GET), and ask for one (POST)."""
        if request.method == "POST":
            return await self._subscribe(request)
        organisation = self._node.own(request)
        pairs = _pairs(request, {"state", "after", "count"})
        state = pairs.get("state")
        if state is not None and state not in get_args(State):
            raise Invalid(f"state is one of {', '.join(get_args(State))}", expression="state")
        found = await _subscriptions(organisation).list(
            state,  # type: ignore[arg-type] # as was just checked
            pairs.get("after", ""),
            _number(pairs, "count", 100, 1),
        )
        await organisation.log.write(
            own_event(organisation, "subscription", "R", query=f"subscriptions?{request.url.query}")
        )
        return as_json({"subscriptions": [_subscription(one) for one in found]})

    async def _subscribe(self, request: Request) -> Response:
        organisation = self._node.own(request)
        table = await asked(request, ("patient", "birth_date"), ())
        try:
            born = date.fromisoformat(text_in(table, "birth_date"))
        except ValueError:
            raise Invalid("birth_date is a whole date, as in 1970-01-31", expression="birth_date") from None
        wanted = await _subscriptions(organisation).want(
            text_in(table, "patient"), born, _logged(organisation, "C")
        )
        return as_json(_subscription(wanted), 202)

    async def end_subscription(self, request: Request) -> Response:
        """A subscription is no longer wanted."""
        organisation = self._node.own(request)
        table = await asked(request, ("patient",), ())
        ended = await _subscriptions(organisation).end(text_in(table, "patient"), _logged(organisation, "D"))
        return as_json(_subscription(ended))

    async def choices(self, request: Request) -> Response:
        """The choices of patients that Mitz told, in the order in which they came, after a number."""
        organisation = self._node.own(request)
        pairs = _pairs(request, {"after", "count"})
        found = await organisation.consent.choices.feed(
            _number(pairs, "after", 0, 0), _number(pairs, "count", 100, 1)
        )
        await organisation.log.write(
            own_event(organisation, "consent", "R", query=f"choices?{request.url.query}")
        )
        return as_json({"choices": [_notice(one) for one in found]})

    async def notify(self, request: Request) -> Response:
        """Mitz tells that a patient's choice changed: a transaction Bundle (FHIR R4), in JSON or XML."""
        try:
            organisation = self._node.organisation(request.path_params["organisation"])
            host = _teller(organisation, request)
            try:
                choices = await _told(organisation, request)
            except Outcome as outcome:
                await organisation.log.write(
                    own_event(
                        organisation,
                        "consent-notified",
                        "U",
                        outcome="4",
                        requester=host,
                        reason=outcome.kind,
                        network_address=network_address(request),
                    )
                )
                raise
            await organisation.consent.choices.keep(choices)
            # Told again when this fails; what is kept already takes effect, and is kept once.
            for patient in dict.fromkeys(choice.patient for choice in choices):
                await organisation.log.write(
                    own_event(
                        organisation,
                        "consent-notified",
                        "U",
                        requester=host,
                        patient=patient,
                        query="; ".join(_words(one) for one in choices if one.patient == patient)[:4000],
                        network_address=network_address(request),
                    )
                )
            return Response(status_code=204)
        except Exception as error:
            return fhir_error(request, error, "r4")


def _teller(organisation: OrganisationServices, request: Request) -> str:
    """The host name of Mitz, by its certificate. Raises `Forbidden` for anybody else."""
    allowed, shown = organisation.consent.notify, certificate(request)
    if not allowed:
        raise Forbidden(
            "nobody's notifications are taken here (settings mitz.notify_hosts, mitz.notify_thumbprints)",
            code="mitz-notify-off",
        )
    if shown is None or not allowed.takes(shown.hosts, shown.thumbprint):
        raise Forbidden(
            "this client certificate is not that of Mitz (settings mitz.notify_hosts, mitz.notify_thumbprints)",
            code="mitz-notify-client",
        )
    return min(shown.hosts & allowed.hosts or shown.hosts, default="mitz")


async def _told(organisation: OrganisationServices, request: Request) -> Sequence[Choice]:
    body = await read_limited(request, _MOST)
    # `read_limited` has unpacked it.
    headers = {"content-type": request.headers.get("content-type", "")}
    bundle = read_body(FhirRequest("r4", "POST", "", "", headers, body))
    return choices_in(bundle, organisation.ura)


def _subscriptions(organisation: OrganisationServices) -> Subscriptions:
    found = organisation.consent.subscriptions
    if found is None:
        raise NotSupported(
            "this organisation has no subscriptions at Mitz: they need mitz.base, mitz.gateway_system, "
            "mitz.source_system, back, and the organisation's type_code",
            code="mitz-subscriptions-off",
        )
    return found


def _pairs(request: Request, known: set[str]) -> dict[str, str]:
    pairs = dict(pairs_of(request.url.query))
    if unknown := sorted(set(pairs) - known):
        raise Invalid(
            f"unknown parameter {unknown[0][:40]!r}; known are {', '.join(sorted(known))}",
            expression=unknown[0][:40],
        )
    return pairs


def _number(pairs: dict[str, str], name: str, default: int, least: int) -> int:
    text = pairs.get(name, str(default))
    if not (text.isascii() and text.isdigit() and len(text) <= 15) or int(text) < least:
        raise Invalid(f"{name} is a number of at least {least}", expression=name)
    return int(text)


def _words(choice: Choice) -> str:
    providers = choice.provider_category or "all"
    return f"{choice.category} {providers} {'permitted' if choice.permitted else 'refused'}"


def _logged(organisation: OrganisationServices, action: Literal["C", "D"]) -> Told[Subscription]:
    """Writes down, in its transaction, that a subscription was asked for or ended."""

    async def told(connection: Connection, one: Subscription) -> None:
        event = own_event(organisation, "subscription", action, patient=one.patient, ground=one.id)
        await organisation.log.write_within(connection, event)

    return told


def _subscription(one: Subscription) -> dict[str, Any]:
    return {
        "id": one.id,
        "patient": one.patient,
        "birth_date": one.birth_date.isoformat(),
        "state": one.state,
        "location": one.location or None,
        "attempts": one.attempts,
        "error": one.error or None,
        "made": instant(one.made),
        "changed": instant(one.changed),
    }


def _notice(one: Notice) -> dict[str, Any]:
    choice = one.choice
    return {
        "number": one.number,
        "patient": choice.patient,
        "category": choice.category,
        "provider_category": choice.provider_category or None,
        "permitted": choice.permitted,
        "chosen": instant(choice.chosen),
        "received": instant(one.received),
    }
