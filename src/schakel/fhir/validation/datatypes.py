"""Rules that the specification has in words for single data types."""

from __future__ import annotations

import binascii
from collections.abc import Callable, Mapping
from typing import Any

from schakel.fhir.places import At
from schakel.fhir.validation.run import Run, text
from schakel.fhir.validation.uris import SCHEME, uri_problem
from schakel.fhir.xml.narrative import div_of


def attachment(run: Run, value: dict[str, Any], at: At) -> None:
    """`size` is the number of bytes in `data` (datatypes.html, "Attachment")."""
    data, size = value.get("data"), value.get("size")
    if not isinstance(data, str) or type(size) is not int:
        return
    try:
        length = len(binascii.a2b_base64("".join(data.split()), strict_mode=True))
    except ValueError:
        return
    if length != size:
        run.error("value", f"size says {size} bytes, data are {length} bytes", at)


def coding(run: Run, value: dict[str, Any], at: At) -> None:
    """`system` is an absolute URI of a code system (datatypes.html, "Coding")."""
    system = text(value.get("system"))
    if system and not SCHEME(system):
        run.error("value", "the system of a code is an absolute URI", (at, "system", None))
    elif system.startswith("http://hl7.org/fhir/ValueSet/"):
        run.error("value", "the system of a code is a code system, not a value set", (at, "system", None))
    else:
        _known_code(run, system, value, at)


_GROWING = ("http://terminology.hl7.org/", "http://hl7.org/fhir/v2/", "http://hl7.org/fhir/v3/")
"""Code systems with releases of their own, which may have codes that the specification did not know."""


def _known_code(run: Run, system: str, value: dict[str, Any], at: At) -> None:
    codes = run.known.code_systems.get(system)
    code = value.get("code")
    if codes is None or not isinstance(code, str) or code in codes or "version" in value:
        return
    severity = "warning" if system.startswith(_GROWING) else "error"
    run.add(severity, "code-invalid", f"the code system {system} has no such code", (at, "code", None))


def identifier(run: Run, value: dict[str, Any], at: At) -> None:
    """`system` is an absolute URI; with urn:ietf:rfc:3986 the value is one too (datatypes.html, "Identifier")."""
    system, held = text(value.get("system")), text(value.get("value"))
    if system and not SCHEME(system):
        run.error("value", "the system of an identifier is an absolute URI", (at, "system", None))
    elif system == "urn:ietf:rfc:3986" and held:
        problem = "the value must be a full URI" if not SCHEME(held) else uri_problem(held)
        if problem:
            run.error("value", problem, (at, "value", None))


_LINKS = frozenset({"http", "https", "ftp", "mailto", "tel", "cid"})
_IMAGES = frozenset({"http", "https", "data", "cid"})


def narrative(run: Run, value: dict[str, Any], at: At) -> None:
    """Links in a narrative lead to addresses, not to what a reader's program would run (narrative.html)."""
    if not isinstance(value.get("div"), str):
        return
    try:
        div = div_of(value["div"])
    except ValueError:
        return
    for element in div.iter():
        for name, allowed in (("href", _LINKS), ("src", _IMAGES)):
            link = str(element.get(name) or "").strip()
            scheme, colon, _ = link.partition(":")
            if colon and scheme.lower() not in allowed and not set("/?#") & set(scheme):
                message = f"a link of the kind {scheme[:40]!r} may not stand in a narrative"
                run.error("business-rule", message, (at, "div", None))


def include(run: Run, value: dict[str, Any], at: At) -> None:
    """`system` is the absolute URI of a code system (valueset.html)."""
    if text(value.get("system")) and not SCHEME(text(value.get("system"))):
        run.error("value", "the system of the codes is an absolute URI", (at, "system", None))


BY_TYPE: Mapping[str, Callable[[Run, dict[str, Any], At], None]] = {
    "Attachment": attachment,
    "Coding": coding,
    "ValueSet.compose.include": include,
    "Identifier": identifier,
    "Narrative": narrative,
}
