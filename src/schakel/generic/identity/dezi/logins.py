"""Logins of professionals at one organisation, in the database.

    waiting -> (a browser opens the address) -> begun -> (back from Dezi, once) -> checking -> done | failed

The EHR begins one and alone knows its id; the browser that opens the address first gets a secret in a cookie, and only
that browser can bring it to an end. Of ticket, cookie and state the database has the digest. A login that is done keeps
the statement until it ends; then the row goes.
"""

from __future__ import annotations

import hashlib
import secrets
import uuid
from contextlib import suppress
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Literal
from urllib.parse import urlsplit

import asyncpg

from schakel.generic.identity.dezi.client import LoggedIn
from schakel.generic.identity.oidc import LoginSecrets
from schakel.kernel.clock import new_id
from schakel.kernel.outcomes import Invalid, NotFound, Outcome
from schakel.store.connection import acquire

Step = Literal["waiting", "begun", "checking", "done", "failed"]

MAX_ADDRESS = 2000


class LoginGone(Invalid):
    """There is no such login for this browser, it took too long, or the step was taken before."""

    def __init__(self) -> None:
        super().__init__(
            "this login does not exist in this browser, took too long, or was used before: begin again in the "
            "program that sent you here",
            code="login-gone",
        )


@dataclass(frozen=True, slots=True)
class Begun:
    """A browser that goes to Dezi: `secret` is for its cookie."""

    id: str
    secret: str
    state: str
    login: LoginSecrets
    return_to: str


@dataclass(frozen=True, slots=True)
class Login:
    """A login as the EHR sees it. `verklaring` is the statement when it is done, `reason` the code when it failed."""

    id: str
    step: Step
    verklaring: str
    reason: str
    message: str
    until: datetime


class Logins:
    """The logins of organisation `tenant`: one may take `seconds`, and then holds for `lasting` at most."""

    def __init__(self, pool: asyncpg.Pool, tenant: int, seconds: int, lasting: timedelta) -> None:
        self.tenant = tenant
        self.seconds = seconds
        self._pool = pool
        self._lasting = lasting

    async def wait(self, return_to: str) -> tuple[str, str]:
        """A new login: its id, and the ticket that goes in the address. Raises `Invalid` for an address to return to
        that is none."""
        _check_address(return_to)
        login, ticket = new_id(), secrets.token_urlsafe(32)
        async with acquire(self._pool) as connection:
            await connection.execute(
                "INSERT INTO dezi_login (tenant, id, step, ticket, return_to, expires) "
                "VALUES ($1, $2, 'waiting', $3, $4, now() + $5)",
                self.tenant,
                login,
                _digest(ticket),
                return_to,
                timedelta(seconds=self.seconds),
            )
        return login, ticket

    async def begin(self, login: str, ticket: str, secret: str) -> Begun:
        """A browser opens the address; it becomes the login's own, and may do it again with the `secret` in its cookie
        ('' when it has none). Raises `LoginGone`."""
        made, own = (
            LoginSecrets(secrets.token_urlsafe(32), secrets.token_urlsafe(48)),
            secrets.token_urlsafe(32),
        )
        login = str(_uuid(login))
        state = f"{login}.{secrets.token_urlsafe(32)}"
        row = await self._row(
            "UPDATE dezi_login SET step = 'begun', secret = $5, asked = $6, nonce = $7, verifier = $8 "
            "WHERE tenant = $1 AND id = $2 AND ticket = $3 AND expires > now() "
            "AND (step = 'waiting' OR (step = 'begun' AND secret = $4)) RETURNING return_to",
            login,
            _digest(ticket),
            _digest(secret),
            _digest(own),
            _digest(state),
            made.nonce,
            made.verifier,
        )
        return Begun(login, own, state, made, row["return_to"])

    async def returned(self, state: str, secret: str) -> Begun:
        """The browser is back from Dezi; once. Raises `LoginGone`."""
        login = login_of(state)
        row = await self._row(
            "UPDATE dezi_login SET step = 'checking' WHERE tenant = $1 AND id = $2 AND asked = $3 AND secret = $4 "
            "AND step = 'begun' AND expires > now() RETURNING nonce, verifier, return_to",
            login,
            _digest(state),
            _digest(secret),
        )
        return Begun(login, secret, state, LoginSecrets(row["nonce"], row["verifier"]), row["return_to"])

    async def done(self, login: str, who: LoggedIn) -> None:
        """Who logged in, as the browser that came back proved. Raises `LoginGone` when it was ended meanwhile."""
        await self._row(
            "UPDATE dezi_login SET step = 'done', statement = $3, nonce = '', verifier = '', "
            "expires = least(now() + $4, $5) WHERE tenant = $1 AND id = $2 AND step = 'checking' RETURNING id",
            login,
            who.verklaring,
            self._lasting,
            who.professional.until,
        )

    async def failed(self, login: str, error: Outcome) -> None:
        """Nobody logged in, and why."""
        with suppress(LoginGone):
            await self._row(
                "UPDATE dezi_login SET step = 'failed', reason = $3, message = $4, nonce = '', verifier = '' "
                "WHERE tenant = $1 AND id = $2 AND step IN ('begun', 'checking') RETURNING id",
                login,
                error.kind,
                error.message,
            )

    async def find(self, login: str) -> Login:
        """The login. Raises `NotFound`, also when it has ended."""
        row = await self._found(
            "SELECT * FROM dezi_login WHERE tenant = $1 AND id = $2 AND expires > now()", login
        )
        return _login(row)

    async def end(self, login: str) -> Login:
        """Ends the login and removes it. Raises `NotFound`."""
        row = await self._found(
            "DELETE FROM dezi_login WHERE tenant = $1 AND id = $2 AND expires > now() RETURNING *", login
        )
        return _login(row)

    async def _found(self, statement: str, login: str) -> asyncpg.Record:
        try:
            return await self._row(statement, login)
        except LoginGone:
            raise NotFound(
                "there is no such login, or it has ended: the professional must log in again",
                code="login-unknown",
            ) from None

    async def _row(self, statement: str, login: str, *values: object) -> asyncpg.Record:
        async with acquire(self._pool) as connection:
            row = await connection.fetchrow(statement, self.tenant, _uuid(login), *values)
        if row is None:
            raise LoginGone
        return row


def login_of(state: str) -> str:
    """The login that a state is of, if it is one of ours."""
    return state.partition(".")[0]


def _check_address(address: str) -> None:
    """An address that a page of ours may lead to."""
    if not address:
        return
    try:
        parts = urlsplit(address)
        fit = (
            parts.scheme in ("https", "http")
            and bool(parts.hostname)
            and not parts.username
            and not parts.fragment
            and parts.port != 0
        )
    except ValueError:
        fit = False
    if not fit or len(address) > MAX_ADDRESS or not address.isascii() or not address.isprintable():
        raise Invalid(
            f"return_to is not an address: http(s), without user and fragment, at most {MAX_ADDRESS} characters",
            code="return-address",
            expression="return_to",
        )


def _digest(secret: str) -> bytes:
    return hashlib.sha256(secret.encode(errors="replace")).digest()


def _uuid(text: str) -> uuid.UUID:
    try:
        return uuid.UUID(text)
    except ValueError:
        raise LoginGone from None


def _login(row: asyncpg.Record) -> Login:
    return Login(str(row["id"]), row["step"], row["statement"], row["reason"], row["message"], row["expires"])
