"""Professionals who log in at Dezi for their EHR, and what the EHR learns of it.

    EHR: POST logins -> address -> (browser) login -> Dezi -> callback -> a page that leads back; EHR: GET logins/{id}

The browser that opens the address is the one that must come back from Dezi: it has a secret in a cookie. The EHR alone
knows the id of a login, and compares the browser that returns to it with the one it sent.

Source: OpenID Connect Core 1.0 section 3.1, RFC 6749 section 4.1, RFC 9700 section 4.
"""

from __future__ import annotations

from typing import Any, Literal
from urllib.parse import urlencode, urlsplit

from starlette.requests import Request
from starlette.responses import Response

from schakel.exchanges.bgz import Who
from schakel.generic.identity.credentials import dezi_credential
from schakel.generic.identity.dezi import (
    Begun,
    LoggedIn,
    Login,
    LoginGone,
    OtherOrganisation,
    Professional,
    login_of,
)
from schakel.http.consent import own_event, text_in
from schakel.http.errors import as_outcome
from schakel.http.node import Node, OrganisationServices, ProfessionalDoor
from schakel.http.reading import as_json, json_object, read_limited
from schakel.kernel.clock import instant, now
from schakel.kernel.outcomes import Forbidden, Invalid, NotFound, Outcome, Upstream
from schakel.portal.pages import PRIVATE, Pages, preferred_language

_CANCELLED = {"access_denied", "login_required", "interaction_required"}
_MOST = 10_000
_STATES = {"done": "logged-in", "failed": "failed"}


class Cancelled(Forbidden):
    """The professional did not go on at Dezi."""


class Professionals:
    """Handlers of logins of professionals; `pages` are those of the listener."""

    def __init__(self, node: Node, pages: Pages) -> None:
        self._node = node
        self._pages = pages

    # -- for the EHR -------------------------------------------------------------------------------------------

    async def begin(self, request: Request) -> Response:
        """The EHR begins a login: an address to open in the professional's browser."""
        organisation = self._node.own(request)
        door = door_of(organisation)
        body = await read_limited(request, _MOST)
        table = json_object(body) if body.strip() else {}
        if unknown := sorted(set(table) - {"return_to"}):
            raise Invalid(f"unknown member {unknown[0][:40]!r}", expression=unknown[0][:40])
        login, ticket = await door.logins.wait(text_in(table, "return_to", needed=False))
        address = f"{self._base(organisation)}/login?{urlencode({'login': login, 'ticket': ticket})}"
        return as_json({"id": login, "address": address}, 201)

    async def one(self, request: Request) -> Response:
        """A login: how it stands and who logged in (GET), and its end (DELETE)."""
        return await (self._end if request.method == "DELETE" else self._find)(request)

    async def _find(self, request: Request) -> Response:
        organisation = self._node.own(request)
        door = door_of(organisation)
        login = await door.logins.find(request.path_params["id"])
        who = door.dezi.trust.said(login.verklaring, now()) if login.step == "done" else None
        return as_json(_login(login, who))

    async def _end(self, request: Request) -> Response:
        organisation = self._node.own(request)
        door = door_of(organisation)
        login = await door.logins.end(request.path_params["id"])
        if login.step == "done":
            who = door.dezi.trust.said(login.verklaring, now())
            event = own_event(organisation, "logout", "E", user=who.user, assurance=who.assurance)
            await organisation.log.write(event)
        return Response(status_code=204)

    # -- for the browser ---------------------------------------------------------------------------------------

    async def login(self, request: Request) -> Response:
        """The browser opens the address of a login: on to Dezi."""
        organisation: OrganisationServices | None = None
        begun: Begun | None = None
        try:
            organisation = self._node.organisation(request.path_params["organisation"])
            door = door_of(organisation)
            login, ticket = (request.query_params.get(name, "") for name in ("login", "ticket"))
            begun = await door.logins.begin(login, ticket, self._secret(request, organisation, login))
            address = await door.dezi.address(self._callback(organisation), begun.state, begun.login)
        except Exception as error:
            return await self._stopped(request, organisation, begun, as_outcome(error))
        response = Response(status_code=303, headers={"Location": address, **PRIVATE})
        base = self._base(organisation)
        response.set_cookie(
            _cookie(base, begun.id),
            begun.secret,
            max_age=door.logins.seconds,
            path=urlsplit(base).path,
            secure=base.startswith("https:"),
            httponly=True,
            samesite="lax",
        )
        return response

    async def callback(self, request: Request) -> Response:
        """The browser comes back from Dezi."""
        organisation: OrganisationServices | None = None
        begun: Begun | None = None
        try:
            organisation = self._node.organisation(request.path_params["organisation"])
            door = door_of(organisation)
            query = request.query_params
            state = query.get("state", "")
            if len(query.getlist("state")) != 1 or len(query.getlist("code")) > 1:
                raise LoginGone
            begun = await door.logins.returned(state, self._secret(request, organisation, login_of(state)))
            who = await self._who(request, organisation, door, begun)
            # Written down first: a login that the log does not have is none.
            await organisation.log.write(
                own_event(
                    organisation,
                    "login",
                    "E",
                    user=who.professional.user,
                    assurance=who.professional.assurance,
                    request_id=begun.id,
                )
            )
            await door.logins.done(begun.id, who)
        except Exception as error:
            return await self._stopped(request, organisation, begun, as_outcome(error))
        values = {"kind": "done", "name": who.professional.name, "code": ""}
        return self._page(request, organisation, begun, values, 200)

    async def _who(
        self, request: Request, organisation: OrganisationServices, door: ProfessionalDoor, begun: Begun
    ) -> LoggedIn:
        query = request.query_params
        if not query.get("code"):
            if query.get("error") in _CANCELLED:
                raise Cancelled("the professional did not log in", code="login-cancelled")
            raise Upstream("Dezi ended the login with an error", code="login-error")
        return await door.dezi.logged_in(
            query["code"], self._callback(organisation), begun.login, organisation.ura
        )

    async def _stopped(
        self,
        request: Request,
        organisation: OrganisationServices | None,
        begun: Begun | None,
        error: Outcome,
    ) -> Response:
        """The page that says that nobody logged in; the EHR is told why."""
        kind = "other"
        if isinstance(error, LoginGone):
            kind = "gone"
        elif isinstance(error, Cancelled):
            kind = "cancelled"
        elif isinstance(error, OtherOrganisation):
            kind = "organisation"
        elif isinstance(error, NotFound):
            kind = "missing"
        if organisation is not None and organisation.professionals is not None and begun is not None:
            outcome: Literal["4", "8"] = "8" if error.status >= 500 else "4"
            event = own_event(
                organisation, "login", "E", outcome=outcome, reason=error.kind, request_id=begun.id
            )
            for written in (
                organisation.professionals.logins.failed(begun.id, error),
                organisation.log.write(event),
            ):
                try:
                    await written
                except Outcome as away:
                    as_outcome(away)
        values = {"kind": kind, "name": "", "code": error.kind}
        return self._page(request, organisation, begun, values, error.status)

    def _page(
        self,
        request: Request,
        organisation: OrganisationServices | None,
        begun: Begun | None,
        values: dict[str, Any],
        status: int,
    ) -> Response:
        language = preferred_language(request.headers.get("accept-language", ""))
        shown = {
            "holder": organisation.name if organisation else "",
            "other_language": "",
            "return_to": _returning(begun) if begun else "",
            **values,
        }
        response = self._pages.render("professional", language, shown, status=status)
        if organisation is not None and begun is not None:
            base = self._base(organisation)
            response.delete_cookie(
                _cookie(base, begun.id),
                path=urlsplit(base).path,
                secure=base.startswith("https:"),
                httponly=True,
                samesite="lax",
            )
        return response

    def _base(self, organisation: OrganisationServices) -> str:
        return f"{self._node.public_url}/{organisation.slug}/professionals"

    def _callback(self, organisation: OrganisationServices) -> str:
        return f"{self._base(organisation)}/callback"

    def _secret(self, request: Request, organisation: OrganisationServices, login: str) -> str:
        """The browser's proof that it began this login; '' without."""
        return request.cookies.get(_cookie(self._base(organisation), login), "")


