"""The authorisation server of one organisation: tokens given, recognised and explained.

Source: RFC 6749 section 4.4 (client credentials), RFC 7523 section 2.2, RFC 6750 (bearer tokens), RFC 7662
(introspection), RFC 8414 (metadata).
"""

from __future__ import annotations

import asyncio
import hashlib
import re
import secrets
import time
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import Any

import asyncpg
from asyncpg.pool import PoolConnectionProxy

from schakel.generic.identity.assertion import Assertion, RequesterKeys, verify
from schakel.generic.identity.errors import (
    InvalidClientError,
    InvalidRequestError,
    InvalidScopeError,
    UnsupportedGrantTypeError,
)
from schakel.generic.identity.model import Grant, User
from schakel.kernel.clock import new_id, now
from schakel.kernel.outcomes import Unauthenticated
from schakel.store.connection import acquire

__all__ = ["AuthorisationServer", "RequesterKeys", "TokenAnswer"]

ASSERTION_TYPE = "urn:ietf:params:oauth:client-assertion-type:jwt-bearer"
_TOKEN = re.compile(r"[A-Za-z0-9_-]{43}")

_KEPT = timedelta(hours=1)
"""How long past its expiry a used assertion is remembered: more than clocks of processes can ever differ."""

_CLEANING_SECONDS = 60.0
_TRUSTED_SECONDS = 5.0
"""How long a process may go on without asking the database for a token again."""

_TRUSTED_TOKENS = 10_000

_ISSUE = """
WITH used AS (
    INSERT INTO used_assertion (tenant, requester, jti, expires) VALUES ($1, $2, $3, $4)
    ON CONFLICT DO NOTHING RETURNING tenant
)
INSERT INTO access_token (tenant, digest, jti, requester, scope, user_id, user_name, user_role,
    user_responsible, purpose, treatment_relation, patient, expires)
SELECT tenant, $5, $6, $2, $7, $8, $9, $10, $11, $12, $13, '', now() + $14 FROM used
RETURNING expires
"""

_FIND = """
SELECT jti, requester, scope, user_id, user_name, user_role, user_responsible, purpose, treatment_relation,
    patient, issued, expires, extract(epoch FROM expires - now())::float8 AS seconds
FROM access_token WHERE tenant = $1 AND digest = $2 AND expires > now()
"""

_CLEAN = (
    """
    DELETE FROM used_assertion WHERE tenant = $1 AND (requester, jti) IN (
        SELECT requester, jti FROM used_assertion WHERE tenant = $1 AND expires < now()
        FOR UPDATE SKIP LOCKED)
    """,
    """
    DELETE FROM access_token WHERE tenant = $1 AND digest IN (
        SELECT digest FROM access_token WHERE tenant = $1 AND expires < now() FOR UPDATE SKIP LOCKED)
    """,
)


@dataclass(frozen=True, slots=True)
class TokenAnswer:
    """A token that was given; `token` is the secret, `grant` what it says, `seconds` how long it is valid."""

    token: str
    grant: Grant
    seconds: int

    def json(self) -> dict[str, Any]:
        """The body of the answer (RFC 6749, section 5.1)."""
        return {
            "access_token": self.token,
            "token_type": "Bearer",
            "expires_in": self.seconds,
            "scope": self.grant.scope,
        }


