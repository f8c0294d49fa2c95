"""The jobs behind search parameters of an organisation's own: they bring the rows of one parameter in order.

They go through the resources of its types by key, some at a time. A step locks those resources, takes away the rows
that this parameter has of them, and puts in those that it should have by what holds now: none when the parameter is
gone. It is past the gate (migration 0006), so that what it takes to hold does hold until it ends; resources written
behind its back were written with the parameter already.
"""

from __future__ import annotations

import asyncio
from collections.abc import Iterable, Mapping, Sequence
from typing import Any
from uuid import UUID

from schakel.fhir.definitions import Version
from schakel.fhir.json import STORED_DEPTH, parse
from schakel.store.connection import Connection
from schakel.store.database import unpack
from schakel.store.indexing import FHIR_NUMBER, OWN, IndexRows
from schakel.store.jobs import Job, Kind, Step
from schakel.store.parameters.changing import BUILD, REMOVE, bump
from schakel.store.parameters.indexing import FAILED
from schakel.store.parameters.sets import ParameterSet, ParameterSets
from schakel.store.sql import INDEX_TABLES

CHUNK = 200
"""Resources in a step."""
_AFTER = ("", ":present", ":identifier", ":of-type", FAILED)
_WORDS = "index_text"
_OWN_TABLES = [table for table in INDEX_TABLES if table not in (_WORDS, "index_composite")]

KINDS = (BUILD, REMOVE)


class Reindexing:
    """Both kinds of job; `sets` are those of each tenant."""

    def __init__(self, sets: Mapping[int, ParameterSets]) -> None:
        self._sets = sets

    def kinds(self) -> dict[str, Kind]:
        """For a `Worker`."""
        return dict.fromkeys(KINDS, self)

    async def step(self, connection: Connection, job: Job) -> Step:
        """See `schakel.store.jobs.Kind`. The place is `Type/id` of the last resource."""
        version: Version = job.argument["fhir"]
        number, types = job.argument["number"], job.argument["types"]
        generation = await connection.fetchval("SELECT write_gate($1, false)", job.tenant)
        holds = await self._sets[job.tenant].at(connection, generation)
        if job.kind == BUILD and holds.of(number) is None:
            return Step(job.place, finished=True, total=job.done)
        total = None if job.place else await _number_of(connection, job.tenant, version, types)
        kind, _, last = (job.place or f"{types[0]}/").partition("/")
        for following in types[types.index(kind) :]:
            ids = await _following(connection, job.tenant, version, following, last)
            if ids:
                await self._bring_in_order(connection, job, holds, following, ids)
                return Step(f"{following}/{ids[-1]}", len(ids), total=total)
            last = ""
        if job.kind == BUILD:
            await self._ended(connection, job, "ready")
        return Step(job.place, finished=True, total=total)

    async def failed(self, connection: Connection, job: Job) -> None:
        """See `schakel.store.jobs.Kind`."""
        if job.kind == BUILD:
            await self._ended(connection, job, "failed")

    async def _ended(self, connection: Connection, job: Job, state: str) -> None:
        await connection.execute(
            "UPDATE search_parameter SET state = $3 WHERE tenant = $1 AND job = $2",
            job.tenant,
            UUID(job.id),
            state,
        )
        await bump(connection, job.tenant)

    async def _bring_in_order(
        self, connection: Connection, job: Job, holds: ParameterSet, kind: str, ids: Sequence[str]
    ) -> None:
        """Replaces the rows that the parameter has of these resources."""
        version: Version = job.argument["fhir"]
        fhir, number = FHIR_NUMBER[version], job.argument["number"]
        resources = await connection.fetch(
            "SELECT rid, patient, body FROM resource WHERE tenant = $1 AND fhir = $2 AND type = $3 "
            "AND id = ANY($4) AND NOT deleted ORDER BY id FOR UPDATE",
            job.tenant,
            fhir,
            kind,
            ids,
        )
        rids = [row["rid"] for row in resources]
        own = holds.of(number)
        indexer = holds.indexer(own, kind) if own is not None and kind in own.types else None
        bases = self._sets[job.tenant].own_bases
        found: dict[int, IndexRows] = {}
        for row in resources:
            if indexer is None:
                break
            rows = IndexRows(row["patient"])
            indexer.add(rows, parse(unpack(row["body"]), max_depth=STORED_DEPTH), bases)
            found[row["rid"]] = rows
            await asyncio.sleep(0)  # It must not hold up requests.
        name = f"{OWN}{number}"
        for table in _OWN_TABLES:
            await connection.execute(
                f"DELETE FROM {table} WHERE tenant = $1 AND rid = ANY($2) AND param = ANY($3)",
                job.tenant,
                rids,
                [f"{name}{after}" for after in _AFTER],
            )
        if job.argument["type"] == "token":
            await self._replace_words(connection, job.tenant, name, rids, found)
        records: dict[str, list[tuple[Any, ...]]] = {}
        for rid, rows in found.items():
            key = (job.tenant, fhir, kind, rows.patient)
            for table, values in rows.tables():
                records.setdefault(table, []).extend((*key, *row, rid) for row in values)
        for table, listed in records.items():
            if listed:
                await connection.copy_records_to_table(table, records=listed)

    async def _replace_words(
        self,
        connection: Connection,
        tenant: int,
        name: str,
        rids: Sequence[int],
        found: Mapping[int, IndexRows],
    ) -> None:
        """Takes the lines of the parameter out of the words of these resources, and adds the others to those that
        are found: words are one row for each resource."""
        kept = await connection.fetch(
            f"SELECT rid, words FROM {_WORDS} WHERE tenant = $1 AND rid = ANY($2)", tenant, rids
        )
        own = f"\n{name}\x1f"
        changed: list[tuple[int, str | None]] = []
        for row in kept:
            lines = _lines(row["words"])
            if row["rid"] in found and found[row["rid"]].words:
                found[row["rid"]].words.update(line for line in lines if not line.startswith(own))
                changed.append((row["rid"], None))
            elif any(line.startswith(own) for line in lines):
                left = "".join(line for line in lines if not line.startswith(own))
                changed.append((row["rid"], left or None))
        gone = [rid for rid, left in changed if left is None]
        await connection.execute(f"DELETE FROM {_WORDS} WHERE tenant = $1 AND rid = ANY($2)", tenant, gone)
        await connection.executemany(
            f"UPDATE {_WORDS} SET words = $3 WHERE tenant = $1 AND rid = $2",
            [(tenant, rid, left) for rid, left in changed if left is not None],
        )


def _lines(words: str) -> list[str]:
    """The lines of `index_text`, each with the line end before it."""
    return [f"\n{line}" for line in words.split("\n") if line]


async def _number_of(connection: Connection, tenant: int, version: Version, types: Iterable[str]) -> int:
    total: int = await connection.fetchval(
        "SELECT count(*) FROM resource WHERE tenant = $1 AND fhir = $2 AND type = ANY($3)",
        tenant,
        FHIR_NUMBER[version],
        list(types),
    )
    return total


async def _following(
    connection: Connection, tenant: int, version: Version, kind: str, last: str
) -> list[str]:
    """The ids of the resources of a type that follow `last`, deleted ones too."""
    rows = await connection.fetch(
        "SELECT id FROM resource WHERE tenant = $1 AND fhir = $2 AND type = $3 AND id > $4 "
        f"ORDER BY id LIMIT {CHUNK}",
        tenant,
        FHIR_NUMBER[version],
        kind,
        last,
    )
    return [row["id"] for row in rows]