def door_of(organisation: OrganisationServices) -> ProfessionalDoor:
    """Where professionals of an organisation log in. Raises `NotFound` when nowhere."""
    if organisation.professionals is None:
        raise NotFound("professionals cannot log in at this node (setting dezi)", code="dezi-off")
    return organisation.professionals


async def logged_in(organisation: OrganisationServices, login: str) -> Who:
    """Who is logged in, with the credential that proves it to others. Raises `Invalid` naming `login`, and `Upstream`
    when it must be asked and could not be whether the statement still holds."""
    try:
        door = door_of(organisation)
        found = await door.logins.find(login)
        if found.step != "done":
            raise NotFound("nobody is logged in yet", code="login-unknown")
        who = door.dezi.trust.said(found.verklaring, now())
        await door.dezi.trust.check_status(who)
    except (NotFound, Invalid) as error:
        raise Invalid(f"login: {error.message}", code=error.kind, expression="login") from error
    return Who(who.user, who.assurance, (dezi_credential(found.verklaring, organisation.wallet.did),))


def _login(login: Login, who: Professional | None) -> dict[str, Any]:
    return {
        "id": login.id,
        "state": _STATES.get(login.step, "pending"),
        "reason": login.reason or None,
        "message": login.message or None,
        "professional": None
        if who is None
        else {
            "number": who.number,
            "name": who.name,
            "initials": who.initials,
            "prefix": who.prefix,
            "surname": who.surname,
            "role": who.role,
            "role_name": who.role_name,
            "organisation": {"ura": who.ura, "name": who.organisation},
            "assurance": who.assurance,
            "warnings": list(who.warnings),
        },
        "until": instant(login.until),
    }


def _returning(begun: Begun) -> str:
    """Where the page leads, with the id of the login behind it; '' when nowhere."""
    if not begun.return_to:
        return ""
    return f"{begun.return_to}{'&' if '?' in begun.return_to else '?'}{urlencode({'login': begun.id})}"


def _cookie(base: str, login: str) -> str:
    """The name of the cookie of a login: one for each, so that two windows do not disturb each other."""
    prefix = "__Secure-" if base.startswith("https:") else ""
    return f"{prefix}schakel-login-{login}"
