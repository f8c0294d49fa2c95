"""From a parsed `Query` to one SQL statement.

`Statement` is the one place where the tenant and the FHIR version enter: every table is named through
`Statement.rows`, which adds both. Values are always arguments, never text. A condition that names the patient
becomes a scope: the patient ids are found first and every index is then entered below them.
"""

from __future__ import annotations

from collections.abc import Iterable
from datetime import datetime

from schakel.fhir.definitions import Version, definitions
from schakel.fhir.moments import interval
from schakel.fhir.search import Condition, Include, Query, Sort, fold, implied_systems, split_prefix
from schakel.store.indexing import FHIR_NUMBER, key, parse_literal, patient_codes

INDEX_TABLES = ("index_token", "index_reference", "index_string", "index_date")
"""The tables of the search index, one per kind of search parameter."""

COLUMNS = "rid, type, id, version, updated, body"


class Statement:
    """Text and arguments of one statement for one tenant and FHIR version ($1 and $2)."""

    def __init__(self, tenant: int, version: Version, own_bases: tuple[str, ...] = ()) -> None:
        self.version = version
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

    @staticmethod
    def rows(table: str, alias: str) -> str:
        """`table alias WHERE` with tenant and FHIR version; conditions follow with AND."""
        return f"{table} {alias} WHERE {alias}.tenant = $1 AND {alias}.fhir = $2"

    @staticmethod
    def joined(table: str, alias: str) -> str:
        """`JOIN table alias ON` with tenant and FHIR version; conditions follow with AND."""
        return f"JOIN {table} {alias} ON {alias}.tenant = $1 AND {alias}.fhir = $2"


