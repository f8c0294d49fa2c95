"""What expressions work on: typed nodes, and the state of one evaluation."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from datetime import datetime
from typing import Any

from schakel.kernel import clock
from schakel.kernel.outcomes import Invalid, TooCostly

Resource = dict[str, Any]
Resolve = Callable[[str], Resource | None]


class Node:
    """One item of a collection.

    `value` is the JSON value: for a primitive a str, int, bool or Decimal (None when it has only extensions),
    for anything else a dict; the value of a System.Quantity is a `units.Quantity`, that of a System date or
    time its text. `type` is a FHIR type name or `System.X`; empty when not known. `extra` is the `_name`
    sibling of a primitive. `owner` is the resource in which a `#fragment` is looked up.
    """

    __slots__ = ("extra", "owner", "type", "value")

    def __init__(
        self, value: Any, type: str, extra: dict[str, Any] | None = None, owner: Resource | None = None
    ) -> None:
        self.value = value
        self.type = type
        self.extra = extra
        self.owner = owner

    def __repr__(self) -> str:
        return f"Node({self.value!r}, {self.type!r})"


Nodes = list[Node]
"""A collection. Never changed after it was made: steps and constants share them."""

EMPTY: Nodes = []
TRUE: Nodes = [Node(True, "System.Boolean")]
FALSE: Nodes = [Node(False, "System.Boolean")]


def boolean(value: bool) -> Nodes:
    return TRUE if value else FALSE


MAX_STRING = 10_000_000
"""Longest string an expression may make, in characters."""


def string(value: str) -> Nodes:
    """A string that an expression made. Raises `TooCostly` when it is too long."""
    bounded(len(value))
    return [Node(value, "System.String")]


def bounded(length: int) -> None:
    """Refuse to make a string of this length when it is too long. Raises `TooCostly`."""
    if length > MAX_STRING:
        raise TooCostly(
            f"FHIRPath: the expression makes a string of more than {MAX_STRING} characters",
            code="fhirpath-too-costly",
        )


def integer(value: int) -> Nodes:
    return [Node(value, "System.Integer")]


class Evaluation:
    """State of one evaluation: what `%name`, `$index`, `$total`, `resolve()` and the budget refer to."""

    __slots__ = ("_moment", "budget", "bundle", "index", "resolve", "root", "total", "variables")

    def __init__(
        self,
        root: Node,
        variables: Mapping[str, object] | None,
        resolve: Resolve | None,
        budget: int | None,
    ) -> None:
        self.root = root
        self.variables = variables
        self.resolve = resolve
        self.budget = budget
        self.index = 0
        self.total: Nodes = EMPTY
        self.bundle: dict[str, Resource] | None = None
        self._moment: datetime | None = None

    @property
    def moment(self) -> datetime:
        """One moment for the whole evaluation, in the time zone of the Netherlands."""
        if self._moment is None:
            self._moment = clock.now().astimezone(clock.AMSTERDAM)
        return self._moment

    def spend(self, visits: int) -> None:
        """Take `visits` from the budget, if there is one. Raises `TooCostly`."""
        if self.budget is not None:
            self.budget -= visits
            if self.budget < 0:
                raise TooCostly(
                    "FHIRPath: the expression visits more nodes than allowed; narrow it or its input",
                    code="fhirpath-too-costly",
                )


Run = Callable[[Evaluation, Nodes], Nodes]
"""Compiled code: the evaluation and the focus (`$this`) to a collection."""


def single(nodes: Nodes, what: str) -> Node | None:
    """The only item, None when there is none. Raises `Invalid` when there are more."""
    if not nodes:
        return None
    if len(nodes) > 1:
        raise Invalid(
            f"FHIRPath: {what} needs at most one item, not {len(nodes)}; choose one with first() or where()",
            code="fhirpath-not-single",
        )
    return nodes[0]
