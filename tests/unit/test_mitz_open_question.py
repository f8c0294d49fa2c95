"""The open question as it goes out, compared with a document written by hand, and its answer: usable, or none."""

from __future__ import annotations

from dataclasses import replace
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest
import time_machine
from hypothesis import given
from hypothesis import strategies as st
from lxml import etree
from signxml.verifier import XMLVerifier
from tests.certificates import Authority, new_key
from tests.mitz import (
    BSN,
    FAULT,
    HOLDER,
    MESSAGE,
    OPEN_QUESTION,
    OTHER_BSN,
    XCPD,
    answer,
    location,
    locations,
)

from schakel.generic.consent.mitz import AnswerUnusable, OpenQuestion, PermittedHolder, Signing
from schakel.generic.consent.mitz.open_question import MOST, permitted, written

TO = "https://mitz.example/mitz/openautorisatievraag"
MOMENT = datetime(2026, 11, 22, 9, 0, tzinfo=UTC)
SAML = "urn:oasis:names:tc:SAML:2.0:assertion"
DS = "{http://www.w3.org/2000/09/xmldsig#}"
ASSERTION = f"{{{SAML}}}Assertion"
XSI_TYPE = "{http://www.w3.org/2001/XMLSchema-instance}type"
MANDATE = """
     <Attribute Name="urn:nl:otv:names:tc:1.0:subject:mandated"><AttributeValue>
      <h:id x:type="II" root="2.16.528.1.1007.3.1" extension="900000009" assigningAuthorityName="CIBG"/>
     </AttributeValue></Attribute>"""

GOLDEN = f"""<Envelope xmlns="http://www.w3.org/2003/05/soap-envelope" xmlns:e="http://www.w3.org/2003/05/soap-envelope"
  xmlns:w="http://www.w3.org/2005/08/addressing" xmlns:x="http://www.w3.org/2001/XMLSchema-instance">
 <Header>
  <w:Action e:mustUnderstand="1">urn:ihe:iti:2009:PatientLocationQuery</w:Action>
  <w:MessageID>{MESSAGE}</w:MessageID>
  <w:ReplyTo><w:Address>http://www.w3.org/2005/08/addressing/anonymous</w:Address></w:ReplyTo>
  <w:To>{TO}</w:To>
  <Security e:mustUnderstand="1"
    xmlns="http://docs.oasis-open.org/wss/2004/01/oasis-200401-wss-wssecurity-secext-1.0.xsd">
   <Assertion xmlns="{SAML}" xmlns:h="urn:hl7-org:v3" ID="ID" Version="2.0" IssueInstant="2026-11-22T09:00:00.000Z">
    <Issuer>urn:oid:2.16.528.1.1007.3.3.22222222</Issuer>
    <Subject><SubjectConfirmation Method="urn:oasis:names:tc:SAML:2.0:cm:bearer"/></Subject>
    <Conditions NotBefore="2026-11-22T09:00:00.000Z" NotOnOrAfter="2026-11-22T09:10:00.000Z">
     <AudienceRestriction><Audience>urn:oid:2.16.840.1.113883.2.4.3.111.2.1</Audience></AudienceRestriction>
    </Conditions>
    <AuthnStatement AuthnInstant="2026-11-22T09:00:00.000Z"><AuthnContext>
     <AuthnContextClassRef>urn:oasis:names:tc:SAML:2.0:ac:classes:X509</AuthnContextClassRef>
    </AuthnContext></AuthnStatement>
    <AttributeStatement>
     <Attribute Name="urn:oasis:names:tc:xacml:2.0:subject:role"><AttributeValue>
      <h:Role x:type="CE" code="01.015" codeSystem="2.16.840.1.113883.2.4.15.111"/>
     </AttributeValue></Attribute>
     <Attribute Name="urn:ihe:iti:xua:2017:subject:provider-identifier"><AttributeValue>
      <h:id x:type="II" root="2.16.528.1.1007.3.1" extension="900000008" assigningAuthorityName="CIBG"/>
     </AttributeValue></Attribute>{MANDATE}
     <Attribute Name="urn:nl:otv:names:tc:1.0:subject:provider-institution"><AttributeValue>
      <h:id x:type="II" root="2.16.528.1.1007.3.3" extension="22222222"/>
     </AttributeValue></Attribute>
     <Attribute Name="urn:nl:otv:names:tc:1.0:subject:consulting-healthcare-facility-type-code"><AttributeValue>
      <h:consulting-facility-type-code x:type="CV" code="Z3" codeSystem="2.16.840.1.113883.2.4.15.1060"/>
     </AttributeValue></Attribute>
     <Attribute Name="urn:oasis:names:tc:xspa:1.0:subject:purposeofuse"><AttributeValue>
      <h:PurposeOfUse x:type="CE" code="TREAT" codeSystem="2.16.840.1.113883.1.11.20448"/>
     </AttributeValue></Attribute>
    </AttributeStatement>
   </Assertion>
  </Security>
 </Header>
 <Body>
  <PatientLocationQueryRequest xmlns="{XCPD}">
   <RequestedPatientId root="2.16.840.1.113883.2.4.6.3" extension="{BSN}" assigningAuthorityName="NLMINBIZA"/>
  </PatientLocationQueryRequest>
 </Body>
</Envelope>"""

