"""The table of functions whose arguments are evaluated before they are called."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

from schakel.fhir.fhirpath.nodes import Nodes, single
from schakel.fhir.fhirpath.values import system_type
from schakel.kernel.outcomes import Invalid

Body = Callable[..., Nodes]
"""`body(evaluation, input, *arguments)`; every argument is a collection."""


@dataclass(frozen=True, slots=True)
class Function:
    """A function of FHIRPath: how many arguments it takes, and the types of its result.

    `result` is a type name, `same` (the types of the input), or empty when not known before it runs.
    """

    name: str
    least: int
    most: int
    body: Body
    result: str


FUNCTIONS: dict[str, Function] = {}


def function(
    name: str, least: int = 0, most: int | None = None, *, result: str = ""
) -> Callable[[Body], Body]:
    """Put the decorated body in the table under `name`."""

    def add(body: Body) -> Body:
        FUNCTIONS[name] = Function(name, least, least if most is None else most, body, result)
        return body

    return add


def text(nodes: Nodes, what: str) -> str | None:
    """The one string in `nodes`, None when empty. Raises `Invalid` for several items or another type."""
    node = single(nodes, what)
    if node is None or node.value is None:
        return None
    if not isinstance(node.value, str):
        raise Invalid(
            f"FHIRPath: {what} needs a string, not {node.type or system_type(node) or 'a structure'}",
            code="fhirpath-wrong-type",
        )
    return node.value


def whole(nodes: Nodes, what: str) -> int | None:
    """The one integer in `nodes`, None when empty. Raises `Invalid` for several items or another type."""
    node = single(nodes, what)
    if node is None or node.value is None:
        return None
    if not isinstance(node.value, int) or isinstance(node.value, bool):
        raise Invalid(
            f"FHIRPath: {what} needs an integer, not {node.type or system_type(node) or 'a structure'}",
            code="fhirpath-wrong-type",
        )
    return node.value


def evaluation_of_truth(nodes: Nodes, lenient: bool) -> bool | None:
    """`nodes` in a boolean place: None when empty, and a single item that is no boolean is true.

    Several items are an error (`Invalid`), or true when `lenient`. Source: N1 2.0, section 4.5.
    """
    if not nodes:
        return None
    if len(nodes) > 1:
        if lenient:
            return True
        single(nodes, "a condition")
    value = nodes[0].value
    if isinstance(value, bool):
        return value
    return None if value is None and nodes[0].type in ("boolean", "") else True
