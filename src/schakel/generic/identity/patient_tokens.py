"""Codes and tokens of patients: given once, exchanged once, rotated, recognised, withdrawn.

Only digests are kept. The tokens of an answer are derived from the code (or refresh token) that was offered and a
random salt: whoever has the database lacks the first, whoever has the code lacks the second. Where a setting lets
the same request be answered once more, the salt is kept for that long, and the answer itself never.

Source: RFC 6749 sections 4.1.3, 5 and 6, RFC 9700 section 4.14 (rotation), RFC 7009; MedMij framework 2.2.x, token
interface (core.tknint.203-208).
"""

from __future__ import annotations

import hashlib
import hmac
import re
import secrets
import time
import uuid
from base64 import urlsafe_b64encode
from collections.abc import Collection, Mapping
from dataclasses import dataclass
from datetime import timedelta

import asyncpg

from schakel.generic.identity.errors import (
    InvalidClientError,
    InvalidGrantError,
    InvalidRequestError,
    OAuthError,
    UnsupportedGrantTypeError,
)
from schakel.generic.identity.flows import Flow
from schakel.generic.identity.model import Caller
from schakel.generic.identity.patient import Lists, Passage, PatientGrant, PatientToken
from schakel.kernel.clock import new_id
from schakel.kernel.outcomes import Forbidden, Unauthenticated
from schakel.store.connection import Connection, acquire

_SECRET = re.compile(r"[A-Za-z0-9_-]{43}")
_CLEANING_SECONDS = 60.0

_OFFERED = """
SELECT s.*, c.patient, c.client, c.services, c.ended, s.expires > now() AS fresh,
    extract(epoch FROM now() - s.used)::float8 AS since
FROM medmij_secret s JOIN medmij_consent c ON c.tenant = s.tenant AND c.id = s.consent
WHERE s.tenant = $1 AND s.digest = $2 AND s.kind = $3 FOR UPDATE OF s
"""

_INSERT = """
INSERT INTO medmij_secret (tenant, digest, kind, id, consent, correlation_id, redirect_uri, expires)
VALUES ($1, $2, $3, $4, $5, $6, $7, now() + $8) RETURNING expires
"""

_FIND = """
SELECT s.id, s.consent, s.correlation_id, s.expires, c.patient, c.client, c.services,
    extract(epoch FROM s.expires - now())::int AS seconds
FROM medmij_secret s JOIN medmij_consent c ON c.tenant = s.tenant AND c.id = s.consent
WHERE s.tenant = $1 AND s.digest = $2 AND s.kind = 'access' AND s.expires > now() AND c.ended IS NULL
"""

_CLEAN = (
    "UPDATE medmij_secret SET salt = NULL WHERE tenant = $1 AND salt IS NOT NULL "
    "AND used < now() - interval '2 minutes'",
    """
    DELETE FROM medmij_secret WHERE tenant = $1 AND digest IN (
        SELECT digest FROM medmij_secret WHERE tenant = $1 AND expires < now() - interval '1 day'
        FOR UPDATE SKIP LOCKED)
    """,
)


@dataclass(frozen=True, slots=True)
class TokenRules:
    """How long each secret lives, and what is taken from clients that do otherwise than the framework says."""

    code_seconds: int = 60
    access_seconds: int = 900
    refresh_days: int = 183
    accept_refresh_code: bool = False
    repeat_seconds: int = 0


