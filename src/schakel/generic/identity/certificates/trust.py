"""Whether a certificate is of somebody whom an authority that we trust vouches for.

The path is built and its signatures, names, times and constraints are checked by the verifier of `cryptography`
(RFC 5280, section 6). Its profile for the public web refuses certificates of the UZI register (they may lack a DNS
name, and need not name a host at all), so it is given policies of our own, and what those leave out is checked here:
the uses of a certificate, the strength of its key, and that an authority's certificate may sign certificates.
"""

from __future__ import annotations

import hashlib
from base64 import urlsafe_b64encode
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from enum import Enum
from functools import cached_property
from pathlib import Path
from typing import Self, TypeVar

from cryptography import x509
from cryptography.exceptions import InvalidSignature, UnsupportedAlgorithm
from cryptography.hazmat.primitives.asymmetric import ec, rsa
from cryptography.hazmat.primitives.serialization import Encoding
from cryptography.x509.oid import ExtendedKeyUsageOID, NameOID
from cryptography.x509.verification import (
    Criticality,
    ExtensionPolicy,
    Policy,
    PolicyBuilder,
    Store,
    VerificationError,
)

from schakel.generic.identity.certificates.errors import CertificateRefused
from schakel.generic.identity.certificates.uzi import (
    PRODUCTION_AUTHORITIES,
    SERVER,
    WHERE,
    UziNumber,
    uzi_number,
)
from schakel.kernel import clock
from schakel.kernel.outcomes import Invalid

T = TypeVar("T", bound=x509.ExtensionType)

MOST = 8
"""Certificates in a chain, the leaf and the authority included."""
_WEAKEST_RSA = 2048
_NAMES = {
    NameOID.COMMON_NAME: "CN",
    NameOID.SERIAL_NUMBER: "serialNumber",
    NameOID.COUNTRY_NAME: "C",
    NameOID.LOCALITY_NAME: "L",
    NameOID.STATE_OR_PROVINCE_NAME: "ST",
    NameOID.STREET_ADDRESS: "STREET",
    NameOID.ORGANIZATION_NAME: "O",
    NameOID.ORGANIZATIONAL_UNIT_NAME: "OU",
    NameOID.ORGANIZATION_IDENTIFIER: "organizationIdentifier",
}


class Use(Enum):
    """What a certificate is shown for: a connection as a client or server, or a signature under a credential."""

    CLIENT = ExtendedKeyUsageOID.CLIENT_AUTH
    SERVER = ExtendedKeyUsageOID.SERVER_AUTH
    SIGNATURE = None


@dataclass(frozen=True)
class Verified:
    """A certificate that was verified, `chain` from it up to the authority that is trusted. `uzi` is None when it has
    no UZI number. Whether it was revoked is not known yet."""

    chain: tuple[x509.Certificate, ...]
    uzi: UziNumber | None

    @property
    def certificate(self) -> x509.Certificate:
        return self.chain[0]

    @property
    def not_before(self) -> datetime:
        return self.certificate.not_valid_before_utc

    @property
    def not_after(self) -> datetime:
        return self.certificate.not_valid_after_utc

    @cached_property
    def thumbprint(self) -> str:
        return thumbprint(self.certificate)

    @cached_property
    def subject(self) -> Mapping[str, tuple[str, ...]]:
        """The values of the subject by name: CN, serialNumber, C, L, ST, STREET, O, OU, organizationIdentifier."""
        found: dict[str, tuple[str, ...]] = {}
        for attribute in self.certificate.subject:
            if (name := _NAMES.get(attribute.oid)) is not None and isinstance(attribute.value, str):
                found[name] = (*found.get(name, ()), attribute.value)
        return found

    @cached_property
    def hosts(self) -> frozenset[str]:
        """Its DNS names, in lower case."""
        try:
            names = self.certificate.extensions.get_extension_for_class(x509.SubjectAlternativeName).value
        except x509.ExtensionNotFound:
            return frozenset()
        return frozenset(name.lower() for name in names.get_values_for_type(x509.DNSName))

    def server(self) -> UziNumber:
        """The UZI number of a certificate that must be a UZI server certificate. Raises `CertificateRefused`."""
        if self.uzi is None:
            raise CertificateRefused(
                "the certificate has no UZI number, and a UZI server certificate is needed",
                code="certificate-uzi-missing",
                expression=WHERE,
            )
        if self.uzi.card != SERVER:
            raise CertificateRefused(
                f"the card type in the UZI number is {self.uzi.card}, and {SERVER} (server) is needed",
                code="certificate-card-type",
                expression=WHERE,
            )
        return self.uzi


