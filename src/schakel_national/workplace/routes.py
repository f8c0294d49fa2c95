"""The provider's addresses and its login page."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from joserfc.jwk import RSAKey
from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route
from starlette.types import ASGIApp

from schakel_national import configuration
from schakel_national.oidc import Asked, Client, Endpoints, Refused
from schakel_national.pages import Pages, back, form
from schakel_national.workplace.provider import Login, Person, Provider

NAME = "workplace"
TEXTS: Mapping[str, Mapping[str, str]] = {
    "nl": {
        "title": "Inloggen voor uw werk (oefening)",
        "about": "Deze pagina neemt de plaats in van het inloggen bij uw eigen organisatie, om te oefenen. "
        "Kies wie u bent.",
        "who": "Medewerker",
        "login": "Inloggen",
        "cancel": "Annuleren",
        "stopped": "Inloggen kan nu niet. Ga terug en begin opnieuw.",
    },
    "en": {
        "title": "Log in for your work (practice)",
        "about": "This page takes the place of the login of your own organisation, for practice. Choose who you are.",
        "who": "Employee",
        "login": "Log in",
        "cancel": "Cancel",
        "stopped": "You cannot log in now. Go back and begin again.",
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
            Route("/style.css", handlers.pages.style),
        ]
    )


def _provider(address: str, key: RSAKey, table: Mapping[str, Any]) -> Provider:
    clients = {one.id: one for one in (Client.parse(t, "private_key_jwt") for t in table.get("clients", ()))}
    return Provider(address, key, clients, [Person.parse(one) for one in table.get("people", ())])


class _Handlers(Endpoints[Login]):
    media = "application/json"

    def __init__(self, provider: Provider) -> None:
        super().__init__(provider)
        self._provider = provider
        self.pages = Pages("schakel_national.workplace", TEXTS)

    async def authorize(self, request: Request) -> Response:
        """A client sends somebody: the login page, or back with an error."""
        query = dict(request.query_params)
        language = _language(query.get("ui_locales", ""))
        try:
            _, address = self._provider.registered(query)
        except Refused as refusal:
            return self.pages.page("error", 400, language, message=refusal.message)
        try:
            waiting = self._provider.ask(query)
        except Refused as refusal:
            said = refusal.message
            return back(address, query.get("state", ""), error=refusal.word, error_description=said)
        return self.pages.page("login", 200, language, waiting=waiting, people=self._provider.people)

    async def login(self, request: Request) -> Response:
        """The login page's form: who, or the button that cancels."""
        posted = await form(request)
        asked: Asked | None = self._provider.waiting.take(posted.get("waiting", ""))
        if asked is None:
            return self.pages.page("error", 400, "nl", message="this login took too long, or was used before")
        if posted.get("action") == "cancel":
            said = "the person cancelled"
            return back(asked.redirect_uri, asked.state, error="access_denied", error_description=said)
        try:
            return back(
                asked.redirect_uri, asked.state, code=self._provider.log_in(asked, posted.get("who", ""))
            )
        except Refused as refusal:
            said = refusal.message
            return back(asked.redirect_uri, asked.state, error=refusal.word, error_description=said)


def _language(locales: str) -> str:
    """The first language of `ui_locales` that we have, else Dutch."""
    languages = (one.lower().partition("-")[0] for one in locales.split())
    return next((one for one in languages if one in TEXTS), "nl")
