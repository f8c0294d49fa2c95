"""Tokens in the database: given, found, withdrawn; and what was used up for them.

What may happen once is decided here by one unique key, whichever node is asked. The ids that a token request uses up
and its token are one statement: both stay or neither does.

A proof at a resource is used up without waiting for the disk. The answer itself waits: it leaves only after its event
in the log is durable, and the log of a database reaches the disk in order, so a proof whose answer left is on disk
too. What a crash can lose are proofs whose answer never left, and such a proof still gets one answer at most.
"""

from __future__ import annotations

import hashlib
import re
import secrets
import time
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta

import asyncpg
import orjson
from asyncpg.pool import PoolConnectionProxy

from schakel.generic.identity.errors import InvalidRequestError
from schakel.generic.identity.model import Grant, User
from schakel.generic.identity.tokens.proved import OnceOnly, Proved
from schakel.kernel.clock import new_id
from schakel.store.connection import acquire
from schakel.store.groups import Groups

_TOKEN = re.compile(r"[A-Za-z0-9_-]{43}")
_CLEANING_SECONDS = 60.0
_FIND_SECONDS = 10.0

_COLUMNS = """t.jti, t.requester, t.scope, t.user_id, t.user_name, t.user_role, t.user_responsible,
    t.user_responsible_role, t.purpose, t.treatment_relation, t.patient, t.issued, t.expires, t.requester_name,
    t.facility_type, t.client_id, t.assurance, t.grant_type, t.claims, t.jkt, t.x5t,
    t.authorization_base"""

_ISSUE = """
WITH used AS (
    INSERT INTO used_id (tenant, digest, expires)
    SELECT $1, digest, until FROM unnest($2::bytea[], $3::timestamptz[]) AS once (digest, until) ORDER BY digest
    RETURNING tenant
)
INSERT INTO access_token (tenant, digest, jti, requester, scope, user_id, user_name, user_role, user_responsible,
    purpose, treatment_relation, patient, requester_name, facility_type, client_id, assurance, grant_type, claims,
    origins, jkt, x5t, expires, user_responsible_role, authorization_base)
VALUES ($1, $4, $5, $6, $7, $8, $9, $10, $11, $12, $13, $24, $14, $15, $16, $17, $18, $19, $20, $21, $22, now() + $23,
    $25, $26)
RETURNING expires
"""

_USED = "SELECT digest FROM used_id WHERE tenant = $1 AND digest = ANY($2::bytea[])"

_FIND = f"""
WITH asked AS (
    SELECT * FROM unnest($2::bytea[], $3::text[], $4::bytea[], $5::timestamptz[]) WITH ORDINALITY
        AS asked (token, jkt, proof, until, place)
), found AS (
    SELECT asked.place, asked.proof, asked.until, asked.jkt AS shown, {_COLUMNS},
        extract(epoch FROM t.expires - now())::float8 AS seconds
    FROM asked JOIN access_token t ON t.tenant = $1 AND t.digest = asked.token
    WHERE t.expires > now()
), used AS (
    INSERT INTO used_id (tenant, digest, expires)
    SELECT $1, proof, max(until) FROM found
    WHERE proof IS NOT NULL AND shown = jkt AND set_config('synchronous_commit', 'off', true) = 'off'
    GROUP BY proof ORDER BY proof
    ON CONFLICT DO NOTHING RETURNING digest
)
SELECT found.*, used.digest IS NOT NULL AND shown = jkt AS first
FROM found LEFT JOIN used ON used.digest = found.proof ORDER BY found.place
"""

_TOLD = f"""
SELECT {_COLUMNS}, t.origins FROM access_token t WHERE t.tenant = $1 AND t.digest = $2 AND t.expires > now()
"""

_CLEAN = (
    """
    DELETE FROM used_id WHERE tenant = $1 AND digest IN (
        SELECT digest FROM used_id WHERE tenant = $1 AND expires < now() FOR UPDATE SKIP LOCKED)
    """,
    """
    DELETE FROM access_token WHERE tenant = $1 AND digest IN (
        SELECT digest FROM access_token WHERE tenant = $1 AND expires < now() FOR UPDATE SKIP LOCKED)
    """,
)


@dataclass(frozen=True, slots=True)
class Found:
    """A token that is valid now, for so many `seconds` more. `first` is whether the proof that came with it was used
    up just now; False without a proof, or with one of another key."""

    grant: Grant
    seconds: float
    first: bool


@dataclass(frozen=True, slots=True)
class Told:
    """A token that is valid now, with when it was given and who said what of it."""

    grant: Grant
    issued: datetime
    origins: dict[str, object]


@dataclass(frozen=True, slots=True)
class _Asked:
    token: bytes
    jkt: str
    proof: bytes | None
    until: datetime | None


