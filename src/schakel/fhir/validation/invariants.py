"""The invariants of the specification, compiled once for each type."""

from __future__ import annotations

from typing import NamedTuple

from schakel.fhir.definitions import Definitions, Invariant
from schakel.fhir.fhirpath import Expression, Node, compile_expression
from schakel.fhir.places import At
from schakel.fhir.validation.run import Run, Scope
from schakel.kernel.outcomes import Outcome

ELSEWHERE = frozenset({"ele-1", "ext-1", "dom-2", "dom-3"})
"""Invariants that are checked in code: by the structure check, by the walk (ele-1) and by `references` (dom-3)."""

BEST_PRACTICE = frozenset({"dom-6"})


class Check(NamedTuple):
    """One invariant, ready to run."""

    key: str
    severity: str
    expression: Expression


def compiled(invariants: tuple[Invariant, ...], context: str, known: Definitions) -> tuple[Check, ...]:
    """The invariants of an element or type as checks on nodes of type `context`."""
    return tuple(
        Check(rule.key, rule.severity, compile_expression(rule.expression, known, context=context))
        for rule in invariants
        if rule.key not in ELSEWHERE
    )


def hold(run: Run, checks: tuple[Check, ...], node: Node, scope: Scope, at: At) -> None:
    """Report each of `checks` that does not hold for `node`. No result counts as holding."""
    for check in checks:
        if check.key in BEST_PRACTICE and not run.options.best_practice:
            continue
        try:
            found = check.expression.evaluate(node, variables=scope.variables, resolve=run.find)
        except Outcome as outcome:
            # Data of another shape than the rule counts on are an error of structure, told there.
            run.could_not_check(f"the rule {check.key}: {outcome.message}", at)
            continue
        if found and not all(result.value is True for result in found):
            severity = "error" if check.severity == "error" else "warning"
            run.add(severity, "invariant", f"the rule {check.key} does not hold", at)
