"""FHIRPath: parsed and compiled once, run many times.

Standard: FHIRPath Normative Release 1 (2.0), with the functions and variables that FHIR R4 adds; expressions
of STU3 are taken too. Entry point: `compile_expression`.
"""

from __future__ import annotations

from collections.abc import Mapping

from schakel.fhir.definitions import Definitions
from schakel.fhir.fhirpath import (  # noqa: F401 - they fill the table
    collections,
    conversion,
    numbers,
    strings,
    terms,
)
from schakel.fhir.fhirpath.code import Code
from schakel.fhir.fhirpath.compiler import Compiler
from schakel.fhir.fhirpath.model import Model, model_of
from schakel.fhir.fhirpath.nodes import Evaluation, Node, Resolve, Resource, Run
from schakel.fhir.fhirpath.parser import parse
from schakel.fhir.fhirpath.services import Profiles, Terminology
from schakel.fhir.fhirpath.units import Quantity
from schakel.kernel.outcomes import Invalid, TooCostly

__all__ = ["Expression", "Node", "Profiles", "Quantity", "Terminology", "compile_expression"]


class Expression:
    """A compiled expression: safe to share between threads and tasks.

    `types` are the types its results can have, None when only known at run time.
    """

    __slots__ = ("_context", "_lenient", "_metered", "_model", "_run", "text", "types")

    def __init__(self, text: str, model: Model, context: str | None, lenient: bool) -> None:
        self.text = text
        self._model = model
        self._context = context
        self._lenient = lenient
        self._run, self.types = self._compiled(metered=False)
        self._metered: Run | None = None

    def _compiled(self, metered: bool) -> Code:
        model, context = self._model, self._context
        types = None if context is None or model.is_open(context) else frozenset({context})
        try:
            return Compiler(self.text, model, self._lenient, metered).compile(parse(self.text), types)
        except RecursionError:
            raise Invalid("FHIRPath: the expression nests too deep", code="fhirpath-invalid") from None

    def __repr__(self) -> str:
        return f"Expression({self.text!r})"

    def evaluate(
        self,
        subject: Resource | Node,
        *,
        variables: Mapping[str, object] | None = None,
        resolve: Resolve | None = None,
        steps: int | None = None,
        profiles: Profiles | None = None,
        terminology: Terminology | None = None,
    ) -> list[Node]:
        """The results on `subject`: a resource, an element of type `context`, or a node of an earlier result.

        `variables` are the `%name`s beyond FHIR's own (`resource` and `rootResource` replace those): nodes,
        resources, plain values or lists of them. `resolve` finds a resource by a reference that is neither
        contained nor in the Bundle; `profiles` and `terminology` answer for the functions that need them.
        `steps` bounds the work, counted in operations and the items they give: for every expression from
        outside, `limits.expression_steps`. Raises `Invalid` where the data do not fit the expression,
        `TooCostly`, and `NotSupported` where nobody answers for a function.
        """
        root = subject if isinstance(subject, Node) else self._model.root(subject, self._context)
        evaluation = Evaluation(root, variables, resolve, steps, profiles, terminology)
        run = self._run
        if steps is not None:
            if self._metered is None:
                self._metered = self._compiled(metered=True).run
            run = self._metered
        try:
            return list(run(evaluation, [root]))
        except RecursionError:
            raise TooCostly(
                "FHIRPath: the expression and its input nest too deep", code="fhirpath-too-costly"
            ) from None


def compile_expression(
    text: str, definitions: Definitions | None, *, context: str | None = None, lenient: bool = False
) -> Expression:
    """`text` compiled for this FHIR version; STU3 also takes what only the drafts of FHIRPath had.

    `context` is the type it runs on, when known. Without `definitions` a name is that of a JSON member and
    nothing is known of types but that of a resource. Raises `Invalid` for a mistake, with its position: also
    for an element or type that does not exist. `lenient` is for test scripts written for engines that are so:
    such names give nothing, several items are true in a boolean place, and `matches()` must match the whole
    string. Raises `NotSupported` for functions that need whole profiles.
    """
    return Expression(text, model_of(definitions), context, lenient)
