"""The search grammar: from a query string to a `Query` that says exactly what will run.

Source: FHIR search, STU3 3.1.1 and R4 3.1.1. Everything that is not understood is refused by name: a parameter,
a modifier, a prefix, a chain. Nothing is dropped in silence, because a dropped condition widens the answer.
"""

from __future__ import annotations

import re
import unicodedata
from collections.abc import Iterable
from dataclasses import dataclass, field, replace
from urllib.parse import parse_qsl, quote, urlencode

from schakel.fhir.definitions import Definitions, SearchParameter
from schakel.fhir.moments import interval
from schakel.kernel.outcomes import Invalid, NotSupported, TooCostly

Pairs = tuple[tuple[str, str], ...]

PREFIXES = ("eq", "ne", "gt", "lt", "ge", "le", "sa", "eb", "ap")
KINDS = frozenset({"token", "reference", "string", "date", "uri"})
MODIFIERS = {
    "token": frozenset({"", "not"}),
    "string": frozenset({"", "exact", "contains"}),
    "reference": frozenset({"", "identifier"}),
    "date": frozenset({""}),
    "uri": frozenset({""}),
}
_ID = re.compile(r"[A-Za-z0-9\-.]{1,64}")
_PIECE = re.compile(r"\\.|[^\\,]+|,|\\\Z", re.DOTALL)
"""Of an OR list: an escaped character, text, a comma, or a backslash at the end."""


@dataclass(frozen=True, slots=True)
class Condition:
    """One parameter of a query: any of `values` must match (OR); several conditions must all hold (AND).

    `inner` is set for a chain: the reference must lead to a resource of one of `targets` for which `inner`
    holds. `values` are unescaped; a date keeps its prefix, a token its `system|`.
    """

    parameter: SearchParameter
    modifier: str = ""
    values: tuple[str, ...] = ()
    targets: tuple[str, ...] = ()
    inner: Condition | None = None

    @property
    def name(self) -> str:
        """The parameter as a caller writes it, without values."""
        text = self.parameter.code
        if self.inner is not None:
            text += f":{self.targets[0]}" if len(self.targets) == 1 else ""
            return f"{text}.{self.inner.name}"
        return f"{text}:{self.modifier}" if self.modifier else text


@dataclass(frozen=True, slots=True)
class Include:
    """`_include` or `_revinclude`: source type, parameter and, if given, the only target type wanted."""

    source: str
    parameter: SearchParameter
    target: str = ""
    iterate: bool = False

    def __str__(self) -> str:
        text = f"{self.source}:{self.parameter.code}"
        return f"{text}:{self.target}" if self.target else text


@dataclass(frozen=True, slots=True)
class Sort:
    """One sort key; `descending` when written with a minus."""

    parameter: SearchParameter
    descending: bool


@dataclass(frozen=True, slots=True)
class Query:
    """A parsed search on one type. `last` is the `max` of `$lastn`, None for an ordinary search.

    `page` is the key and offset of a remembered page, in which case nothing else but `_format` is there. `summary`
    and `elements` say how much of each resource is shown. `ignored` names the parameters that were left out
    (`Prefer: handling=lenient`). `limited_to` is set by a door, never by a caller: only resources that belong to
    one of these patients (logical ids) are matches.
    """

    type: str
    conditions: tuple[Condition, ...] = ()
    includes: tuple[Include, ...] = ()
    revincludes: tuple[Include, ...] = ()
    sort: tuple[Sort, ...] = ()
    count: int | None = None
    total: str = ""
    last: int | None = None
    page: tuple[str, int] | None = None
    format: str = ""
    summary: str = ""
    elements: tuple[str, ...] = ()
    ignored: tuple[str, ...] = ()
    limited_to: frozenset[str] | None = None
    raw: Pairs = field(default=(), compare=False)

    def self_link(self) -> str:
        """The query string with all parameters that were used, as the caller wrote them."""
        return encode(self.raw)


