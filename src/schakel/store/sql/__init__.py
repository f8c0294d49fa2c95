"""From a parsed `Query` to one SQL statement.

Entry points: the functions of `searching`. `Statement` is the one place where the tenant and the FHIR version enter:
every table is named through `Statement.rows`, which adds both.
"""

from __future__ import annotations

from datetime import datetime

from schakel.store.sql.searching import (
    Reached,
    everything,
    iterated,
    number_of_matches,
    remembered,
    search,
)
from schakel.store.sql.statement import Statement

INDEX_TABLES = (
    "index_token",
    "index_reference",
    "index_string",
    "index_date",
    "index_quantity",
    "index_composite",
    "index_text",
)
"""The tables of the search index."""


def moment(value: datetime) -> datetime:
    """`value` cut to milliseconds, the precision in which `lastUpdated` is kept."""
    return value.replace(microsecond=value.microsecond // 1000 * 1000)


__all__ = [
    "INDEX_TABLES",
    "Reached",
    "Statement",
    "everything",
    "iterated",
    "moment",
    "number_of_matches",
    "remembered",
    "search",
]
