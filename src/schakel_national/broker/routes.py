"""The broker's addresses and its login page."""

from __future__ import annotations

from pathlib import Path

from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route
from starlette.types import ASGIApp

from schakel.kernel.outcomes import Invalid
from schakel.kernel.values import Bsn
from schakel_national import configuration
from schakel_national.broker.provider import LEVEL, Login, Provider
from schakel_national.broker.texts import TEXTS, wanted
from schakel_national.oidc import Asked, Client, Endpoints, Refused
from schakel_national.pages import Pages, back, form

NAME = "broker"


def application(folder: Path, address: str) -> ASGIApp:
    """The facility at `address`. Raises `Invalid` when its configuration is not right."""
    key = configuration.own_key(folder, NAME)
    clients, level = configuration.read(
        folder / f"{NAME}.toml",
        lambda table: (
            {one.id: one for one in (Client.parse(t, "private_key_jwt") for t in table["clients"])},
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
            Route("/style.css", handlers.pages.style),
        ]
    )


class _Handlers(Endpoints[Login]):
    def __init__(self, provider: Provider) -> None:
        super().__init__(provider)
        self._provider = provider
        self.pages = Pages("schakel_national.broker", TEXTS)

    async def authorize(self, request: Request) -> Response:
        """A client sends a person: the login page, or back with an error."""
        query = dict(request.query_params)
        language = wanted(query.get("ui_locales", ""))
        try:
            _, address = self._provider.registered(query)
        except Refused as refusal:
            return self.pages.page("error", 400, language, message=refusal.message)
        try:
            waiting = self._provider.ask(query)
        except Refused as refusal:
            return back(
                address, query.get("state", ""), error=refusal.word, error_description=refusal.message
            )
        return self.pages.page("login", 200, language, waiting=waiting, wrong=False, bsn="")

    async def login(self, request: Request) -> Response:
        """The login page's form: a BSN, or the button that cancels."""
        posted = await form(request)
        waiting = posted.get("waiting", "")
        asked: Asked | None = self._provider.waiting.see(waiting)
        if asked is None:
            return self.pages.page("error", 400, "nl", message="this login took too long, or was used before")
        if posted.get("action") == "cancel":
            self._provider.waiting.take(waiting)
            said = "Authentication cancelled"
            return back(asked.redirect_uri, asked.state, error="login_required", error_description=said)
        try:
            bsn = Bsn(posted.get("bsn", "").strip())
        except Invalid:
            typed = posted.get("bsn", "")
            return self.pages.page(
                "login", 400, wanted(asked.locales), waiting=waiting, wrong=True, bsn=typed
            )
        self._provider.waiting.take(waiting)
        return back(asked.redirect_uri, asked.state, code=self._provider.log_in(asked, bsn))
