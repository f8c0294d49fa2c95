"""What a search says once it was parsed: conditions, includes, order, and how much is shown."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, field
from datetime import datetime
from urllib.parse import quote, urlencode

from schakel.fhir.definitions import SearchParameter

Pairs = tuple[tuple[str, str], ...]

WILDCARD = SearchParameter(code="*", base=(), type="reference", expression="", url="")
"""Stands in an `Include` for every reference parameter of its source."""


@dataclass(frozen=True, slots=True)
class Condition:
    """One parameter of a query: any of `values` must match (OR); several conditions must all hold (AND).

    `inner` is set for a chain: the reference must lead to a resource of one of `targets` for which `inner`
    holds. With `reverse` it is the other way round (`_has`): a resource of `targets` for which `inner` holds must
    refer to this one by `parameter`. `values` of kinds that have parts (token, quantity, composite) keep their
    escapes, so that a part may hold a `|` or `$`; other values are unescaped. `components` are the values of a
    composite, each as one condition for each of its parts.
    """

    parameter: SearchParameter
    modifier: str = ""
    values: tuple[str, ...] = ()
    targets: tuple[str, ...] = ()
    inner: Condition | None = None
    reverse: bool = False
    components: tuple[tuple[Condition, ...], ...] = ()

    @property
    def name(self) -> str:
        """The parameter as a caller writes it, without values."""
        text = self.parameter.code
        if self.inner is not None and self.reverse:
            return f"_has:{self.targets[0]}:{text}:{self.inner.name}"
        if self.inner is not None:
            text += f":{self.targets[0]}" if len(self.targets) == 1 else ""
            return f"{text}.{self.inner.name}"
        return f"{text}:{self.modifier}" if self.modifier else text


@dataclass(frozen=True, slots=True)
class Include:
    """`_include` or `_revinclude`: source type, parameter and, if given, the only target type wanted.

    `parameter` is `WILDCARD` for all reference parameters, `source` then may be `*` for every type. With
    `iterate` it is applied to what was included as well.
    """

    source: str
    parameter: SearchParameter
    target: str = ""
    iterate: bool = False

    def __str__(self) -> str:
        text = "*" if self.source == "*" else f"{self.source}:{self.parameter.code}"
        return f"{text}:{self.target}" if self.target else text


@dataclass(frozen=True, slots=True)
class Sort:
    """One sort key; `descending` when written with a minus."""

    parameter: SearchParameter
    descending: bool


@dataclass(frozen=True, slots=True)
class During:
    """A time of care: not before `start`, and before `end`. A resource fits unless its dates say that it had ended by
    then (`ends`) or was still to begin (`begins`); these are the date parameters that count, as (type, code)."""

    start: datetime | None
    end: datetime | None
    begins: tuple[tuple[str, str], ...]
    ends: tuple[tuple[str, str], ...]


@dataclass(frozen=True, slots=True)
class Query:
    """A parsed search on one type. `last` is the `max` of `$lastn`, None for an ordinary search.

    A search over several types has an empty `type` and names them in `types`. `compartment` is type and id of the
    compartment in which is searched; an operation may leave out the id, and then it is that of any. `page` is the
    key and offset of a remembered page, in which case nothing else but `_format` is there. `summary` and `elements`
    say how much of each resource is shown. `ignored` names the parameters that were left out (`Prefer:
    handling=lenient`). `limited_to` is set by a door, never by a caller: only resources that belong to one of these
    patients (logical ids) are matches. `during` is set by an operation.
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
    types: tuple[str, ...] = ()
    compartment: tuple[str, str] | None = None
    during: During | None = None
    raw: Pairs = field(default=(), compare=False)

    @property
    def kinds(self) -> tuple[str, ...]:
        """The types that are searched."""
        return self.types or (self.type,)

    def self_link(self) -> str:
        """The query string with all parameters that were used, as the caller wrote them."""
        return encode(self.raw)


def encode(pairs: Iterable[tuple[str, str]]) -> str:
    """Pairs as a query string; the characters that FHIR values use stay readable."""
    return urlencode(list(pairs), quote_via=quote, safe="/:|$,-._~")
