"""FHIRPath: parsed and compiled once, run many times.

Standard: FHIRPath Normative Release 1 (2.0), with the functions and variables that FHIR R4 adds; expressions
of STU3 are taken too. Entry point: `compile_expression`.
"""

from __future__ import annotations

from collections.abc import Mapping

from schakel.fhir.definitions import Definitions
from schakel.fhir.fhirpath import collections, conversion, numbers, strings  # noqa: F401 - they fill the table
from schakel.fhir.fhirpath.compiler import Compiler
from schakel.fhir.fhirpath.model import Model, model_of
from schakel.fhir.fhirpath.nodes import Evaluation, Node, Resolve, Resource, Run
from schakel.fhir.fhirpath.parser import parse
from schakel.fhir.fhirpath.units import Quantity

__all__ = ["Expression", "Node", "Quantity", "compile_expression"]


class Expression:
    """A compiled expression: safe to share between threads and tasks.

    `types` are the types its results can have, None when only known at run time.
    """

    __slots__ = ("_context", "_model", "_run", "text", "types")

    def __init__(
        self, text: str, model: Model, context: str | None, run: Run, types: frozenset[str] | None
    ) -> None:
        self.text = text
        self.types = types
        self._model = model
        self._context = context
        self._run = run

    def __repr__(self) -> str:
        return f"Expression({self.text!r})"

    def evaluate(
        self,
        subject: Resource | Node,
        *,
        variables: Mapping[str, object] | None = None,
        resolve: Resolve | None = None,
        budget: int | None = None,
    ) -> list[Node]:
        """The results on `subject`: a resource, an element of type `context`, or a node of an earlier result.

        `variables` are the `%name`s beyond FHIR's own (`resource` and `rootResource` replace those): nodes,
        resources, plain values or lists of them. `resolve` finds a resource by a reference that is neither
        contained nor in the Bundle. `budget` bounds the nodes visited. Raises `Invalid` where the data do not
        fit the expression, and `TooCostly`.
        """
        root = subject if isinstance(subject, Node) else self._model.root(subject, self._context)
        return list(self._run(Evaluation(root, variables, resolve, budget), [root]))


def compile_expression(
    text: str, definitions: Definitions, *, context: str | None = None, lenient: bool = False
) -> Expression:
    """`text` compiled for this FHIR version. `context` is the type it runs on, when known.

    Raises `Invalid` for a mistake, with its position: also for an element or type that does not exist.
    `lenient` is for test scripts written for engines that are so: such names give nothing, several items are
    true in a boolean place, and `matches()` must match the whole string. Raises `NotSupported` for functions
    that need terminology or profiles.
    """
    model = model_of(definitions)
    types = None if context is None or model.is_open(context) else frozenset({context})
    code = Compiler(text, model, lenient).compile(parse(text), types)
    return Expression(text, model, context, code.run, code.types)
