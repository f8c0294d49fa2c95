"""Hypothesis strategies for small resources that are sound by the definitions."""

from __future__ import annotations

from base64 import b64encode
from typing import Any

from hypothesis import strategies as st

from schakel.fhir import Definitions
from schakel.fhir.definitions import Element
from schakel.fhir.json import FhirDecimal

# Every character that XML has too; line ends and tabs included, since attributes must carry them.
_without = "".join(map(chr, [*range(9), 11, 12, *range(14, 32), 0xFFFE, 0xFFFF, *range(0xD800, 0xE000)]))
_characters = st.characters(exclude_characters=_without)
_text = st.text(_characters, min_size=1, max_size=12)
_date = st.dates().map(lambda d: d.isoformat())
_zoned = st.datetimes().map(lambda t: t.isoformat(timespec="milliseconds") + "+02:00")
_decimal = st.from_regex(r"\A-?(0|[1-9][0-9]{0,19})(\.[0-9]{1,8})?\Z").map(FhirDecimal)

PRIMITIVES: dict[str, st.SearchStrategy[Any]] = {
    "base64Binary": st.binary(min_size=1, max_size=9).map(lambda data: b64encode(data).decode()),
    "boolean": st.booleans(),
    "canonical": st.just("http://example.org/canonical|1.0"),
    "code": st.from_regex(r"\A[a-z&<]{1,6}( [a-z\"]{1,4})?\Z"),
    "date": _date,
    "dateTime": _date | _zoned,
    "decimal": _decimal,
    "id": st.from_regex(r"\A[A-Za-z0-9.-]{1,64}\Z"),
    "instant": _zoned,
    "integer": st.integers(-(2**31), 2**31 - 1),
    "markdown": _text,
    "oid": st.just("urn:oid:2.16.840.1.113883.2.4"),
    "positiveInt": st.integers(1, 2**31 - 1),
    "string": _text,
    "time": st.times().map(lambda t: t.isoformat(timespec="seconds")),
    "unsignedInt": st.integers(0, 2**31 - 1),
    "uri": st.just("http://example.org/?a=1&b=<2>"),
    "url": st.just("http://example.org/"),
    "uuid": st.uuids().map(lambda u: f"urn:uuid:{u}"),
    "xhtml": st.from_regex(r"\A[a-z ]{1,9}\Z").map(
        lambda text: f'<div xmlns="http://www.w3.org/1999/xhtml">{text}<br/>&amp;</div>'
    ),
}
"""A strategy for sound values of each primitive type."""


def resources(known: Definitions) -> st.SearchStrategy[dict[str, Any]]:
    """Resources of any type: required elements, and a few others, extensions of primitives among them."""
    return st.sampled_from(sorted(known.resource_types)).flatmap(lambda kind: _objects(kind, known, 3))


@st.composite
def _objects(draw: st.DrawFn, kind: str, known: Definitions, depth: int) -> dict[str, Any]:
    definition = known.types[kind]
    resource = definition.kind == "resource"
    out: dict[str, Any] = {"resourceType": kind} if resource else {}
    free = [e for e in definition.elements.values() if not e.min and e.name not in ("value", "extension")]
    few = draw(st.lists(st.sampled_from(free), max_size=3, unique_by=lambda e: e.name)) if depth > 0 else []
    if kind == "Extension":
        few = [e for e in few if e.name == "id"] + [definition.elements["value"]]
    wanted = [e for e in definition.elements.values() if e.min or e in few]
    for element in wanted or [next(e for e in free if e.name == "id")]:
        _fill(draw, out, element, known, depth - 1, resource)
    return out


def _fill(
    draw: st.DrawFn, out: dict[str, Any], element: Element, known: Definitions, depth: int, resource: bool
) -> None:
    types = [t for t in element.types if depth > 0 or t in PRIMITIVES] or list(element.types)
    kind = draw(st.sampled_from(types))
    name = element.name + kind[0].upper() + kind[1:] if element.choice else element.name
    size = draw(st.integers(1, 2)) if element.repeats else 1
    if kind in PRIMITIVES:
        bound = known.value_sets.get(element.binding) if kind == "code" else None
        codes = sorted({code for system in bound.values() for code in system}) if bound else []
        of_kind = "id" if resource and element.name == "id" else kind
        values = [draw(st.sampled_from(codes) if codes else PRIMITIVES[of_kind]) for _ in range(size)]
        out[name] = values if element.repeats else values[0]
        if depth > 0 and element.name not in ("id", "url") and kind != "xhtml" and draw(st.booleans()):
            extra = {"extension": [{"url": "http://example.org/why", "valueCode": "unknown"}]}
            if element.repeats:
                out[f"_{name}"] = [*[None] * (size - 1), extra]
                if size > 1:
                    out[name][-1] = None
            else:
                out[f"_{name}"] = extra
                if draw(st.booleans()):
                    del out[name]
    elif known.types[kind].kind == "resource":
        value = draw(_objects("Basic", known, 0))
        out[name] = [value] if element.repeats else value
    else:
        items = [draw(_objects(kind, known, depth)) for _ in range(size)]
        out[name] = items if element.repeats else items[0]
