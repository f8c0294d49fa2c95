"""OpenID Connect, the client's side: who the person in the browser is, by the service where they log in.

    address -> (the person logs in there) -> code -> id token, userinfo -> claims

The answer is tied to one login by state, nonce and PKCE (S256). What the service says of the person comes as a signed
JWT, sealed for us alone (five parts) or open (three), or as a plain JSON object; which are taken is a rule. What the
claims mean is known by `broker` (patients), `dezi` (professionals) and `workplace` (staff).

Source: OpenID Connect Core 1.0 (3.1.2, 3.1.3, 5.3), Discovery 1.0, RFC 7636, RFC 7523 section 2.2, RFC 7516, RFC 8725.
"""

from __future__ import annotations

import hashlib
import time
from base64 import urlsafe_b64encode
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, Literal
from urllib.parse import urlencode, urlsplit

from joserfc import jwe, jwt
from joserfc.errors import JoseError
from joserfc.jwk import RSAKey

from schakel.facilities import Facilities, FacilityAway, origin
from schakel.fhir.json import parse
from schakel.generic.identity.assertion import ASSERTION_TYPE
from schakel.generic.identity.jws import made_with, opened, registry
from schakel.generic.identity.key_sets import KeySets
from schakel.kernel.clock import new_id, now
from schakel.kernel.outcomes import Invalid, Upstream

Form = Literal["jwe", "jws", "json"]
Algorithm = Literal["RS256", "PS256", "ES256"]

_LEEWAY = 10
_METADATA_SECONDS = 600.0
_DEPTH = 16
_MOST_CHARACTERS = 200_000
_BUSY = frozenset({429, 500, 502, 503, 504})
_SIGNING: Algorithm = "RS256"
_JWE = jwe.JWERegistry(
    algorithms=["RSA-OAEP", "RSA-OAEP-256", "A128CBC-HS256", "A256CBC-HS512", "A128GCM", "A256GCM"],
    strict_check_header=False,
)


class LoginWrong(Upstream):
    """What the login service said is not what it should be: nobody is logged in."""


@dataclass(frozen=True, slots=True)
class LoginSecrets:
    """What ties the answer of the login service to one login: nonce (OIDC core 3.1.2.1), verifier (RFC 7636)."""

    nonce: str
    verifier: str

    @property
    def challenge(self) -> str:
        """The S256 challenge of the verifier."""
        digest = hashlib.sha256(self.verifier.encode()).digest()
        return urlsafe_b64encode(digest).rstrip(b"=").decode()


@dataclass(frozen=True, slots=True)
class LoginRules:
    """`forms` are the forms of userinfo that are taken, `algorithms` those of the signatures of the service; `proves`
    says that we prove ourselves by a signed assertion when we ask for tokens, whose header has also what is in
    `header`; `scope` is what is asked for."""

    issuer: str
    client_id: str
    forms: frozenset[Form]
    proves: bool
    algorithms: frozenset[Algorithm] = frozenset({_SIGNING})
    scope: str = "openid"
    header: Mapping[str, str] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class Identity:
    """Who logged in: the claims of the id token, and the access token with which more can be asked."""

    claims: Mapping[str, Any]
    access_token: str = field(repr=False)


@dataclass(frozen=True, slots=True)
class _Provider:
    """What the service says of itself."""

    authorize: str
    token: str
    userinfo: str
    jwks: str
    until: float


