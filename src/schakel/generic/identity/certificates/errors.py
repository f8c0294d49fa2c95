"""Why a certificate is not taken.

    CertificateRefused  401  the certificate, or the chain beside it, is wrong: `code` and `expression` say what
    RevocationUnknown   503  whether it was withdrawn could not be found out: not wrong, and not right either

| code | what is at fault |
|---|---|
| `certificate-malformed` | it, or a certificate beside it, cannot be read |
| `certificate-expired`, `certificate-not-yet-valid` | its time |
| `certificate-key` | its key is too weak, or of a kind that is not taken |
| `certificate-usage` | it is not for this use (key usage, extended key usage, a certificate of an authority) |
| `certificate-chain` | no unbroken chain leads to an authority that is trusted here |
| `certificate-uzi-missing` | it has no UZI number |
| `certificate-uzi` | its UZI number is wrong, or there are several |
| `certificate-card-type` | it is a UZI certificate of another kind than was asked for |
| `certificate-revoked` | its authority has withdrawn it |
"""

from __future__ import annotations

from schakel.kernel.outcomes import Busy, Unauthenticated


class CertificateRefused(Unauthenticated):
    """The certificate is not taken. `expression` names the part at fault, from `certificate` down."""


class RevocationUnknown(Busy):
    """Nobody could say whether a certificate was withdrawn. `why` is for logs: who was asked, and what came."""

    def __init__(self, subject: str, why: str) -> None:
        super().__init__(
            f"whether the certificate of {subject} has been revoked cannot be found out now; try again later",
            code="revocation-unknown",
            cause=why,
            headers={"Retry-After": "10"},
        )
        self.why = why
