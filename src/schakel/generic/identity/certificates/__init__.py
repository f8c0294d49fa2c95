"""Certificates of the UZI register and PKIoverheid: whose they are, who vouches for them, whether they still count.

`Trust.verify` finds the way from a certificate to an authority that is trusted and reads the UZI number;
`Revocation.check` asks whether one on that way was withdrawn. Each refusal is a `CertificateRefused` that names the
part at fault; `RevocationUnknown` says that nobody could tell. Sources: RFC 5280 (certificates and lists), RFC 6960
and RFC 9654 (OCSP and its nonce), the certificate profiles of the Zorg CSP.
"""

from schakel.generic.identity.certificates.errors import CertificateRefused, RevocationUnknown
from schakel.generic.identity.certificates.revocation import Mode, Revocation, RevocationRules
from schakel.generic.identity.certificates.trust import Trust, Use, Verified, thumbprint
from schakel.generic.identity.certificates.uzi import (
    PRODUCTION_AUTHORITIES,
    TEST_AUTHORITIES,
    UziNumber,
    other_names,
    uzi_number,
)

__all__ = [
    "PRODUCTION_AUTHORITIES",
    "TEST_AUTHORITIES",
    "CertificateRefused",
    "Mode",
    "Revocation",
    "RevocationRules",
    "RevocationUnknown",
    "Trust",
    "Use",
    "UziNumber",
    "Verified",
    "other_names",
    "thumbprint",
    "uzi_number",
]
