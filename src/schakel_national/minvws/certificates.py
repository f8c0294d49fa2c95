"""Who shows a certificate, and which OIN that is.

A certificate in the manner of PKIoverheid has its holder's OIN as the serialNumber of its subject. A UZI server
certificate has a UZI number of nine digits there; which OIN the ministry knows such a holder by is not public, so here
it is `00000099`, the number, `000`: of the form of an OIN, below the prefix for tests.
"""

from __future__ import annotations

import re
from base64 import b64decode, urlsafe_b64encode
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from cryptography import x509
from cryptography.exceptions import InvalidSignature
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec, rsa
from cryptography.x509.oid import NameOID
from joserfc.jwk import ECKey, RSAKey
from starlette.types import Scope

from schakel.kernel.clock import now

_OIN = re.compile(r"[0-9]{8}(?:[A-Za-z0-9]{8}0{4}|[A-Za-z0-9]{9}0{3})")
_MOST_CHAIN = 5
_UZI = re.compile(r"[0-9]{9}")
_UZI_NAME = x509.ObjectIdentifier("2.5.5.5")


@dataclass(frozen=True)
class Shown:
    """A certificate of a client; `oin` and `common_name` are '' when it has none."""

    certificate: x509.Certificate
    oin: str
    common_name: str

    @classmethod
    def read(cls, certificate: x509.Certificate) -> Shown:
        """What the certificate says."""
        serial = _part(certificate, NameOID.SERIAL_NUMBER)
        oin = f"00000099{serial}000" if _UZI.fullmatch(serial) else serial
        common_name = _part(certificate, NameOID.COMMON_NAME)
        return cls(certificate, oin if is_oin(oin) else "", common_name)

    @property
    def thumbprint(self) -> str:
        """Its SHA-256 in base64url (x5t#S256)."""
        return urlsafe_b64encode(self.certificate.fingerprint(hashes.SHA256())).rstrip(b"=").decode()

    @property
    def ura(self) -> str:
        """The URA in the otherName of a UZI server certificate; '' in any other."""
        try:
            names = self.certificate.extensions.get_extension_for_class(x509.SubjectAlternativeName).value
        except x509.ExtensionNotFound:
            return ""
        for name in names.get_values_for_type(x509.OtherName):
            parts = (
                name.value[2:].decode("ascii", "replace").split("-")
            )  # after tag and length of the IA5String
            if name.type_id == _UZI_NAME and len(parts) == 7:
                return parts[4]
        return ""


def is_oin(text: str) -> bool:
    """Whether the text has the form of an OIN: twenty characters, the last three or four of them 0."""
    return _OIN.fullmatch(text) is not None


def shown(scope: Scope) -> Shown | None:
    """The certificate that the client of this connection showed (see `serving`); None when it showed none."""
    chain = scope.get("extensions", {}).get("tls", {}).get("client_cert_chain") or ()
    return Shown.read(x509.load_pem_x509_certificate(chain[0].encode())) if chain else None


def led(chain: Any, anchors: Path) -> Shown:
    """The first of a chain of certificates (x5c) that leads to an authority in the PEM file `anchors` and is valid now.
    Raises `ValueError` with what the chain does wrong, to be said after its name."""
    try:
        found = [x509.load_der_x509_certificate(b64decode(one, validate=True)) for one in chain[:_MOST_CHAIN]]
        trusted = x509.load_pem_x509_certificates(anchors.read_bytes())
    except (ValueError, TypeError, OSError) as error:
        raise ValueError("cannot be read") from error
    anchor = next((one for one in trusted if found and one.subject == found[-1].issuer), None)
    if anchor is None:
        raise ValueError("leads to no authority that is trusted here")
    try:
        for below, above in zip(found, [*found[1:], anchor], strict=True):
            below.verify_directly_issued_by(above)
    except (ValueError, TypeError, InvalidSignature) as error:
        raise ValueError("is not a chain") from error
    if not all(_authority(one) for one in (*found[1:], anchor)):
        raise ValueError("has a certificate signed by one that is no authority")
    moment = now()
    if not all(one.not_valid_before_utc <= moment <= one.not_valid_after_utc for one in found):
        raise ValueError("has a certificate that is not valid now")
    return Shown.read(found[0])


def signing_key(signer: Shown) -> RSAKey | ECKey:
    """The key that its signatures are checked with. Raises `ValueError`."""
    public = signer.certificate.public_key()
    if isinstance(public, rsa.RSAPublicKey):
        return RSAKey.import_key(public)
    if isinstance(public, ec.EllipticCurvePublicKey):
        return ECKey.import_key(public)
    raise ValueError("the certificate has no RSA or EC key")


def _authority(certificate: x509.Certificate) -> bool:
    try:
        return certificate.extensions.get_extension_for_class(x509.BasicConstraints).value.ca
    except x509.ExtensionNotFound:
        return False


def _part(certificate: x509.Certificate, oid: x509.ObjectIdentifier) -> str:
    return "".join(str(one.value) for one in certificate.subject.get_attributes_for_oid(oid)[:1])
