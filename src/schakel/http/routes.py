"""The one list of routes. `front` is for people, OAuth and (demo) bearer tokens; `internal` for the own EHR; `back` for
others who prove themselves by a certificate."""

from __future__ import annotations

from starlette.applications import Starlette
from starlette.exceptions import HTTPException
from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import BaseRoute, Match, Route
from starlette.types import ASGIApp, Receive, Scope, Send

from schakel.http.administration import Administration, UpdateClient
from schakel.http.authorise import Authorise
from schakel.http.consent import ConsentRoutes
from schakel.http.decisions import Decisions
from schakel.http.did import Did
from schakel.http.directory import Directory
from schakel.http.encoding import encoded
from schakel.http.errors import refused
from schakel.http.fhir import Fhir
from schakel.http.health import Health
from schakel.http.hybrid import HybridRoutes
from schakel.http.jobs import JobRoutes
from schakel.http.localisation import ForKnooppunt, Localisation
from schakel.http.log import Log
from schakel.http.log_page import LogPage
from schakel.http.medmij import MedMij
from schakel.http.mitz import MitzRoutes
from schakel.http.node import Node
from schakel.http.oauth import OAuth
from schakel.http.openapi import OpenApi
from schakel.http.own import Own
from schakel.http.portal.routes import portal
from schakel.http.professionals import Professionals
from schakel.http.reading import Handler, plain
from schakel.http.roadmap import RoadmapRoutes
from schakel.http.standing import Standing
from schakel.kernel.outcomes import NotAllowed, NotFound, Outcome
from schakel.portal.pages import Pages


def _health(health: Health) -> list[BaseRoute]:
    return [Route("/health/live", health.live), Route("/health/ready", health.ready)]


class _Plain:
    """A handler as an ASGI application. The FHIR doors answer every method and map every error themselves, so
    that they go without the wrappers that Starlette puts around a function."""

    def __init__(self, handler: Handler) -> None:
        self._handler = handler
        self.__doc__ = handler.__doc__

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        response = await self._handler(Request(scope, receive))
        await response(scope, receive, send)


def _fhir(handler: Handler, where: str = "fhir") -> list[BaseRoute]:
    base = f"/{{organisation}}/{where}/{{version}}"
    return [Route(f"{base}/{{path:path}}", _Plain(handler)), Route(base, _Plain(handler))]


def _offered(handler: Handler, where: str) -> list[BaseRoute]:
    """A FHIR R4 door with an offer of its own (`openapi.document.OFFERS`)."""
    base = f"/{where}/r4"
    return [Route(f"{base}/{{path:path}}", _Plain(handler)), Route(base, _Plain(handler))]


def _medmij(handler: Handler) -> list[BaseRoute]:
    base = "/{organisation}/medmij/{service}/fhir"
    return [Route(f"{base}/{{path:path}}", _Plain(handler)), Route(base, _Plain(handler))]


def _update_client(node: Node, url: str, listener: str) -> list[BaseRoute]:
    """The doors of the ministry's update client, on the listener that the settings name."""
    if (doors := node.update_client) is None or doors.on != listener:
        return []
    client = UpdateClient(node, url, doors)
    token = Route("/directory/update-client/oauth2/token", client.token, methods=["POST"])
    return [
        *_offered(client.own, "{organisation}/administration/update-client/fhir"),
        *_offered(client.root, "directory/root/fhir"),
        *(_offered(client.query, "directory/update-client/fhir") if doors.query else []),
        *([token] if doors.tokens else []),
    ]


def _consent(node: Node) -> list[BaseRoute]:
    consent, mitz = ConsentRoutes(node), MitzRoutes(node)
    base = "/{organisation}/consent"
    return [
        Route(f"{base}/objections", plain(consent.write_objection), methods=["POST"]),
        Route(f"{base}/objections/search", plain(consent.find_objections), methods=["POST"]),
        Route(f"{base}/objections/{{id}}/end", plain(consent.end_objection), methods=["POST"]),
        Route(f"{base}/emergencies", plain(consent.emergencies), methods=["GET"]),
        Route(f"{base}/emergencies/{{id}}", plain(consent.judge_emergency), methods=["POST"]),
        Route(f"{base}/subscriptions", plain(mitz.subscriptions), methods=["GET", "POST"]),
        Route(f"{base}/subscriptions/end", plain(mitz.end_subscription), methods=["POST"]),
        Route(f"{base}/choices", plain(mitz.choices), methods=["GET"]),
    ]


