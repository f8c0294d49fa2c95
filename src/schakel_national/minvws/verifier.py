"""Stands in front of the NVI and the PRS, in their process, as the ministry's verifier stands before the real ones.

    app = verified(app, folder, address, table)

Every `x-gf-*` header of the client, and `X-Forwarded-Tls-Client-Cert`, is dropped; what a checked token and the
certificate of the connection say takes their place:

    x-gf-sub, x-gf-act-sub, x-gf-act-cn, x-gf-audience, x-gf-scope, x-gf-cert-type (always OIN),
    x-gf-organization-name, x-gf-source-id, X-Forwarded-Tls-Client-Cert (DER in base64)

`table` is the section `[verifier]` of the facility's configuration; all of it may be left out:

    audience = "..."     # aud of a token; the facility's own address
    issuer = "..."       # iss of a token; what the file of keys says
    jwks = "..."         # the keys: a file in the folder (minvws-oauth.jwks.json), or an https address
    keep_seconds = 900   # how long keys are kept; a token of a key that is not among them has the file read again

An address is read with the folder's own anchors and certificate (`uzi-ca/anchors.pem`, `uzi-ca/tls-{name}.pem`), and
then `issuer` must be set. Errors are those recorded of the real one: plain text, 400 for a token that is not right, 401
for a scheme other than Bearer, and 500 without an Authorization header or certificate. One is invented: 503 when the
keys cannot be had.
"""

from __future__ import annotations

import json
import ssl
import time
from base64 import b64encode
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import aiohttp
from cryptography.hazmat.primitives.serialization import Encoding
from joserfc import jws, jwt
from joserfc.errors import JoseError
from joserfc.jwk import KeySet
from starlette.responses import JSONResponse, Response
from starlette.types import ASGIApp, Receive, Scope, Send

from schakel.kernel.clock import now
from schakel.kernel.outcomes import Invalid
from schakel_national.minvws.certificates import Shown, shown
from schakel_national.minvws.routes import KEYS_FILE

FORWARDED = "x-forwarded-tls-client-cert"
OPEN = frozenset({"/health", "/health/ready"})
_KEEP_SECONDS = 900
_AGAIN_SECONDS = 5
_FETCH_SECONDS = 5.0


class Unverified(Exception):
    """A request that is stopped here; `answer` is what its client gets."""

    def __init__(self, answer: Response) -> None:
        super().__init__()
        self.answer = answer


class Keys:
    """The keys of the token server, and who it says it is ('' when it does not say)."""

    def __init__(self, folder: Path, where: str, facility: str, keep_seconds: float = _KEEP_SECONDS) -> None:
        self._folder = folder
        self._where = where
        self._facility = facility
        self._keep = keep_seconds
        self._read = float("-inf")
        self._keys = KeySet([])
        self.issuer = ""

    async def find(self, kid: str) -> KeySet:
        """The keys, read again when they are old or do not have `kid`. Raises `OSError`, `ValueError` and
        `aiohttp.ClientError` when they cannot be had."""
        age = time.monotonic() - self._read
        known = any(key.kid == kid for key in self._keys.keys)
        if age > self._keep or (not known and age > _AGAIN_SECONDS):
            read = json.loads(await self._text())
            self._keys = KeySet.import_key_set({"keys": read["keys"]})
            self.issuer = str(read.get("issuer", ""))
            self._read = time.monotonic()
        return self._keys

    async def _text(self) -> bytes:
        if not self._where.startswith("https://"):
            return (self._folder / self._where).read_bytes()
        place = self._folder / "uzi-ca"
        tls = ssl.create_default_context(cafile=place / "anchors.pem")
        tls.load_cert_chain(place / f"tls-{self._facility}.pem", place / f"tls-{self._facility}.key")
        async with (
            aiohttp.ClientSession(timeout=aiohttp.ClientTimeout(_FETCH_SECONDS)) as session,
            session.get(self._where, ssl=tls, raise_for_status=True) as answer,
        ):
            return await answer.read()


