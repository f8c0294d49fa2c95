"""The SAML 2 assertion in which an open question says who asks: read strictly, against the clock.

Source: WS-Security 1.0 SAML token profile, SAML 2.0 core, IHE XUA; the facts sheet on Mitz (open question).
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from datetime import datetime, timedelta

from lxml import etree

from schakel.kernel.clock import now
from schakel.kernel.outcomes import Invalid
from schakel.kernel.values import Ura
from schakel_national.mitz import soap
from schakel_national.mitz.soap import (
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

WSSE = "http://docs.oasis-open.org/wss/2004/01/oasis-200401-wss-wssecurity-secext-1.0.xsd"
SAML = "urn:oasis:names:tc:SAML:2.0:assertion"
XSI = "http://www.w3.org/2001/XMLSchema-instance"
AUDIENCE = "urn:oid:2.16.840.1.113883.2.4.3.111.2.1"
BEARER = "urn:oasis:names:tc:SAML:2.0:cm:bearer"
X509 = "urn:oasis:names:tc:SAML:2.0:ac:classes:X509"

PROVIDER = "urn:ihe:iti:xua:2017:subject:provider-identifier"
MANDATED = "urn:nl:otv:names:tc:1.0:subject:mandated"
ROLE = "urn:oasis:names:tc:xacml:2.0:subject:role"
INSTITUTION = "urn:nl:otv:names:tc:1.0:subject:provider-institution"
TYPE = "urn:nl:otv:names:tc:1.0:subject:consulting-healthcare-facility-type-code"
PURPOSE = "urn:oasis:names:tc:xspa:1.0:subject:purposeofuse"
_NEEDED = frozenset({PROVIDER, ROLE, INSTITUTION, TYPE, PURPOSE})
_NAMES = {PROVIDER: "id", MANDATED: "id", ROLE: "Role", INSTITUTION: "id", TYPE: "", PURPOSE: "PurposeOfUse"}
"""How the element in a value is called; of one of them that is not known, so every name is taken."""

LEEWAY = timedelta(seconds=30)
LONGEST = timedelta(minutes=10)


@dataclass(frozen=True, slots=True)
class Asker:
    """Who asks. `id` and `until` are those of the assertion, `signer` the SHA-256 (hex) of the certificate that
    signed it, '' when it is not signed."""

    id: str
    until: datetime
    requester: str
    requester_type: str
    role: str
    purpose: str
    signer: str


def read(header: etree._Element) -> Asker:
    """The asker in the wsse:Security of a SOAP Header. Raises `Fault` naming what is wrong, never what it said."""
    assertion = one(one(header, WSSE, "Security"), SAML, "Assertion")
    signature, signer = assertion.find(f"{{{DSIG}}}Signature"), ""
    if signature is not None:
        covered, signer = soap.signed(signature, assertion)
        if covered.tag != assertion.tag or covered.get("ID") != assertion.get("ID"):
            raise Fault("the signature does not cover the Assertion")
        assertion = covered
    if assertion.get("Version") != "2.0":
        raise Fault("Assertion.Version is not 2.0")
    number = assertion.get("ID", "")
    if not re.fullmatch(r"[A-Za-z_][\w.-]{15,127}", number, re.ASCII):
        raise Fault("Assertion.ID is no name of 16 to 128 characters")
    until = _times(assertion)
    _confirmed(assertion)
    values = _attributes(assertion)
    for name in (PROVIDER, MANDATED):
        if name in values and not _identified(values, name, UZI_ROOT):
            raise Fault(f"the attribute {name} has no extension")
    try:
        requester = str(Ura(_identified(values, INSTITUTION, URA_ROOT)))
    except Invalid as error:
        raise Fault(f"the attribute {INSTITUTION} is no URA") from error
    issuer = re.fullmatch(
        rf"urn:oid:{re.escape(URA_ROOT)}\.([0-9]{{1,8}})", soap.text(assertion, SAML, "Issuer")
    )
    if issuer is None or str(Ura(issuer[1])) != requester:
        raise Fault("Issuer is not the urn:oid of the provider-institution")
    return Asker(
        number,
        until,
        requester,
        _coded(values, TYPE, TYPE_SYSTEM),
        _coded(values, ROLE, ROLE_SYSTEM),
        _coded(values, PURPOSE, PURPOSE_SYSTEM),
        signer,
    )


def _times(assertion: etree._Element) -> datetime:
    """When it ends. Raises `Fault` when it is not meant for now, or for us."""
    moment = now()
    conditions = one(assertion, SAML, "Conditions")
    start, end = _instant(conditions, "NotBefore"), _instant(conditions, "NotOnOrAfter")
    if start > moment + LEEWAY:
        raise Fault("Conditions.NotBefore is yet to come")
    if end <= moment - LEEWAY:
        raise Fault("Conditions.NotOnOrAfter has passed")
    if end - start > LONGEST:
        raise Fault("Conditions are for longer than 10 minutes")
    if _instant(assertion, "IssueInstant") > moment + LEEWAY:
        raise Fault("Assertion.IssueInstant is yet to come")
    audiences = one(conditions, SAML, "AudienceRestriction").findall(f"{{{SAML}}}Audience")
    if AUDIENCE not in {(audience.text or "").strip() for audience in audiences}:
        raise Fault(f"Audience is not {AUDIENCE}")
    return end


def _confirmed(assertion: etree._Element) -> None:
    confirmation = one(one(assertion, SAML, "Subject"), SAML, "SubjectConfirmation")
    if confirmation.get("Method") != BEARER:
        raise Fault(f"SubjectConfirmation.Method is not {BEARER}")
    statement = one(assertion, SAML, "AuthnStatement")
    if _instant(statement, "AuthnInstant") > now() + LEEWAY:
        raise Fault("AuthnStatement.AuthnInstant is yet to come")
    if soap.text(one(statement, SAML, "AuthnContext"), SAML, "AuthnContextClassRef") != X509:
        raise Fault(f"AuthnContextClassRef is not {X509}")


def _instant(element: etree._Element, name: str) -> datetime:
    """An xs:dateTime in UTC, as SAML demands it."""
    said = element.get(name, "")
    try:
        if not re.fullmatch(r"[0-9]{4}-[0-9]{2}-[0-9]{2}T[0-9]{2}:[0-9]{2}:[0-9]{2}(\.[0-9]+)?Z", said):
            raise ValueError
        return datetime.fromisoformat(said)
    except ValueError as error:
        raise Fault(f"{etree.QName(element).localname}.{name} is no moment in UTC") from error


def _attributes(assertion: etree._Element) -> dict[str, etree._Element]:
    """The HL7 value of each attribute, by name: all that are needed, each once."""
    values: dict[str, etree._Element] = {}
    for attribute in one(assertion, SAML, "AttributeStatement").findall(f"{{{SAML}}}Attribute"):
        name = attribute.get("Name", "")
        if name not in _NAMES:
            raise Fault(f"the attribute {name[:120]!r} is not known")
        if name in values:
            raise Fault(f"the attribute {name} must be there once")
        children = list(one(attribute, SAML, "AttributeValue").iterchildren("*"))
        found = etree.QName(children[0]) if len(children) == 1 else None
        if found is None or found.namespace != HL7 or found.localname != (_NAMES[name] or found.localname):
            raise Fault(f"the attribute {name} needs one {_NAMES[name] or 'value'} of {HL7}")
        values[name] = children[0]
    if missing := _NEEDED - values.keys():
        raise Fault(f"the attribute {min(missing)} is missing")
    return values


def _identified(values: dict[str, etree._Element], name: str, root: str) -> str:
    value = _typed(values, name, ("II",))
    if value.get("root") != root:
        raise Fault(f"the attribute {name} has another root than {root}")
    return value.get("extension", "")


def _coded(values: dict[str, etree._Element], name: str, system: str) -> str:
    value = _typed(values, name, ("CE", "CV"))
    if value.get("codeSystem") != system or not value.get("code"):
        raise Fault(f"the attribute {name} has no code of the system {system}")
    return str(value.get("code"))


def _typed(values: dict[str, etree._Element], name: str, kinds: tuple[str, ...]) -> etree._Element:
    """The value, whose xsi:type must be one of these of HL7."""
    value = values[name]
    prefix, _, kind = value.get(f"{{{XSI}}}type", "").rpartition(":")
    if kind not in kinds or value.nsmap.get(prefix or None) != HL7:
        raise Fault(f"the attribute {name} is not of the type {' or '.join(kinds)} of {HL7}")
    return value
