"""From one parameter of a query to a `Condition`: kinds, modifiers, chains, reverse chains, lists, composites.

Source: FHIR search, STU3 3.1.1.3 to 3.1.1.5 and R4 3.1.1.3 to 3.1.1.5. A search over several types asks for
parameters that all of them have; a chain goes to those of its targets that have the parameter.
"""

from __future__ import annotations

import re
from collections.abc import Collection
from dataclasses import dataclass, replace

from schakel.fhir.definitions import Definitions, SearchParameter
from schakel.fhir.moments import interval
from schakel.fhir.search.model import Condition
from schakel.fhir.search.values import fold, number, quantity, split, split_prefix, unescape
from schakel.kernel.outcomes import Invalid, NotSupported, TooCostly, naming

KINDS = frozenset(
    {"token", "reference", "string", "date", "uri", "number", "quantity", "composite", "special"}
)
"""Kinds of search parameter."""

MODIFIERS = {
    "token": frozenset({"", "not", "text", "in", "not-in", "of-type", "missing"}),
    "string": frozenset({"", "exact", "contains", "missing"}),
    "reference": frozenset({"", "identifier", "missing"}),
    "date": frozenset({"", "missing"}),
    "number": frozenset({"", "missing"}),
    "quantity": frozenset({"", "missing"}),
    "uri": frozenset({"", "above", "below", "missing"}),
    "composite": frozenset({"", "missing"}),
    "special": frozenset({""}),
}
_PLAIN = frozenset({"", "not", "missing"})
_COLUMNED = frozenset({"_id", "_lastUpdated"})
_POSITION = "Location.position"
_TRUE_AND_FALSE = "http://hl7.org/fhir/special-values"
_ID = re.compile(r"[A-Za-z0-9\-.]{1,64}")
_LOST_PLUS = re.compile(r"(?<=[0-9]) (?=[0-9]{2}:[0-9]{2}(?:,|$))")
"""The sign of a time zone that came as a space, because it was not percent-encoded; it can only be meant so."""


@dataclass(frozen=True, slots=True)
class SearchLimits:
    """Bounds of one search: matches on a page, values of a parameter, references in a chain, sort keys."""

    page_max: int = 1000
    values: int = 200
    chain_depth: int = 3
    sort_keys: int = 5


def supported(parameter: SearchParameter) -> bool:
    """Whether searches by this parameter are answered. Not by what has no expression (`_text`, `_filter`), nor by
    the place of a Location."""
    if not parameter.expression or parameter.expression == _POSITION:
        return False
    return parameter.type in KINDS and (parameter.type != "special" or bool(parameter.special))


def implied_systems(
    table: Definitions, resource_types: Collection[str], parameter: SearchParameter
) -> frozenset[str]:
    """The code systems that a token parameter means when its elements are of type `code` or `boolean`: such a value
    has no system of its own, the required binding or the specification says it (STU3 3.1.1.4.11 and R4 3.1.1.4.10,
    table of token types)."""
    found: set[str] = set()
    for path in parameter.expression.split("|"):
        kind, *names = path.strip().split(".")
        if kind not in resource_types:
            continue
        for name in names:
            element = table.types[kind].elements.get(name) if kind in table.types else None
            if element is None or element.choice:
                break
            kind = element.types[0]
            if kind == "code":
                found.update(table.value_sets.get(element.binding, ()))
            elif kind == "boolean":
                found.add(_TRUE_AND_FALSE)
    return frozenset(found)


def component_parameters(
    table: Definitions, resource_type: str, composite: SearchParameter
) -> tuple[SearchParameter, ...] | None:
    """The parameters of which a composite is made, in order; None when this type lacks one of them."""
    known = table.search_parameters(resource_type)
    by_url = {p.url: p for p in known.values()}
    # STU3 names some of them by the type, though the parameter is one of several types (`clinical-code`).
    own = f"http://hl7.org/fhir/SearchParameter/{resource_type}-"
    found = [by_url.get(url) or known.get(url.removeprefix(own)) for url, _ in composite.components]
    return tuple(p for p in found if p is not None) if found and None not in found else None


