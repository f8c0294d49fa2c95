"""The open question: which holders may release data of this patient to this requester?

Mitz names a holder only when it has a subscription on the patient. It answers with nobody both when nobody is known and
when nothing is permitted, and does not say which.

Source: handbook "Open en gesloten autorisatievraag" 3.8.2; IHE XCPD, ITI-56 (Patient Location Query); SAML 2.0 core;
WS-Security 1.0; IHE XUA for Role and PurposeOfUse. The handbook is not public in full: that the type of the asking
organisation stands in `consulting-facility-type-code`, and that the Subject has no name (the attributes say who asks),
is how an open source connector to Mitz does it.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from datetime import timedelta

from lxml import etree

from schakel.generic.consent.mitz import names
from schakel.generic.consent.mitz.question import (
    Attribute,
    InstanceIdentifier,
    purpose,
    subject,
)
from schakel.generic.consent.mitz.request import Signing, signature_place
from schakel.generic.consent.mitz.soap import AnswerUnusable, Wrong, children, enveloped, only, opened
from schakel.kernel.clock import instant, new_id, now
from schakel.kernel.outcomes import Invalid
from schakel.kernel.values import Ura

LIFE = timedelta(minutes=10)
MOST = 1000
_VALUES = {
    names.ROLE: ("Role", "CE"),
    names.REQUESTER_TYPE: ("consulting-facility-type-code", "CV"),
    names.PURPOSE: ("PurposeOfUse", "CE"),
}
"""How the element with a code is called, and its type."""
_CODE = re.compile(r"[A-Za-z0-9._-]{1,32}")


@dataclass(frozen=True, slots=True, kw_only=True)
class OpenQuestion:
    """What is asked of Mitz. `patient` is a BSN, `requester` a URA with the type `requester_type`; `provider`, `role`,
    `mandated` and `purpose` are as in a closed question."""

    patient: str
    requester: str
    requester_type: str
    provider: str
    role: str
    mandated: str = ""
    purpose: str


@dataclass(frozen=True, slots=True)
class PermittedHolder:
    """A holder that may release data of these categories (GGC...)."""

    ura: str
    categories: tuple[str, ...]


def written(question: OpenQuestion, message: str, to: str, signing: Signing | None = None) -> bytes:
    """The document that asks `question`; `message` is the MessageID (`urn:uuid:...`), `to` the address asked. The
    assertion in it is signed when `signing` is given."""
    envelope, header, body = enveloped(names.LOCATE, message, to)
    security = etree.SubElement(header, f"{{{names.WSSE}}}Security", nsmap={"wsse": names.WSSE})
    security.set(f"{{{names.SOAP}}}mustUnderstand", "1")
    assertion = _assertion(question, signing is not None)
    security.append(assertion if signing is None else signing.signed(assertion, assertion.get("ID", "")))
    request = etree.SubElement(body, f"{{{names.XCPD}}}PatientLocationQueryRequest", nsmap={"x": names.XCPD})
    etree.SubElement(
        request,
        f"{{{names.XCPD}}}RequestedPatientId",
        root=names.BSN_ROOT,
        extension=question.patient,
        assigningAuthorityName=names.BSN_AUTHORITY,
    )
    return etree.tostring(envelope, xml_declaration=True, encoding="UTF-8")


def _assertion(question: OpenQuestion, signed: bool) -> etree._Element:
    """Who asks and why, as a SAML assertion of the asking organisation about itself."""
    moment = now()
    begins, ends = instant(moment), instant(moment + LIFE)
    assertion = _saml(None, "Assertion", ID=f"_{new_id()}", IssueInstant=begins, Version="2.0")
    _saml(assertion, "Issuer").text = f"urn:oid:{names.URA_ROOT}.{question.requester}"
    if signed:
        assertion.append(signature_place())
    _saml(_saml(assertion, "Subject"), "SubjectConfirmation", Method=names.BEARER)
    conditions = _saml(assertion, "Conditions", NotBefore=begins, NotOnOrAfter=ends)
    _saml(_saml(conditions, "AudienceRestriction"), "Audience").text = names.AUDIENCE
    authenticated = _saml(assertion, "AuthnStatement", AuthnInstant=begins)
    _saml(_saml(authenticated, "AuthnContext"), "AuthnContextClassRef").text = names.BY_X509
    statement = _saml(assertion, "AttributeStatement")
    for one in (*subject(question), purpose(question)):
        _value(_saml(_saml(statement, "Attribute", Name=one.name), "AttributeValue"), one)
    return assertion


def _saml(parent: etree._Element | None, name: str, **attributes: str) -> etree._Element:
    tag = f"{{{names.SAML}}}{name}"
    if parent is None:
        return etree.Element(tag, attributes, nsmap={"saml2": names.SAML})
    return etree.SubElement(parent, tag, attributes)


def _value(parent: etree._Element, attribute: Attribute) -> None:
    """The value as an element of HL7 v3 that names its type."""
    value = attribute.value
    if isinstance(value, InstanceIdentifier):
        name, kind = "id", "II"
        members = {"root": value.root, "extension": value.extension}
        if value.authority:
            members["assigningAuthorityName"] = value.authority
    else:
        name, kind = _VALUES[attribute.name]
        members = {"code": value.code, "codeSystem": value.system}
    spaces: dict[str | None, str] = {None: names.HL7, "xsi": names.XSI}
    element = etree.SubElement(parent, f"{{{names.HL7}}}{name}", members, nsmap=spaces)  # type: ignore[arg-type] # stub
    element.set(f"{{{names.XSI}}}type", kind)


def permitted(
    facility: str, body: bytes, question: OpenQuestion, message: str
) -> tuple[PermittedHolder, ...]:
    """The holders that Mitz names, each once, with all their categories. Raises `AnswerUnusable` in the name of
    `facility`: also for one holder that cannot be read, since leaving it out would hide it."""
    try:
        tag = f"{{{names.XCPD}}}PatientLocationQueryResponse"
        return _holders(opened(body, message, tag, "PatientLocationQueryResponse"), question)
    except Wrong as wrong:
        raise AnswerUnusable(facility, str(wrong)) from None


def _holders(response: etree._Element, question: OpenQuestion) -> tuple[PermittedHolder, ...]:
    found: dict[str, dict[str, None]] = {}
    places = children(response)
    if len(places) > MOST:
        raise Wrong(f"more than {MOST} holders")
    for place in places:
        if place.tag != f"{{{names.XCPD}}}PatientLocationResponse":
            raise Wrong("something beside a PatientLocationResponse")
        asked = only(place, names.XCPD, "RequestedPatientId")
        if (asked.get("root"), asked.get("extension")) != (names.BSN_ROOT, question.patient):
            raise Wrong("it is about another patient")
        found.setdefault(_ura(place), {}).update(dict.fromkeys(_categories(place)))
    return tuple(PermittedHolder(ura, tuple(categories)) for ura, categories in found.items())


def _ura(place: etree._Element) -> str:
    institution = only(place, names.XCPD, "author-institution")
    if institution.get("root") != names.URA_ROOT:
        raise Wrong("a holder without a URA")
    try:
        return str(Ura(institution.get("extension", "")))
    except Invalid:
        raise Wrong("a holder without a URA") from None


def _categories(place: etree._Element) -> list[str]:
    codes = []
    for one in children(place):
        if one.tag == f"{{{names.XCPD}}}event-code":
            code = one.get("code") or (one.text or "").strip()
            if (
                not _CODE.fullmatch(code)
                or one.get("codeSystem", names.CATEGORY_SYSTEM) != names.CATEGORY_SYSTEM
            ):
                raise Wrong("a holder with a category that cannot be read")
            codes.append(code)
    return codes
