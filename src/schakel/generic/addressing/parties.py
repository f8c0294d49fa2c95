"""What the query directory holds of one provider: its organisations, those above them, and the endpoints they use.

One SQL statement on the index of the store finds them; only what was found is unpacked and read.
"""

from __future__ import annotations

from collections.abc import Sequence
from contextlib import suppress
from dataclasses import dataclass, field
from datetime import datetime

import asyncpg
import orjson

from schakel.fhir.json import Resource
from schakel.generic.addressing.choice import Terms
from schakel.kernel.outcomes import Invalid
from schakel.kernel.values import URA_SYSTEM, Ura
from schakel.store.connection import acquire
from schakel.store.database import unpack

_URA_SYSTEM = URA_SYSTEM.lower()

MOST_LEVELS = 10
"""How many organisations above one another are looked at."""

_BY_URA = """
    SELECT r.rid, r.type, r.id, r.body, ARRAY[r.rid] FROM index_token t
    CROSS JOIN LATERAL (
        SELECT r.rid, r.type, r.id, r.body FROM resource r WHERE r.tenant = $1 AND r.rid = t.rid
        AND NOT r.deleted OFFSET 0) r
    WHERE t.tenant = $1 AND t.fhir = 4 AND t.type = 'Organization' AND t.patient = '' AND t.param = 'identifier'
    AND t.code = ANY ($2::text[]) AND lower(t.system) = $3"""
_BY_ID = """
    SELECT r.rid, r.type, r.id, r.body, ARRAY[r.rid] FROM resource r
    WHERE r.tenant = $1 AND r.fhir = 4 AND r.type = $2 AND r.id = $3 AND NOT r.deleted"""
_FIND = """
WITH RECURSIVE walk (rid, type, id, body, path) AS ({start}
    UNION ALL
    SELECT up.rid, up.type, up.id, up.body, walk.path || up.rid FROM walk
    CROSS JOIN LATERAL (
        SELECT f.target_id FROM index_reference f WHERE f.tenant = $1 AND f.rid = walk.rid
        AND f.param = CASE walk.type WHEN 'Organization' THEN 'partof' ELSE 'organization' END
        AND f.target_type = 'Organization' OFFSET 0) f
    CROSS JOIN LATERAL (
        SELECT r.rid, r.type, r.id, r.body FROM resource r WHERE r.tenant = $1 AND r.fhir = 4
        AND r.type = 'Organization' AND r.id = f.target_id AND NOT r.deleted OFFSET 0) up
    WHERE cardinality(walk.path) < $4 AND up.rid <> ALL (walk.path)
), named (rid, type, id, body, path, owner) AS (
    SELECT rid, type, id, body, path, NULL::bigint FROM walk
    UNION ALL
    SELECT e.rid, e.type, e.id, e.body, NULL, walk.rid FROM walk
    CROSS JOIN LATERAL (
        SELECT f.target_id FROM index_reference f WHERE f.tenant = $1 AND f.rid = walk.rid
        AND f.param = 'endpoint' AND f.target_type = 'Endpoint' OFFSET 0) f
    CROSS JOIN LATERAL (
        SELECT r.rid, r.type, r.id, r.body FROM resource r WHERE r.tenant = $1 AND r.fhir = 4
        AND r.type = 'Endpoint' AND r.id = f.target_id AND NOT r.deleted OFFSET 0) e
)
SELECT named.*, o.sources, o.in_step FROM named
CROSS JOIN LATERAL (
    SELECT array_agg(d.source) AS sources,
        CASE WHEN count(*) = count(s.in_step) THEN min(s.in_step) END AS in_step
    FROM directory_resource d LEFT JOIN directory_source s ON s.tenant = $1 AND s.name = d.source
    WHERE d.tenant = $1 AND d.type = named.type AND d.id = named.id AND d.state IN ('live', 'off')) o
"""
_FIND_BY_URA = _FIND.format(start=_BY_URA)
_FIND_BY_ID = _FIND.format(start=_BY_ID)


@dataclass(frozen=True, slots=True)
class Origin:
    """The directories that a resource is from, none when it was written here, and the moment at which the last of them
    that is behind was in step (None when nobody knows)."""

    sources: tuple[str, ...]
    as_of: datetime | None

    @property
    def read(self) -> bool:
        """Whether what they say was here as a whole at some moment."""
        return self.as_of is not None or not self.sources

    def by(self, directory: str) -> bool:
        """Whether it is from this directory, or from one that this root names (its name begins with the root's)."""
        return any(one == directory or one.startswith(f"{directory} ") for one in self.sources)

    def joined(self, other: Origin) -> Origin:
        """That of two resources together."""
        moments = (self.as_of, other.as_of)
        as_of = None if None in moments else min(one for one in moments if one is not None)
        return Origin(tuple(sorted({*self.sources, *other.sources})), as_of)

    def __str__(self) -> str:
        return ", ".join(self.sources) or "written here"


