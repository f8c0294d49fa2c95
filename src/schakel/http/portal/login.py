"""The way into the portal and out of it.

    login -> (the person logs in at the identity provider) -> callback -> session -> the page that was wanted; logout

Who logs in there and is not among the people of the settings does not get in. Who does stands on the trail of the
board, where there is one. The technical log has each login, refusal and logout, and nothing about the person.

Source: OpenID Connect Core 1.0 section 3.1, RFC 9207, RFC 9700 section 4.
"""

from __future__ import annotations

import structlog
from starlette.requests import Request
from starlette.responses import Response

from schakel.facilities import FacilityAway
from schakel.generic.identity.oidc import LoginWrong
from schakel.generic.identity.page_logins import Away, PageLoginGone
from schakel.generic.identity.workplace import Workplace
from schakel.http.errors import as_outcome
from schakel.http.portal import forms
from schakel.http.portal.frame import Frame, spoken
from schakel.http.portal.visitors import own_path
from schakel.kernel.clock import new_id
from schakel.kernel.outcomes import Forbidden, NotFound, Outcome
from schakel.portal.pages import PRIVATE
from schakel.roadmap.board import Board

_CANCELLED = {"access_denied", "login_required", "interaction_required"}
_MOST = 10_000
_log = structlog.get_logger("schakel.portal")


class _Cancelled(Forbidden):
    """The person did not go on at the identity provider."""


class NoRole(Forbidden):
    """Somebody logged in who has no role here; `subject` is what the operator must enter to give one."""

    def __init__(self, subject: str) -> None:
        super().__init__(
            "who logged in has no role in this portal: the operator gives one (setting portal.people)",
            code="login-no-role",
        )
        self.subject = subject


class PortalLogin:
    """Handlers of the login of the portal."""

    def __init__(self, frame: Frame, board: Board | None) -> None:
        self._frame = frame
        self._board = board
        self._visitors = frame.visitors

    async def page(self, request: Request) -> Response:
        """The page with the button; who is logged in already goes on to the page that was wanted (`to`)."""
        workplace, to = self._workplace(), own_path(request.query_params.get("to", ""))
        if await self._visitors.find(request) is not None:
            return self._to(to)
        return self._login_page(request, "begin", workplace, to)

    async def begin(self, request: Request) -> Response:
        """The button: on to the identity provider."""
        workplace = self._workplace()
        self._visitors.from_here(request)
        form = await forms.read(request, _MOST)
        to = own_path(form.get("to", ""))
        logins = self._visitors.door.logins
        try:
            away = await logins.begin(spoken(request), to)
            address = await workplace.address(self._callback, away.id, away.login, away.language)
        except Exception as error:
            return self._stopped(request, workplace, as_outcome(error), to)
        response = _see(address)
        self._visitors.keep(response, away.secret, logins.login_seconds, away.id)
        return response

    async def callback(self, request: Request) -> Response:
        """The browser comes back: a session, once, or a page that says why not."""
        workplace = self._workplace()
        query = request.query_params
        state = query.get("state", "")
        away: Away | None = None
        try:
            if any(len(query.getlist(name)) > 1 for name in ("state", "code", "iss", "error")):
                raise PageLoginGone
            away = await self._visitors.door.logins.returned(state, self._visitors.secret(request, state))
            response = await self._logged_in(request, workplace, away)
        except Exception as error:
            response = self._stopped(request, workplace, as_outcome(error), away.return_to if away else "")
        if away is not None:
            self._visitors.drop(response, away.id)
        return response

    async def logout(self, request: Request) -> Response:
        """The button that ends the session (POST), and the page after it (GET)."""
        if request.method != "POST":
            return self._frame.page(request, "portal/logout", {}, await self._visitors.find(request))
        self._visitors.from_here(request)
        response = self._frame.to("/logout")
        if secret := self._visitors.secret(request):
            await self._visitors.form(request)
            if await self._visitors.door.logins.end(secret) is not None:
                _log.info("portal-logout")
            self._visitors.drop(response)
        return response

    async def _logged_in(self, request: Request, workplace: Workplace, away: Away) -> Response:
        query, door = request.query_params, self._visitors.door
        if not query.get("code"):
            if query.get("error") in _CANCELLED:
                raise _Cancelled("the person did not log in", code="login-cancelled")
            raise LoginWrong("the identity provider ended the login with an error", code="login-error")
        who = await workplace.person(query["code"], self._callback, away.login, query.get("iss", ""))
        if (known := door.people.get(who.subject)) is None:
            raise NoRole(who.subject)
        if self._board is not None:
            await self._board.logged_in(known.name or who.name, who.subject)
        await door.logins.end(self._visitors.secret(request))
        secret = await door.logins.open(who.subject, new_id(), who.name)
        _log.info("portal-login")
        response = self._to(away.return_to)
        self._visitors.keep(response, secret, door.logins.seconds)
        return response

    def _stopped(self, request: Request, workplace: Workplace, error: Outcome, to: str) -> Response:
        _log.warning("portal-login-refused", code=error.kind)
        status = 200 if isinstance(error, _Cancelled) else error.status
        subject = error.subject if isinstance(error, NoRole) else ""
        response = self._login_page(request, _kind(error), workplace, to, error.kind, status, subject)
        response.headers.update(error.headers)
        return response

    def _login_page(
        self,
        request: Request,
        kind: str,
        workplace: Workplace,
        to: str,
        code: str = "",
        status: int = 200,
        subject: str = "",
    ) -> Response:
        values = {"kind": kind, "to": to, "code": code, "subject": subject}
        return self._frame.page(request, "portal/login", values, status=status, leads_to=(workplace.origin,))

    def _workplace(self) -> Workplace:
        """Where people log in. Raises `NotFound` when nowhere."""
        found = self._visitors.door.workplace
        if found is None:
            raise NotFound("nobody can log in at this portal (setting portal.login)", code="login-off")
        return found

    @property
    def _callback(self) -> str:
        return f"{self._visitors.base}/callback"

    def _to(self, path: str) -> Response:
        """Go to the page of ours at `path`, by GET."""
        return self._frame.to(path.removeprefix("/portal") or "/")


def _kind(error: Outcome) -> str:
    """What the page says of an error."""
    match error:
        case PageLoginGone():
            return "gone"
        case _Cancelled():
            return "cancelled"
        case NoRole():
            return "no-role"
        case FacilityAway() | LoginWrong():
            return "away"
        case _:
            return "other" if error.status >= 500 else "gone"


def _see(address: str) -> Response:
    return Response(status_code=303, headers={"Location": address, **PRIVATE})