def encode(pairs: Iterable[tuple[str, str]]) -> str:
    """Pairs as a query string; the characters that FHIR values use stay readable."""
    return urlencode(list(pairs), quote_via=quote, safe="/:|$,-._~")


_BROKEN = re.compile(r"%(?![0-9A-Fa-f]{2})")


def pairs_of(text: str) -> Pairs:
    """The pairs of a query string or form body. Raises `Invalid` for broken percent-encoding."""
    if not text:
        return ()
    if _BROKEN.search(text):
        raise Invalid("broken percent-encoding in the query: '%' must be followed by two hexadecimal digits")
    try:
        return tuple(parse_qsl(text, keep_blank_values=True, errors="strict", max_num_fields=200))
    except UnicodeDecodeError as error:
        raise Invalid("the query is not UTF-8 after percent-decoding") from error
    except ValueError as error:
        raise TooCostly("a query may have at most 200 parameters") from error


def split_or(text: str) -> tuple[str, ...]:
    """The values of an OR list: split at commas that are not escaped, unescaped, trimmed."""
    if "\\" not in text:
        return tuple(part.strip() for part in text.split(","))
    parts = [""]
    for piece in _PIECE.findall(text):
        if piece == ",":
            parts.append("")
        else:
            parts[-1] += piece
    return tuple(re.sub(r"\\([,$|\\])", r"\1", part.strip()) for part in parts)


def fold(text: str) -> str:
    """`text` without case and accents, spaces joined: what string search compares (STU3 3.1.1.4.8)."""
    if not text.isascii():
        text = "".join(c for c in unicodedata.normalize("NFKD", text) if not unicodedata.combining(c))
    return " ".join(text.casefold().split())


def implied_systems(table: Definitions, resource_type: str, parameter: SearchParameter) -> frozenset[str]:
    """The code systems that a token parameter means when its elements are of type `code`: such a value has no
    system of its own, the required binding says it (STU3 3.1.1.4.11, table of token types)."""
    found: set[str] = set()
    for path in parameter.expression.split("|"):
        kind, *names = path.strip().split(".")
        if kind != resource_type:
            continue
        for name in names:
            element = table.types[kind].elements.get(name) if kind in table.types else None
            if element is None or element.choice:
                break
            kind = element.types[0]
            if kind == "code":
                found.update(table.value_sets.get(element.binding, ()))
    return frozenset(found)