class PatientTokens:
    """The codes and tokens that organisation `tenant` gives for its patients; `services` is what it offers now."""

    def __init__(
        self, pool: asyncpg.Pool, tenant: int, lists: Lists, services: Collection[str], rules: TokenRules
    ) -> None:
        self._pool = pool
        self._tenant = tenant
        self._lists = lists
        self._services = frozenset(services)
        self._rules = rules
        self._clean_after = 0.0

    @property
    def grant_types(self) -> frozenset[str]:
        """The values of grant_type that are taken here."""
        alias = {"refresh_code"} if self._rules.accept_refresh_code else set()
        return frozenset({"authorization_code", "refresh_token", *alias})

    @property
    def lasting_days(self) -> int:
        """How long a consent lasts when its client does not use it."""
        return self._rules.refresh_days

    async def give_code(self, flow: Flow, consent: str) -> str:
        """A code for what the person agreed to in `flow`; `consent` is the id under which that was logged."""
        code = secrets.token_urlsafe(32)
        async with acquire(self._pool) as connection, connection.transaction():
            await connection.execute(
                "INSERT INTO medmij_consent (tenant, id, patient, client, share, services) "
                "VALUES ($1, $2, $3, $4, $5, $6)",
                self._tenant,
                consent,
                flow.patient,
                flow.request.client,
                flow.request.share,
                flow.services,
            )
            await connection.execute(
                _INSERT,
                self._tenant,
                _digest(code),
                "code",
                new_id(),
                consent,
                flow.request.correlation_id,
                flow.request.redirect_uri,
                timedelta(seconds=self._rules.code_seconds),
            )
        return code

    async def token(self, form: Mapping[str, str], passage: Passage) -> PatientToken:
        """Tokens for the request in `form`. Raises `OAuthError`; what was offered is withdrawn all the same.

        A code that is offered for the second time, a refresh token that was rotated out, and either one from another
        client, end the consent and every token under it.
        """
        kind, field = self._kind(form)
        offered = form.get(field, "")
        for name in (field, "client_id", *(["redirect_uri"] if kind == "code" else [])):
            if not form.get(name):
                raise InvalidRequestError(
                    f"the form field {name} is missing", code="field-missing", expression=name
                )
        self.check_client(form["client_id"], passage)
        async with acquire(self._pool) as connection:
            await self._clean(connection)
            # What goes wrong is decided inside, and raised outside: what it changed must stay.
            async with connection.transaction():
                answer = await self._exchange(connection, kind, offered, form, passage)
        if isinstance(answer, OAuthError):
            raise answer
        return answer

    def _kind(self, form: Mapping[str, str]) -> tuple[str, str]:
        """What is offered, and in which field of the form."""
        wanted = form.get("grant_type", "")
        if wanted not in self.grant_types:
            raise UnsupportedGrantTypeError(
                f"grant_type is not supported: {', '.join(sorted(self.grant_types))} are",
                code="grant-type",
                expression="grant_type",
            )
        return ("code", "code") if wanted == "authorization_code" else ("refresh", "refresh_token")

    def check_client(self, host: str, passage: Passage) -> None:
        """Refuse a client that is not on the list, or is not who the certificate says."""
        if passage.hosts is not None and host not in passage.hosts:
            raise InvalidClientError(
                "client_id is not a host name in the client's certificate",
                code="client-peer",
                expression="client_id",
            )
        if passage.hosts is not None and not self._lists.is_node(host):
            raise InvalidClientError(
                "client_id is not on the whitelist", code="client-not-listed", expression="client_id"
            )
        if self._lists.client_name(host) is None:
            raise InvalidClientError(
                "client_id is not on the list of clients", code="client-unknown", expression="client_id"
            )

    async def _exchange(
        self, connection: Connection, kind: str, offered: str, form: Mapping[str, str], passage: Passage
    ) -> PatientToken | OAuthError:
        """The tokens for what is offered, or why there are none; runs in a transaction that is committed."""
        good = _SECRET.fullmatch(offered)
        row = await connection.fetchrow(_OFFERED, self._tenant, _digest(offered), kind) if good else None
        if row is None or row["ended"] is not None:
            return _no_grant(kind, "is not known here or was withdrawn")
        theirs = row["client"] == form["client_id"]
        address = kind != "code" or row["redirect_uri"] == form["redirect_uri"]
        if row["used"] is not None:
            if theirs and address and self._repeatable(row, passage):
                return await self._repeated(connection, row, offered)
            await self._end(connection, row["consent"])
            return _no_grant(kind, "was used before; all that was given for it is withdrawn")
        salt = secrets.token_bytes(32)
        await connection.execute(
            "UPDATE medmij_secret SET used = now(), used_by = $3, salt = $4 WHERE tenant = $1 AND digest = $2",
            self._tenant,
            row["digest"],
            passage.request_id,
            salt if self._rules.repeat_seconds else None,
        )
        if not theirs:
            await self._end(connection, row["consent"])
            return _no_grant(kind, "was given to another client")
        if not row["fresh"]:
            return _no_grant(kind, "has expired")
        if not address:
            return _no_grant(kind, "was given for another redirect_uri")
        if kind == "code" and row["correlation_id"] != passage.correlation_id:
            return _no_grant(kind, "belongs to another X-Correlation-ID")
        return await self._issue(connection, row, offered, salt, passage)

    def _repeatable(self, row: asyncpg.Record, passage: Passage) -> bool:
        """Whether the same request comes again because its answer was lost."""
        return (
            row["salt"] is not None
            and row["used_by"] == passage.request_id
            and row["since"] <= self._rules.repeat_seconds
        )

    async def _issue(
        self, connection: Connection, row: asyncpg.Record, offered: str, salt: bytes, passage: Passage
    ) -> PatientToken:
        """New tokens under the consent of `row`. That no other secret has the same text is kept by the table."""
        access, refresh = _derived(offered, salt, "access"), _derived(offered, salt, "refresh")
        jti = new_id()
        lives = timedelta(seconds=self._rules.access_seconds)
        under = (row["consent"], passage.correlation_id, "")
        expires = await connection.fetchval(
            _INSERT, self._tenant, _digest(access), "access", jti, *under, lives
        )
        await connection.execute(
            _INSERT,
            self._tenant,
            _digest(refresh),
            "refresh",
            new_id(),
            *under,
            timedelta(days=self._rules.refresh_days),
        )
        grant = PatientGrant(
            row["patient"],
            row["client"],
            self._open(row),
            jti,
            str(row["consent"]),
            passage.correlation_id,
            expires,
        )
        return PatientToken(access, refresh, grant, self._rules.access_seconds)

    async def _repeated(
        self, connection: Connection, row: asyncpg.Record, offered: str
    ) -> PatientToken | OAuthError:
        """The tokens that were given for this before."""
        access = _derived(offered, row["salt"], "access")
        given = await connection.fetchrow(_FIND, self._tenant, _digest(access))
        if given is None:
            return _no_grant(row["kind"], "was used before")
        return PatientToken(
            access, _derived(offered, row["salt"], "refresh"), self._grant(given), given["seconds"]
        )

    async def identify(self, caller: Caller) -> PatientGrant:
        """What the token in the header `Authorization: Bearer TOKEN` says.

        Raises `Unauthenticated`, and `Forbidden` when the caller's certificate is not that of the client to whom the
        token was given, or that client is no longer on the whitelist.
        """
        scheme, _, token = (caller.authorization[0] if len(caller.authorization) == 1 else "").partition(" ")
        if scheme.lower() != "bearer":
            raise Unauthenticated(
                "a patient's token is needed: Authorization: Bearer TOKEN",
                code="token-missing",
                headers={"WWW-Authenticate": "Bearer"},
            )
        token = token.strip()
        async with acquire(self._pool) as connection:
            good = _SECRET.fullmatch(token)
            row = await connection.fetchrow(_FIND, self._tenant, _digest(token)) if good else None
        if row is None:
            text = "the token is not known here, has expired or was withdrawn"
            raise Unauthenticated(
                text,
                code="token-invalid",
                headers={"WWW-Authenticate": f'Bearer error="invalid_token", error_description="{text}"'},
            )
        grant = self._grant(row)
        if caller.certificate is not None:
            if grant.client not in caller.certificate.hosts:
                raise Forbidden(
                    "the token was given to another than the certificate says", code="client-peer"
                )
            if not self._lists.is_node(grant.client):
                raise Forbidden("the client is not on the whitelist", code="client-not-listed")
        return grant

    async def revoke(self, form: Mapping[str, str], passage: Passage) -> PatientGrant | None:
        """Withdraws the consent under the token in `form` (RFC 7009), and with it every token; what it was.

        None for a token that is not known, which is no error (section 2.2). Raises `OAuthError`.
        """
        for name in ("token", "client_id"):
            if not form.get(name):
                raise InvalidRequestError(
                    f"the form field {name} is missing", code="field-missing", expression=name
                )
        self.check_client(form["client_id"], passage)
        async with acquire(self._pool) as connection, connection.transaction():
            row = await connection.fetchrow(
                "SELECT s.id, s.consent, s.correlation_id, s.expires, c.patient, c.client, c.services "
                "FROM medmij_secret s JOIN medmij_consent c ON c.tenant = s.tenant AND c.id = s.consent "
                "WHERE s.tenant = $1 AND s.digest = $2 AND s.kind <> 'code' AND c.ended IS NULL",
                self._tenant,
                _digest(form["token"]),
            )
            if row is None:
                return None
            if row["client"] != form["client_id"]:
                raise InvalidClientError(
                    "the token was given to another client", code="client-other", expression="client_id"
                )
            await self._end(connection, row["consent"])
        return self._grant(row)

    async def _end(self, connection: Connection, consent: uuid.UUID) -> None:
        await connection.execute(
            "UPDATE medmij_consent SET ended = coalesce(ended, now()) WHERE tenant = $1 AND id = $2",
            self._tenant,
            consent,
        )

    async def _clean(self, connection: Connection) -> None:
        """Now and then, remove what has long expired; what another process is removing is left to it."""
        if time.monotonic() < self._clean_after:
            return
        self._clean_after = time.monotonic() + _CLEANING_SECONDS
        for statement in _CLEAN:
            await connection.execute(statement, self._tenant)

    def _open(self, row: asyncpg.Record) -> frozenset[str]:
        """The services that were agreed to and are still offered."""
        return frozenset(row["services"]) & self._services

    def _grant(self, row: asyncpg.Record) -> PatientGrant:
        return PatientGrant(
            row["patient"],
            row["client"],
            self._open(row),
            str(row["id"]),
            str(row["consent"]),
            row["correlation_id"],
            row["expires"],
        )


def _derived(offered: str, salt: bytes, what: str) -> str:
    """A token of 256 bits."""
    digest = hmac.new(salt, f"{what} {offered}".encode(), hashlib.sha256).digest()
    return urlsafe_b64encode(digest).rstrip(b"=").decode()


def _digest(secret: str) -> bytes:
    return hashlib.sha256(secret.encode(errors="replace")).digest()


def _no_grant(kind: str, why: str) -> InvalidGrantError:
    name = "code" if kind == "code" else "refresh_token"
    return InvalidGrantError(f"the {name} {why}", code=f"{kind}-invalid", expression=name)
