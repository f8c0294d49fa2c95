"""What login services share: the code flow of OpenID Connect with PKCE, from the request of a client to its tokens.

    ask -> (somebody logs in: `enter`) -> code -> tokens -> userinfo

In memory; a restart forgets it. Who logs in, and what is said of that person, each service knows itself.

Source: OpenID Connect Core 1.0 (3.1.2, 3.1.3, 5.3), Discovery 1.0 section 3, RFC 7636, RFC 7523 section 2.2.
"""

from __future__ import annotations

import hashlib
import hmac
import time
from abc import ABC, abstractmethod
from base64 import urlsafe_b64encode
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Generic, Literal, TypeVar

from joserfc import jws, jwt
from joserfc.errors import JoseError
from joserfc.jwk import RSAKey
from starlette.requests import Request
from starlette.responses import JSONResponse, Response

from schakel.kernel.outcomes import Invalid
from schakel_national.once import Once
from schakel_national.pages import PRIVATE, form

ASSERTION_TYPE = "urn:ietf:params:oauth:client-assertion-type:jwt-bearer"
TOKEN_SECONDS = 300

_LOGIN_SECONDS = 900
_CODE_SECONDS = 60
_ASSERTION_SECONDS = 90
_SIGNING = jws.JWSRegistry(algorithms=["RS256"], strict_check_header=False)

Auth = Literal["private_key_jwt", "none"]


class Refused(Invalid):
    """An OAuth error: `word` is its code."""

    def __init__(self, word: str, message: str) -> None:
        super().__init__(message, code=word)
        self.word = word


@dataclass(frozen=True, slots=True)
class Client:
    """A registered client; `key` is its public key, by which it proves itself unless `auth` is none."""

    id: str
    redirect_uris: tuple[str, ...]
    key: RSAKey
    auth: Auth = "none"

    @classmethod
    def parse(cls, table: Mapping[str, Any], auth: Auth = "none") -> Client:
        """The client in a table of the configuration, which proves itself by `auth` when that does not say. Raises
        `ValueError` and `KeyError`."""
        said = table.get("auth", auth)
        if said not in ("private_key_jwt", "none"):
            raise ValueError(f"auth of {table['id']} is {said!r}")
        return cls(
            str(table["id"]), tuple(table["redirect_uris"]), RSAKey.import_key(dict(table["key"])), said
        )


@dataclass(frozen=True, slots=True)
class Asked:
    """An authorisation request that may go on; `locales` are the languages that it would like."""

    client: Client
    redirect_uri: str
    state: str
    nonce: str
    challenge: str
    locales: str


@dataclass(frozen=True, slots=True)
class Entered:
    """Somebody who logged in for a request."""

    asked: Asked


L = TypeVar("L", bound=Entered)