class QueryParser:
    """Parses searches on resource types of one FHIR version."""

    def __init__(self, table: Definitions, *, max_count: int = 1000, max_values: int = 200) -> None:
        self._table = table
        self._max_count = max_count
        self._max_values = max_values

    def parse(self, resource_type: str, pairs: Pairs, *, last: bool = False) -> Query:
        """The query that `pairs` ask on `resource_type`; `last` for `Observation/$lastn`.

        Raises `Invalid` (bad value), `NotSupported` (parameter, modifier or include that does not exist here)
        and `TooCostly`.
        """
        query = Query(resource_type, last=1 if last else None, raw=pairs)
        conditions: list[Condition] = []
        includes: list[Include] = []
        revincludes: list[Include] = []
        seen: set[str] = set()
        for name, value in pairs:
            if name in ("_count", "_total", "_sort", "_format", "_page", "max"):
                if name in seen:
                    raise Invalid(f"parameter {name} may be given once", expression=name)
                seen.add(name)
            match name:
                case "_count":
                    query = replace(query, count=min(self._number(name, value, 0), self._max_count))
                case "_total":
                    if value not in ("none", "estimate", "accurate"):
                        raise Invalid("_total is none, estimate or accurate", expression="_total")
                    query = replace(query, total=value)
                case "_sort":
                    query = replace(query, sort=self._sort(resource_type, value))
                case "_format":
                    query = replace(query, format=value)
                case "_page":
                    key, _, offset = value.partition(".")
                    if not re.fullmatch(r"[0-9a-f-]{36}", key):
                        raise Invalid("_page is not a page link of this server", expression="_page")
                    query = replace(query, page=(key, self._number("_page", offset, 0)))
                case "max" if last:
                    query = replace(query, last=self._number("max", value, 1))
                case "_include":
                    includes.append(self._include(resource_type, name, value))
                case "_revinclude":
                    revincludes.append(self._include(resource_type, name, value))
                case _ if name.startswith(("_include:", "_revinclude:")):
                    raise NotSupported(f"{name}: includes that repeat are not supported", expression=name)
                case _:
                    conditions.append(self._condition(resource_type, name, value))
        if query.page and {n for n, _ in pairs} - {"_page", "_format"}:
            raise Invalid("a page link is used as it was given, without other parameters", expression="_page")
        return replace(
            query,
            conditions=tuple(conditions),
            includes=tuple(dict.fromkeys(includes)),
            revincludes=tuple(dict.fromkeys(revincludes)),
        )

    def _number(self, name: str, value: str, least: int) -> int:
        if not re.fullmatch(r"[0-9]{1,9}", value) or int(value) < least:
            raise Invalid(f"{name} must be a whole number from {least} to 999999999", expression=name)
        return int(value)

    def parameter(self, resource_type: str, code: str) -> SearchParameter:
        """The search parameter `code` of a type. Raises `NotSupported` naming it."""
        parameter = self._table.search_parameters(resource_type).get(code)
        if parameter is None:
            raise NotSupported(
                f"search parameter {code[:60]!r} is not known for {resource_type}; see the CapabilityStatement",
                code="search-parameter-unknown",
                expression=code[:60],
            )
        if parameter.type not in KINDS or not parameter.expression:
            raise NotSupported(
                f"search parameter {code!r} of {resource_type} ({parameter.type}) is not supported",
                code="search-parameter-unsupported",
                expression=code,
            )
        return parameter

    def _condition(self, resource_type: str, name: str, value: str, depth: int = 0) -> Condition:
        head, dot, rest = name.partition(".")
        code, colon, modifier = head.partition(":")
        parameter = self.parameter(resource_type, code)
        if colon and not modifier:
            raise Invalid(f"{code}: a modifier is missing after ':'", expression=name[:60])
        if dot:
            return self._chain(resource_type, parameter, modifier, rest, value, depth)
        if parameter.type == "reference" and modifier in self._table.resource_types:
            if parameter.targets and modifier not in parameter.targets:
                raise Invalid(f"{code} of {resource_type} never refers to {modifier}", expression=name)
            values = self._values(name, value)
            if not all(_ID.fullmatch(v) for v in values):
                raise Invalid(f"{name} takes the id of a {modifier}, without its type", expression=name)
            return self._checked(Condition(parameter, "", tuple(f"{modifier}/{v}" for v in values)))
        if modifier not in MODIFIERS[parameter.type]:
            raise NotSupported(
                f"modifier ':{modifier[:30]}' is not supported on {code} ({parameter.type})",
                code="search-modifier-unsupported",
                expression=name[:60],
            )
        if "\\|" in value and (parameter.type == "token" or modifier == "identifier"):
            raise NotSupported(f"{name}: a '|' inside a code is not supported", expression=name)
        return self._checked(Condition(parameter, modifier, self._values(name, value)))

    def _values(self, name: str, value: str) -> tuple[str, ...]:
        values = split_or(value)
        if len(values) > self._max_values:
            raise TooCostly(f"{name} has more than {self._max_values} values", expression=name)
        if any(not v for v in values):
            raise Invalid(f"parameter {name} has an empty value", expression=name)
        if any("\x00" in v for v in values):
            raise Invalid(f"parameter {name} has a NUL character", expression=name)
        return values

    def _checked(self, condition: Condition) -> Condition:
        parameter = condition.parameter
        for value in condition.values:
            if parameter.type == "date":
                prefix, text = split_prefix(value)
                interval(text)
                if prefix == "ap":
                    raise NotSupported(
                        f"{parameter.code}: the prefix 'ap' is not supported", expression=parameter.code
                    )
            if parameter.type == "string" and condition.modifier != "exact" and not fold(value):
                raise Invalid(f"{parameter.code} needs a letter or digit", expression=parameter.code)
            if parameter.code == "_id" and not _ID.fullmatch(value):
                raise Invalid("_id has a value that is no FHIR id", expression="_id")
            if condition.modifier == "identifier" and value in ("|", ""):
                raise Invalid(f"{parameter.code}:identifier needs a value", expression=parameter.code)
            if parameter.type == "token" and value == "|":
                raise Invalid(f"{parameter.code} needs a code or a system", expression=parameter.code)
        return condition

    def _chain(
        self,
        resource_type: str,
        parameter: SearchParameter,
        modifier: str,
        rest: str,
        value: str,
        depth: int,
    ) -> Condition:
        name = parameter.code
        if parameter.type != "reference":
            raise Invalid(f"{name} is no reference: a chain cannot go through it", expression=name)
        if depth >= 1:
            raise TooCostly("a chain may go through one reference", expression=name)
        if modifier and modifier not in self._table.resource_types:
            raise NotSupported(f"modifier ':{modifier[:30]}' is not supported in a chain", expression=name)
        if modifier and parameter.targets and modifier not in parameter.targets:
            raise Invalid(f"{name} of {resource_type} never refers to {modifier}", expression=name)
        targets = (modifier,) if modifier else parameter.targets or tuple(sorted(self._table.resource_types))
        if name == "patient" and "Patient" in targets:
            targets = ("Patient",)  # Its expression lets only Patients through, whatever targets are listed.
        code = re.split(r"[.:]", rest)[0]
        fitting = tuple(t for t in targets if code in self._table.search_parameters(t))
        if not fitting:
            raise NotSupported(
                f"chain {name}.{code[:60]}: no target type of {name} has that search parameter",
                code="search-parameter-unknown",
                expression=f"{name}.{code[:60]}",
            )
        inner = self._condition(fitting[0], rest, value, depth + 1)
        for other in fitting[1:]:
            if self._table.search_parameters(other)[code].type != inner.parameter.type:
                raise Invalid(f"chain {name}.{code}: name the target type, as in {name}:{fitting[0]}.{code}")
        return Condition(parameter, "", (), fitting, inner)

    def _include(self, resource_type: str, name: str, value: str) -> Include:
        parts = value.split(":")
        if len(parts) not in (2, 3) or not all(parts):
            raise Invalid(f"{name} has the form Type:parameter or Type:parameter:Target", expression=name)
        source, code = parts[0], parts[1]
        if source not in self._table.resource_types:
            raise Invalid(f"{name}: {source[:40]!r} is no resource type", expression=name)
        if name == "_include" and source != resource_type:
            raise NotSupported(f"_include={value[:80]}: only from {resource_type} itself", expression=name)
        if code == "*":
            raise NotSupported(f"{name}={value[:80]}: name the parameter", expression=name)
        parameter = self.parameter(source, code)
        if parameter.type != "reference":
            raise Invalid(f"{name}: {code} of {source} is no reference", expression=name)
        target = parts[2] if len(parts) == 3 else ""
        if target and target not in (parameter.targets or self._table.resource_types):
            raise Invalid(f"{name}: {code} of {source} never refers to {target[:40]!r}", expression=name)
        return Include(source, parameter, target)

    def _sort(self, resource_type: str, value: str) -> tuple[Sort, ...]:
        keys: list[Sort] = []
        for part in value.split(","):
            code = part.strip().removeprefix("-")
            keys.append(Sort(self.parameter(resource_type, code), part.strip().startswith("-")))
        if len(keys) > 5:
            raise TooCostly("_sort takes at most 5 keys", expression="_sort")
        return tuple(keys)


def split_prefix(value: str) -> tuple[str, str]:
    """Prefix (`eq` when there is none) and rest of a date value."""
    return (value[:2], value[2:]) if value[:2] in PREFIXES else ("eq", value)
