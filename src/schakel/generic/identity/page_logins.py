"""People who log in at a page of ours, in the database: patients at the log of one organisation, the staff of a region
at the portal.

    begin -> (login at the login service) -> returned, once -> open -> a session -> end, or its time is over

A browser proves itself by a secret in a cookie, of which the database has the digest: one while it is away at the login
service, another for the session. A session ends at a moment that is fixed when it begins, and before that when nothing
is done with it for a while.
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
from schakel.store.connection import acquire

_CLEANING_SECONDS = 1.0
_MOVED = 0.95
"""A session in use is written down when less than this part of its idle time is left."""
_CLEAN = """
DELETE FROM page_login WHERE tenant = $1 AND (expires < now() OR id IN (
    SELECT id FROM page_login WHERE tenant = $1 ORDER BY expires DESC OFFSET $2
))
"""
_OPEN = """
INSERT INTO page_session (tenant, secret, id, subject, name, expires, ends)
VALUES ($1, $2, $3, $4, $5, now() + least($6::interval, $7::interval), now() + $6::interval)
"""
_OLDEST = """
DELETE FROM page_session WHERE tenant = $1 AND secret IN (
    SELECT secret FROM page_session WHERE tenant = $1 AND subject = $2 ORDER BY since DESC OFFSET $3
)
"""
_FIND = """
SELECT id, subject, name, since, ends, expires < least(ends, now() + $3::interval * $4::float8) AS moves
FROM page_session WHERE tenant = $1 AND secret = $2 AND expires > now()
"""
_MOVE = (
    "UPDATE page_session SET expires = least(ends, now() + $3::interval) WHERE tenant = $1 AND secret = $2"
)
_END = """
DELETE FROM page_session WHERE tenant = $1 AND secret = $2 AND expires > now()
RETURNING id, subject, name, since, ends
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
    cookie. `return_to` is the path of ours that it wanted, '' for the page itself."""

    id: str
    secret: str
    login: LoginSecrets
    language: Language
    return_to: str = ""


@dataclass(frozen=True, slots=True)
class PageSession:
    """Someone who is logged in. `id` is what the log calls it, `subject` a BSN or what the login service calls the
    person; it ends at `until` at the latest."""

    id: str
    subject: str
    name: str
    since: datetime
    until: datetime


class PageLogins:
    """The logins and sessions of one page, which are those of `tenant`: a login may take `login_seconds`, a session
    lasts `seconds`, and `idle_seconds` without use (None: those do not count).

    Anybody can begin a login, so that at most about `most` are kept, and each person has `sessions` at most: the oldest
    make place.
    """

    def __init__(
        self,
        pool: asyncpg.Pool,
        tenant: int,
        *,
        login_seconds: int,
        seconds: int,
        most: int,
        idle_seconds: int | None = None,
        sessions: int = 20,
    ) -> None:
        self.login_seconds = login_seconds
        self.seconds = seconds
        self._idle = timedelta(seconds=seconds if idle_seconds is None else idle_seconds)
        self._pool = pool
        self._tenant = tenant
        self._most = most
        self._sessions = sessions
        self._clean_after = 0.0

    async def begin(self, language: Language, return_to: str = "") -> Away:
        """A browser goes to the login service."""
        away = Away(
            str(uuid.uuid4()),
            secrets.token_urlsafe(32),
            LoginSecrets(secrets.token_urlsafe(32), secrets.token_urlsafe(48)),
            language,
            return_to,
        )
        async with acquire(self._pool) as connection:
            await connection.execute(
                "INSERT INTO page_login (tenant, id, secret, nonce, verifier, language, return_to, expires) "
                "VALUES ($1, $2, $3, $4, $5, $6, $7, now() + $8)",
                self._tenant,
                away.id,
                _digest(away.secret),
                away.login.nonce,
                away.login.verifier,
                language,
                return_to,
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
                "DELETE FROM page_login WHERE tenant = $1 AND id = $2 AND secret = $3 AND expires > now() "
                "RETURNING nonce, verifier, language, return_to",
                self._tenant,
                login,
                _digest(secret),
            )
        if row is None:
            raise PageLoginGone
        sent = LoginSecrets(row["nonce"], row["verifier"])
        return Away(str(login), secret, sent, row["language"], row["return_to"])

    async def open(self, subject: str, session: str, name: str = "") -> str:
        """The secret of a new session of this person, which the log calls `session`."""
        secret = secrets.token_urlsafe(32)
        async with acquire(self._pool) as connection, connection.transaction():
            await connection.execute(
                _OPEN,
                self._tenant,
                _digest(secret),
                session,
                subject,
                name,
                timedelta(seconds=self.seconds),
                self._idle,
            )
            await connection.execute(_OLDEST, self._tenant, subject, self._sessions)
        return secret

    async def find(self, secret: str) -> PageSession | None:
        """The session of the browser with this secret, which is in use now; None when there is none, or its time is
        over."""
        if not secret:
            return None
        async with acquire(self._pool) as connection:
            row = await connection.fetchrow(_FIND, self._tenant, _digest(secret), self._idle, _MOVED)
            if row is not None and row["moves"]:
                await connection.execute(_MOVE, self._tenant, _digest(secret), self._idle)
        return _session(row)

    async def end(self, secret: str) -> PageSession | None:
        """Ends the session of the browser with this secret, and gives it for the last time."""
        if not secret:
            return None
        async with acquire(self._pool) as connection:
            return _session(await connection.fetchrow(_END, self._tenant, _digest(secret)))


def _session(row: asyncpg.Record | None) -> PageSession | None:
    if row is None:
        return None
    return PageSession(str(row["id"]), row["subject"], row["name"], row["since"], row["ends"])


def _digest(secret: str) -> bytes:
    return hashlib.sha256(secret.encode(errors="replace")).digest()
