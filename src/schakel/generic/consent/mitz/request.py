"""The closed question as SOAP 1.2 with WS-Addressing, signed when that is asked.

Source: handbook "Open en gesloten autorisatievraag" 3.8.2; XML Signature 1.1 with exclusive canonicalisation.
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from cryptography import x509
from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric import rsa
from lxml import etree
from signxml.algorithms import (
    CanonicalizationMethod,
    DigestAlgorithm,
    SignatureConstructionMethod,
    SignatureMethod,
)
from signxml.signer import XMLSigner

from schakel.generic.consent.mitz import names
from schakel.generic.consent.mitz.question import ClosedQuestion, InstanceIdentifier, Value
from schakel.generic.consent.mitz.soap import enveloped
from schakel.kernel.outcomes import Invalid

_REQUEST = "request"


@dataclass(frozen=True, slots=True)
class Signing:
    """What signs a question: an RSA key, and the certificates that prove whose it is, our own first."""

    key: rsa.RSAPrivateKey
    certificates: tuple[x509.Certificate, ...]

    @classmethod
    def read(cls, key: Path, certificate: Path) -> Signing:
        """From two PEM files. Raises `Invalid` naming the file that is wrong, and why."""
        try:
            private = serialization.load_pem_private_key(key.read_bytes(), None)
        except (OSError, ValueError, TypeError) as error:
            raise Invalid(f"mitz: the key {key} cannot be read: {_why(error)}") from error
        if not isinstance(private, rsa.RSAPrivateKey):
            raise Invalid(f"mitz: the key {key} is no RSA key; a question to Mitz is signed with rsa-sha256")
        try:
            certificates = x509.load_pem_x509_certificates(certificate.read_bytes())
        except (OSError, ValueError) as error:
            raise Invalid(f"mitz: the certificate {certificate} cannot be read: {_why(error)}") from error
        if certificates[0].public_key() != private.public_key():
            raise Invalid(f"mitz: the certificate {certificate} is not that of the key {key}")
        return cls(private, tuple(certificates))

    def signed(self, element: etree._Element, name: str) -> etree._Element:
        """A copy of `element` with, at `signature_place`, the signature over what has the id `name`."""
        signer = XMLSigner(
            method=SignatureConstructionMethod.enveloped,
            signature_algorithm=SignatureMethod.RSA_SHA256,
            digest_algorithm=DigestAlgorithm.SHA256,
            c14n_algorithm=CanonicalizationMethod.EXCLUSIVE_XML_CANONICALIZATION_1_0,
        )
        return signer.sign(element, key=self.key, cert=list(self.certificates), reference_uri=f"#{name}")


def _why(error: Exception) -> str:
    return error.strerror or "" if isinstance(error, OSError) else "it is not unencrypted PEM"


def written(question: ClosedQuestion, message: str, to: str, signing: Signing | None = None) -> bytes:
    """The document that asks `question`. `message` is the MessageID (`urn:uuid:...`), `to` the address asked."""
    envelope, _, body = enveloped(names.ACTION, message, to)
    query = etree.SubElement(body, f"{{{names.QUERY}}}XACMLAuthzDecisionQuery", nsmap={"q": names.QUERY})
    query.append(_request(question))
    if signing is not None:
        _sign(query, signing)
    return etree.tostring(envelope, xml_declaration=True, encoding="UTF-8")


def _request(question: ClosedQuestion) -> etree._Element:
    namespaces: dict[str | None, str] = {None: names.XACML}
    request = etree.Element(f"{{{names.XACML}}}Request", nsmap=namespaces)  # type: ignore[arg-type] # stub
    request.set("CombinedDecision", "false")
    request.set("ReturnPolicyIdList", "false")
    for group in question.attributes():
        attributes = etree.SubElement(request, f"{{{names.XACML}}}Attributes", Category=group.category)
        attributes.set(names.XML_ID, group.id)
        for one in group.attributes:
            attribute = etree.SubElement(
                attributes, f"{{{names.XACML}}}Attribute", AttributeId=one.name, IncludeInResult="true"
            )
            _value(attribute, one.value)
    return request


def _value(attribute: etree._Element, value: Value) -> None:
    identifier = isinstance(value, InstanceIdentifier)
    holder = etree.SubElement(
        attribute, f"{{{names.XACML}}}AttributeValue", DataType=names.II if identifier else names.CV
    )
    namespaces: dict[str | None, str] = {None: names.HL7}
    if isinstance(value, InstanceIdentifier):
        members = {"root": value.root, "extension": value.extension}
        if value.authority:
            members["assigningAuthorityName"] = value.authority
        etree.SubElement(holder, f"{{{names.HL7}}}InstanceIdentifier", members, nsmap=namespaces)  # type: ignore[arg-type] # stub
    else:
        members = {"code": value.code, "codeSystem": value.system}
        etree.SubElement(holder, f"{{{names.HL7}}}CodedValue", members, nsmap=namespaces)  # type: ignore[arg-type] # stub


def _sign(query: etree._Element, signing: Signing) -> None:
    """Puts the signature over Request before it, as the first child of the query."""
    query[0].set(names.XML_ID, _REQUEST)
    query.insert(0, signature_place())
    signed = signing.signed(query, _REQUEST)
    parent = query.getparent()
    assert parent is not None
    parent.replace(query, signed)


def signature_place() -> etree._Element:
    """Where a signature is to stand, before there is one."""
    return etree.Element(f"{{{names.DS}}}Signature", nsmap={"ds": names.DS}, Id="placeholder")
