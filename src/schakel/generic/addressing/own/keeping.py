"""Brings the entries in the store to what they should be: `Keeper`.

Only what changed is written, as a new version; what is no more is ended, never deleted, unless it has another id now:
then the old one would be there twice. Several processes may do it at
once: a write names the version that it follows, and who comes second looks again and finds nothing to do.
"""

from __future__ import annotations

from collections.abc import Collection
from dataclasses import dataclass

import asyncpg

from schakel.fhir import definitions, json, structure
from schakel.fhir.json import Resource
from schakel.generic.addressing.own.entries import Entries, ended
from schakel.kernel.outcomes import Conflict, Invalid, PreconditionFailed
from schakel.sources import Write
from schakel.store.connection import acquire
from schakel.store.database import unpack
from schakel.store.indexing import FHIR_NUMBER
from schakel.store.resources import Store

_ATTEMPTS = 5


@dataclass(frozen=True, slots=True)
class Brought:
    """What it took: type and id of what was written because it is new or changed, and of what was ended or deleted."""

    written: tuple[tuple[str, str], ...] = ()
    ended: tuple[tuple[str, str], ...] = ()


class Keeper:
    """The entries of `tenant`, which `store` writes; nobody else does."""

    def __init__(self, pool: asyncpg.Pool, tenant: int, store: Store) -> None:
        self.tenant = tenant
        self._pool = pool
        self._store = store

    async def bring(self, wanted: Entries, moved: Collection[tuple[str, str]] = ()) -> Brought:
        """Writes what differs from `wanted`; `moved` are type and id of what has another id since, which are deleted.
        Raises `Invalid` when one of those is no R4 resource, and `Conflict` when others keep on changing the same."""
        for resource in wanted.values():
            _check(resource)
        for _ in range(_ATTEMPTS):
            writes, brought = self._differences(await self.present(), wanted, moved)
            try:
                if writes:
                    await self._store.write("r4", writes)
                return brought
            except (PreconditionFailed, Conflict):
                continue  # Another process was first; what it wrote is seen in the next round.
        raise Conflict("the own entries are being changed by others all the time", code="entries-contended")

    async def present(self) -> dict[tuple[str, str], tuple[int, Resource]]:
        """Version and content of every entry, by type and id."""
        async with acquire(self._pool) as connection:
            rows = await connection.fetch(
                "SELECT type, id, version, body FROM resource WHERE tenant = $1 AND fhir = $2 AND NOT deleted",
                self.tenant,
                FHIR_NUMBER["r4"],
            )
        return {(row["type"], row["id"]): (row["version"], json.parse(unpack(row["body"]))) for row in rows}

    @staticmethod
    def _differences(
        present: dict[tuple[str, str], tuple[int, Resource]],
        wanted: Entries,
        moved: Collection[tuple[str, str]],
    ) -> tuple[list[Write], Brought]:
        writes: list[Write] = []
        written, gone = [], []
        for key, resource in wanted.items():
            version, old = present.get(key, (0, {}))
            if content(old) != content(resource):
                writes.append(_write(resource, version))
                written.append(key)
        for key, (version, old) in present.items():
            if key in wanted:
                continue
            if key in moved:
                writes.append(Write("DELETE", *key, if_match=version))
                gone.append(key)
            elif content(closed := ended(old)) != content(old):
                writes.append(_write(closed, version))
                gone.append(key)
        return writes, Brought(tuple(written), tuple(gone))


def content(resource: Resource) -> Resource:
    """What a resource says, without what the server that keeps it adds."""
    return {name: value for name, value in resource.items() if name != "meta"}


def _write(resource: Resource, version: int) -> Write:
    return Write(
        "PUT",
        resource["resourceType"],
        resource["id"],
        dict(content(resource)),
        if_match=version or None,
        if_absent=not version,
        own_id=True,
    )


def _check(resource: Resource) -> None:
    issues = structure.check(resource, definitions("r4"))
    if issues:
        raise Invalid(
            f"the own entry {resource.get('name') or resource['resourceType']} cannot be made: {issues[0].message}; "
            "change the settings in organisations.entries",
            code="entry-invalid",
            expression=issues[0].expression,
        )
