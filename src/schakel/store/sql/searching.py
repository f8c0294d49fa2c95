"""Whole statements of a search: its first page, all its matches, a remembered page, and what is included."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from schakel.fhir.search import WILDCARD, Include, Query
from schakel.store.indexing import OWN
from schakel.store.sql.matching import Search
from schakel.store.sql.ordering import order
from schakel.store.sql.statement import Statement

COLUMNS = "rid, type, id, version, updated, body"


def search(statement: Statement, query: Query, limit: int, included: int) -> str:
    """One statement for a first page: at most `limit` + 1 matches (the last says that there is more), and at most
    `included` + 1 of the resources that the first `limit` include.

    Columns: rid, type, id, version, updated, body, place (0 for included ones), via (keys of the matches that
    led to an included one), patients (ids that the search was limited to, and '').
    """
    build = Search(statement, query)
    ordered = order(build, "r")
    found = build.matching(
        f"r.rid, r.type, r.id, r.version, r.updated, r.body, row_number() OVER (ORDER BY {ordered}) AS place"
    )
    text = (
        f"found AS MATERIALIZED ({found} ORDER BY place LIMIT {statement.argument(limit + 1)}), "
        f"page AS (SELECT rid, type, id, version FROM found WHERE place <= {statement.argument(limit)})"
    )
    limited = "(SELECT ids FROM scope)" if build.scope else "NULL::text[]"
    tail = f"SELECT {COLUMNS}, place, NULL::bigint[] AS via, {limited} AS patients FROM found"
    if query.includes or query.revincludes:
        text += f", linked AS ({_links(statement, query.includes, query.revincludes)})"
        tail += f" UNION ALL ({_included(build, included)})"
    return build.with_scope(f"{text} {tail} ORDER BY place")


def _included(build: Search, most: int) -> str:
    """The resources that `linked` leads to, without those of `page` itself; at most `most` + 1."""
    visible = build.visible("i", tuple(sorted(build.s.table.resource_types)))
    if visible:  # A Device or a Provenance may name no patient at all: whether it goes out, the door judges.
        named = build.s.rows("index_reference", "p") + " AND p.rid = i.rid AND p.target_type = 'Patient'"
        named += f" AND NOT starts_with(p.param, {build.s.argument(OWN)})"
        nameless = f"i.patient = '' AND i.type <> 'Patient' AND NOT EXISTS (SELECT FROM {named})"
        visible = f" AND (({visible.removeprefix(' AND ')}) OR ({nameless}))"
    return (
        "SELECT i.rid, i.type, i.id, i.version, i.updated, i.body, 0, chosen.via, NULL::text[] FROM "
        "(SELECT linked.rid, array_agg(linked.source) AS via FROM linked "
        "WHERE linked.rid NOT IN (SELECT rid FROM page) GROUP BY linked.rid) chosen CROSS JOIN LATERAL "
        "(SELECT * FROM resource i WHERE i.tenant = $1 AND i.fhir = $2 AND i.rid = chosen.rid OFFSET 0) i "
        f"WHERE NOT i.deleted{visible} LIMIT {build.s.argument(most + 1)}"
    )


def _links(statement: Statement, includes: Sequence[Include], revincludes: Sequence[Include]) -> str:
    """(rid, source) of what the rows of `page` (rid, type, id) include.

    `OFFSET 0` keeps each lookup a lookup by key per row of the page, also before the tables were analysed.
    """
    parts = []
    for include in includes:
        wanted = _by(statement, include)
        wanted += _named(statement, "f.target_type", include.target)
        parts.append(
            "SELECT i.rid, page.rid AS source FROM page CROSS JOIN LATERAL "
            f"(SELECT f.target_type, f.target_id FROM {statement.rows('index_reference', 'f')} "
            f"AND f.rid = page.rid{wanted} OFFSET 0) f "
            f"CROSS JOIN LATERAL (SELECT i.rid FROM {statement.rows('resource', 'i')} "
            "AND i.type = f.target_type AND i.id = f.target_id AND NOT i.deleted OFFSET 0) i "
            f"WHERE TRUE{_named(statement, 'page.type', include.source)}"
        )
    for include in revincludes:
        wanted = _named(statement, "f.type", include.source)
        wanted += _by(statement, include)
        parts.append(
            "SELECT f.rid, page.rid AS source FROM page CROSS JOIN LATERAL "
            f"(SELECT f.rid FROM {statement.rows('index_reference', 'f')} AND f.target_type = page.type "
            f"AND f.target_id = page.id{wanted} OFFSET 0) f "
            f"WHERE TRUE{_named(statement, 'page.type', include.target)}"
        )
    return " UNION ".join(parts)


def _by(statement: Statement, include: Include) -> str:
    """That a row of `index_reference` is one of the parameter of an include; a wildcard means the parameters of the
    standard, not those of the organisation's own."""
    if include.parameter is WILDCARD:
        return f" AND NOT starts_with(f.param, {statement.argument(OWN)})"
    return _named(statement, "f.param", include.parameter.index_name)


