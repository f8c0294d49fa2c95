"""The open question on the wire: which holders may release data of this patient to who asks.

Source: IHE XCPD, Patient Location Query (ITI-56); the facts sheet on Mitz.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass

from lxml import etree

from schakel.kernel.outcomes import Invalid
from schakel.kernel.values import Bsn
from schakel_national.mitz import assertion, soap
from schakel_national.mitz.register import Subscription, data_category
from schakel_national.mitz.soap import BSN_ROOT, CATEGORY_SYSTEM, URA_ROOT, Fault, one

XCPD = "urn:ihe:iti:xcpd:2009"
ASK = "urn:ihe:iti:2009:PatientLocationQuery"
ANSWER = f"{ASK}Response"
_AUTHORITY = "NLMINBIZA"


@dataclass(frozen=True, slots=True)
class Question:
    """An open question."""

    message: str
    patient: str
    asker: assertion.Asker


def read(body: bytes) -> Question:
    """The question in a SOAP envelope. Raises `Fault` naming what is wrong, never what it said."""
    envelope = soap.read(body, ASK)
    asker = assertion.read(envelope.header)
    wanted = one(one(envelope.body, XCPD, "PatientLocationQueryRequest"), XCPD, "RequestedPatientId")
    if wanted.get("root") != BSN_ROOT or wanted.get("assigningAuthorityName") != _AUTHORITY:
        raise Fault(
            f"RequestedPatientId needs the root {BSN_ROOT} and the assigningAuthorityName {_AUTHORITY}"
        )
    try:
        patient = str(Bsn(wanted.get("extension", "")))
    except Invalid as error:
        raise Fault("RequestedPatientId is no BSN") from error
    return Question(envelope.message, patient, asker)


def answer(question: Question, holders: Iterable[Subscription]) -> bytes:
    """The answer: a PatientLocationResponse for each holder; none is an empty answer, whatever the reason."""
    envelope, body = soap.envelope(question.message, ANSWER)
    response = _child(body, "PatientLocationQueryResponse")
    patient = {"root": BSN_ROOT, "extension": question.patient, "assigningAuthorityName": _AUTHORITY}
    for holder in holders:
        found = _child(response, "PatientLocationResponse")
        _child(found, "HomeCommunityId").text = holder.gateway
        _child(found, "CorrespondingPatientId", **patient)
        _child(found, "RequestedPatientId", **patient)
        _child(found, "SourceId").text = holder.source
        _child(found, "event-code", code=data_category(holder.type), codeSystem=CATEGORY_SYSTEM)
        _child(found, "author-institution", root=URA_ROOT, extension=holder.provider)
    return soap.written(envelope)


def _child(parent: etree._Element, name: str, **attributes: str) -> etree._Element:
    nsmap = {None: XCPD}
    return etree.SubElement(parent, f"{{{XCPD}}}{name}", attributes, nsmap=nsmap)  # type: ignore[arg-type]
