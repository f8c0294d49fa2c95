"""Who asks: the certificate of the connection, the token if tokens are needed, and not too often.

Source: the guide of the generic functions, Care Services (ITI-130-NL: mutual TLS and bearer tokens with SMART scopes);
RFC 6749 section 4.4, RFC 8705 (tokens bound to a certificate), RFC 6585 (429).
"""

from __future__ import annotations

import re
import time
from collections import deque
from collections.abc import Mapping
from dataclasses import dataclass
from math import ceil
from pathlib import Path
from typing import Any

import aiohttp
from cryptography.hazmat.primitives import hashes
from joserfc import jwt
from joserfc.errors import JoseError
from joserfc.jwk import KeySet
from starlette.requests import Request

from schakel.kernel.clock import new_id, now
from schakel.kernel.outcomes import Forbidden, Invalid, Outcome, Unauthenticated
from schakel_national import configuration
from schakel_national.lrza.parties import KVK, URA, Party
from schakel_national.lrza.resources import OTHERS, PROVENANCE, TYPES
from schakel_national.lrza.settings import NAME, Settings
from schakel_national.minvws.certificates import Shown, shown
from schakel_national.minvws.verifier import Keys

_SCOPE = re.compile(r"system/(\*|[A-Z][A-Za-z]+)\.(c?r?u?d?s?)")
_ALGORITHMS = ["ES256", "RS256"]


class TooMany(Outcome):
    """More requests than the directory takes of one client."""

    status, issue, code = 429, "throttled", "too-many-requests"


@dataclass(frozen=True, slots=True)
class Caller:
    """Who asks; `scopes` is None where no tokens are needed."""

    certificate: Shown | None
    parties: frozenset[Party]
    scopes: frozenset[tuple[str, str]] | None = None

    def check(self, kind: str, letter: str) -> None:
        """Raises `Forbidden` naming the scope that its token does not have (`letter` of c, r, u, s)."""
        if self.scopes is not None and not {(kind, letter), ("*", letter)} & self.scopes:
            raise Forbidden(
                f"the token has no scope system/{kind}.{letter}", code="scope-missing", expression="scope"
            )

    def check_writes(self) -> None:
        """Raises `Unauthenticated` when it showed no certificate."""
        if self.certificate is None:
            raise Unauthenticated(
                "a client certificate is needed to write: of a UZI server, or of PKIoverheid",
                code="certificate-missing",
            )


