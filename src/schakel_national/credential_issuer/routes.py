"""The issuer's addresses."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import JSONResponse, PlainTextResponse, Response
from starlette.routing import Route
from starlette.types import ASGIApp

from schakel_national import configuration
from schakel_national.credential_issuer.issuer import STATUS_PATH, Issuer, Refused

NAME = "credential-issuer"
_MOST_BYTES = 20_000


def application(folder: Path, address: str) -> ASGIApp:
    """The facility at `address`. Raises `Invalid` when its configuration is not right."""
    parts = urlsplit(address)
    host = "localhost" if (parts.hostname or "").startswith("127.") else parts.hostname or ""
    host = str(_told(folder).get("host", host))
    port = f":{parts.port}" if parts.port else ""
    did = f"did:web:{host}{port.replace(':', '%3A')}"
    key = configuration.own_ec_key(folder, NAME)
    handlers = _Handlers(Issuer(did, f"{parts.scheme}://{host}{port}", key, folder / f"{NAME}.json"))
    return Starlette(
        routes=[
            Route("/health/ready", handlers.ready),
            Route("/.well-known/did.json", handlers.document),
            Route("/credentials", handlers.credentials, methods=["POST"]),
            Route("/revocations", handlers.revocations, methods=["POST"]),
            Route(STATUS_PATH, handlers.status),
        ]
    )


def secured(folder: Path) -> bool:
    """Whether it speaks TLS. Raises `Invalid` when its configuration is not right."""
    return bool(_told(folder).get("tls", True))


def _told(folder: Path) -> dict[str, Any]:
    file = folder / f"{NAME}.toml"
    return configuration.read(file, dict) if file.exists() else {}


class _Handlers:
    def __init__(self, issuer: Issuer) -> None:
        self._issuer = issuer

    async def ready(self, request: Request) -> Response:
        """Whether it serves."""
        return PlainTextResponse("ready")

    async def document(self, request: Request) -> Response:
        """The DID document."""
        return JSONResponse(self._issuer.document(), media_type="application/did+json")

    async def credentials(self, request: Request) -> Response:
        """A new credential."""
        try:
            identifier, credential = self._issuer.issue(await _members(request))
        except Refused as error:
            return JSONResponse({"error": str(error)}, 400)
        return JSONResponse({"id": identifier, "credential": credential}, 201)

    async def revocations(self, request: Request) -> Response:
        """Withdraws a credential."""
        try:
            identifier = (await _members(request)).get("id")
        except Refused as error:
            return JSONResponse({"error": str(error)}, 400)
        if not isinstance(identifier, str) or not self._issuer.withdraw(identifier):
            return JSONResponse({"error": "no credential with this id was issued here"}, 404)
        return Response(status_code=204)

    async def status(self, request: Request) -> Response:
        """The status list."""
        return Response(self._issuer.status(), media_type="application/vc+jwt")


async def _members(request: Request) -> dict[str, object]:
    """The JSON object in the body. Raises `Refused`."""
    body = b""
    async for chunk in request.stream():
        body += chunk
        if len(body) > _MOST_BYTES:
            raise Refused("the request is too large")
    try:
        members = json.loads(body)
    except (ValueError, RecursionError) as error:
        raise Refused("the body is not JSON") from error
    if not isinstance(members, dict):
        raise Refused("a JSON object is needed")
    return members