@dataclass(frozen=True, slots=True)
class Held:
    """A resource that is held, and where it is from."""

    rid: int
    type: str
    id: str
    resource: Resource
    origin: Origin

    @property
    def active(self) -> bool:
        """Whether it may answer: only what says that it is not active may not."""
        return self.resource.get("active") is not False

    @property
    def uras(self) -> tuple[str, ...]:
        """The URA numbers of an organisation, in eight digits; what is written under its system and is none is not
        among them."""
        found = []
        for value in self._written:
            with suppress(Invalid):
                found.append(str(Ura(value)))
        return tuple(found)

    @property
    def provider(self) -> bool:
        """Whether it is a provider by itself: anything is written under the system of URA numbers, one or not."""
        return bool(self._written)

    @property
    def _written(self) -> list[str]:
        """What is written under the system of URA numbers."""
        identifiers = self.resource.get("identifier")
        return [
            str(one.get("value", ""))
            for one in (identifiers if isinstance(identifiers, list) else ())
            if isinstance(one, dict) and str(one.get("system", "")).lower() == _URA_SYSTEM
        ]


@dataclass(frozen=True, slots=True)
class Party:
    """An organisation, department or service, with the endpoints that it uses in the order in which it lists them, and
    the terms of each."""

    held: Held
    endpoints: tuple[Held, ...]
    terms: tuple[Terms, ...]


Chain = tuple[Party, ...]
"""A party and those above it, from below."""


@dataclass(slots=True)
class _Rows:
    paths: list[tuple[int, ...]] = field(default_factory=list)
    held: dict[int, Held] = field(default_factory=dict)
    used: dict[int, set[int]] = field(default_factory=dict)


async def by_ura(pool: asyncpg.Pool, tenant: int, ura: str) -> list[Chain]:
    """The chain of every organisation with this URA, by the id of that organisation: however the number is written
    there, with the zeros before it or without some or all, and its system in capitals or not, as where it is taken in.
    """
    try:
        spelled = Ura(ura).spellings
    except Invalid:  # Nobody has what is no number.
        return []
    return await _chains(pool, _FIND_BY_URA, tenant, list(spelled), _URA_SYSTEM)


async def by_id(pool: asyncpg.Pool, tenant: int, kind: str, logical_id: str) -> Chain:
    """The chain of an Organization or HealthcareService; empty when it is not there."""
    found = await _chains(pool, _FIND_BY_ID, tenant, kind, logical_id)
    return found[0] if found else ()


async def _chains(
    pool: asyncpg.Pool, statement: str, tenant: int, one: str | list[str], other: str
) -> list[tuple[Party, ...]]:
    async with acquire(pool) as connection:
        records = await connection.fetch(statement, tenant, one, other, MOST_LEVELS)
    rows = _Rows()
    for record in records:
        rid: int = record["rid"]
        if rid not in rows.held:
            rows.held[rid] = _held(record)
        if record["owner"] is not None:
            rows.used.setdefault(record["owner"], set()).add(rid)
        else:
            rows.paths.append(tuple(record["path"]))
    parties = {rid: _party(rid, rows) for path in rows.paths for rid in path}
    longest: dict[int, tuple[int, ...]] = {}
    for path in rows.paths:
        if len(path) > len(longest.get(path[0], ())):
            longest[path[0]] = path
    chains = [tuple(parties[rid] for rid in path) for path in longest.values()]
    return sorted(chains, key=lambda chain: chain[0].held.id)


def _held(record: asyncpg.Record) -> Held:
    origin = Origin(tuple(sorted(record["sources"] or ())), record["in_step"])
    return Held(record["rid"], record["type"], record["id"], orjson.loads(unpack(record["body"])), origin)


def _party(rid: int, rows: _Rows) -> Party:
    held, endpoints = rows.held[rid], [rows.held[one] for one in rows.used.get(rid, ())]
    place = {name: number for number, name in reversed(list(enumerate(_listed(held.resource))))}
    used = sorted(endpoints, key=lambda one: (place.get(one.id, len(place)), one.id))
    return Party(held, tuple(used), tuple(Terms.of(one.resource) for one in used))


def _listed(resource: Resource) -> Sequence[str]:
    """The ids of the endpoints that a resource refers to, in order."""
    references = resource.get("endpoint")
    found = (one for one in references if isinstance(one, dict)) if isinstance(references, list) else ()
    return [str(one.get("reference", "")).rpartition("/")[2] for one in found]
