"""Who is looking at the portal, whether that person may do this, and whether a form comes from a page of ours.

What somebody may do is read from the settings at each request; a session says only who it is.

Source: OWASP session management; Fetch Metadata Request Headers (Sec-Fetch-Site); RFC 6454 (Origin); RFC 6265bis,
section 4.1.3 (a cookie of this host alone).
"""

from __future__ import annotations

import hmac
import re
from collections.abc import Sequence
from dataclasses import replace
from urllib.parse import urlencode, urlsplit

from starlette.requests import Request
from starlette.responses import Response

from schakel.generic.identity.flows import csrf
from schakel.http.node import Node, PortalDoor
from schakel.http.portal import forms
from schakel.http.portal.forms import Form, Upload
from schakel.kernel.outcomes import Forbidden, Invalid, NotFound, Unauthenticated
from schakel.portal.people import Role, Visitor

__all__ = ["BASE", "Form", "ToLogin", "Upload", "Visitor", "Visitors", "own_path"]

BASE = "/portal"
_OWN = re.compile(r"/portal(/[A-Za-z0-9._~%!$&'()*+,;=:@/-]*)?(\?[A-Za-z0-9._~%!$&'()*+,;=:@/?-]*)?")
_MOST_PATH = 2000
_LOGIN_PAGES = frozenset({f"{BASE}/login", f"{BASE}/callback", f"{BASE}/logout"})
_HOST, _SECURE = "__Host-", "__Secure-"
_HELD, _FORM = "schakel.visitor", "schakel.form"


class ToLogin(Unauthenticated):
    """Nobody is logged in, and this page is opened in a browser: it is led to `address`, the login of the portal."""

    def __init__(self, message: str, address: str) -> None:
        super().__init__(message, code="login-needed")
        self.address = address