def _localisation(localisation: Localisation, base: str) -> list[BaseRoute]:
    return [
        Route(base, localisation.bundle, methods=["POST"]),
        Route(f"{base}/metadata", localisation.metadata, methods=["GET"]),
        Route(f"{base}/List", localisation.lists, methods=["GET", "POST", "DELETE"]),
        Route(f"{base}/List/_search", localisation.search, methods=["POST"]),
        Route(f"{base}/List/{{id}}", localisation.one, methods=["GET", "DELETE"]),
    ]


def _roadmap(roadmap: RoadmapRoutes) -> list[BaseRoute]:
    base = "/{organisation}/roadmap"
    return [
        Route(f"{base}/runs", plain(roadmap.runs), methods=["GET", "POST"]),
        Route(f"{base}/versions", plain(roadmap.versions), methods=["GET", "POST"]),
        Route(f"{base}/board", plain(roadmap.board), methods=["GET"]),
    ]


def _hybrid(hybrid: HybridRoutes) -> list[BaseRoute]:
    base = "/{organisation}/roadmap/hybrid"
    return [
        Route(base, plain(hybrid.inventory), methods=["GET"]),
        Route(f"{base}/pathways", plain(hybrid.pathways), methods=["POST"]),
        Route(f"{base}/pathways/{{pathway}}", plain(hybrid.remove), methods=["DELETE"]),
        Route(f"{base}/people", plain(hybrid.people), methods=["POST"]),
        Route(f"{base}/blocks", plain(hybrid.blocks), methods=["GET", "POST"]),
        Route(f"{base}/blocks/versions", plain(hybrid.block_lists), methods=["GET"]),
    ]


def front(node: Node) -> list[BaseRoute]:
    """Routes of the front listener."""
    url = node.public_url
    health, oauth, pages = Health(node), OAuth(node, url), Pages(url)
    authorise, professionals = Authorise(node, pages), Professionals(node, pages)
    log, log_page = Log(node), LogPage(node, pages)
    routes: list[BaseRoute] = [
        *(_fhir(Fhir(node, url).guarded) if node.guarded_on_front else []),
        *(_medmij(MedMij(node, url).resource) if node.guarded_on_front else []),
        *_update_client(node, url, "front"),
        *_health(health),
        *portal(node, pages),
        Route("/{organisation}/log", log_page.page, methods=["GET"]),
        Route("/{organisation}/log/login", log_page.login, methods=["GET", "POST"]),
        Route("/{organisation}/log/callback", log_page.callback, methods=["GET"]),
        Route("/{organisation}/log/logout", log_page.logout, methods=["GET", "POST"]),
        Route("/{organisation}/log/fhir/r4/AuditEvent", log.own_events, methods=["GET"]),
        Route("/.well-known/oauth-authorization-server/{organisation}", plain(oauth.metadata)),
        Route("/{organisation}/oauth2/token", oauth.token, methods=["POST"]),
        Route("/{organisation}/oauth2/jwks", plain(oauth.jwks)),
        Route("/{organisation}/did.json", plain(Did(node).document), methods=["GET"]),
        Route(
            "/{organisation}/oauth2/presentation_definition", oauth.presentation_definition, methods=["GET"]
        ),
        Route("/{organisation}/oauth2/revoke", oauth.revoke, methods=["POST"]),
        Route("/{organisation}/oauth2/authorize", authorise.authorize, methods=["GET"]),
        Route("/{organisation}/oauth2/start", authorise.start, methods=["GET"]),
        Route("/{organisation}/oauth2/login", authorise.login, methods=["GET", "POST"]),
        Route("/{organisation}/oauth2/callback", authorise.callback, methods=["GET"]),
        Route("/{organisation}/oauth2/consent", authorise.consent, methods=["GET", "POST"]),
        Route("/{organisation}/professionals/login", professionals.login, methods=["GET"]),
        Route("/{organisation}/professionals/callback", professionals.callback, methods=["GET"]),
        Route("/pages/{name}", plain(pages.file), methods=["GET"]),
    ]
    return [*routes, OpenApi("front", url, routes).route()]


def back(node: Node) -> list[BaseRoute]:
    """Routes of the back listener, where everybody has shown a certificate that is believed."""
    url = node.back_url
    oauth = OAuth(node, url)
    routes: list[BaseRoute] = [
        *_fhir(Fhir(node, url).guarded),
        *_medmij(MedMij(node, url).resource),
        *_offered(Administration(node, url).directory, "{organisation}/administration/fhir"),
        *_health(Health(node)),
        Route("/{organisation}/mitz/notify", MitzRoutes(node).notify, methods=["POST"]),
        Route("/.well-known/oauth-authorization-server/{organisation}", plain(oauth.metadata)),
        Route("/{organisation}/oauth2/token", oauth.token, methods=["POST"]),
        Route("/{organisation}/oauth2/jwks", plain(oauth.jwks)),
        Route("/{organisation}/did.json", plain(Did(node).document), methods=["GET"]),
        Route(
            "/{organisation}/oauth2/presentation_definition", oauth.presentation_definition, methods=["GET"]
        ),
        Route("/{organisation}/oauth2/revoke", oauth.revoke, methods=["POST"]),
    ]
    return [*routes, OpenApi("back", url, routes).route()]


