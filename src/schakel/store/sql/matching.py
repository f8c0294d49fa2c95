"""From the conditions of a parsed `Query` to SQL on the index.

Values are always arguments, never text. A condition that names the patient becomes a scope: the patient ids are
found first and every index is then entered below them. What a door limits to patients (`Query.limited_to`) also
holds for every resource that a chain goes through.
"""

from __future__ import annotations

from dataclasses import replace

from schakel.fhir.definitions import SearchParameter
from schakel.fhir.definitions.added import LATEST_STOP, TIME_INTERVAL
from schakel.fhir.search import Condition, Query, component_parameters, parts_of
from schakel.store.indexing import COLUMNED, patient_codes
from schakel.store.sql.comparing import TABLES, care, dates, literal, place, test, words
from schakel.store.sql.statement import Statement, any_of

Kinds = tuple[str, ...]


_IDENTIFIER = "identifier"


class Search:
    """Builds the parts of one query; not `scoped` when its conditions are not asked again."""

    def __init__(self, statement: Statement, query: Query, scoped: bool = True) -> None:
        self.s = statement
        self.query = query
        self.kinds = query.kinds
        self._scoping: Condition | None = None
        self.scope = self._scope() if scoped else ""

    # -- whose ---------------------------------------------------------------------------------------------

    def _scope(self) -> str:
        """A scalar subquery of the patient ids that the query is limited to; '' when it names none."""
        common = frozenset.intersection(*(patient_codes(self.s.version, kind) for kind in self.kinds))
        for condition in self.query.conditions:
            if condition.parameter.code not in common or condition.modifier or condition.reverse:
                continue
            if condition.inner is not None and condition.targets == ("Patient",):
                alias = self.s.alias()
                inner = self._condition(alias, ("Patient",), condition.inner, scoped=False)
                self._scoping = condition
                return (
                    f"SELECT array_agg({alias}.id) FROM {self.s.rows('resource', alias)} "
                    f"AND {alias}.type = 'Patient' AND NOT {alias}.deleted AND {inner}"
                )
            ids = [literal(self.s, condition, v) for v in condition.values]
            if condition.inner is None and all(kind == "Patient" for kind, _ in ids):
                return f"SELECT {self.s.argument([i for _, i in ids])}::text[]"
        owner, owner_id = self.query.compartment or ("", "")
        if owner == "Patient" and owner_id:
            return f"SELECT {self.s.argument([owner_id])}::text[]"
        if self.query.limited_to is not None:
            return f"SELECT {self.s.argument(sorted(self.query.limited_to))}::text[]"
        return ""

    def within(self, alias: str, kinds: Kinds, scoped: bool) -> str:
        """The part of an index key that names the patient."""
        if not any(patient_codes(self.s.version, kind) for kind in kinds):
            return f" AND {alias}.patient = ''"
        if scoped and self.scope:
            return f" AND {alias}.patient = ANY((SELECT ids FROM scope)::text[])"
        return ""

    def visible(self, alias: str, kinds: Kinds, match: bool = False) -> str:
        """Of a query that a door limits to patients: that the resource `alias` is one of theirs. What can belong to
        no patient passes when it is no `match`. Starts with AND, or is empty."""
        if self.query.limited_to is None:
            return ""
        ids = self.s.argument(sorted(p for p in self.query.limited_to if p))
        parts = [f"{alias}.patient = ANY({ids}::text[])"]
        if "Patient" in kinds:
            parts.append(f"({alias}.type = 'Patient' AND {alias}.id = ANY({ids}::text[]))")
        free = [k for k in kinds if k != "Patient" and not patient_codes(self.s.version, k)]
        if free and not match:
            parts.append(self.s.one_of(f"{alias}.type", free))
        return f" AND {any_of(parts)}"

    # -- conditions ----------------------------------------------------------------------------------------

    def index(self, table: str, alias: str, kinds: Kinds, code: str, scoped: bool, after: str = "") -> str:
        """The start of a subquery on an index table: rows of one parameter, with `after` behind its name."""
        return (
            f"SELECT {alias}.rid FROM {self.s.rows(table, alias)} AND {self.s.one_of(f'{alias}.type', kinds)}"
            f"{self.within(alias, kinds, scoped)} AND {self.named(alias, kinds, code, after)}"
        )

    def _codes(self, kind: str, code: str) -> tuple[str, ...]:
        """The names under which the rows of a parameter stand: its own, or those of which it is the union."""
        if parts := parts_of(self.s.table, kind).get(code):
            return tuple(p.code for p in parts)
        parameter = self.s.table.search_parameters(kind).get(code)
        return (parameter.index_name if parameter is not None else code,)

    def named(self, alias: str, kinds: Kinds, code: str, after: str) -> str:
        """That a row of the index is one of the parameter `code`. The identifier stands in the text itself, so that
        its own index can be used (migration 0007)."""
        codes = [self._codes(kind, code) for kind in kinds]
        if not after and all(found == (_IDENTIFIER,) for found in codes):
            return f"{alias}.param = '{_IDENTIFIER}'"
        if all(found == codes[0] for found in codes):
            return self.s.one_of(f"{alias}.param", [f"{c}{after}" for c in codes[0]])
        pairs = [(kind, f"{c}{after}") for kind, found in zip(kinds, codes, strict=True) for c in found]
        return (
            f"({alias}.type, {alias}.param) IN (SELECT * FROM unnest("
            f"{self.s.argument([k for k, _ in pairs])}::text[], {self.s.argument([c for _, c in pairs])}::text[]))"
        )

    def conditions(self, alias: str) -> str:
        """All conditions of the query on the resource `alias`, starting with AND or empty."""
        parts: list[str] = []
        periods: list[str] = []
        sets: list[str] = []
        stops = any(c.parameter.special == LATEST_STOP and "true" in c.values for c in self.query.conditions)
        for condition in self.query.conditions:
            if condition.parameter.special == LATEST_STOP:
                continue
            if stops and condition.parameter.special == TIME_INTERVAL:
                periods.append(self._condition(alias, self.kinds, condition))
            elif self.scope and _is_set(condition):
                sets.append(self._set(self.kinds, condition))
            else:
                parts.append(self._condition(alias, self.kinds, condition))
        if sets:  # Each among the patient's own rows; what they share is known before a resource is read.
            parts.insert(0, f"{alias}.rid IN ({' INTERSECT '.join(sets)})")
        if periods:
            parts.append(f"(({' AND '.join(periods)}) OR {alias}.rid IN ({self._latest_stops()}))")
        if self.query.compartment is not None:
            parts.append(self._compartment(alias, *self.query.compartment))
        if self.query.during is not None:
            parts += care(self.s, alias, self.query.during)
        return "".join(f" AND {p}" for p in parts)

    def _condition(self, alias: str, kinds: Kinds, condition: Condition, scoped: bool = True) -> str:
        """Whether the resource of `alias` (a row with `rid`; of a resource where `_row` says so) fits."""
        code, modifier = condition.parameter.code, condition.modifier
        if condition.reverse:
            return self._reverse(alias, kinds, condition)
        if modifier == "missing":
            present = self._present(alias, kinds, condition, scoped)
            return f"NOT {present}" if condition.values == ("true",) else present
        if code == "_id":
            negation = "NOT " if modifier == "not" else ""
            return f"{negation}{alias}.id = ANY({self.s.argument(list(condition.values))})"
        if code == "_lastUpdated":
            end = f"{alias}.updated + interval '1 ms'"
            return any_of(dates(self.s, f"{alias}.updated", end, v) for v in condition.values)
        if condition.parameter.type == "composite":
            return any_of(self._composite(alias, kinds, condition, c, scoped) for c in condition.components)
        if modifier == "text":
            return self._words(alias, kinds, condition, scoped)
        negation = "NOT " if modifier in ("not", "not-in") else ""
        return f"{alias}.rid {negation}IN ({self._set(kinds, condition, scoped)})"

    def _set(self, kinds: Kinds, condition: Condition, scoped: bool = True) -> str:
        """The keys of the resources that have a value of a condition, which is on one parameter or a chain."""
        if condition.inner is not None:
            return self._chain(kinds, condition, condition.inner, scoped)
        inner = self.s.alias()
        table, after = place(condition)
        found = self.index(table, inner, kinds, condition.parameter.code, scoped, after)
        return f"{found} AND {test(self.s, inner, kinds, condition)}"

    def _words(self, alias: str, kinds: Kinds, condition: Condition, scoped: bool) -> str:
        """What is said beside a code. Where types differ in what a parameter means, each is asked apart."""
        inner = self.s.alias()
        tests = any_of(
            f"({inner}.type = {self.s.argument(kind)} AND "
            f"{words(self.s, f'{inner}.words', self._codes(kind, condition.parameter.code), condition.values)})"
            for kind in kinds
        )
        rows = self.s.rows("index_text", inner)
        return (
            f"{alias}.rid IN (SELECT {inner}.rid FROM {rows}{self.within(inner, kinds, scoped)} AND {tests})"
        )

    def _present(self, alias: str, kinds: Kinds, condition: Condition, scoped: bool) -> str:
        """Whether the element of a parameter is there, with a value that the index has or without one."""
        parameter = condition.parameter
        code = parameter.code
        if code in COLUMNED:
            return "TRUE"
        if parameter.type == "composite":
            return self._present_composite(alias, kinds, parameter, scoped)
        places = [(TABLES[parameter.type], ""), ("index_token", ":present")]
        if parameter.type == "reference":
            places.append(("index_token", ":identifier"))
        return any_of(
            f"{alias}.rid IN ({self.index(table, self.s.alias(), kinds, code, scoped, after)})"
            for table, after in places
        )

    # -- composites ----------------------------------------------------------------------------------------

    def _present_composite(self, alias: str, kinds: Kinds, composite: SearchParameter, scoped: bool) -> str:
        """Whether an element has a value for each part of a composite."""
        found = []
        for one in self._composites(kinds, composite):
            if one.expression in kinds:
                parts = component_parameters(self.s.table, kinds[0], one) or ()
                selects = [self.index(TABLES[p.type], self.s.alias(), kinds, p.code, scoped) for p in parts]
            else:
                selects = [self.index("index_composite", self.s.alias(), kinds, one.code, scoped)]
            found.append(f"{alias}.rid IN ({' INTERSECT '.join(selects)})")
        return any_of(found)

    def _composites(self, kinds: Kinds, composite: SearchParameter) -> tuple[SearchParameter, ...]:
        """The composite itself, or those of which it is the union. (The parser lets it be the same on all types.)"""
        return parts_of(self.s.table, kinds[0]).get(composite.code) or (composite,)

    def _composite(
        self, alias: str, kinds: Kinds, condition: Condition, parts: tuple[Condition, ...], scoped: bool
    ) -> str:
        """One value of a composite: all parts in the same element."""
        found = []
        for one in self._composites(kinds, condition.parameter):
            parameters = component_parameters(self.s.table, kinds[0], one) or ()
            asked = [replace(part, parameter=p) for part, p in zip(parts, parameters, strict=True)]
            if one.expression in kinds:
                tests = [self._condition(alias, kinds, part, scoped) for part in asked]
                found.append(f"({' AND '.join(tests)})")
            else:
                found.append(f"{alias}.rid IN ({self._in_one_element(kinds, one, asked, scoped)})")
        return any_of(found)

    def _in_one_element(
        self, kinds: Kinds, composite: SearchParameter, parts: list[Condition], scoped: bool
    ) -> str:
        """The resources of which one element has all the parts."""
        aliases = [self.s.alias() for _ in parts]
        first = aliases[0]
        start, _, rest = self.index("index_composite", first, kinds, composite.code, scoped).partition(
            " WHERE "
        )
        tests = [
            f"{inner}.part = {number} AND {test(self.s, inner, kinds, part)}"
            for number, (inner, part) in enumerate(zip(aliases, parts, strict=True), start=1)
        ]
        joins = "".join(
            f" {self.s.joined('index_composite', inner)} AND {inner}.rid = {first}.rid "
            f"AND {inner}.param = {first}.param AND {inner}.node = {first}.node"
            for inner in aliases[1:]
        )
        return f"{start}{joins} WHERE {rest} AND {' AND '.join(tests)}"

    # -- through references --------------------------------------------------------------------------------

    def _chain(self, kinds: Kinds, condition: Condition, inner: Condition, scoped: bool) -> str:
        """The keys of the resources that refer to one for which `inner` holds."""
        reference, target = self.s.alias(), self.s.alias()
        found = self.index("index_reference", reference, kinds, condition.parameter.code, scoped)
        if scoped and condition is self._scoping:
            return (
                f"{found} AND {reference}.target_type = 'Patient' "
                f"AND {reference}.target_id = ANY((SELECT ids FROM scope)::text[])"
            )
        targets = (
            f"FROM {self.s.rows('resource', target)} AND NOT {target}.deleted "
            f"AND {self.s.one_of(f'{target}.type', condition.targets)}{self.visible(target, condition.targets)} "
            f"AND {self._condition(target, condition.targets, inner, scoped=False)}"
        )
        if scoped and self.scope:  # Each reference of the patient is followed (OFFSET 0), none is sought.
            led = f"{target}.type = {reference}.target_type AND {target}.id = {reference}.target_id"
            return f"{found} AND EXISTS (SELECT {targets} AND {led} OFFSET 0)"
        return (
            f"{found} AND ({reference}.target_type, {reference}.target_id) IN "
            f"(SELECT {target}.type, {target}.id {targets})"
        )

    def _reverse(self, alias: str, kinds: Kinds, condition: Condition) -> str:
        """`_has`: a resource that fits refers to this one. The index holds no rows of deleted resources."""
        assert condition.inner is not None
        reference, source = self.s.alias(), self.s.alias()
        code, sources = condition.parameter.code, condition.targets
        own = ""
        ids = self._own_ids() if kinds == ("Patient",) else None
        if ids is not None and code in patient_codes(self.s.version, sources[0]):
            own = f" AND {reference}.patient = ANY({self.s.argument(['', *ids])}::text[])"
        start = (
            f"({alias}.type, {alias}.id) IN (SELECT {reference}.target_type, {reference}.target_id "
            f"FROM {self.s.rows('index_reference', reference)} AND {self.s.one_of(f'{reference}.type', sources)} "
            f"AND {reference}.param = {self.s.argument(condition.parameter.index_name)}{own} "
            f"AND {self.s.one_of(f'{reference}.target_type', kinds)}"
        )
        if self.query.limited_to is None and not _needs_resource(condition.inner):
            return f"{start} AND {self._condition(reference, sources, condition.inner, scoped=False)})"
        return (
            f"{start} AND {reference}.rid IN (SELECT {source}.rid FROM {self.s.rows('resource', source)} "
            f"AND {self.s.one_of(f'{source}.type', sources)} AND NOT {source}.deleted"
            f"{self.visible(source, sources)} "
            f"AND {self._condition(source, sources, condition.inner, scoped=False)}))"
        )

    def _own_ids(self) -> list[str] | None:
        """The ids that a search on Patient names."""
        for condition in self.query.conditions:
            if condition.parameter.code == "_id" and not condition.modifier and self.kinds == ("Patient",):
                return list(condition.values)
        return sorted(self.query.limited_to) if self.query.limited_to is not None else None

    def _compartment(self, alias: str, owner: str, logical_id: str) -> str:
        """Whether the resource is in the compartment of `owner` (of any, without an id): it refers to the owner by
        one of the parameters that the definition of the compartment names, or is the owner."""
        members = self.s.table.compartments[owner]
        pairs = [(kind, code) for kind in self.kinds for code in members.get(kind, ())]
        reference = self.s.alias()
        one = self.s.argument(logical_id) if logical_id else ""
        found = (
            f"{alias}.rid IN (SELECT {reference}.rid FROM {self.s.rows('index_reference', reference)} "
            f"AND {reference}.target_type = {self.s.argument(owner)} "
            f"{f'AND {reference}.target_id = {one} ' if one else ''}"
            f"AND ({reference}.type, {reference}.param) IN (SELECT * FROM unnest("
            f"{self.s.argument([k for k, _ in pairs])}::text[], {self.s.argument([c for _, c in pairs])}::text[])))"
        )
        if owner not in self.kinds:
            return found
        itself = f"{alias}.type = {self.s.argument(owner)}{f' AND {alias}.id = {one}' if one else ''}"
        return f"({found} OR ({itself}))"

    # -- the whole -----------------------------------------------------------------------------------------

    def matching(self, columns: str) -> str:
        """SELECT of all matches, without order; ranked per code group for `$lastn`."""
        whole = f"r.rid IN ({self._latest()})" if self.query.last is not None else self._candidates("r")
        return f"SELECT {columns} FROM {self.s.rows('resource', 'r')} AND {whole}"

    def _candidates(self, alias: str) -> str:
        return (
            f"{self.s.one_of(f'{alias}.type', self.kinds)}{self.within(alias, self.kinds, True)} "
            f"AND NOT {alias}.deleted{self.visible(alias, self.kinds, match=True)}{self.conditions(alias)}"
        )

    def _latest(self) -> str:
        """Keys of the most recent ones per patient and code, ties included; what was entered in error is not
        among them and hides nothing.

        Source: Observation $lastn (STU3, R4). The group is the set of all codings of `code`; without any coding
        an observation is a group of its own.
        """
        s = self.s
        return (
            "SELECT ranked.rid FROM (SELECT o.rid, rank() OVER (PARTITION BY o.patient, coalesce("
            f"(SELECT string_agg(c.system || '|' || c.code, ' ' ORDER BY c.system, c.code) "
            f"FROM {s.rows('index_token', 'c')} AND c.rid = o.rid AND c.param = 'code'), o.rid::text) "
            f"ORDER BY (SELECT max(d.high) FROM {s.rows('index_date', 'd')} AND d.rid = o.rid "
            "AND d.param = 'date') DESC NULLS LAST) AS place "
            f"FROM {s.rows('resource', 'o')} AND {self._candidates('o')} "
            f"AND NOT EXISTS (SELECT FROM {s.rows('index_token', 'e')} AND e.rid = o.rid "
            "AND e.param = 'status' AND e.code = 'entered-in-error')) ranked "
            f"WHERE ranked.place <= {s.argument(self.query.last)}"
        )

    def _latest_stops(self) -> str:
        """Keys of the latest stop of each treatment, patient and kind of building block.

        Source: search parameter `is-latest-stop` and operation `mp-latest-stops` (MP9).
        """
        s, kinds = self.s, self.kinds
        return (
            "SELECT stopped.rid FROM (SELECT d.rid, rank() OVER (PARTITION BY d.type, d.patient, m.system, m.code, "
            f"k.system, k.code ORDER BY d.low DESC) AS place FROM index_date d "
            f"{s.joined('index_token', 'm')} AND m.rid = d.rid AND m.param = 'pharmaceutical-treatment-identifier' "
            "LEFT JOIN index_token k ON k.tenant = $1 AND k.fhir = $2 AND k.rid = d.rid AND k.param = 'category' "
            f"WHERE d.tenant = $1 AND d.fhir = $2 AND {s.one_of('d.type', kinds)}{self.within('d', kinds, True)} "
            "AND d.param = 'is-latest-stop') stopped WHERE stopped.place = 1"
        )

    def with_scope(self, text: str) -> str:
        """`text` preceded by the scope, when there is one."""
        if not self.scope:
            return f"WITH {text}"
        return (
            f"WITH scope AS MATERIALIZED (SELECT coalesce(({self.scope}), '{{}}') || ''::text AS ids), {text}"
        )


def _is_set(condition: Condition) -> bool:
    """Whether the resources that fit a condition are those of some rows of the index: see `Search._set`."""
    if condition.reverse or condition.modifier in ("missing", "not", "not-in", "text"):
        return False
    return condition.parameter.code not in COLUMNED and condition.parameter.type != "composite"


def _needs_resource(condition: Condition) -> bool:
    """Whether a condition looks at the resource itself, and not at the index alone."""
    return condition.reverse or condition.parameter.code in COLUMNED
