"""Who shows a certificate, and which OIN that is.

A certificate in the manner of PKIoverheid has its holder's OIN as the serialNumber of its subject. A UZI server
certificate has a UZI number of nine digits there; which OIN the ministry knows such a holder by is not public, so here
it is `00000099`, the number, `000`: of the form of an OIN, below the prefix for tests.
"""

from __future__ import annotations

import re
from base64 import urlsafe_b64encode
from dataclasses import dataclass

from cryptography import x509
from cryptography.hazmat.primitives import hashes
from cryptography.x509.oid import NameOID
from starlette.types import Scope

_OIN = re.compile(r"[0-9]{8}(?:[A-Za-z0-9]{8}0{4}|[A-Za-z0-9]{9}0{3})")
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


def _part(certificate: x509.Certificate, oid: x509.ObjectIdentifier) -> str:
    return "".join(str(one.value) for one in certificate.subject.get_attributes_for_oid(oid)[:1])
