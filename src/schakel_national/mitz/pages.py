"""The page where a patient sets choices, per category of data or per provider, for each category that asks."""

from __future__ import annotations

import hmac
import secrets
import time
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import PlainTextResponse, Response
from starlette.routing import Route
from starlette.types import ASGIApp

from schakel.kernel.outcomes import Invalid
from schakel.kernel.values import Bsn
from schakel_national.mitz.register import HOLDER_CATEGORIES, REQUESTER_CATEGORIES, Register
from schakel_national.mitz.systems import Told, register, told
from schakel_national.mitz.texts import TEXTS, wanted
from schakel_national.pages import PRIVATE, Pages, form

PAGE_NAME = "mitz-page"
_COOKIE = "mitz"
_SESSION_SECONDS = 900
_MOST_SESSIONS = 1000
_HEADERS = {
    **PRIVATE,
    "Content-Security-Policy": f"{PRIVATE['Content-Security-Policy']}; form-action 'self'",
}


@dataclass(frozen=True, slots=True)
class _Session:
    patient: str
    secret: str
    until: float


def page_application(folder: Path, address: str) -> ASGIApp:
    """The facility for people. Raises `Invalid` when its configuration is not right."""
    known = told(folder)
    pages = _Pages(known, register(folder, known))
    return Starlette(
        routes=[
            Route("/health/ready", pages.ready),
            Route("/", pages.show),
            Route("/login", pages.login, methods=["POST"]),
            Route("/logout", pages.logout, methods=["POST"]),
            Route("/choices", pages.choose, methods=["POST"]),
            Route("/style.css", pages.pages.style),
        ]
    )


class _Pages:
    def __init__(self, known: Told, kept: Register) -> None:
        self._register = kept
        self._holders = (
            *((code, "") for code in HOLDER_CATEGORIES),
            *((ura, name) for ura, name, _ in known.providers),
        )
        self._sessions: dict[str, _Session] = {}
        self.pages = Pages("schakel_national.mitz", TEXTS, _HEADERS)

    async def ready(self, request: Request) -> Response:
        """Whether it answers."""
        return PlainTextResponse("ready")

    async def show(self, request: Request) -> Response:
        """The choices of who logged in, or the login form."""
        session = self._session(request)
        if session is None:
            return self._page(request, "login", wrong=False, bsn="")
        return self._choices(request, session, request.query_params.get("saved") == "1")

    async def login(self, request: Request) -> Response:
        """The login form: a BSN."""
        typed = (await form(request)).get("bsn", "").strip()
        try:
            patient = Bsn(typed)
        except Invalid:
            return self._page(request, "login", status=400, wrong=True, bsn=typed)
        if len(self._sessions) >= _MOST_SESSIONS:
            self._sessions.pop(next(iter(self._sessions)))
        name = secrets.token_urlsafe(24)
        self._sessions[name] = _Session(
            str(patient), secrets.token_urlsafe(24), time.monotonic() + _SESSION_SECONDS
        )
        response = _to("/")
        response.set_cookie(_COOKIE, name, httponly=True, samesite="strict", max_age=_SESSION_SECONDS)
        return response

    async def logout(self, request: Request) -> Response:
        """Ends the session."""
        self._sessions.pop(request.cookies.get(_COOKIE, ""), None)
        response = _to("/")
        response.delete_cookie(_COOKIE)
        return response

    async def choose(self, request: Request) -> Response:
        """The form with choices, all of them at once."""
        session, posted = self._session(request), await form(request)
        if session is None or not hmac.compare_digest(posted.get("secret", ""), session.secret):
            return self._page(request, "login", status=403, wrong=False, bsn="", failed=True)
        words: Mapping[str, bool | None] = {"yes": True, "no": False, "none": None}
        for holder, _ in self._holders:
            wanted_here = {
                requester: words[posted[f"{holder}-{requester}"]]
                for requester in REQUESTER_CATEGORIES
                if posted.get(f"{holder}-{requester}") in words
            }
            self._register.choose(session.patient, holder, wanted_here)
        return _to("/?saved=1")

    def _choices(self, request: Request, session: _Session, saved: bool) -> Response:
        made = {
            f"{one.holder}-{one.requester}": "yes" if one.allowed else "no"
            for one in self._register.choices(session.patient)
        }
        return self._page(
            request,
            "choices",
            holders=self._holders,
            requesters=list(REQUESTER_CATEGORIES),
            made=made,
            secret=session.secret,
            saved=saved,
        )

    def _session(self, request: Request) -> _Session | None:
        name = request.cookies.get(_COOKIE, "")
        session = self._sessions.get(name)
        if session is not None and session.until < time.monotonic():
            del self._sessions[name]
            return None
        return session

    def _page(self, request: Request, template: str, status: int = 200, **values: object) -> Response:
        language = wanted(request.headers.get("accept-language", ""))
        values.setdefault("failed", False)
        return self.pages.page(template, status, language, **values)


def _to(where: str) -> Response:
    return Response(status_code=303, headers={"Location": where, **_HEADERS})
