"""The one list of routes. `front` is for people, OAuth and (demo) bearer tokens; `internal` for the own EHR."""

from __future__ import annotations

from starlette.applications import Starlette
from starlette.routing import BaseRoute, Route

from schakel.http.handlers import Handlers
from schakel.http.node import Node

_FHIR_METHODS = ["GET", "POST", "PUT", "DELETE", "PATCH", "HEAD", "OPTIONS"]


def _health(handlers: Handlers) -> list[BaseRoute]:
    return [Route("/health/live", handlers.live), Route("/health/ready", handlers.ready)]


def front(node: Node) -> list[BaseRoute]:
    """Routes of the front listener."""
    h = Handlers(node)
    routes: list[BaseRoute] = [
        *_health(h),
        Route("/.well-known/oauth-authorization-server/{organisation}", h.metadata),
        Route("/{organisation}/oauth2/token", h.token, methods=["POST"]),
        Route("/{organisation}/oauth2/jwks", h.jwks),
    ]
    if node.guarded_on_front:
        routes += _fhir(h.guarded_fhir)
    return [*routes, Route("/{path:path}", h.nothing, methods=_FHIR_METHODS)]


def internal(node: Node) -> list[BaseRoute]:
    """Routes of the internal listener."""
    h = Handlers(node)
    return [
        *_health(h),
        Route("/metrics", h.metrics),
        *_fhir(h.internal_fhir),
        Route("/{organisation}/exchanges/bgz", h.fetch_bgz, methods=["POST"]),
        Route("/{organisation}/grounds", h.grounds, methods=["GET", "POST"]),
        Route("/{organisation}/grounds/{id}", h.end_ground, methods=["DELETE"]),
        Route("/{organisation}/log/fhir/r4/AuditEvent", h.log_events, methods=["GET"]),
        Route("/{organisation}/log/fhir/r4/AuditEvent/{id}", h.log_event, methods=["GET"]),
        Route("/{organisation}/oauth2/introspect", h.introspect, methods=["POST"]),
        Route("/{path:path}", h.nothing, methods=_FHIR_METHODS),
    ]


def _fhir(handler: object) -> list[BaseRoute]:
    return [
        Route("/{organisation}/fhir/{version}", handler, methods=_FHIR_METHODS),  # type: ignore[arg-type]
        Route("/{organisation}/fhir/{version}/{path:path}", handler, methods=_FHIR_METHODS),  # type: ignore[arg-type]
    ]


def application(routes: list[BaseRoute]) -> Starlette:
    """An ASGI application of these routes."""
    app = Starlette(routes=routes)
    app.router.redirect_slashes = False
    return app
