"""The authority's addresses."""

from __future__ import annotations

import binascii
import json
from base64 import b64decode
from datetime import timedelta
from pathlib import Path
from urllib.parse import unquote

from cryptography.hazmat.primitives.serialization import Encoding
from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import JSONResponse, PlainTextResponse, Response
from starlette.routing import Route
from starlette.types import ASGIApp

from schakel_national import configuration
from schakel_national.uzi_ca.authority import ROOT, SERVER, UZI_SERVER, authorities, bundle
from schakel_national.uzi_ca.issuing import Asked, Refused, issue
from schakel_national.uzi_ca.register import REASONS, Register

NAME = "uzi-ca"
_VALID_SECONDS = 300
_MOST_BYTES = 20_000


def application(folder: Path, address: str) -> ASGIApp:
    """The facility at `address`. Raises `Invalid` when its configuration is not right."""
    file = folder / f"{NAME}.toml"
    seconds = _VALID_SECONDS
    if file.exists():
        seconds = configuration.read(file, lambda table: int(table.get("valid_seconds", _VALID_SECONDS)))
    handlers = _Handlers(folder, address, timedelta(seconds=seconds))
    return Starlette(
        routes=[
            Route("/health/ready", handlers.ready),
            Route("/certificates", handlers.certificates, methods=["POST"]),
            Route("/revocations", handlers.revocations, methods=["POST"]),
            Route("/crl/{name}.crl", handlers.crl),
            Route("/ca/{name}.cer", handlers.ca),
            Route("/ocsp", handlers.ocsp, methods=["POST"]),
            Route("/ocsp/{request:path}", handlers.ocsp),
        ]
    )


class _Handlers:
    def __init__(self, folder: Path, address: str, valid: timedelta) -> None:
        self._address = address
        self._authorities = authorities(folder, address)
        self._register = Register(folder / NAME / "register.json")
        self._valid = valid
        below = [self._authorities[name].certificate for name in (UZI_SERVER, SERVER)]
        self._register.add(ROOT, below)

    async def ready(self, request: Request) -> Response:
        """Whether it serves."""
        return PlainTextResponse("ready")

    async def certificates(self, request: Request) -> Response:
        """A certificate for who proves to hold a key."""
        try:
            asked = Asked.parse(_json(await _body(request)))
            authority = self._authorities[asked.kind]
            certificate = issue(authority, asked, self._address)
        except (Refused, ValueError) as error:
            return JSONResponse({"error": str(error)}, 400)
        self._register.add(authority.name, [certificate])
        answer = {
            "serial": str(certificate.serial_number),
            "certificate": bundle(certificate),
            "chain": bundle(certificate, authority.certificate),
            "anchor": bundle(self._authorities[ROOT].certificate),
        }
        return JSONResponse(answer, 201)

    async def revocations(self, request: Request) -> Response:
        """Withdraws a certificate: {serial, reason?}, the serial number in decimals."""
        try:
            members = _json(await _body(request))
            serial, reason = int(str(members["serial"])), str(members.get("reason", "unspecified"))
        except (Refused, KeyError, ValueError):
            return JSONResponse({"error": "an object with serial, a number, is needed"}, 400)
        if reason not in REASONS:
            return JSONResponse({"error": f"reason must be one of {', '.join(sorted(REASONS))}"}, 400)
        if not self._register.withdraw(serial, reason):
            return JSONResponse({"error": "no certificate with this serial number was issued here"}, 404)
        return Response(status_code=204)

    async def crl(self, request: Request) -> Response:
        """The list of an authority, made now."""
        authority = self._authorities.get(request.path_params["name"])
        if authority is None:
            return PlainTextResponse("there is no such authority", 404)
        return Response(self._register.crl(authority, self._valid), media_type="application/pkix-crl")

    async def ca(self, request: Request) -> Response:
        """The certificate of an authority, in DER."""
        authority = self._authorities.get(request.path_params["name"])
        if authority is None:
            return PlainTextResponse("there is no such authority", 404)
        return Response(authority.certificate.public_bytes(Encoding.DER), media_type="application/pkix-cert")

    async def ocsp(self, request: Request) -> Response:
        """A question, in the body or (RFC 6960, appendix A.1) in the address."""
        try:
            if request.method == "POST":
                der = await _body(request)
            else:
                der = b64decode(unquote(request.path_params["request"]), validate=True)
        except (Refused, binascii.Error, ValueError):
            der = b""
        answer = self._register.ocsp(der, self._authorities, self._valid)
        return Response(answer, media_type="application/ocsp-response")


async def _body(request: Request) -> bytes:
    body = b""
    async for chunk in request.stream():
        body += chunk
        if len(body) > _MOST_BYTES:
            raise Refused("the request is too large")
    return body


def _json(body: bytes) -> dict[str, object]:
    try:
        members = json.loads(body)
    except (ValueError, RecursionError) as error:
        raise Refused("the body is not JSON") from error
    if not isinstance(members, dict):
        raise Refused("a JSON object is needed")
    return members
