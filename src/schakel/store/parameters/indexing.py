"""The index rows of one search parameter of an organisation's own, for one resource type.

Its expression comes from outside: it runs within a number of steps, and when it fails, costs too much or gives what
no index can hold, that never stops the write of the resource. Such a resource stands in the index under `name:failed`
instead, so that it can be counted, and is found again when it is written or indexed anew.
"""

from __future__ import annotations

from schakel.fhir.definitions import SearchParameter, Version, definitions
from schakel.fhir.json import Resource
from schakel.store.indexing import IndexRows, adder, needed_members
from schakel.store.parameters.reading import compiled

FAILED = ":failed"
_MOST_ROWS = 1000
"""Values of one parameter in one resource."""


class ParameterIndexer:
    """Indexes resources of one type for one parameter, within `steps` for each of them."""

    def __init__(self, version: Version, resource_type: str, parameter: SearchParameter, steps: int) -> None:
        self._name = parameter.index_name
        self._steps = steps
        self._expression = compiled(version, resource_type, parameter.expression)
        self._members = needed_members(parameter.expression, definitions(version), resource_type)
        self._adder = adder(parameter, version)

    def add(self, rows: IndexRows, resource: Resource, own_bases: tuple[str, ...]) -> None:
        """Adds the rows of `resource` to `rows`; references below `own_bases` count as this server's own."""
        if self._members is not None and self._members.isdisjoint(resource):
            return
        try:
            found = self._found(resource, own_bases)
        except Exception:  # Whatever an expression of others does to the engine, it must not stop a write.
            found = IndexRows(token={(f"{self._name}{FAILED}", "", "")})
        for name in ("token", "reference", "string", "date", "quantity", "words"):
            getattr(rows, name).update(getattr(found, name))

    def _found(self, resource: Resource, own_bases: tuple[str, ...]) -> IndexRows:
        found, added = IndexRows(), False
        nodes = self._expression.evaluate(resource, steps=self._steps)
        for node in nodes:
            added = self._adder(found, node, resource, own_bases) or added
        if not added and any(node.value is not None for node in nodes):
            found.token.add((f"{self._name}:present", "", ""))
        rows = [row for _, table in found.tables() for row in table]
        if len(rows) > _MOST_ROWS:
            raise ValueError(f"more than {_MOST_ROWS} values")
        for row in rows:
            for value in row:
                if isinstance(value, str) and "\x00" in value.encode().decode():
                    raise ValueError("a value that the database does not hold")
        return found