class AuthorisationServer:
    """The authorisation server of organisation `tenant`.

    `issuer` is its address as others know it, without a slash at the end; `lifetime` is of its tokens, in
    seconds. Several processes may serve one organisation: what must happen once is decided in the database.
    """

    def __init__(
        self,
        pool: asyncpg.Pool,
        tenant: int,
        issuer: str,
        keys: RequesterKeys,
        lifetime: int,
        scopes: frozenset[str] = frozenset({"bgz"}),
    ) -> None:
        self.issuer = issuer
        self._pool = pool
        self._tenant = tenant
        self._keys = keys
        self._lifetime = lifetime
        self._scopes = scopes
        self._trusted: dict[bytes, tuple[float, Grant]] = {}
        self._finding: dict[bytes, asyncio.Future[asyncpg.Record | None]] = {}
        self._clean_after = 0.0

    async def token(self, form: Mapping[str, str]) -> TokenAnswer:
        """A token for the request in `form` (the fields of the posted form, each once).

        Raises `OAuthError` naming what is wrong, and `Busy` when the database is away: then no token was
        given.
        """
        scope = self._check_form(form)
        assertion = verify(form["client_assertion"], self.issuer, self._keys, now().timestamp())
        client = form.get("client_id", assertion.requester)
        if client != assertion.requester:
            raise InvalidClientError(
                "client_id is not the organisation that made the assertion",
                code="client-id",
                expression="client_id",
                requester=assertion.requester,
            )
        return await self._issue(assertion, scope)

    def _check_form(self, form: Mapping[str, str]) -> str:
        """The scope asked for, in order and each once, when the other fields are in order too."""
        for name in ("grant_type", "scope", "client_assertion_type", "client_assertion"):
            if not form.get(name):
                raise InvalidRequestError(
                    f"the form field {name} is missing", code="field-missing", expression=name
                )
        if form["grant_type"] != "client_credentials":
            raise UnsupportedGrantTypeError(
                "grant_type is not supported: client_credentials is",
                code="grant-type",
                expression="grant_type",
            )
        if form["client_assertion_type"] != ASSERTION_TYPE:
            raise InvalidRequestError(
                f"client_assertion_type is not supported: {ASSERTION_TYPE} is",
                code="assertion-type",
                expression="client_assertion_type",
            )
        asked = set(form["scope"].split(" "))
        if not asked <= self._scopes:
            raise InvalidScopeError(
                f"a scope in scope is not offered here: {' '.join(sorted(self._scopes))} can be asked for",
                code="scope",
                expression="scope",
            )
        return " ".join(sorted(asked))

    async def _issue(self, assertion: Assertion, scope: str) -> TokenAnswer:
        """Use the assertion up and keep the new token, in one statement: both happen or neither does."""
        token, jti = secrets.token_urlsafe(32), new_id()
        user = assertion.user
        async with acquire(self._pool) as connection:
            await self._clean(connection)
            expires: datetime | None = await connection.fetchval(
                _ISSUE,
                self._tenant,
                assertion.requester,
                assertion.jti,
                datetime.fromtimestamp(assertion.expires, UTC) + _KEPT,
                _digest(token),
                jti,
                scope,
                user.id,
                user.name,
                user.role,
                user.responsible,
                assertion.purpose,
                assertion.treatment_relation,
                timedelta(seconds=self._lifetime),
            )
        if expires is None:
            raise InvalidClientError(
                "the assertion was used before: make a new one, with a new jti, for each request",
                code="assertion-replayed",
                expression="jti",
                requester=assertion.requester,
            )
        grant = Grant(
            assertion.requester, scope, user, assertion.purpose, assertion.treatment_relation, jti, expires
        )
        return TokenAnswer(token, grant, self._lifetime)

    async def _clean(self, connection: PoolConnectionProxy) -> None:
        """Now and then, remove what has expired; rows another process is removing are left to it."""
        if time.monotonic() < self._clean_after:
            return
        self._clean_after = time.monotonic() + _CLEANING_SECONDS
        for statement in _CLEAN:
            await connection.execute(statement, self._tenant)

    async def identify(self, authorization: str | None) -> Grant:
        """What the token in the header `Authorization: Bearer TOKEN` says. Raises `Unauthenticated`."""
        if not authorization:
            raise Unauthenticated(
                "a token is needed: Authorization: Bearer TOKEN",
                code="token-missing",
                headers={"WWW-Authenticate": "Bearer"},
            )
        scheme, _, token = authorization.partition(" ")
        if scheme.lower() != "bearer":
            raise Unauthenticated(
                "Authorization has a scheme that is not supported: Bearer is",
                code="token-scheme",
                headers={"WWW-Authenticate": "Bearer"},
            )
        token = token.strip()
        digest = _digest(token)
        until, grant = self._trusted.get(digest, (0.0, None))
        if grant is not None and time.monotonic() < until:
            return grant
        self._trusted.pop(digest, None)
        row = await self._found_once(token, digest)
        if row is None:
            raise Unauthenticated(
                "the token is not known here or has expired: get a new one",
                code="token-invalid",
                headers={"WWW-Authenticate": 'Bearer error="invalid_token"'},
            )
        grant = _grant(row)
        if len(self._trusted) >= _TRUSTED_TOKENS:
            self._trusted.pop(next(iter(self._trusted)))
        self._trusted[digest] = time.monotonic() + min(row["seconds"], _TRUSTED_SECONDS), grant
        return grant

    async def introspect(self, token: str) -> dict[str, Any]:
        """What a token of this server says (RFC 7662, section 2.2); {"active": false} for any other text."""
        row = await self._find(token)
        if row is None:
            return {"active": False}
        grant = _grant(row)
        return {
            "active": True,
            "iss": self.issuer,
            "client_id": grant.requester,
            "sub": grant.requester,
            "scope": grant.scope,
            "token_type": "Bearer",
            "jti": grant.jti,
            "iat": int(row["issued"].timestamp()),
            "exp": int(grant.expires.timestamp()),
            "user": grant.user.json() if grant.user else None,
            "purpose_of_use": grant.purpose,
            "treatment_relation": grant.treatment_relation,
        }

    async def _found_once(self, token: str, digest: bytes) -> asyncpg.Record | None:
        """`_find`, once for all requests that come with the same token while it is being looked up."""
        finding = self._finding.get(digest)
        if finding is None:
            finding = self._finding[digest] = asyncio.ensure_future(self._find(token))
            finding.add_done_callback(lambda _: self._finding.pop(digest, None))
        return await asyncio.shield(finding)

    async def _find(self, token: str) -> asyncpg.Record | None:
        """The row of a token that is valid now."""
        if not _TOKEN.fullmatch(token):
            return None
        async with acquire(self._pool) as connection:
            return await connection.fetchrow(_FIND, self._tenant, _digest(token))

    def metadata(self) -> dict[str, Any]:
        """What this server offers and where (RFC 8414, section 2)."""
        return {
            "issuer": self.issuer,
            "token_endpoint": f"{self.issuer}/oauth2/token",
            "jwks_uri": f"{self.issuer}/oauth2/jwks",
            "response_types_supported": [],
            "grant_types_supported": ["client_credentials"],
            "scopes_supported": sorted(self._scopes),
            "token_endpoint_auth_methods_supported": ["private_key_jwt"],
            "token_endpoint_auth_signing_alg_values_supported": ["ES256"],
        }


def _digest(token: str) -> bytes:
    return hashlib.sha256(token.encode(errors="replace")).digest()


def _grant(row: asyncpg.Record) -> Grant:
    user = User(row["user_id"], row["user_name"], row["user_role"], row["user_responsible"])
    return Grant(
        row["requester"],
        row["scope"],
        user,
        row["purpose"],
        row["treatment_relation"],
        row["jti"],
        row["expires"],
        row["patient"],
    )
