"""The JSON shape as XML, put together as text; only narratives pass through a tree of elements."""

from __future__ import annotations

import re
from decimal import Decimal
from typing import Any

from lxml import etree

from schakel.fhir.definitions import Definitions
from schakel.fhir.json import Resource
from schakel.fhir.xml.narrative import div_of, text_of
from schakel.fhir.xml.tables import FHIR, Field, Table, Tables
from schakel.fhir.xml.tables import tables as tables_of
from schakel.kernel.outcomes import Invalid

_DECLARATION = b'<?xml version="1.0" encoding="UTF-8"?>'
_IN_FHIR = f"{{{FHIR}}}"
_escapable = re.compile(r'[&<>"\t\n\r]').search
_ESCAPES = str.maketrans(
    {"&": "&amp;", "<": "&lt;", ">": "&gt;", '"': "&quot;", "\t": "&#9;", "\n": "&#10;", "\r": "&#13;"}
)
_UNWRITABLE = re.compile("[^\t\n\r\x20-\ud7ff\ue000-\ufffd\U00010000-\U0010ffff]")
_unwritable = _UNWRITABLE.search


class _UnwritableError(Exception):
    """Why a value has no XML; `steps` grows from the inside out while the error passes the levels above."""

    def __init__(self, message: str) -> None:
        self.message = message
        self.steps: list[str] = []


def dump(resource: Resource, known: Definitions) -> bytes:
    """`resource` as XML in UTF-8, with a declaration.

    Raises `Invalid`, naming the element, for what XML of this version cannot say: unknown members, a value of
    the wrong kind, characters that XML does not have, a narrative that is not XHTML.
    """
    parts: list[str] = []
    try:
        _write_resource(resource, tables_of(known.version), parts, f' xmlns="{FHIR}"')
    except _UnwritableError as error:
        kind = resource.get("resourceType") if isinstance(resource, dict) else None
        path = ".".join([str(kind or "resource")[:64], *reversed(error.steps)]).replace(".[", "[")
        message = f"{error.message}, at {path}"
        raise Invalid(message, code="xml-unwritable", issue="structure", expression=path) from None
    return _DECLARATION + "".join(parts).encode()


def writable(text: str) -> str:
    """`text` with U+FFFD for each character that XML does not have (XML 1.0, 2.2): for what quotes a caller."""
    return _UNWRITABLE.sub("\ufffd", text)


def indented(data: bytes) -> bytes:
    """XML that `dump` made, with each element on a line of its own; narratives stay as they are."""
    root = etree.fromstring(data, etree.XMLParser(resolve_entities=False, no_network=True, huge_tree=True))
    _indent(root, "\n")
    return _DECLARATION + b"\n" + etree.tostring(root, encoding="utf-8", xml_declaration=False) + b"\n"


def _indent(element: etree._Element, line: str) -> None:
    if not len(element) or not str(element.tag).startswith(_IN_FHIR):
        return
    element.text = f"{line}  "
    for child in element:
        _indent(child, f"{line}  ")
        child.tail = f"{line}  "
    element[-1].tail = line


def _write_resource(resource: object, tables: Tables, out: list[str], namespace: str = "") -> None:
    name = resource.get("resourceType") if isinstance(resource, dict) else None
    if not isinstance(resource, dict) or name not in tables.resource_types:
        raise _UnwritableError(f"not a resource type of {tables.version}")
    out.append(f"<{name}{namespace}>")
    _write_children(resource, tables[name], tables, out)
    out.append(f"</{name}>")


def _write_children(value: dict[str, Any], table: Table, tables: Tables, out: list[str]) -> None:
    by_member = table.by_member
    places: set[int] = set()
    for name in value:
        place = by_member.get(name)
        if place is not None:
            places.add(place)
        elif name not in table.attributes and (table.attributes or name != "resourceType"):
            raise _UnwritableError(f"unknown element {str(name)[:64]!r}")
    fields = table.fields
    for place in sorted(places):
        field = fields[place]
        member, extra = value.get(field.name), value.get(field.extra)
        try:
            if type(member) is list or type(extra) is list:
                _write_array(field, member, extra, tables, out)
            else:
                _write_one(field, member, extra, tables, out)
        except _UnwritableError as error:
            error.steps.append(field.name)
            raise


def _write_array(field: Field, values: Any, extras: Any, tables: Tables, out: list[str]) -> None:
    values = [] if values is None else values
    extras = [] if extras is None else extras
    if type(values) is not list or type(extras) is not list:
        raise _UnwritableError("an array beside a single value")
    for index in range(max(len(values), len(extras))):
        member = values[index] if index < len(values) else None
        extra = extras[index] if index < len(extras) else None
        try:
            _write_one(field, member, extra, tables, out)
        except _UnwritableError as error:
            error.steps.append(f"[{index}]")
            raise


def _write_one(field: Field, value: Any, extra: Any, tables: Tables, out: list[str]) -> None:
    form, name = field.form, field.name
    if form == "complex":
        _write_element(name, value, tables[field.type], tables, out)
    elif form == "resource":
        out.append(f"<{name}>")
        _write_resource(value, tables, out)
        out.append(f"</{name}>")
    elif form == "xhtml":
        if not isinstance(value, str):
            raise _UnwritableError("a narrative is text")
        try:
            out.append(text_of(div_of(value)))
        except ValueError as error:
            raise _UnwritableError(str(error)) from None
    elif extra is None:
        out.append(f'<{name} value="{_literal(value)}"/>')
    else:
        attribute = "" if value is None else f' value="{_literal(value)}"'
        _write_element(name, extra, tables.primitive, tables, out, attribute)


def _write_element(
    name: str, value: Any, table: Table, tables: Tables, out: list[str], primitive: str = ""
) -> None:
    if not isinstance(value, dict):
        raise _UnwritableError("an object is needed")
    attributes = ""
    for attribute in table.attributes:
        if attribute in value:
            attributes += f' {attribute}="{_literal(value[attribute])}"'
    attributes += primitive
    start = len(out)
    out.append("")
    _write_children(value, table, tables, out)
    if len(out) == start + 1:
        out[start] = f"<{name}{attributes}/>"
    else:
        out[start] = f"<{name}{attributes}>"
        out.append(f"</{name}>")


def _literal(value: Any) -> str:
    """A primitive value as the text of an XML attribute."""
    if type(value) is str:
        if _unwritable(value):
            raise _UnwritableError("a character that XML does not have")
        return value.translate(_ESCAPES) if _escapable(value) else value
    if value is True or value is False:
        return "true" if value else "false"
    if isinstance(value, Decimal) and value.is_finite():
        return str(getattr(value, "text", value))
    if type(value) is int:
        return str(value)
    raise _UnwritableError("a text, number, true or false is needed")
