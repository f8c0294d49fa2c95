"""What the StructureDefinition of an extension says about it, in the form of the tables."""

from __future__ import annotations

from typing import Any

Json = dict[str, Any]

FHIR_TYPE = "http://hl7.org/fhir/StructureDefinition/structuredefinition-fhir-type"
ANY_TYPE = 30
"""From so many value types on an extension takes any."""


def type_code(entry: Json) -> str:
    """The name of the type in an entry of `ElementDefinition.type`."""
    for extension in entry.get("extension", []):
        if extension["url"] == FHIR_TYPE:
            return str(extension.get("valueUrl") or extension.get("valueString"))
    code = str(entry["code"])
    return "string" if code.startswith("http://hl7.org/fhirpath/System.") else code


def extension_table(definition: Json) -> Json:
    """An extension: c(ontexts, elements where it may stand), y (modifier), and what `_held` gives.

    Raises `KeyError`, `TypeError` or `AttributeError` for a definition that lacks what is needed.
    """
    elements = (definition.get("snapshot") or definition["differential"])["element"]
    contexts = definition.get("context", [])
    places = [c if isinstance(c, str) else f"{c['type']}:{c['expression']}" for c in contexts]
    if definition.get("contextType") not in (None, "resource", "datatype"):
        places = [f"{definition['contextType']}:{place}" for place in places]
    out: Json = {"c": [place.removeprefix("element:") for place in places]}
    if elements[0].get("isModifier"):
        out["y"] = 1
    return out | _held(elements, elements[0]["id"])


def _held(elements: list[Json], root: str) -> Json:
    """What the extension with element id `root` holds: v(alue types; absent for any), n(ested extensions by url,
    each with a(t least), m(ost, 0 = no limit) and the same again)."""
    by_id = {e["id"]: e for e in elements}
    nested: Json = {}
    for raw in elements:
        name = raw["id"].removeprefix(f"{root}.extension:")
        if name == raw["id"] or "." in name:
            continue
        url = by_id.get(f"{raw['id']}.url", {}).get("fixedUri")
        if url:
            most = raw.get("max", "*")
            nested[url] = {"a": raw.get("min", 0), "m": 0 if most == "*" else int(most)}
            nested[url] |= _held(elements, raw["id"])
    if nested:
        return {"n": nested}
    prefix = f"{root}.value"
    values = [e for e in elements if e["id"].startswith(prefix) and "." not in e["id"][len(prefix) :]]
    types = sorted({type_code(t) for e in values if e.get("max") != "0" for t in e.get("type", [])})
    return {"v": types} if 0 < len(types) < ANY_TYPE else {}
