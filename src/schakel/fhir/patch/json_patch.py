"""JSON Patch (RFC 6902) on a resource in JSON."""

from __future__ import annotations

from typing import Any

import jsonpatch
import jsonpointer

from schakel.fhir.json import Resource
from schakel.fhir.patch.documents import copy_of, measure
from schakel.fhir.patch.limits import DEFAULT, PatchLimits
from schakel.kernel.outcomes import Invalid, Outcome, PreconditionFailed, TooCostly, Unprocessable

MAX_GROWTH = 1_000_000
"""JSON values that the operations of one patch may add by copying."""

_NEEDED = {
    "add": ("path", "value"),
    "remove": ("path",),
    "replace": ("path", "value"),
    "move": ("from", "path"),
    "copy": ("from", "path"),
    "test": ("path", "value"),
}


def apply_json_patch(resource: Resource, operations: object, limits: PatchLimits = DEFAULT) -> Resource:
    """`resource` with `operations`, the parsed array of RFC 6902, applied in order; the input stays as it is.

    Raises `Invalid` for what is no JSON Patch, `Unprocessable` where it does not fit this resource,
    `PreconditionFailed` for a `test` that does not hold and `TooCostly`; each names the operation, counted from 0.
    """
    if not isinstance(operations, list):
        raise Invalid("a JSON Patch is an array of operations (RFC 6902)", code="patch-invalid")
    limits.check_length(len(operations))
    document: Any = copy_of(resource)
    growth = 0
    for index, operation in enumerate(operations):
        name = f"operation {index}"
        _check_form(operation, name)
        name = f"{name} ({operation['op']} {_shown(operation['path'])})"
        try:
            growth += _growth(document, operation, name, limits.depth)
            if growth > MAX_GROWTH:
                raise TooCostly(f"{name}: the patch makes the resource too large by copying")
            document = jsonpatch.JsonPatch([operation]).apply(document, in_place=True)
        except jsonpatch.JsonPatchTestFailed:
            raise PreconditionFailed(
                f"{name}: the value there is another; nothing is changed", code="patch-test-failed"
            ) from None
        except (jsonpatch.JsonPatchConflict, jsonpointer.JsonPointerException) as error:
            raise _misfit(f"{name}: no such place in the resource: {error}") from None
        except jsonpatch.JsonPatchException as error:
            raise Invalid(f"{name}: {error}", code="patch-invalid") from None
    if not isinstance(document, dict):
        raise _misfit("the patch leaves no resource: it replaces the whole by something else")
    return document


def _check_form(operation: object, name: str) -> None:
    """Raises `Invalid` for what is not one operation; other members than its own are ignored (section 4)."""
    if not isinstance(operation, dict):
        raise Invalid(f"{name}: an operation is an object", code="patch-invalid")
    op = operation.get("op")
    needed = _NEEDED.get(op) if isinstance(op, str) else None
    if needed is None:
        raise Invalid(f"{name}: op must be one of {', '.join(_NEEDED)}", code="patch-invalid")
    for member in needed:
        if member not in operation:
            raise Invalid(f"{name}: {op} needs {member!r}", code="patch-invalid")
        if member != "value":
            if not isinstance(operation[member], str):
                raise Invalid(f"{name}: {member!r} is a JSON Pointer in a string", code="patch-invalid")
            try:
                jsonpointer.JsonPointer(operation[member])
            except jsonpointer.JsonPointerException as error:
                message = f"{name}: {member!r} is no JSON Pointer: {error}"
                raise Invalid(message, code="patch-invalid") from None


def _growth(document: object, operation: dict[str, Any], name: str, most: int) -> int:
    """How many values `copy` adds; also refuses what would nest deeper than a resource may."""
    op = operation["op"]
    if op in ("add", "replace"):
        moved = operation["value"]
    elif op in ("copy", "move"):
        moved = jsonpointer.JsonPointer(operation["from"]).resolve(document)
    else:
        return 0
    values, depth = measure(moved)
    if depth + len(jsonpointer.JsonPointer(operation["path"]).parts) > most:
        raise _misfit(
            f"{name}: the resource becomes nested too deep: at most {most} levels (setting limits.depth)"
        )
    return values if op == "copy" else 0


def _shown(path: str) -> str:
    return "".join(c if c.isprintable() else "?" for c in path[:200])


def _misfit(message: str) -> Outcome:
    return Unprocessable(message, code="patch-misfit", issue="processing")