class Visitors:
    """The people at the portal of a node."""

    def __init__(self, node: Node) -> None:
        self._node = node
        self.base = f"{node.public_url}{BASE}"
        at = urlsplit(node.public_url)
        # With a path of its own the node may share the host with other programs, which get no cookie of ours.
        self._prefix = "" if at.scheme != "https" else _SECURE if at.path else _HOST

    async def greeted(self, request: Request) -> None:
        """Finds out who is logged in, so that the page can say so; nothing where there is no portal."""
        if self._node.portal is not None:
            await self.find(request)

    @property
    def door(self) -> PortalDoor:
        """What the node has for its portal. Raises `NotFound` when it has none."""
        if self._node.portal is None:
            raise NotFound("this node has no portal (setting portal)", code="portal-off")
        return self._node.portal

    async def find(self, request: Request) -> Visitor | None:
        """Who is logged in, with the rights of this moment; None when nobody is, or when the settings no longer name
        this person."""
        if _HELD not in request.scope:
            session = await self.door.logins.find(self.secret(request))
            known = None if session is None else self.door.people.get(session.subject)
            if session is not None and known is not None and not known.name:
                known = replace(known, name=session.name)
            request.scope[_HELD] = known
        return self.found(request)

    def found(self, request: Request) -> Visitor | None:
        """Who was found to be logged in by now, while this request was answered."""
        visitor: Visitor | None = request.scope.get(_HELD)
        return visitor

    async def may_read(self, request: Request) -> Visitor | None:
        """Who reads this page, None for somebody unknown where the board is public; raises as `required` does."""
        if self.door.public:
            return await self.find(request)
        return await self.required(request, "viewer")

    async def required(self, request: Request, role: Role, ura: str = "") -> Visitor:
        """Who does this, who has `role` for the organisation `ura` (for any at all when it is '').

        Raises `ToLogin` when nobody is logged in and a browser asks for a page, `Unauthenticated` for any other request
        without a session, and `Forbidden` naming the role that is missing.
        """
        return await self.one_of(request, (role,), ura)

    async def one_of(self, request: Request, roles: Sequence[Role], ura: str = "") -> Visitor:
        """Who does this, who has one of these roles; raises as `required` does."""
        visitor = await self.find(request)
        named = " or ".join(roles)
        if visitor is None:
            said = f"this needs a login as {named} (at {self.base}/login)"
            if request.method in ("GET", "HEAD") and "text/html" in request.headers.get("accept", "").lower():
                raise ToLogin(said, f"{self.base}/login?{urlencode({'to': _here(request)})}")
            raise Unauthenticated(said, code="login-needed")
        if not any(visitor.may(role, ura) for role in roles):
            where = f" for the organisation {ura}" if ura and {"declarer", "reader"} & set(roles) else ""
            raise Forbidden(
                f"this needs the role {named}{where}, which you do not have: the operator gives it "
                "(setting portal.people)",
                code="role-missing",
            )
        return visitor

    async def form(self, request: Request) -> Form:
        """The form that a page of ours sent in the session of this browser.

        Raises `Forbidden` when it comes from elsewhere (`form-elsewhere`) or is not one of this session
        (`form-foreign`); else as `forms.read` does.
        """
        if (read := request.scope.get(_FORM)) is not None:
            held: Form = read
            return held
        self.from_here(request)
        form = await forms.read(request, self.door.upload, "portal.upload")
        secret = self.secret(request)
        if not secret or not hmac.compare_digest(form.get("csrf", "").encode(), csrf(secret).encode()):
            raise Forbidden(
                "this form is not one of this session: open the page again and send it from there",
                code="form-foreign",
            )
        request.scope[_FORM] = form
        return form

    def csrf_token(self, request: Request) -> str:
        """What each form of a page carries in its field `csrf`; '' when this browser has no session."""
        secret = self.secret(request)
        return csrf(secret) if secret else ""

    def from_here(self, request: Request) -> None:
        """Raises `Forbidden` when a browser says that another site sent this."""
        site = request.headers.get("sec-fetch-site", "same-origin")
        origin = request.headers.get("origin", "null")
        own = urlsplit(self.base)
        # A page with Referrer-Policy no-referrer sends its own forms with the origin null, and only a token tells.
        if site != "same-origin" or origin not in ("null", f"{own.scheme}://{own.netloc}"):
            raise Forbidden(
                f"this form was sent from another site: open {self.base}/ and send it from there",
                code="form-elsewhere",
            )

    # -- cookies -----------------------------------------------------------------------------------------------

    def secret(self, request: Request, login: str = "") -> str:
        """What this browser has for its session, or for the login under way that is named; '' without."""
        return request.cookies.get(self._cookie(login), "")

    def keep(self, response: Response, secret: str, seconds: int, login: str = "") -> None:
        """Gives the browser a secret: of its session, or of a login under way."""
        # Lax: the browser comes from the identity provider, and a Strict cookie would stay behind on that way.
        response.set_cookie(
            self._cookie(login),
            secret,
            max_age=seconds,
            path="/" if self._prefix == _HOST else urlsplit(self.base).path,
            secure=bool(self._prefix),
            httponly=True,
            samesite="lax",
        )

    def drop(self, response: Response, login: str = "") -> None:
        """Takes that secret from the browser."""
        self.keep(response, "", 0, login)

    def _cookie(self, login: str) -> str:
        """One name for each login, so that two windows do not disturb each other."""
        return f"{self._prefix}schakel-portal-{login}" if login else f"{self._prefix}schakel-portal"


def own_path(path: str) -> str:
    """A path of the portal with its query, as it may follow the address of the node: '' for the portal itself.

    Raises `Invalid` for what leads anywhere else.
    """
    if path in ("", BASE):
        return ""
    parts = path.partition("?")[0].split("/")
    if (
        len(path) > _MOST_PATH
        or not _OWN.fullmatch(path)
        or {".", "..", ""} & set(parts[1:-1])
        or parts[-1] in (".", "..")
        or "%2e" in path.lower()
        or "%2f" in path.lower()
        or "%5c" in path.lower()
    ):
        raise Invalid("to is no path of this portal (/portal/...)", code="return-elsewhere", expression="to")
    return "" if path.partition("?")[0] in _LOGIN_PAGES else path


def _here(request: Request) -> str:
    """The page that is asked, as `own_path` takes it."""
    query = request.url.query
    path = request.scope["path"]
    try:
        return own_path(f"{path}?{query}" if query else path) or f"{BASE}/"
    except Invalid:
        return f"{BASE}/"
