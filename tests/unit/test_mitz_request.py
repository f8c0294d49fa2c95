"""The closed question as it goes out, compared with a document written by hand."""

from __future__ import annotations

import base64
import hashlib
from dataclasses import replace
from pathlib import Path

import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import padding, rsa
from lxml import etree
from tests.certificates import Authority, new_key
from tests.mitz import MESSAGE, QUESTION

from schakel.generic.consent.mitz import ClosedQuestion, Signing
from schakel.generic.consent.mitz.request import written
from schakel.kernel.outcomes import Invalid

TO = "https://mitz.example/mitz/geslotenautorisatievraag/xacml3"

GOLDEN = """<Envelope xmlns="http://www.w3.org/2003/05/soap-envelope" xmlns:e="http://www.w3.org/2003/05/soap-envelope"
  xmlns:w="http://www.w3.org/2005/08/addressing" xmlns:h="urn:hl7-org:v3">
 <Header>
  <w:Action e:mustUnderstand="1">XACMLAuthorizationDecisionQueryRequest</w:Action>
  <w:MessageID>urn:uuid:0d1c0000-0000-4000-8000-000000000001</w:MessageID>
  <w:ReplyTo><w:Address>http://www.w3.org/2005/08/addressing/anonymous</w:Address></w:ReplyTo>
  <w:To>https://mitz.example/mitz/geslotenautorisatievraag/xacml3</w:To>
 </Header>
 <Body>
  <XACMLAuthzDecisionQuery xmlns="urn:oasis:names:tc:xacml:3.0:profile:saml2.0:v2:schema:protocol:wd-14">
   <Request xmlns="urn:oasis:names:tc:xacml:3.0:core:schema:wd-17" CombinedDecision="false" ReturnPolicyIdList="false">
    <Attributes Category="urn:oasis:names:tc:xacml:3.0:attribute-category:resource" xml:id="resource">
     <Attribute AttributeId="urn:oasis:names:tc:xacml:2.0:resource:resource-id" IncludeInResult="true">
      <AttributeValue DataType="urn:hl7-org:v3#II">
       <h:InstanceIdentifier root="2.16.840.1.113883.2.4.6.3" extension="999911120"/>
      </AttributeValue>
     </Attribute>
     <Attribute AttributeId="urn:ihe:iti:appc:2016:document-entry:healthcare-facility-type-code" IncludeInResult="true">
      <AttributeValue DataType="urn:hl7-org:v3#CV">
       <h:CodedValue code="V6" codeSystem="2.16.840.1.113883.2.4.15.1060"/>
      </AttributeValue>
     </Attribute>
     <Attribute AttributeId="urn:ihe:iti:appc:2016:author-institution:id" IncludeInResult="true">
      <AttributeValue DataType="urn:hl7-org:v3#II">
       <h:InstanceIdentifier root="2.16.528.1.1007.3.3" extension="11111111"/>
      </AttributeValue>
     </Attribute>
    </Attributes>
    <Attributes Category="urn:oasis:names:tc:xacml:3.0:attribute-category:action" xml:id="action0">
     <Attribute AttributeId="urn:ihe:iti:appc:2016:document-entry:event-code" IncludeInResult="true">
      <AttributeValue DataType="urn:hl7-org:v3#CV">
       <h:CodedValue code="GGC002" codeSystem="2.16.840.1.113883.2.4.3.111.5.10.1"/>
      </AttributeValue>
     </Attribute>
    </Attributes>
    <Attributes Category="urn:oasis:names:tc:xacml:3.0:attribute-category:action" xml:id="action1">
     <Attribute AttributeId="urn:ihe:iti:appc:2016:document-entry:event-code" IncludeInResult="true">
      <AttributeValue DataType="urn:hl7-org:v3#CV">
       <h:CodedValue code="GGC013" codeSystem="2.16.840.1.113883.2.4.3.111.5.10.1"/>
      </AttributeValue>
     </Attribute>
    </Attributes>
    <Attributes Category="urn:oasis:names:tc:xacml:1.0:subject-category:access-subject" xml:id="subject">
     <Attribute AttributeId="urn:oasis:names:tc:xacml:2.0:subject:role" IncludeInResult="true">
      <AttributeValue DataType="urn:hl7-org:v3#CV">
       <h:CodedValue code="01.015" codeSystem="2.16.840.1.113883.2.4.15.111"/>
      </AttributeValue>
     </Attribute>
     <Attribute AttributeId="urn:ihe:iti:xua:2017:subject:provider-identifier" IncludeInResult="true">
      <AttributeValue DataType="urn:hl7-org:v3#II">
       <h:InstanceIdentifier root="2.16.528.1.1007.3.1" extension="900000008" assigningAuthorityName="CIBG"/>
      </AttributeValue>
     </Attribute>
     <Attribute AttributeId="urn:nl:otv:names:tc:1.0:subject:mandated" IncludeInResult="true">
      <AttributeValue DataType="urn:hl7-org:v3#II">
       <h:InstanceIdentifier root="2.16.528.1.1007.3.1" extension="900000009" assigningAuthorityName="CIBG"/>
      </AttributeValue>
     </Attribute>
     <Attribute AttributeId="urn:nl:otv:names:tc:1.0:subject:provider-institution" IncludeInResult="true">
      <AttributeValue DataType="urn:hl7-org:v3#II">
       <h:InstanceIdentifier root="2.16.528.1.1007.3.3" extension="22222222"/>
      </AttributeValue>
     </Attribute>
     <Attribute AttributeId="urn:nl:otv:names:tc:1.0:subject:consulting-healthcare-facility-type-code"
       IncludeInResult="true">
      <AttributeValue DataType="urn:hl7-org:v3#CV">
       <h:CodedValue code="Z3" codeSystem="2.16.840.1.113883.2.4.15.1060"/>
      </AttributeValue>
     </Attribute>
    </Attributes>
    <Attributes Category="urn:oasis:names:tc:xacml:3.0:attribute-category:environment" xml:id="environment">
     <Attribute AttributeId="urn:oasis:names:tc:xspa:1.0:subject:purposeofuse" IncludeInResult="true">
      <AttributeValue DataType="urn:hl7-org:v3#CV">
       <h:CodedValue code="TREAT" codeSystem="2.16.840.1.113883.1.11.20448"/>
      </AttributeValue>
     </Attribute>
    </Attributes>
   </Request>
  </XACMLAuthzDecisionQuery>
 </Body>
</Envelope>"""