class Trust:
    """The authorities that are trusted, and the OIDs of the UZI authorities whose numbers are taken."""

    def __init__(
        self, anchors: Iterable[x509.Certificate], authorities: Iterable[str] = PRODUCTION_AUTHORITIES
    ) -> None:
        self.anchors = tuple(anchors)
        self._authorities = tuple(authorities)
        self._store = Store(list(self.anchors)) if self.anchors else None

    @classmethod
    def read(cls, files: Iterable[Path], authorities: Iterable[str] = PRODUCTION_AUTHORITIES) -> Self:
        """Trust in the certificates in PEM files, one or more in each. Raises `Invalid` naming the file."""
        anchors: list[x509.Certificate] = []
        for file in files:
            try:
                found = x509.load_pem_x509_certificates(file.read_bytes())
            except OSError as error:
                raise Invalid(f"the certificates in {file} cannot be read: {error.strerror}") from error
            except ValueError as error:
                raise Invalid(f"{file} does not hold certificates in PEM") from error
            for one in found:
                if not is_authority(one):
                    name = one.subject.rfc4514_string()
                    raise Invalid(f"{file} holds the certificate of {name}, which is not of an authority")
            anchors += found
        return cls(anchors, authorities)

    def verify(
        self, chain: Sequence[x509.Certificate], moment: datetime | None = None, *, use: Use = Use.CLIENT
    ) -> Verified:
        """The first certificate of `chain`, verified at `moment` (now when None); the others are what helps to find
        the way to an authority, in any order. Raises `CertificateRefused` naming what is wrong."""
        if not chain or len(chain) > MOST:
            raise CertificateRefused(
                f"{len(chain)} certificates were given, and 1 to {MOST} are taken",
                code="certificate-chain",
                expression="certificate.chain",
            )
        leaf, others = chain[0], list(chain[1:])
        moment = moment or clock.now()
        try:
            _check_time(leaf, moment, "the certificate")
            _check_use(leaf, use)
            path = self._path(leaf, others, moment)
            for one in path:
                _check_key(one)
        except (
            ValueError,
            x509.DuplicateExtension,
            UnsupportedAlgorithm,
            x509.UnsupportedGeneralNameType,
        ) as error:
            raise CertificateRefused(
                "the certificate, or one beside it, cannot be read",
                code="certificate-malformed",
                expression="certificate",
                cause=str(error),
            ) from error
        return Verified(path, uzi_number(leaf, self._authorities))

    def _path(
        self, leaf: x509.Certificate, others: list[x509.Certificate], moment: datetime
    ) -> tuple[x509.Certificate, ...]:
        """From the leaf up to an anchor."""
        if self._store is not None:
            builder = PolicyBuilder().store(self._store).time(moment).max_chain_depth(MOST - 2)
            verifier = builder.extension_policies(
                ca_policy=_AUTHORITY, ee_policy=_LEAF
            ).build_client_verifier()
            try:
                return tuple(verifier.verify(leaf, others).chain)
            except VerificationError as error:
                cause = str(error).partition(" (encountered")[0]  # without whose certificate it is
        else:
            cause = "no authority is trusted"
        raise CertificateRefused(
            self._broken(leaf, others, moment),
            code="certificate-chain",
            expression="certificate.chain",
            cause=cause,
        )

    def _broken(self, leaf: x509.Certificate, others: list[x509.Certificate], moment: datetime) -> str:
        """Where the way from `leaf` up to an authority breaks off, in words."""
        one = leaf
        for _ in range(MOST):
            known = [up for up in (*self.anchors, *others) if up.subject == one.issuer and up != one]
            if not known:
                return (
                    f"the chain ends at {_name(one)}: its issuer, {one.issuer.rfc4514_string()}, is not trusted here "
                    "and its certificate was not given"
                )
            signed = [up for up in known if signed_by(one, up)]
            if not signed:
                return (
                    f"{_name(one)} is not signed by {one.issuer.rfc4514_string()}, which it names as issuer"
                )
            up = signed[0]
            if not up.not_valid_before_utc <= moment <= up.not_valid_after_utc:
                return f"the certificate of the authority {_name(up)} is not valid at this moment"
            if not is_authority(up):
                return (
                    f"{_name(up)}, the issuer of {_name(one)}, is not an authority that may sign certificates"
                )
            if up in self.anchors:
                break
            one = up
        return f"the chain above {_name(leaf)} breaks a constraint that one of its authorities sets"


