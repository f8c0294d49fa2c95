"""What expressions work on: typed nodes, and the state of one evaluation."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from datetime import datetime
from decimal import Decimal
from typing import Any

from schakel.fhir.fhirpath.services import Profiles, Terminology
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


def plain(number: Decimal) -> str:
    """The digits of `number`, without an exponent. Raises `TooCostly` when there are too many."""
    bounded(abs(number.adjusted()) + len(number.as_tuple().digits))
    return f"{number:f}"


def integer(value: int) -> Nodes:
    return [Node(value, "System.Integer")]


class Evaluation:
    """State of one evaluation: what `%name`, `$index`, `$total`, the caller's services and the steps refer to.

    `steps` are those that are left, None when they are not counted.
    """

    __slots__ = (
        *("_moment", "_weights", "bundle", "index", "profiles", "resolve", "root", "steps", "terminology"),
        *("total", "variables"),
    )

    def __init__(
        self,
        root: Node,
        variables: Mapping[str, object] | None = None,
        resolve: Resolve | None = None,
        steps: int | None = None,
        profiles: Profiles | None = None,
        terminology: Terminology | None = None,
    ) -> None:
        self.root = root
        self.variables = variables
        self.resolve = resolve
        self.steps = steps
        self.profiles = profiles
        self.terminology = terminology
        self.index = 0
        self.total: Nodes = EMPTY
        self.bundle: dict[str, Resource] | None = None
        self._moment: datetime | None = None
        self._weights: dict[int, int] | None = None

    @property
    def moment(self) -> datetime:
        """One moment for the whole evaluation, in the time zone of the Netherlands."""
        if self._moment is None:
            self._moment = clock.now().astimezone(clock.AMSTERDAM)
        return self._moment

    def spend(self, steps: int) -> None:
        """Take `steps` from those that are left, if they are counted. Raises `TooCostly`."""
        if self.steps is not None:
            self.steps -= steps
            if self.steps < 0:
                raise TooCostly(
                    "FHIRPath: the expression takes more steps than limits.expression_steps allows; "
                    "narrow it or its input",
                    code="fhirpath-too-costly",
                )

    def weigh(self, *collections: Nodes) -> None:
        """Take the steps of going through all that is in these: comparing structures does. Raises `TooCostly`."""
        if self.steps is None:
            return
        if self._weights is None:
            self._weights = {}
        for nodes in collections:
            for node in nodes:
                if isinstance(node.value, dict):
                    weight = self._weights.get(id(node.value))
                    if weight is None:
                        weight = self._weights[id(node.value)] = _weight(node.value)
                    self.spend(weight)


def _weight(value: object) -> int:
    """Steps for all members in a structure."""
    members, waiting = 0, [value]
    while waiting:
        item = waiting.pop()
        inside = item.values() if isinstance(item, dict) else item if isinstance(item, list) else ()
        members += len(inside)
        waiting += inside
    return members // _MEMBERS


_MEMBERS = 16  # as many members of a structure as cost a step to compare

Run = Callable[[Evaluation, Nodes], Nodes]
"""Compiled code: the evaluation and the focus (`$this`) to a collection."""

_CHARACTERS = 256  # as much text as costs a step more


def metered(run: Run) -> Run:
    """`run` that takes a step, one for each item it gives, and more for long strings."""

    def counted(evaluation: Evaluation, focus: Nodes) -> Nodes:
        nodes = run(evaluation, focus)
        steps = 1 + len(nodes)
        for node in nodes:
            if type(node.value) is str:
                steps += len(node.value) // _CHARACTERS
        evaluation.spend(steps)
        return nodes

    return counted


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
