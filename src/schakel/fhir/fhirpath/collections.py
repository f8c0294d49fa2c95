"""Existence, subsetting, comparing collections, and FHIR's own functions on elements.

Sources: FHIRPath N1 2.0 sections 5.1, 5.3 and 5.8; FHIR R4, "Additional functions".
"""

from __future__ import annotations

from schakel.fhir.fhirpath.html import is_safe_narrative
from schakel.fhir.fhirpath.logic import unique
from schakel.fhir.fhirpath.nodes import EMPTY, Evaluation, Node, Nodes, boolean, integer, single
from schakel.fhir.fhirpath.registry import function, text, whole
from schakel.fhir.fhirpath.values import PRIMITIVES, SYSTEM, distinct, key
from schakel.kernel.outcomes import Invalid

_BOOLEAN = "System.Boolean"


@function("empty", result=_BOOLEAN)
def _empty(evaluation: Evaluation, nodes: Nodes) -> Nodes:
    return boolean(not nodes)


@function("count", result="System.Integer")
def _count(evaluation: Evaluation, nodes: Nodes) -> Nodes:
    return integer(len(nodes))


def _booleans(nodes: Nodes, name: str) -> list[bool]:
    for node in nodes:
        if not isinstance(node.value, bool):
            raise Invalid(f"FHIRPath: {name} needs booleans, not {node.type}", code="fhirpath-wrong-type")
    return [node.value for node in nodes]


@function("allTrue", result=_BOOLEAN)
def _all_true(evaluation: Evaluation, nodes: Nodes) -> Nodes:
    return boolean(all(_booleans(nodes, "allTrue()")))


@function("anyTrue", result=_BOOLEAN)
def _any_true(evaluation: Evaluation, nodes: Nodes) -> Nodes:
    return boolean(any(_booleans(nodes, "anyTrue()")))


@function("allFalse", result=_BOOLEAN)
def _all_false(evaluation: Evaluation, nodes: Nodes) -> Nodes:
    return boolean(not any(_booleans(nodes, "allFalse()")))


@function("anyFalse", result=_BOOLEAN)
def _any_false(evaluation: Evaluation, nodes: Nodes) -> Nodes:
    return boolean(not all(_booleans(nodes, "anyFalse()")))


def _keys(evaluation: Evaluation, nodes: Nodes) -> set[object]:
    evaluation.weigh(nodes)
    return set(map(key, nodes))


@function("subsetOf", 1, result=_BOOLEAN)
def _subset(evaluation: Evaluation, nodes: Nodes, other: Nodes) -> Nodes:
    return boolean(_keys(evaluation, nodes) <= _keys(evaluation, other))


@function("supersetOf", 1, result=_BOOLEAN)
def _superset(evaluation: Evaluation, nodes: Nodes, other: Nodes) -> Nodes:
    return boolean(_keys(evaluation, nodes) >= _keys(evaluation, other))


@function("distinct", result="same")
def _distinct(evaluation: Evaluation, nodes: Nodes) -> Nodes:
    return unique(evaluation, nodes)


@function("isDistinct", result=_BOOLEAN)
def _is_distinct(evaluation: Evaluation, nodes: Nodes) -> Nodes:
    return boolean(len(_keys(evaluation, nodes)) == len(nodes))


@function("single", result="same")
def _single(evaluation: Evaluation, nodes: Nodes) -> Nodes:
    single(nodes, "single()")
    return nodes


@function("first", result="same")
def _first(evaluation: Evaluation, nodes: Nodes) -> Nodes:
    return nodes[:1]


@function("last", result="same")
def _last(evaluation: Evaluation, nodes: Nodes) -> Nodes:
    return nodes[-1:]


@function("tail", result="same")
def _tail(evaluation: Evaluation, nodes: Nodes) -> Nodes:
    return nodes[1:]


@function("skip", 1, result="same")
def _skip(evaluation: Evaluation, nodes: Nodes, count: Nodes) -> Nodes:
    number = whole(count, "skip()")
    return EMPTY if number is None else nodes[max(number, 0) :]


@function("take", 1, result="same")
def _take(evaluation: Evaluation, nodes: Nodes, count: Nodes) -> Nodes:
    number = whole(count, "take()")
    return EMPTY if number is None else nodes[: max(number, 0)]


@function("intersect", 1, result="same")
def _intersect(evaluation: Evaluation, nodes: Nodes, other: Nodes) -> Nodes:
    evaluation.weigh(nodes)
    wanted = _keys(evaluation, other)
    return distinct(node for node in nodes if key(node) in wanted)


@function("exclude", 1, result="same")
def _exclude(evaluation: Evaluation, nodes: Nodes, other: Nodes) -> Nodes:
    evaluation.weigh(nodes)
    unwanted = _keys(evaluation, other)
    return [node for node in nodes if key(node) not in unwanted]


@function("extension", 1, result="Extension")
def _extension(evaluation: Evaluation, nodes: Nodes, url: Nodes) -> Nodes:
    wanted = text(url, "extension()")
    out: Nodes = []
    if wanted is None:
        return out
    for node in nodes:
        members = node.value if isinstance(node.value, dict) else node.extra
        found = members.get("extension") if members else None
        if not isinstance(found, list):
            continue
        evaluation.spend(len(found))
        for item in found:
            if isinstance(item, dict) and item.get("url") == wanted:
                out.append(Node(item, "Extension", None, node.owner))
    return out


@function("hasExtension", 1, result=_BOOLEAN)
def _has_extension(evaluation: Evaluation, nodes: Nodes, url: Nodes) -> Nodes:
    return boolean(bool(_extension(evaluation, nodes, url)))


def _is_valued(nodes: Nodes) -> bool:
    return (
        len(nodes) == 1
        and nodes[0].value is not None
        and (nodes[0].type in PRIMITIVES or not nodes[0].type)
        and not isinstance(nodes[0].value, dict)
    )


@function("hasValue", result=_BOOLEAN)
def _has_value(evaluation: Evaluation, nodes: Nodes) -> Nodes:
    return boolean(_is_valued(nodes))


@function("getValue")
def _get_value(evaluation: Evaluation, nodes: Nodes) -> Nodes:
    if not _is_valued(nodes):
        return EMPTY
    node = nodes[0]
    return [Node(node.value, SYSTEM.get(node.type, node.type))]


@function("htmlChecks", result=_BOOLEAN)
def _html_checks(evaluation: Evaluation, nodes: Nodes) -> Nodes:
    div = text(nodes, "htmlChecks()")
    return EMPTY if div is None else boolean(is_safe_narrative(div))


@function("checkModifiers", 1, 20, result="same")
def _check_modifiers(evaluation: Evaluation, nodes: Nodes, *known: Nodes) -> Nodes:
    """The input, when no item has a modifier extension but these. Raises `Invalid` when one has."""
    urls = {text(url, "checkModifiers()") for url in known}
    for node in nodes:
        found = node.value.get("modifierExtension") if isinstance(node.value, dict) else None
        for item in found if isinstance(found, list) else ():
            if not isinstance(item, dict) or item.get("url") not in urls:
                raise Invalid(
                    "FHIRPath: checkModifiers() found a modifier extension that the expression does not know",
                    code="fhirpath-unknown-modifier",
                )
    return nodes
