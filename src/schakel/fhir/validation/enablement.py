"""Whether a question is to be answered, given the other answers (`enableWhen`)."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

from schakel.fhir.fhirpath import Node, compile_expression
from schakel.fhir.json import Resource
from schakel.fhir.validation.run import Run, dicts, text
from schakel.kernel.outcomes import Outcome

EXPRESSION = "http://hl7.org/fhir/uv/sdc/StructureDefinition/sdc-questionnaire-enableWhenExpression"


@dataclass(frozen=True, slots=True)
class Occurrence:
    """An item of the response, or the response itself, and the one around it."""

    item: dict[str, Any]
    around: Occurrence | None


def value_of(held: dict[str, Any], name: str) -> tuple[str, Any] | None:
    """Type and value of a choice element such as `value[x]`; None without one that has the shape of its type."""
    for key, value in held.items():
        if key.startswith(name) and key[len(name) : len(name) + 1].isupper():
            kind = key[len(name) :]
            if kind in _COMPLEX:
                return (kind, value) if isinstance(value, dict) else None
            return kind[0].lower() + kind[1:], value
    return None


_OPERATORS = frozenset({"=", "!=", ">", "<", ">=", "<="})
"""Those that compare; a condition with another word cannot be judged, which its binding says."""

_COMPLEX = frozenset({"Coding", "Quantity", "Reference", "Attachment"})


def compare(run: Run, operator: str, a: tuple[str, Any], b: tuple[str, Any]) -> bool | None:
    """`a operator b` as FHIRPath has it; None when the two cannot be compared."""
    if a[0] == b[0] == "Coding" and operator in ("=", "!="):
        same = all(a[1].get(part) == b[1].get(part) for part in ("system", "code"))
        return same is (operator == "=")
    expression = compile_expression(f"%a {operator} %b", run.known)
    variables = {"a": Node(a[1], a[0]), "b": Node(b[1], b[0])}
    try:
        found = expression.evaluate(run.root, variables=variables, steps=run.options.expression_steps)
    except Outcome:
        return None
    return bool(found[0].value) if found else None


class Enablement:
    """Works out `enableWhen` for one response."""

    def __init__(self, run: Run, response: Resource, questionnaire: Resource) -> None:
        self._run = run
        self._response = response
        self._questionnaire = questionnaire

    def enabled(self, question: dict[str, Any], around: Occurrence) -> bool:
        """Whether `question` is enabled within the occurrence `around`, which is enabled itself."""
        for extension in dicts(question.get("extension")):
            expression = extension.get("valueExpression")
            if extension.get("url") == EXPRESSION and isinstance(expression, dict):
                return self._holds(text(expression.get("expression")), around)
        conditions = dicts(question.get("enableWhen"))
        if not conditions:
            return True
        met = (self._met(condition, around) for condition in conditions)
        return all(met) if question.get("enableBehavior") == "all" else any(met)

    def _holds(self, expression: str, around: Occurrence) -> bool:
        """Whether an expression holds; one that cannot be run enables the item."""
        try:
            found = compile_expression(expression, self._run.known).evaluate(
                self._response,
                variables={
                    "resource": self._response,
                    "questionnaire": self._questionnaire,
                    "context": around.item,
                },
                steps=self._run.options.expression_steps,
            )
        except Outcome:
            return True
        return bool(found) and all(node.value is True for node in found)

    def _met(self, condition: dict[str, Any], around: Occurrence) -> bool:
        answers = list(self._answers(text(condition.get("question")), around))
        operator = text(condition.get("operator")) or "="
        if "hasAnswer" in condition or operator == "exists":
            wanted = condition.get("hasAnswer", condition.get("answerBoolean"))
            return bool(answers) is wanted
        expected = value_of(condition, "answer")
        if expected is None:
            return True
        if operator not in _OPERATORS:
            return True
        if operator == "!=":
            return bool(answers) and all(compare(self._run, "=", a, expected) is False for a in answers)
        return any(compare(self._run, operator, answer, expected) is True for answer in answers)

    def _answers(self, name: str, around: Occurrence) -> Iterator[tuple[str, Any]]:
        """The answers to the question `name` that stand nearest, going outwards."""
        here: Occurrence | None = around
        while here is not None:
            items = [item for item in _below(here.item) if item.get("linkId") == name]
            if here.item.get("linkId") == name:
                items.append(here.item)
            if items:
                for item in items:
                    for answer in dicts(item.get("answer")):
                        value = value_of(answer, "value")
                        if value is not None:
                            yield value
                return
            here = here.around


def _below(item: dict[str, Any]) -> Iterator[dict[str, Any]]:
    waiting = [item]
    while waiting:
        holder = waiting.pop()
        inner = dicts(holder.get("item"))
        yield from inner
        waiting.extend(inner)
        waiting.extend(dicts(holder.get("answer")))
