"""Patients who log in at one organisation to read the page of its log, in the database.

    begin -> (login at the login service) -> returned, once -> open -> a session -> end, or its time is over

A browser proves itself by a secret in a cookie, of which the database has the digest: one while it is away at the login
service, another for the session. A session is never made longer.
"""

from __future__ import annotations

import hashlib
import secrets
import time
import uuid
from dataclasses import dataclass
from datetime import datetime, timedelta

import asyncpg

from schakel.generic.identity.flows import Language
from schakel.generic.identity.oidc import LoginSecrets
from schakel.kernel.outcomes import Invalid
from schakel.kernel.values import Bsn
from schakel.store.connection import acquire

_CLEANING_SECONDS = 1.0
_CLEAN = """
DELETE FROM log_login WHERE tenant = $1 AND (expires < now() OR id IN (
    SELECT id FROM log_login WHERE tenant = $1 ORDER BY expires DESC OFFSET $2
))
"""


class PageLoginGone(Invalid):
    """There is no such login for this browser, it took too long, or the browser came back before."""

    def __init__(self) -> None:
        super().__init__(
            "this login does not exist in this browser, took too long, or was used before: log in again",
            code="login-gone",
        )


@dataclass(frozen=True, slots=True)
class Away:
    """A browser that is away at the login service: `id` goes there and comes back (state), `secret` stays in its
    cookie."""

    id: str
    secret: str
    login: LoginSecrets
    language: Language


@dataclass(frozen=True, slots=True)
class PageSession:
    """Someone who is logged in. `id` is what the log calls it, `patient` a BSN."""

    id: str
    patient: str
    until: datetime


class PageLogins:
    """The logins and sessions of organisation `tenant`: a login may take `login_seconds`, a session lasts `seconds`.

    Anybody can begin a login, so that at most about `most` are kept: the oldest make place.
    """

    def __init__(
        self, pool: asyncpg.Pool, tenant: int, *, login_seconds: int, seconds: int, most: int
    ) -> None:
        self.login_seconds = login_seconds
        self.seconds = seconds
        self._pool = pool
        self._tenant = tenant
        self._most = most
        self._clean_after = 0.0

    async def begin(self, language: Language) -> Away:
        """A browser goes to the login service."""
        away = Away(
            str(uuid.uuid4()),
            secrets.token_urlsafe(32),
            LoginSecrets(secrets.token_urlsafe(32), secrets.token_urlsafe(48)),
            language,
        )
        async with acquire(self._pool) as connection:
            await connection.execute(
                "INSERT INTO log_login (tenant, id, secret, nonce, verifier, language, expires) "
                "VALUES ($1, $2, $3, $4, $5, $6, now() + $7)",
                self._tenant,
                away.id,
                _digest(away.secret),
                away.login.nonce,
                away.login.verifier,
                language,
                timedelta(seconds=self.login_seconds),
            )
            if time.monotonic() >= self._clean_after:
                self._clean_after = time.monotonic() + _CLEANING_SECONDS
                await connection.execute(_CLEAN, self._tenant, self._most)
        return away

    async def returned(self, state: str, secret: str) -> Away:
        """The browser is back from the login service; once. Raises `PageLoginGone`."""
        try:
            login = uuid.UUID(state)
        except ValueError:
            raise PageLoginGone from None
        async with acquire(self._pool) as connection:
            row = await connection.fetchrow(
                "DELETE FROM log_login WHERE tenant = $1 AND id = $2 AND secret = $3 AND expires > now() "
                "RETURNING nonce, verifier, language",
                self._tenant,
                login,
                _digest(secret),
            )
        if row is None:
            raise PageLoginGone
        return Away(str(login), secret, LoginSecrets(row["nonce"], row["verifier"]), row["language"])

    async def open(self, patient: Bsn, session: str) -> str:
        """The secret of a new session, which the log calls `session`."""
        secret = secrets.token_urlsafe(32)
        async with acquire(self._pool) as connection:
            await connection.execute(
                "INSERT INTO log_session (tenant, secret, id, patient, expires) VALUES ($1, $2, $3, $4, now() + $5)",
                self._tenant,
                _digest(secret),
                session,
                patient,
                timedelta(seconds=self.seconds),
            )
        return secret

    async def find(self, secret: str) -> PageSession | None:
        """The session of the browser with this secret; None when there is none, or its time is over."""
        return await self._session(
            "SELECT id, patient, expires FROM log_session WHERE tenant = $1 AND secret = $2 AND expires > now()",
            secret,
        )

    async def end(self, secret: str) -> PageSession | None:
        """Ends the session of the browser with this secret, and gives it for the last time."""
        return await self._session(
            "DELETE FROM log_session WHERE tenant = $1 AND secret = $2 AND expires > now() "
            "RETURNING id, patient, expires",
            secret,
        )

    async def _session(self, statement: str, secret: str) -> PageSession | None:
        if not secret:
            return None
        async with acquire(self._pool) as connection:
            row = await connection.fetchrow(statement, self._tenant, _digest(secret))
        return None if row is None else PageSession(str(row["id"]), row["patient"], row["expires"])


def _digest(secret: str) -> bytes:
    return hashlib.sha256(secret.encode(errors="replace")).digest()
