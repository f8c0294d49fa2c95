"""Which resources conditional writes and references are about: searched in the transaction that writes.

Source: FHIR http.html, conditional create, update, patch and delete, and conditional references in transactions.
Two transactions with the same condition wait for one another: each takes a lock on the hash of tenant, version,
type and condition, in sorted order, before it searches.
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace

from schakel.fhir.definitions import Definitions, Version
from schakel.fhir.search import Condition, Query
from schakel.kernel.outcomes import Invalid, NotFound, PreconditionFailed, at
from schakel.sources import Lookup, Write
from schakel.store import sql
from schakel.store.connection import Connection


@dataclass(frozen=True, slots=True)
class Step:
    """One resource that is written: the write at `place`, on the resource `id`. `fresh` when a search has not found
    it, so that it must not be there."""

    place: int
    write: Write
    id: str
    fresh: bool = False


@dataclass(frozen=True, slots=True)
class Settled:
    """What is done, step by step; `ids` of all writes ('' for a DELETE of nothing), `kept` (place to id) of the
    creates that found their resource, and `targets` (ids) of the lookups."""

    steps: tuple[Step, ...]
    ids: tuple[str, ...]
    kept: dict[int, str]
    targets: tuple[str, ...]


def normal(query: Query) -> str:
    """The conditions of `query` as one text, the same for every order of parameters and values."""
    return f"{query.type}?{sorted({repr(_ordered(c)) for c in query.conditions})}"


def _ordered(condition: Condition) -> Condition:
    inner = _ordered(condition.inner) if condition.inner else None
    components = tuple(sorted(condition.components, key=repr))
    return replace(condition, values=tuple(sorted(set(condition.values))), inner=inner, components=components)


class Settling:
    """Settles the writes and lookups of one transaction of one tenant, on its connection."""

    def __init__(
        self,
        connection: Connection,
        tenant: int,
        version: Version,
        own_bases: tuple[str, ...],
        table: Definitions,
    ) -> None:
        self._connection = connection
        self._tenant = tenant
        self._version = version
        self._own_bases = own_bases
        self._table = table
        self._gone: set[tuple[str, str]] = set()
        self._settled: dict[str, str] = {}
        self._keys: dict[int, str] = {}

    async def settle(self, writes: Sequence[Write], lookups: Sequence[Lookup]) -> Settled:
        """Raises `PreconditionFailed`, `NotFound` and `Invalid` for a condition that finds too much or too little,
        and `Invalid` when two writes are about the same resource."""
        conditional = [(n, w.criteria) for n, w in enumerate(writes) if w.criteria is not None]
        self._keys = {place: normal(criteria) for place, criteria in conditional}
        await self._lock(self._keys.values())
        steps: list[Step] = []
        kept: dict[int, str] = {}
        for place, write in sorted(enumerate(writes), key=lambda item: item[1].method != "DELETE"):
            with at(place):
                if write.criteria is None:
                    found = [Step(place, write, write.id)]
                elif write.method == "DELETE":
                    found = await self._deleted(place, write, write.criteria)
                else:
                    found = await self._found(place, write, write.criteria, kept)
                steps += found
                if write.method == "DELETE":
                    self._gone |= {(write.type, step.id) for step in found}
        ids = [kept.get(place, "") for place in range(len(writes))]
        for step in steps:
            ids[step.place] = step.id
        targets = []
        for lookup in lookups:
            with at(lookup.place):
                targets.append(await self._target(lookup.query))
        _once(steps)
        return Settled(tuple(steps), tuple(ids), kept, tuple(targets))

    async def _lock(self, keys: Iterable[str]) -> None:
        """Waits for other transactions with one of these conditions; held to the end of this one."""
        prefix = f"{self._tenant} {self._version} "
        numbers = sorted(
            {
                int.from_bytes(hashlib.blake2b((prefix + key).encode(), digest_size=8).digest(), signed=True)
                for key in keys
            }
        )
        if numbers:
            await self._connection.execute(
                "SELECT pg_advisory_xact_lock(number) FROM unnest($1::bigint[]) AS number", numbers
            )

    async def _matches(self, query: Query, most: int = 1) -> list[str]:
        """Ids that match, without what this transaction deletes; at most `most` + 1 are told apart."""
        statement = sql.Statement(self._tenant, self._version, self._own_bases, self._table)
        text = sql.everything(statement, query, most + len(self._gone))
        rows = await self._connection.fetch(text, *statement.arguments)
        return [r["id"] for r in rows if (query.type, r["id"]) not in self._gone]

    async def _deleted(self, place: int, write: Write, criteria: Query) -> list[Step]:
        most = max(1, write.multiple)
        found = await self._matches(criteria, most)
        if len(found) > most:
            raise PreconditionFailed(
                f"the condition matches more than {most} of {write.type}: make it narrower, or delete by id",
                code="multiple-matches",
                issue="multiple-matches",
            )
        return [Step(place, write, logical_id) for logical_id in found]

    async def _found(self, place: int, write: Write, criteria: Query, kept: dict[int, str]) -> list[Step]:
        """What a conditional create, update or patch writes."""
        found = await self._matches(criteria)
        if len(found) > 1:
            raise PreconditionFailed(
                f"the condition matches more than one {write.type}: make it narrower, or name the id",
                code="multiple-matches",
                issue="multiple-matches",
            )
        if not found and write.method == "PATCH":
            raise NotFound(f"the condition matches no {write.type}: there is nothing to patch")
        if found and write.own_id and found[0] != write.id:
            raise Invalid(
                f"the condition matches a {write.type} with another id than that in the body",
                expression=f"{write.type}.id",
            )
        logical_id = found[0] if found else write.id
        key = self._keys[place]
        if self._settled.setdefault(key, logical_id) != logical_id:
            raise Invalid(
                "another entry writes under the same condition: one of them is enough",
                code="duplicate-change",
            )
        if found and write.method == "POST":
            kept[place] = logical_id
            return []
        return [Step(place, write, logical_id, fresh=not found)]

    async def _target(self, query: Query) -> str:
        """The one resource that a conditional reference means: that of a write under the same condition, or the
        one that is found."""
        key = normal(query)
        if key in self._settled:
            return self._settled[key]
        found = await self._matches(query)
        if len(found) != 1:
            raise PreconditionFailed(
                f"the reference {query.type}?{query.self_link()} matches "
                + ("more than one resource" if found else "nothing")
                + ": it must match exactly one",
                code="multiple-matches" if found else "no-match",
                issue="multiple-matches" if found else "not-found",
            )
        self._settled[key] = found[0]
        return found[0]


def unconditional(writes: Sequence[Write]) -> Settled:
    """What is done when no write has a condition. Raises `Invalid` when two are about the same resource."""
    steps = tuple(Step(place, write, write.id) for place, write in enumerate(writes))
    _once(steps)
    return Settled(steps, tuple(w.id for w in writes), {}, ())


def _once(steps: Sequence[Step]) -> None:
    seen: set[tuple[str, str]] = set()
    for step in steps:
        key = (step.write.type, step.id)
        if key in seen:
            with at(step.place):
                raise Invalid(
                    "another entry changes the same resource: a transaction may change a resource once",
                    code="duplicate-change",
                )
        seen.add(key)
