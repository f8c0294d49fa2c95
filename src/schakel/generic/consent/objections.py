"""Objections of patients, recorded by the organisation: what stands against every ground."""

from __future__ import annotations

import re
import uuid
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime

import asyncpg

from schakel.generic.consent.organisations import PROVIDER_CATEGORY
from schakel.generic.consent.telling import Told, told_of
from schakel.kernel.outcomes import Invalid, NotFound, TooCostly, naming
from schakel.kernel.values import Bsn, Ura
from schakel.store import outbox
from schakel.store.connection import Connection, acquire

MAX_TEXT = 500
MAX_MEMBERS = 200
MAX_LISTED = 10_000
_EXCHANGE = re.compile(r"[a-z0-9][a-z0-9-]{0,63}")
_COLUMNS = "id, patient, requesters, provider_categories, exchanges, reason, made_by, made, ended_by, ended"

STANDS = (
    "ended IS NULL AND (cardinality(exchanges) = 0 OR {exchange} = ANY (exchanges)) AND "
    "(cardinality(requesters) = 0 AND cardinality(provider_categories) = 0 OR {requester} = ANY (requesters) "
    "OR cardinality(provider_categories) > 0 AND {category} = '' "
    "OR {category} = ANY (provider_categories))"
)
"""Whether an objection stands against a request, in SQL, with these three filled in by placeholders. A requester whose
category is not known ('') may be of any."""


@dataclass(frozen=True, slots=True)
class Objection:
    """What a patient does not want. Without `requesters` (URAs) and `provider_categories` (RPZAC...) it is about all
    who may ask, without `exchanges` about all data. `made_by` and `ended_by` say who wrote it down and who ended it."""

    id: str
    patient: str
    requesters: tuple[str, ...]
    provider_categories: tuple[str, ...]
    exchanges: tuple[str, ...]
    reason: str
    made_by: str
    made: datetime
    ended_by: str
    ended: datetime | None


