"""Authorisations under way in a browser: each step is taken once, by the browser that began.

    landing -> login -> checking -> consent -> a code
                                 -> unavailable

The browser proves itself by a secret in a cookie, of which the database has the digest; without it a flow does not
exist. `csrf` is derived from that secret, so that a form of another site cannot know it.
"""

from __future__ import annotations

import hashlib
import hmac
import secrets
import time
import uuid
from collections.abc import Collection
from dataclasses import dataclass
from datetime import timedelta
from typing import Literal, TypeAlias

import asyncpg

from schakel.generic.identity.authorisation_request import AuthorisationRefused, AuthorisationRequest
from schakel.generic.identity.oidc import LoginSecrets
from schakel.kernel.outcomes import Invalid
from schakel.store.connection import acquire

Step: TypeAlias = Literal["landing", "login", "checking", "unavailable", "consent"]
Language: TypeAlias = Literal["nl", "en"]


_CLEANING_SECONDS = 1.0
_CLEAN = """
DELETE FROM medmij_flow WHERE tenant = $1 AND (expires < now() OR id IN (
    SELECT id FROM medmij_flow WHERE tenant = $1 AND step = 'landing' ORDER BY expires DESC OFFSET $2
))
"""


class FlowGone(Invalid):
    """There is no such flow for this browser, or it took too long, or the step was taken before."""

    def __init__(self) -> None:
        super().__init__(
            "this authorisation does not exist in this browser, or took too long: begin again in the program "
            "that sent you here",
            code="flow-gone",
        )


@dataclass(frozen=True, slots=True)
class Flow:
    """An authorisation under way. `patient` is a BSN after the login, else ''; `services` what can be agreed to."""

    id: str
    step: Step
    request: AuthorisationRequest
    language: Language
    patient: str
    services: tuple[str, ...]

    def refused(self, code: str) -> AuthorisationRefused:
        """What the client is told when it ends like this; `code` is one of `DESCRIPTIONS`."""
        return AuthorisationRefused(code, self.request.redirect_uri, self.request.state)


def csrf(secret: str) -> str:
    """What a form of ours carries in a browser with this secret."""
    return hmac.new(secret.encode(), b"form", hashlib.sha256).hexdigest()


class Flows:
    """The flows of organisation `tenant`; each lives `seconds` from its beginning.

    Anybody can begin one, so those that wait at the landing page are at most about `most`: the oldest make place. Who
    has gone on to the login keeps the flow.
    """

    def __init__(self, pool: asyncpg.Pool, tenant: int, seconds: int, most: int) -> None:
        self.seconds = seconds
        self._pool = pool
        self._tenant = tenant
        self._most = most
        self._clean_after = 0.0

    async def begin(self, request: AuthorisationRequest, language: Language) -> tuple[str, str]:
        """A new flow at its landing page: its id, and the secret for the browser."""
        flow, secret = str(uuid.uuid4()), secrets.token_urlsafe(32)
        async with acquire(self._pool) as connection:
            await connection.execute(
                "INSERT INTO medmij_flow (tenant, id, secret, step, client, redirect_uri, state, share, "
                "request_id, correlation_id, language, expires) "
                "VALUES ($1, $2, $3, 'landing', $4, $5, $6, $7, $8, $9, $10, now() + $11)",
                self._tenant,
                flow,
                _digest(secret),
                request.client,
                request.redirect_uri,
                request.state,
                request.share,
                request.request_id,
                request.correlation_id,
                language,
                timedelta(seconds=self.seconds),
            )
            if time.monotonic() >= self._clean_after:
                self._clean_after = time.monotonic() + _CLEANING_SECONDS
                await connection.execute(_CLEAN, self._tenant, self._most)
        return flow, secret

    async def find(self, flow: str, secret: str, *steps: Step, language: Language | None = None) -> Flow:
        """The flow of this browser when it is at one of these steps; from now on in `language`, if given.

        Raises `FlowGone`.
        """
        row = await self._update(flow, secret, steps, "language = coalesce($5, language)", language)
        return _flow(row)

    async def to_login(self, flow: str, secret: str) -> tuple[Flow, LoginSecrets]:
        """The person goes to log in, also for the second time after going back in the browser."""
        made = LoginSecrets(secrets.token_urlsafe(32), secrets.token_urlsafe(48))
        change = "step = 'login', nonce = $5, verifier = $6"
        row = await self._update(flow, secret, ("landing", "login"), change, made.nonce, made.verifier)
        return _flow(row), made

    async def logged_in(self, flow: str, secret: str) -> tuple[Flow, LoginSecrets]:
        """The browser is back from the login service: the flow and what was sent along; once."""
        row = await self._update(flow, secret, ("login",), "step = 'checking'")
        return _flow(row), LoginSecrets(row["nonce"], row["verifier"])

    async def identified(self, flow: str, secret: str, patient: str, services: Collection[str]) -> None:
        """Who the person is (a BSN), and the services there are for that person; without any it ends here."""
        change = (
            "step = CASE WHEN cardinality($6::text[]) > 0 THEN 'consent' ELSE 'unavailable' END, "
            "patient = CASE WHEN cardinality($6::text[]) > 0 THEN $5 ELSE '' END, services = $6"
        )
        await self._update(flow, secret, ("checking",), change, patient, sorted(services))

    async def end(self, flow: str, secret: str, *steps: Step) -> Flow:
        """Removes the flow when it is at one of these steps, and gives it for the last time."""
        async with acquire(self._pool) as connection:
            row = await connection.fetchrow(
                "DELETE FROM medmij_flow WHERE tenant = $1 AND id = $2 AND secret = $3 AND step = ANY($4) "
                "AND expires > now() RETURNING *",
                self._tenant,
                _uuid(flow),
                _digest(secret),
                steps,
            )
        if row is None:
            raise FlowGone
        return _flow(row)

    async def _update(
        self, flow: str, secret: str, steps: tuple[Step, ...], change: str, *values: object
    ) -> asyncpg.Record:
        """The row after a change; `change` is text of this module, its values begin at $5."""
        async with acquire(self._pool) as connection:
            row = await connection.fetchrow(
                f"UPDATE medmij_flow SET {change} WHERE tenant = $1 AND id = $2 AND secret = $3 "
                "AND step = ANY($4) AND expires > now() RETURNING *",
                self._tenant,
                _uuid(flow),
                _digest(secret),
                steps,
                *values,
            )
        if row is None:
            raise FlowGone
        return row


def _digest(secret: str) -> bytes:
    return hashlib.sha256(secret.encode(errors="replace")).digest()


def _uuid(text: str) -> uuid.UUID:
    try:
        return uuid.UUID(text)
    except ValueError:
        raise FlowGone from None


def _flow(row: asyncpg.Record) -> Flow:
    request = AuthorisationRequest(
        row["client"],
        row["redirect_uri"],
        row["state"],
        row["share"],
        row["request_id"],
        row["correlation_id"],
    )
    return Flow(str(row["id"]), row["step"], request, row["language"], row["patient"], tuple(row["services"]))
