"""The frame around every page of the portal: language, navigation, the visitor, headers, and errors as pages.

    frame = Frame(pages, node)
    Route("/portal/trends", frame.shown(trends.page), methods=["GET"])      # a handler: Request -> Response
    return frame.page(request, "portal/trends", {"runs": runs}, visitor)    # what that handler returns

A template extends `portal/layout.html` and has, beside what its handler gives: `portal` (what stands before every
address: `{{ portal }}/items/x`), `language`, `region` (its name, '' when it has none), `visitor` (None for nobody) and
`csrf`, which every form carries in a field of that name ('' without a session).
"""

from __future__ import annotations

from collections.abc import Mapping
from contextlib import suppress
from typing import Literal

from starlette.requests import Request
from starlette.responses import Response

from schakel.fhir.search import encode, pairs_of
from schakel.http.errors import as_outcome, problem
from schakel.http.node import Node
from schakel.http.portal.visitors import ToLogin, Visitors
from schakel.http.reading import Handler
from schakel.kernel.outcomes import Invalid, NotFound, Outcome
from schakel.portal.pages import PRIVATE, Pages, preferred_language
from schakel.portal.people import Visitor
from schakel.roadmap.model import Language

POLICY = (
    "default-src 'none'; style-src 'self'; img-src 'self'; base-uri 'none'; frame-ancestors 'none'; "
    "form-action 'self'"
)
"""Nothing is fetched from elsewhere and nothing runs; a form comes back to us."""

COOKIE = "schakel-lang"
_YEAR = 365 * 24 * 3600


class Frame:
    """Makes the pages of the portal of a node."""

    def __init__(self, pages: Pages, node: Node) -> None:
        self._pages = pages
        self._node = node
        self.portal = f"{pages.base}/portal"
        self.visitors = Visitors(node)
        self.present: frozenset[str] = frozenset()
        """The parts of the portal that the menu shows."""

    def page(
        self,
        request: Request,
        template: str,
        values: Mapping[str, object],
        visitor: Visitor | None = None,
        status: int = 200,
        leads_to: tuple[str, ...] = (),
    ) -> Response:
        """The page that `template` makes of `values`, for `visitor` (who was found to be logged in, when not given), in
        the language of the request; its forms may also lead to the origins `leads_to`."""
        language = spoken(request)
        portal = self._node.portal
        given = {
            "csrf": self.visitors.csrf_token(request),
            "trail": (),
            **values,
            "present": self.present,
            "login": portal is not None and portal.workplace is not None,
            "portal": self.portal,
            "here": _section(request),
            "region": self._node.region,
            "visitor": visitor or self.visitors.found(request),
            "other_language": self._in_other_language(request, language),
        }
        response = self._pages.render(
            template, language, given, status=status, policy=POLICY, leads_to=leads_to
        )
        if request.query_params.get("lang") == language:
            response.set_cookie(
                COOKIE,
                language,
                max_age=_YEAR,
                path=f"{self.portal}/",
                secure=self._node.public_url.startswith("https:"),
                httponly=True,
                samesite="lax",
            )
        return response

    def shown(self, handler: Handler) -> Handler:
        """`handler` with its errors as pages: problem documents for callers that do not show pages."""

        async def guarded(request: Request) -> Response:
            try:
                return await handler(request)
            except Exception as error:
                return self.error(request, as_outcome(error))

        guarded.__doc__ = handler.__doc__
        return guarded

    def error(self, request: Request, error: Outcome, visitor: Visitor | None = None) -> Response:
        """What went wrong, in the frame; whoever must log in first is led there."""
        if isinstance(error, ToLogin):
            return Response(status_code=303, headers={"Location": error.address, **PRIVATE})
        if "text/html" not in request.headers.get("accept", "").lower():
            return problem(error)
        values = {
            "kind": _kind(error),
            "code": error.kind,
            "message": error.message if isinstance(error, Invalid) else "",
        }
        response = self.page(request, "portal/error", values, visitor, error.status)
        response.headers.update(error.headers)
        return response

    def to(self, path: str) -> Response:
        """Go on to the page at `path` below `/portal` by GET."""
        return Response(status_code=303, headers={"Location": f"{self.portal}{path}", **PRIVATE})

    async def start(self, request: Request) -> Response:
        """The way from the bare address of a node to the portal."""
        return self.to("/")

    async def about(self, request: Request) -> Response:
        """What the portal is, what it is meant for, and for whom it works."""
        return self.page(request, "portal/about", {})

    async def missing(self, request: Request) -> Response:
        """No page. Raises `NotFound`."""
        raise NotFound("there is no such page in the portal", code="page-unknown")

    def _in_other_language(self, request: Request, language: Language) -> str:
        kept: list[tuple[str, str]] = []
        with suppress(Outcome):  # A query that cannot be read is not kept.
            kept = [one for one in pairs_of(request.url.query) if one[0] != "lang"]
        other = ("lang", "en" if language == "nl" else "nl")
        return f"{self._pages.base}{request.url.path}?{encode([*kept, other])}"


def spoken(request: Request) -> Language:
    """The language that the visitor chose, now or before, or else the one that the browser prefers."""
    for chosen in (request.query_params.get("lang"), request.cookies.get(COOKIE)):
        if chosen == "nl" or chosen == "en":
            return "nl" if chosen == "nl" else "en"
    return "en" if preferred_language(request.headers.get("accept-language", "")) == "en" else "nl"


def _section(request: Request) -> str:
    """The part of the portal that a page is in: 'agenda' of `/portal/agenda/2026`, '' for the first page."""
    return request.url.path.removeprefix("/portal").strip("/").partition("/")[0]


def _kind(error: Outcome) -> Literal["missing", "login", "forbidden", "wrong", "away", "fault"]:
    """What the page says of an error."""
    match error.status:
        case 404 | 410:
            return "missing"
        case 401:
            return "login"
        case 403:
            return "forbidden"
        case 502 | 503 | 504:
            return "away"
        case status:
            return "fault" if status >= 500 else "wrong"