class _Search:
    """Builds the conditions of one query."""

    def __init__(self, statement: Statement, query: Query) -> None:
        self.s = statement
        self.query = query
        self.scope = self._scope()

    def _scope(self) -> str:
        """A scalar subquery of the patient ids that the query is limited to; '' when it names none."""
        codes = patient_codes(self.s.version, self.query.type)
        for condition in self.query.conditions:
            if condition.parameter.code not in codes or condition.modifier:
                continue
            if condition.inner is not None and condition.targets == ("Patient",):
                alias = self.s.alias()
                inner = self._condition(alias, "Patient", condition.inner, scoped=False)
                return (
                    f"SELECT array_agg({alias}.id) FROM {self.s.rows('resource', alias)} "
                    f"AND {alias}.type = 'Patient' AND NOT {alias}.deleted AND {inner}"
                )
            ids = [self._literal(condition, v) for v in condition.values]
            if condition.inner is None and all(kind == "Patient" for kind, _ in ids):
                return f"SELECT {self.s.argument([i for _, i in ids])}::text[]"
        return ""

    def _literal(self, condition: Condition, value: str) -> tuple[str, str]:
        """Type and id that a reference value names. An id alone is a patient's where only patients can stand."""
        kind, target = parse_literal(value, self.s.own_bases)
        only = condition.parameter.code == "patient" or condition.parameter.targets == ("Patient",)
        if not kind and only and "/" not in target and ":" not in target:
            return "Patient", target
        return kind, target

    def within(self, alias: str, resource_type: str, scoped: bool) -> str:
        """The part of an index key that names the patient."""
        if not patient_codes(self.s.version, resource_type):
            return f" AND {alias}.patient = ''"
        if scoped and self.scope:
            return f" AND {alias}.patient = ANY((SELECT ids FROM scope)::text[])"
        return ""

    def index(self, kind: str, alias: str, resource_type: str, code: str, scoped: bool) -> str:
        """The start of a subquery on an index table: rows of one parameter of one type."""
        return (
            f"SELECT {alias}.rid FROM {self.s.rows(f'index_{kind}', alias)} "
            f"AND {alias}.type = {self.s.argument(resource_type)}{self.within(alias, resource_type, scoped)} "
            f"AND {alias}.param = {self.s.argument(code)}"
        )

    def conditions(self, alias: str) -> str:
        """All conditions of the query on the resource `alias`, starting with AND or empty."""
        parts = [self._condition(alias, self.query.type, c) for c in self.query.conditions]
        return "".join(f" AND {p}" for p in parts)

    def _condition(self, alias: str, kind: str, condition: Condition, scoped: bool = True) -> str:
        code = condition.parameter.code
        if condition.inner is not None:
            return self._chain(alias, kind, condition, scoped)
        if code == "_id":
            negation = "NOT " if condition.modifier == "not" else ""
            return f"{negation}{alias}.id = ANY({self.s.argument(list(condition.values))})"
        if code == "_lastUpdated":
            return self._any(
                self._compare(f"{alias}.updated", f"{alias}.updated + interval '1 ms'", v)
                for v in condition.values
            )
        inner = self.s.alias()
        match condition.parameter.type, condition.modifier:
            case "reference", "identifier":
                found = self.index("token", inner, kind, f"{code}:identifier", scoped)
                test = self._tokens(inner, condition.values)
            case "reference", _:
                found = self.index("reference", inner, kind, code, scoped)
                test = self._references(inner, condition)
            case "string", _:
                found = self.index("string", inner, kind, code, scoped)
                test = self._any(self._string(inner, condition.modifier, v) for v in condition.values)
            case "date", _:
                found = self.index("date", inner, kind, code, scoped)
                test = self._any(self._compare(f"{inner}.low", f"{inner}.high", v) for v in condition.values)
            case "uri", _:
                found = self.index("token", inner, kind, code, scoped)
                test = f"{inner}.code = ANY({self.s.argument([key(v) for v in condition.values])})"
            case _:
                found = self.index("token", inner, kind, code, scoped)
                systems = implied_systems(definitions(self.s.version), kind, condition.parameter)
                test = self._tokens(inner, condition.values, systems)
        negation = "NOT " if condition.modifier == "not" else ""
        return f"{alias}.rid {negation}IN ({found} AND {test})"

    def _chain(self, alias: str, kind: str, condition: Condition, scoped: bool) -> str:
        assert condition.inner is not None
        reference, target = self.s.alias(), self.s.alias()
        found = self.index("reference", reference, kind, condition.parameter.code, scoped)
        if scoped and self.scope and condition.targets == ("Patient",) and self._names_scope(condition):
            return (
                f"{alias}.rid IN ({found} AND {reference}.target_type = 'Patient' "
                f"AND {reference}.target_id = ANY((SELECT ids FROM scope)::text[]))"
            )
        tests = self._any(
            f"({target}.type = {self.s.argument(t)} "
            f"AND {self._condition(target, t, condition.inner, scoped=False)})"
            for t in condition.targets
        )
        return (
            f"{alias}.rid IN ({found} AND ({reference}.target_type, {reference}.target_id) IN "
            f"(SELECT {target}.type, {target}.id FROM {self.s.rows('resource', target)} "
            f"AND NOT {target}.deleted AND {tests}))"
        )

    def _names_scope(self, condition: Condition) -> bool:
        codes = patient_codes(self.s.version, self.query.type)
        first = next(c for c in self.query.conditions if c.parameter.code in codes and not c.modifier)
        return condition is first

    def _tokens(self, alias: str, values: Iterable[str], implied: frozenset[str] = frozenset()) -> str:
        """Any of these tokens. A code of a system in `implied` stands in the index without system."""
        whole: list[tuple[str, str]] = []
        codes: list[str] = []
        systems: list[str] = []
        for value in values:
            system, bar, code = (key(part) for part in value.partition("|"))
            if not bar:
                codes.append(system)
            elif not code:
                systems.extend([system, ""] if system in implied else [system])
            else:
                whole.append((system, code))
                if system in implied:
                    whole.append(("", code))
        parts = []
        if codes:
            parts.append(f"{alias}.code = ANY({self.s.argument(codes)})")
        if systems:
            parts.append(f"{alias}.system = ANY({self.s.argument(systems)})")
        if whole:
            pairs = ", ".join(f"({self.s.argument(c)}, {self.s.argument(s)})" for s, c in whole)
            parts.append(f"({alias}.code, {alias}.system) IN ({pairs})")
        return self._any(parts)

    def _references(self, alias: str, condition: Condition) -> str:
        parts = []
        for value in condition.values:
            kind, target = self._literal(condition, value)
            if kind:
                typed = f"= {self.s.argument(kind)}"
            else:
                typed = "= ''" if "/" in target or ":" in target else "<> ''"
            parts.append(
                f"({alias}.target_type {typed} AND {alias}.target_id = {self.s.argument(key(target))})"
            )
        return self._any(parts)

    def _string(self, alias: str, modifier: str, value: str) -> str:
        if modifier == "exact":
            folded, exact = self.s.argument(key(fold(value))), self.s.argument(key(value))
            return f"({alias}.folded = {folded} AND {alias}.value = {exact})"
        pattern = key(fold(value)).replace("\\", "\\\\").replace("%", "\\%").replace("_", "\\_") + "%"
        if modifier == "contains":
            pattern = "%" + pattern
        return f"{alias}.folded LIKE {self.s.argument(pattern)}"

    def _compare(self, low: str, high: str, text: str) -> str:
        """FHIR date comparison: the value is [low, high), the parameter [first, after)."""
        prefix, rest = split_prefix(text)
        moments = interval(rest)

        def first() -> str:
            return self.s.argument(moments[0])

        def after() -> str:
            return self.s.argument(moments[1])

        match (
            prefix
        ):  # An argument that the text does not use would have no type, so each is made where it is.
            case "eq":
                return f"({low} >= {first()} AND {high} <= {after()})"
            case "ne":
                return f"NOT ({low} >= {first()} AND {high} <= {after()})"
            case "gt":
                return f"{high} > {after()}"
            case "lt":
                return f"{low} < {first()}"
            case "ge":
                return f"({high} > {after()} OR {low} >= {first()})"
            case "le":
                return f"({low} < {first()} OR {high} <= {after()})"
            case "sa":
                return f"{low} >= {after()}"
            case "eb":
                return f"{high} <= {first()}"
            case _:
                raise AssertionError(f"the parser lets no prefix {prefix} through")

    @staticmethod
    def _any(parts: Iterable[str]) -> str:
        listed = list(parts)
        return listed[0] if len(listed) == 1 else f"({' OR '.join(listed)})"

    def order(self, alias: str) -> str:
        """The ORDER BY of the query; ends with the resource's own key, so that it is total."""
        keys = [self._sort(alias, s) for s in self.query.sort]
        return ", ".join([*keys, f"{alias}.rid"])

    def _sort(self, alias: str, sort: Sort) -> str:
        direction = "DESC NULLS LAST" if sort.descending else "ASC NULLS LAST"
        code = sort.parameter.code
        if code == "_id":
            return f"{alias}.id {direction}"
        if code == "_lastUpdated":
            return f"{alias}.updated {direction}"
        kind = "token" if sort.parameter.type == "uri" else sort.parameter.type
        column = {"token": "code", "reference": "target_id", "string": "folded"}.get(
            kind, "high" if sort.descending else "low"
        )
        inner = self.s.alias()
        return (
            f"(SELECT {'max' if sort.descending else 'min'}({inner}.{column}) "
            f"FROM {self.s.rows(f'index_{kind}', inner)} AND {inner}.rid = {alias}.rid "
            f"AND {inner}.param = {self.s.argument(code)}) {direction}"
        )

    def matching(self, columns: str) -> str:
        """SELECT of all matches, without order; ranked per code group for `$lastn`."""
        text = (
            f"SELECT {columns} FROM {self.s.rows('resource', 'r')} "
            f"AND r.type = {self.s.argument(self.query.type)}{self.within('r', self.query.type, True)} "
            f"AND NOT r.deleted{self.conditions('r')}"
        )
        if self.query.last is not None:
            text += f" AND r.rid IN ({self._latest()})"
        return text

    def _latest(self) -> str:
        """Keys of the most recent ones per patient and code, ties included; what was entered in error is not
        among them and hides nothing.

        Source: Observation $lastn (STU3, R4). The group is the set of all codings of `code`; without any coding
        an observation is a group of its own.
        """
        s, query = self.s, self.query
        return (
            "SELECT ranked.rid FROM (SELECT o.rid, rank() OVER (PARTITION BY o.patient, coalesce("
            f"(SELECT string_agg(c.system || '|' || c.code, ' ' ORDER BY c.system, c.code) "
            f"FROM {s.rows('index_token', 'c')} AND c.rid = o.rid AND c.param = 'code'), o.rid::text) "
            f"ORDER BY (SELECT max(d.high) FROM {s.rows('index_date', 'd')} AND d.rid = o.rid "
            "AND d.param = 'date') DESC NULLS LAST) AS place "
            f"FROM {s.rows('resource', 'o')} AND o.type = {s.argument(query.type)}"
            f"{self.within('o', query.type, True)} AND NOT o.deleted{self.conditions('o')} "
            f"AND NOT EXISTS (SELECT FROM {s.rows('index_token', 'e')} AND e.rid = o.rid "
            "AND e.param = 'status' AND e.code = 'entered-in-error')) ranked "
            f"WHERE ranked.place <= {s.argument(query.last)}"
        )

    def with_scope(self, text: str) -> str:
        """`text` preceded by the scope, when there is one."""
        if not self.scope:
            return f"WITH {text}"
        return (
            f"WITH scope AS MATERIALIZED (SELECT coalesce(({self.scope}), '{{}}') || ''::text AS ids), {text}"
        )


