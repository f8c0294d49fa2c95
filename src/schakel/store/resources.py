"""`Store`: the resources of one organisation in PostgreSQL.

A write, its index rows and its history are one transaction. Reads hand out the stored bytes.
"""

from __future__ import annotations

from collections.abc import Sequence

import asyncpg
import orjson

from schakel.fhir.definitions import Definitions, Version
from schakel.fhir.json import Resource
from schakel.fhir.search import Query
from schakel.kernel.outcomes import Gone, NotFound
from schakel.sources import Changes, Found, HistoryQuery, Lookup, Settle, Stored, Write, Written
from schakel.store.connection import acquire
from schakel.store.database import unpack
from schakel.store.erasing import purge
from schakel.store.groups import Groups
from schakel.store.history import Histories
from schakel.store.indexing import FHIR_NUMBER
from schakel.store.labels import labels
from schakel.store.parameters import ParameterSets
from schakel.store.reaching import refers
from schakel.store.searches import Limits, Searches
from schakel.store.writing import Beside, RidBlocks, Writer

__all__ = ["Limits", "Store"]


_WITH_PATIENT = """
WITH r AS (
    SELECT a.place, a.fhir, own.* FROM json_to_recordset($2::json) AS a (place int, fhir smallint, type text, id text)
    CROSS JOIN LATERAL (
        SELECT type, id, version, updated, body, deleted, patient FROM resource
        WHERE tenant = $1 AND fhir = a.fhir AND type = a.type AND id = a.id LIMIT 1
    ) AS own
)
SELECT place, false AS whose, type, id, version, updated, body, deleted FROM r
UNION ALL
SELECT r.place, true, p.* FROM r CROSS JOIN LATERAL (
    SELECT type, id, version, updated, body, deleted FROM resource
    WHERE tenant = $1 AND fhir = r.fhir AND type = 'Patient' AND id = r.patient AND NOT deleted LIMIT 1
) AS p
"""


