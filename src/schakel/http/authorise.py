"""The authorisation endpoint of MedMij: what a person sees between a client and us, and where the browser goes.

    authorize -> landing page -> broker -> callback -> consent page -> back to the client with a code
                     cancel, no, not known here, anything wrong -> back to the client with an error

No handler decides anything but the order: each step is taken in `Flows`, once, by the browser that began. What is
about the client itself, or another browser's, ends on a page of ours.

Source: MedMij framework 2.2.x, authorization interface; RFC 6749 section 4.1; RFC 9700.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from contextlib import suppress
from dataclasses import dataclass
from operator import itemgetter
from urllib.parse import urlencode, urlsplit

from starlette.requests import Request
from starlette.responses import Response

from schakel.facilities import FacilityAway
from schakel.generic.identity.authorisation_request import (
    AuthorisationRefused,
    ClientUnverified,
    read,
    with_code,
    with_error,
)
from schakel.generic.identity.flows import Flow, FlowGone, Language, Step, csrf
from schakel.generic.identity.patient import CORRELATION_ID, check_uuid
from schakel.generic.logging import ChainEvent, Event
from schakel.generic.logging.chain import ChainType
from schakel.http.errors import as_outcome
from schakel.http.node import Node, OrganisationServices, PatientDoor
from schakel.http.reading import read_form
from schakel.kernel.clock import new_id
from schakel.kernel.outcomes import Invalid, NotFound, Outcome, Upstream
from schakel.portal.pages import PRIVATE, Pages, preferred_language
from schakel.portal.pages.services import ABOUT

_CANCELLED = {"access_denied", "login_required", "interaction_required"}


@dataclass(frozen=True, slots=True)
class _Visit:
    """One request of a browser at one organisation."""

    request: Request
    organisation: OrganisationServices
    door: PatientDoor
    base: str

    @property
    def language(self) -> Language:
        """The language that the browser prefers."""
        found = preferred_language(self.request.headers.get("accept-language", ""))
        return "en" if found == "en" else "nl"

    @property
    def chosen(self) -> Language | None:
        """The language that the person chose on the page."""
        match self.request.query_params.get("lang"):
            case "nl":
                return "nl"
            case "en":
                return "en"
        return None

    def secret(self, flow: str) -> str:
        """The browser's proof that it began this flow; '' without."""
        return self.request.cookies.get(_cookie(self.base, flow), "")

    async def note(self, kind: ChainType, flow: Flow, error: str = "", description: str = "") -> None:
        """One event in the chain log."""
        await self.door.chain.write(
            ChainEvent(
                type=kind,
                session=flow.request.correlation_id,
                request_id=flow.request.request_id,
                client=flow.request.client,
                method=self.request.method,
                uri=self.request.url.path,
                service=flow.request.share,
                error=error,
                description=description,
            )
        )


