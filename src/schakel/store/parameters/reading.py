"""What a SearchParameter resource asks, and what cannot be.

Source: FHIR SearchParameter (STU3, R4). Active ones have effect; a draft is kept as it is, one that is retired is taken
out. What is declared of modifiers, comparators and chains is kept, and all that the kind of parameter has is offered.
"""

from __future__ import annotations

import re
from collections.abc import Iterable
from functools import lru_cache
from typing import Any

from schakel.fhir.definitions import Definitions, SearchParameter, Version, definitions
from schakel.fhir.fhirpath import Expression, compile_expression
from schakel.fhir.json import Resource
from schakel.kernel.outcomes import Invalid, NotSupported, Unprocessable

INDEXED = ("token", "reference", "string", "date", "uri", "number", "quantity")
"""The kinds that an organisation may add."""

_CODE = re.compile(r"[A-Za-z][A-Za-z0-9_-]{0,63}")
_TEXTS = frozenset({"code", "string", "id", "uri", "url", "oid", "uuid", "canonical", "markdown"})
_NUMBERS = frozenset({"integer", "decimal", "positiveInt", "unsignedInt"})
_QUANTITIES = frozenset({"Quantity", "Age", "Count", "Distance", "Duration", "Money", "SampledData", "Range"})
_FITTING: dict[str, frozenset[str]] = {
    "token": _TEXTS | {"Coding", "CodeableConcept", "Identifier", "ContactPoint", "boolean"} | _NUMBERS,
    "reference": frozenset({"Reference", "canonical", "uri", "url", "string"}),
    "string": _TEXTS | {"HumanName", "Address", "CodeableConcept"},
    "date": frozenset({"date", "dateTime", "instant", "Period", "Timing"}),
    "uri": _TEXTS,
    "number": _NUMBERS,
    "quantity": _QUANTITIES | _NUMBERS,
}
"""Types of which each kind makes something. Source: FHIR search, STU3 and R4 3.1.1.4."""


def asked(version: Version, resource: Resource) -> SearchParameter | None:
    """The parameter that a resource asks for; None when it asks for none, or for one that the standard has.

    Raises `Unprocessable`, saying what and why.
    """
    if resource.get("status") != "active":
        return None
    table = definitions(version)
    url, code, kind = (_text(resource, name) for name in ("url", "code", "type"))
    known = table.search_parameter(url)
    if known is not None:
        if known.code == code:
            return None
        raise _refused("url", f"{url[:200]} is the standard parameter {known.code!r}")
    if not _CODE.fullmatch(code):
        raise _refused("code", f"the code {code[:60]!r} must be a letter with letters, digits, '-' and '_'")
    if kind not in INDEXED:
        raise _refused(
            "type", f"a {kind[:20]} parameter cannot be added here; possible are {', '.join(INDEXED)}"
        )
    bases = _texts(resource, "base")
    types = types_of(table, bases)
    for name in types:
        if standard := table.search_parameters(name).get(code):
            raise _refused("code", f"{name} has a standard parameter {code!r} already ({standard.url})")
    expression = _text(resource, "expression")
    targets = _texts(resource, "target") if "target" in resource else ()
    if unknown := sorted(set(targets) - table.resource_types):
        raise _refused("target", f"{unknown[0][:60]!r} is no resource type")
    for name in types:
        _check_expression(version, name, kind, expression)
    return SearchParameter(code, bases, kind, expression, url, targets)


def types_of(table: Definitions, bases: Iterable[str]) -> tuple[str, ...]:
    """The resource types that `base` names; Resource and DomainResource stand for many. Raises `Unprocessable`."""
    found: dict[str, None] = {}
    for base in bases:
        if base in ("Resource", "DomainResource"):
            found.update(dict.fromkeys(t for t in sorted(table.resource_types) if table.is_a(t, base)))
        elif base in table.resource_types:
            found[base] = None
        else:
            raise _refused("base", f"{base[:60]!r} is no resource type")
    return tuple(found)


@lru_cache(maxsize=5000)
def compiled(version: Version, resource_type: str, expression: str) -> Expression:
    """The expression of a parameter for a type. Raises `Invalid` and `NotSupported`."""
    return compile_expression(expression, definitions(version), context=resource_type)


def _check_expression(version: Version, resource_type: str, kind: str, expression: str) -> None:
    try:
        types = compiled(version, resource_type, expression).types
    except (Invalid, NotSupported) as error:
        raise _refused("expression", f"on {resource_type}: {error.message}") from error
    if types is None:
        return
    if not types:
        raise _refused("expression", f"on {resource_type} the expression never gives anything")
    fitting, table = _FITTING[kind], definitions(version)
    plain = {name.removeprefix("System.") for name in types}
    plain = {name[0].lower() + name[1:] if name not in table.types else name for name in plain}
    if not any(name in fitting or _open(table, name) for name in plain):
        raise _refused(
            "expression",
            f"on {resource_type} the expression gives {', '.join(sorted(plain)[:5])}, of which a {kind} parameter "
            "makes nothing",
        )


def _open(table: Definitions, name: str) -> bool:
    """Whether what a type stands for is known only when it is there."""
    definition = table.types.get(name)
    return definition is None or definition.abstract or name == "Element"


def _text(resource: Resource, name: str) -> str:
    value: Any = resource.get(name)
    if not isinstance(value, str) or not value.strip():
        raise _refused(name, f"an active SearchParameter needs {name}, once")
    return value.strip()


def _texts(resource: Resource, name: str) -> tuple[str, ...]:
    values: Any = resource.get(name)
    if not isinstance(values, list) or not values or not all(isinstance(value, str) for value in values):
        raise _refused(name, f"an active SearchParameter needs {name}, as codes")
    return tuple(dict.fromkeys(values))


def _refused(element: str, why: str) -> Unprocessable:
    return Unprocessable(
        f"this search parameter cannot have effect: {why}; with status draft it is kept without effect",
        code="search-parameter-refused",
        issue="business-rule",
        expression=f"SearchParameter.{element}",
    )
