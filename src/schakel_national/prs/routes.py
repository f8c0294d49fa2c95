"""The addresses of the PRS."""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from starlette.applications import Starlette
from starlette.exceptions import HTTPException
from starlette.requests import Request
from starlette.responses import JSONResponse, PlainTextResponse, Response
from starlette.routing import Route
from starlette.types import ASGIApp

from schakel_national import configuration, minvws
from schakel_national.prs.administration import Administration
from schakel_national.prs.exchange import Exchanges
from schakel_national.prs.register import Organisation
from schakel_national.prs.requests import (
    Evaluate,
    EvaluateGuide,
    EvaluateOld,
    MakeOrganisation,
    Unreadable,
    body_of,
)
from schakel_national.prs.service import NEW, OLD, Refused, Service

NAME = "prs"
_VERSIONS = {NEW: "v0.0.33", OLD: "v0.0.21"}


def application(folder: Path, address: str) -> ASGIApp:
    """The facility at `address`, behind its verifier. Raises `Invalid` when its configuration is not right."""
    table, service = _configured(folder, address)
    return minvws.verified(inner(service), folder, address, NAME, table.get("verifier", {}))


def unguarded(folder: Path, address: str) -> ASGIApp:
    """The facility without its verifier: it believes whatever headers it gets, so it is for tests alone."""
    return inner(_configured(folder, address)[1])


def inner(service: Service) -> ASGIApp:
    """The service itself."""
    handlers, exchanges, administration = _Handlers(service), Exchanges(service), Administration(service)
    routes = [
        Route("/health", handlers.health),
        Route("/health/ready", handlers.ready),
        Route("/version.json", handlers.version),
        Route("/oprf/eval", handlers.evaluate, methods=["POST"]),
        Route("/exchange/pseudonym", exchanges.pseudonym, methods=["POST"]),
        Route("/exchange/rid", exchanges.rid, methods=["POST"]),
        Route("/receive", exchanges.receive, methods=["POST"]),
        Route("/administration/register/certificate", administration.register, methods=["POST"]),
        Route("/administration/keys", administration.keys),
        Route("/administration/keys/{id}", administration.change_key, methods=["PUT"]),
        Route("/administration/keys/{id}", administration.delete_key, methods=["DELETE"]),
        Route("/administration/key-versions", administration.versions),
        Route("/administration/key-versions", administration.make_version, methods=["POST"]),
        Route("/administration/key-versions/{id}", administration.change_version, methods=["PUT"]),
    ]
    if service.guide:
        routes.append(Route("/evaluate", handlers.evaluate_guide, methods=["POST"]))
    if service.form == OLD:
        routes.append(Route("/orgs", handlers.make_organisation, methods=["POST"]))
    told = {Refused: _refused, Unreadable: _unreadable, HTTPException: _other}
    return Starlette(routes=routes, exception_handlers=told)


class _Handlers:
    def __init__(self, service: Service) -> None:
        self._service = service

    async def health(self, request: Request) -> Response:
        """Whether it serves, as the real one tells."""
        return JSONResponse({"status": "ok", "components": {"database": "ok"}})

    async def ready(self, request: Request) -> Response:
        """Whether it serves."""
        return PlainTextResponse("ready")

    async def version(self, request: Request) -> Response:
        """Which version it behaves as."""
        return JSONResponse({"version": _VERSIONS[self._service.form], "git_ref": "stand-in"})

    async def evaluate(self, request: Request) -> Response:
        """A blinded point evaluated."""
        self._service.caller(request)
        asked: Evaluate
        if self._service.form == OLD:
            asked = await body_of(request, EvaluateOld)
            if not asked.recipient_organization.startswith("ura:"):
                raise Refused(400, error="Invalid recipient organization. Format: ura:<ura_number>")
        else:
            asked = await body_of(request, Evaluate)
        jwe = self._service.evaluated(
            asked.encrypted_personal_id, asked.recipient_organization, asked.recipient_scope
        )
        return JSONResponse({"jwe": jwe})

    async def evaluate_guide(self, request: Request) -> Response:
        """The same with the names of the guide; either kind of recipient."""
        self._service.caller(request)
        asked = await body_of(request, EvaluateGuide)
        jwe = self._service.evaluated(
            asked.blinded_input, asked.recipient_organization, asked.recipient_scope
        )
        return JSONResponse({"evaluated_output": jwe})

    async def make_organisation(self, request: Request) -> Response:
        """An organisation by its URA, as could be done up to June 2026."""
        self._service.caller(request)
        asked = await body_of(request, MakeOrganisation)
        if self._service.register.by_name(f"ura:{asked.ura}") is not None:
            raise Refused(409, detail="organization already exists")
        self._service.register.add(Organisation("", asked.ura, asked.max_key_usage))
        return JSONResponse({"message": "Org created successfully"}, 201)


def _configured(folder: Path, address: str) -> tuple[Mapping[str, Any], Service]:
    file = folder / f"{NAME}.toml"
    if not file.exists():
        return {}, Service.read({}, folder, address)
    return configuration.read(file, lambda table: (table, Service.read(table, folder, address)))


async def _refused(request: Request, error: Exception) -> Response:
    assert isinstance(error, Refused)
    return JSONResponse(error.members, error.status)


async def _unreadable(request: Request, error: Exception) -> Response:
    assert isinstance(error, Unreadable)
    # Repeats what was sent, so what no UTF-8 can hold may be in it.
    return Response(json.dumps({"detail": error.detail}), 422, media_type="application/json")


async def _other(request: Request, error: Exception) -> Response:
    assert isinstance(error, HTTPException)
    return JSONResponse({"detail": error.detail}, error.status_code, error.headers)