class Clients:
    """Knows clients, within `told`; `issuer` is the address of the directory, whose own tokens are kept in `folder`."""

    def __init__(self, folder: Path, told: Settings, issuer: str) -> None:
        self._told = told
        self._issuer = issuer
        self._key = configuration.own_ec_key(folder, NAME)
        self._keys = (
            Keys(folder, told.tokens.jwks, NAME) if told.tokens is not None and told.tokens.jwks else None
        )
        self._asked: dict[str, deque[float]] = {}

    async def caller(self, request: Request, *, writing: bool, open_to_all: bool = False) -> Caller:
        """Who asks. Raises `Unauthenticated`, `Forbidden` and `TooMany`."""
        certificate = shown(request.scope)
        self._count(certificate.thumbprint if certificate else request.client.host if request.client else "")
        caller = Caller(certificate, self._parties(certificate))
        if open_to_all or (self._told.open_reading and not writing):
            return caller
        if self._told.tls and certificate is None:
            raise Unauthenticated("a client certificate is needed", code="certificate-missing")
        if self._told.clients and not (self._names(certificate, caller.parties) & self._told.clients):
            raise Forbidden("the client certificate is not on the list", code="certificate-unknown")
        if self._told.tokens is None:
            return caller
        return Caller(certificate, caller.parties, await self._scopes(request, certificate, caller.parties))

    def _parties(self, certificate: Shown | None) -> frozenset[Party]:
        """The URA in a certificate, and what the settings say of whose it is."""
        if certificate is None:
            return frozenset()
        own = {Party(URA, certificate.ura)} if certificate.ura else set()
        for name in (_digest(certificate), certificate.oin.lower()):
            own |= self._told.parties.get(name, frozenset()) if name else frozenset()
        return frozenset(own)

    @staticmethod
    def _names(certificate: Shown | None, parties: frozenset[Party]) -> set[str]:
        names = {_digest(certificate)} if certificate else set()
        return names | {party.value for party in parties if party.kind in (URA, KVK)}

    def _count(self, who: str) -> None:
        if self._told.rate < 1:
            return
        moment = time.monotonic()
        asked = self._asked.setdefault(who, deque())
        while asked and asked[0] <= moment - self._told.rate_seconds:
            asked.popleft()
        if len(asked) >= self._told.rate:
            wait = ceil(asked[0] + self._told.rate_seconds - moment)
            raise TooMany(
                f"more than {self._told.rate} requests in {self._told.rate_seconds} seconds: try again after "
                f"{wait} seconds",
                headers={"Retry-After": str(max(wait, 1))},
            )
        asked.append(moment)

    # -- tokens ----------------------------------------------------------------------------------------------

    def token(self, request: Request, form: Mapping[str, str]) -> dict[str, Any]:
        """The answer of the token endpoint. Raises `Invalid` whose `kind` is an error code of RFC 6749."""
        certificate = shown(request.scope)
        if certificate is None:
            raise Invalid("a client certificate is needed", code="invalid_client")
        parties = self._parties(certificate)
        if self._told.clients and not (self._names(certificate, parties) & self._told.clients):
            raise Invalid("the client certificate is not on the list", code="invalid_client")
        if form.get("grant_type") != "client_credentials":
            raise Invalid("grant_type must be client_credentials", code="unsupported_grant_type")
        asked = form.get("scope", "").split()
        wanted = [_SCOPE.fullmatch(one) for one in asked]
        if not wanted or not all(wanted):
            raise Invalid("scope must be of the form system/Organization.crus", code="invalid_scope")
        for one in wanted:
            assert one is not None
            if not set(one[2]) <= self._letters(one[1], parties):
                raise Invalid(f"scope: {one[0]} is not given to this client", code="invalid_scope")
        seconds = self._told.tokens.seconds if self._told.tokens else 300
        moment = int(now().timestamp())
        claims = {
            "iss": self._issuer,
            "aud": self._issuer,
            "sub": next((party.value for party in sorted(parties)), certificate.thumbprint),
            "scope": " ".join(asked),
            "cnf": {"x5t#S256": certificate.thumbprint},
            "iat": moment,
            "nbf": moment,
            "exp": moment + seconds,
            "jti": new_id(),
        }
        header = {"alg": "ES256", "kid": self._key.kid, "typ": "at+jwt"}
        made = jwt.encode(header, claims, self._key, algorithms=["ES256"])
        return {
            "access_token": made,
            "token_type": "Bearer",
            "expires_in": seconds,
            "scope": " ".join(asked),
        }

    @staticmethod
    def _letters(kind: str, parties: frozenset[Party]) -> set[str]:
        """What a client may be given for a type: to read, and, when it is known who it is, to write. Whose resources
        it may write is decided at each."""
        if kind in TYPES and parties:
            return set("crus")
        if kind == PROVENANCE and parties:
            return set("crs")
        return set("rs") if kind in (*TYPES, *OTHERS, PROVENANCE, "*") else set()

    async def _scopes(
        self, request: Request, certificate: Shown | None, parties: frozenset[Party]
    ) -> frozenset[tuple[str, str]]:
        """Type and letter of all scopes of the token. Raises `Unauthenticated`."""
        scheme, _, token = request.headers.get("authorization", "").partition(" ")
        if scheme.lower() != "bearer" or not token.strip():
            raise _unauthenticated("a bearer token is needed", "token-missing")
        claims = await self._claims(token.strip())
        if certificate is None or not _bound(claims, certificate, parties):
            raise _unauthenticated("the token is not for the holder of the client certificate", "token-bound")
        found = (_SCOPE.fullmatch(one) for one in str(claims.get("scope", "")).split())
        return frozenset((one[1], letter) for one in found if one for letter in one[2])

    async def _claims(self, token: str) -> dict[str, Any]:
        told = self._told.tokens
        assert told is not None
        problem = ""
        for keys, issuer, audience in await self._issuers(token):
            try:
                rules = jwt.JWTClaimsRegistry(
                    now=lambda: int(now().timestamp()),
                    iss={"essential": True, "value": issuer},
                    aud={"essential": True, "value": audience},
                    exp={"essential": True},
                )
                claims = jwt.decode(token, keys, algorithms=_ALGORITHMS).claims
                rules.validate(claims)
                return dict(claims)
            except (JoseError, ValueError) as error:
                problem = problem or str(error)
        raise _unauthenticated(f"the token is not right: {problem}", "token-invalid")

    async def _issuers(self, token: str) -> list[tuple[KeySet, str, str]]:
        """Keys, issuer and audience of whose token it may be."""
        told = self._told.tokens
        assert told is not None
        found = [(KeySet([self._key]), self._issuer, self._issuer)]
        if self._keys is not None:
            try:
                keys = await self._keys.find("")
            except (OSError, ValueError, KeyError, aiohttp.ClientError):
                return found
            found.insert(0, (keys, told.issuer or self._keys.issuer, told.audience or self._issuer))
        return found


def _bound(claims: Mapping[str, Any], certificate: Shown, parties: frozenset[Party]) -> bool:
    """Whether a token is for the holder of a certificate: by its thumbprint, else by who asked for it (`act`, an OIN),
    else by its subject."""
    cnf, act = claims.get("cnf"), claims.get("act")
    if cnf is not None:
        return isinstance(cnf, dict) and cnf.get("x5t#S256") == certificate.thumbprint
    if act is not None:
        return isinstance(act, dict) and bool(certificate.oin) and act.get("sub") == certificate.oin
    return any(claims.get("sub") == party.value for party in parties)


def _digest(certificate: Shown) -> str:
    return certificate.certificate.fingerprint(hashes.SHA256()).hex()


def _unauthenticated(message: str, code: str) -> Unauthenticated:
    return Unauthenticated(message, code=code, headers={"WWW-Authenticate": "Bearer"})
