"""What a part of an expression is compiled to."""

from __future__ import annotations

from typing import NamedTuple

from schakel.fhir.fhirpath.nodes import EMPTY, Run

Types = frozenset[str] | None
"""Types a collection can have; None when not known, empty when it has no items."""


class Code(NamedTuple):
    """Compiled code and the types of its results."""

    run: Run
    types: Types = None


NOTHING = Code(lambda evaluation, focus: EMPTY, frozenset())
BOOLEAN = frozenset({"System.Boolean"})
