"""Dezi's addresses and its login page."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import JSONResponse, Response
from starlette.routing import Route
from starlette.types import ASGIApp

from schakel.fhir import json
from schakel.kernel.outcomes import Invalid
from schakel_national import configuration
from schakel_national.dezi.provider import HIGH, Login, Professional, Provider
from schakel_national.oidc import Asked, Client, Endpoints, Refused
from schakel_national.pages import PRIVATE, Pages, back, form

NAME = "dezi"
_MOST_BYTES = 20_000
TEXTS: Mapping[str, Mapping[str, str]] = {
    "nl": {
        "title": "Inloggen zorgverlener (oefening)",
        "about": "Deze pagina neemt de plaats in van Dezi, om te oefenen. Kies wie u bent en voor wie u werkt.",
        "who": "Zorgverlener en organisatie",
        "login": "Inloggen",
        "cancel": "Annuleren",
        "stopped": "Inloggen kan nu niet. Ga terug en begin opnieuw.",
        "for": "voor",
    },
    "en": {
        "title": "Log in as a professional (practice)",
        "about": "This page takes the place of Dezi, for practice. Choose who you are and for whom you work.",
        "who": "Professional and organisation",
        "login": "Log in",
        "cancel": "Cancel",
        "stopped": "You cannot log in now. Go back and begin again.",
        "for": "for",
    },
}


def application(folder: Path, address: str) -> ASGIApp:
    """The facility at `address`; without a configuration it knows nobody. Raises `Invalid` when that is not right."""
    key = configuration.own_key(folder, NAME)
    path = folder / f"{NAME}.toml"
    if path.exists():
        provider = configuration.read(path, lambda table: _provider(address, key, table))
    else:
        provider = _provider(address, key, {})
    handlers = _Handlers(provider)
    return Starlette(
        routes=[
            Route("/health/ready", handlers.jwks),
            Route("/.well-known/openid-configuration", handlers.metadata),
            Route("/jwks.json", handlers.jwks),
            Route("/authorize", handlers.authorize),
            Route("/login", handlers.login, methods=["POST"]),
            Route("/token", handlers.token, methods=["POST"]),
            Route("/userinfo", handlers.userinfo),
            Route("/status/v1/verklaring/{number}", handlers.status),
            Route("/withdrawals", handlers.withdraw, methods=["POST"]),
            Route("/style.css", handlers.pages.style),
        ]
    )


def _provider(address: str, key: Any, table: Mapping[str, Any]) -> Provider:
    form = table.get("form", "jwe")
    if form not in ("jwe", "jws"):
        raise ValueError(f"form is {form!r}: jwe or jws is needed")
    clients = {one.id: one for one in map(Client.parse, table.get("clients", ()))}
    people = tuple(map(Professional.parse, table.get("professionals", ())))
    return Provider(address, key, clients, people, form, str(table.get("loa", HIGH)))


class _Handlers(Endpoints[Login]):
    def __init__(self, provider: Provider) -> None:
        super().__init__(provider)
        self._provider = provider
        self.pages = Pages("schakel_national.dezi", TEXTS)

    async def authorize(self, request: Request) -> Response:
        """A client sends a professional: the login page, or back with an error."""
        query = dict(request.query_params)
        try:
            _, address = self._provider.registered(query)
        except Refused as refusal:
            return self._page(request, "error", 400, message=refusal.message)
        try:
            waiting = self._provider.ask(query)
        except Refused as refusal:
            said = refusal.message
            return back(address, query.get("state", ""), error=refusal.word, error_description=said)
        return self._page(request, "login", 200, waiting=waiting, people=self._provider.professionals)

    async def login(self, request: Request) -> Response:
        """The login page's form: who, or the button that cancels."""
        posted = await form(request)
        asked: Asked | None = self._provider.waiting.take(posted.get("waiting", ""))
        if asked is None:
            return self._page(request, "error", 400, message="this login took too long, or was used before")
        if posted.get("action") == "cancel":
            said = "the professional cancelled"
            return back(asked.redirect_uri, asked.state, error="access_denied", error_description=said)
        number, _, ura = posted.get("who", "").partition(" ")
        try:
            return back(asked.redirect_uri, asked.state, code=self._provider.log_in(asked, number, ura))
        except Refused as refusal:
            said = refusal.message
            return back(asked.redirect_uri, asked.state, error=refusal.word, error_description=said)

    async def status(self, request: Request) -> Response:
        """Whether a statement still holds."""
        number = request.path_params["number"]
        found = self._provider.status(number)
        if found is None:
            return JSONResponse({"error": "not_found"}, 404)
        return JSONResponse({"verklaring_id": number, "status": found}, headers=PRIVATE)

    async def withdraw(self, request: Request) -> Response:
        """Withdraws a statement."""
        try:
            number = json.parse(await _body(request)).get("verklaring_id")
        except Invalid as error:
            return JSONResponse({"error": "invalid_request", "error_description": error.message}, 400)
        return Response(status_code=204 if self._provider.withdraw(str(number)) else 404)

    def _page(self, request: Request, name: str, status: int, **values: object) -> Response:
        first = request.headers.get("accept-language", "").lower().partition(",")[0].partition("-")[0]
        language = first if first in TEXTS else "nl"
        return self.pages.page(name, status, language, **values)


async def _body(request: Request) -> bytes:
    body = b""
    async for chunk in request.stream():
        body += chunk
        if len(body) > _MOST_BYTES:
            raise Invalid("the body is too large")
    return body
