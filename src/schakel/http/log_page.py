"""The page on which a patient reads the log of one organisation, and the login before it.

    page -> (no session) -> login -> broker -> callback -> session -> page -> logout

A program of the patient may show the page too, with its token; a browser has a session of its own, in a cookie that is
sent to this page alone. The log is read by what the broker said, never by what a browser sends. Whether the
organisation knows the person is not asked: who has no events reads that there are none.

Source: OpenID Connect Core 1.0 section 3.1, RFC 6265 section 4.1.2, RFC 9700 section 4.
"""

from __future__ import annotations

import hmac
from dataclasses import dataclass, replace
from typing import Literal
from urllib.parse import urlencode, urlsplit

from starlette.requests import Request
from starlette.responses import Response

from schakel.facilities import FacilityAway
from schakel.fhir.search import encode, pairs_of
from schakel.generic.identity.flows import Language, csrf
from schakel.generic.identity.oidc import LoginWrong
from schakel.generic.identity.page_logins import Away, PageLoginGone
from schakel.generic.logging import Event, Logged, Wanted, place
from schakel.http import log_query
from schakel.http.consent import own_event
from schakel.http.errors import as_outcome, problem
from schakel.http.log import patient_grant, patient_reading
from schakel.http.node import LogPageDoor, Node, OrganisationServices
from schakel.http.peer import caller
from schakel.http.reading import read_form
from schakel.kernel.clock import AMSTERDAM, instant, new_id, now
from schakel.kernel.outcomes import Forbidden, Invalid, NotFound, Outcome, Unauthenticated
from schakel.patient_access.door import PURPOSE
from schakel.patient_access.own_log import REVIEW, questions, was_emergency
from schakel.portal.pages import PRIVATE, Pages, preferred_language

_QUESTIONS = 25
_MOST_QUESTIONS = 100
_MOST_EVENTS = 500
_MOST_REVIEWS = 1000
_CANCELLED = {"access_denied", "login_required", "interaction_required"}


class _Cancelled(Forbidden):
    """The person did not go on at the login service."""


@dataclass(frozen=True, slots=True)
class _Form:
    """What the page of a session says: until when it lasts, and what the form that ends it carries."""

    until: str = ""
    csrf: str = ""