DELEGATED: OpenQuestion = replace(OPEN_QUESTION, mandated="900000009")


def shape(element: etree._Element) -> tuple[object, ...]:
    """An element without the prefixes, blanks and the identifier that say nothing."""
    return (
        element.tag,
        sorted((str(name), "ID" if name == "ID" else str(value)) for name, value in element.items()),
        (element.text or "").strip(),
        [shape(child) for child in element],
    )


def made(question: OpenQuestion = OPEN_QUESTION, signing: Signing | None = None) -> etree._Element:
    with time_machine.travel(MOMENT, tick=False):
        return etree.fromstring(written(question, MESSAGE, TO, signing))


def assertion_in(envelope: etree._Element) -> etree._Element:
    found = envelope.find(f".//{ASSERTION}")
    assert found is not None
    return found


def test_the_question_is_as_written_by_hand() -> None:
    assert shape(made(DELEGATED)) == shape(etree.fromstring(GOLDEN))
    assert shape(made()) == shape(etree.fromstring(GOLDEN.replace(MANDATE, "")))


def test_the_type_of_a_value_is_one_of_hl7_where_it_stands() -> None:
    typed = [element for element in made().iter() if XSI_TYPE in element.attrib]
    assert len(typed) == 5
    for element in typed:
        assert ":" not in element.attrib[XSI_TYPE] and element.nsmap[None] == "urn:hl7-org:v3"


def test_each_assertion_has_an_identifier_of_its_own_that_xml_takes() -> None:
    names = {assertion_in(made()).get("ID", "") for _ in range(3)}
    assert len(names) == 3 and all(name.startswith("_") for name in names)


def test_what_is_asked_cannot_break_out_of_its_place() -> None:
    sly = replace(OPEN_QUESTION, patient='1"/><Sly/>', role='"/><Sly/>', requester="</saml2:Issuer><Sly/>")
    assert made(sly).find(".//{*}Sly") is None


def signing(folder: Path) -> Signing:
    files = Authority.new("Signers").issue("signer", key=new_key(2048)).write(folder, "signer")
    return Signing.read(files.key, files.certificate)


def test_the_signature_is_of_the_assertion_and_stands_after_its_issuer(tmp_path: Path) -> None:
    signed_by = signing(tmp_path)
    assertion = assertion_in(made(DELEGATED, signed_by))
    assert [child.tag for child in assertion][:2] == [f"{{{SAML}}}Issuer", f"{DS}Signature"]
    reference = assertion.find(f".//{DS}Reference")
    assert reference is not None and reference.get("URI") == f"#{assertion.get('ID')}"
    text = etree.tostring(assertion, with_tail=False)
    found = XMLVerifier().verify(text, x509_cert=signed_by.certificates[0])
    assert not isinstance(found, list) and found.signed_xml is not None
    assert found.signed_xml.tag == ASSERTION
    assert {one.get("extension") for one in found.signed_xml.iter("{*}id")} == {
        "900000008",
        "900000009",
        "22222222",
    }


def test_beside_its_signature_a_signed_question_is_the_same(tmp_path: Path) -> None:
    envelope = made(DELEGATED, signing(tmp_path))
    assertion = assertion_in(envelope)
    assertion.remove(assertion[1])
    assert shape(envelope) == shape(etree.fromstring(GOLDEN))


# -- the answer ------------------------------------------------------------------------------------------------


def read(body: bytes) -> tuple[PermittedHolder, ...]:
    return permitted("Mitz", body, OPEN_QUESTION, MESSAGE)


def test_each_holder_is_named_once_with_all_its_categories() -> None:
    body = locations(
        location(), location("33333333", "GGC013"), location(HOLDER, "GGC012"), location(HOLDER, "GGC002")
    )
    assert read(body) == (
        PermittedHolder(HOLDER, ("GGC002", "GGC012")),
        PermittedHolder("33333333", ("GGC013",)),
    )


def test_a_short_ura_is_that_of_eight_digits() -> None:
    assert read(locations(location("659"))) == (PermittedHolder("00000659", ("GGC002",)),)


def test_nobody_is_an_answer_too() -> None:
    assert read(locations()) == ()