class Verifier:
    """The application, behind the checks; see the module."""

    def __init__(self, app: ASGIApp, keys: Keys, issuer: str, audience: str) -> None:
        self._app = app
        self._keys = keys
        self._issuer = issuer
        self._audience = audience

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return
        headers = [
            (name, value)
            for name, value in scope["headers"]
            if not name.lower().startswith(b"x-gf-") and name.lower() != FORWARDED.encode()
        ]
        if scope["path"] not in OPEN:
            try:
                told = await self._told(
                    dict(headers).get(b"authorization", b"").decode("latin-1"), shown(scope)
                )
            except Unverified as error:
                await error.answer(scope, receive, send)
                return
            headers += [(name.encode(), value.encode()) for name, value in told.items()]
        await self._app({**scope, "headers": headers}, receive, send)

    async def _told(self, authorization: str, certificate: Shown | None) -> dict[str, str]:
        """The headers for the facility. Raises `Unverified`."""
        if not authorization or certificate is None:
            raise Unverified(JSONResponse({"detail": "Unauthorized request"}, 500))
        scheme, _, token = authorization.partition(" ")
        if scheme.lower() != "bearer":
            raise Unverified(Response("Bearer authorization header is required", 401))
        claims = await self._claims(token.strip())
        act = claims.get("act")
        if not isinstance(act, dict):
            raise _refused("Missing `act` in claims")
        if not act.get("sub"):
            raise _refused("Missing OIN claim in token")
        if act["sub"] != certificate.oin:
            raise _refused("Certificate OIN does not match JWT OIN")
        if act.get("cn") != certificate.common_name:
            raise _refused("JWT `act.cn` does not match certificate CommonName")
        audience = claims["aud"]
        told = {
            "x-gf-cert-type": "OIN",
            "x-gf-act-sub": certificate.oin,
            "x-gf-act-cn": certificate.common_name,
            "x-gf-audience": audience if isinstance(audience, str) else ", ".join(audience),
            "x-gf-scope": _text(claims, "scope"),
            FORWARDED: b64encode(certificate.certificate.public_bytes(Encoding.DER)).decode(),
        }
        further = {
            "x-gf-sub": _text(claims, "sub"),
            "x-gf-organization-name": _text(claims, "organization_name"),
            "x-gf-source-id": _text(claims, "source_id"),
        }
        return told | {name: value for name, value in further.items() if value}

    async def _claims(self, token: str) -> dict[str, Any]:
        """What a token says that holds here now. Raises `Unverified`."""
        try:
            keys = await self._keys.find(_kid(token))
        except JoseError as error:
            raise _refused("Token verification failed") from error
        except (OSError, ValueError, KeyError, TypeError, aiohttp.ClientError) as error:
            raise Unverified(Response("The keys of the token server cannot be had", 503)) from error
        try:
            rules = jwt.JWTClaimsRegistry(
                now=lambda: int(now().timestamp()),
                iss={"essential": True, "value": self._issuer or self._keys.issuer},
                aud={"essential": True, "value": self._audience},
                exp={"essential": True},
                nbf={"essential": True},
                iat={"essential": True},
            )
            claims = jwt.decode(token, keys, algorithms=["RS256"]).claims
            rules.validate(claims)
        except (JoseError, ValueError, TypeError) as error:
            raise _refused("Token verification failed") from error
        return claims


def verified(app: ASGIApp, folder: Path, address: str, name: str, table: Mapping[str, Any]) -> Verifier:
    """The facility `name` at `address` behind a verifier; `table` as in the module. Raises `Invalid`."""
    where, issuer = str(table.get("jwks", KEYS_FILE)), str(table.get("issuer", ""))
    if where.startswith("https://") and not issuer:
        raise Invalid(f"[verifier] of {name}.toml names an address for jwks, so it must name the issuer too")
    keys = Keys(folder, where, name, float(table.get("keep_seconds", _KEEP_SECONDS)))
    return Verifier(app, keys, issuer, str(table.get("audience", address)))


def _kid(token: str) -> str:
    """The key that a token says it is signed with; '' when it does not say. Raises `JoseError`."""
    try:
        return str(jws.extract_compact(token.encode()).headers().get("kid", ""))
    except ValueError as error:
        raise JoseError from error


def _text(claims: Mapping[str, Any], name: str) -> str:
    value = claims.get(name, "")
    return value if isinstance(value, str) else ""


def _refused(text: str) -> Unverified:
    return Unverified(Response(text, 400))