class LogPage:
    """Handlers of the page, for every organisation of this node."""

    def __init__(self, node: Node, pages: Pages) -> None:
        self._node = node
        self._pages = pages

    async def page(self, request: Request) -> Response:
        """Who used the patient's data, in Dutch or English: with the token of a program, or in a browser after a login,
        to which the page leads."""
        organisation: OrganisationServices | None = None
        try:
            organisation = self._organisation(request)
            door = organisation.log_page
            if "authorization" in request.headers or door is None or not _is_browser(request):
                grant = await patient_grant(self._node, organisation, request)
                reading = patient_reading(
                    organisation, grant, f"log?{request.url.query}", self._from(request)
                )
                return await self._read(request, organisation, reading, _Form())
            secret = request.cookies.get(self._cookie(organisation), "")
            session = await door.logins.find(secret)
            if session is None:
                return self._login_page(request, organisation, "expired" if secret else "begin")
            reading = self._event(
                request, organisation, "log", session.id, session.subject, f"GET log?{request.url.query}"
            )
            form = _Form(f"{session.until.astimezone(AMSTERDAM):%H:%M}", csrf(secret))
            return await self._read(request, organisation, reading, form)
        except Exception as error:
            return self._stopped(request, organisation, as_outcome(error))

    async def login(self, request: Request) -> Response:
        """The button of the page before the login: on to the broker. Opened by itself, as from a history, it leads to
        the page."""
        organisation: OrganisationServices | None = None
        try:
            organisation = self._organisation(request)
            door = _door(organisation)
            if request.method != "POST":
                return _to(self._base(organisation))
            form = await read_form(request)
            away = await door.logins.begin(_language(request, form.get("lang", "")))
            address = await door.broker.address(
                self._callback(organisation), away.id, away.login, away.language
            )
        except Exception as error:
            return self._stopped(request, organisation, as_outcome(error))
        response = _to(address)
        self._keep(
            response,
            organisation,
            self._cookie(organisation, away.id),
            away.secret,
            door.logins.login_seconds,
        )
        return response

    async def callback(self, request: Request) -> Response:
        """The browser comes back from the broker: a session, once, or a page that says why not."""
        organisation: OrganisationServices | None = None
        away: Away | None = None
        try:
            organisation = self._organisation(request)
            door = _door(organisation)
            query = request.query_params
            state = query.get("state", "")
            if len(query.getlist("state")) != 1 or len(query.getlist("code")) > 1:
                raise PageLoginGone
            away = await door.logins.returned(
                state, request.cookies.get(self._cookie(organisation, state), "")
            )
            response = await self._logged_in(request, organisation, door, away)
        except Exception as error:
            outcome = as_outcome(error)
            if organisation is not None and away is not None:
                outcome = await self._noted(request, organisation, outcome)
            language = away.language if away else None
            response = self._stopped(request, organisation, outcome, language)
        if organisation is not None and away is not None:
            self._drop(response, organisation, self._cookie(organisation, away.id))
        return response

    async def logout(self, request: Request) -> Response:
        """The button of the page that ends the session (POST), and the page that says that it has ended."""
        organisation: OrganisationServices | None = None
        try:
            organisation = self._organisation(request)
            door = _door(organisation)
            if request.method != "POST":
                return self._login_page(request, organisation, "ended")
            secret = request.cookies.get(self._cookie(organisation), "")
            form = await read_form(request)
            session = await door.logins.find(secret)
            if session is not None:
                if not hmac.compare_digest(form.get("csrf", "").encode(), csrf(secret).encode()):
                    raise Forbidden("this form is not one of this session", code="form-foreign")
                await door.logins.end(secret)
                event = self._event(request, organisation, "logout", session.id, session.subject)
                await organisation.log.write(event)
            language = _language(request, form.get("lang", ""))
        except Exception as error:
            return self._stopped(request, organisation, as_outcome(error))
        response = _to(f"{self._base(organisation)}/logout?{urlencode({'lang': language})}")
        self._drop(response, organisation, self._cookie(organisation))
        return response

    # -- the list ----------------------------------------------------------------------------------------------

    async def _read(
        self, request: Request, organisation: OrganisationServices, reading: Event, form: _Form
    ) -> Response:
        """The list of the patient of `reading`, which is logged first."""
        query, patient = request.url.query, reading.patient
        asked = log_query.read(query, patient, _QUESTIONS)
        count = min(asked.count, _MOST_QUESTIONS)
        await organisation.log.write(reading)
        # What is logged from now on would move the questions of the pages that follow.
        moment = now()
        found = await organisation.log.questions(asked.wanted, count + 1, _MOST_EVENTS)
        page = found[:count]
        reviews: list[Logged] = []
        if any(map(was_emergency, page)):
            wanted = Wanted(patient=patient, kind=REVIEW)
            reviews = await organisation.log.search(wanted, _MOST_REVIEWS)
        shown = questions(page, patient, reviews, _MOST_EVENTS)
        language = _language(request)
        pairs = [(name, value) for name, value in pairs_of(query) if name not in ("lang", "_page")]
        older = ""
        if len(found) > count:
            until = [] if asked.wanted.after else [("date", f"le{instant(moment)}")]
            following = [*pairs, *until, ("lang", language), ("_page", place(page[-1][0]))]
            older = f"{self._base(organisation)}?{encode(following)}"
        values = {
            "holder": organisation.name,
            "questions": shown,
            "nobody": asked.wanted.after is None
            and not older
            and all(one.own and not one.party for one in shown),
            "older": older,
            "newest": "" if asked.wanted.after is None else f"{self._base(organisation)}?lang={language}",
            "until": form.until,
            "csrf": form.csrf,
            "action": f"{self._base(organisation)}/logout",
            "other_language": self._in_other_language(organisation, request, language),
        }
        return self._pages.render("log", language, values)

    # -- the login ---------------------------------------------------------------------------------------------

    async def _logged_in(
        self, request: Request, organisation: OrganisationServices, door: LogPageDoor, away: Away
    ) -> Response:
        query = request.query_params
        if not query.get("code"):
            if query.get("error") in _CANCELLED:
                raise _Cancelled("the person did not log in", code="login-cancelled")
            raise LoginWrong("the login service ended the login with an error", code="login-error")
        person = await door.broker.person(query["code"], self._callback(organisation), away.login)
        session = new_id()
        # Written down first: a login that the log does not have is none.
        event = self._event(request, organisation, "login", session, person.bsn)
        await organisation.log.write(event)
        cookie = self._cookie(organisation)
        await door.logins.end(request.cookies.get(cookie, ""))
        secret = await door.logins.open(person.bsn, session)
        response = _to(f"{self._base(organisation)}?{urlencode({'lang': away.language})}")
        self._keep(response, organisation, cookie, secret, door.logins.seconds)
        return response

    async def _noted(self, request: Request, organisation: OrganisationServices, error: Outcome) -> Outcome:
        """Writes down that somebody did not get in; what to tell that person."""
        try:
            event = self._event(request, organisation, "login", "", "")
            outcome: Literal["4", "8"] = "8" if error.status >= 500 else "4"
            await organisation.log.write(replace(event, outcome=outcome, reason=error.kind))
        except Outcome as away:
            return as_outcome(away)
        return error

    def _login_page(
        self,
        request: Request,
        organisation: OrganisationServices,
        kind: str,
        *,
        status: int = 200,
        code: str = "",
        language: Language | None = None,
    ) -> Response:
        """The page before the login, or after it did not come to one. Raises `NotFound` when nobody can log in."""
        door = _door(organisation)
        language = language or _language(request)
        values = {
            "holder": organisation.name,
            "kind": kind,
            "code": code,
            "minutes": door.logins.seconds // 60,
            "action": f"{self._base(organisation)}/login",
            "other_language": self._in_other_language(organisation, request, language),
        }
        return self._pages.render(
            "log_login", language, values, status=status, leads_to=(door.broker.origin,)
        )

    def _stopped(
        self,
        request: Request,
        organisation: OrganisationServices | None,
        error: Outcome,
        language: Language | None = None,
    ) -> Response:
        """What went wrong: a page for people, a problem document for programs."""
        if not _is_browser(request):
            return problem(error)
        if organisation is None or organisation.log_page is None:
            nothing = isinstance(error, NotFound | Unauthenticated)
            spoken = language or _language(request)
            values = {
                "holder": organisation.name if organisation else "",
                "kind": "missing" if nothing else _kind(error),
                "code": error.kind,
                "minutes": 0,
                "action": "",
                "other_language": "",
            }
            response = self._pages.render("log_login", spoken, values, status=error.status)
            response.headers.update(error.headers)
            return response
        return self._login_page(
            request,
            organisation,
            _kind(error),
            status=200 if isinstance(error, _Cancelled) else error.status,
            code=error.kind,
            language=language,
        )

    def _event(
        self,
        request: Request,
        organisation: OrganisationServices,
        kind: Literal["log", "login", "logout"],
        session: str,
        patient: str,
        query: str = "",
    ) -> Event:
        """What a patient did in a session here. All that the log has of one session on one day is one question, so that
        someone who looks often still sees the others first."""
        return own_event(
            organisation,
            kind,
            "R" if kind == "log" else "E",
            patient=patient,
            purpose=PURPOSE,
            token=session,
            correlation=session,
            query=query,
            network_address=self._from(request),
        )

    def _from(self, request: Request) -> str:
        """Where the caller was seen."""
        return caller(request, self._node.public_url).network_address

    # -- addresses and cookies -----------------------------------------------------------------------------------

    def _organisation(self, request: Request) -> OrganisationServices:
        return self._node.organisation(request.path_params["organisation"])

    def _base(self, organisation: OrganisationServices) -> str:
        return f"{self._node.public_url}/{organisation.slug}/log"

    def _callback(self, organisation: OrganisationServices) -> str:
        return f"{self._base(organisation)}/callback"

    def _in_other_language(
        self, organisation: OrganisationServices, request: Request, language: Language
    ) -> str:
        """The same page in the other language; after an answer that cannot be asked for again, the first one."""
        other = ("lang", "en" if language == "nl" else "nl")
        path = request.url.path.rpartition("/")[2]
        if path == "logout":
            return f"{self._base(organisation)}/logout?{encode([other])}"
        kept = pairs_of(request.url.query) if path == "log" else []
        return f"{self._base(organisation)}?{encode([*(p for p in kept if p[0] != 'lang'), other])}"

    def _cookie(self, organisation: OrganisationServices, login: str = "") -> str:
        """The name of the cookie of a session, or of a login: one for each, so that two windows do not disturb each
        other."""
        prefix = "__Secure-" if self._base(organisation).startswith("https:") else ""
        return f"{prefix}schakel-log-{login}" if login else f"{prefix}schakel-log"

    def _keep(
        self, response: Response, organisation: OrganisationServices, name: str, secret: str, seconds: int
    ) -> None:
        # Lax: the browser comes from the broker, and a Strict cookie would stay behind on that way.
        base = self._base(organisation)
        response.set_cookie(
            name,
            secret,
            max_age=seconds,
            path=urlsplit(base).path,
            secure=base.startswith("https:"),
            httponly=True,
            samesite="lax",
        )

    def _drop(self, response: Response, organisation: OrganisationServices, name: str) -> None:
        base = self._base(organisation)
        response.delete_cookie(
            name,
            path=urlsplit(base).path,
            secure=base.startswith("https:"),
            httponly=True,
            samesite="lax",
        )