DELEGATED: ClosedQuestion = replace(QUESTION, categories=("GGC002", "GGC013"), mandated="900000009")
DS = "{http://www.w3.org/2000/09/xmldsig#}"
QUERY = "{urn:oasis:names:tc:xacml:3.0:profile:saml2.0:v2:schema:protocol:wd-14}XACMLAuthzDecisionQuery"


def shape(element: etree._Element) -> tuple[object, ...]:
    """An element without the prefixes and blanks that say nothing."""
    return (
        element.tag,
        sorted(map(str, element.items())),
        (element.text or "").strip(),
        [shape(child) for child in element],
    )


def test_the_question_is_as_written_by_hand() -> None:
    made = etree.fromstring(written(DELEGATED, MESSAGE, TO))
    assert shape(made) == shape(etree.fromstring(GOLDEN))


def test_without_a_mandate_there_is_no_attribute_for_it() -> None:
    assert b":mandated" in written(DELEGATED, MESSAGE, TO)
    assert b":mandated" not in written(QUESTION, MESSAGE, TO)


def test_what_is_asked_cannot_break_out_of_its_place() -> None:
    sly = replace(QUESTION, requester='1"/><Decision>Permit</Decision>')
    made = etree.fromstring(written(sly, MESSAGE, TO))
    assert made.find(".//{*}Decision") is None


def signing(folder: Path, name: str = "signer") -> Signing:
    files = Authority.new("Signers").issue(name, key=new_key(2048)).write(folder, name)
    return Signing.read(files.key, files.certificate)


def test_the_signature_is_over_the_request_and_stands_before_it(tmp_path: Path) -> None:
    """Checked with nothing but canonicalisation, a digest and RSA."""
    signed_by = signing(tmp_path)
    query = etree.fromstring(written(DELEGATED, MESSAGE, TO, signed_by)).find(f".//{QUERY}")
    assert query is not None
    signature, request = query
    assert signature.tag == f"{DS}Signature"
    uri = f"#{request.get('{http://www.w3.org/XML/1998/namespace}id')}"
    reference = signature.find(f".//{DS}Reference")
    assert reference is not None and reference.get("URI") == uri
    algorithms = [element.get("Algorithm") for element in signature.iter() if element.get("Algorithm")]
    assert algorithms == [
        "http://www.w3.org/2001/10/xml-exc-c14n#",
        "http://www.w3.org/2001/04/xmldsig-more#rsa-sha256",
        "http://www.w3.org/2000/09/xmldsig#enveloped-signature",
        "http://www.w3.org/2001/10/xml-exc-c14n#",
        "http://www.w3.org/2001/04/xmlenc#sha256",
    ]
    digest = hashlib.sha256(etree.tostring(request, method="c14n", exclusive=True, with_tail=False)).digest()
    assert reference.findtext(f"{DS}DigestValue") == base64.b64encode(digest).decode()
    shown = signature.findtext(f".//{DS}X509Certificate")
    value = signature.findtext(f"{DS}SignatureValue")
    information = signature.find(f"{DS}SignedInfo")
    assert shown is not None and value is not None and information is not None
    certificate = x509.load_der_x509_certificate(base64.b64decode(shown))
    assert certificate == signed_by.certificates[0]
    key = certificate.public_key()
    assert isinstance(key, rsa.RSAPublicKey)
    key.verify(
        base64.b64decode(value),
        etree.tostring(information, method="c14n", exclusive=True, with_tail=False),
        padding.PKCS1v15(),
        hashes.SHA256(),
    )


def test_beside_its_signature_a_signed_question_is_the_same(tmp_path: Path) -> None:
    made = etree.fromstring(written(DELEGATED, MESSAGE, TO, signing(tmp_path)))
    query = made.find(f".//{QUERY}")
    assert query is not None
    query.remove(query[0])
    del query[0].attrib["{http://www.w3.org/XML/1998/namespace}id"]
    assert shape(made) == shape(etree.fromstring(GOLDEN))


@pytest.mark.parametrize("fault", ["no RSA", "another's", "no PEM", "absent"])
def test_a_key_that_cannot_sign_is_named(tmp_path: Path, fault: str) -> None:
    authority = Authority.new("Signers")
    right = authority.issue("right", key=new_key(2048)).write(tmp_path, "right")
    other = authority.issue("other", key=new_key(0 if fault == "no RSA" else 2048)).write(tmp_path, "other")
    if fault == "no PEM":
        other.key.write_text("x")
    key = tmp_path / "absent.key" if fault == "absent" else other.key
    with pytest.raises(Invalid, match=r"\.key|\.pem"):
        Signing.read(key, right.certificate)