class ConditionParser:
    """Parses single parameters against the definitions of one FHIR version."""

    def __init__(self, table: Definitions, limits: SearchLimits) -> None:
        self._table = table
        self._limits = limits

    def knows(self, kinds: Collection[str], code: str) -> bool:
        """Whether a search on all these types can ask for `code`."""
        if code in ("_has", "_list"):
            return True
        found = [self._table.search_parameters(kind).get(code) for kind in kinds]
        return all(p is not None and supported(p) for p in found)

    def parameter(self, kinds: Collection[str], code: str) -> SearchParameter:
        """The search parameter `code` of all these types as one. Raises `NotSupported` naming it."""
        named = ", ".join(list(kinds)[:3]) + (", ..." if len(kinds) > 3 else "")
        found = [self._table.search_parameters(kind).get(code) for kind in kinds]
        known = [p for p in found if p is not None]
        if len(known) < len(found):
            raise NotSupported(
                f"search parameter {code[:60]!r} is not known for {named}; see the CapabilityStatement",
                code="search-parameter-unknown",
                expression=code[:60],
            )
        first, *others = known
        if unready := next((p.unready for p in known if p.unready), ""):
            raise NotSupported(
                f"search parameter {code!r} of {named} {unready}",
                code="search-parameter-building",
                issue="transient",
                expression=code,
            )
        if not all(supported(p) for p in known):
            raise NotSupported(
                f"search parameter {code!r} of {named} ({first.type}) is not supported",
                code="search-parameter-unsupported",
                expression=code,
            )
        if any(p.type != first.type for p in others):
            raise Invalid(f"{code} is not the same kind of parameter on each of {named}", expression=code)
        if any(p is not first for p in others):
            open_ended = any(not p.targets for p in known)
            targets = () if open_ended else tuple(dict.fromkeys(t for p in known for t in p.targets))
            first = replace(first, targets=targets)
        return first

    def condition(self, kinds: tuple[str, ...], name: str, value: str, depth: int = 0) -> Condition:
        """The condition on resources of `kinds` that `name=value` says. Raises `Invalid`, `NotSupported` and
        `TooCostly`."""
        if name.startswith("_has:"):
            return self._reverse(kinds, name, value, depth)
        if name == "_list":
            return self._list(value)
        head, dot, rest = name.partition(".")
        code, colon, modifier = head.partition(":")
        parameter = self.parameter(kinds, code)
        if colon and not modifier:
            raise Invalid(f"{code}: a modifier is missing after ':'", expression=name[:60])
        if dot:
            return self._chain(kinds, parameter, modifier, rest, value, depth)
        if parameter.type == "reference" and modifier in self._table.resource_types:
            return self._typed(kinds, parameter, modifier, name, value)
        if parameter.type == "special" and depth:
            raise NotSupported(
                f"{code} says something of a whole search, and not in a chain", expression=code
            )
        self._check_modifier(parameter, modifier, name)
        if modifier == "missing":
            if value not in ("true", "false"):
                raise Invalid(f"{name} is true or false", expression=name)
            return Condition(parameter, modifier, (value,))
        if parameter.type == "composite":
            return self._composite(kinds, parameter, value)
        if parameter.type == "date":
            value = _LOST_PLUS.sub("+", value)
        condition = Condition(parameter, modifier, self._values(name, value, _has_parts(parameter, modifier)))
        self._check(kinds, condition)
        return condition

    # -- modifiers and values ------------------------------------------------------------------------------

    def _check_modifier(self, parameter: SearchParameter, modifier: str, name: str) -> None:
        allowed = MODIFIERS[parameter.type]
        if parameter.code in _COLUMNED:
            allowed = allowed & _PLAIN
        if modifier == "of-type" and self._table.version == "stu3":
            allowed = allowed - {"of-type"}
        if modifier not in allowed:
            raise NotSupported(
                f"modifier ':{modifier[:30]}' is not supported on {parameter.code} ({parameter.type})",
                code="search-modifier-unsupported",
                expression=name[:60],
            )

    def _typed(
        self, kinds: tuple[str, ...], parameter: SearchParameter, target: str, name: str, value: str
    ) -> Condition:
        """A reference with the type of its target as modifier."""
        self._check_target(kinds, parameter, target)
        values = self._values(name, value, parts=False)
        if not all(_ID.fullmatch(v) for v in values):
            raise Invalid(f"{name} takes the id of a {target}, without its type", expression=name)
        return Condition(parameter, "", tuple(f"{target}/{v}" for v in values))

    def _values(self, name: str, value: str, parts: bool) -> tuple[str, ...]:
        """The values of an OR list; those that have parts keep their escapes."""
        values = tuple(part.strip() for part in split(value, ","))
        if not parts:
            values = tuple(unescape(v) for v in values)
        if len(values) > self._limits.values:
            raise TooCostly(
                f"{name} has more than {self._limits.values} values (setting limits.values)", expression=name
            )
        if any(not v for v in values):
            raise Invalid(f"parameter {name} has an empty value", expression=name)
        if any("\x00" in v for v in values):
            raise Invalid(f"parameter {name} has a NUL character", expression=name)
        return values

    def _check(self, kinds: tuple[str, ...], condition: Condition) -> None:
        for value in condition.values:
            self._check_value(kinds, condition.parameter, condition.modifier, value)

    def _check_value(
        self, kinds: tuple[str, ...], parameter: SearchParameter, modifier: str, value: str
    ) -> None:
        code = parameter.code
        match parameter.type, modifier:
            case "date", _:
                with naming(code):
                    interval(split_prefix(value)[1])
            case "number", _:
                number(split_prefix(value)[1], code)
            case "quantity", _:
                quantity(split_prefix(value)[1], code)
            case "string", "" | "contains" if not fold(value):
                raise Invalid(f"{code} needs a letter or digit", expression=code)
            case "token", "text" if not fold(value):
                raise Invalid(f"{code}:text needs a letter or digit", expression=code)
            case "token", "in" | "not-in":
                self._check_value_set(code, modifier, value)
            case "token", "of-type":
                parts = split(value, "|")
                if len(parts) != 3 or not all(parts):
                    raise Invalid(f"{code}:of-type takes system|code|value", expression=code)
            case "token", "" | "not" if code == "_id" and not _ID.fullmatch(value):
                raise Invalid("_id has a value that is no FHIR id", expression="_id")
            case ("token", "" | "not") | ("reference", "identifier") if value == "|":
                raise Invalid(f"{code} needs a code or a system", expression=code)
            case "uri", "above" | "below" if value.casefold().startswith("urn:"):
                raise Invalid(f"{code}:{modifier} takes a URL: a URN has no parts", expression=code)
            case "special", _ if value not in ("true", "false"):
                raise Invalid(f"{code} is true or false", expression=code)

    def _check_value_set(self, code: str, modifier: str, value: str) -> None:
        if value.partition("|")[0] not in self._table.value_sets:
            raise NotSupported(
                f"{code}:{modifier}: the value set {value[:200]!r} is not one that the definitions of FHIR "
                "enumerate, and there is no terminology server here",
                code="search-modifier-unsupported",
                expression=f"{code}:{modifier}",
            )

    def _composite(self, kinds: tuple[str, ...], parameter: SearchParameter, value: str) -> Condition:
        made = [component_parameters(self._table, kind, parameter) for kind in kinds]
        first = made[0]
        if first is None or any(other != first for other in made[1:]):
            raise NotSupported(
                f"composite parameter {parameter.code} is not the same on all types that are searched",
                code="search-parameter-unsupported",
                expression=parameter.code,
            )
        values = self._values(parameter.code, value, parts=True)
        return Condition(
            parameter, "", values, components=tuple(self._parts(kinds, parameter, first, v) for v in values)
        )

    def _parts(
        self,
        kinds: tuple[str, ...],
        composite: SearchParameter,
        parameters: tuple[SearchParameter, ...],
        value: str,
    ) -> tuple[Condition, ...]:
        """One value of a composite as a condition for each part. Raises `Invalid`."""
        parts = split(value, "$")
        if len(parts) != len(parameters) or not all(parts):
            form = "$".join(p.code for p in parameters)
            raise Invalid(f"{composite.code} has the form {form}", expression=composite.code)
        found = []
        for parameter, part in zip(parameters, parts, strict=True):
            text = part.strip() if _has_parts(parameter, "") else unescape(part.strip())
            self._check_value(kinds, parameter, "", text)
            found.append(Condition(parameter, "", (text,)))
        return tuple(found)

    # -- through references --------------------------------------------------------------------------------

    def _deeper(self, name: str, depth: int) -> int:
        if depth >= self._limits.chain_depth:
            raise TooCostly(
                f"a chain may go through {self._limits.chain_depth} references (setting limits.chain_depth)",
                expression=name[:60],
            )
        return depth + 1

    def _check_target(self, kinds: tuple[str, ...], parameter: SearchParameter, target: str) -> None:
        if parameter.targets and target not in parameter.targets:
            raise Invalid(
                f"{parameter.code} of {', '.join(kinds[:3])} never refers to {target}",
                expression=parameter.code,
            )

    def _chain(
        self,
        kinds: tuple[str, ...],
        parameter: SearchParameter,
        modifier: str,
        rest: str,
        value: str,
        depth: int,
    ) -> Condition:
        name = parameter.code
        if parameter.type != "reference":
            raise Invalid(f"{name} is no reference: a chain cannot go through it", expression=name)
        below = self._deeper(name, depth)
        if modifier and modifier not in self._table.resource_types:
            raise NotSupported(f"modifier ':{modifier[:30]}' is not supported in a chain", expression=name)
        if modifier:
            self._check_target(kinds, parameter, modifier)
        targets = (modifier,) if modifier else parameter.targets or tuple(sorted(self._table.resource_types))
        if name == "patient" and "Patient" in targets:
            targets = ("Patient",)  # Its expression lets only Patients through, whatever targets are listed.
        code = re.split(r"[.:]", rest)[0]
        fitting = tuple(t for t in targets if code == "_has" or self._fits(t, code, rest))
        if not fitting:
            raise NotSupported(
                f"chain {name}.{code[:60]}: no target type of {name} has that search parameter",
                code="search-parameter-unknown",
                expression=f"{name}.{code[:60]}",
            )
        if len({self._table.search_parameters(t)[code].type for t in fitting if code != "_has"}) > 1:
            raise Invalid(f"chain {name}.{code}: name the target type, as in {name}:{fitting[0]}.{code}")
        return Condition(parameter, "", (), fitting, self.condition(fitting, rest, value, below))

    def _fits(self, target: str, code: str, rest: str) -> bool:
        """Whether a chain can go on at this type. Where it goes through one more reference, it must be one."""
        parameter = self._table.search_parameters(target).get(code)
        if parameter is None:
            return False
        return parameter.type == "reference" if "." in rest else True

    def _reverse(self, kinds: tuple[str, ...], name: str, value: str, depth: int) -> Condition:
        parts = name.split(":", 3)
        if len(parts) < 4 or not all(parts):
            raise Invalid("_has has the form _has:Type:reference:parameter", expression=name[:60])
        _, source, code, inner = parts
        if source not in self._table.resource_types:
            raise Invalid(f"_has: {source[:40]!r} is no resource type", expression=name[:60])
        below = self._deeper("_has", depth)
        parameter = self.parameter((source,), code)
        if parameter.type != "reference":
            raise Invalid(f"_has: {code} of {source} is no reference", expression=name[:60])
        if parameter.targets and not set(kinds) & set(parameter.targets):
            raise Invalid(
                f"_has: {code} of {source} never refers to {', '.join(kinds[:3])}", expression=name[:60]
            )
        condition = self.condition((source,), inner, value, below)
        return Condition(parameter, "", (), (source,), condition, reverse=True)

    def _list(self, value: str) -> Condition:
        """Membership of a List: a reverse chain over its items."""
        for part in split(value, ","):
            if part.strip().startswith("$"):
                raise NotSupported(
                    f"_list={part.strip()[:60]}: such lists are not kept here", expression="_list"
                )
        item, identity = self.parameter(("List",), "item"), self.parameter(("List",), "_id")
        found = Condition(identity, "", self._values("_list", value, parts=False))
        if not all(_ID.fullmatch(v) for v in found.values):
            raise Invalid("_list takes the id of a List", expression="_list")
        return Condition(item, "", (), ("List",), found, reverse=True)


def _has_parts(parameter: SearchParameter, modifier: str) -> bool:
    """Whether values of this kind are divided by `|` or `$`."""
    if parameter.type == "token":
        return modifier in ("", "not", "of-type") and parameter.code != "_id"
    return parameter.type in ("quantity", "composite") or modifier == "identifier"