def _door(organisation: OrganisationServices) -> LogPageDoor:
    """Where patients of an organisation log in for the page. Raises `NotFound` when nowhere."""
    if organisation.log_page is None:
        raise NotFound("patients cannot log in at this node (setting medmij.broker)", code="log-page-off")
    return organisation.log_page


def _kind(error: Outcome) -> str:
    """What the page says of an error."""
    if isinstance(error, PageLoginGone):
        return "gone"
    if isinstance(error, _Cancelled):
        return "cancelled"
    if isinstance(error, FacilityAway):
        return "away"
    if isinstance(error, LoginWrong):
        return "level" if error.kind == "login-level" else "away"
    return "wrong" if isinstance(error, Invalid | Forbidden) or error.status < 500 else "other"


def _is_browser(request: Request) -> bool:
    """Whether the caller shows pages to a person."""
    return "text/html" in request.headers.get("accept", "").lower()


def _language(request: Request, chosen: str = "") -> Language:
    """The language that the person chose, or else the one that the browser prefers."""
    found = chosen or request.query_params.get("lang", "")
    if found not in ("nl", "en"):
        found = preferred_language(request.headers.get("accept-language", ""))
    return "en" if found == "en" else "nl"


def _to(address: str) -> Response:
    """Go there by GET."""
    return Response(status_code=303, headers={"Location": address, **PRIVATE})