class Authorise:
    """Handlers of the authorisation endpoint of every organisation of this node."""

    def __init__(self, node: Node, pages: Pages) -> None:
        self._node = node
        self._pages = pages

    async def authorize(self, request: Request) -> Response:
        """A client sends a person: checked, then to the landing page."""
        return await self._guarded(request, self._authorize)

    async def start(self, request: Request) -> Response:
        """The landing page."""
        return await self._guarded(request, self._start)

    async def login(self, request: Request) -> Response:
        """The landing page's form: on to the broker, or back."""
        return await self._guarded(request, self._login)

    async def callback(self, request: Request) -> Response:
        """The browser comes back from the broker."""
        return await self._guarded(request, self._callback)

    async def consent(self, request: Request) -> Response:
        """The consent page, and its form."""
        return await self._guarded(request, self._answer if request.method == "POST" else self._ask)

    async def _guarded(self, request: Request, handler: Callable[[_Visit], Awaitable[Response]]) -> Response:
        """The answer of `handler`. Errors go back to the client where that is known, else on a page of ours."""
        visit: _Visit | None = None
        try:
            organisation = self._node.organisation(request.path_params["organisation"])
            if organisation.patients is None:
                raise NotFound("this organisation does not take part in MedMij", code="medmij-off")
            base = f"{self._node.public_url}/{organisation.slug}/oauth2"
            visit = _Visit(request, organisation, organisation.patients, base)
            return await handler(visit)
        except AuthorisationRefused as refusal:
            assert visit is not None
            return await self._sent_back(visit, refusal)
        except Exception as error:
            return await self._error_page(request, visit, as_outcome(error))

    async def _authorize(self, visit: _Visit) -> Response:
        query = visit.request.scope["query_string"].decode("latin-1")
        loopback = visit.door.http_on_loopback
        asked = read(
            query, visit.request.headers, visit.door.lists, visit.door.holder, http_on_loopback=loopback
        )
        flow, secret = await visit.door.flows.begin(asked, visit.language)
        await visit.note("receive_authorization_request", Flow(flow, "landing", asked, "nl", "", ()))
        response = _to(f"{visit.base}/start?flow={flow}")
        response.set_cookie(
            _cookie(visit.base, flow),
            secret,
            max_age=visit.door.flows.seconds,
            path=urlsplit(visit.base).path,
            secure=visit.base.startswith("https:"),
            httponly=True,
            samesite="lax",
        )
        return response

    async def _start(self, visit: _Visit) -> Response:
        flow, secret = await self._found(visit)
        if flow.step not in ("landing", "login"):  # Gone back in the browser, after the login.
            return _to(f"{visit.base}/consent?flow={flow.id}")
        await visit.note("show_landing_page", flow)
        return self._page(visit, flow, "landing", "start", "login", secret)

    async def _found(self, visit: _Visit) -> tuple[Flow, str]:
        """The flow whose page is asked for, at whichever step a person looks at, and the browser's secret."""
        flow_id = visit.request.query_params.get("flow", "")
        secret = visit.secret(flow_id)
        steps: tuple[Step, ...] = ("landing", "login", "consent", "unavailable")
        return await visit.door.flows.find(flow_id, secret, *steps, language=visit.chosen), secret

    async def _login(self, visit: _Visit) -> Response:
        if visit.request.method != "POST":  # The address of the form was opened by itself, as from a history.
            raise FlowGone
        flow_id, secret, answer = await self._form(visit)
        if answer != "yes":
            return await self._cancelled(
                visit, await visit.door.flows.end(flow_id, secret, "landing", "login")
            )
        flow, login = await visit.door.flows.to_login(flow_id, secret)
        try:
            address = await visit.door.broker.address(f"{visit.base}/callback", flow.id, login, flow.language)
        except Upstream as error:
            raise await self._failed(visit, flow, secret, error) from error
        await visit.note("send_authentication_request", flow)
        return _to(address)

    async def _callback(self, visit: _Visit) -> Response:
        query = visit.request.query_params
        flow_id = query.get("state", "")
        secret = visit.secret(flow_id)
        if len(query.getlist("state")) != 1 or len(query.getlist("code")) > 1:
            raise FlowGone
        flow, login = await visit.door.flows.logged_in(flow_id, secret)
        if "code" not in query:
            await visit.note("receive_authentication_error", flow, error="other")
            flow = await visit.door.flows.end(flow.id, secret, "checking")
            if query.get("error") in _CANCELLED:
                return await self._cancelled(visit, flow)
            raise flow.refused("login")
        try:
            person = await visit.door.broker.person(query["code"], f"{visit.base}/callback", login)
        except Upstream as error:
            raise await self._failed(visit, flow, secret, error) from error
        await visit.note("receive_authentication_response", flow)
        try:
            there = await visit.door.holder.available(person.bsn, flow.request.share)
        except Outcome as error:
            raise await self._failed(visit, flow, secret, error) from error
        named = {one for one in there if visit.door.lists.service_name(one)}
        await visit.door.flows.identified(flow.id, secret, person.bsn, named)
        return _to(f"{visit.base}/consent?flow={flow.id}")

    async def _ask(self, visit: _Visit) -> Response:
        flow, secret = await self._found(visit)
        if flow.step in ("landing", "login"):
            return _to(f"{visit.base}/start?flow={flow.id}")
        if flow.step == "unavailable":
            return self._page(visit, flow, "unavailable", "consent", "consent", secret)
        await visit.note("show_authorization_page", flow)
        return self._page(visit, flow, "consent", "consent", "consent", secret)

    async def _answer(self, visit: _Visit) -> Response:
        flow_id, secret, answer = await self._form(visit)
        if answer != "yes":
            flow = await visit.door.flows.end(flow_id, secret, "consent", "unavailable")
            if flow.step == "consent":
                await visit.organisation.log.write(_consent_event(visit, flow, new_id(), given=False))
            return await self._cancelled(visit, flow)
        flow = await visit.door.flows.end(flow_id, secret, "consent")
        consent = new_id()
        try:
            await visit.organisation.log.write(_consent_event(visit, flow, consent, given=True))
            code = await visit.door.tokens.give_code(flow, consent)
            await visit.note("send_authorization_response", flow)
        except Outcome as error:
            as_outcome(error)
            raise flow.refused("fault") from error
        return self._left(visit, flow.id, _to(with_code(flow.request.redirect_uri, code, flow.request.state)))

    # -- the ways out ------------------------------------------------------------------------------------------

    async def _cancelled(self, visit: _Visit, flow: Flow) -> Response:
        """The person did not go on: back to the client, which is not told where or why."""
        await visit.note("receive_authorization_cancellation", flow)
        refusal = flow.refused("ended")
        await visit.note("send_authorization_cancellation", flow, error=refusal.error)
        address = with_error(refusal, numeric=visit.door.numeric_errors)
        return self._left(visit, flow.id, _to(address))

    async def _failed(self, visit: _Visit, flow: Flow, secret: str, error: Outcome) -> AuthorisationRefused:
        """What the client is told when a party behind us failed."""
        as_outcome(error)  # which writes it in the technical log
        await visit.note("receive_authentication_error", flow, error="other", description=error.kind)
        await visit.door.flows.end(flow.id, secret, "login", "checking")
        return flow.refused("login" if isinstance(error, FacilityAway) else "fault")

    async def _sent_back(self, visit: _Visit, refusal: AuthorisationRefused) -> Response:
        try:
            await self._note_error(visit, "send_authorization_request_error", refusal.error, refusal.kind)
        except Outcome as error:
            return await self._error_page(visit.request, None, as_outcome(error))
        return _to(with_error(refusal, numeric=visit.door.numeric_errors))

    async def _error_page(self, request: Request, visit: _Visit | None, error: Outcome) -> Response:
        """A page that says what the person can do; nothing goes to the client."""
        kind = "other"
        if isinstance(error, ClientUnverified):
            kind = "client"
        elif isinstance(error, NotFound):
            kind = "missing"
        elif isinstance(error, Invalid):
            kind = "gone"
        if visit is not None and kind == "client":
            shown: tuple[ChainType, ...] = (
                "authorization_request_error",
                "show_authorization_request_error_page",
            )
            try:
                for name in shown:
                    await self._note_error(visit, name, "invalid_request", error.kind)
            except Outcome as away:
                error, kind = as_outcome(away), "other"
        language = (visit.chosen if visit else None) or preferred_language(
            request.headers.get("accept-language", "")
        )
        holder = visit.organisation.name if visit else ""
        values = {"holder": holder, "kind": kind, "code": error.kind, "other_language": ""}
        return self._pages.render("error", language, values, status=error.status)

    async def _note_error(self, visit: _Visit, kind: ChainType, error: str, description: str) -> None:
        """An error in the chain log: the session as the client named it, when it is one."""
        session = ""
        with suppress(Invalid):
            session = check_uuid(visit.request.query_params.get(CORRELATION_ID), CORRELATION_ID)
        await visit.door.chain.write(
            ChainEvent(
                type=kind,
                session=session,
                method=visit.request.method,
                uri=visit.request.url.path,
                error=error,
                description=description,
            )
        )

    def _left(self, visit: _Visit, flow: str, response: Response) -> Response:
        """`response`, after which the browser no longer has the flow."""
        response.delete_cookie(
            _cookie(visit.base, flow),
            path=urlsplit(visit.base).path,
            secure=visit.base.startswith("https:"),
            httponly=True,
            samesite="lax",
        )
        return response

    def _page(
        self, visit: _Visit, flow: Flow, template: str, here: str, action: str, secret: str
    ) -> Response:
        door, asked = visit.door, flow.request
        other = "en" if flow.language == "nl" else "nl"
        asked_for = (asked.share,) if asked.share else flow.services
        named = ((one, door.lists.service_name(one)) for one in asked_for)
        values = {
            "holder": visit.organisation.name,
            "client": door.lists.client_name(asked.client) or asked.client,
            "share": asked.share,
            "services": sorted(
                ({"name": name, "about": ABOUT.get(one, "")} for one, name in named if name),
                key=itemgetter("name"),
            ),
            "days": door.tokens.lasting_days,
            "minutes": door.flows.seconds // 60,
            "flow": flow.id,
            "csrf": csrf(secret),
            "action": f"{visit.base}/{action}",
            "other_language": f"{visit.base}/{here}?{urlencode({'flow': flow.id, 'lang': other})}",
        }
        client = urlsplit(asked.redirect_uri)
        leads_to = (door.broker.origin, f"{client.scheme}://{client.netloc}")
        return self._pages.render(template, flow.language, values, leads_to=leads_to)

    async def _form(self, visit: _Visit) -> tuple[str, str, str]:
        """Flow, the browser's secret and the answer in a form of ours. Raises `FlowGone` for any other form."""
        form = await read_form(visit.request)
        flow = form.get("flow", "")
        secret = visit.secret(flow)
        if not secret or form.get("csrf") != csrf(secret):
            raise FlowGone
        return flow, secret, form.get("answer", "")


def _cookie(base: str, flow: str) -> str:
    """The name of the cookie of a flow: one for each, so that two windows do not disturb each other."""
    prefix = "__Secure-" if base.startswith("https:") else ""
    return f"{prefix}schakel-{flow}"


def _to(address: str) -> Response:
    """Go there by GET; the address is not changed in any way."""
    return Response(status_code=303, headers={"Location": address, **PRIVATE})


def _consent_event(visit: _Visit, flow: Flow, consent: str, *, given: bool) -> Event:
    """Consent given or refused; its decision is the id of the consent itself."""
    services = " ".join(flow.services)
    what = f"share {flow.request.share}" if flow.request.share else f"collect {services}"
    return Event(
        subtype="consent",
        action="C",
        outcome="0" if given else "4",
        reason="" if given else "consent-refused",
        decision=consent,
        requester=flow.request.client,
        requester_name=visit.door.lists.client_name(flow.request.client) or "",
        holder=visit.organisation.ura,
        holder_name=visit.organisation.name,
        patient=flow.patient,
        purpose="PATRQT",
        query=what,
        request_id=flow.request.request_id,
        ground=consent if given else "",
        network_address=visit.request.client.host if visit.request.client else "",
    )
