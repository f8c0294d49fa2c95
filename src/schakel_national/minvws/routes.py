"""The token endpoint and the keys.

Source: RFC 6749, sections 4.4 and 5; the requests of the ministry's registration service of August 2026 (organisation
named in the form) and of the guide (client assertion).
"""

from __future__ import annotations

import json
from pathlib import Path
from urllib.parse import parse_qsl, urlsplit

from joserfc import jwt
from joserfc.jwk import RSAKey
from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import JSONResponse, PlainTextResponse, Response
from starlette.routing import Route
from starlette.types import ASGIApp

from schakel.kernel.clock import new_id, now
from schakel_national import configuration
from schakel_national.minvws.assertion import FORM, Assertions, Unproven
from schakel_national.minvws.certificates import Shown, shown
from schakel_national.minvws.registered import Organisation, Registered, Target

NAME = "minvws-oauth"
TOKEN_PATHS = ("/oauth/token", "/token")
KEYS_PATH = "/.well-known/jwks.json"
KEYS_FILE = f"{NAME}.jwks.json"
_MOST_BYTES = 20_000


class Refused(Exception):
    """An error answer: the code of RFC 6749, section 5.2, and what is at fault."""

    def __init__(self, code: str, description: str, status: int = 400) -> None:
        super().__init__(description)
        self.code = code
        self.status = status


def application(folder: Path, address: str) -> ASGIApp:
    """The facility at `address`. Raises `Invalid` when its configuration is not right."""
    file = folder / f"{NAME}.toml"
    known = configuration.read(file, Registered) if file.exists() else Registered({})
    key = configuration.own_key(folder, NAME)
    issuer = known.issuer or address
    published = {"issuer": issuer, "keys": [{**key.as_dict(private=False), "use": "sig", "alg": "RS256"}]}
    fresh = folder / f".{KEYS_FILE}.new"
    fresh.write_text(json.dumps(published))
    fresh.replace(folder / KEYS_FILE)
    parts = urlsplit(address)
    audiences = [f"{address}{path}" for path in TOKEN_PATHS]
    if (parts.hostname or "").startswith("127."):
        audiences += [f"{parts.scheme}://localhost:{parts.port}{path}" for path in TOKEN_PATHS]
    assertions = Assertions(audiences, folder / "uzi-ca" / "anchors.pem")
    server = _Server(known, issuer, key, assertions)

    async def ready(request: Request) -> Response:
        return PlainTextResponse("ready")

    async def keys(request: Request) -> Response:
        return JSONResponse(published)

    return Starlette(
        routes=[
            Route("/health/ready", ready),
            Route(KEYS_PATH, keys),
            *(Route(path, server.token, methods=["POST"]) for path in TOKEN_PATHS),
        ]
    )


class _Server:
    def __init__(self, known: Registered, issuer: str, key: RSAKey, assertions: Assertions) -> None:
        self._known = known
        self._issuer = issuer
        self._key = key
        self._assertions = assertions

    async def token(self, request: Request) -> Response:
        """A token for the client of this connection, or an error."""
        try:
            answer, status = self._granted(await _form(request), shown(request.scope)), 200
        except Refused as error:
            answer, status = {"error": error.code, "error_description": str(error)}, error.status
        return JSONResponse(answer, status, headers={"Cache-Control": "no-store", "Pragma": "no-cache"})

    def _granted(self, form: dict[str, str], certificate: Shown | None) -> dict[str, object]:
        client = self._known.client(certificate)
        if certificate is None or client is None:
            who = f"OIN {certificate.oin!r}, name {certificate.common_name!r}" if certificate else "none"
            raise Refused(
                "invalid_client", f"the certificate ({who}) is of no client that is known here", 401
            )
        if form.get("grant_type") != "client_credentials":
            raise Refused("unsupported_grant_type", "grant_type must be client_credentials")
        target = self._known.target(form.get("target_audience", ""))
        if target is None:
            raise Refused("invalid_request", "target_audience is missing, or no service that is known here")
        scopes = target.meant(form.get("scope", "").split())
        if unknown := [one for one in scopes if one not in target.scopes] or not scopes:
            raise Refused("invalid_scope", f"scope: {target.audience} does not have {unknown}")
        if "client_assertion" in form:
            ura = self._asserted(form, certificate)
            candidates = [one for one in client.organisations if one.ura == ura]
        else:
            name = form.get("organization_id", "")
            candidates = [one for one in client.organisations if one.known_as(target.subject) == name]
        if not candidates:
            raise Refused("unauthorized_client", "this client may not ask for that organisation")
        allowed = [one for one in candidates if one.scopes.issuperset(scopes)]
        if not allowed:
            raise Refused("invalid_scope", f"scope: the organisation may not have all of {list(scopes)}")
        source = allowed[0].source_id if "client_assertion" in form else form.get("source_id", "")
        if source not in ("", allowed[0].source_id):
            raise Refused("invalid_request", "source_id is not the one that is registered")
        return self._made(target, allowed[0], certificate, " ".join(scopes), source)

    def _asserted(self, form: dict[str, str], certificate: Shown) -> str:
        """The URA of who signed the assertion. Raises `Refused`."""
        if form.get("client_assertion_type") != FORM:
            raise Refused("invalid_request", f"client_assertion_type must be {FORM}")
        try:
            return self._assertions.ura(form["client_assertion"], certificate, form)
        except Unproven as error:
            raise Refused("invalid_client", str(error), 401) from error

    def _made(
        self, target: Target, who: Organisation, certificate: Shown, scope: str, source: str
    ) -> dict[str, object]:
        moment = int(now().timestamp())
        claims: dict[str, object] = {
            "iss": self._issuer,
            "aud": target.audience,
            "sub": who.known_as(target.subject),
            "scope": scope,
            "act": {"sub": certificate.oin, "cn": certificate.common_name},
            "organization_name": who.name,
            "iat": moment,
            "nbf": moment,
            "exp": moment + self._known.seconds,
            "jti": new_id(),
        }
        if source:
            claims["source_id"] = source
        header = {"alg": "RS256", "kid": self._key.kid, "typ": "JWT"}
        return {
            "access_token": jwt.encode(header, claims, self._key, algorithms=["RS256"]),
            "token_type": "Bearer",
            "expires_in": self._known.seconds,
            "scope": scope,
        }


async def _form(request: Request) -> dict[str, str]:
    """The form in the body, each member once. Raises `Refused`."""
    if (
        request.headers.get("content-type", "").partition(";")[0].strip()
        != "application/x-www-form-urlencoded"
    ):
        raise Refused("invalid_request", "the body must be application/x-www-form-urlencoded")
    body = b""
    async for chunk in request.stream():
        body += chunk
        if len(body) > _MOST_BYTES:
            raise Refused("invalid_request", "the body is too large")
    try:
        pairs = parse_qsl(body.decode(), keep_blank_values=True, strict_parsing=bool(body))
    except ValueError as error:
        raise Refused("invalid_request", "the body is no form") from error
    form = dict(pairs)
    if len(form) != len(pairs):
        raise Refused("invalid_request", "a member stands in the form more than once")
    return form