def search(statement: Statement, query: Query, limit: int) -> str:
    """One statement for a first page: at most `limit` + 1 matches (the last says that there is more), and the
    resources that the first `limit` include.

    Columns: rid, type, id, version, updated, body, place (0 for included ones), via (keys of the matches that
    led to an included one), patients (ids that the search was limited to, and '').
    """
    build = _Search(statement, query)
    order = build.order("r")
    found = build.matching(
        f"r.rid, r.type, r.id, r.version, r.updated, r.body, row_number() OVER (ORDER BY {order}) AS place"
    )
    text = (
        f"found AS MATERIALIZED ({found} ORDER BY place LIMIT {statement.argument(limit + 1)}), "
        f"page AS (SELECT rid, type, id, version FROM found WHERE place <= {statement.argument(limit)})"
    )
    limited = "(SELECT ids FROM scope)" if build.scope else "NULL::text[]"
    tail = f"SELECT {COLUMNS}, place, NULL::bigint[] AS via, {limited} AS patients FROM found"
    if query.includes or query.revincludes:
        text += f", linked AS ({_links(statement, query.includes, query.revincludes)})"
        tail += f" UNION ALL {_INCLUDED}"
    return build.with_scope(f"{text} {tail} ORDER BY place")


_INCLUDED = (
    "SELECT i.rid, i.type, i.id, i.version, i.updated, i.body, 0, chosen.via, NULL::text[] FROM "
    "(SELECT linked.rid, array_agg(linked.source) AS via FROM linked "
    "WHERE linked.rid NOT IN (SELECT rid FROM page) GROUP BY linked.rid) chosen CROSS JOIN LATERAL "
    "(SELECT * FROM resource i WHERE i.tenant = $1 AND i.fhir = $2 AND i.rid = chosen.rid OFFSET 0) i"
)


