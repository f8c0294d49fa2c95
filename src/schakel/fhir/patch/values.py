"""The `value` part of a FHIRPath Patch operation as what stands in the resource.

It is a data type in `value[x]`, a resource, or, for what neither can hold (a backbone element, an extension),
nested parts, each named after the element it holds.
"""

from __future__ import annotations

from typing import Any, NamedTuple

from schakel.fhir.definitions import Definitions, Element
from schakel.fhir.patch.documents import copy_of
from schakel.fhir.primitives import form_of
from schakel.kernel.outcomes import Invalid, Unprocessable


class Value(NamedTuple):
    """A value for the JSON member `key`; `extra` is the `_name` part of a primitive."""

    key: str
    value: Any
    extra: dict[str, Any] | None = None


def value_of(part: dict[str, Any], element: Element, known: Definitions) -> Value:
    """What `part` holds, as an occurrence of `element`.

    A primitive may come as another one of the same JSON type (a `valueString` for a code). Raises `Invalid`
    for a part without one value, `Unprocessable` when the element cannot be of its type.
    """
    if "resource" in part:
        if not isinstance(part["resource"], dict) or "Resource" not in element.types:
            raise _misfit(f"{element.name} holds no resource")
        return Value(element.name, copy_of(part["resource"]))
    if "part" in part:
        return _composed(part, element, known)
    value_types = known.types["Parameters.parameter"].by_json_name
    names = {name.removeprefix("_") for name in part} - {"name", "id", "extension"}
    name = next(iter(names), "")
    if len(names) != 1 or name not in value_types:
        raise Invalid("the part 'value' has one value, or parts", code="patch-invalid")
    given = value_types[name][1]
    wanted = _fitting(given, element, known)
    key = element.name + wanted[0].upper() + wanted[1:] if element.choice else element.name
    extra = part.get("_" + name)
    return Value(key, copy_of(part.get(name)), copy_of(extra) if isinstance(extra, dict) else None)


def _fitting(given: str, element: Element, known: Definitions) -> str:
    """The type of the element that a value of type `given` has. Raises `Unprocessable`."""
    if given in element.types:
        return given
    if not element.choice:
        [wanted] = element.types[:1]
        if known.is_a(given, wanted) or known.is_a(wanted, given):
            return wanted
        both = known.types[given].kind, known.types[wanted].kind
        if both == ("primitive-type", "primitive-type") and form_of(given) == form_of(wanted):
            return wanted
    raise _misfit(f"{element.name} is a {' or '.join(element.types[:5])}, not a {given}")


def _composed(part: dict[str, Any], element: Element, known: Definitions) -> Value:
    if element.choice or known.types[element.types[0]].kind in ("primitive-type", "resource"):
        raise _misfit(f"{element.name} takes a value, not parts")
    definition = known.types[element.types[0]]
    out: dict[str, Any] = {}
    parts = part["part"]
    for inner in parts if isinstance(parts, list) else ():
        name = inner.get("name") if isinstance(inner, dict) else None
        if not isinstance(name, str):
            raise Invalid("every part has a name", code="patch-invalid")
        child = definition.elements.get(name) or definition.by_json_name.get(name, (None, ""))[0]
        if child is None:
            raise _misfit(f"{definition.name} has no element {name[:64]!r}")
        key, value, extra = value_of(inner, child, known)
        if not child.repeats:
            if key in out or "_" + key in out:
                raise _misfit(f"{name} may stand once")
            out.update({k: v for k, v in ((key, value), ("_" + key, extra)) if v is not None})
            continue
        before = max(len(out.get(key, ())), len(out.get("_" + key, ())))
        out.setdefault(key, [None] * before).append(value)
        if extra or "_" + key in out:
            out.setdefault("_" + key, [None] * before).append(extra)
    if not out:
        raise Invalid("the part 'value' has one value, or parts", code="patch-invalid")
    return Value(element.name, out)


def _misfit(message: str) -> Unprocessable:
    return Unprocessable(message, code="patch-misfit", issue="processing")
