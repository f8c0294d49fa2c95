"""Environment variables: `%resource` and its like (FHIR R4, FHIRPath "Variables"), and the caller's own."""

from __future__ import annotations

from decimal import Decimal

from schakel.fhir.fhirpath.model import Model
from schakel.fhir.fhirpath.nodes import Evaluation, Node, Nodes, Run
from schakel.fhir.fhirpath.units import UCUM, Quantity
from schakel.kernel.outcomes import Invalid

_CONSTANTS = {
    "sct": "http://snomed.info/sct",
    "loinc": "http://loinc.org",
    "ucum": UCUM,
}
_PREFIXES = {
    "vs-": "http://hl7.org/fhir/ValueSet/",
    "ext-": "http://hl7.org/fhir/StructureDefinition/",
}


def variable(model: Model, name: str) -> Run:
    """Code of `%name`. The caller's variables come first; running raises `Invalid` for a name nobody gave."""
    constant = _CONSTANTS.get(name)
    for prefix, url in _PREFIXES.items():
        if name.startswith(prefix):
            constant = url + name.removeprefix(prefix)
    fixed = None if constant is None else [Node(constant, "System.String")]

    def look_up(evaluation: Evaluation, focus: Nodes) -> Nodes:
        given = evaluation.variables
        if given is not None and name in given:
            return _collection(model, given[name])
        if fixed is not None:
            return fixed
        if name in ("context", "resource", "rootResource"):
            return _resource(model, evaluation, name)
        raise Invalid(f"FHIRPath: the variable %{name} is not defined", code="fhirpath-unknown-variable")

    return look_up


def _resource(model: Model, evaluation: Evaluation, name: str) -> Nodes:
    """Without the caller's word: the resource that the root is or lies in.

    A contained resource is its own `%resource`, and its container the `%rootResource`; STU3 skips contained
    resources. For an element inside a contained resource only the caller knows which one that is.
    """
    root = evaluation.root
    if name == "context":
        return [root]
    given = evaluation.variables or {}
    if name == "rootResource" and "resource" in given:
        return _collection(model, given["resource"])
    own = name == "resource" and not model.draft and root.type in model.resource_types
    if own or root.owner is None or root.owner is root.value:
        return [root]
    return [model.root(root.owner, None)]


def _collection(model: Model, value: object) -> Nodes:
    """A caller's value as a collection: nodes, resources, plain values, or a list of these."""
    if value is None:
        return []
    if isinstance(value, list | tuple):
        return [node for item in value for node in _collection(model, item)]
    if isinstance(value, Node):
        return [value]
    if isinstance(value, dict):
        return [model.root(value, None)]
    for kind, type in (
        (bool, "System.Boolean"),
        (int, "System.Integer"),
        (Decimal, "System.Decimal"),
        (Quantity, "System.Quantity"),
    ):
        if isinstance(value, kind):
            return [Node(value, type)]
    return [Node(str(value), "System.String")]
