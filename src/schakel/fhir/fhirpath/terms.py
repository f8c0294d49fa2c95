"""Functions that ask the caller's profiles and terminology (FHIR R4, FHIRPath "Additional functions").

Without someone who answers they are an error, never false: nothing was checked.
"""

from __future__ import annotations

from schakel.fhir.fhirpath.nodes import EMPTY, Evaluation, Nodes, boolean, single
from schakel.fhir.fhirpath.registry import function, text
from schakel.fhir.fhirpath.services import Terminology
from schakel.kernel.outcomes import Invalid, NotSupported

_BOOLEAN = "System.Boolean"


def _unchecked(name: str, what: str) -> NotSupported:
    return NotSupported(
        f"FHIRPath: {name} could not be checked: there are no {what} here", code="fhirpath-not-supported"
    )


def _terminology(evaluation: Evaluation, name: str) -> Terminology:
    if evaluation.terminology is None:
        raise _unchecked(name, "code systems")
    return evaluation.terminology


@function("conformsTo", 1, result=_BOOLEAN)
def _conforms_to(evaluation: Evaluation, nodes: Nodes, profile: Nodes) -> Nodes:
    node, url = single(nodes, "conformsTo()"), text(profile, "conformsTo()")
    if node is None or url is None:
        return EMPTY
    if not isinstance(node.value, dict):
        raise Invalid("FHIRPath: conformsTo() is for a resource or a structure", code="fhirpath-wrong-type")
    if evaluation.profiles is None:
        raise _unchecked("conformsTo()", "profiles")
    return boolean(evaluation.profiles.conforms(node.value, url))


@function("memberOf", 1, result=_BOOLEAN)
def _member_of(evaluation: Evaluation, nodes: Nodes, value_set: Nodes) -> Nodes:
    node, url = single(nodes, "memberOf()"), text(value_set, "memberOf()")
    if node is None or url is None:
        return EMPTY
    return boolean(_terminology(evaluation, "memberOf()").member_of(node, url))


@function("subsumes", 1, result=_BOOLEAN)
def _subsumes(evaluation: Evaluation, nodes: Nodes, other: Nodes) -> Nodes:
    ancestor, descendant = single(nodes, "subsumes()"), single(other, "subsumes()")
    if ancestor is None or descendant is None:
        return EMPTY
    return boolean(_terminology(evaluation, "subsumes()").subsumes(ancestor, descendant))


@function("subsumedBy", 1, result=_BOOLEAN)
def _subsumed_by(evaluation: Evaluation, nodes: Nodes, other: Nodes) -> Nodes:
    descendant, ancestor = single(nodes, "subsumedBy()"), single(other, "subsumedBy()")
    if ancestor is None or descendant is None:
        return EMPTY
    return boolean(_terminology(evaluation, "subsumedBy()").subsumes(ancestor, descendant))
