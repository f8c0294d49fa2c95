"""The order of what a search finds."""

from __future__ import annotations

from schakel.fhir.search import Sort
from schakel.store.sql.comparing import TABLES
from schakel.store.sql.matching import Search

_SORTED = {
    "index_token": ("code", "code"),
    "index_reference": ("target_id", "target_id"),
    "index_string": ("folded", "folded"),
    "index_date": ("low", "high"),
    "index_quantity": ("base_least", "base_most"),
}
"""The columns by which each table is sorted, upwards and downwards."""


def order(build: Search, alias: str) -> str:
    """The ORDER BY of the query; ends with the resource's own key, so that it is total."""
    return ", ".join([*(_key(build, alias, one) for one in build.query.sort), f"{alias}.rid"])


def _key(build: Search, alias: str, sort: Sort) -> str:
    direction = "DESC NULLS LAST" if sort.descending else "ASC NULLS LAST"
    code = sort.parameter.code
    if code == "_id":
        return f"{alias}.id {direction}"
    if code == "_lastUpdated":
        return f"{alias}.updated {direction}"
    table = TABLES[sort.parameter.type]
    lower, upper = _SORTED[table]
    inner = build.s.alias()
    return (
        f"(SELECT {'max' if sort.descending else 'min'}({inner}.{upper if sort.descending else lower}) "
        f"FROM {build.s.rows(table, inner)} AND {inner}.rid = {alias}.rid "
        f"AND {build.named(inner, build.kinds, code, '')}) {direction}"
    )
