"""The parameters of a call of an operation, from its query and from the Parameters in its body.

Source: FHIR operations.html (STU3, R4): parameters of a primitive type may stand in the query, all of them in the body.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import TYPE_CHECKING, Any

from schakel.fhir.search import pairs_of
from schakel.kernel.outcomes import Invalid, NotSupported
from schakel.server.bodies import read_body
from schakel.server.operations.registry import Call, Parameter

if TYPE_CHECKING:
    from schakel.server.service import FhirService

_TEXTS = frozenset({"string", "code", "id", "uri", "canonical", "date", "dateTime", "instant"})
"""Primitive types that are written as text; one is taken for another."""


class Given:
    """The values that a call gives, by the name of the parameter."""

    def __init__(self, takes: Iterable[Parameter]) -> None:
        self._takes = {parameter.name: parameter for parameter in takes}
        self._values: dict[str, list[Any]] = {}

    def all(self, name: str) -> list[Any]:
        """Every value of a parameter."""
        return self._values.get(name, [])

    def one(self, name: str) -> Any:
        """The value of a parameter that comes once; None without one."""
        return next(iter(self.all(name)), None)

    def pairs(self) -> list[tuple[str, str]]:
        """The values of a primitive type as they stand in a query."""
        return [
            (name, str(value).lower() if isinstance(value, bool) else str(value))
            for name, values in self._values.items()
            for value in values
            if not isinstance(value, dict)
        ]

    def known(self, name: str) -> Parameter:
        """The parameter with this name. Raises `NotSupported` naming it."""
        parameter = self._takes.get(name)
        if parameter is None:
            raise NotSupported(
                f"this operation has no parameter {name[:60]!r}; it takes {', '.join(self._takes)}",
                expression=name[:60],
            )
        return parameter

    def add(self, parameter: Parameter, value: Any) -> None:
        """One value more. Raises `Invalid` for a second value of what comes once."""
        values = self._values.setdefault(parameter.name, [])
        if values and not parameter.repeats:
            raise Invalid(f"parameter {parameter.name} may be given once", expression=parameter.name)
        values.append(value)


def given(service: FhirService, call: Call, takes: Iterable[Parameter]) -> Given:
    """The parameters of a call. Raises `Invalid`, `NotSupported`, `Unprocessable` and `UnsupportedMedia`."""
    found = Given(takes)
    for name, value in pairs_of(call.request.query):
        if name != "_format":
            parameter = found.known(name)
            found.add(parameter, _from_text(parameter, value))
    if not call.request.body and call.request.resource is None:
        return found
    body = read_body(call.request, service.rules.max_depth)
    service.checked(call.interaction.version, body)
    if body["resourceType"] != "Parameters":
        raise Invalid(
            f"the body of an operation is Parameters, not {body['resourceType']}", expression="Parameters"
        )
    for part in body.get("parameter", []):
        parameter = found.known(part["name"])
        found.add(parameter, _from_body(parameter, part))
    return found


def _from_text(parameter: Parameter, text: str) -> Any:
    """The value that a parameter of the query has."""
    match parameter.type:
        case "boolean" if text in ("true", "false"):
            return text == "true"
        case "integer" if text.isascii() and text.isdigit() and len(text) < 10:
            return int(text)
        case kind if kind in _TEXTS and text:
            return text
        case kind if kind[:1].isupper():
            raise Invalid(
                f"{parameter.name} is of type {kind}: send it in Parameters, by POST",
                expression=parameter.name,
            )
    raise _wrong(parameter)


def _from_body(parameter: Parameter, part: dict[str, Any]) -> Any:
    """The value that a parameter of the body has."""
    values = {name: value for name, value in part.items() if name.startswith("value")}
    kind = parameter.type
    accepted = _TEXTS if kind in _TEXTS else {kind}
    if len(values) == 1:
        [(name, value)] = values.items()
        if any(name == f"value{word[0].upper()}{word[1:]}" for word in accepted):
            return value
    raise _wrong(parameter)


def _wrong(parameter: Parameter) -> Invalid:
    return Invalid(f"{parameter.name} needs a value of type {parameter.type}", expression=parameter.name)
