"""The narrative of a resource: one XHTML `div`, kept as text in JSON and as elements in XML."""

from __future__ import annotations

from typing import Any

from lxml import etree

XHTML = "http://www.w3.org/1999/xhtml"
DIV = f"{{{XHTML}}}div"
_PREFIX = f"{{{XHTML}}}"
_XML = "{http://www.w3.org/XML/1998/namespace}"
_NAMESPACES: Any = {None: XHTML}
_START = f'<div xmlns="{XHTML}"'
_MAX_CHARACTERS = 8 * 1024 * 1024


def secure_parser() -> etree.XMLParser:
    """A parser that reads no DTD, no entity and nothing outside the document, and drops comments."""
    return etree.XMLParser(
        resolve_entities=False,
        no_network=True,
        load_dtd=False,
        huge_tree=False,
        remove_comments=True,
        remove_pis=False,
        strip_cdata=True,
        encoding="utf-8",
    )


def div_of(text: str) -> etree._Element:
    """The `div` element written in `text`. Raises `ValueError` with the reason when it is not one."""
    if len(text) > _MAX_CHARACTERS:
        raise ValueError("the narrative is too long")
    if "<!DOCTYPE" in text or "<?" in text:
        raise ValueError("a narrative has no DOCTYPE and no processing instructions")
    try:
        div = etree.fromstring(text.encode(), secure_parser())
    except etree.XMLSyntaxError as error:
        raise ValueError(f"the narrative is not well-formed XHTML: {error.msg}") from None
    except UnicodeEncodeError:
        raise ValueError("the narrative has half a character (a lone surrogate)") from None
    if div.tag != DIV:
        raise ValueError(f"a narrative is one <div> in the namespace {XHTML}")
    return div


def text_of(div: etree._Element) -> str:
    """`div` as text with XHTML as its default namespace. Raises `ValueError` for what is not XHTML in it."""
    text = etree.tostring(div, encoding="unicode", with_tail=False)
    if "<?" in text:
        raise ValueError("processing instructions are refused")
    if text.startswith(_START) and text.count("xmlns") == 1:
        return text
    return etree.tostring(_plain(div), encoding="unicode", with_tail=False)


def _plain(element: etree._Element) -> etree._Element:
    """A copy without namespace prefixes and foreign declarations."""
    _only_xhtml(element)
    copy = etree.Element(DIV, _attributes(element), nsmap=_NAMESPACES)
    copy.text = element.text
    for child in element:
        _copy_below(copy, child)
    return copy


def _copy_below(parent: etree._Element, element: etree._Element) -> None:
    _only_xhtml(element)
    copy = etree.SubElement(parent, element.tag, _attributes(element))
    copy.text, copy.tail = element.text, element.tail
    for child in element:
        _copy_below(copy, child)


def _only_xhtml(element: etree._Element) -> None:
    if not isinstance(element.tag, str) or not element.tag.startswith(_PREFIX):
        raise ValueError("only XHTML elements may stand in a narrative")


def _attributes(element: etree._Element) -> dict[str, str]:
    found = {str(name): str(value) for name, value in element.attrib.items()}
    if any(name.startswith("{") and not name.startswith(_XML) for name in found):
        raise ValueError("only XHTML attributes may stand in a narrative")
    return found