def internal(node: Node) -> list[BaseRoute]:
    """Routes of the internal listener."""
    url = node.internal_url
    decisions, professionals, standing = Decisions(node), Professionals(node, Pages(url)), Standing(node)
    health, oauth, own, log, jobs = (
        Health(node),
        OAuth(node, url),
        Own(node),
        Log(node),
        JobRoutes(node),
    )
    routes: list[BaseRoute] = [
        *_fhir(Fhir(node, url).internal),
        *_fhir(MedMij(node, url).inbox, "inbox/fhir"),
        *_offered(Directory(node, url).query, "{organisation}/directory/fhir"),
        Route("/{organisation}/directory/address", plain(Directory(node, url).address), methods=["GET"]),
        *_update_client(node, url, "internal"),
        *_health(health),
        Route("/metrics", health.metrics),
        Route("/{organisation}/exchanges/bgz", plain(own.fetch_bgz), methods=["POST"]),
        Route("/{organisation}/grounds", plain(own.grounds), methods=["GET", "POST"]),
        Route("/{organisation}/grounds/{id}", plain(own.end_ground), methods=["DELETE"]),
        *_consent(node),
        *_localisation(Localisation(node, url), "/{organisation}/localisation/fhir/r4"),
        *_localisation(ForKnooppunt(node, url), "/nvi"),
        *_roadmap(RoadmapRoutes(node)),
        *_hybrid(HybridRoutes(node)),
        Route("/{organisation}/localisation/status", plain(standing.registrations), methods=["GET"]),
        Route("/{organisation}/facilities", plain(standing.facilities), methods=["GET"]),
        Route("/{organisation}/professionals/logins", plain(professionals.begin), methods=["POST"]),
        Route(
            "/{organisation}/professionals/logins/{id}", plain(professionals.one), methods=["GET", "DELETE"]
        ),
        Route("/{organisation}/jobs", plain(jobs.jobs), methods=["GET", "POST"]),
        Route("/{organisation}/jobs/{id}", plain(jobs.job), methods=["GET"]),
        Route("/{organisation}/log/decisions/{id}", plain(decisions.decision), methods=["GET"]),
        Route("/{organisation}/log/policies/{digest}", plain(decisions.policy), methods=["GET"]),
        Route("/{organisation}/log/export", plain(log.export), methods=["GET"]),
        Route("/{organisation}/log/verification", plain(standing.log_verification), methods=["GET"]),
        Route("/{organisation}/log/fhir/r4/AuditEvent", log.log_events, methods=["GET"]),
        Route("/{organisation}/log/fhir/r4/AuditEvent/{id}", log.log_event, methods=["GET"]),
        Route("/{organisation}/oauth2/introspect", plain(oauth.introspect), methods=["POST"]),
        Route("/{organisation}/oauth2/tokens", plain(oauth.withdraw), methods=["DELETE"]),
    ]
    return [*routes, OpenApi("internal", url, routes).route()]


async def _not_routed(request: Request, error: Exception) -> Response:
    """The answer to a path that is not there, or a method that it does not have."""
    if isinstance(error, HTTPException) and error.status_code == 405:
        outcome: Outcome = NotAllowed("this method is not possible here", headers=dict(error.headers or {}))
    else:
        outcome = NotFound("there is nothing at this path")
    return refused(request, outcome)


def application(routes: list[BaseRoute]) -> ASGIApp:
    """An ASGI application of these routes, its answers packed for who takes that and closed to browsers. The FHIR doors
    are asked first, before Starlette's middleware: they map every error themselves."""
    app = Starlette(routes=routes, exception_handlers={HTTPException: _not_routed})
    app.router.redirect_slashes = False
    doors = [r for r in routes if isinstance(r, Route) and isinstance(r.endpoint, _Plain)]

    async def answer(scope: Scope, receive: Receive, send: Send) -> None:
        for door in doors:
            match, found = door.matches(scope)
            if match is Match.FULL:
                scope.update(found)
                return await door.app(scope, receive, send)
        await app(scope, receive, send)

    return encoded(answer, refused)
