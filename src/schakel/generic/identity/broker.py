"""The login service for people: an OIDC broker in front of DigiD, asked who the person in the browser is.

    address -> (the person logs in there) -> code -> id token, userinfo -> BSN

The client proves itself by a signed assertion, the answer is tied to this flow by PKCE and a nonce, and the BSN
comes encrypted to us alone, signed by the broker. One RSA key of ours does both.

Source: OpenID Connect Core 1.0 (3.1.2, 3.1.3, 5.3), RFC 7636, RFC 7523 section 2.2; the broker MAX of the Ministry
of Health (userinfo: JWS in JWE).
"""

from __future__ import annotations

import time
from collections.abc import AsyncIterator, Iterable, Mapping
from contextlib import asynccontextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from urllib.parse import urlencode, urlsplit

import aiohttp
import orjson
from joserfc import jwe, jws, jwt
from joserfc.errors import JoseError
from joserfc.jwk import KeySet, RSAKey

from schakel.generic.identity.flows import LoginSecrets
from schakel.kernel.clock import new_id, now
from schakel.kernel.outcomes import Invalid, Upstream
from schakel.kernel.values import Bsn

ASSERTION_TYPE = "urn:ietf:params:oauth:client-assertion-type:jwt-bearer"
_SECONDS = 10.0
_LEEWAY = 10
_METADATA_SECONDS = 600.0
_MOST_BYTES = 200_000
_ENCRYPTION = ["RSA-OAEP", "RSA-OAEP-256", "A128CBC-HS256", "A256CBC-HS512", "A128GCM", "A256GCM"]
_SIGNING = ["RS256"]
_JWE = jwe.JWERegistry(algorithms=_ENCRYPTION, strict_check_header=False)
_JWS = jws.JWSRegistry(algorithms=_SIGNING, strict_check_header=False)


class BrokerAway(Upstream):
    """The login service gave no answer, or said to come back."""


class BrokerWrong(Upstream):
    """What the login service said is not what it should be: nobody is logged in."""


@dataclass(frozen=True, slots=True)
class Person:
    """Who logged in. `session` is the broker's own id of the login."""

    bsn: Bsn
    session: str


@dataclass(frozen=True, slots=True)
class _Provider:
    """What the broker says of itself."""

    authorize: str
    token: str
    userinfo: str
    keys: KeySet
    until: float