def test_comments_blanks_and_another_prefix_change_nothing() -> None:
    body = locations(location()).replace(b"<s:", b"<soap:").replace(b"</s:", b"</soap:")
    body = body.replace(b"xmlns:s=", b"xmlns:soap=")
    body = body.replace(b"><", b">\n <!-- x --><").replace(b"?>\n <!-- x -->", b"?>", 1)
    assert read(body) == (PermittedHolder(HOLDER, ("GGC002",)),)


GOOD = locations(location(), location("33333333"))
PATIENT = b'<RequestedPatientId root="2.16.840.1.113883.2.4.6.3" extension="999911120"'
UNUSABLE: dict[str, tuple[bytes, str]] = {
    "nothing": (b"", "XML"),
    "no XML": (GOOD[:-5], "XML"),
    "a DTD": (b"<!DOCTYPE x>" + GOOD.removeprefix(b'<?xml version="1.0" encoding="UTF-8"?>'), "a DTD"),
    "an instruction": (
        GOOD.replace(b"<PatientLocationResponse>", b"<?x y?><PatientLocationResponse>", 1),
        "instr",
    ),
    "another SOAP": (GOOD.replace(b"2003/05/soap-envelope", b"2001/12/soap-envelope"), "SOAP 1.2"),
    "a Fault": (answer(body=FAULT), "Fault"),
    "another message": (locations(location(), relates="urn:uuid:other"), "another question"),
    "no RelatesTo": (GOOD.replace(b"a:RelatesTo", b"a:MessageID"), "another question"),
    "no Body": (GOOD.replace(b"s:Body", b"s:Corpse"), "Body"),
    "an empty Body": (answer(body=""), "no PatientLocationQueryResponse"),
    "the answer to a closed question": (answer(), "no PatientLocationQueryResponse"),
    "another namespace": (GOOD.replace(b"xcpd:2009", b"xcpd:2010"), "no PatientLocationQueryResponse"),
    "two answers": (
        answer(body=f'<PatientLocationQueryResponse xmlns="{XCPD}"/>' * 2),
        "no PatientLocationQueryResponse",
    ),
    "something else in it": (
        locations(location(), "<Other/>"),
        "beside a PatientLocationResponse",
    ),
    "another patient": (locations(location(), location(bsn=OTHER_BSN)), "another patient"),
    "a patient of another root": (
        GOOD.replace(PATIENT, PATIENT.replace(b"4.6.3", b"4.6.4"), 1),
        "another patient",
    ),
    "no patient": (GOOD.replace(PATIENT, b"<Other", 1), "not one RequestedPatientId"),
    "two patients": (GOOD.replace(PATIENT, PATIENT + b"/>" + PATIENT, 1), "not one RequestedPatientId"),
    "no institution": (GOOD.replace(b"author-institution", b"author"), "not one author-institution"),
    "an institution of another root": (GOOD.replace(b"1007.3.3", b"1007.3.9", 1), "without a URA"),
    "an institution without a number": (locations(location("")), "without a URA"),
    "an institution that is no URA": (locations(location("123456789")), "without a URA"),
    "a category without a code": (locations(location(category="")), "a category that cannot be read"),
    "a category that is no code": (locations(location(category="a b")), "a category that cannot be read"),
    "a category of another system": (
        GOOD.replace(b"111.5.10.1", b"111.5.10.2", 1),
        "a category that cannot be read",
    ),
    "too many": (locations(*(location(str(number)) for number in range(1, MOST + 2))), "more than"),
}


@pytest.mark.parametrize("name", UNUSABLE)
def test_one_thing_wrong_is_no_answer_and_never_nobody(name: str) -> None:
    body, why = UNUSABLE[name]
    with pytest.raises(AnswerUnusable) as unusable:
        read(body)
    assert why in unusable.value.message
    assert BSN not in f"{unusable.value!r}{unusable.value.message}" and unusable.value.__cause__ is None


@given(st.binary(max_size=200))
def test_whatever_comes_is_holders_or_no_answer(body: bytes) -> None:
    with pytest.raises(AnswerUnusable):
        read(body)


@given(st.data())
def test_a_good_answer_with_some_bytes_changed_names_holders_or_is_none(data: st.DataObject) -> None:
    """It never names nobody: an answer in which something was lost does not say so of a patient."""
    start = data.draw(st.integers(0, len(GOOD) - 1))
    end = data.draw(st.integers(start, min(len(GOOD), start + 200)))
    body = GOOD[:start] + data.draw(st.binary(max_size=20)) + GOOD[end:]
    try:
        holders = read(body)
    except AnswerUnusable:
        return
    assert holders and all(len(one.ura) == 8 and one.ura.isdigit() for one in holders)


def test_its_life_is_that_of_ten_minutes() -> None:
    conditions = made().find(f".//{{{SAML}}}Conditions")
    assert conditions is not None
    start, end = (datetime.fromisoformat(conditions.get(name, "")) for name in ("NotBefore", "NotOnOrAfter"))
    assert (start, end - start) == (MOMENT, timedelta(minutes=10))
