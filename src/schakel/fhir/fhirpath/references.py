"""References: the type a reference names, and the resource it leads to.

Sources: FHIR 2.3 "References" (STU3 and R4), FHIRPath in FHIR: `resolve()`.
"""

from __future__ import annotations

from typing import Any

from schakel.fhir.fhirpath.model import Model
from schakel.fhir.fhirpath.nodes import Evaluation, Node, Nodes, Resource


def reference_text(node: Node) -> str | None:
    """What a Reference, a uri or a string refers to."""
    value = node.value
    if type(value) is dict:
        value = value.get("reference")
    return value if isinstance(value, str) else None


def type_and_id(reference: str) -> tuple[str, str] | None:
    """Type and id of `Patient/1`, `https://host/fhir/Patient/1` and both with `/_history/2`."""
    parts = reference.split("/")
    if len(parts) > 3 and parts[-2] == "_history":
        parts = parts[:-2]
    return (parts[-2], parts[-1]) if len(parts) > 1 and parts[-1] else None


def target_type(model: Model, evaluation: Evaluation, node: Node) -> str | None:
    """The type of resource that `node` refers to, from the reference itself where that tells it."""
    reference = reference_text(node)
    if reference is not None and not reference.startswith("#"):
        named = type_and_id(reference)
        if named is not None and named[0] in model.resource_types:
            return named[0]
    if type(node.value) is dict:
        stated = node.value.get("type")
        if isinstance(stated, str) and stated in model.resource_types:
            return stated
    target = find(evaluation, node, reference) if reference else None
    return None if target is None else model.resource_type(target)


def resolve(model: Model, evaluation: Evaluation, nodes: Nodes) -> Nodes:
    """The resources that `nodes` refer to; what is not found is left out."""
    out: Nodes = []
    for node in nodes:
        reference = reference_text(node)
        target = find(evaluation, node, reference) if reference else None
        if target is not None:
            owner = node.owner if reference is not None and reference.startswith("#") else target
            out.append(Node(target, model.resource_type(target), None, owner))
    return out


def find(evaluation: Evaluation, node: Node, reference: str) -> Resource | None:
    """The resource: contained beside the reference, in the Bundle at the root, or from the caller."""
    if reference.startswith("#"):
        return _contained(evaluation, node.owner, reference[1:])
    if evaluation.bundle is None:
        evaluation.bundle = _entries(evaluation.root.owner)
    found = evaluation.bundle.get(reference)
    if found is None and (named := type_and_id(reference)) is not None:
        found = evaluation.bundle.get("/".join(named))
    if found is None and evaluation.resolve is not None:
        found = evaluation.resolve(reference)
    return found


def _contained(evaluation: Evaluation, owner: Resource | None, id: str) -> Resource | None:
    if owner is None or not id:
        return owner
    contained = owner.get("contained")
    if not isinstance(contained, list):
        return None
    evaluation.spend(len(contained))
    for resource in contained:
        if isinstance(resource, dict) and resource.get("id") == id:
            return resource
    return None


def _entries(root: Resource | None) -> dict[str, Resource]:
    """Resources of a Bundle by full URL and by `Type/id`; the first of each wins."""
    found: dict[str, Resource] = {}
    if root is None or root.get("resourceType") != "Bundle":
        return found
    entries: Any = root.get("entry")
    for entry in entries if isinstance(entries, list) else ():
        resource = entry.get("resource") if isinstance(entry, dict) else None
        if not isinstance(resource, dict):
            continue
        url = entry.get("fullUrl")
        if isinstance(url, str):
            found.setdefault(url, resource)
            named = type_and_id(url)
            if named is not None:
                found.setdefault("/".join(named), resource)
        if "id" in resource:
            found.setdefault(f"{resource.get('resourceType')}/{resource['id']}", resource)
    return found
