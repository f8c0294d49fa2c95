"""Boolean connectives, equality and union as code (FHIRPath N1 2.0, sections 6.1, 6.4.1 and 6.5)."""

from __future__ import annotations

from collections.abc import Callable

from schakel.fhir.fhirpath.nodes import EMPTY, FALSE, TRUE, Evaluation, Node, Nodes, Run, boolean
from schakel.fhir.fhirpath.values import distinct, equal, equal_collections, system_type


def connective(operator: str, left: Run, right: Run, truth: Callable[[Nodes], bool | None]) -> Run:
    """`and`, `or`, `xor` or `implies` in three-valued logic; the right side runs only when it matters."""

    def both(evaluation: Evaluation, focus: Nodes) -> Nodes:
        a = truth(left(evaluation, focus))
        if a is False:
            return FALSE
        b = truth(right(evaluation, focus))
        return FALSE if b is False else EMPTY if a is None or b is None else TRUE

    def either(evaluation: Evaluation, focus: Nodes) -> Nodes:
        a = truth(left(evaluation, focus))
        if a is True:
            return TRUE
        b = truth(right(evaluation, focus))
        return TRUE if b is True else EMPTY if a is None or b is None else FALSE

    def one(evaluation: Evaluation, focus: Nodes) -> Nodes:
        a, b = truth(left(evaluation, focus)), truth(right(evaluation, focus))
        return EMPTY if a is None or b is None else boolean(a is not b)

    def implied(evaluation: Evaluation, focus: Nodes) -> Nodes:
        a = truth(left(evaluation, focus))
        if a is False:
            return TRUE
        b = truth(right(evaluation, focus))
        return TRUE if b is True else EMPTY if a is None or b is None else FALSE

    return {"and": both, "or": either, "xor": one, "implies": implied}[operator]


def equality(left: Run, right: Run, wanted: bool) -> Run:
    """`=`, or `!=` when not `wanted`."""

    def compare(evaluation: Evaluation, focus: Nodes) -> Nodes:
        a = left(evaluation, focus)
        if not a:
            return EMPTY
        b = right(evaluation, focus)
        if not b:
            return EMPTY
        if evaluation.steps is not None:
            evaluation.weigh(a, b)
        same = equal(a[0], b[0]) if len(a) == len(b) == 1 else equal_collections(a, b)
        return EMPTY if same is None else boolean(same is wanted)

    return compare


def equals_text(left: Run, text: str, wanted: bool) -> Run:
    """`=` or `!=` with a string that is written out: the commonest comparison."""
    constant = [Node(text, "System.String")]

    def compare(evaluation: Evaluation, focus: Nodes) -> Nodes:
        nodes = left(evaluation, focus)
        if not nodes:
            return EMPTY
        if len(nodes) == 1:
            node = nodes[0]
            if system_type(node) == "System.String":
                return TRUE if (node.value == text) is wanted else FALSE
            same = equal(node, constant[0])
            return EMPTY if same is None else boolean(same is wanted)
        return boolean(not wanted)

    return compare


def unique(evaluation: Evaluation, nodes: Nodes) -> Nodes:
    """`nodes`, every item once."""
    if len(nodes) < 2:
        return nodes
    evaluation.weigh(nodes)
    return distinct(nodes)


def union(runs: list[Run]) -> Run:
    """`|` of all these: every item once."""
    first = runs[0]

    def alone(evaluation: Evaluation, focus: Nodes) -> Nodes:
        return unique(evaluation, first(evaluation, focus))

    def together(evaluation: Evaluation, focus: Nodes) -> Nodes:
        nodes: Nodes = []
        for run in runs:
            nodes += run(evaluation, focus)
        return unique(evaluation, nodes)

    return alone if len(runs) == 1 else together
