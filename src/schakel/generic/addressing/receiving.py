"""What another program writes into the query directory: `ReceivingStore`, the store of that directory for one writer.

What it writes is marked as its own (source `update-client`, migration 0013) in the same transaction, and it changes
nothing that is from somebody else. Its ids are the ids here: it has made them so that they are nobody else's. One that
was too long is kept as `remote` beside the one made of it (`long_ids`).
"""

from __future__ import annotations

from collections.abc import Collection, Sequence
from typing import Any

from schakel.fhir.definitions import Version
from schakel.fhir.json import Resource
from schakel.generic.addressing.copying import TYPES, switched_off, uras
from schakel.generic.addressing.long_ids import written_id
from schakel.kernel.outcomes import Forbidden, Invalid, NotSupported, at
from schakel.sources import Lookup, Settle, Write, Written
from schakel.store.connection import Connection, acquire
from schakel.store.resources import Store
from schakel.store.writing import Beside

UPDATE_CLIENT = "update-client"
"""The source of what the ministry's update client writes."""


class ReceivingStore(Store):
    """A store of the query directory through which `source` writes; made as `Store` is."""

    def __init__(self, *store: Any, source: str = UPDATE_CLIENT, **settings: Any) -> None:
        super().__init__(*store, **settings)
        self._source = source

    async def write(
        self,
        version: Version,
        writes: Sequence[Write],
        lookups: Sequence[Lookup] = (),
        settle: Settle | None = None,
        beside: Beside | None = None,
    ) -> list[Written]:
        """As `Store.write`. Raises `Forbidden` for what is another's, and `NotSupported` for a conditional change."""
        for place, write in enumerate(writes):
            with at(place):
                if write.criteria is not None:
                    raise NotSupported("a change here names the resource by its id, not by a condition")

        async def marked(connection: Connection) -> None:
            await self._check(connection, writes)
            await self._mark(connection, writes)
            if beside is not None:
                await beside(connection)

        return await super().write(version, writes, lookups, settle, marked)

    async def in_step(self) -> None:
        """Its writer was here and is content."""
        async with acquire(self._pool) as connection:
            await connection.execute(
                "INSERT INTO directory_source (tenant, name, kind, in_step, succeeded) "
                "VALUES ($1, $2, 'received', clock_timestamp(), clock_timestamp()) ON CONFLICT (tenant, name) "
                "DO UPDATE SET in_step = excluded.in_step, succeeded = excluded.succeeded",
                self._tenant,
                self._source,
            )

    async def written_ids(self, ids: Collection[str]) -> dict[str, str]:
        """Those of these ids that were made of longer ones, with the longer ones as they were written."""
        async with acquire(self._pool) as connection:
            rows = await connection.fetch(
                "SELECT DISTINCT id, remote FROM directory_resource WHERE tenant = $1 AND source = $2 "
                "AND type = ANY ($3) AND id = ANY ($4) AND remote <> id",
                self._tenant,
                self._source,
                list(TYPES),
                list(ids),
            )
        return {row["id"]: row["remote"] for row in rows}

    async def _check(self, connection: Connection, writes: Sequence[Write]) -> None:
        """Raises `Forbidden` for a resource that is of another source too, or was here before and is not of this
        writer."""
        place = await connection.fetchval(
            "SELECT w.place FROM unnest($3::text[], $4::text[]) WITH ORDINALITY AS w (type, id, place) "
            "JOIN resource r ON r.tenant = $1 AND r.fhir = 4 AND r.type = w.type AND r.id = w.id "
            "LEFT JOIN LATERAL (SELECT bool_or(d.source = $2) AS own, bool_or(d.source <> $2) AS others "
            "FROM directory_resource d WHERE d.tenant = $1 AND d.type = w.type AND d.id = w.id) s ON true "
            "WHERE s.others OR (r.version > 1 AND s.own IS NOT TRUE) ORDER BY w.place LIMIT 1",
            self._tenant,
            self._source,
            [write.type for write in writes],
            [write.id for write in writes],
        )
        if place is not None:
            with at(place - 1):
                write = writes[place - 1]
                raise Forbidden(
                    f"{write.type}/{write.id} is from another directory: {self._source} may not change it",
                    code="entry-of-another",
                )

    async def _mark(self, connection: Connection, writes: Sequence[Write]) -> None:
        """Writes down what is of this writer. Deleting what was never here makes nothing its own, and what is
        deleted keeps the id under which it was written."""
        told = (
            self._tenant,
            self._source,
            [write.type for write in writes],
            [write.id for write in writes],
            [_state(write.resource) for write in writes],
            [_ura(write.resource) for write in writes],
            [written_id(write.resource) for write in writes],
        )
        await connection.execute(
            "UPDATE directory_resource d SET state = w.state, ura = w.ura, remote = coalesce(nullif(w.remote, ''), "
            f"d.remote) FROM {_WRITTEN} WHERE d.tenant = $1 AND d.source = $2 AND d.type = w.type AND d.id = w.id",
            *told,
        )
        await connection.execute(
            "INSERT INTO directory_resource (tenant, source, type, remote, id, state, ura) "
            f"SELECT $1, $2, w.type, coalesce(nullif(w.remote, ''), w.id), w.id, w.state, w.ura FROM {_WRITTEN} "
            "JOIN resource r ON r.tenant = $1 AND r.fhir = 4 AND r.type = w.type AND r.id = w.id WHERE NOT EXISTS ("
            "SELECT FROM directory_resource d "
            "WHERE d.tenant = $1 AND d.source = $2 AND d.type = w.type AND d.id = w.id)",
            *told,
        )


_WRITTEN = (
    "unnest($3::text[], $4::text[], $5::text[], $6::text[], $7::text[]) AS w (type, id, state, ura, remote)"
)


def _state(resource: Resource | None) -> str:
    if resource is None:
        return "gone"
    return "off" if switched_off(resource) else "live"


def _ura(resource: Resource | None) -> str:
    """The one URA of an organisation; '' when it has none, or none that can be."""
    if resource is None or resource.get("resourceType") != "Organization":
        return ""
    try:
        found = uras(resource)
    except Invalid:
        return ""
    return next(iter(found)) if len(found) == 1 else ""