def _links(statement: Statement, includes: tuple[Include, ...], revincludes: tuple[Include, ...]) -> str:
    """(rid, source) of what the rows of `page` (rid, type, id) include.

    `OFFSET 0` keeps each lookup a lookup by key per row of the page, also before the tables were analysed.
    """
    parts = []
    for include in includes:
        target = f" AND f.target_type = {statement.argument(include.target)}" if include.target else ""
        parts.append(
            "SELECT i.rid, page.rid AS source FROM page CROSS JOIN LATERAL "
            f"(SELECT f.target_type, f.target_id FROM {statement.rows('index_reference', 'f')} "
            f"AND f.rid = page.rid AND f.param = {statement.argument(include.parameter.code)}{target} OFFSET 0) f "
            f"CROSS JOIN LATERAL (SELECT i.rid FROM {statement.rows('resource', 'i')} "
            "AND i.type = f.target_type AND i.id = f.target_id AND NOT i.deleted OFFSET 0) i"
        )
    for include in revincludes:
        target = f" AND page.type = {statement.argument(include.target)}" if include.target else ""
        parts.append(
            "SELECT f.rid, page.rid AS source FROM page CROSS JOIN LATERAL "
            f"(SELECT f.rid FROM {statement.rows('index_reference', 'f')} AND f.target_type = page.type "
            f"AND f.target_id = page.id AND f.type = {statement.argument(include.source)} "
            f"AND f.param = {statement.argument(include.parameter.code)}{target} OFFSET 0) f"
        )
    return " UNION ".join(parts)