class Broker:
    """A client of the broker `issuer`. Made by `Broker.open`."""

    def __init__(
        self, session: aiohttp.ClientSession, issuer: str, client_id: str, key: RSAKey, levels: Iterable[str]
    ) -> None:
        self._session = session
        self._issuer = issuer
        self._client_id = client_id
        self._key = key
        self._levels = frozenset(levels)
        self._known: _Provider | None = None

    @classmethod
    @asynccontextmanager
    async def open(
        cls, issuer: str, client_id: str, key: Path, levels: Iterable[str]
    ) -> AsyncIterator[Broker]:
        """The client, with its connections until the end of the block; `levels` are the levels of assurance
        (loa_authn) that are taken. Raises `Invalid` for a bad key."""
        private = read_rsa_key(key)
        timeout = aiohttp.ClientTimeout(total=_SECONDS, connect=5)
        async with aiohttp.ClientSession(timeout=timeout, cookie_jar=aiohttp.DummyCookieJar()) as session:
            yield cls(session, issuer, client_id, private, levels)

    @property
    def origin(self) -> str:
        """Where forms of ours may lead on to."""
        parts = urlsplit(self._issuer)
        return f"{parts.scheme}://{parts.netloc}"

    async def address(self, redirect_uri: str, state: str, login: LoginSecrets, language: str) -> str:
        """Where the browser goes to log in. Raises `BrokerAway` and `BrokerWrong`."""
        provider = await self._provider()
        query = {
            "response_type": "code",
            "client_id": self._client_id,
            "redirect_uri": redirect_uri,
            "scope": "openid",
            "state": state,
            "nonce": login.nonce,
            "code_challenge": login.challenge,
            "code_challenge_method": "S256",
            "ui_locales": language,
        }
        return f"{provider.authorize}{'&' if '?' in provider.authorize else '?'}{urlencode(query)}"

    async def person(self, code: str, redirect_uri: str, login: LoginSecrets) -> Person:
        """Who logged in. Raises `BrokerAway` and `BrokerWrong`."""
        provider = await self._provider()
        issued = int(now().timestamp())
        assertion = jwt.encode(
            {"alg": "RS256", "kid": self._key.thumbprint()},
            {
                "iss": self._client_id,
                "sub": self._client_id,
                "aud": provider.token,
                "jti": new_id(),
                "iat": issued,
                "exp": issued + 60,
            },
            self._key,
            _SIGNING,
        )
        form = {
            "grant_type": "authorization_code",
            "code": code,
            "redirect_uri": redirect_uri,
            "code_verifier": login.verifier,
            "client_id": self._client_id,
            "client_assertion_type": ASSERTION_TYPE,
            "client_assertion": assertion,
        }
        tokens = _object(await self._asked("POST", provider.token, data=form))
        identity = self._claims(_text(tokens, "id_token"), provider.keys)
        if identity.get("iss") != self._issuer or identity.get("nonce") != login.nonce:
            raise BrokerWrong("the id token is for another login", code="id-token")
        headers = {"Authorization": f"Bearer {_text(tokens, 'access_token')}"}
        sealed = await self._asked("GET", provider.userinfo, headers=headers)
        try:
            opened = jwe.decrypt_compact(sealed.strip(), self._key, registry=_JWE).plaintext or b""
        except (JoseError, ValueError):
            raise BrokerWrong("the userinfo is not encrypted to us", code="userinfo") from None
        claims = self._claims(opened.decode("ascii", "replace"), provider.keys)
        subject = identity.get("sub")
        if not subject or claims.get("sub") != subject:
            raise BrokerWrong("the userinfo is about another login", code="userinfo")
        if claims.get("loa_authn") not in self._levels:
            raise BrokerWrong("the person logged in below the level that is needed", code="loa")
        try:
            return Person(Bsn(_text(claims, "bsn")), str(claims.get("session_id", "")))
        except Invalid:
            raise BrokerWrong("the userinfo has no BSN", code="userinfo") from None

    def _claims(self, text: str, keys: KeySet) -> dict[str, Any]:
        """The claims of a JWT that the broker signed for us, valid now."""
        try:
            claims = jwt.decode(text, keys, registry=_JWS).claims
        except (JoseError, ValueError, TypeError):
            raise BrokerWrong(
                "a token of the broker has no signature of its keys", code="signature"
            ) from None
        moment = now().timestamp()
        audience = claims.get("aud")
        expires, begins = claims.get("exp"), claims.get("nbf", 0)
        if audience not in (self._client_id, [self._client_id]):
            raise BrokerWrong("a token of the broker is for another client", code="audience")
        if not isinstance(expires, int) or not isinstance(begins, int):
            raise BrokerWrong("a token of the broker has no time", code="time")
        if expires + _LEEWAY < moment or begins - _LEEWAY > moment:
            raise BrokerWrong("a token of the broker is not valid now", code="time")
        return claims

    async def _provider(self) -> _Provider:
        """What the broker publishes, asked again after ten minutes."""
        if self._known is None or self._known.until < time.monotonic():
            table = _object(await self._asked("GET", f"{self._issuer}/.well-known/openid-configuration"))
            if table.get("issuer") != self._issuer:
                raise BrokerWrong("the broker has another issuer than was configured", code="issuer")
            names = ("authorization_endpoint", "token_endpoint", "userinfo_endpoint", "jwks_uri")
            authorize, token, userinfo, jwks = (_text(table, name) for name in names)
            scheme = urlsplit(self._issuer).scheme
            if any(
                urlsplit(url).scheme not in (scheme, "https") for url in (authorize, token, userinfo, jwks)
            ):
                raise BrokerWrong("the broker has an endpoint without TLS", code="endpoint")
            try:
                keys = KeySet.import_key_set(_object(await self._asked("GET", jwks)))  # type: ignore[arg-type]
            except (JoseError, ValueError, KeyError, TypeError):
                raise BrokerWrong("the keys of the broker are not a JWK Set", code="jwks") from None
            until = time.monotonic() + _METADATA_SECONDS
            self._known = _Provider(authorize, token, userinfo, keys, until)
        return self._known

    async def _asked(
        self,
        method: str,
        url: str,
        *,
        data: Mapping[str, str] | None = None,
        headers: Mapping[str, str] | None = None,
    ) -> bytes:
        try:
            async with self._session.request(
                method, url, data=data, headers=headers, allow_redirects=False
            ) as response:
                body = await response.content.read(_MOST_BYTES + 1)
                while len(body) <= _MOST_BYTES and (more := await response.content.read(_MOST_BYTES)):
                    body += more
        except (aiohttp.ClientError, TimeoutError, OSError) as error:
            raise BrokerAway("the login service gave no answer", cause=type(error).__name__) from error
        if response.status in (429, 500, 502, 503, 504):
            raise BrokerAway("the login service is not available", cause=f"status {response.status}")
        if response.status != 200 or len(body) > _MOST_BYTES:
            raise BrokerWrong("the login service refused", cause=f"status {response.status}")
        return body


def new_rsa_key() -> dict[str, Any]:
    """A new private RSA key as JWK; `kid` is its thumbprint."""
    key = RSAKey.generate_key(2048, private=True)
    return {**key.as_dict(private=True), "kid": key.thumbprint()}


def read_rsa_key(path: Path) -> RSAKey:
    """The private RSA key in a JWK file. Raises `Invalid` naming the file, never what stands in it."""
    try:
        key = RSAKey.import_key(orjson.loads(path.read_bytes()))
        if key.private_key is not None and key.private_key.key_size >= 2048:
            return key
    except OSError as error:
        raise Invalid(f"the key {path} cannot be read ({error.strerror})", code="broker-key") from error
    except (orjson.JSONDecodeError, JoseError, ValueError, KeyError, TypeError):
        pass
    raise Invalid(f"the key {path} is no private RSA key of 2048 bits or more (JWK)", code="broker-key")


def _object(body: bytes) -> dict[str, Any]:
    try:
        value = orjson.loads(body)
    except orjson.JSONDecodeError:
        value = None
    if not isinstance(value, dict):
        raise BrokerWrong("an answer of the login service is no JSON object")
    return value


def _text(table: Mapping[str, Any], name: str) -> str:
    value = table.get(name)
    if not isinstance(value, str) or not value:
        raise BrokerWrong(f"an answer of the login service has no {name}")
    return value