class LoginService:
    """A client of the login service that lies at `wires`; `key` proves us and opens what is sealed for us."""

    def __init__(self, wires: Facilities, rules: LoginRules, key: RSAKey) -> None:
        self._wires = wires
        self._rules = rules
        self._key = key
        self._keys = KeySets(wires, _METADATA_SECONDS)
        self._known: _Provider | None = None
        self._jws = registry(*sorted(rules.algorithms), longest=_MOST_CHARACTERS)

    async def address(self, redirect_uri: str, state: str, login: LoginSecrets, **more: str) -> str:
        """Where the browser goes to log in; `more` are further parameters. Raises `FacilityAway` and `LoginWrong`."""
        provider = await self._provider()
        query = {
            "response_type": "code",
            "client_id": self._rules.client_id,
            "redirect_uri": redirect_uri,
            "scope": self._rules.scope,
            "state": state,
            "nonce": login.nonce,
            "code_challenge": login.challenge,
            "code_challenge_method": "S256",
            **more,
        }
        return f"{provider.authorize}{'&' if '?' in provider.authorize else '?'}{urlencode(query)}"

    async def userinfo(self, code: str, redirect_uri: str, login: LoginSecrets) -> Mapping[str, Any]:
        """The claims about who logged in, for this login and us alone. Raises `FacilityAway` and `LoginWrong`."""
        return await self.about(await self.identity(code, redirect_uri, login))

    async def identity(self, code: str, redirect_uri: str, login: LoginSecrets) -> Identity:
        """Who logged in, for this login and us alone. Raises `FacilityAway` and `LoginWrong`."""
        provider = await self._provider()
        form = {
            "grant_type": "authorization_code",
            "code": code,
            "redirect_uri": redirect_uri,
            "code_verifier": login.verifier,
            "client_id": self._rules.client_id,
            **(self._proof(provider.token) if self._rules.proves else {}),
        }
        headers = {"Content-Type": "application/x-www-form-urlencoded", "Accept": "application/json"}
        tokens = _object(await self._asked("POST", provider.token, urlencode(form).encode(), headers))
        identity = await self._claims(_text(tokens, "id_token"), provider)
        if identity.get("iss") != self._rules.issuer:
            raise LoginWrong("the id token is of another issuer (claim iss)", code="login-issuer")
        if identity.get("nonce") != login.nonce:
            raise LoginWrong("the id token is for another login (claim nonce)", code="login-nonce")
        return Identity(identity, _text(tokens, "access_token"))

    async def about(self, who: Identity) -> Mapping[str, Any]:
        """What the service says of who logged in (userinfo). Raises `FacilityAway` and `LoginWrong`."""
        provider = await self._provider()
        headers = {"Authorization": f"Bearer {who.access_token}"}
        said = await self._asked("GET", provider.userinfo, b"", headers)
        if "json" in self._rules.forms and said.lstrip().startswith(b"{"):
            claims = _object(said)
        else:
            claims = await self._claims(self._opened(said), provider)
        subject = who.claims.get("sub")
        if not isinstance(subject, str) or not subject or claims.get("sub") != subject:
            raise LoginWrong("the userinfo is about another login (claim sub)", code="login-subject")
        return claims

    def _proof(self, endpoint: str) -> dict[str, str]:
        issued = int(now().timestamp())
        claims = {
            "iss": self._rules.client_id,
            "sub": self._rules.client_id,
            "aud": endpoint,
            "jti": new_id(),
            "iat": issued,
            "exp": issued + 60,
        }
        header = {"alg": _SIGNING, "kid": self._key.thumbprint(), **self._rules.header}
        assertion = jwt.encode(header, claims, self._key, [_SIGNING])
        return {"client_assertion_type": ASSERTION_TYPE, "client_assertion": assertion}

    def _opened(self, body: bytes) -> str:
        """The signed JWT in an answer of userinfo, sealed or not."""
        text = body.strip()
        form: Form | None = {4: "jwe", 2: "jws"}.get(text.count(b"."))  # type: ignore[assignment]
        if form is None or form not in self._rules.forms:
            taken = " and ".join(sorted(self._rules.forms))
            raise LoginWrong(f"the userinfo has a form that is not taken: {taken} are", code="login-form")
        if form == "jwe":
            try:
                text = jwe.decrypt_compact(text, self._key, registry=_JWE).plaintext or b""
            except (JoseError, ValueError, TypeError):
                raise LoginWrong("the userinfo is not sealed for us", code="login-sealed") from None
        return text.decode("ascii", "replace")

    async def _claims(self, text: str, provider: _Provider) -> dict[str, Any]:
        """The claims of a JWT that the service signed for us, valid now."""
        try:
            if len(text) > _MOST_CHARACTERS:
                raise ValueError("too long")
            signed = opened(text, self._jws, _DEPTH)
        except ValueError:
            raise LoginWrong("a token of the login service is no signed JWT", code="login-token") from None
        kid = signed.header.get("kid")
        if (
            signed.header.get("alg") not in self._rules.algorithms
            or not isinstance(kid, str | None)
            or "crit" in signed.header
        ):
            taken = " or ".join(sorted(self._rules.algorithms))
            raise LoginWrong(f"a token of the login service is not signed with {taken}", code="login-token")
        if not any(made_with(signed, key, self._jws) for key in await self._keys.find(provider.jwks, kid)):
            raise LoginWrong(
                "a token of the login service has no signature of its keys", code="login-signature"
            )
        claims = signed.claims
        if claims.get("iss", self._rules.issuer) != self._rules.issuer:
            raise LoginWrong("a token is of another issuer (claim iss)", code="login-issuer")
        if claims.get("aud") not in (self._rules.client_id, [self._rules.client_id]):
            raise LoginWrong("a token is for another client (claim aud)", code="login-audience")
        moment, ends, begins = now().timestamp(), claims.get("exp"), claims.get("nbf", 0)
        if type(ends) is not int or type(begins) is not int:
            raise LoginWrong("a token of the login service has no time (claims exp, nbf)", code="login-time")
        if ends + _LEEWAY < moment or begins - _LEEWAY > moment:
            raise LoginWrong("a token of the login service is not valid now (exp, nbf)", code="login-time")
        return claims

    async def _provider(self) -> _Provider:
        """What the service publishes, asked again after ten minutes."""
        if self._known is None or self._known.until < time.monotonic():
            issuer = self._rules.issuer
            # A slash that ends the issuer is part of its name, and not doubled here (Discovery 1.0, section 4.1).
            place = f"{issuer.removesuffix('/')}/.well-known/openid-configuration"
            table = _object(await self._asked("GET", place, b"", {}))
            if table.get("issuer") != issuer:
                raise LoginWrong(
                    "the login service has another issuer than was configured", code="login-issuer"
                )
            names = ("authorization_endpoint", "token_endpoint", "userinfo_endpoint", "jwks_uri")
            authorize, token, userinfo, jwks = (_text(table, name) for name in names)
            allowed = (urlsplit(issuer).scheme, "https")
            if any(origin(url)[0] not in allowed for url in (authorize, token, userinfo, jwks)):
                raise LoginWrong("the login service has an endpoint without TLS", code="login-endpoint")
            until = time.monotonic() + _METADATA_SECONDS
            self._known = _Provider(authorize, token, userinfo, jwks, until)
        return self._known

    async def _asked(self, method: str, url: str, body: bytes, headers: Mapping[str, str]) -> bytes:
        answer = await self._wires.send(method, url, body=body, headers=headers)
        if answer.status in _BUSY:
            raise FacilityAway(self._wires.name, f"status {answer.status}")
        if answer.status != 200:
            raise LoginWrong(
                "the login service refused", code="login-refused", cause=f"status {answer.status}"
            )
        return answer.body


def _object(body: bytes) -> dict[str, Any]:
    try:
        return parse(body, max_depth=_DEPTH)
    except Invalid:
        raise LoginWrong("an answer of the login service is no JSON object", code="login-answer") from None


def _text(table: Mapping[str, Any], name: str) -> str:
    value = table.get(name)
    if not isinstance(value, str) or not value:
        raise LoginWrong(f"an answer of the login service has no {name}", code="login-answer")
    return value
