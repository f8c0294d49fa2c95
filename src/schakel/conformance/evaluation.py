"""FHIRPath, and XPath where a script still uses it, over what was sent and received.

Scripts are written for a lenient engine: in a boolean place anything that is not empty and not `false` is
true. Compiled expressions are kept, because a suite repeats the same hundred over every response.
"""

from __future__ import annotations

import re
from functools import lru_cache

from lxml import etree

from schakel.conformance.script import parse_xml
from schakel.fhir.definitions import Definitions, Version, definitions
from schakel.fhir.fhirpath import Expression, Node, compile_expression
from schakel.fhir.json import FhirDecimal, Resource, dump
from schakel.kernel.outcomes import NotSupported, Outcome


class CannotEvaluateError(Exception):
    """This side could not work out an expression: it says nothing about the peer."""


class BeyondEngineError(CannotEvaluateError):
    """The expression uses a part of the language that this program does not have."""


@lru_cache(maxsize=8192)
def _compiled(text: str, version: Version) -> Expression:
    return compile_expression(text, definitions(version), lenient=True)


def nodes(text: str, resource: Resource, known: Definitions) -> list[Node]:
    """What the expression selects in `resource`. Raises `CannotEvaluateError`."""
    try:
        return _compiled(text, known.version).evaluate(resource)
    except NotSupported as error:
        raise BeyondEngineError(error.message) from error
    except Outcome as error:
        raise CannotEvaluateError(error.message) from error
    except RecursionError as error:
        raise CannotEvaluateError("the expression or the resource is nested too deeply") from error


def holds(text: str, resource: Resource, known: Definitions) -> bool:
    """Whether the expression is true of `resource`, read leniently."""
    found = nodes(text, resource, known)
    if len(found) == 1 and isinstance(found[0].value, bool):
        return found[0].value
    return bool(found)


def values(text: str, resource: Resource, known: Definitions) -> list[str]:
    """The selected values as text; a complex one as its JSON."""
    return [shown(node.value) for node in nodes(text, resource, known)]


def shown(value: object) -> str:
    """A JSON value as the text a script compares it with."""
    if isinstance(value, bool):
        return "true" if value else "false"
    if isinstance(value, FhirDecimal):
        return value.text
    if isinstance(value, dict | list):
        return dump(value).decode()
    return "" if value is None else str(value)


def path_values(path: str, xml: bytes) -> list[str]:
    """What an XPath selects; the prefixes `f` and `fhir` are FHIR, and a path begins above the resource.

    Raises `CannotEvaluateError`.
    """
    if path.startswith(("$", ".")) and not path.startswith("./"):
        raise BeyondEngineError(f"JSONPath is not supported: {path}")
    spaces = {"f": "http://hl7.org/fhir", "fhir": "http://hl7.org/fhir"}
    try:
        tree = etree.ElementTree(parse_xml(xml, "the document"))
        found = tree.xpath(re.sub(r"^(?=(f|fhir):)", "/", path), namespaces=spaces)
    except (etree.XPathError, Outcome) as error:
        raise CannotEvaluateError(f"the path '{path}' cannot be evaluated: {error}") from error
    if isinstance(found, list):
        return [_text(one) for one in found]
    return [shown(int(found) if isinstance(found, float) and found.is_integer() else found)]


def _text(found: object) -> str:
    """The value of a FHIR element, the text of another, or an attribute's value."""
    if not isinstance(found, etree._Element):
        return str(found)
    value = found.get("value")
    return "".join(map(str, found.itertext())) if value is None else value
