"""XML into the JSON shape."""

from __future__ import annotations

import re
from typing import Any

from lxml import etree

from schakel.fhir.definitions import Definitions
from schakel.fhir.json import MAX_DEPTH, Resource, number
from schakel.fhir.xml.narrative import secure_parser, text_of
from schakel.fhir.xml.tables import FHIR, PREFIX, Field, Form, Table, Tables
from schakel.fhir.xml.tables import tables as tables_of
from schakel.kernel.outcomes import Invalid, TooLarge

MAX_BYTES = 64 * 1024 * 1024

# Atomic, so that many comments cannot be read in many ways.
_doctype = re.compile(rb"(?>\s+|<\?.*?\?>|<!--.*?-->)*+<!DOCTYPE", re.DOTALL).match
_encoding = re.compile(rb"\s*<\?xml[^>]*?encoding\s*=\s*[\"']([^\"']*)").match


def parse(data: bytes, known: Definitions) -> Resource:
    """The resource written as XML in `data`, in JSON shape.

    Raises `Invalid`, naming the element and its line, for anything that is not one well-formed FHIR resource
    of this version in UTF-8, and `TooLarge` beyond 64 MiB.
    """
    if len(data) > MAX_BYTES:
        raise TooLarge(f"the body is too large: at most {MAX_BYTES // 1024 // 1024} MiB of XML is read")
    root = _root(data.removeprefix(b"\xef\xbb\xbf"))
    try:
        return _read_resource(root, tables_of(known.version), 1)
    except _RefusedError as refused:
        path = _path(refused.element)
        message = f"{refused.message}, at {path} (line {refused.element.sourceline})"
        raise Invalid(message, code="xml-invalid", issue="structure", expression=path) from None


class _RefusedError(Exception):
    """What is wrong with `element`."""

    def __init__(self, element: etree._Element, message: str) -> None:
        self.element, self.message = element, message


def _root(data: bytes) -> etree._Element:
    declared = _encoding(data)
    if declared and declared[1].lower() not in (b"utf-8", b"utf8", b"us-ascii"):
        raise _invalid("the encoding is not UTF-8: FHIR is exchanged in UTF-8 only")
    try:
        data.decode()
    except UnicodeDecodeError as error:
        raise _invalid(f"the body is not UTF-8: byte {error.start + 1} cannot be read") from None
    if not data or data.isspace():
        raise _invalid("the body is empty: an XML document is needed")
    if b"<!DOCTYPE" in data and _doctype(data):
        raise _invalid("a DOCTYPE (DTD, entities) is refused: leave it out")
    try:
        root = etree.fromstring(data, secure_parser())
    except etree.XMLSyntaxError as error:
        if "depth" in str(error.msg) and "HUGE" in str(error.msg):
            raise _invalid("nested too deep: at most 256 elements are read") from None
        if "HUGE" in str(error.msg):
            raise TooLarge("one value is too large: at most 10 MB is read in one value") from None
        raise _invalid(f"the body is not well-formed XML: {error.msg}") from None
    if root.getroottree().docinfo.internalDTD is not None:
        raise _invalid("a DOCTYPE (DTD, entities) is refused: leave it out")
    if root.getprevious() is not None or root.getnext() is not None:
        raise _invalid("processing instructions are refused: leave them out")
    return root


def _invalid(message: str) -> Invalid:
    return Invalid(message, code="xml-invalid", issue="structure")


def _read_resource(element: etree._Element, tables: Tables, depth: int) -> Resource:
    tag = element.tag
    name = tag[len(PREFIX) :] if isinstance(tag, str) and tag.startswith(PREFIX) else ""
    if name not in tables.resource_types:
        raise _RefusedError(element, f"not a resource type of {tables.version} in {FHIR}")
    out: Resource = {"resourceType": name}
    _read_into(out, element, tables[name], tables, depth)
    return out


