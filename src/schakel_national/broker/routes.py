"""The broker's addresses and its login page."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from urllib.parse import parse_qsl, urlencode

from jinja2 import Environment, PackageLoader, StrictUndefined
from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import JSONResponse, Response
from starlette.routing import Route
from starlette.types import ASGIApp

from schakel.kernel.outcomes import Invalid
from schakel.kernel.values import Bsn
from schakel_national import configuration
from schakel_national.broker.provider import LEVEL, Asked, Client, Provider, Refused
from schakel_national.broker.texts import TEXTS, wanted

NAME = "broker"
_MOST_BYTES = 20_000
_PRIVATE = {
    "Cache-Control": "no-store",
    "Referrer-Policy": "no-referrer",
    "Content-Security-Policy": "default-src 'none'; style-src 'self'; base-uri 'none'; frame-ancestors 'none'",
    "X-Content-Type-Options": "nosniff",
}


def application(folder: Path, address: str) -> ASGIApp:
    """The facility at `address`. Raises `Invalid` when its configuration is not right."""
    key = configuration.own_key(folder, NAME)
    clients, level = configuration.read(
        folder / f"{NAME}.toml",
        lambda table: (
            {one.id: one for one in map(Client.parse, table["clients"])},
            str(table.get("loa_authn", LEVEL)),
        ),
    )
    handlers = _Handlers(Provider(address, key, clients, level))
    return Starlette(
        routes=[
            Route("/health/ready", handlers.jwks),
            Route("/.well-known/openid-configuration", handlers.metadata),
            Route("/jwks", handlers.jwks),
            Route("/authorize", handlers.authorize),
            Route("/login", handlers.login, methods=["POST"]),
            Route("/token", handlers.token, methods=["POST"]),
            Route("/userinfo", handlers.userinfo),
            Route("/style.css", handlers.style),
        ]
    )


class _Handlers:
    def __init__(self, provider: Provider) -> None:
        self._provider = provider
        loader = PackageLoader("schakel_national.broker", "templates")
        self._pages = Environment(
            loader=loader, autoescape=True, undefined=StrictUndefined, trim_blocks=True, lstrip_blocks=True
        )

    async def metadata(self, request: Request) -> Response:
        """What the broker offers and where."""
        return JSONResponse(self._provider.metadata())

    async def jwks(self, request: Request) -> Response:
        """The broker's public keys."""
        return JSONResponse(self._provider.jwks())

    async def authorize(self, request: Request) -> Response:
        """A client sends a person: the login page, or back with an error."""
        query = dict(request.query_params)
        language = wanted(query.get("ui_locales", ""))
        try:
            _, address = self._provider.registered(query)
        except Refused as refusal:
            return self._page("error", 400, language, message=refusal.message)
        try:
            waiting = self._provider.ask(query)
        except Refused as refusal:
            return _back(
                address, query.get("state", ""), error=refusal.word, error_description=refusal.message
            )
        return self._page("login", 200, language, waiting=waiting, wrong=False, bsn="")

    async def login(self, request: Request) -> Response:
        """The login page's form: a BSN, or the button that cancels."""
        form = await _form(request)
        waiting = form.get("waiting", "")
        asked: Asked | None = self._provider.waiting.see(waiting)
        if asked is None:
            return self._page("error", 400, "nl", message="this login took too long, or was used before")
        if form.get("action") == "cancel":
            self._provider.waiting.take(waiting)
            said = "Authentication cancelled"
            return _back(asked.redirect_uri, asked.state, error="login_required", error_description=said)
        try:
            bsn = Bsn(form.get("bsn", "").strip())
        except Invalid:
            typed = form.get("bsn", "")
            return self._page("login", 400, asked.language, waiting=waiting, wrong=True, bsn=typed)
        self._provider.waiting.take(waiting)
        return _back(asked.redirect_uri, asked.state, code=self._provider.log_in(asked, bsn))

    async def token(self, request: Request) -> Response:
        """The token endpoint."""
        try:
            return JSONResponse(self._provider.tokens(await _form(request)), headers=_PRIVATE)
        except Refused as refusal:
            body = {"error": refusal.word, "error_description": refusal.message}
            return JSONResponse(body, 401 if refusal.word == "invalid_client" else 400)

    async def userinfo(self, request: Request) -> Response:
        """Who logged in."""
        scheme, _, token = request.headers.get("authorization", "").partition(" ")
        try:
            sealed = self._provider.userinfo(token.strip() if scheme.lower() == "bearer" else "")
        except Refused as refusal:
            headers = {"WWW-Authenticate": f'Bearer error="{refusal.word}"'}
            return JSONResponse({"error": refusal.word}, 401, headers)
        return Response(sealed, headers=_PRIVATE, media_type="application/jwt")

    async def style(self, request: Request) -> Response:
        """The stylesheet of the pages."""
        text, _, _ = self._pages.loader.get_source(self._pages, "style.css")  # type: ignore[union-attr]
        return Response(text, headers=_PRIVATE, media_type="text/css")

    def _page(self, name: str, status: int, language: str, **values: object) -> Response:
        page = self._pages.get_template(f"{name}.html")
        return Response(
            page.render(language=language, text=TEXTS[language], **values), status, _PRIVATE, "text/html"
        )


def _back(address: str, state: str, **members: str) -> Response:
    query = urlencode({**members, "state": state} if state else members)
    where = f"{address}{'&' if '?' in address else '?'}{query}"
    return Response(status_code=303, headers={"Location": where, **_PRIVATE})


async def _form(request: Request) -> Mapping[str, str]:
    """The form in the body; empty when it is none, or too large."""
    body = b""
    async for chunk in request.stream():
        body += chunk
        if len(body) > _MOST_BYTES:
            return {}
    try:
        return dict(parse_qsl(body.decode("ascii"), keep_blank_values=True))
    except ValueError:
        return {}
