"""Questions to an OCSP responder and its answers (RFC 6960; the nonce by RFC 9654).

The certificate is named by SHA-1 hashes of its issuer, the one way that every responder knows (RFC 5019, section
2.1.1); they only point at it, and nothing rests on their strength: issuer, serial number and signature are checked.
"""

from __future__ import annotations

import secrets
from datetime import datetime, timedelta

from cryptography import x509
from cryptography.exceptions import InvalidSignature, UnsupportedAlgorithm
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec, padding, rsa
from cryptography.hazmat.primitives.serialization import Encoding
from cryptography.x509 import ocsp
from cryptography.x509.oid import AuthorityInformationAccessOID, ExtendedKeyUsageOID

from schakel.generic.identity.certificates.lists import SKEW, Unusable
from schakel.generic.identity.certificates.trust import extension, signed_by

_UNDATED = timedelta(minutes=15)
"""How old an answer may be that does not say until when it counts."""
_HASH = hashes.SHA1()  # noqa: S303


class Question:
    """Whether `certificate` of `issuer` was revoked; `nonce` is new each time."""

    def __init__(self, certificate: x509.Certificate, issuer: x509.Certificate) -> None:
        self.certificate = certificate
        self.issuer = issuer
        self.nonce = secrets.token_bytes(32)
        builder = ocsp.OCSPRequestBuilder().add_certificate(certificate, issuer, _HASH)
        self._made = builder.add_extension(x509.OCSPNonce(self.nonce), critical=False).build()
        self.der = self._made.public_bytes(Encoding.DER)

    def answer(self, der: bytes, moment: datetime, *, nonce: bool) -> Answer:
        """What the responder said in `der`. With `nonce`, it must have repeated ours. Raises `Unusable`."""
        try:
            response = ocsp.load_der_ocsp_response(der)
            if response.response_status is not ocsp.OCSPResponseStatus.SUCCESSFUL:
                raise Unusable(f"the responder answers {response.response_status.name.lower()}")
            self._check_nonce(response, nonce)
            responder = self._responder(response, moment)
            return self._read(response, responder, moment)
        except (ValueError, TypeError, UnsupportedAlgorithm, x509.DuplicateExtension) as error:
            raise Unusable("the answer cannot be read") from error

    def _read(self, response: ocsp.OCSPResponse, responder: x509.Certificate, moment: datetime) -> Answer:
        asked = self._made
        ours = [
            one
            for one in response.responses
            if one.serial_number == asked.serial_number
            and isinstance(one.hash_algorithm, hashes.SHA1)
            and one.issuer_key_hash == asked.issuer_key_hash
            and one.issuer_name_hash == asked.issuer_name_hash
        ]
        if len(ours) != 1:
            raise Unusable("the answer is not about the certificate that was asked for")
        one = ours[0]
        issued, expires = one.this_update_utc, one.next_update_utc or one.this_update_utc + _UNDATED
        if issued > moment + SKEW:
            raise Unusable("the answer is of a later time")
        if expires <= moment:
            raise Unusable("the answer has expired")
        if one.certificate_status is ocsp.OCSPCertStatus.UNKNOWN:
            raise Unusable("the responder does not know the certificate")
        return Answer(one.certificate_status is ocsp.OCSPCertStatus.REVOKED, expires, responder)

    def _check_nonce(self, response: ocsp.OCSPResponse, needed: bool) -> None:
        try:
            found = response.extensions.get_extension_for_class(x509.OCSPNonce).value.nonce
        except x509.ExtensionNotFound:
            if needed:
                raise Unusable("the answer does not repeat our nonce") from None
            return
        if found != self.nonce:
            raise Unusable("the answer is to another question (its nonce is not ours)")

    def _responder(self, response: ocsp.OCSPResponse, moment: datetime) -> x509.Certificate:
        """Who signed: the issuer itself, or whom it made its responder (RFC 6960, section 4.2.2.2)."""
        for one in (self.issuer, *response.certificates):
            if not _is_named(one, response) or not _signed(response, one):
                continue
            if one == self.issuer:
                return one
            usage = extension(one, x509.ExtendedKeyUsage)
            if usage is None or ExtendedKeyUsageOID.OCSP_SIGNING not in usage:
                raise Unusable("the signer of the answer is not a responder")
            if not signed_by(one, self.issuer):
                raise Unusable("the signer of the answer is a responder of another authority")
            if not one.not_valid_before_utc <= moment <= one.not_valid_after_utc:
                raise Unusable("the certificate of the responder is not valid at this moment")
            return one
        raise Unusable("the answer is not signed by the issuer or its responder")


class Answer:
    """What a responder said: `revoked`, until when that counts, and the certificate it signed with."""

    def __init__(self, revoked: bool, expires: datetime, responder: x509.Certificate) -> None:
        self.revoked = revoked
        self.expires = expires
        self.responder = responder

    @property
    def responder_to_check(self) -> bool:
        """Whether the responder's own certificate may have been revoked: its authority did not say otherwise."""
        basic = extension(self.responder, x509.BasicConstraints)
        authority = basic is not None and basic.ca
        return not authority and extension(self.responder, x509.OCSPNoCheck) is None


def addresses(certificate: x509.Certificate) -> list[str]:
    """The responders that `certificate` names."""
    return [
        one.access_location.value
        for one in extension(certificate, x509.AuthorityInformationAccess) or ()
        if one.access_method == AuthorityInformationAccessOID.OCSP
        and isinstance(one.access_location, x509.UniformResourceIdentifier)
    ]


def _is_named(certificate: x509.Certificate, response: ocsp.OCSPResponse) -> bool:
    if response.responder_name is not None:
        return certificate.subject == response.responder_name
    identifier = x509.SubjectKeyIdentifier.from_public_key(certificate.public_key())
    return identifier.digest == response.responder_key_hash


def _signed(response: ocsp.OCSPResponse, certificate: x509.Certificate) -> bool:
    key, algorithm = certificate.public_key(), response.signature_hash_algorithm
    if algorithm is None or isinstance(algorithm, hashes.SHA1 | hashes.MD5):
        return False
    try:
        if isinstance(key, rsa.RSAPublicKey):
            key.verify(response.signature, response.tbs_response_bytes, padding.PKCS1v15(), algorithm)
        elif isinstance(key, ec.EllipticCurvePublicKey):
            key.verify(response.signature, response.tbs_response_bytes, ec.ECDSA(algorithm))
        else:
            return False
    except InvalidSignature:
        return False
    return True
