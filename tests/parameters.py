"""Search parameters of an organisation's own, for tests: a SearchParameter, an extension that one reads, and a store
with its worker."""

from __future__ import annotations

from typing import Any

import asyncpg

from schakel.fhir.definitions import Version
from schakel.fhir.search import Handling, QueryParser, pairs_of
from schakel.sources import Write, Written
from schakel.store.jobs import Worker
from schakel.store.parameters import ParameterRules, ParameterSets, Reindexing, StoredJobs
from schakel.store.resources import Store
from schakel.store.sql import INDEX_TABLES
from schakel.store.writing import RidBlocks

EXTENSION = "urn:test:shoe"


def search_parameter(code: str = "shoe", **members: Any) -> dict[str, Any]:
    """An active SearchParameter on Patient that reads the extension; `members` replace its own, None takes away."""
    table = {
        "resourceType": "SearchParameter",
        "id": code,
        "url": f"http://example.org/SearchParameter/{code}",
        "name": code,
        "status": "active",
        "description": "What an organisation wants to search by.",
        "code": code,
        "base": ["Patient"],
        "type": "token",
        "expression": f"Patient.extension('{EXTENSION}').value",
        **members,
    }
    return {name: value for name, value in table.items() if value is not None}


def shoe(value: Any, kind: str = "valueCode") -> list[dict[str, Any]]:
    """The extension with a value."""
    return [{"url": EXTENSION, kind: value}]


VERSIONS: tuple[Version, ...] = ("stu3", "r4")


class Organisation:
    """The store of one tenant, with the worker that does its jobs when told to."""

    def __init__(self, pool: asyncpg.Pool, tenant: int, rules: ParameterRules) -> None:
        self.pool = pool
        self.tenant = tenant
        sets = ParameterSets(tenant, rules)
        self.store = Store(pool, tenant, RidBlocks(), parameters=sets)
        self.jobs = StoredJobs(pool, sets)
        self.worker = Worker(pool, [tenant], Reindexing({tenant: sets}).kinds())

    async def write(self, *writes: Write, version: Version = "r4") -> list[Written]:
        return await self.store.write(version, writes)

    async def put(self, resource: dict[str, Any], version: Version = "r4", method: str = "PUT") -> Written:
        kind, name = resource["resourceType"], resource["id"]
        [written] = await self.write(Write("PUT", kind, name, dict(resource)), version=version)
        return written

    async def delete(self, kind: str, name: str) -> Written:
        [written] = await self.write(Write("DELETE", kind, name))
        return written

    async def hurry(self) -> None:
        """Lets every job begin that waits for its time."""
        await self.pool.execute("UPDATE job SET run_after = now() WHERE tenant = $1", self.tenant)

    async def work(self, removals: bool = False) -> None:
        """Does all jobs; those that take rows away only when asked, and then at once."""
        if removals:
            await self.hurry()
        while await self.worker.turn():
            pass
        async with self.pool.acquire() as connection:
            await self.store.parameters.refresh(connection)

    async def found(
        self, kind: str, text: str, version: Version = "r4", handling: Handling = "strict"
    ) -> list[str]:
        parser = QueryParser(self.store.definitions(version))
        query = parser.parse(kind, pairs_of(text), handling=handling)
        return sorted(stored.id for stored in (await self.store.search(version, query, "me")).matches)

    async def own_rows(self) -> dict[str, int]:
        """How many rows stand under names of added parameters, by table."""
        counts = {
            table: await self.pool.fetchval(
                f"SELECT count(*) FROM {table} WHERE tenant = $1 AND param LIKE '+%'",
                self.tenant,
            )
            for table in INDEX_TABLES
            if table != "index_text"
        }
        counts["index_text"] = await self.pool.fetchval(
            "SELECT count(*) FROM index_text WHERE tenant = $1 AND words LIKE '%' || chr(10) || '+%'",
            self.tenant,
        )
        return {table: number for table, number in counts.items() if number}
