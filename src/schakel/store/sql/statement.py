"""`Statement`: the one place where tenant and FHIR version enter a search."""

from __future__ import annotations

from collections.abc import Collection, Iterable

from schakel.fhir.definitions import Definitions, Version, definitions
from schakel.store.indexing import FHIR_NUMBER


class Statement:
    """Text and arguments of one statement for one tenant and FHIR version ($1 and $2). `table` are the definitions
    with which the query was parsed, those of the version itself when none are given."""

    def __init__(
        self,
        tenant: int,
        version: Version,
        own_bases: tuple[str, ...] = (),
        table: Definitions | None = None,
    ) -> None:
        self.version = version
        self.table = table or definitions(version)
        self.own_bases = own_bases
        self.arguments: list[object] = [tenant, FHIR_NUMBER[version]]
        self._aliases = 0

    def argument(self, value: object) -> str:
        """The placeholder of `value`."""
        self.arguments.append(value)
        return f"${len(self.arguments)}"

    def alias(self) -> str:
        """A fresh table alias."""
        self._aliases += 1
        return f"t{self._aliases}"

    def one_of(self, column: str, values: Collection[str]) -> str:
        """Whether `column` is one of these texts."""
        if len(values) == 1:
            return f"{column} = {self.argument(next(iter(values)))}"
        return f"{column} = ANY({self.argument(list(values))}::text[])"

    @staticmethod
    def rows(table: str, alias: str) -> str:
        """`table alias WHERE` with tenant and FHIR version; conditions follow with AND."""
        return f"{table} {alias} WHERE {alias}.tenant = $1 AND {alias}.fhir = $2"

    @staticmethod
    def joined(table: str, alias: str) -> str:
        """`JOIN table alias ON` with tenant and FHIR version; conditions follow with AND."""
        return f"JOIN {table} {alias} ON {alias}.tenant = $1 AND {alias}.fhir = $2"


def any_of(parts: Iterable[str]) -> str:
    """The parts with OR between them; false without any."""
    listed = list(parts)
    if not listed:
        return "FALSE"
    return listed[0] if len(listed) == 1 else f"({' OR '.join(listed)})"
