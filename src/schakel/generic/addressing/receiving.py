"""What another program writes into the query directory: `ReceivingStore`, the store of that directory for one writer.

What it writes is marked as its own (source `update-client`, migration 0013) in the same transaction, and it changes
nothing that is from somebody else. Its ids are the ids here: it has made them so that they are nobody else's.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from schakel.fhir.definitions import Version
from schakel.fhir.json import Resource
from schakel.generic.addressing.copying import switched_off, uras
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
        """Writes down what is of this writer. Deleting what was never here makes nothing its own."""
        await connection.executemany(
            "INSERT INTO directory_resource (tenant, source, type, remote, id, state, ura) "
            "SELECT r.tenant, $2::text, r.type, r.id, r.id, $5::text, $6::text FROM resource r "
            "WHERE r.tenant = $1 AND r.fhir = 4 AND r.type = $3 AND r.id = $4 "
            "ON CONFLICT (tenant, source, type, remote) "
            "DO UPDATE SET state = excluded.state, ura = excluded.ura",
            [
                (
                    self._tenant,
                    self._source,
                    write.type,
                    write.id,
                    _state(write.resource),
                    _ura(write.resource),
                )
                for write in writes
            ],
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
