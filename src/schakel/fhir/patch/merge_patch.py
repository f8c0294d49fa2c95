"""JSON Merge Patch (RFC 7396) on a resource in JSON.

No version of FHIR names it, and each leaves servers free to take more kinds of patches than it names.
"""

from __future__ import annotations

from typing import Any

from schakel.fhir.json import Resource


def apply_merge_patch(resource: Resource, patch: Resource) -> Resource:
    """`resource` with the members of `patch`: objects are merged, null removes, anything else (arrays too) replaces.

    The input stays as it is. Nothing nests deeper, and nothing becomes larger, than the two together.
    """
    merged = dict(resource)
    for name, member in patch.items():
        if member is None:
            merged.pop(name, None)
        elif isinstance(member, dict):
            merged[name] = apply_merge_patch(_object(merged.get(name)), member)
        else:
            merged[name] = member
    return merged


def _object(value: Any) -> Resource:
    """What is merged into: another value than an object gives way (section 2)."""
    return value if isinstance(value, dict) else {}