class Provider(ABC, Generic[L]):
    """A login service called `issuer`, which signs with `key`; its keys are at `jwks_path`."""

    def __init__(
        self, issuer: str, key: RSAKey, clients: Mapping[str, Client], jwks_path: str = "/jwks.json"
    ) -> None:
        self.issuer = issuer
        self.address = issuer.removesuffix("/")
        self.jwks_path = jwks_path
        self._key = key
        self._clients = clients
        self.waiting = Once[Asked](_LOGIN_SECONDS)
        self._codes = Once[L](_CODE_SECONDS)
        self._tokens = Once[L](TOKEN_SECONDS)
        self._used: dict[str, float] = {}

    def metadata(self) -> dict[str, Any]:
        """What the service publishes of itself."""
        return {
            "issuer": self.issuer,
            "authorization_endpoint": f"{self.address}/authorize",
            "token_endpoint": f"{self.address}/token",
            "userinfo_endpoint": f"{self.address}/userinfo",
            "jwks_uri": f"{self.address}{self.jwks_path}",
            "scopes_supported": ["openid"],
            "response_types_supported": ["code"],
            "grant_types_supported": ["authorization_code"],
            "subject_types_supported": ["public"],
            "id_token_signing_alg_values_supported": ["RS256"],
            "token_endpoint_auth_methods_supported": ["none", "private_key_jwt"],
            "token_endpoint_auth_signing_alg_values_supported": ["RS256"],
            "code_challenge_methods_supported": ["S256"],
        }

    def jwks(self) -> dict[str, Any]:
        """The public keys."""
        members = self._key.as_dict(private=False)
        return {"keys": [{**members, "kid": self._key.kid, "use": "sig", "alg": "RS256"}]}

    def registered(self, query: Mapping[str, str]) -> tuple[Client, str]:
        """The client of a request and where it may be sent back to. Raises `Refused`: then it may not."""
        client = self._clients.get(query.get("client_id", ""))
        if client is None:
            raise Refused("invalid_client", "client_id is not known here")
        address = query.get("redirect_uri", "")
        if address not in client.redirect_uris:
            raise Refused("invalid_request", "redirect_uri is not registered for this client")
        return client, address

    def ask(self, query: Mapping[str, str]) -> str:
        """The name under which a checked request waits for the login. Raises `Refused`."""
        client, address = self.registered(query)
        if query.get("response_type") != "code":
            raise Refused("unsupported_response_type", "response_type must be code")
        if "openid" not in query.get("scope", "").split():
            raise Refused("invalid_scope", "scope must have openid")
        for name in ("state", "nonce", "code_challenge"):
            if not query.get(name):
                raise Refused("invalid_request", f"{name} is missing")
        if query.get("code_challenge_method") != "S256":
            raise Refused("invalid_request", "code_challenge_method must be S256")
        challenge, locales = query["code_challenge"], query.get("ui_locales", "")
        return self.waiting.put(Asked(client, address, query["state"], query["nonce"], challenge, locales))

    def enter(self, login: L) -> str:
        """A code for somebody who logged in."""
        return self._codes.put(login)

    def tokens(self, form: Mapping[str, str]) -> dict[str, Any]:
        """The answer of the token endpoint. Raises `Refused`."""
        login = self._codes.take(form.get("code", ""))
        client = self._proved(form)
        if form.get("grant_type") != "authorization_code":
            raise Refused("unsupported_grant_type", "grant_type must be authorization_code")
        digest = hashlib.sha256(form.get("code_verifier", "").encode()).digest()
        challenge = urlsafe_b64encode(digest).rstrip(b"=").decode()
        if (
            login is None
            or login.asked.client.id != client.id
            or login.asked.redirect_uri != form.get("redirect_uri")
            or not hmac.compare_digest(login.asked.challenge, challenge)
        ):
            raise Refused("invalid_grant", "the code is not known, was used, or belongs to another request")
        return {
            "access_token": self._tokens.put(login),
            "token_type": "Bearer",
            "expires_in": TOKEN_SECONDS,
            "id_token": self.id_token(login),
        }

    @abstractmethod
    def id_token(self, login: L) -> str:
        """The id token about a login, with the nonce of its request."""

    def seen(self, token: str) -> L:
        """The login that an access token is for. Raises `Refused`."""
        login = self._tokens.see(token)
        if login is None:
            raise Refused("invalid_token", "the access token is not known or has expired")
        return login

    @abstractmethod
    def userinfo(self, token: str) -> str:
        """What is said of who logged in, to the bearer of this token. Raises `Refused`."""

    def sign(self, claims: Mapping[str, Any], **header: str) -> str:
        """A JWT of the service."""
        head = {"alg": "RS256", "kid": self._key.kid, **header}
        return jwt.encode(head, dict(claims), self._key, registry=_SIGNING)

    def _proved(self, form: Mapping[str, str]) -> Client:
        """The client of a token request, proved as it is registered. Raises `Refused`."""
        client = self._clients.get(form.get("client_id", ""))
        if client is None:
            raise Refused("invalid_client", "client_id is not known here")
        if client.auth == "none":
            return client
        if form.get("client_assertion_type") != ASSERTION_TYPE:
            raise Refused("invalid_client", f"client_assertion_type must be {ASSERTION_TYPE}")
        try:
            claims = jwt.decode(form.get("client_assertion", ""), client.key, registry=_SIGNING).claims
        except (JoseError, ValueError):
            raise Refused("invalid_client", "client_assertion is not signed by the client's key") from None
        moment, expires, jti = time.time(), claims.get("exp"), claims.get("jti")
        if (
            claims.get("iss") != client.id
            or claims.get("sub") != client.id
            or claims.get("aud") != f"{self.address}/token"
            or not isinstance(expires, int)
            or not moment < expires <= moment + _ASSERTION_SECONDS
            or not isinstance(jti, str)
        ):
            raise Refused("invalid_client", "a claim of client_assertion is not right")
        self._used = {name: until for name, until in self._used.items() if until > moment}
        if jti in self._used:
            raise Refused("invalid_client", "client_assertion was used before")
        self._used[jti] = float(expires)
        return client


class Endpoints(Generic[L]):
    """The addresses of a login service that its clients ask; userinfo is said as `media`."""

    media = "application/jwt"

    def __init__(self, provider: Provider[L]) -> None:
        self.provider = provider

    async def metadata(self, request: Request) -> Response:
        """What the service offers and where."""
        return JSONResponse(self.provider.metadata())

    async def jwks(self, request: Request) -> Response:
        """The public keys."""
        return JSONResponse(self.provider.jwks())

    async def token(self, request: Request) -> Response:
        """The token endpoint."""
        try:
            return JSONResponse(self.provider.tokens(await form(request)), headers=PRIVATE)
        except Refused as refusal:
            body = {"error": refusal.word, "error_description": refusal.message}
            return JSONResponse(body, 401 if refusal.word == "invalid_client" else 400)

    async def userinfo(self, request: Request) -> Response:
        """What is said of who logged in."""
        scheme, _, token = request.headers.get("authorization", "").partition(" ")
        try:
            said = self.provider.userinfo(token.strip() if scheme.lower() == "bearer" else "")
        except Refused as refusal:
            headers = {"WWW-Authenticate": f'Bearer error="{refusal.word}"'}
            return JSONResponse({"error": refusal.word}, 401, headers)
        return Response(said, headers=PRIVATE, media_type=self.media)
