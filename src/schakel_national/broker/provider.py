"""What the broker remembers and decides: requests under way, codes, tokens. In memory; a restart forgets it."""

from __future__ import annotations

import hashlib
import hmac
import secrets
import time
from base64 import urlsafe_b64encode
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Literal

from joserfc import jwe, jws, jwt
from joserfc.errors import JoseError
from joserfc.jwk import RSAKey

from schakel.kernel.clock import new_id
from schakel.kernel.outcomes import Invalid
from schakel.kernel.values import Bsn
from schakel_national.broker.texts import wanted
from schakel_national.once import Once

LEVEL = "urn:oasis:names:tc:SAML:2.0:ac:classes:MobileTwoFactorContract"
ASSERTION_TYPE = "urn:ietf:params:oauth:client-assertion-type:jwt-bearer"

_LOGIN_SECONDS = 900
_CODE_SECONDS = 60
_TOKEN_SECONDS = 300
_SIGNING = jws.JWSRegistry(algorithms=["RS256"])
_SEALING = jwe.JWERegistry(algorithms=["RSA-OAEP", "A128CBC-HS256"])


class Refused(Invalid):
    """An OAuth error: `word` is its code."""

    def __init__(self, word: str, message: str) -> None:
        super().__init__(message, code=word)
        self.word = word


@dataclass(frozen=True, slots=True)
class Client:
    """A registered client."""

    id: str
    redirect_uris: tuple[str, ...]
    key: RSAKey
    auth: Literal["private_key_jwt", "none"]

    @classmethod
    def parse(cls, table: Mapping[str, Any]) -> Client:
        """The client in a table of the configuration. Raises `ValueError` and `KeyError`."""
        auth = table.get("auth", "private_key_jwt")
        if auth not in ("private_key_jwt", "none"):
            raise ValueError(f"auth of {table['id']} is {auth!r}")
        return cls(
            str(table["id"]), tuple(table["redirect_uris"]), RSAKey.import_key(dict(table["key"])), auth
        )


@dataclass(frozen=True, slots=True)
class Asked:
    """An authorisation request that may go on."""

    client: Client
    redirect_uri: str
    state: str
    nonce: str
    challenge: str
    language: str


@dataclass(frozen=True, slots=True)
class Login:
    """Someone who logged in for a request."""

    asked: Asked
    bsn: Bsn
    session: str
    subject: str


class Provider:
    """The broker at `issuer`, which signs with `key`."""

    def __init__(self, issuer: str, key: RSAKey, clients: Mapping[str, Client], level: str) -> None:
        self.issuer = issuer
        self._key = key
        self._clients = clients
        self._level = level
        self._salt = secrets.token_bytes(16)
        self.waiting = Once[Asked](_LOGIN_SECONDS)
        self._codes = Once[Login](_CODE_SECONDS)
        self._tokens = Once[Login](_TOKEN_SECONDS)
        self._used: dict[str, float] = {}

    def metadata(self) -> dict[str, Any]:
        """OpenID Connect Discovery 1.0, section 3."""
        return {
            "issuer": self.issuer,
            "authorization_endpoint": f"{self.issuer}/authorize",
            "token_endpoint": f"{self.issuer}/token",
            "userinfo_endpoint": f"{self.issuer}/userinfo",
            "jwks_uri": f"{self.issuer}/jwks",
            "scopes_supported": ["openid"],
            "response_types_supported": ["code"],
            "grant_types_supported": ["authorization_code"],
            "subject_types_supported": ["pairwise"],
            "id_token_signing_alg_values_supported": ["RS256"],
            "userinfo_encryption_alg_values_supported": ["RSA-OAEP"],
            "userinfo_encryption_enc_values_supported": ["A128CBC-HS256"],
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
        return self.waiting.put(
            Asked(
                client,
                address,
                query["state"],
                query["nonce"],
                query["code_challenge"],
                wanted(query.get("ui_locales", "")),
            )
        )

    def log_in(self, asked: Asked, bsn: Bsn) -> str:
        """A code for someone who logged in."""
        text = f"{asked.client.id} {bsn}".encode()
        subject = hmac.new(self._salt, text, hashlib.sha256).hexdigest()
        return self._codes.put(Login(asked, bsn, new_id(), subject))

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
        token = self._tokens.put(login)
        claims = {"nonce": login.asked.nonce, "loa_authn": self._level}
        return {
            "access_token": token,
            "token_type": "Bearer",
            "expires_in": _TOKEN_SECONDS,
            "id_token": self._signed(login, claims),
        }

    def userinfo(self, token: str) -> str:
        """Who logged in, sealed for the client alone. Raises `Refused`."""
        login = self._tokens.see(token)
        if login is None:
            raise Refused("invalid_token", "the access token is not known or has expired")
        claims = {"bsn": str(login.bsn), "session_id": login.session, "loa_authn": self._level}
        header = {"typ": "JWT", "cty": "JWT", "alg": "RSA-OAEP", "enc": "A128CBC-HS256"}
        text = self._signed(login, claims)
        return jwe.encrypt_compact(header, text, login.asked.client.key, registry=_SEALING)

    def _signed(self, login: Login, claims: Mapping[str, str]) -> str:
        moment = int(time.time())
        all_claims = {
            "iss": self.issuer,
            "aud": login.asked.client.id,
            "sub": login.subject,
            "iat": moment,
            "nbf": moment - 10,
            "exp": moment + _TOKEN_SECONDS,
            **claims,
        }
        header = {"alg": "RS256", "kid": self._key.kid}
        return jwt.encode(header, all_claims, self._key, registry=_SIGNING)

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
            or claims.get("aud") != f"{self.issuer}/token"
            or not isinstance(expires, int)
            or not moment < expires <= moment + 90
            or not isinstance(jti, str)
        ):
            raise Refused("invalid_client", "a claim of client_assertion is not right")
        self._used = {name: until for name, until in self._used.items() if until > moment}
        if jti in self._used:
            raise Refused("invalid_client", "client_assertion was used before")
        self._used[jti] = float(expires)
        return client