def _read_into(
    out: dict[str, Any], element: etree._Element, table: Table, tables: Tables, depth: int
) -> None:
    """Read the attributes and children of `element` into `out`."""
    if depth > MAX_DEPTH:
        raise _RefusedError(element, f"nested too deep: at most {MAX_DEPTH} levels are read")
    for key, attribute in element.attrib.items():
        if key in table.attributes:
            out[key] = attribute
        elif key not in table.ignored:
            raise _RefusedError(element, f"unknown attribute {key[:64]!r}")
    if element.text and not element.text.isspace():
        raise _RefusedError(element, "text where only elements may stand")
    by_tag = table.by_tag
    for child in element:
        field = by_tag.get(child.tag)
        if field is None:
            raise _RefusedError(child, _strange(child))
        form = field.form
        inner = depth + 2 if field.repeats else depth + 1
        value: Any
        extra: dict[str, Any] | None = None
        if form == "complex":
            value = {}
            _read_into(value, child, tables[field.type], tables, inner)
        elif form == "resource":
            value = _read_wrapped(child, tables, inner)
        elif form == "xhtml":
            try:
                value = text_of(child)
            except ValueError as error:
                raise _RefusedError(child, str(error)) from None
        else:
            value, extra = _read_primitive(child, form, tables, inner)
        if child.tail and not child.tail.isspace():
            raise _RefusedError(element, "text where only elements may stand")
        name = field.name
        if extra is not None or field.extra in out:
            _place(out, field, value, extra)
        elif field.repeats:
            if name in out:
                out[name].append(value)
            else:
                out[name] = [value]
        elif name in out:
            _place(out, field, value, None)
        else:
            out[name] = value


def _place(out: dict[str, Any], field: Field, value: Any, extra: dict[str, Any] | None) -> None:
    """Add an occurrence that has a `_name` part, or comes beside one, or beyond the maximum of one.

    The two arrays are kept equally long, with null where one has nothing; an array of nulls only is left out
    (json.html, "Representing primitive elements").
    """
    parts = (field.name, value), (field.extra, extra)
    if not field.repeats and field.name not in out and field.extra not in out:
        out.update((name, part) for name, part in parts if part is not None)
        return
    for name, _ in parts:
        if name in out and not isinstance(out[name], list):
            out[name] = [out[name]]
    before = max(len(out.get(name, ())) for name, _ in parts)
    for name, part in parts:
        if name in out:
            out[name].append(part)
        elif part is not None:
            out[name] = [*[None] * before, part]


def _read_wrapped(element: etree._Element, tables: Tables, depth: int) -> Resource:
    """The one resource inside an element such as `contained` or `entry.resource`."""
    if len(element) != 1 or element.attrib:
        raise _RefusedError(element, "exactly one resource is needed here")
    child = element[0]
    for text in (element.text, child.tail):
        if text and not text.isspace():
            raise _RefusedError(element, "text where only elements may stand")
    return _read_resource(child, tables, depth)


def _read_primitive(
    element: etree._Element, form: Form, tables: Tables, depth: int
) -> tuple[Any, dict[str, Any] | None]:
    """The value and the `_name` part of a primitive element; one of them is there."""
    value: Any = element.get("value")
    attributes = len(element.attrib)
    extra: dict[str, Any] | None = None
    if len(element) or element.text or attributes != 1 or value is None:
        extra = {}
        _read_into(extra, element, tables.primitive, tables, depth)
        if not extra:
            extra = None
            if value is None:
                raise _RefusedError(element, "an element needs a value or an extension")
    if value is None or form == "text":
        return value, extra
    if form == "boolean":
        if value not in ("true", "false"):
            raise _RefusedError(element, "true or false is needed")
        return value == "true", extra
    try:
        return number(value), extra
    except ValueError:
        raise _RefusedError(element, "a number is needed") from None


def _strange(element: etree._Element) -> str:
    if not isinstance(element.tag, str):
        return "processing instructions and entities are refused"
    name = etree.QName(element.tag)
    where = "" if name.namespace == FHIR else f" in the namespace {(name.namespace or 'none')[:128]!r}"
    return f"unknown element {name.localname[:64]!r}{where}"


def _path(element: etree._Element) -> str:
    """The place of an element, such as `Patient.name[0].given[1]`; an index where the name repeats.

    A resource inside another adds no step: FHIRPath says `Bundle.entry[3].resource.name`.
    """
    steps: list[str] = []
    node: etree._Element | None = element
    while node is not None:
        parent = node.getparent()
        if isinstance(node.tag, str):
            name = etree.QName(node.tag).localname[:64]
            same = [] if parent is None else parent.findall(node.tag)
            if parent is None or not name[0].isupper():
                steps.append(f"{name}[{same.index(node)}]" if len(same) > 1 else name)
        node = parent
    return ".".join(reversed(steps))