def thumbprint(certificate: x509.Certificate) -> str:
    """SHA-256 of the certificate in base64url (RFC 8705, x5t#S256)."""
    digest = hashlib.sha256(certificate.public_bytes(Encoding.DER)).digest()
    return urlsafe_b64encode(digest).rstrip(b"=").decode()


def _check_time(certificate: x509.Certificate, moment: datetime, what: str) -> None:
    if moment < (start := certificate.not_valid_before_utc):
        raise CertificateRefused(
            f"{what} is not valid before {start:%Y-%m-%d %H:%M} UTC",
            code="certificate-not-yet-valid",
            expression="certificate.notBefore",
        )
    if moment > (end := certificate.not_valid_after_utc):
        raise CertificateRefused(
            f"{what} expired at {end:%Y-%m-%d %H:%M} UTC",
            code="certificate-expired",
            expression="certificate.notAfter",
        )


def _check_use(certificate: x509.Certificate, use: Use) -> None:
    """RFC 5280, sections 4.2.1.3, 4.2.1.9 and 4.2.1.12: a use that an extension does not name is not allowed."""
    basic = extension(certificate, x509.BasicConstraints)
    if basic is not None and basic.ca:
        raise _unusable(
            "the certificate is of an authority, and one of a party is needed", "basicConstraints"
        )
    usage = extension(certificate, x509.KeyUsage)
    # contentCommitment (nonRepudiation) is for what is signed and kept, as a UZI card has a certificate for it.
    committed = use is Use.SIGNATURE and usage is not None and usage.content_commitment
    if usage is not None and not usage.digital_signature and not committed:
        raise _unusable("the certificate is not for digital signatures", "keyUsage")
    extended = extension(certificate, x509.ExtendedKeyUsage)
    if use.value is not None and extended is not None and use.value not in extended:
        raise _unusable(f"the certificate is not for use as a TLS {use.name.lower()}", "extendedKeyUsage")


def _check_key(certificate: x509.Certificate) -> None:
    key = certificate.public_key()
    strong = (
        key.key_size >= _WEAKEST_RSA
        if isinstance(key, rsa.RSAPublicKey)
        else isinstance(key, ec.EllipticCurvePublicKey) and key.curve.key_size >= 256
    )
    if not strong:
        raise CertificateRefused(
            f"the key of {_name(certificate)} is not RSA of {_WEAKEST_RSA} bits or more, or EC of 256 or more",
            code="certificate-key",
            expression="certificate.subjectPublicKeyInfo",
        )


def extension(certificate: x509.Certificate, kind: type[T]) -> T | None:
    """Its extension of that kind. Raises what `cryptography` raises when the extensions cannot be read."""
    try:
        return certificate.extensions.get_extension_for_class(kind).value
    except x509.ExtensionNotFound:
        return None


def is_authority(certificate: x509.Certificate) -> bool:
    """Whether it may sign certificates (RFC 5280, sections 4.2.1.3 and 4.2.1.9)."""
    basic = extension(certificate, x509.BasicConstraints)
    usage = extension(certificate, x509.KeyUsage)
    return basic is not None and basic.ca and (usage is None or usage.key_cert_sign)


def signed_by(certificate: x509.Certificate, issuer: x509.Certificate) -> bool:
    """Whether `issuer` is named as its issuer and signed it."""
    try:
        certificate.verify_directly_issued_by(issuer)
    except (ValueError, TypeError, InvalidSignature, UnsupportedAlgorithm):
        return False
    return True


def _unusable(message: str, where: str) -> CertificateRefused:
    return CertificateRefused(message, code="certificate-usage", expression=f"certificate.{where}")


def _name(certificate: x509.Certificate) -> str:
    return certificate.subject.rfc4514_string() or "a certificate without a name"


def _certifies(policy: Policy, certificate: x509.Certificate, found: x509.BasicConstraints) -> None:
    if not found.ca:
        raise ValueError("not an authority")


def _signs(policy: Policy, certificate: x509.Certificate, found: x509.KeyUsage | None) -> None:
    if found is not None and not found.key_cert_sign:
        raise ValueError("may not sign certificates")


_AUTHORITY = (
    ExtensionPolicy.permit_all()
    .require_present(x509.BasicConstraints, Criticality.AGNOSTIC, _certifies)
    .may_be_present(x509.KeyUsage, Criticality.AGNOSTIC, _signs)
)
_LEAF = ExtensionPolicy.permit_all()