class Objections:
    """The objections recorded by organisation `tenant`."""

    def __init__(self, pool: asyncpg.Pool, tenant: int) -> None:
        self._pool = pool
        self._tenant = tenant

    async def write(
        self,
        patient: str,
        *,
        requesters: Sequence[str] = (),
        provider_categories: Sequence[str] = (),
        exchanges: Sequence[str] = (),
        reason: str = "",
        by: str,
        told: Told[Objection] | None = None,
    ) -> Objection:
        """A new objection, kept; it counts from now on. `told` is called in its transaction. Raises `Invalid` naming
        the member that is wrong."""
        with naming("patient"):
            bsn = str(Bsn(patient))
        for name, members in (
            ("requesters", requesters),
            ("provider_categories", provider_categories),
            ("exchanges", exchanges),
        ):
            if len(members) > MAX_MEMBERS:
                raise _invalid(f"{name} has more than {MAX_MEMBERS} members", name)
        with naming("requesters"):
            uras = [str(Ura(one)) for one in requesters]
        for category in provider_categories:
            if not PROVIDER_CATEGORY.fullmatch(category):
                raise _invalid("a category of providers is written as in RPZAC001", "provider_categories")
        for exchange in exchanges:
            if not _EXCHANGE.fullmatch(exchange):
                raise _invalid("an exchange has lower-case letters, digits and '-', as in bgz", "exchanges")
        async with acquire(self._pool) as connection, connection.transaction():
            await outbox.enter(connection, self._tenant)
            row = await connection.fetchrow(
                "INSERT INTO consent_objection "
                "(tenant, patient, requesters, provider_categories, exchanges, reason, made_by) "
                f"VALUES ($1, $2, $3, $4, $5, $6, $7) RETURNING {_COLUMNS}",
                self._tenant,
                bsn,
                _distinct(uras),
                _distinct(provider_categories),
                _distinct(exchanges),
                checked_text(reason, "reason", needed=False),
                checked_text(by, "by"),
            )
            await outbox.tell(connection, self._tenant, outbox.OBJECTION, bsn)
            return await told_of(connection, _objection(row), told)

    async def get(self, name: str) -> Objection:
        """Raises `NotFound`."""
        async with acquire(self._pool) as connection:
            row = await connection.fetchrow(
                f"SELECT {_COLUMNS} FROM consent_objection WHERE tenant = $1 AND id = $2",
                self._tenant,
                key_of(name, _UNKNOWN),
            )
        if row is None:
            raise NotFound(_UNKNOWN, code="objection-unknown")
        return _objection(row)

    async def end(self, name: str, *, by: str, told: Told[Objection] | None = None) -> Objection:
        """The patient takes it back; one that ended before keeps its moment. `told` is called in the transaction.
        Raises `NotFound`."""
        async with acquire(self._pool) as connection, connection.transaction():
            await outbox.enter(connection, self._tenant)
            row = await connection.fetchrow(
                "UPDATE consent_objection SET ended_by = CASE WHEN ended IS NULL THEN $3 ELSE ended_by END, "
                f"ended = coalesce(ended, now()) WHERE tenant = $1 AND id = $2 RETURNING {_COLUMNS}",
                self._tenant,
                key_of(name, _UNKNOWN),
                checked_text(by, "by"),
            )
            if row is None:
                raise NotFound(_UNKNOWN, code="objection-unknown")
            await outbox.tell(connection, self._tenant, outbox.OBJECTION, row["patient"])
            return await told_of(connection, _objection(row), told)

    async def stands(self, connection: Connection, patient: str, exchange: str) -> bool:
        """Whether the patient objects to `exchange` as such: not to certain requesters alone."""
        found: bool = await connection.fetchval(
            "SELECT EXISTS (SELECT FROM consent_objection WHERE tenant = $1 AND patient = $2 AND ended IS NULL "
            "AND cardinality(requesters) = 0 AND cardinality(provider_categories) = 0 "
            "AND (cardinality(exchanges) = 0 OR $3 = ANY (exchanges)))",
            self._tenant,
            patient,
            exchange,
        )
        return found

    async def list(self, patient: str | None = None, *, ended: bool = False) -> list[Objection]:
        """Those that stand, and with `ended` the others too, the newest first; of one patient when that is given.

        Raises `TooCostly` for more than 10,000.
        """
        async with acquire(self._pool) as connection:
            rows = await connection.fetch(
                f"SELECT {_COLUMNS} FROM consent_objection WHERE tenant = $1 "
                "AND ($2::text IS NULL OR patient = $2) AND ($3 OR ended IS NULL) "
                f"ORDER BY made DESC, id LIMIT {MAX_LISTED + 1}",
                self._tenant,
                None if patient is None else str(Bsn(patient)),
                ended,
            )
        if len(rows) > MAX_LISTED:
            raise TooCostly(f"there are more than {MAX_LISTED} objections: name a patient")
        return [_objection(row) for row in rows]


_UNKNOWN = "no objection has this id"


def checked_text(text: str, name: str, *, needed: bool = True) -> str:
    """A text that a person wrote, on one line. Raises `Invalid`."""
    if (needed and not text.strip()) or len(text) > MAX_TEXT or (text and not text.isprintable()):
        least = "1 to" if needed else "at most"
        raise _invalid(f"{name} is {least} {MAX_TEXT} printable characters on one line", name)
    return text.strip()


def key_of(name: str, unknown: str) -> uuid.UUID:
    """`name` as an id. Raises `NotFound`."""
    try:
        return uuid.UUID(name)
    except ValueError:
        raise NotFound(unknown) from None


def _distinct(members: Sequence[str]) -> list[str]:
    return list(dict.fromkeys(members))


def _invalid(message: str, where: str) -> Invalid:
    return Invalid(message, code="objection-invalid", expression=where)


def _objection(row: asyncpg.Record | None) -> Objection:
    assert row is not None
    values = dict(row)
    for name in ("requesters", "provider_categories", "exchanges"):
        values[name] = tuple(values[name])
    return Objection(**{**values, "id": str(row["id"])})
