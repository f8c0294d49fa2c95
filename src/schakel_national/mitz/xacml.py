"""The closed question on the wire: read strictly, answered with what was asked.

Source: XACML 3.0 core (wd-17) and its SAML profile (wd-14), HL7 v3 II and CV values.
"""

from __future__ import annotations

from dataclasses import dataclass

from lxml import etree

from schakel.kernel.outcomes import Invalid
from schakel.kernel.values import Bsn, Ura
from schakel_national.mitz import soap
from schakel_national.mitz.soap import (
    BSN_ROOT,
    CATEGORY_SYSTEM,
    DSIG,
    HL7,
    PURPOSE_SYSTEM,
    ROLE_SYSTEM,
    TYPE_SYSTEM,
    URA_ROOT,
    UZI_ROOT,
    Fault,
    one,
)

QUERY = "urn:oasis:names:tc:xacml:3.0:profile:saml2.0:v2:schema:protocol:wd-14"
XACML = "urn:oasis:names:tc:xacml:3.0:core:schema:wd-17"
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
    envelope = soap.read(body, ASK)
    query = one(envelope.body, QUERY, "XACMLAuthzDecisionQuery")
    signature = query.find(f"{{{DSIG}}}Signature")
    signer = ""
    if signature is not None:
        covered, signer = soap.signed(signature, query)
        if covered.tag != f"{{{XACML}}}Request":
            raise Fault("the signature does not cover the Request")
    request = one(query, XACML, "Request")
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
    categories = tuple((_coded(group, _CATEGORY, CATEGORY_SYSTEM), group) for group in actions)
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
        envelope.message,
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


def _single(groups: dict[str, list[etree._Element]], category: str) -> etree._Element:
    found = groups.get(category, [])
    if len(found) != 1:
        raise Fault(f"Attributes of the category {category} must be there once")
    return found[0]


def _value(group: etree._Element, attribute: str, kind: str, element: str) -> etree._Element:
    found = group.findall(f"{{{XACML}}}Attribute[@AttributeId='{attribute}']")
    if len(found) != 1:
        raise Fault(f"the attribute {attribute} must be there once")
    value = one(found[0], XACML, "AttributeValue")
    if value.get("DataType") != f"{HL7}#{kind}":
        raise Fault(f"the attribute {attribute} has another DataType than {HL7}#{kind}")
    return one(value, HL7, element)


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
    envelope, body = soap.envelope(question.message, ANSWER)
    response = etree.SubElement(body, f"{{{XACML}}}Response", nsmap={None: XACML})  # type: ignore[dict-item]
    for (_, asked), decision in zip(question.categories, decisions, strict=True):
        result = etree.SubElement(response, f"{{{XACML}}}Result")
        etree.SubElement(result, f"{{{XACML}}}Decision").text = decision
        status = etree.SubElement(result, f"{{{XACML}}}Status")
        code = "urn:oasis:names:tc:xacml:1.0:status:ok"
        etree.SubElement(status, f"{{{XACML}}}StatusCode", Value=code)
        for group in (question.others[0], asked, *question.others[1:]):
            echoed = etree.SubElement(result, f"{{{XACML}}}Attributes", Category=group.get("Category", ""))
            for attribute in group.findall(f"{{{XACML}}}Attribute[@IncludeInResult='true']"):
                echoed.append(etree.fromstring(etree.tostring(attribute, with_tail=False)))
    return soap.written(envelope)
