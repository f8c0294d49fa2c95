"""The search parameters that one organisation has of its own at a moment, and how a process knows the last of them.

The database counts the changes (`generation`). Whoever writes learns the generation with the lock that it takes
(migration 0006); a search that asks for such a parameter looks first; all else is refreshed each second.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from typing import Literal

import asyncpg

from schakel.fhir.definitions import VERSIONS, Definitions, SearchParameter, Version, definitions
from schakel.fhir.json import Resource
from schakel.fhir.search import Condition, Query
from schakel.kernel.outcomes import Conflict
from schakel.store.connection import Connection
from schakel.store.indexing import FHIR_NUMBER, OWN, IndexRows
from schakel.store.parameters.indexing import ParameterIndexer
from schakel.store.parameters.reading import types_of

State = Literal["building", "ready", "failed"]
_VERSION = {number: version for version, number in FHIR_NUMBER.items()}


@dataclass(frozen=True, slots=True)
class ParameterRules:
    """`most` parameters an organisation may have, `steps` that an expression may take on one resource, and the
    address of its jobs."""

    most: int = 50
    steps: int = 5000
    jobs: str = "jobs"


@dataclass(frozen=True, slots=True)
class OwnParameter:
    """A parameter of the organisation's own: the resource SearchParameter/`id`, as it has effect. `job` builds it."""

    number: int
    version: Version
    id: str
    parameter: SearchParameter
    state: State
    job: str

    @property
    def types(self) -> tuple[str, ...]:
        """The resource types it is for, but those that have a standard parameter with its code by now."""
        table = definitions(self.version)
        named = types_of(table, self.parameter.base)
        return tuple(name for name in named if self.parameter.code not in table.search_parameters(name))


class ParameterSet:
    """All of them, at one generation. `at` is where jobs are looked up."""

    def __init__(self, generation: int, parameters: Sequence[OwnParameter], rules: ParameterRules) -> None:
        self.generation = generation
        self.parameters = tuple(parameters)
        self._steps = rules.steps
        self._tables = {version: self._table(version, rules.jobs) for version in VERSIONS}
        self._indexers: dict[tuple[Version, str], tuple[ParameterIndexer, ...]] = {}

    def _table(self, version: Version, jobs: str) -> Definitions:
        own = [p for p in self.parameters if p.version == version]
        if not own:
            return definitions(version)
        return definitions(version).extended(
            replace(p.parameter, base=p.types, indexed_as=f"{OWN}{p.number}", unready=_unready(p, jobs))
            for p in own
        )

    def table(self, version: Version) -> Definitions:
        """The definitions of a version with these parameters."""
        return self._tables[version]

    def of(self, number: int) -> OwnParameter | None:
        """The parameter with this number."""
        return next((p for p in self.parameters if p.number == number), None)

    def add_rows(
        self, version: Version, kind: str, rows: IndexRows, resource: Resource, own_bases: tuple[str, ...]
    ) -> None:
        """Adds the index rows of these parameters for a resource to `rows`."""
        if not self.parameters:
            return
        indexers = self._indexers.get((version, kind))
        if indexers is None:
            indexers = tuple(
                self.indexer(p, kind) for p in self.parameters if p.version == version and kind in p.types
            )
            self._indexers[version, kind] = indexers
        for indexer in indexers:
            indexer.add(rows, resource, own_bases)

    def indexer(self, own: OwnParameter, kind: str) -> ParameterIndexer:
        """What indexes resources of a type for one of these parameters."""
        parameter = replace(own.parameter, indexed_as=f"{OWN}{own.number}")
        return ParameterIndexer(own.version, kind, parameter, self._steps)


def _unready(own: OwnParameter, jobs: str) -> str:
    if own.state == "ready":
        return ""
    word = "is still being built" if own.state == "building" else "could not be built"
    return f"{word}: see {jobs}/{own.job}"


class ParameterSets:
    """What this process knows of the parameters of one tenant. `own_bases` are FHIR bases whose references are its
    own."""

    def __init__(
        self, tenant: int, rules: ParameterRules | None = None, own_bases: tuple[str, ...] = ()
    ) -> None:
        self.tenant = tenant
        self.own_bases = own_bases
        self.rules = rules or ParameterRules()
        self._current = ParameterSet(0, (), self.rules)

    @property
    def current(self) -> ParameterSet:
        """The last set that this process knows."""
        return self._current

    @property
    def generation(self) -> int:
        """The generation of that set."""
        return self._current.generation

    def table(self, version: Version) -> Definitions:
        """The definitions of a version with the parameters of this organisation."""
        return self._current.table(version)

    async def at(self, connection: Connection, generation: int) -> ParameterSet:
        """The set of this generation, which is the last one as long as `connection` is past the gate."""
        if self._current.generation != generation:
            await self.refresh(connection)
        return self._current

    async def refresh(self, connection: Connection) -> None:
        """Fetches the last set. Outside a transaction, or before that changes the set itself."""
        rows = await connection.fetch(
            "SELECT coalesce(s.generation, 0) AS generation, p.number, p.fhir, p.id, p.url, p.code, p.type, p.bases, "
            "p.expression, p.targets, p.state, p.job FROM (SELECT) AS one "
            "LEFT JOIN search_parameter_set s ON s.tenant = $1 LEFT JOIN search_parameter p ON p.tenant = $1 "
            "ORDER BY p.number",
            self.tenant,
        )
        own = [_own(row) for row in rows if row["number"] is not None]
        if rows[0]["generation"] >= self._current.generation:
            self._current = ParameterSet(rows[0]["generation"], own, self.rules)

    async def hold(self, connection: Connection, version: Version, query: Query) -> None:
        """Makes sure that the parameters of this organisation that a query names mean what they meant when it was
        parsed. Raises `Conflict`."""
        named = list(_named(query))
        if not named:
            return
        generation: int | None = await connection.fetchval(
            "SELECT generation FROM search_parameter_set WHERE tenant = $1", self.tenant
        )
        table = (await self.at(connection, generation or 0)).table(version)
        for kinds, parameter in named:
            known = [table.search_parameters(kind).get(parameter.code) for kind in kinds]
            if not any(p is not None and p.indexed_as == parameter.indexed_as for p in known) or any(
                p is None or p.unready for p in known
            ):
                raise Conflict(
                    f"the search parameter {parameter.code!r} was changed while it was asked; ask again",
                    code="search-parameter-changed",
                    expression=parameter.code,
                )


def _named(query: Query) -> Iterator[tuple[tuple[str, ...], SearchParameter]]:
    """The organisation's own parameters in a query, each with the types on which it is asked."""
    waiting: list[tuple[tuple[str, ...], Condition]] = [(query.kinds, c) for c in query.conditions]
    while waiting:
        kinds, condition = waiting.pop()
        asked = condition.targets if condition.reverse else kinds
        if condition.parameter.indexed_as:
            yield asked, condition.parameter
        if condition.inner is not None:
            waiting.append((condition.targets, condition.inner))
    for include in (*query.includes, *query.revincludes):
        if include.parameter.indexed_as:
            yield (include.source,), include.parameter
    for sort in query.sort:
        if sort.parameter.indexed_as:
            yield query.kinds, sort.parameter


def _own(row: asyncpg.Record) -> OwnParameter:
    parameter = SearchParameter(
        row["code"], tuple(row["bases"]), row["type"], row["expression"], row["url"], tuple(row["targets"])
    )
    return OwnParameter(
        row["number"], _VERSION[row["fhir"]], row["id"], parameter, row["state"], str(row["job"])
    )