def _named(statement: Statement, column: str, wanted: str) -> str:
    """That `column` is `wanted`; nothing when that is '' or `*`."""
    return f" AND {column} = {statement.argument(wanted)}" if wanted not in ("", "*") else ""


@dataclass(frozen=True, slots=True)
class Reached:
    """A resource of which the includes are followed: key, type and id."""

    rid: int
    type: str
    id: str


def iterated(
    statement: Statement, query: Query, reached: Sequence[Reached], seen: Sequence[int], most: int
) -> str:
    """What the includes that repeat bring from the resources `reached`, without those `seen` (rids); at most `most`
    + 1. Columns as in `search`; `via` are rids of `reached`."""
    build = Search(statement, query, scoped=False)
    includes = [i for i in query.includes if i.iterate]
    revincludes = [i for i in query.revincludes if i.iterate]
    arguments = ", ".join(
        (
            f"{statement.argument([r.rid for r in reached])}::bigint[]",
            f"{statement.argument([r.type for r in reached])}::text[]",
            f"{statement.argument([r.id for r in reached])}::text[]",
        )
    )
    return (
        f"WITH page AS MATERIALIZED (SELECT * FROM unnest({arguments}) AS reached (rid, type, id)), "
        f"linked AS (SELECT * FROM ({_links(statement, includes, revincludes)}) every "
        f"WHERE every.rid <> ALL ({statement.argument(list(seen))}::bigint[])) {_included(build, most)}"
    )


def everything(statement: Statement, query: Query, most: int) -> str:
    """All matches in order, as type, id and version; at most `most` + 1."""
    build = Search(statement, query)
    ordered = order(build, "r")
    found = build.matching(f"r.type, r.id, r.version, row_number() OVER (ORDER BY {ordered}) AS place")
    return build.with_scope(
        f"found AS ({found} ORDER BY place LIMIT {statement.argument(most + 1)}) "
        "SELECT type, id, version FROM found ORDER BY place"
    )


def number_of_matches(statement: Statement, query: Query) -> str:
    """The count of all matches."""
    build = Search(statement, query)
    return build.with_scope(f"found AS ({build.matching('r.rid')}) SELECT count(*) FROM found")


def remembered(
    statement: Statement, query: Query, types: list[str], ids: list[str], versions: list[int], included: int
) -> str:
    """One remembered page: the named versions, from the current table or from history, in that order, and
    what they include. Columns as in `search`.
    """
    build = Search(statement, query, scoped=False)
    wanted = (
        f"wanted AS (SELECT * FROM unnest({statement.argument(types)}::text[], {statement.argument(ids)}::text[], "
        f"{statement.argument(versions)}::int[]) WITH ORDINALITY AS w (type, id, version, place))"
    )
    found = (
        f"found AS MATERIALIZED (SELECT r.rid, r.type, r.id, r.version, r.updated, r.body, wanted.place "
        f"FROM wanted {statement.joined('resource', 'r')} AND r.type = wanted.type AND r.id = wanted.id "
        f"AND r.version = wanted.version AND NOT r.deleted{build.visible('r', query.kinds, match=True)} UNION ALL "
        f"SELECT r.rid, h.type, h.id, h.version, h.updated, h.body, wanted.place "
        f"FROM wanted {statement.joined('history', 'h')} AND h.type = wanted.type AND h.id = wanted.id "
        f"AND h.version = wanted.version AND NOT h.deleted{build.visible('h', query.kinds, match=True)} "
        f"{statement.joined('resource', 'r')} AND r.type = h.type AND r.id = h.id)"
    )
    text = f"WITH {wanted}, {found}, page AS (SELECT rid, type, id, version FROM found)"
    tail = f"SELECT {COLUMNS}, place, NULL::bigint[] AS via, NULL::text[] AS patients FROM found"
    if query.includes or query.revincludes:
        text += f", linked AS ({_links(statement, query.includes, query.revincludes)})"
        tail += f" UNION ALL ({_included(build, included)})"
    return f"{text} {tail} ORDER BY place"