def everything(statement: Statement, query: Query, most: int) -> str:
    """All matches in order, as id and version; at most `most` + 1."""
    build = _Search(statement, query)
    order = build.order("r")
    found = build.matching(f"r.id, r.version, row_number() OVER (ORDER BY {order}) AS place")
    return build.with_scope(
        f"found AS ({found} ORDER BY place LIMIT {statement.argument(most + 1)}) "
        "SELECT id, version FROM found ORDER BY place"
    )


def number_of_matches(statement: Statement, query: Query) -> str:
    """The count of all matches."""
    build = _Search(statement, query)
    return build.with_scope(f"found AS ({build.matching('r.rid')}) SELECT count(*) FROM found")


def remembered(statement: Statement, query: Query, ids: list[str], versions: list[int]) -> str:
    """One remembered page: the named versions, from the current table or from history, in that order, and
    what they include. Columns as in `search`.
    """
    kind = statement.argument(query.type)
    wanted = (
        f"wanted AS (SELECT * FROM unnest({statement.argument(ids)}::text[], "
        f"{statement.argument(versions)}::int[]) WITH ORDINALITY AS w (id, version, place))"
    )
    found = (
        f"found AS MATERIALIZED (SELECT r.rid, r.type, r.id, r.version, r.updated, r.body, wanted.place "
        f"FROM wanted {statement.joined('resource', 'r')} AND r.type = {kind} AND r.id = wanted.id "
        "AND r.version = wanted.version AND NOT r.deleted UNION ALL "
        f"SELECT r.rid, h.type, h.id, h.version, h.updated, h.body, wanted.place "
        f"FROM wanted {statement.joined('history', 'h')} AND h.type = {kind} AND h.id = wanted.id "
        f"AND h.version = wanted.version AND NOT h.deleted {statement.joined('resource', 'r')} "
        "AND r.type = h.type AND r.id = h.id)"
    )
    text = f"WITH {wanted}, {found}, page AS (SELECT rid, type, id, version FROM found)"
    tail = f"SELECT {COLUMNS}, place, NULL::bigint[] AS via, NULL::text[] AS patients FROM found"
    if query.includes or query.revincludes:
        text += f", linked AS ({_links(statement, query.includes, query.revincludes)})"
        tail += f" UNION ALL {_INCLUDED}"
    return f"{text} {tail} ORDER BY place"


def moment(value: datetime) -> datetime:
    """`value` cut to milliseconds, the precision in which `lastUpdated` is kept."""
    return value.replace(microsecond=value.microsecond // 1000 * 1000)