class TokenRows:
    """The tokens of organisation `tenant`."""

    def __init__(self, pool: asyncpg.Pool, tenant: int) -> None:
        self._pool = pool
        self._tenant = tenant
        self._finding: Groups[_Asked, Found | None] = Groups(self._find)
        self._clean_after = 0.0

    async def issue(
        self,
        proved: Proved,
        use: Sequence[OnceOnly],
        scope: str,
        seconds: int,
        *,
        jkt: str,
        x5t: str,
        authorization_base: str,
    ) -> tuple[str, Grant]:
        """A new token for what was `proved`, and what it says; all in `use` is used up by it. The last three as in
        `Grant`.

        Raises the refusal of what was used before (then nothing is used up), and `Busy`.
        """
        once = {one.digest: one for one in use}
        if len(once) < len(use):
            raise InvalidRequestError(
                "two of the signed parts of the request are one and the same",
                code="parts-equal",
                requester=proved.requester,
            )
        token, jti, user = secrets.token_urlsafe(32), new_id(), proved.user
        async with acquire(self._pool) as connection:
            await self._clean(connection)
            try:
                expires: datetime = await connection.fetchval(
                    _ISSUE,
                    self._tenant,
                    list(once),
                    [one.until for one in once.values()],
                    digest(token),
                    jti,
                    proved.requester,
                    scope,
                    user and user.id,
                    user and user.name,
                    user and user.role,
                    user and user.responsible,
                    proved.purpose,
                    proved.treatment_relation,
                    proved.requester_name,
                    proved.facility_type,
                    proved.client_id,
                    proved.assurance,
                    proved.grant_type,
                    orjson.dumps(dict(proved.claims)).decode(),
                    orjson.dumps(dict(proved.origins)).decode(),
                    jkt,
                    x5t,
                    timedelta(seconds=seconds),
                    proved.patient,
                    user and user.responsible_role,
                    authorization_base,
                )
            except asyncpg.UniqueViolationError as error:
                if error.table_name != "used_id":
                    raise
                used = {row["digest"] for row in await connection.fetch(_USED, self._tenant, list(once))}
                refusal = next((one.refusal for key, one in once.items() if key in used), use[0].refusal)
                refusal.requester = proved.requester
                raise refusal from None
        return token, Grant(
            proved.requester,
            scope,
            user,
            proved.purpose,
            proved.treatment_relation,
            jti,
            expires,
            proved.patient,
            requester_name=proved.requester_name,
            facility_type=proved.facility_type,
            client_id=proved.client_id,
            assurance=proved.assurance,
            grant_type=proved.grant_type,
            claims=dict(proved.claims),
            jkt=jkt,
            x5t=x5t,
            authorization_base=authorization_base,
        )

    async def find(self, token: str, proof: OnceOnly | None = None) -> Found | None:
        """The token when it is valid now; `proof` is used up when the token is bound to its key. Raises `Busy`."""
        if not _TOKEN.fullmatch(token):
            return None
        if proof is None:
            return await self._finding.ask(_Asked(digest(token), "", None, None))
        return await self._finding.ask(_Asked(digest(token), proof.issuer, proof.digest, proof.until))

    async def _find(self, asked: Sequence[_Asked]) -> list[Found | None]:
        columns = zip(*((one.token, one.jkt, one.proof, one.until) for one in asked), strict=True)
        async with acquire(self._pool) as connection:
            rows = await connection.fetch(_FIND, self._tenant, *columns, timeout=_FIND_SECONDS)
        found: list[Found | None] = [None] * len(asked)
        taken: set[bytes] = set()
        for row in rows:
            # A proof that stands in the group twice was used up once, for the first of them.
            first = row["first"] and row["proof"] not in taken
            if first:
                taken.add(row["proof"])
            found[row["place"] - 1] = Found(_grant(row), row["seconds"], first)
        return found

    async def tell(self, token: str) -> Told | None:
        """All that is kept of a token that is valid now."""
        if not _TOKEN.fullmatch(token):
            return None
        async with acquire(self._pool) as connection:
            row = await connection.fetchrow(_TOLD, self._tenant, digest(token))
        return Told(_grant(row), row["issued"], orjson.loads(row["origins"])) if row else None

    async def withdraw(self, requester: str) -> int:
        """Ends every token of `requester` (URA); how many there were."""
        async with acquire(self._pool) as connection:
            gone: int = await connection.fetchval(
                "WITH gone AS (DELETE FROM access_token WHERE tenant = $1 AND requester = $2 "
                "RETURNING expires > now() AS valid) SELECT count(*) FROM gone WHERE valid",
                self._tenant,
                requester,
            )
        return gone

    async def _clean(self, connection: PoolConnectionProxy) -> None:
        """Now and then, remove what has expired; rows another process is removing are left to it."""
        if time.monotonic() < self._clean_after:
            return
        self._clean_after = time.monotonic() + _CLEANING_SECONDS
        for statement in _CLEAN:
            await connection.execute(statement, self._tenant)


def digest(token: str) -> bytes:
    """By what a token is kept."""
    return hashlib.sha256(token.encode(errors="replace")).digest()


def _grant(row: asyncpg.Record) -> Grant:
    user = None
    if row["user_id"] is not None:
        members = ("id", "name", "role", "responsible", "responsible_role")
        user = User(*(row[f"user_{name}"] for name in members))
    return Grant(
        row["requester"],
        row["scope"],
        user,
        row["purpose"],
        row["treatment_relation"],
        row["jti"],
        row["expires"],
        row["patient"],
        row["requester_name"],
        row["facility_type"],
        row["client_id"],
        row["assurance"],
        row["grant_type"],
        orjson.loads(row["claims"]),
        row["jkt"],
        row["x5t"],
        row["authorization_base"],
    )
