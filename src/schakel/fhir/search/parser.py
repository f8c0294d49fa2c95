"""A whole query: what is searched, what comes with it, in what order and how much of it.

Source: FHIR search, STU3 3.1.1 and R4 3.1.1. Everything that is not understood is refused by name. With
`Prefer: handling=lenient` a parameter that is unknown or not supported is left out, and named; a known one with a
value, modifier or chain that means nothing is refused all the same, because a dropped condition widens the answer.
"""

from __future__ import annotations

import re
from dataclasses import replace
from typing import Literal

from schakel.fhir.definitions import Definitions, SearchParameter
from schakel.fhir.search.conditions import ConditionParser, SearchLimits
from schakel.fhir.search.model import WILDCARD, Condition, Include, Pairs, Query, Sort
from schakel.fhir.subsets import read_elements, read_summary
from schakel.kernel.outcomes import Invalid, NotSupported, TooCostly, naming

Handling = Literal["strict", "lenient"]

ONCE = frozenset(
    ("_count", "_total", "_format", "_page", "_summary", "_elements", "_contained", "_type", "max")
)
_ID = re.compile(r"[A-Za-z0-9\-.]{1,64}")
_PAGE_KEY = re.compile(r"[0-9a-f-]{36}")


class QueryParser:
    """Parses searches on resources of one FHIR version, within `limits`; `table` may know parameters of one
    organisation."""

    def __init__(self, table: Definitions, limits: SearchLimits | None = None) -> None:
        self._table = table
        self.limits = limits or SearchLimits()
        self._conditions = ConditionParser(table, self.limits)

    def parse(
        self, resource_type: str, pairs: Pairs, *, last: bool = False, handling: Handling = "strict"
    ) -> Query:
        """The query that `pairs` ask on `resource_type`, on all types when that is empty; `last` for
        `Observation/$lastn`.

        Raises `Invalid` (bad value), `NotSupported` (parameter, modifier or include that does not exist here)
        and `TooCostly`.
        """
        query = Query(resource_type, last=1 if last else None)
        if not resource_type:
            query = replace(query, types=self._types(pairs, sorted(self._table.resource_types)))
        return self._parse(query, pairs, handling)

    def parse_compartment(
        self,
        compartment_type: str,
        logical_id: str,
        resource_type: str,
        pairs: Pairs,
        *,
        handling: Handling = "strict",
    ) -> Query:
        """The query on the resources of one type in a compartment; on all its types when `resource_type` is `*`.

        Source: FHIR search, variant searches by compartment (STU3 and R4, http.html and compartmentdefinition).
        """
        members = self._table.compartments.get(compartment_type)
        if members is None:
            raise NotSupported(f"there is no compartment of {compartment_type}", code="compartment-unknown")
        if not _ID.fullmatch(logical_id):
            raise Invalid("the id in the path is no FHIR id: 1 to 64 letters, digits, '-' and '.'")
        inside = sorted({kind for kind, codes in members.items() if codes} | {compartment_type})
        compartment = (compartment_type, logical_id)
        if resource_type == "*":
            types = self._types(pairs, inside)
            return self._parse(Query("", types=types, compartment=compartment), pairs, handling)
        if resource_type not in inside:
            raise NotSupported(
                f"{resource_type[:60]} is in no compartment of {compartment_type}", code="compartment-unknown"
            )
        return self._parse(Query(resource_type, compartment=compartment), pairs, handling)

    def parameter(self, resource_type: str, code: str) -> SearchParameter:
        """The search parameter `code` of a type. Raises `NotSupported` naming it."""
        return self._conditions.parameter((resource_type,), code)

    def _types(self, pairs: Pairs, possible: list[str]) -> tuple[str, ...]:
        """The types that `_type` names, of those that are possible; all of them without it."""
        for name, value in pairs:
            if name == "_type":
                types = tuple(dict.fromkeys(part.strip() for part in value.split(",")))
                for kind in types:
                    if kind not in possible:
                        raise Invalid(f"_type: {kind[:60]!r} cannot be searched here", expression="_type")
                return types
        return tuple(possible)

    def _parse(self, query: Query, pairs: Pairs, handling: Handling) -> Query:
        conditions: list[Condition] = []
        includes: list[Include] = []
        revincludes: list[Include] = []
        ignored: list[str] = []
        used: list[tuple[str, str]] = []
        seen: set[str] = set()
        for name, value in pairs:
            if name in seen and name in ONCE:
                raise Invalid(f"parameter {name} may be given once", expression=name)
            seen.add(name)
            code = re.split(r"[.:]", name, maxsplit=1)[0]
            if changed := self._result_parameter(query, name, value):
                query = changed
            elif code == "_include":
                includes.append(self._include(query, name, value))
            elif code == "_revinclude":
                revincludes.append(self._include(query, name, value))
            elif handling == "lenient" and not self._conditions.knows(query.kinds, code):
                ignored.append(name)
                continue
            else:
                with naming(name[:60]):
                    conditions.append(self._conditions.condition(query.kinds, name, value))
            used.append((name, value))
        if query.page and {n for n, _ in used} - {"_page", "_format"}:
            raise Invalid("a page link is used as it was given, without other parameters", expression="_page")
        if query.summary and query.elements:
            raise Invalid("_summary and _elements do not go together", expression="_elements")
        if query.summary == "text" and (includes or revincludes):
            raise Invalid("_summary=text does not go with includes", expression="_summary")
        return replace(
            query,
            conditions=tuple(conditions),
            includes=tuple(dict.fromkeys(includes)),
            revincludes=tuple(dict.fromkeys(revincludes)),
            ignored=tuple(dict.fromkeys(ignored)),
            raw=tuple(used),
        )

    def _result_parameter(self, query: Query, name: str, value: str) -> Query | None:
        """The query with a parameter that is no condition; None when it is another."""
        match name:
            case "_count":
                return replace(query, count=min(_number(name, value, 0), self.limits.page_max))
            case "_total":
                if value not in ("none", "estimate", "accurate"):
                    raise Invalid("_total is none, estimate or accurate", expression="_total")
                return replace(query, total=value)
            case "_sort":
                return replace(query, sort=self._sort(query, value))
            case "_format":
                return replace(query, format=value)
            case "_summary":
                return replace(query, summary=read_summary(value))
            case "_elements":
                return replace(query, elements=read_elements(value, query.kinds, self._table))
            case "_contained":
                if value != "false":
                    raise NotSupported(
                        "_contained: only false is supported; contained resources are not searched",
                        expression="_contained",
                    )
                return query
            case "_type" if query.types:
                return query
            case "_page":
                key, _, offset = value.partition(".")
                if not _PAGE_KEY.fullmatch(key):
                    raise Invalid("_page is not a page link of this server", expression="_page")
                return replace(query, page=(key, _number("_page", offset, 0)))
            case "max" if query.last is not None:
                return replace(query, last=_number("max", value, 1))
            case _:
                return None

    def _include(self, query: Query, name: str, value: str) -> Include:
        word, colon, modifier = name.partition(":")
        if colon and modifier not in ("iterate", "recurse"):
            raise NotSupported(
                f"modifier ':{modifier[:30]}' is not supported on {word}",
                code="search-modifier-unsupported",
                expression=name[:60],
            )
        iterate = bool(colon)
        parts = value.split(":")
        if value == "*":
            return Include("*", WILDCARD, "", iterate)
        if len(parts) not in (2, 3) or not all(parts):
            raise Invalid(f"{name} has the form Type:parameter or Type:parameter:Target", expression=name)
        source, code, target = parts[0], parts[1], parts[2] if len(parts) == 3 else ""
        if source not in self._table.resource_types:
            raise Invalid(f"{name}: {source[:40]!r} is no resource type", expression=name)
        if word == "_include" and not iterate and source not in query.kinds:
            raise NotSupported(
                f"_include={value[:80]}: without :iterate only from what is searched", expression=name
            )
        parameter = WILDCARD if code == "*" else self.parameter(source, code)
        if parameter.type != "reference":
            raise Invalid(f"{name}: {code} of {source} is no reference", expression=name)
        if target and target not in (parameter.targets or self._table.resource_types):
            raise Invalid(f"{name}: {code} of {source} never refers to {target[:40]!r}", expression=name)
        return Include(source, parameter, target, iterate)

    def _sort(self, query: Query, value: str) -> tuple[Sort, ...]:
        """The sort keys with those of `value` behind them: `_sort` may repeat, for inner orders (3.1.1.9)."""
        keys = list(query.sort)
        for part in value.split(","):
            code = part.strip().removeprefix("-")
            parameter = self._conditions.parameter(query.kinds, code)
            if parameter.type in ("composite", "special"):
                raise NotSupported(f"_sort: {code} ({parameter.type}) has no order", expression="_sort")
            keys.append(Sort(parameter, part.strip().startswith("-")))
        if len(keys) > self.limits.sort_keys:
            raise TooCostly(f"_sort takes at most {self.limits.sort_keys} keys", expression="_sort")
        return tuple(keys)


def _number(name: str, value: str, least: int) -> int:
    if not re.fullmatch(r"[0-9]{1,9}", value) or int(value) < least:
        raise Invalid(f"{name} must be a whole number from {least} to 999999999", expression=name)
    return int(value)
