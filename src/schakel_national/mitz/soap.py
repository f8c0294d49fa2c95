"""SOAP 1.2 with WS-Addressing and XML signatures, as both questions use them: read strictly, answered plainly.

Source: SOAP 1.2, WS-Addressing 1.0, XML Signature (RSA or ECDSA over SHA-256).
"""

from __future__ import annotations

import base64
import binascii
import hashlib
import re
from dataclasses import dataclass

from lxml import etree
from signxml.algorithms import DigestAlgorithm, SignatureMethod
from signxml.exceptions import InvalidInput, InvalidSignature
from signxml.verifier import SignatureConfiguration, XMLVerifier

from schakel.kernel.clock import new_id

SOAP = "http://www.w3.org/2003/05/soap-envelope"
WSA = "http://www.w3.org/2005/08/addressing"
HL7 = "urn:hl7-org:v3"
DSIG = "http://www.w3.org/2000/09/xmldsig#"

BSN_ROOT = "2.16.840.1.113883.2.4.6.3"
URA_ROOT = "2.16.528.1.1007.3.3"
UZI_ROOT = "2.16.528.1.1007.3.1"
TYPE_SYSTEM = "2.16.840.1.113883.2.4.15.1060"
ROLE_SYSTEM = "2.16.840.1.113883.2.4.15.111"
CATEGORY_SYSTEM = "2.16.840.1.113883.2.4.3.111.5.10.1"
PURPOSE_SYSTEM = "2.16.840.1.113883.1.11.20448"

_SIGNED = SignatureConfiguration(
    signature_methods=frozenset({SignatureMethod.RSA_SHA256, SignatureMethod.ECDSA_SHA256}),
    digest_algorithms=frozenset({DigestAlgorithm.SHA256}),
)


class Fault(Exception):
    """A question that cannot be read: what the SOAP fault says."""


@dataclass(frozen=True, slots=True)
class Envelope:
    """What came: `message` is wsa:MessageID (urn:uuid)."""

    message: str
    header: etree._Element
    body: etree._Element


def read(content: bytes, action: str) -> Envelope:
    """The envelope of a question with this wsa:Action. Raises `Fault` naming what is wrong, never what it said."""
    parser = etree.XMLParser(resolve_entities=False, no_network=True, load_dtd=False, huge_tree=False)
    try:
        root = etree.fromstring(content, parser)
    except etree.XMLSyntaxError as error:
        raise Fault("the body is not well-formed XML") from error
    if root.getroottree().docinfo.internalDTD is not None or b"<!DOCTYPE" in content:
        raise Fault("a document type is not taken")
    if root.tag != f"{{{SOAP}}}Envelope":
        raise Fault("the body is not a SOAP 1.2 envelope")
    body, header = one(root, SOAP, "Body"), one(root, SOAP, "Header")
    if text(header, WSA, "Action") != action:
        raise Fault(f"wsa:Action is not {action}")
    message = text(header, WSA, "MessageID")
    if not re.fullmatch(r"urn:uuid:[0-9a-fA-F-]{36}", message):
        raise Fault("wsa:MessageID is no urn:uuid")
    if not text(header, WSA, "To"):
        raise Fault("wsa:To is empty")
    return Envelope(message, header, body)


def one(parent: etree._Element, namespace: str, name: str) -> etree._Element:
    """The only child of this name. Raises `Fault`."""
    found = parent.findall(f"{{{namespace}}}{name}")
    if len(found) != 1:
        raise Fault(f"{name} must be there once")
    return found[0]


def text(parent: etree._Element, namespace: str, name: str) -> str:
    """What the only child of this name says. Raises `Fault`."""
    return (one(parent, namespace, name).text or "").strip()


def signed(
    signature: etree._Element, within: etree._Element, attribute: str = ""
) -> tuple[etree._Element, str]:
    """What the signature in `within` covers, and the SHA-256 (hex) of the certificate that made it.

    Raises `Fault` unless the signature is right.
    """
    found = re.sub(r"\s+", "", signature.findtext(f".//{{{DSIG}}}X509Certificate") or "")
    lines = "\n".join(re.findall(r".{1,64}", found))
    try:
        der = base64.b64decode(found, validate=True)
        results = XMLVerifier().verify(
            etree.tostring(within, with_tail=False),
            x509_cert=f"-----BEGIN CERTIFICATE-----\n{lines}\n-----END CERTIFICATE-----\n",
            expect_config=_SIGNED,
        )
    except (InvalidSignature, InvalidInput, binascii.Error, ValueError, TypeError) as error:
        raise Fault("the signature is not right") from error
    [result] = results if isinstance(results, list) else [results]
    if result.signed_xml is None:
        raise Fault("the signature covers nothing")
    return result.signed_xml, hashlib.sha256(der).hexdigest()


def envelope(relates_to: str, action: str) -> tuple[etree._Element, etree._Element]:
    """An envelope to answer with, and its empty Body."""
    made = etree.Element(f"{{{SOAP}}}Envelope", nsmap={"S": SOAP, "a": WSA})
    header = etree.SubElement(made, f"{{{SOAP}}}Header")
    etree.SubElement(header, f"{{{WSA}}}Action").text = action
    etree.SubElement(header, f"{{{WSA}}}MessageID").text = f"urn:uuid:{new_id()}"
    if relates_to:
        etree.SubElement(header, f"{{{WSA}}}RelatesTo").text = relates_to
    return made, etree.SubElement(made, f"{{{SOAP}}}Body")


def written(made: etree._Element) -> bytes:
    """An envelope as bytes."""
    return etree.tostring(made, xml_declaration=True, encoding="UTF-8")


def fault(message: str) -> bytes:
    """A SOAP fault of the sender."""
    made, body = envelope("", f"{WSA}/soap/fault")
    element = etree.SubElement(body, f"{{{SOAP}}}Fault")
    code = etree.SubElement(element, f"{{{SOAP}}}Code")
    etree.SubElement(code, f"{{{SOAP}}}Value").text = "S:Sender"
    reason = etree.SubElement(element, f"{{{SOAP}}}Reason")
    said = etree.SubElement(reason, f"{{{SOAP}}}Text")
    said.set("{http://www.w3.org/XML/1998/namespace}lang", "en")
    said.text = message
    return written(made)
