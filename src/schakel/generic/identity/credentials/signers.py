"""Who signed a credential: a certificate (did:x509 with x5c), or the key of a did:web.

Sources: Nuts RFC023 (X509Credential); the checks of the profile "VC 1.1, JWT, ES256, RS256 or PS256".
"""

from __future__ import annotations

import base64
from collections.abc import Sequence
from datetime import UTC, datetime
from typing import Protocol

from cryptography import x509
from cryptography.hazmat.primitives import hashes

from schakel.generic.identity.certificates import (
    CertificateRefused,
    RevocationUnknown,
    Use,
    Verified,
    thumbprint,
)
from schakel.generic.identity.certificates.trust import signed_by
from schakel.generic.identity.credentials.did_web import ASSERTION
from schakel.generic.identity.credentials.did_x509 import DidX509
from schakel.generic.identity.credentials.jwts import Jwt, check_times, from_public
from schakel.generic.identity.credentials.refusals import NotChecked, Refused, shown
from schakel.generic.identity.credentials.resolver import Resolver
from schakel.kernel.outcomes import Upstream

MOST_CERTIFICATES = 8


class Anchors(Protocol):
    """Which authorities are trusted (`certificates.Trust`)."""

    def verify(
        self, chain: Sequence[x509.Certificate], moment: datetime | None = None, *, use: Use = Use.CLIENT
    ) -> Verified:
        """Raises `CertificateRefused`."""


class Withdrawals(Protocol):
    """Which certificates were withdrawn (`certificates.Revocation`)."""

    async def check(self, verified: Verified) -> None:
        """Raises `CertificateRefused`, and `RevocationUnknown` when nobody could tell."""


async def check_did_web(jwt: Jwt, issuer: str, resolver: Resolver) -> None:
    """Refuses unless a key that `issuer` published for assertions signed `jwt`."""
    method = jwt.header.get("kid")
    if not isinstance(method, str) or method.partition("#")[0] != issuer:
        raise Refused(
            f"kid in the header is not a key of the issuer {shown(issuer)}",
            code="credential-kid",
            expression="kid",
        )
    if not jwt.signed_by(await resolver.key(method, (ASSERTION,))):
        raise Refused(f"the signature was not made with the key {shown(method)}", code="credential-signature")


async def check_certificate(
    jwt: Jwt, issuer: str, moment: datetime, trust: Anchors, withdrawn: Withdrawals
) -> tuple[DidX509, Verified]:
    """The did:x509 and the certificate that signed `jwt`, when everything about them is right: header, signature,
    chain, the properties that the DID names, the time of the credential within that of the certificate, revocation.

    Raises `Refused`, and `NotChecked` when nobody could tell whether it was revoked.
    """
    did = DidX509.parse(issuer)
    chain = _chain(jwt)
    _check_header(jwt, issuer, chain[0])
    try:
        key = from_public(chain[0].public_key())
    except ValueError:
        key = None
    if key is None or not jwt.signed_by(key):
        raise Refused(
            "the signature was not made with the key of the first certificate in x5c",
            code="credential-signature",
        )
    try:
        verified = trust.verify(chain, moment, use=Use.SIGNATURE)
        did.check(_with_above(verified, chain))
        _check_validity(jwt, verified, moment)
        await withdrawn.check(verified)
    except CertificateRefused as error:
        raise Refused(error.message, code=error.kind, expression="x5c") from error
    except (RevocationUnknown, Upstream) as error:
        raise NotChecked(error.message, code=error.kind, expression="x5c") from error
    return did, verified


def _with_above(verified: Verified, chain: Sequence[x509.Certificate]) -> Verified:
    """`verified` with the authorities in `chain` above the one that is trusted, when that is no root: a DID may be by
    one of those. Above a root is nobody; what seems to be there was made by somebody else with its name and key."""
    path = list(verified.chain)
    while not signed_by(path[-1], path[-1]):
        above = [one for one in chain if one not in path and signed_by(path[-1], one)]
        if not above:
            break
        path.append(above[0])
    return Verified(tuple(path), verified.uzi)


def _chain(jwt: Jwt) -> list[x509.Certificate]:
    listed = jwt.header.get("x5c")
    if not isinstance(listed, list) or not 2 <= len(listed) <= MOST_CERTIFICATES:
        raise Refused(
            f"x5c in the header does not hold 2 to {MOST_CERTIFICATES} certificates, from the signer's up",
            code="credential-x5c",
            expression="x5c",
        )
    chain = []
    for number, text in enumerate(listed):
        try:
            chain.append(x509.load_der_x509_certificate(base64.b64decode(text, validate=True)))
        except (ValueError, TypeError):
            raise Refused(
                f"x5c[{number}] is not a certificate in base64 (DER)", code="credential-x5c", expression="x5c"
            ) from None
    return chain


def _check_header(jwt: Jwt, issuer: str, leaf: x509.Certificate) -> None:
    # RFC023 has x5t#S256; makers of credentials and Nuts nodes take x5t (SHA-1) too. Neither is what is trusted: the
    # chain is.
    prints = {"x5t#S256": thumbprint(leaf), "x5t": _sha1(leaf)}
    shown = {name: jwt.header[name] for name in prints if name in jwt.header}
    if not shown:
        raise Refused(
            "the header has no thumbprint of the first certificate in x5c (x5t#S256)",
            code="credential-x5t",
            expression="x5t#S256",
        )
    for name, told in shown.items():
        if told != prints[name]:
            raise Refused(
                f"{name} in the header is not the thumbprint of the first certificate in x5c",
                code="credential-x5t",
                expression=name,
            )
    method = jwt.header.get("kid")
    # The one key of a did:x509 is written as the bare DID, or with the fragment 0.
    if method not in (issuer, f"{issuer}#0"):
        raise Refused(
            "kid in the header is not the DID in the claim iss", code="credential-kid", expression="kid"
        )


def _sha1(certificate: x509.Certificate) -> str:
    """The older thumbprint, in base64url (RFC 7515, section 4.1.7)."""
    older = certificate.fingerprint(hashes.SHA1())  # noqa: S303 # Compared with what it is a print of: the chain counts.
    return base64.urlsafe_b64encode(older).rstrip(b"=").decode()


def _check_validity(jwt: Jwt, verified: Verified, moment: datetime) -> None:
    begin, end = check_times(jwt, moment.timestamp())
    if begin < verified.not_before.timestamp():
        raise Refused(
            f"it starts before its certificate does ({_told(verified.not_before)})",
            code="credential-before-certificate",
            expression="nbf",
        )
    if end > verified.not_after.timestamp():
        raise Refused(
            f"it ends after its certificate does ({_told(verified.not_after)})",
            code="credential-after-certificate",
            expression="exp",
        )


def _told(moment: datetime) -> str:
    return moment.astimezone(UTC).strftime("%Y-%m-%d %H:%M:%S UTC")
