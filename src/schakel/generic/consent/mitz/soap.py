"""The envelope of a question to Mitz and of its answer: SOAP 1.2 with WS-Addressing.

Source: SOAP 1.2 part 1, 5.4 (Fault); WS-Addressing 1.0 core, 3.4 (RelatesTo).
"""

from __future__ import annotations

from lxml import etree

from schakel.facilities import FacilityAway
from schakel.generic.consent.mitz import names


class AnswerUnusable(FacilityAway):
    """An answer came, and it cannot be used: it says neither yes nor no."""

    def __init__(self, facility: str, why: str) -> None:
        super().__init__(facility, why)
        self.kind = "facility-answer-unusable"


class Wrong(Exception):
    """What is wrong with a document, in a few words of our own."""


def enveloped(action: str, message: str, to: str) -> tuple[etree._Element, etree._Element, etree._Element]:
    """An envelope with its header and body, for a question to the address `to` under the id `message`."""
    envelope = etree.Element(f"{{{names.SOAP}}}Envelope", nsmap={"S": names.SOAP})
    header = etree.SubElement(envelope, f"{{{names.SOAP}}}Header", nsmap={"a": names.WSA})
    named = _text(header, "Action", action)
    named.set(f"{{{names.SOAP}}}mustUnderstand", "1")
    _text(header, "MessageID", message)
    reply = etree.SubElement(header, f"{{{names.WSA}}}ReplyTo")
    _text(reply, "Address", names.ANONYMOUS)
    _text(header, "To", to)
    return envelope, header, etree.SubElement(envelope, f"{{{names.SOAP}}}Body")


def _text(parent: etree._Element, name: str, text: str) -> etree._Element:
    element = etree.SubElement(parent, f"{{{names.WSA}}}{name}")
    element.text = text
    return element


def opened(body: bytes, message: str, tag: str, what: str) -> etree._Element:
    """The one element in the body of an answer to `message`, which is a `tag`. Raises `Wrong`: no `what`."""
    envelope = _envelope(body)
    inner = children(only(envelope, names.SOAP, "Body"))
    if len(inner) == 1 and inner[0].tag == f"{{{names.SOAP}}}Fault":
        raise Wrong("a SOAP Fault")
    _check_relates(only(envelope, names.SOAP, "Header"), message)
    if len(inner) != 1 or inner[0].tag != tag:
        raise Wrong(f"no {what}")
    return inner[0]


def _envelope(body: bytes) -> etree._Element:
    parser = etree.XMLParser(
        resolve_entities=False, no_network=True, load_dtd=False, huge_tree=False, encoding="utf-8"
    )
    try:
        root = etree.fromstring(body, parser)
    except (etree.XMLSyntaxError, ValueError):
        raise Wrong("no well-formed XML") from None
    if root.getroottree().docinfo.internalDTD is not None:
        raise Wrong("a DTD")
    if root.tag != f"{{{names.SOAP}}}Envelope":
        raise Wrong("no SOAP 1.2 envelope")
    return root


def _check_relates(header: etree._Element, message: str) -> None:
    """The answer is a reply to our message and to no other."""
    replies = [
        one.text
        for one in children(header)
        if one.tag == f"{{{names.WSA}}}RelatesTo" and one.get("RelationshipType", names.REPLY) == names.REPLY
    ]
    if len(replies) != 1 or (replies[0] or "").strip() != message:
        raise Wrong("it relates to another question")


def children(element: etree._Element) -> list[etree._Element]:
    """The elements in an element; comments say nothing, entities and instructions are refused. Raises `Wrong`."""
    found = []
    for child in element:
        if isinstance(child.tag, str):
            found.append(child)
        elif child.tag is not etree.Comment:
            raise Wrong("an entity or a processing instruction")
    return found


def only(parent: etree._Element, namespace: str, name: str) -> etree._Element:
    """The one child of this name. Raises `Wrong`."""
    found = [child for child in children(parent) if child.tag == f"{{{namespace}}}{name}"]
    if len(found) != 1:
        raise Wrong(f"not one {name}")
    return found[0]
