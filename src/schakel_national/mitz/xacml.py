"""The closed question on the wire: read strictly, answered with what was asked.

Source: SOAP 1.2, WS-Addressing 1.0, XACML 3.0 core (wd-17) and its SAML profile (wd-14), HL7 v3 II and CV values.
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
from schakel.kernel.outcomes import Invalid
from schakel.kernel.values import Bsn, Ura

SOAP = "http://www.w3.org/2003/05/soap-envelope"
WSA = "http://www.w3.org/2005/08/addressing"
QUERY = "urn:oasis:names:tc:xacml:3.0:profile:saml2.0:v2:schema:protocol:wd-14"
XACML = "urn:oasis:names:tc:xacml:3.0:core:schema:wd-17"
HL7 = "urn:hl7-org:v3"
DSIG = "http://www.w3.org/2000/09/xmldsig#"
ASK = "XACMLAuthorizationDecisionQueryRequest"
ANSWER = (
    "http://schemas.otv.nl/toestemmingsregister/XACMLAuthzDecisionQuery/IGeslotenAutorisatievraagService/"
    "XACMLAuthzDecisionQueryResponse"
)

RESOURCE = "urn:oasis:names:tc:xacml:3.0:attribute-category:resource"
ACTION = "urn:oasis:names:tc:xacml:3.0:attribute-category:action"
SUBJECT = "urn:oasis:names:tc:xacml:1.0:subject-category:access-subject"
ENVIRONMENT = "urn:oasis:names:tc:xacml:3.0:attribute-category:environment"

_PATIENT = "urn:oasis:names:tc:xacml:2.0:resource:resource-id"
_HOLDER_TYPE = "urn:ihe:iti:appc:2016:document-entry:healthcare-facility-type-code"
_HOLDER = "urn:ihe:iti:appc:2016:author-institution:id"
_CATEGORY = "urn:ihe:iti:appc:2016:document-entry:event-code"
_ROLE = "urn:oasis:names:tc:xacml:2.0:subject:role"
_PROVIDER = "urn:ihe:iti:xua:2017:subject:provider-identifier"
_INSTITUTION = "urn:nl:otv:names:tc:1.0:subject:provider-institution"
_REQUESTER_TYPE = "urn:nl:otv:names:tc:1.0:subject:consulting-healthcare-facility-type-code"
_PURPOSE = "urn:oasis:names:tc:xspa:1.0:subject:purposeofuse"

_SIGNED = SignatureConfiguration(
    signature_methods=frozenset({SignatureMethod.RSA_SHA256, SignatureMethod.ECDSA_SHA256}),
    digest_algorithms=frozenset({DigestAlgorithm.SHA256}),
)

BSN_ROOT = "2.16.840.1.113883.2.4.6.3"
URA_ROOT = "2.16.528.1.1007.3.3"
UZI_ROOT = "2.16.528.1.1007.3.1"
TYPE_SYSTEM = "2.16.840.1.113883.2.4.15.1060"
ROLE_SYSTEM = "2.16.840.1.113883.2.4.15.111"
CATEGORY_SYSTEM = "2.16.840.1.113883.2.4.3.111.5.10.1"
PURPOSE_SYSTEM = "2.16.840.1.113883.1.11.20448"


class Fault(Exception):
    """A question that cannot be read: what the SOAP fault says."""


@dataclass(frozen=True, slots=True)
class Question:
    """A closed question. `categories` are data categories with the elements that asked for them, `signer` is the
    SHA-256 (hex) of the certificate that signed it, '' when it is not signed."""

    message: str
    patient: str
    holder: str
    holder_type: str
    requester: str
    requester_type: str
    role: str
    purpose: str
    categories: tuple[tuple[str, etree._Element], ...]
    others: tuple[etree._Element, ...]
    signer: str


def read(body: bytes) -> Question:
    """The question in a SOAP envelope. Raises `Fault` naming what is wrong; never with what it said."""
    parser = etree.XMLParser(resolve_entities=False, no_network=True, load_dtd=False, huge_tree=False)
    try:
        root = etree.fromstring(body, parser)
    except etree.XMLSyntaxError as error:
        raise Fault("the body is not well-formed XML") from error
    if root.getroottree().docinfo.internalDTD is not None or b"<!DOCTYPE" in body:
        raise Fault("a document type is not taken")
    if root.tag != f"{{{SOAP}}}Envelope":
        raise Fault("the body is not a SOAP 1.2 envelope")
    query = _one(_one(root, SOAP, "Body"), QUERY, "XACMLAuthzDecisionQuery")
    header = _one(root, SOAP, "Header")
    if (_one(header, WSA, "Action").text or "").strip() != ASK:
        raise Fault(f"wsa:Action is not {ASK}")
    message = (_one(header, WSA, "MessageID").text or "").strip()
    if not re.fullmatch(r"urn:uuid:[0-9a-fA-F-]{36}", message):
        raise Fault("wsa:MessageID is no urn:uuid")
    if not (_one(header, WSA, "To").text or "").strip():
        raise Fault("wsa:To is empty")
    signer = "" if query.find(f"{{{DSIG}}}Signature") is None else _signer(query)
    request = _one(query, XACML, "Request")
    groups: dict[str, list[etree._Element]] = {}
    for group in request.findall(f"{{{XACML}}}Attributes"):
        groups.setdefault(group.get("Category", ""), []).append(group)
    if unknown := groups.keys() - {RESOURCE, ACTION, SUBJECT, ENVIRONMENT}:
        raise Fault(f"an Attributes element has the category {min(unknown)[:80]!r}, which is not known")
    resource, subject, environment = (
        _single(groups, category) for category in (RESOURCE, SUBJECT, ENVIRONMENT)
    )
    actions = groups.get(ACTION, [])
    if not actions:
        raise Fault("no action: at least one data category is needed")
    categories = tuple((_coded(one, _CATEGORY, CATEGORY_SYSTEM), one) for one in actions)
    provider = subject.findall(f"{{{XACML}}}Attribute[@AttributeId='{_PROVIDER}']")
    if len(provider) != 1:
        raise Fault(f"the attribute {_PROVIDER} must be there once")
    _identified(subject, _PROVIDER, UZI_ROOT)
    try:
        patient = str(Bsn(_identified(resource, _PATIENT, BSN_ROOT)))
        holder = str(Ura(_identified(resource, _HOLDER, URA_ROOT)))
        requester = str(Ura(_identified(subject, _INSTITUTION, URA_ROOT)))
    except Invalid as error:
        raise Fault("a number in the question is no BSN or URA") from error
    return Question(
        message,
        patient,
        holder,
        _coded(resource, _HOLDER_TYPE, TYPE_SYSTEM),
        requester,
        _coded(subject, _REQUESTER_TYPE, TYPE_SYSTEM),
        _coded(subject, _ROLE, ROLE_SYSTEM),
        _coded(environment, _PURPOSE, PURPOSE_SYSTEM),
        categories,
        (resource, subject, environment),
        signer,
    )


def _signer(query: etree._Element) -> str:
    """The SHA-256 of the certificate that signed the Request. Raises `Fault` unless the signature is right."""
    text = re.sub(r"\s+", "", query.findtext(f".//{{{DSIG}}}X509Certificate") or "")
    lines = "\n".join(re.findall(r".{1,64}", text))
    try:
        der = base64.b64decode(text, validate=True)
        found = XMLVerifier().verify(
            etree.tostring(query),
            x509_cert=f"-----BEGIN CERTIFICATE-----\n{lines}\n-----END CERTIFICATE-----\n",
            expect_config=_SIGNED,
        )
    except (InvalidSignature, InvalidInput, binascii.Error, ValueError, TypeError) as error:
        raise Fault("the signature is not right") from error
    results = found if isinstance(found, list) else [found]
    if not any(one.signed_xml is not None and one.signed_xml.tag == f"{{{XACML}}}Request" for one in results):
        raise Fault("the signature does not cover the Request")
    return hashlib.sha256(der).hexdigest()


def _one(parent: etree._Element, namespace: str, name: str) -> etree._Element:
    found = parent.findall(f"{{{namespace}}}{name}")
    if len(found) != 1:
        raise Fault(f"{name} must be there once")
    return found[0]


def _single(groups: dict[str, list[etree._Element]], category: str) -> etree._Element:
    found = groups.get(category, [])
    if len(found) != 1:
        raise Fault(f"Attributes of the category {category} must be there once")
    return found[0]


def _value(group: etree._Element, attribute: str, kind: str, element: str) -> etree._Element:
    found = group.findall(f"{{{XACML}}}Attribute[@AttributeId='{attribute}']")
    if len(found) != 1:
        raise Fault(f"the attribute {attribute} must be there once")
    value = _one(found[0], XACML, "AttributeValue")
    if value.get("DataType") != f"{HL7}#{kind}":
        raise Fault(f"the attribute {attribute} has another DataType than {HL7}#{kind}")
    return _one(value, HL7, element)


def _identified(group: etree._Element, attribute: str, root: str) -> str:
    found = _value(group, attribute, "II", "InstanceIdentifier")
    if found.get("root") != root:
        raise Fault(f"the attribute {attribute} has another root than {root}")
    return found.get("extension", "")


def _coded(group: etree._Element, attribute: str, system: str) -> str:
    found = _value(group, attribute, "CV", "CodedValue")
    if found.get("codeSystem") != system or not found.get("code"):
        raise Fault(f"the attribute {attribute} has no code of the system {system}")
    return str(found.get("code"))


def answer(question: Question, decisions: tuple[str, ...]) -> bytes:
    """The answer: one Result for each category, in order, with the attributes that were asked to be in it."""
    envelope, body = _envelope(question.message, ANSWER)
    response = etree.SubElement(body, f"{{{XACML}}}Response", nsmap={None: XACML})  # type: ignore[dict-item]
    for (_, asked), decision in zip(question.categories, decisions, strict=True):
        result = etree.SubElement(response, f"{{{XACML}}}Result")
        etree.SubElement(result, f"{{{XACML}}}Decision").text = decision
        status = etree.SubElement(result, f"{{{XACML}}}Status")
        code = "urn:oasis:names:tc:xacml:1.0:status:ok"
        etree.SubElement(status, f"{{{XACML}}}StatusCode", Value=code)
        for group in (question.others[0], asked, *question.others[1:]):
            echoed = etree.SubElement(result, f"{{{XACML}}}Attributes", Category=group.get("Category", ""))
            for one in group.findall(f"{{{XACML}}}Attribute[@IncludeInResult='true']"):
                echoed.append(etree.fromstring(etree.tostring(one, with_tail=False)))
    return etree.tostring(envelope, xml_declaration=True, encoding="UTF-8")


def fault(message: str) -> bytes:
    """A SOAP fault of the sender."""
    envelope, body = _envelope("", f"{WSA}/soap/fault")
    element = etree.SubElement(body, f"{{{SOAP}}}Fault")
    code = etree.SubElement(element, f"{{{SOAP}}}Code")
    etree.SubElement(code, f"{{{SOAP}}}Value").text = "S:Sender"
    reason = etree.SubElement(element, f"{{{SOAP}}}Reason")
    text = etree.SubElement(reason, f"{{{SOAP}}}Text")
    text.set("{http://www.w3.org/XML/1998/namespace}lang", "en")
    text.text = message
    return etree.tostring(envelope, xml_declaration=True, encoding="UTF-8")


def _envelope(relates_to: str, action: str) -> tuple[etree._Element, etree._Element]:
    envelope = etree.Element(f"{{{SOAP}}}Envelope", nsmap={"S": SOAP, "a": WSA})
    header = etree.SubElement(envelope, f"{{{SOAP}}}Header")
    etree.SubElement(header, f"{{{WSA}}}Action").text = action
    etree.SubElement(header, f"{{{WSA}}}MessageID").text = f"urn:uuid:{new_id()}"
    if relates_to:
        etree.SubElement(header, f"{{{WSA}}}RelatesTo").text = relates_to
    return envelope, etree.SubElement(envelope, f"{{{SOAP}}}Body")