class Store:
    """Implements `schakel.sources.Source`. `own_bases` are FHIR bases whose references are our own; `parameters`
    knows the search parameters that the organisation has of its own."""

    def __init__(
        self,
        pool: asyncpg.Pool,
        tenant: int,
        rids: RidBlocks,
        own_bases: tuple[str, ...] = (),
        limits: Limits | None = None,
        parameters: ParameterSets | None = None,
    ) -> None:
        self._pool = pool
        self._tenant = tenant
        self.limits = limits or Limits()
        self.parameters = parameters or ParameterSets(tenant, own_bases=own_bases)
        self._writer = Writer(pool, tenant, rids, own_bases, self.parameters)
        self._searches = Searches(pool, tenant, own_bases, self.limits, self.parameters)
        self._histories = Histories(pool, tenant, self.limits.page, self.limits.page_max)
        self._together: Groups[
            tuple[Version, str, str], tuple[asyncpg.Record | None, asyncpg.Record | None]
        ] = Groups(self._with_patients)

    # -- reading -------------------------------------------------------------------------------------------

    async def read(self, version: Version, kind: str, logical_id: str) -> Stored:
        async with acquire(self._pool) as connection:
            row = await connection.fetchrow(
                "SELECT type, id, version, updated, body, deleted FROM resource "
                "WHERE tenant = $1 AND fhir = $2 AND type = $3 AND id = $4",
                self._tenant,
                FHIR_NUMBER[version],
                kind,
                logical_id,
            )
        return _present(row, kind, logical_id)

    async def read_many(
        self, version: Version, keys: Sequence[tuple[str, str]]
    ) -> dict[tuple[str, str], Stored]:
        async with acquire(self._pool) as connection:
            rows = await connection.fetch(
                "SELECT r.type, r.id, r.version, r.updated, r.body FROM unnest($3::text[], $4::text[]) AS k (type, id) "
                "JOIN resource r ON r.tenant = $1 AND r.fhir = $2 AND r.type = k.type AND r.id = k.id "
                "AND NOT r.deleted",
                self._tenant,
                FHIR_NUMBER[version],
                [kind for kind, _ in keys],
                [logical_id for _, logical_id in keys],
            )
        return {(row["type"], row["id"]): _stored(row) for row in rows}

    async def read_with_patient(
        self, version: Version, kind: str, logical_id: str
    ) -> tuple[Stored, Stored | None]:
        row, patient = await self._together.ask((version, kind, logical_id))
        found = _present(row, kind, logical_id)
        if kind == "Patient":
            return found, found
        return found, None if patient is None else _stored(patient)

    async def _with_patients(
        self, asked: Sequence[tuple[Version, str, str]]
    ) -> list[tuple[asyncpg.Record | None, asyncpg.Record | None]]:
        keys = [
            {"place": place, "fhir": FHIR_NUMBER[version], "type": kind, "id": logical_id}
            for place, (version, kind, logical_id) in enumerate(asked)
        ]
        async with acquire(self._pool) as connection:
            rows = await connection.fetch(_WITH_PATIENT, self._tenant, orjson.dumps(keys).decode())
        found = dict[tuple[int, bool], asyncpg.Record]()
        for row in rows:
            found[row["place"], row["whose"]] = row
        return [(found.get((place, False)), found.get((place, True))) for place in range(len(asked))]

    async def read_version(self, version: Version, kind: str, logical_id: str, number: int) -> Stored:
        key = (self._tenant, FHIR_NUMBER[version], kind, logical_id, number)
        async with acquire(self._pool) as connection:
            row = await connection.fetchrow(
                "SELECT type, id, version, updated, body, deleted FROM resource "
                "WHERE tenant = $1 AND fhir = $2 AND type = $3 AND id = $4 AND version = $5 UNION ALL "
                "SELECT type, id, version, updated, body, deleted FROM history "
                "WHERE tenant = $1 AND fhir = $2 AND type = $3 AND id = $4 AND version = $5 LIMIT 1",
                *key,
            )
        return _present(row, kind, logical_id)

    def definitions(self, version: Version) -> Definitions:
        return self.parameters.table(version)

    # -- searching -----------------------------------------------------------------------------------------

    async def search(self, version: Version, query: Query, caller: str | None) -> Found:
        return await self._searches.search(version, query, caller)

    async def page_query(self, version: Version, key: str, kind: str, caller: str) -> Query:
        return await self._searches.page_query(version, key, kind, caller)

    # -- writing -------------------------------------------------------------------------------------------

    async def history(self, version: Version, query: HistoryQuery) -> Changes:
        return await self._histories.history(version, query)

    async def labels(self, version: Version, kind: str = "") -> Resource:
        return await labels(self._pool, self._tenant, version, kind)

    async def write(
        self,
        version: Version,
        writes: Sequence[Write],
        lookups: Sequence[Lookup] = (),
        settle: Settle | None = None,
        beside: Beside | None = None,
    ) -> list[Written]:
        """As the port says; `beside` has more statements of the same transaction, for what is kept beside the
        resources and must agree with them."""
        return await self._writer.write(version, writes, lookups, settle, beside)

    async def refers(
        self, version: Version, patients: frozenset[str], types: frozenset[str], target: tuple[str, str]
    ) -> bool:
        async with acquire(self._pool) as connection:
            return await refers(connection, self._tenant, version, patients, types, target)

    async def purge(self, version: Version, patient: str, requester: str, reason: str) -> int:
        """What names this patient and others as well stays; see `erasing.purge`."""
        return await purge(self._pool, self._tenant, version, patient, requester, reason)


def _present(row: asyncpg.Record | None, kind: str, logical_id: str) -> Stored:
    if row is None:
        raise NotFound(f"{kind}/{logical_id} is not here")
    if row["deleted"]:
        raise Gone(f"{kind}/{logical_id} was deleted")
    return _stored(row)


def _stored(row: asyncpg.Record) -> Stored:
    return Stored(row["type"], row["id"], row["version"], row["updated"], unpack(row["body"]))
